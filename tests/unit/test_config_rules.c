/* Tests of what keys say about each other: contradictions, defaults that depend on others, and paths. */
#include "config_text.h"

Test(config_rules, peer_lifetime_must_exceed_interval_and_jitter)
{
    expect_fault("tracker: {peer_lifetime: 35m}",
                 "t.yaml:1: tracker.peer_lifetime: found 35m, allowed more than tracker.announce_interval + "
                 "tracker.announce_jitter, which is 35m");
    config_free(parse_good("tracker: {peer_lifetime: 2101s}"));
    expect_fault("tracker:\n  announce_jitter: 40m\nmiddleware: {privtrak: {seed_time_gap: 2h}}\n",
                 "t.yaml:2: tracker.peer_lifetime: found 70m (the default), allowed more than "
                 "tracker.announce_interval + tracker.announce_jitter, which is 70m");
    config_free(parse_good("tracker:\n  announce_jitter: 39m\n"));
}

Test(config_rules, seed_time_gap_must_reach_interval_and_jitter)
{
    expect_fault("middleware: {privtrak: {seed_time_gap: 2099s}}",
                 "t.yaml:1: middleware.privtrak.seed_time_gap: found 2099s, allowed at least "
                 "tracker.announce_interval + tracker.announce_jitter, which is 35m");
    config_free(parse_good("middleware: {privtrak: {seed_time_gap: 35m}}"));
}

Test(config_rules, one_key_may_contradict_two_others)
{
    struct told told;
    cr_expect_null(parse_as("t.yaml", "tracker:\n\n  announce_interval: 2h\n", &told));
    cr_assert_eq(told.count, 2);
    cr_expect_str_eq(told.lines[0], "t.yaml:3: tracker.peer_lifetime: found 70m (the default), allowed more than "
                                    "tracker.announce_interval + tracker.announce_jitter, which is 125m");
    cr_expect_str_eq(told.lines[1], "t.yaml:3: middleware.privtrak.seed_time_gap: found 75m (the default), allowed at "
                                    "least tracker.announce_interval + tracker.announce_jitter, which is 125m");
}

Test(config_rules, chroot_needs_a_user_who_stays_in_it)
{
    static const char reason[] =
        "t.yaml:1: privileges.chroot: found true, allowed only with a privileges.user other than "
        "root, who finds the way out";
    expect_fault("privileges: {chroot: true}", reason);
    expect_fault("privileges: {user: root, chroot: true}", reason);
    config_free(parse_good("privileges: {user: nobody, chroot: true}"));
}

Test(config_rules, min_announce_interval_is_at_most_announce_interval)
{
    expect_fault("tracker:\n  announce_interval: 10m\n  min_announce_interval: 11m\n",
                 "t.yaml:3: tracker.min_announce_interval: found 11m, allowed at most tracker.announce_interval, "
                 "which is 10m");
    config_free(parse_good("tracker: {announce_interval: 10m, min_announce_interval: 10m}"));
}

Test(config_rules, min_announce_interval_left_out_follows_a_lower_announce_interval)
{
    struct config *config = parse_good("tracker: {announce_interval: 10m}");
    cr_expect_eq(config->tracker.min_announce_interval_s, 600);
    config_free(config);
    config = parse_good("tracker: {announce_interval: 20m}");
    cr_expect_eq(config->tracker.min_announce_interval_s, 900);
    config_free(config);
}

Test(config_rules, tombstones_live_at_least_as_long_as_peers)
{
    expect_fault(
        "tracker: {tombstone_lifetime: 1h}",
        "t.yaml:1: tracker.tombstone_lifetime: found 60m, allowed at least tracker.peer_lifetime, which is 70m");
    config_free(parse_good("tracker: {tombstone_lifetime: 70m}"));
}

Test(config_rules, default_numwant_is_at_most_max_numwant)
{
    expect_fault("tracker: {default_numwant: 101}",
                 "t.yaml:1: tracker.default_numwant: found 101, allowed at most tracker.max_numwant, which is 100");
    expect_fault("tracker: {max_numwant: 49}", "t.yaml:1: tracker.default_numwant: found 50 (the default), allowed at "
                                               "most tracker.max_numwant, which is 49");
}

Test(config_rules, tls_listeners_need_certificate_and_key)
{
    expect_fault("http: {tls: {listen: ['0.0.0.0:443'], certificate: c}}",
                 "t.yaml:1: http.tls.key: found nothing, allowed a file: http.tls.listen needs it");
    expect_fault("http:\n  tls:\n    certificate: ''\n    listen: ['0.0.0.0:443']\n    key: k\n",
                 "t.yaml:3: http.tls.certificate: found nothing, allowed a file: http.tls.listen needs it");
    config_free(parse_good("http: {tls: {listen: ['0.0.0.0:443'], certificate: c, key: k}}"));
    config_free(parse_good("http: {tls: {certificate: c}}"));
}

