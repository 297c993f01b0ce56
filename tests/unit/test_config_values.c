/* Tests of the configuration's types: what each takes, what it refuses, and in which words. */
#include "config_text.h"

#include <sched.h>

Test(config_values, workers_are_auto_or_1_to_256)
{
    struct config *config = parse_good("tracker: {workers: 1}");
    cr_expect_eq(config->tracker.workers, 1);
    config_free(config);
    config = parse_good("tracker: {workers: 256}");
    cr_expect_eq(config->tracker.workers, 256);
    config_free(config);
    static const char *const bad[] = {"0", "257", "-1", "1.5", "two", "0x10", "1 2", "99999999999999999999", "1s"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[100];
        char fault[200];
        (void)snprintf(text, sizeof text, "tracker:\n  workers: %s\n", bad[i]);
        (void)snprintf(fault, sizeof fault,
                       "t.yaml:2: tracker.workers: found %s, allowed auto, or a whole number from 1 to 256", bad[i]);
        expect_fault(text, fault);
    }
}

Test(config_values, workers_auto_counts_the_processors_this_process_may_use)
{
    cpu_set_t all;
    cpu_set_t one;
    cr_assert_eq(sched_getaffinity(0, sizeof all, &all), 0);
    struct config *config = parse_good("tracker: {workers: auto}");
    cr_expect_eq(config->tracker.workers, (uint32_t)CPU_COUNT(&all));
    config_free(config);

    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    }
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    config = parse_good("");
    cr_expect_eq(config->tracker.workers, 1);
    config_free(config);
}

Test(config_values, durations_take_whole_numbers_with_each_unit)
{
    static const struct {
        const char *text;
        uint32_t seconds;
    } good[] = {
        {"1s", 1},   {"1000ms", 1}, {"90s", 90}, {"2m", 120},   {"1h", 3600}, {"1d", 86400}, {"3650d", 315360000},
        {"'7s'", 7}, {"\"7s\"", 7}, {"007s", 7}, {"5000ms", 5},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "http: {idle_timeout: %s}", good[i].text);
        struct config *config = parse_good(text);
        cr_expect_eq(config->http.idle_timeout_s, good[i].seconds, "%s", text);
        config_free(config);
    }
}

Test(config_values, durations_refuse_all_else)
{
    static const char *const bad[] = {
        "30",
        "s",
        "1.5h",
        "-1s",
        "+1s",
        "1 s",
        "1S",
        "1sec",
        "0s",
        "999ms",
        "1500ms",
        "3651d",
        "1w",
        "1m30s",
        "1e3s",
        "0x1s",
        "18446744073709551616s",
        "999999999999999999d",
        "9223372036854775807d",
        "true",
        "[1s]",
        "{a: 1s}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "http:\n\n  idle_timeout: %s\n", bad[i]);
        expect_fault_start(text, "t.yaml:3: http.idle_timeout: found ");
    }
    expect_fault("http: {idle_timeout: 30}", "t.yaml:1: http.idle_timeout: found 30, allowed a whole number of seconds "
                                             "with a unit (s, m, h, d), from 1s to 3650d");
}

