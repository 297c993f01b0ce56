/* routes_stats: /api/v1/stats: all that the dashboard and `privtrakctl stats` show, in one object. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/call.h"
#include "admin/status.h"
#include "admin/text.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"

/* Looking through all swarms is work for every worker: however many watch, not more often than this. */
#define TOP_TORRENTS_NS INT64_C(5000000000)

static const char *const protocol_names[PROTOCOL_COUNT] = {[PROTOCOL_HTTP] = "http", [PROTOCOL_UDP] = "udp"};
static const char *const family_names[FAMILY_COUNT] = {[FAMILY4] = "4", [FAMILY6] = "6"};
static const char *const action_names[ACTION_COUNT] = {
    [ACTION_CONNECT] = "connect", [ACTION_ANNOUNCE] = "announce", [ACTION_SCRAPE] = "scrape"};
static const char *const result_names[RESULT_COUNT] = {
    [RESULT_OK] = "ok", [RESULT_REFUSED] = "refused", [RESULT_MALFORMED] = "malformed", [RESULT_OVERLOAD] = "overload"};

static json_t *action_json(const counter results[RESULT_COUNT])
{
    json_t *object = json_object();
    for (size_t i = 0; i < RESULT_COUNT; i++)
        (void)json_object_set_new(object, result_names[i], json_integer((json_int_t)results[i]));
    return object;
}

static json_t *family_json(const counter actions[ACTION_COUNT][RESULT_COUNT])
{
    json_t *object = json_object();
    for (size_t i = 0; i < ACTION_COUNT; i++)
        (void)json_object_set_new(object, action_names[i], action_json(actions[i]));
    return object;
}

/* requests → http|udp → 4|6 → connect|announce|scrape → ok|refused|malformed|overload */
static json_t *requests_json(const struct counters *counters)
{
    json_t *object = json_object();
    for (size_t i = 0; i < PROTOCOL_COUNT; i++) {
        json_t *protocol = json_object();
        for (size_t j = 0; j < FAMILY_COUNT; j++)
            (void)json_object_set_new(protocol, family_names[j], family_json(counters->requests[i][j]));
        (void)json_object_set_new(object, protocol_names[i], protocol);
    }
    return object;
}

/* The upper bound of the bucket that the wanted share of all requests falls into, in seconds. */
static double percentile(const struct latency *latency, uint64_t count, double share)
{
    double bound = 10e-6;
    uint64_t passed = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        passed += latency->buckets[i];
        if (count > 0 && (double)passed >= share * (double)count)
            return bound;
        bound *= 2;
    }
    return 0;
}

static json_t *latency_json(const struct latency *latency)
{
    uint64_t count = 0;
    json_t *buckets = json_array();
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        count += latency->buckets[i];
        (void)json_array_append_new(buckets, json_integer((json_int_t)latency->buckets[i]));
    }
    return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:o}", "count", (json_int_t)count, "sum",
                     (double)latency->sum_ns / 1e9, "p50", percentile(latency, count, 0.5), "p90",
                     percentile(latency, count, 0.9), "p99", percentile(latency, count, 0.99), "p999",
                     percentile(latency, count, 0.999), "buckets", buckets);
}

/* Names are a convenience: where the database does not answer, there are none. */
static void name_top_torrents(struct backend *backend)
{
    struct top_torrents *top = &backend->top;
    struct torrent_row *row = calloc(1, sizeof *row);
    struct error error;
    for (size_t i = 0; i < top->count; i++)
        top->names[i][0] = '\0';
    for (size_t i = 0; row != NULL && i < top->count; i++) {
        enum database_result result = database_torrent_get(backend->database, top->views[i].info_hash, row, &error);
        if (result == DATABASE_OK)
            memcpy(top->names[i], row->name, sizeof row->name);
        else if (result != DATABASE_NOT_FOUND)
            break;
    }
    free(row);
}

