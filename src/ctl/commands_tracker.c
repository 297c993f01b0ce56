/* commands_tracker: the tracker as a whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/output.h"

static const struct column top_columns[] = {
    {"INFO HASH", "info_hash", COLUMN_TEXT}, {"SEEDERS", "seeders", COLUMN_NUMBER},
    {"LEECHERS", "leechers", COLUMN_NUMBER}, {"SNATCHES", "snatches", COLUMN_NUMBER},
    {"NAME", "name", COLUMN_TEXT},           {NULL, NULL, COLUMN_TEXT},
};

static const struct column totals[] = {
    {"swarms", "swarms", COLUMN_NUMBER},
    {"peers", "peers", COLUMN_NUMBER},
    {"seeders", "seeders", COLUMN_NUMBER},
    {"leechers", "leechers", COLUMN_NUMBER},
    {"users", "users", COLUMN_NUMBER},
    {"sessions", "sessions", COLUMN_NUMBER},
    {"tombstones", "tombstones", COLUMN_NUMBER},
    {"HTTP connections", "connections", COLUMN_NUMBER},
    {NULL, NULL, COLUMN_TEXT},
};

static const struct column request_columns[] = {
    {"REQUESTS", "what", COLUMN_TEXT},       {"OK", "ok", COLUMN_NUMBER},
    {"REFUSED", "refused", COLUMN_NUMBER},   {"MALFORMED", "malformed", COLUMN_NUMBER},
    {"OVERLOAD", "overload", COLUMN_NUMBER}, {NULL, NULL, COLUMN_TEXT},
};

static const struct column latency_columns[] = {
    {"LATENCY", "what", COLUMN_TEXT}, {"P50", "p50", COLUMN_TEXT},    {"P90", "p90", COLUMN_TEXT},
    {"P99", "p99", COLUMN_TEXT},      {"P99.9", "p999", COLUMN_TEXT}, {NULL, NULL, COLUMN_TEXT},
};

static void print_requests(const json_t *requests)
{
    static const char *const protocols[] = {"http", "udp"};
    static const char *const families[] = {"4", "6"};
    static const char *const actions[] = {"announce", "scrape", "connect"};
    json_t *rows = json_array();
    for (size_t i = 0; i < 12; i++) {
        const char *protocol = protocols[i / 6];
        const char *family = families[i / 3 % 2];
        const char *action = actions[i % 3];
        json_t *row = json_copy(json_object_get(json_object_get(json_object_get(requests, protocol), family), action));
        char what[64];
        (void)snprintf(what, sizeof what, "%s%s %s", protocol, family, action);
        if (row == NULL || (i / 6 == 0 && i % 3 == 2)) {
            json_decref(row);
            continue;
        }
        (void)json_object_set_new(row, "what", json_string(what));
        (void)json_array_append_new(rows, row);
    }
    print_table(request_columns, rows);
    json_decref(rows);
}

/* Seconds as milliseconds; the figure is a bucket's upper bound. */
static void add_bound(json_t *row, const char *key, const json_t *latency)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%.2f ms", json_real_value(json_object_get(latency, key)) * 1000);
    (void)json_object_set_new(row, key, json_string(text));
}

static void print_latency(const json_t *stats)
{
    static const char *const protocols[] = {"http", "udp"};
    json_t *rows = json_array();
    for (size_t i = 0; i < 2; i++) {
        char key[32];
        json_t *row = json_pack("{s:s}", "what", protocols[i]);
        (void)snprintf(key, sizeof key, "latency_%s", protocols[i]);
        const json_t *latency = json_object_get(stats, key);
        add_bound(row, "p50", latency);
        add_bound(row, "p90", latency);
        add_bound(row, "p99", latency);
        add_bound(row, "p999", latency);
        (void)json_array_append_new(rows, row);
    }
    print_table(latency_columns, rows);
    json_decref(rows);
}

static void print_faults(const json_t *faults)
{
    size_t index;
    const json_t *fault;
    json_array_foreach (faults, index, fault) {
        char *line = printable(json_string_value(fault));
        (void)printf("NOT READY: %s\n", line);
        free(line);
    }
}

static enum exit_code stats(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    char text[32];
    json_t *answer = call_api(ctl, "GET", "/api/v1/stats", NULL);
    if (answer == NULL)
        return EXIT_FAILED;
    if (ctl->wants_json) {
        print_json(answer);
        json_decref(answer);
        return EXIT_GOOD;
    }
    print_faults(json_object_get(answer, "faults"));
    (void)printf("up for %s\n\n", format_duration(text, json_number_value(json_object_get(answer, "uptime"))));
    print_object(totals, answer);
    (void)putchar('\n');
    print_requests(json_object_get(answer, "requests"));
    (void)putchar('\n');
    print_latency(answer);
    if (json_array_size(json_object_get(answer, "top")) > 0) {
        (void)putchar('\n');
        print_table(top_columns, json_object_get(answer, "top"));
    }
    json_decref(answer);
    return EXIT_GOOD;
}

/* Posts to one path, and prints `done` where the tracker did it. */
static enum exit_code post(struct ctl *ctl, const char *path, const char *key, const char *done, const char *not_done)
{
    json_t *answer = call_api(ctl, "POST", path, NULL);
    if (answer == NULL)
        return EXIT_FAILED;
    bool is_done = json_is_true(json_object_get(answer, key));
    if (ctl->wants_json)
        print_json(answer);
    else if (is_done)
        (void)puts(done);
    json_decref(answer);
    return is_done ? EXIT_GOOD : fail("%s", not_done);
}

static enum exit_code reload(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return post(ctl, "/api/v1/reload", "reloaded", "reloaded", "not reloaded");
}

static enum exit_code flush(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return post(ctl, "/api/v1/flush", "flushed", "flushed",
                "not all sinks have taken everything yet: see `privtrakctl deltas status`");
}

static enum exit_code snapshot(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return post(ctl, "/api/v1/snapshot", "snapshot", "snapshot written", "no snapshot written");
}

static enum exit_code shutdown_tracker(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return post(ctl, "/api/v1/shutdown", "stopping", "stopping", "not stopping");
}

const struct command commands_tracker[] = {
    {"stats", "", "show what the tracker does", 0, 0, stats},
    {"reload", "", "re-read tracker.yaml and the lists", 0, 0, reload},
    {"flush", "", "deliver all deltas to the sinks now", 0, 0, flush},
    {"snapshot", "", "write a snapshot of all sessions now", 0, 0, snapshot},
    {"shutdown", "", "stop the tracker gracefully", 0, 0, shutdown_tracker},
    {.name = NULL},
};
