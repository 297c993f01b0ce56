/*
 * Fuzzes the reader of tracker.yaml: the input is the file. Whatever comes, there
 * is either a configuration or a fault, and every fault is one line.
 */
#include "config/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_fault(void *context, const char *message)
{
    if (strchr(message, '\n') != NULL)
        abort();
    ++*(size_t *)context;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t faults = 0;
    struct config *config = config_parse("fuzz.yaml", (const char *)data, size, take_fault, &faults);
    if ((config == NULL) != (faults > 0))
        abort();
    if (config != NULL) {
        struct error error;
        if (config_check_reload(config, config, &error) != 0)
            abort();
    }
    config_free(config);
    return 0;
}
