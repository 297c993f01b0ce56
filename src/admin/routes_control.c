/* routes_control: what the operator asks the tracker to do. */
#include <stdlib.h>

#include "admin/call.h"
#include "admin/status.h"
#include "base/log.h"

/* How long /flush waits for the sinks; the rest of the operator's side waits with it. */
enum { FLUSH_TIMEOUT_MS = 8000, FLUSH_STEP_MS = 200 };

/* In steps, so that a tracker that stops does not wait for us. */
static bool flush_in_steps(struct backend *backend)
{
    for (int waited = 0; waited < FLUSH_TIMEOUT_MS; waited += FLUSH_STEP_MS) {
        if (ledger_flush(backend->parts.ledger, FLUSH_STEP_MS))
            return true;
        if (atomic_load(&backend->is_draining))
            return false;
    }
    return false;
}

static void reload(struct call *call)
{
    const struct admin_parts *parts = &call->backend->parts;
    struct error error = {""};
    if (parts->reload == NULL)
        call_fail(call, 503, "unavailable", "the tracker cannot do that now");
    else if (parts->reload(parts->context, &error) != 0)
        call_fail(call, 422, "bad_configuration", "refused, the old configuration stays: %s", error.text);
    else
        call_answer(call, 200, json_pack("{s:b}", "reloaded", 1));
}

static void flush(struct call *call)
{
    struct ledger *ledger = call->backend->parts.ledger;
    struct ledger_status *status = calloc(1, sizeof *status);
    if (status == NULL) {
        call_answer(call, 500, NULL);
        return;
    }
    uint64_t seq = ledger_barrier(ledger);
    bool all = flush_in_steps(call->backend);
    ledger_status(ledger, status);
    call_answer(call, 200,
                json_pack("{s:b, s:I, s:o}", "flushed", all, "seq", (json_int_t)seq, "sinks", status_sinks(status)));
    free(status);
}

static void snapshot(struct call *call)
{
    const struct admin_parts *parts = &call->backend->parts;
    struct error error = {""};
    uint64_t seq = 0;
    if (parts->snapshot == NULL)
        call_fail(call, 503, "unavailable", "the tracker cannot do that now");
    else if (parts->snapshot(parts->context, &seq, &error) != 0)
        call_fail(call, 503, "unavailable", "the snapshot was not made: %s", error.text);
    else
        call_answer(call, 200, json_pack("{s:b, s:I}", "snapshot", 1, "seq", (json_int_t)seq));
}

static void stop_tracker(struct backend *backend)
{
    backend->parts.shutdown(backend->parts.context);
}

static void stop(struct call *call)
{
    if (call->backend->parts.shutdown == NULL) {
        call_fail(call, 503, "unavailable", "the tracker cannot do that now");
        return;
    }
    log_info("admin", "stop asked for over the admin socket");
    call->afterwards = stop_tracker;
    call_answer(call, 200, json_pack("{s:b}", "stopping", 1));
}

const struct admin_route routes_control[] = {
    {METHOD_POST, 0, "/api/v1/reload", reload, {200, 422}},
    {METHOD_POST, 0, "/api/v1/flush", flush, {200}},
    {METHOD_POST, 0, "/api/v1/snapshot", snapshot, {200}},
    {METHOD_POST, ROUTE_LOCAL, "/api/v1/shutdown", stop, {200}},
    {.pattern = NULL},
};
