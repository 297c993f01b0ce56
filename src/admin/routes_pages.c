/* routes_pages: what is not JSON API: dashboard, metrics, health. */
#include <stdlib.h>

#include "admin/call.h"
#include "admin/dashboard.h"
#include "admin/metrics.h"
#include "admin/status.h"
#include "database/registry.h"

static void show_dashboard(struct call *call)
{
    call->status = 200;
    call->page = dashboard_page(&call->text_length);
    call->policy = dashboard_policy();
    call->content_type = "text/html; charset=utf-8";
}

static int take_metrics(struct backend *backend, char **text, size_t *length)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    FILE *out = metrics != NULL ? open_memstream(text, length) : NULL;
    if (out == NULL) {
        free(metrics);
        return -1;
    }
    tracker_counters(backend->parts.tracker, &metrics->counters);
    ledger_status(backend->parts.ledger, &metrics->ledger);
    struct registry_status status = {.up = false};
    registry_status(backend->parts.registry, &status);
    metrics->database_is_up = status.up;
    metrics->users = users_count(backend->parts.users);
    metrics->users_memory_bytes = users_memory(backend->parts.users);
    metrics_write(out, metrics);
    free(metrics);
    return fclose(out) == 0 ? 0 : -1;
}

static void show_metrics(struct call *call)
{
    if (take_metrics(call->backend, &call->text, &call->text_length) != 0) {
        free(call->text);
        call->text = NULL;
        call_answer(call, 500, NULL);
        return;
    }
    call->status = 200;
    call->content_type = METRICS_CONTENT_TYPE;
}

static void show_health(struct call *call)
{
    call_answer(call, 200, json_pack("{s:s}", "status", "ok"));
}

static void show_readiness(struct call *call)
{
    json_t *faults = status_faults(call->backend);
    if (json_array_size(faults) == 0)
        call_answer(call, 200, json_pack("{s:s, s:o}", "status", "ready", "faults", faults));
    else
        call_answer(call, 503, json_pack("{s:s, s:o}", "status", "not ready", "faults", faults));
}

const struct admin_route routes_pages[] = {
    {METHOD_GET, ROUTE_OPEN, "/", show_dashboard, {200}},
    {METHOD_GET, ROUTE_METRICS, "/metrics", show_metrics, {200}},
    {METHOD_GET, ROUTE_OPEN, "/healthz", show_health, {200}},
    {METHOD_GET, ROUTE_OPEN, "/readyz", show_readiness, {200, 503}},
    {.pattern = NULL},
};