Test(config_values, zero_is_a_duration_only_where_the_key_says_so)
{
    struct config *config = parse_good("tracker: {min_announce_interval: 0s, announce_jitter: 0m}");
    cr_expect_eq(config->tracker.min_announce_interval_s, 0);
    cr_expect_eq(config->tracker.announce_jitter_s, 0);
    config_free(config);
    expect_fault("tracker: {announce_jitter: 0}",
                 "t.yaml:1: tracker.announce_jitter: found 0, allowed 0s or a whole number of seconds with a unit "
                 "(s, m, h, d), from 1s to 3650d");
    static const char *const keys[] = {
        "tracker: {announce_interval: 0s}",
        "tracker: {peer_lifetime: 0s}",
        "tracker: {tombstone_lifetime: 0s}",
        "http: {read_timeout: 0s}",
        "udp: {connection_lifetime: 0s}",
        "database: {refresh_interval: 0s}",
        "middleware: {privtrak: {seed_time_gap: 0s}}",
        "deltas: {flush_interval: 0s}",
        "deltas: {journal: {sync_interval: 0ms}}",
        "deltas: {sinks: [{type: webhook, url: 'http://h/', timeout: 0s}]}",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        expect_fault_start(keys[i], "t.yaml:1: ");
}

Test(config_values, sync_interval_goes_down_to_a_millisecond)
{
    struct config *config = parse_good("deltas: {journal: {sync_interval: 1ms}}");
    cr_expect_eq(config->deltas.sync_interval_ms, 1);
    config_free(config);
    config = parse_good("deltas: {journal: {sync_interval: 2s}}");
    cr_expect_eq(config->deltas.sync_interval_ms, 2000);
    config_free(config);
    expect_fault("deltas: {journal: {sync_interval: 0ms}}",
                 "t.yaml:1: deltas.journal.sync_interval: found 0ms, allowed a whole number with a unit "
                 "(ms, s, m, h, d), from 1ms to 1d");
}

Test(config_values, sizes_always_have_a_unit)
{
    struct config *config = parse_good("http: {max_request: 1024B}\n"
                                       "middleware: {privtrak: {max_rate: 3MiB}}\n"
                                       "deltas: {journal: {max_size: 2TiB}}\n");
    cr_expect_eq(config->http.max_request_bytes, 1024);
    cr_expect_eq(config->middleware.max_rate_bytes_per_s, 3 * 1048576);
    cr_expect_eq(config->deltas.journal_max_bytes, UINT64_C(2) << 40);
    config_free(config);
    static const char *const bad[] = {"8192",    "8K",   "8KB",  "8kib",  "8 KiB",  "1MB",         "1023B",
                                      "1025KiB", "2MiB", "0KiB", "-8KiB", "8.5KiB", "16777216TiB", "KiB"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[100];
        char fault[200];
        (void)snprintf(text, sizeof text, "http: {max_request: %s}", bad[i]);
        (void)snprintf(fault, sizeof fault,
                       "t.yaml:1: http.max_request: found %s, allowed a whole number with a unit "
                       "(B, KiB, MiB, GiB, TiB), from 1KiB to 1MiB",
                       bad[i]);
        expect_fault(text, fault);
    }
}

Test(config_values, rates_are_a_count_a_unit_of_time)
{
    static const struct {
        const char *text;
        struct rate rate;
    } good[] = {{"1/s", {1, 1}}, {"20/m", {20, 60}}, {"5/h", {5, 3600}}, {"1000000000/d", {1000000000, 86400}}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "middleware: {identify: {rate_limit: %s}}", good[i].text);
        struct config *config = parse_good(text);
        cr_expect_eq(config->middleware.identify_rate_limit.count, good[i].rate.count, "%s", text);
        cr_expect_eq(config->middleware.identify_rate_limit.per_s, good[i].rate.per_s, "%s", text);
        config_free(config);
    }
    static const char *const bad[] = {"20",   "/m",    "20/",    "20/w",         "0/m",
                                      "-1/m", "20 /m", "20/min", "1000000001/s", "m/20"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "middleware: {limits: {new_torrents_per_user: %s}}", bad[i]);
        expect_fault_start(text, "t.yaml:1: middleware.limits.new_torrents_per_user: found ");
    }
    expect_fault("middleware: {identify: {rate_limit: 20}}",
                 "t.yaml:1: middleware.identify.rate_limit: found 20, allowed COUNT/s, COUNT/m, COUNT/h or COUNT/d, "
                 "with a COUNT from 1 to 1000000000");
}

Test(config_values, counts_keep_to_their_ranges)
{
    static const struct {
        const char *format;
        const char *key;
        uint64_t low;
        uint64_t high;
    } keys[] = {
        {"tracker: {max_numwant: %lld, default_numwant: 0}", "tracker.max_numwant", 1, 1000},
        {"tracker: {default_numwant: %lld, max_numwant: 1000}", "tracker.default_numwant", 0, 1000},
        {"tracker: {max_scrape: %lld}", "tracker.max_scrape", 1, 1000},
        {"http: {max_connections: %lld}", "http.max_connections", 1, 1000000},
        {"deltas: {batch_size: %lld}", "deltas.batch_size", 1, 1000000},
        {"middleware: {identify: {max_users: %lld}}", "middleware.identify.max_users", 1, 2000000000},
        {"middleware: {limits: {sessions_per_torrent: %lld}}", "middleware.limits.sessions_per_torrent", 1, 65535},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const long long good[] = {(long long)keys[i].low, (long long)keys[i].high};
        const long long bad[] = {(long long)keys[i].low - 1, (long long)keys[i].high + 1, 4294967297};
        char text[200];
        for (size_t j = 0; j < 2; j++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            (void)snprintf(text, sizeof text, keys[i].format, good[j]);
            config_free(parse_good(text));
        }
        for (size_t j = 0; j < 3; j++) {
            char fault[200];
            (void)snprintf(text, sizeof text, keys[i].format, bad[j]);
#pragma GCC diagnostic pop
            (void)snprintf(fault, sizeof fault, "t.yaml:1: %s: found %lld, allowed a whole number from %llu to %llu",
                           keys[i].key, bad[j], (unsigned long long)keys[i].low, (unsigned long long)keys[i].high);
            expect_fault(text, fault);
        }
    }
}