static json_t *top_json(struct backend *backend)
{
    struct top_torrents *top = &backend->top;
    int64_t now = clock_monotonic_ns();
    if (top->taken_ns == 0 || now - top->taken_ns > TOP_TORRENTS_NS) {
        top->count = tracker_top_torrents(backend->parts.tracker, top->views, TOP_TORRENTS_MAX);
        name_top_torrents(backend);
        top->taken_ns = now;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < top->count; i++) {
        const struct torrent_view *view = &top->views[i];
        char hash[2 * INFO_HASH_BYTES + 1];
        hex_encode(hash, view->info_hash, INFO_HASH_BYTES);
        (void)json_array_append_new(list, json_pack("{s:s, s:o, s:I, s:I, s:I}", "info_hash", hash, "name",
                                                    text_json(top->names[i]), "seeders", (json_int_t)view->seeders,
                                                    "leechers", (json_int_t)view->leechers, "snatches",
                                                    (json_int_t)view->snatches));
    }
    return list;
}

static json_t *log_json(void)
{
    static char lines[LOG_KEPT_LINES][LOG_LINE_BYTES];
    json_t *list = json_array();
    size_t count = log_recent(lines, LOG_KEPT_LINES);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, text_json(lines[i]));
    return list;
}

static json_t *totals_json(struct backend *backend, const struct counters *counters)
{
    uint64_t peers = counters->seeders + counters->leechers;
    int64_t uptime_ns = clock_monotonic_ns() - backend->started_ns;
    return json_pack("{s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "time",
                     (json_int_t)(clock_now_ms() / 1000), "uptime", (double)uptime_ns / 1e9, "swarms",
                     (json_int_t)counters->swarms, "seeders", (json_int_t)counters->seeders, "leechers",
                     (json_int_t)counters->leechers, "peers", (json_int_t)peers, "users",
                     (json_int_t)users_count(backend->parts.users), "sessions", (json_int_t)counters->sessions,
                     "tombstones", (json_int_t)counters->tombstones, "connections", (json_int_t)counters->connections,
                     "mailed", (json_int_t)counters->mailed);
}

static json_t *stats_json(struct backend *backend, const struct counters *counters, const struct ledger_status *status)
{
    json_t *object = totals_json(backend, counters);
    if (object == NULL)
        return NULL;
    int failed = json_object_set_new(object, "requests", requests_json(counters));
    for (size_t i = 0; i < PROTOCOL_COUNT; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "latency_%s", protocol_names[i]);
        failed |= json_object_set_new(object, name, latency_json(&counters->latency[i]));
    }
    failed |=
        json_object_set_new(object, "accounting",
                            json_pack("{s:I, s:I, s:I, s:I}", "deltas", (json_int_t)counters->deltas_made, "resets",
                                      (json_int_t)counters->resets, "clamps", (json_int_t)counters->clamps,
                                      "duplicates", (json_int_t)counters->duplicates));
    failed |= json_object_set_new(object, "memory",
                                  json_pack("{s:I, s:I, s:I}", "torrents", (json_int_t)counters->memory_torrents,
                                            "sessions", (json_int_t)counters->memory_sessions, "users",
                                            (json_int_t)users_memory(backend->parts.users)));
    failed |= json_object_set_new(object, "journal", status_journal(status));
    failed |= json_object_set_new(object, "sinks", status_sinks(status));
    failed |= json_object_set_new(object, "lists", status_lists(backend));
    failed |= json_object_set_new(object, "top", top_json(backend));
    failed |= json_object_set_new(object, "log", log_json());
    failed |= json_object_set_new(object, "faults", status_faults(backend));
    if (failed == 0)
        return object;
    json_decref(object);
    return NULL;
}

static void show_stats(struct call *call)
{
    struct backend *backend = call->backend;
    struct counters *counters = calloc(1, sizeof *counters);
    struct ledger_status *status = calloc(1, sizeof *status);
    if (counters != NULL && status != NULL) {
        tracker_counters(backend->parts.tracker, counters);
        ledger_status(backend->parts.ledger, status);
        call_answer(call, 200, stats_json(backend, counters, status));
    } else {
        call_answer(call, 500, NULL);
    }
    free(counters);
    free(status);
}

const struct admin_route routes_stats[] = {
    {METHOD_GET, 0, "/api/v1/stats", show_stats, {200}},
    {.pattern = NULL},
};
