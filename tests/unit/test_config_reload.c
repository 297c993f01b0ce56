/* Tests of which settings a running tracker takes over. */
#include "config_text.h"

static int check(const char *now_text, const char *next_text, struct error *error)
{
    struct config *now = parse_good(now_text);
    struct config *next = parse_good(next_text);
    error->text[0] = '\0';
    int result = config_check_reload(now, next, error);
    config_free(now);
    config_free(next);
    return result;
}

Test(config_reload, the_same_settings_are_taken)
{
    struct error error;
    cr_expect_eq(check("", "", &error), 0);
    cr_expect_eq(check("", "tracker: {state_dir: var}\nhttp: {listen: ['0.0.0.0:6969', '[::]:6969']}", &error), 0);
    cr_expect_eq(
        check("deltas: {sinks: [{type: ndjson, path: a}]}", "deltas:\n\n  sinks: [{path: a, type: ndjson}]", &error),
        0);
}

Test(config_reload, what_can_change_is_taken)
{
    static const char *const texts[] = {
        "tracker: {announce_interval: 20m, max_numwant: 60, announce_jitter: 1m, peer_lifetime: 80m}",
        "http: {keepalive: false, read_timeout: 1s, trusted_proxies: [127.0.0.1], real_ip_header: X-Real-IP}",
        "http: {tls: {certificate: a, key: b}}",
        "udp: {scrape: false}",
        "middleware: {identify: {users: any, rate_limit: 1/s}, limits: {ports_denied: [1, 2]}}",
        "middleware: {client_approval: {mode: allow, prefixes: [-TR]}, privtrak: {max_rate: 1MiB}}",
        "database: {refresh_interval: 1s}",
        "deltas: {batch_size: 1, flush_interval: 1s, include_address: false, journal: {sync_interval: 1s}}",
        "log: {level: debug, format: json, file: x}",
        "admin: {metrics_need_token: true}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct error error;
        cr_expect_eq(check("", texts[i], &error), 0, "%s: %s", texts[i], error.text);
    }
}

Test(config_reload, what_cannot_change_is_refused_by_name)
{
    static const char *const cases[][2] = {
        {"tracker: {workers: 200}", "tracker.workers"},
        {"tracker: {state_dir: elsewhere}", "tracker.state_dir"},
        {"http: {listen: []}", "http.listen"},
        {"http: {listen: ['0.0.0.0:6969', '[::]:6968']}", "http.listen"},
        {"http: {tls: {listen: ['0.0.0.0:1'], certificate: a, key: b}}", "http.tls.listen"},
        {"http: {max_connections: 10}", "http.max_connections"},
        {"udp: {listen: ['0.0.0.0:6969']}", "udp.listen"},
        {"udp: {connection_lifetime: 1s}", "udp.connection_lifetime"},
        {"database: {url: 'postgresql://h/d'}", "database.url"},
        {"deltas: {durability: strict}", "deltas.durability"},
        {"deltas: {sinks: []}", "deltas.sinks"},
        {"deltas: {sinks: [{type: ndjson, path: x}]}", "deltas.sinks"},
        {"admin: {listen: []}", "admin.listen"},
        {"admin: {socket: x}", "admin.socket"},
        {"admin: {token_file: x}", "admin.token_file"},
        {"privileges: {user: nobody}", "privileges.user"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error;
        char expected[200];
        cr_expect_eq(check("", cases[i][0], &error), -1, "%s", cases[i][0]);
        (void)snprintf(expected, sizeof expected,
                       "t.yaml:1: %s: found another value than the one in force, allowed only at a restart",
                       cases[i][1]);
        cr_expect_str_eq(error.text, expected);
    }
}

Test(config_reload, a_sink_with_another_setting_is_another_sink)
{
    struct error error;
    cr_expect_eq(check("deltas: {sinks: [{type: ndjson, path: x}]}",
                       "deltas: {sinks: [{type: ndjson, path: x, rotate: 1MiB}]}", &error),
                 -1);
    cr_expect_eq(check("deltas: {sinks: [{type: webhook, url: 'http://a'}]}",
                       "deltas: {sinks: [{type: webhook, url: 'http://b'}]}", &error),
                 -1);
}
