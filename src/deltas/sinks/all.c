/* all: the sinks that there are. A new one is a file beside this and a line here. */
#include "deltas/sink.h"

const struct sink_type *const sink_types[] = {
    &sink_database_type,
    &sink_ndjson_type,
    &sink_webhook_type,
    NULL,
};
