/* reload: which settings a running tracker cannot take over; see config.h. */
#include <string.h>

#include "config/reading.h"

int config_check_reload(const struct config *now, const struct config *next, struct error *error)
{
    for (size_t i = 0; i < schema_size; i++) {
        const struct key *key = &schema[i];
        if (key->fixed && !key->type->same(key, (const char *)now, (const char *)next))
            return error_set(error, "%s:%u: %s: found another value than the one in force, allowed only at a restart",
                             next->file, config_line(next, key->name), key->name);
    }
    return 0;
}