Test(config_values, booleans_are_true_or_false_and_nothing_else)
{
    struct config *config = parse_good("http: {keepalive: false}\nudp: {scrape: true}\n");
    cr_expect_not(config->http.keepalive);
    cr_expect(config->udp.scrape);
    config_free(config);
    static const char *const bad[] = {"yes", "no", "on", "off", "True", "TRUE", "1", "0", "\"\"", "[]", "truely"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "admin: {metrics_need_token: %s}", bad[i]);
        expect_fault_start(text, "t.yaml:1: admin.metrics_need_token: found ");
    }
    expect_fault("http: {keepalive: yes}", "t.yaml:1: http.keepalive: found yes, allowed true or false");
}

Test(config_values, a_number_or_boolean_in_quotes_is_a_text)
{
    expect_fault("tracker: {max_numwant: '60'}",
                 "t.yaml:1: tracker.max_numwant: found 60, allowed a whole number from 1 to 1000, without quotes");
    expect_fault("tracker: {workers: \"4\"}",
                 "t.yaml:1: tracker.workers: found 4, allowed auto, or a whole number from 1 to 256, without quotes");
    expect_fault("http: {keepalive: \"true\"}",
                 "t.yaml:1: http.keepalive: found true, allowed true or false, without quotes");
    expect_fault(
        "middleware: {limits: {ports_denied: [0, \"25\"]}}",
        "t.yaml:1: middleware.limits.ports_denied[1]: found 25, allowed a port from 0 to 65535, without quotes");
    config_free(parse_good("tracker: {workers: 'auto', announce_interval: '20m'}\n"
                           "http: {max_request: '4KiB'}\nmiddleware: {client_approval: {mode: 'off'}}"));
}

Test(config_values, a_number_or_boolean_without_quotes_is_no_text)
{
    expect_fault("tracker: {state_dir: 5}",
                 "t.yaml:1: tracker.state_dir: found 5, allowed a path; in quotes it would be one");
    expect_fault("log: {file: true}",
                 "t.yaml:1: log.file: found true, allowed a text, \"\" for none; in quotes it would be one");
    config_free(parse_good("tracker: {state_dir: '5'}\nlog: {file: 5.log}"));
}

Test(config_values, words_are_those_of_the_key)
{
    struct config *config = parse_good("middleware:\n"
                                       "  identify: {users: any}\n"
                                       "  client_approval: {mode: deny, prefixes: [-qB46, '-TR']}\n"
                                       "  torrent_approval: {mode: registered}\n"
                                       "deltas: {durability: strict, journal: {when_full: refuse}}\n"
                                       "log: {level: debug, format: json}\n");
    cr_expect_eq(config->middleware.users, USERS_ANY);
    cr_expect_eq(config->middleware.client_mode, CLIENTS_DENY);
    cr_expect_eq(config->middleware.client_prefixes.count, 2);
    cr_expect_str_eq(config->middleware.client_prefixes.strings[0], "-qB46");
    cr_expect_str_eq(config->middleware.client_prefixes.strings[1], "-TR");
    cr_expect_eq(config->middleware.torrent_mode, TORRENTS_REGISTERED);
    cr_expect_eq(config->deltas.durability, DURABILITY_STRICT);
    cr_expect_eq(config->deltas.when_full, WHEN_FULL_REFUSE);
    cr_expect_eq(config->log.level, LOG_LEVEL_DEBUG);
    cr_expect_eq(config->log.format, LOG_FORMAT_JSON);
    config_free(config);
    expect_fault("middleware: {client_approval: {mode: Off}}",
                 "t.yaml:1: middleware.client_approval.mode: found Off, allowed off, allow or deny");
    expect_fault("deltas: {journal: {when_full: drop}}",
                 "t.yaml:1: deltas.journal.when_full: found drop, allowed refuse");
    expect_fault("log: {level: warn}", "t.yaml:1: log.level: found warn, allowed error, warning, info or debug");
}

