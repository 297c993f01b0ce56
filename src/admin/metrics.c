/* metrics: see metrics.h. */
#include "admin/metrics.h"

#include <inttypes.h>

static const char *const protocol_names[PROTOCOL_COUNT] = {[PROTOCOL_HTTP] = "http", [PROTOCOL_UDP] = "udp"};
static const char *const family_names[FAMILY_COUNT] = {[FAMILY4] = "4", [FAMILY6] = "6"};
static const char *const action_names[ACTION_COUNT] = {
    [ACTION_CONNECT] = "connect", [ACTION_ANNOUNCE] = "announce", [ACTION_SCRAPE] = "scrape"};
static const char *const result_names[RESULT_COUNT] = {
    [RESULT_OK] = "ok", [RESULT_REFUSED] = "refused", [RESULT_MALFORMED] = "malformed", [RESULT_OVERLOAD] = "overload"};

static void write_head(FILE *out, const char *name, const char *type, const char *help)
{
    (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_one(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
    write_head(out, name, type, help);
    (void)fprintf(out, "%s %" PRIu64 "\n", name, value);
}

static void write_requests(FILE *out, const struct counters *counters)
{
    write_head(out, "privtrak_requests_total", "counter", "Requests answered.");
    for (size_t protocol = 0; protocol < PROTOCOL_COUNT; protocol++) {
        for (size_t family = 0; family < FAMILY_COUNT; family++) {
            for (size_t action = 0; action < ACTION_COUNT; action++) {
                if (protocol == PROTOCOL_HTTP && action == ACTION_CONNECT)
                    continue; /* only BEP 15 has it */
                for (size_t result = 0; result < RESULT_COUNT; result++)
                    (void)fprintf(out,
                                  "privtrak_requests_total{protocol=\"%s\",family=\"%s\",action=\"%s\",result=\"%s\"} "
                                  "%" PRIu64 "\n",
                                  protocol_names[protocol], family_names[family], action_names[action],
                                  result_names[result], counters->requests[protocol][family][action][result]);
            }
        }
    }
}

/* `label` is "" or `name="value"`. The last bucket is the rest, which only +Inf holds. */
static void write_histogram(FILE *out, const char *name, const char *label, const uint64_t *buckets, uint64_t sum_ns)
{
    const char *comma = label[0] != '\0' ? "," : "";
    const char *open = label[0] != '\0' ? "{" : "";
    const char *close = label[0] != '\0' ? "}" : "";
    uint64_t passed = 0;
    double bound = 10e-6;
    for (size_t i = 0; i + 1 < LATENCY_BUCKETS; i++) {
        passed += buckets[i];
        (void)fprintf(out, "%s_bucket{%s%sle=\"%.9g\"} %" PRIu64 "\n", name, label, comma, bound, passed);
        bound *= 2;
    }
    passed += buckets[LATENCY_BUCKETS - 1];
    (void)fprintf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, label, comma, passed);
    (void)fprintf(out, "%s_sum%s%s%s %.9f\n", name, open, label, close, (double)sum_ns / 1e9);
    (void)fprintf(out, "%s_count%s%s%s %" PRIu64 "\n", name, open, label, close, passed);
}

static void write_latency(FILE *out, const struct counters *counters)
{
    write_head(out, "privtrak_request_seconds", "histogram", "From reading a request to having sent its reply.");
    for (size_t protocol = 0; protocol < PROTOCOL_COUNT; protocol++) {
        char label[32];
        (void)snprintf(label, sizeof label, "protocol=\"%s\"", protocol_names[protocol]);
        write_histogram(out, "privtrak_request_seconds", label, counters->latency[protocol].buckets,
                        counters->latency[protocol].sum_ns);
    }
}

static void write_gauges(FILE *out, const struct metrics *metrics)
{
    const struct counters *counters = &metrics->counters;
    write_one(out, "privtrak_swarms", "gauge", "Torrents with at least one session known.", counters->swarms);
    write_one(out, "privtrak_seeders", "gauge", "Sessions in the swarms that have the whole torrent.",
              counters->seeders);
    write_one(out, "privtrak_leechers", "gauge", "Sessions in the swarms that have not.", counters->leechers);
    write_one(out, "privtrak_users", "gauge", "Users known.", metrics->users);
    write_one(out, "privtrak_sessions", "gauge", "Sessions in the swarms, seeders and leechers.", counters->sessions);
    write_one(out, "privtrak_tombstones", "gauge", "Sessions that left their swarm and whose counters are kept.",
              counters->tombstones);
}

static void write_sinks(FILE *out, const struct ledger_status *ledger)
{
    static const struct {
        const char *name, *type, *help;
    } kinds[] = {
        {"privtrak_deltas_delivered_total", "counter", "Deltas that the sink has taken."},
        {"privtrak_deltas_parked_total", "counter", "Deltas that the sink set aside, for it can never take them."},
        {"privtrak_deltas_pending", "gauge", "Deltas that wait for the sink."},
        {"privtrak_deltas_oldest_pending_age_seconds", "gauge", "How long the oldest of them has waited."},
    };
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        write_head(out, kinds[kind].name, kinds[kind].type, kinds[kind].help);
        for (size_t i = 0; i < ledger->sink_count; i++) {
            const struct ledger_sink_status *sink = &ledger->sinks[i];
            const uint64_t counts[] = {sink->delivered, sink->parked, sink->pending};
            (void)fprintf(out, "%s{sink=\"%s\"} ", kinds[kind].name, sink->name);
            if (kind < 3)
                (void)fprintf(out, "%" PRIu64 "\n", counts[kind]);
            else
                (void)fprintf(out, "%.3f\n", sink->oldest_pending_age_s);
        }
    }
}

