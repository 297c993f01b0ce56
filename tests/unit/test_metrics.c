/* What /metrics says, read back as Prometheus does. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "admin/metrics.h"

static struct metrics metrics;
static char *page;

static void write_page(void)
{
    size_t length = 0;
    FILE *out = open_memstream(&page, &length);
    metrics_write(out, &metrics);
    (void)fclose(out);
}

/* The value of the sample whose name and labels are exactly these; -1: there is none. */
static double sample(const char *series)
{
    size_t length = strlen(series);
    for (const char *line = page; line != NULL && *line != '\0'; line = strchr(line, '\n') + 1) {
        if (strncmp(line, series, length) == 0 && line[length] == ' ')
            return strtod(line + length + 1, NULL);
    }
    return -1;
}

static void free_page(void)
{
    free(page);
}

TestSuite(metrics, .fini = free_page);

Test(metrics, every_name_of_the_contract_is_there_with_help_and_type)
{
    static const char *const names[] = {
        "privtrak_requests_total counter",
        "privtrak_request_seconds histogram",
        "privtrak_swarms gauge",
        "privtrak_seeders gauge",
        "privtrak_leechers gauge",
        "privtrak_users gauge",
        "privtrak_sessions gauge",
        "privtrak_tombstones gauge",
        "privtrak_deltas_made_total counter",
        "privtrak_deltas_delivered_total counter",
        "privtrak_deltas_parked_total counter",
        "privtrak_deltas_pending gauge",
        "privtrak_deltas_oldest_pending_age_seconds gauge",
        "privtrak_journal_bytes gauge",
        "privtrak_journal_sync_seconds histogram",
        "privtrak_resets_total counter",
        "privtrak_clamps_total counter",
        "privtrak_duplicates_total counter",
        "privtrak_gc_seconds_total counter",
        "privtrak_database_up gauge",
        "privtrak_memory_bytes gauge",
    };
    write_page();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char line[128];
        (void)snprintf(line, sizeof line, "\n# TYPE %s\n", names[i]);
        cr_assert(strstr(page, line) != NULL, "%s", names[i]);
        (void)snprintf(line, sizeof line, "# HELP %.*s ", (int)strcspn(names[i], " "), names[i]);
        cr_assert(strstr(page, line) != NULL, "%s", names[i]);
    }
}

Test(metrics, requests_are_told_by_protocol_family_action_and_result)
{
    metrics.counters.requests[PROTOCOL_UDP][FAMILY6][ACTION_CONNECT][RESULT_OK] = 7;
    metrics.counters.requests[PROTOCOL_HTTP][FAMILY4][ACTION_ANNOUNCE][RESULT_OVERLOAD] = 9;
    write_page();
    cr_assert_eq(sample("privtrak_requests_total{protocol=\"udp\",family=\"6\",action=\"connect\",result=\"ok\"}"), 7);
    cr_assert_eq(
        sample("privtrak_requests_total{protocol=\"http\",family=\"4\",action=\"announce\",result=\"overload\"}"), 9);
    cr_assert_eq(sample("privtrak_requests_total{protocol=\"http\",family=\"4\",action=\"connect\",result=\"ok\"}"), -1,
                 "HTTP has no connect");
}

Test(metrics, histograms_are_cumulative_and_end_in_infinity)
{
    latency_add(&metrics.counters.latency[PROTOCOL_UDP], 5000, 3);
    latency_add(&metrics.counters.latency[PROTOCOL_UDP], 15000, 2);
    latency_add(&metrics.counters.latency[PROTOCOL_UDP], INT64_C(60000000000), 1);
    write_page();
    cr_assert_eq(sample("privtrak_request_seconds_bucket{protocol=\"udp\",le=\"1e-05\"}"), 3);
    cr_assert_eq(sample("privtrak_request_seconds_bucket{protocol=\"udp\",le=\"2e-05\"}"), 5);
    cr_assert_eq(sample("privtrak_request_seconds_bucket{protocol=\"udp\",le=\"5.24288\"}"), 5);
    cr_assert_eq(sample("privtrak_request_seconds_bucket{protocol=\"udp\",le=\"+Inf\"}"), 6);
    cr_assert_eq(sample("privtrak_request_seconds_count{protocol=\"udp\"}"), 6);
    cr_assert_float_eq(sample("privtrak_request_seconds_sum{protocol=\"udp\"}"), 60.000045, 1e-9);
}

Test(metrics, journal_syncs_are_a_histogram_without_labels)
{
    metrics.ledger.sync_buckets[0] = 1;
    metrics.ledger.sync_buckets[20] = 1;
    metrics.ledger.sync_sum_ns = 1500000000;
    write_page();
    cr_assert_eq(sample("privtrak_journal_sync_seconds_bucket{le=\"1e-05\"}"), 1);
    cr_assert_eq(sample("privtrak_journal_sync_seconds_bucket{le=\"+Inf\"}"), 2);
    cr_assert_eq(sample("privtrak_journal_sync_seconds_count"), 2);
    cr_assert_float_eq(sample("privtrak_journal_sync_seconds_sum"), 1.5, 1e-9);
}

Test(metrics, each_sink_has_its_own_samples)
{
    metrics.ledger.sink_count = 2;
    metrics.ledger.sinks[0] = (struct ledger_sink_status){
        .name = "database", .delivered = 10, .pending = 2, .oldest_pending_age_s = 0.25, .parked = 1};
    metrics.ledger.sinks[1] = (struct ledger_sink_status){.name = "ndjson", .delivered = 12};
    write_page();
    cr_assert_eq(sample("privtrak_deltas_delivered_total{sink=\"database\"}"), 10);
    cr_assert_eq(sample("privtrak_deltas_delivered_total{sink=\"ndjson\"}"), 12);
    cr_assert_eq(sample("privtrak_deltas_pending{sink=\"database\"}"), 2);
    cr_assert_eq(sample("privtrak_deltas_parked_total{sink=\"database\"}"), 1);
    cr_assert_eq(sample("privtrak_deltas_oldest_pending_age_seconds{sink=\"database\"}"), 0.25);
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == ':';
}

/* name, name{label="value",…}, a space, a number, a newline */
static const char *pass_sample(const char *at)
{
    while (is_name(*at))
        at++;
    if (*at == '{') {
        do {
            at++;
            while (is_name(*at))
                at++;
            cr_assert(at[0] == '=' && at[1] == '"', "%.60s", at);
            at += 2 + strcspn(at + 2, "\"\\\n");
            cr_assert_eq(*at, '"');
            at++;
        } while (*at == ',');
        cr_assert_eq(*at, '}');
        at++;
    }
    cr_assert_eq(*at, ' ', "%.60s", at);
    char *end;
    (void)strtod(at + 1, &end);
    cr_assert(end > at + 1 && *end == '\n', "%.60s", at);
    return end + 1;
}

Test(metrics, the_page_is_well_formed_and_each_family_stands_together)
{
    char family[64] = "";
    metrics.ledger.sink_count = 1;
    metrics.ledger.sinks[0].name = "database";
    write_page();
    for (const char *at = page; *at != '\0';) {
        if (strncmp(at, "# TYPE ", 7) == 0) {
            size_t length = strcspn(at + 7, " ");
            cr_assert(length < sizeof family);
            memcpy(family, at + 7, length);
            family[length] = '\0';
        }
        if (*at == '#') {
            at = strchr(at, '\n') + 1;
            continue;
        }
        cr_assert_eq(strncmp(at, family, strlen(family)), 0, "%.60s is not of %s", at, family);
        at = pass_sample(at);
    }
}