Test(config_values, off_is_a_word_whatever_yaml_thinks_of_it)
{
    struct config *config = parse_good("middleware:\n  client_approval:\n    mode: off\n");
    cr_expect_eq(config->middleware.client_mode, CLIENTS_OFF);
    config_free(config);
}

Test(config_values, listen_takes_numeric_addresses_with_ports)
{
    struct config *config = parse_good("http:\n  listen:\n    - 127.0.0.1:80\n    - \"[2001:db8::1]:65535\"\n"
                                       "    - '0.0.0.0:0'\n    - 0.0.0.0:0\nudp: {listen: []}\n");
    const struct listen_list *list = &config->http.listen;
    cr_assert_eq(list->count, 4);
    cr_expect_eq(list->addresses[0].family, 4);
    cr_expect_eq(list->addresses[0].port, 80);
    cr_expect_eq(list->addresses[1].family, 6);
    cr_expect_eq(list->addresses[1].port, 65535);
    cr_expect_eq(list->addresses[2].port, 0);
    cr_expect_not(list->by_default);
    cr_expect_eq(config->udp.listen.count, 0);
    cr_expect_not(config->udp.listen.by_default);
    cr_expect(config->admin.listen.by_default);
    config_free(config);
    static const char *const bad[] = {"localhost:80", "0.0.0.0",    "':80'",    "'*:80'",      "0.0.0.0:65536",
                                      "0.0.0.0:-1",   "'0.0.0.0:'", "'::1:80'", "'[::]'",      "'[::]80'",
                                      "1.2.3:80",     "80",         "'[::1'",   "1.2.3.4.5:1", "''",
                                      "[0.0.0.0:80]", "~"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "udp:\n  listen:\n    - '0.0.0.0:1'\n    - %s\n", bad[i]);
        expect_fault_start(text, "t.yaml:4: udp.listen[1]: found ");
    }
    expect_fault("udp: {listen: '0.0.0.0:1'}",
                 "t.yaml:1: udp.listen: found 0.0.0.0:1, allowed a list, [] for an empty one");
    expect_fault("udp:\n  listen:\n    - 0.0.0.0:1\n    - 0.0.0.0:1\n",
                 "t.yaml:4: udp.listen[1]: found 0.0.0.0:1, allowed each address once");
}

Test(config_values, networks_are_addresses_with_or_without_a_prefix)
{
    struct config *config = parse_good("http: {trusted_proxies: [10.0.0.0/8, 192.0.2.1, '2001:db8::/32', '::1']}");
    cr_assert_eq(config->http.trusted_proxy_count, 4);
    cr_expect_eq(config->http.trusted_proxies[0].prefix, 8);
    cr_expect_eq(config->http.trusted_proxies[1].prefix, 32);
    cr_expect_eq(config->http.trusted_proxies[2].prefix, 32);
    cr_expect_eq(config->http.trusted_proxies[3].prefix, 128);
    config_free(config);
    static const char *const bad[] = {"10.0.0.0/33", "10.0.0/8", "'::/129'", "host", "10.0.0.0/", "/8", "10.0.0.0/x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "http: {trusted_proxies: [%s]}", bad[i]);
        expect_fault_start(text, "t.yaml:1: http.trusted_proxies[0]: found ");
    }
}

Test(config_values, ports_denied_are_ports)
{
    struct config *config = parse_good("middleware: {limits: {ports_denied: [0, 22, 65535]}}");
    cr_assert_eq(config->middleware.port_denied_count, 3);
    cr_expect_eq(config->middleware.ports_denied[2], 65535);
    config_free(config);
    static const char *const bad[] = {"65536", "-1", "x", "1.0", "''", "~", "[1]", "18446744073709551617"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "middleware: {limits: {ports_denied: [1, %s]}}", bad[i]);
        expect_fault_start(text, "t.yaml:1: middleware.limits.ports_denied[1]: found ");
    }
    expect_fault("middleware: {limits: {ports_denied: [65536]}}",
                 "t.yaml:1: middleware.limits.ports_denied[0]: found 65536, allowed a port from 0 to 65535");
}