static void write_journal(FILE *out, const struct ledger_status *ledger)
{
    write_one(out, "privtrak_journal_bytes", "gauge", "Size of the journal on disk.", ledger->journal_bytes);
    write_head(out, "privtrak_journal_sync_seconds", "histogram", "How long the journal's syncs took.");
    write_histogram(out, "privtrak_journal_sync_seconds", "", ledger->sync_buckets, ledger->sync_sum_ns);
}

static void write_accounting(FILE *out, const struct counters *counters)
{
    write_one(out, "privtrak_resets_total", "counter", "Clients that came back with lower counters.", counters->resets);
    write_one(out, "privtrak_clamps_total", "counter", "Announces of which a part was quarantined.", counters->clamps);
    write_one(out, "privtrak_duplicates_total", "counter", "Announces of one client under two peer ids.",
              counters->duplicates);
    write_head(out, "privtrak_gc_seconds_total", "counter", "Time spent on expiry.");
    (void)fprintf(out, "privtrak_gc_seconds_total %.9f\n", (double)counters->gc_ns / 1e9);
}

void metrics_write(FILE *out, const struct metrics *metrics)
{
    const struct counters *counters = &metrics->counters;
    write_requests(out, counters);
    write_latency(out, counters);
    write_gauges(out, metrics);
    write_one(out, "privtrak_deltas_made_total", "counter", "Deltas made by accepted announces and by expiry.",
              counters->deltas_made);
    write_sinks(out, &metrics->ledger);
    write_journal(out, &metrics->ledger);
    write_accounting(out, counters);
    write_one(out, "privtrak_database_up", "gauge", "Whether the last look at the lists of the database succeeded.",
              metrics->database_is_up);
    write_head(out, "privtrak_memory_bytes", "gauge", "Memory of the stores.");
    (void)fprintf(out, "privtrak_memory_bytes{store=\"torrents\"} %" PRIu64 "\n", counters->memory_torrents);
    (void)fprintf(out, "privtrak_memory_bytes{store=\"sessions\"} %" PRIu64 "\n", counters->memory_sessions);
    (void)fprintf(out, "privtrak_memory_bytes{store=\"users\"} %" PRIu64 "\n", metrics->users_memory_bytes);
}