Test(config_rules, proxy_protocol_needs_trusted_proxies)
{
    expect_fault("http:\n  proxy_protocol: true\n",
                 "t.yaml:2: http.proxy_protocol: found true, allowed only with http.trusted_proxies, which is empty");
    config_free(parse_good("http: {proxy_protocol: true, trusted_proxies: [127.0.0.1]}"));
}

Test(config_rules, listeners_on_tcp_do_not_share_an_address)
{
    expect_fault("admin: {listen: ['0.0.0.0:6969']}",
                 "t.yaml:1: admin.listen: found 0.0.0.0:6969, allowed an address that http.listen has not");
    expect_fault(
        "http: {listen: ['127.0.0.1:6970']}",
        "t.yaml:1: admin.listen: found 127.0.0.1:6970 (the default), allowed an address that http.listen has not");
    expect_fault("http: {tls: {listen: ['[::]:6969'], certificate: c, key: k}}",
                 "t.yaml:1: http.tls.listen: found [::]:6969, allowed an address that http.listen has not");
    config_free(parse_good("http: {listen: ['127.0.0.1:0']}\nadmin: {listen: ['127.0.0.1:0']}\n"));
}

Test(config_rules, nothing_is_concluded_from_a_value_that_is_wrong_itself)
{
    expect_fault_start("tracker: {announce_interval: 2, peer_lifetime: 1m}", "t.yaml:1: tracker.announce_interval: ");
    expect_fault_start("tracker: {default_numwant: 1001, max_numwant: 10}", "t.yaml:1: tracker.default_numwant: ");
    expect_fault_start("http: {proxy_protocol: true, trusted_proxies: [x]}", "t.yaml:1: http.trusted_proxies[0]: ");
    expect_fault_start("http: {proxy_protocol: true, trusted_proxies: 1}", "t.yaml:1: http.trusted_proxies: ");
    expect_fault_start("http: {tls: {listen: ['0.0.0.0:443'], certificate: [], key: k}}",
                       "t.yaml:1: http.tls.certificate: ");
    expect_fault_start("tracker: none\nmiddleware: {privtrak: {seed_time_gap: 1s}}", "t.yaml:1: tracker: ");
}

static void expect_paths(const char *file, const char *text, const char *state_dir, const char *socket, const char *url)
{
    struct told told;
    struct config *config = parse_as(file, text, &told);
    cr_assert_not_null(config, "%s", told.lines[0]);
    cr_expect_str_eq(config->tracker.state_dir, state_dir);
    cr_expect_str_eq(config->admin.socket, socket);
    cr_expect_str_eq(config->database.url, url);
    config_free(config);
}

Test(config_rules, state_dir_is_relative_to_the_file_and_other_paths_to_state_dir)
{
    expect_paths("tracker.yaml", "", "var", "var/admin.sock", "sqlite:var/privtrak.db");
    expect_paths("./tracker.yaml", "", "./var", "./var/admin.sock", "sqlite:./var/privtrak.db");
    expect_paths("/tracker.yaml", "", "/var", "/var/admin.sock", "sqlite:/var/privtrak.db");
    expect_paths("/etc/p/t.yaml", "", "/etc/p/var", "/etc/p/var/admin.sock", "sqlite:/etc/p/var/privtrak.db");
    expect_paths("/etc/p/t.yaml", "tracker: {state_dir: /srv/p/}\nadmin: {socket: run/s}\ndatabase: {url: 'sqlite:d'}",
                 "/srv/p/", "/srv/p/run/s", "sqlite:/srv/p/d");
    expect_paths("/etc/t.yaml", "tracker: {state_dir: ..}\nadmin: {socket: /run/s}\ndatabase: {url: 'sqlite:/d'}",
                 "/etc/..", "/run/s", "sqlite:/d");
    expect_paths("t.yaml", "database: {url: 'postgresql://h/d'}", "var", "var/admin.sock", "postgresql://h/d");
}

Test(config_rules, every_path_is_resolved_and_none_stays_none)
{
    struct told told;
    struct config *config = parse_as("/e/t.yaml",
                                     "http: {tls: {certificate: c.pem, key: /k.pem}}\n"
                                     "admin: {token_file: t}\n"
                                     "log: {file: l}\n"
                                     "deltas: {sinks: [{type: ndjson, path: d}, {type: database}]}\n",
                                     &told);
    cr_assert_not_null(config, "%s", told.lines[0]);
    cr_expect_str_eq(config->http.tls_certificate, "/e/var/c.pem");
    cr_expect_str_eq(config->http.tls_key, "/k.pem");
    cr_expect_str_eq(config->admin.token_file, "/e/var/t");
    cr_expect_str_eq(config->log.file, "/e/var/l");
    cr_expect_str_eq(config->deltas.sinks[0].path, "/e/var/d");
    cr_expect_str_eq(config->deltas.sinks[1].path, "");
    config_free(config);
    config = parse_as("/e/t.yaml", "", &told);
    cr_expect_str_eq(config->http.tls_certificate, "");
    cr_expect_str_eq(config->log.file, "");
    config_free(config);
}