Test(config_values, client_prefixes_fit_in_a_peer_id)
{
    static const char *const bad[] = {"''", "aaaaaaaaaaaaaaaaaaaaa", "'a b'", "\"a\\x01\"", "\xc3\xa9", "[a]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "middleware: {client_approval: {prefixes: [%s]}}", bad[i]);
        expect_fault_start(text, "t.yaml:1: middleware.client_approval.prefixes[0]: found ");
    }
    config_free(parse_good("middleware: {client_approval: {prefixes: [aaaaaaaaaaaaaaaaaaaa]}}"));
}

Test(config_values, real_ip_header_is_the_name_of_a_header)
{
    struct config *config = parse_good("http: {real_ip_header: X-Real-IP}");
    cr_expect_str_eq(config->http.real_ip_header, "X-Real-IP");
    config_free(config);
    static const char *const bad[] = {"''", "'X Real'", "'X:'", "[]", "~", "\"X\\n\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "http: {real_ip_header: %s}", bad[i]);
        expect_fault_start(text, "t.yaml:1: http.real_ip_header: found ");
    }
}

Test(config_values, database_urls_are_known_by_their_scheme)
{
    struct config *config = parse_good("database: {url: 'postgresql://u:p@h:5432/d?sslmode=require'}");
    cr_expect_str_eq(config->database.url, "postgresql://u:p@h:5432/d?sslmode=require");
    config_free(config);
    config = parse_good("database: {url: 'mariadb://u:p@h:3306/d?ssl-mode=required'}");
    cr_expect_str_eq(config->database.url, "mariadb://u:p@h:3306/d?ssl-mode=required");
    config_free(config);
    static const char *const bad[] = {"''",          "'sqlite:'",      "mysql://h/d",
                                      "privtrak.db", "postgres://h/d", "postgresql:h"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "database: {url: %s}", bad[i]);
        expect_fault_start(text, "t.yaml:1: database.url: found ");
    }
}

Test(config_values, passwords_in_urls_are_not_told)
{
    static const char *const texts[] = {"database: {url: 'postgres://user:secret@host/db'}",
                                        "database: {url: 'mysql://user:secret@host/db'}",
                                        "database: {url: 'mysql://host/db?password=secret'}",
                                        "deltas: {sinks: [{type: webhook, url: 'ftp://user:secret@host/'}]}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct told told;
        cr_expect_null(parse_as("t.yaml", texts[i], &told));
        cr_assert_eq(told.count, 1);
        cr_expect_null(strstr(told.lines[0], "secret"), "%s", told.lines[0]);
        cr_expect_not_null(strstr(told.lines[0], ":..., allowed"), "%s", told.lines[0]);
    }
}

Test(config_values, sinks_take_the_keys_of_their_type)
{
    struct config *config = parse_good("deltas:\n"
                                       "  sinks:\n"
                                       "    - {type: database}\n"
                                       "    - {type: ndjson, path: d.ndjson, rotate: 1MiB}\n"
                                       "    - path: other.ndjson\n"
                                       "      type: ndjson\n"
                                       "    - {type: webhook, url: 'https://[::1]:8080/d', timeout: 3s}\n");
    const struct config_sink *sinks = config->deltas.sinks;
    cr_assert_eq(config->deltas.sink_count, 4);
    cr_expect_str_eq(sinks[0].type, "database");
    cr_expect_str_eq(sinks[0].path, "");
    cr_expect_str_eq(sinks[0].url, "");
    cr_expect_str_eq(sinks[1].path, "var/d.ndjson");
    cr_expect_eq(sinks[1].rotate_bytes, 1048576);
    cr_expect_str_eq(sinks[2].path, "var/other.ndjson");
    cr_expect_eq(sinks[2].rotate_bytes, 100 * 1048576);
    cr_expect_eq(sinks[2].timeout_s, 10);
    cr_expect_eq(sinks[2].line, 5);
    cr_expect_str_eq(sinks[3].url, "https://[::1]:8080/d");
    cr_expect_eq(sinks[3].timeout_s, 3);
    config_free(config);
    config = parse_good("deltas: {sinks: []}");
    cr_expect_eq(config->deltas.sink_count, 0);
    config_free(config);
}

