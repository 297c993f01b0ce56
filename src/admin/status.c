/* status: see status.h. */
#include "admin/status.h"

#include <stdio.h>
#include <stdlib.h>

#include "admin/text.h"
#include "database/registry.h"

/* A sink whose oldest record waits longer than this no longer keeps up. */
enum { SINK_LAG_MAX_S = 60 };

json_t *status_journal(const struct ledger_status *status)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:b, s:I}", "last_seq", (json_int_t)status->last_seq, "synced_seq",
                     (json_int_t)status->synced_seq, "covered_seq", (json_int_t)status->covered_seq, "bytes",
                     (json_int_t)status->journal_bytes, "max_bytes", (json_int_t)status->journal_max_bytes, "full",
                     status->full, "syncs", (json_int_t)status->sync_count);
}

json_t *status_sinks(const struct ledger_status *status)
{
    json_t *list = json_array();
    for (size_t i = 0; i < status->sink_count; i++) {
        const struct ledger_sink_status *sink = &status->sinks[i];
        json_t *error = sink->last_error[0] != '\0' ? text_json(sink->last_error) : json_null();
        json_t *object = json_pack("{s:s, s:I, s:I, s:I, s:f, s:I, s:o}", "name", sink->name, "delivered",
                                   (json_int_t)sink->delivered, "position", (json_int_t)sink->position, "pending",
                                   (json_int_t)sink->pending, "oldest_pending_age", sink->oldest_pending_age_s,
                                   "parked", (json_int_t)sink->parked, "last_error", error);
        (void)json_array_append_new(list, object);
    }
    return list;
}

json_t *status_lists(struct backend *backend)
{
    struct registry_status status = {.up = false};
    registry_status(backend->parts.registry, &status);
    json_t *error = status.last_error[0] != '\0' ? text_json(status.last_error) : json_null();
    return json_pack("{s:b, s:I, s:I, s:o}", "up", status.up, "looks", (json_int_t)status.looks, "last_look",
                     (json_int_t)(status.last_look_ms / 1000), "last_error", error);
}

json_t *status_faults(struct backend *backend)
{
    json_t *faults = json_array();
    struct ledger_status *status = calloc(1, sizeof *status);
    if (status == NULL)
        return faults;
    ledger_status(backend->parts.ledger, status);
    if (atomic_load(&backend->is_draining))
        (void)json_array_append_new(faults, json_string("the tracker is stopping"));
    if (status->full)
        (void)json_array_append_new(faults, json_string("the journal is full: announces are refused"));
    for (size_t i = 0; i < status->sink_count; i++) {
        const struct ledger_sink_status *sink = &status->sinks[i];
        char reason[512];
        if (sink->oldest_pending_age_s <= SINK_LAG_MAX_S)
            continue;
        (void)snprintf(reason, sizeof reason, "sink %s is %.0f s behind%s%s", sink->name, sink->oldest_pending_age_s,
                       sink->last_error[0] != '\0' ? ": " : "", sink->last_error);
        (void)json_array_append_new(faults, text_json(reason));
    }
    free(status);
    return faults;
}