Test(config_values, sinks_without_what_they_need_are_refused)
{
    static const char *const cases[][2] = {
        {"[{type: ndjson}]", "deltas.sinks[0].path: found nothing, allowed a path: type ndjson needs it"},
        {"[{type: ndjson, path: ''}]", "deltas.sinks[0].path: found \"\", allowed a path"},
        {"[{type: webhook}]", "deltas.sinks[0].url: found nothing, allowed a url: type webhook needs it"},
        {"[{type: webhook, url: x}]", "deltas.sinks[0].url: found x, allowed http://HOST/PATH or https://HOST/PATH"},
        {"[{type: webhook, url: 'http://'}]",
         "deltas.sinks[0].url: found http://, allowed http://HOST/PATH or https://HOST/PATH"},
        {"[{type: database}, {path: x}]", "deltas.sinks[1].type: found nothing, allowed database, ndjson or webhook"},
        {"[{type: kafka}]", "deltas.sinks[0].type: found kafka, allowed database, ndjson or webhook"},
        {"[{type: database, path: x}]",
         "deltas.sinks[0].path: found with type database, allowed only with type ndjson"},
        {"[{type: ndjson, path: x, timeout: 1s}]",
         "deltas.sinks[0].timeout: found with type ndjson, allowed only with type webhook"},
        {"[{type: database}, {type: database}]", "deltas.sinks[1].type: found database a second time, allowed once"},
        {"[{type: ndjson, path: x}, {type: ndjson, path: x}]",
         "deltas.sinks[1].path: found the path of another sink, allowed one of its own"},
        {"[{type: webhook, url: 'http://h'}, {type: webhook, url: 'http://h'}]",
         "deltas.sinks[1].url: found the url of another sink, allowed one of its own"},
        {"[database]", "deltas.sinks[0]: found database, allowed a sink, such as {type: database}"},
        {"[{}]", "deltas.sinks[0].type: found nothing, allowed database, ndjson or webhook"},
        {"{type: database}", "deltas.sinks: found a section, allowed a list, [] for an empty one"},
        {"[{type: database, typ: x}]",
         "deltas.sinks[0].typ: found an unknown key, allowed type, path, rotate, url or timeout"},
        {"[{type: database, type: database}]",
         "deltas.sinks[0].type: found a second time, allowed once (line 1 has it)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        char fault[200];
        (void)snprintf(text, sizeof text, "deltas: {sinks: %s}", cases[i][0]);
        (void)snprintf(fault, sizeof fault, "t.yaml:1: %s", cases[i][1]);
        expect_fault(text, fault);
    }
}

Test(config_values, nothing_is_no_value)
{
    static const char *const nothing[] = {"", "~", "null", "NULL", "Null"};
    static const char *const keys[] = {"tracker:\n  workers: ", "tracker:\n  state_dir: ", "tracker:\n  max_scrape: ",
                                       "http:\n  listen: ",     "http:\n  keepalive: ",    "http:\n  read_timeout: ",
                                       "log:\n  file: ",        "log:\n  level: ",         "deltas:\n  sinks: "};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        for (size_t j = 0; j < sizeof nothing / sizeof *nothing; j++) {
            char text[100];
            struct told told;
            (void)snprintf(text, sizeof text, "%s%s\n", keys[i], nothing[j]);
            cr_expect_null(parse_as("t.yaml", text, &told), "%s", text);
            cr_expect_eq(told.count, 1);
            cr_expect_not_null(strstr(told.lines[0], "t.yaml:2: "), "%s", told.lines[0]);
            cr_expect_not_null(strstr(told.lines[0], ": found nothing, allowed "), "%s", told.lines[0]);
        }
    }
    struct config *config = parse_good("log: {file: 'null'}");
    cr_expect_str_eq(config->log.file, "var/null");
    config_free(config);
}

/* `count` times `element`, between `start` and `end`. */
static const char *repeat(const char *start, const char *element, size_t count, const char *end)
{
    static char text[20000];
    size_t used = (size_t)snprintf(text, sizeof text, "%s", start);
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s", element);
    (void)snprintf(text + used, sizeof text - used, "%s", end);
    return text;
}

Test(config_values, lists_of_listeners_and_sinks_are_bounded)
{
    config_free(parse_good(repeat("udp: {listen: [", "'0.0.0.0:0',", 256, "]}")));
    expect_fault(repeat("udp: {listen: [", "'0.0.0.0:0',", 257, "]}"),
                 "t.yaml:1: udp.listen: found a list, allowed at most 256 addresses");
    expect_fault(repeat("deltas: {sinks: [", "{type: database},", 65, "]}"),
                 "t.yaml:1: deltas.sinks: found a list, allowed at most 64 sinks");
}
