/* schema: see schema.h. The order is the file's. */
#include "config/schema.h"

#include <string.h>

#include "config/config.h"
#include "config/values.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define TIB (UINT64_C(1) << 40)
#define DAY_S UINT64_C(86400)
#define LONGEST_S (3650 * DAY_S) /* ten years: sums of two still fit in 32 bits, signed too */
#define COUNT_MAX UINT64_C(1000000000)

/* In the order of the enums in config.h and log.h. */
static const char *const users_words[] = {"registered", "any", NULL};
static const char *const client_words[] = {"off", "allow", "deny", NULL};
static const char *const torrent_words[] = {"open", "registered", NULL};
static const char *const durability_words[] = {"relaxed", "strict", NULL};
static const char *const when_full_words[] = {"refuse", NULL};
static const char *const level_words[] = {"error", "warning", "info", "debug", NULL};
static const char *const format_words[] = {"text", "json", NULL};
static const char *const sink_words[] = {"database", "ndjson", "webhook", NULL};

#define SECTION(path) .name = (path)
#define KEY(path, member, kind, value) \
    .name = (path), .type = &type_##kind, .offset = offsetof(struct config, member), .standard = (value)
#define SINK_KEY(path, member, kind, value) \
    .name = (path), .type = &type_##kind, .offset = offsetof(struct config_sink, member), .standard = (value)
#define RANGE(low, high) .min = (low), .max = (high)
#define DURATION RANGE(1, LONGEST_S)
#define COUNTED(member) .count_offset = offsetof(struct config, member)
#define FIXED .fixed = true

const struct key schema[] = {
    {SECTION("tracker")},
    {KEY("tracker.workers", tracker.workers, workers, "auto"), RANGE(1, 256), FIXED},
    {KEY("tracker.state_dir", tracker.state_dir, file, "var"), FIXED},
    {KEY("tracker.announce_interval", tracker.announce_interval_s, seconds, "30m"), DURATION},
    {KEY("tracker.min_announce_interval", tracker.min_announce_interval_s, seconds, "15m"), DURATION, .zero = true},
    {KEY("tracker.announce_jitter", tracker.announce_jitter_s, seconds, "5m"), DURATION, .zero = true},
    {KEY("tracker.peer_lifetime", tracker.peer_lifetime_s, seconds, "70m"), DURATION},
    {KEY("tracker.tombstone_lifetime", tracker.tombstone_lifetime_s, seconds, "21d"), DURATION},
    {KEY("tracker.default_numwant", tracker.default_numwant, count, "50"), RANGE(0, 1000)},
    {KEY("tracker.max_numwant", tracker.max_numwant, count, "100"), RANGE(1, 1000)},
    {KEY("tracker.max_scrape", tracker.max_scrape, count, "74"), RANGE(1, 1000)},

    {SECTION("http")},
    {KEY("http.listen", http.listen, listen, "[\"0.0.0.0:6969\", \"[::]:6969\"]"), FIXED},
    {SECTION("http.tls")},
    {KEY("http.tls.listen", http.tls_listen, listen, "[]"), FIXED},
    {KEY("http.tls.certificate", http.tls_certificate, text, "")},
    {KEY("http.tls.key", http.tls_key, text, "")},
    {KEY("http.keepalive", http.keepalive, boolean, "true")},
    {KEY("http.read_timeout", http.read_timeout_s, seconds, "5s"), DURATION},
    {KEY("http.idle_timeout", http.idle_timeout_s, seconds, "30s"), DURATION},
    {KEY("http.max_connections", http.max_connections, count, "65536"), RANGE(1, 1000000), FIXED},
    {KEY("http.max_request", http.max_request_bytes, small_size, "8KiB"), RANGE(KIB, MIB)},
    {KEY("http.trusted_proxies", http.trusted_proxies, networks, "[]"), COUNTED(http.trusted_proxy_count)},
    {KEY("http.real_ip_header", http.real_ip_header, header, "X-Forwarded-For")},
    {KEY("http.proxy_protocol", http.proxy_protocol, boolean, "false")},

    {SECTION("udp")},
    {KEY("udp.listen", udp.listen, listen, "[\"0.0.0.0:6969\", \"[::]:6969\"]"), FIXED},
    {KEY("udp.connection_lifetime", udp.connection_lifetime_s, seconds, "120s"), DURATION, FIXED},
    {KEY("udp.scrape", udp.scrape, boolean, "true")},

    {SECTION("middleware")},
    {SECTION("middleware.identify")},
    {KEY("middleware.identify.users", middleware.users, choice, "registered"), .words = users_words},
    {KEY("middleware.identify.rate_limit", middleware.identify_rate_limit, rate, "20/m"), RANGE(1, COUNT_MAX)},
    {KEY("middleware.identify.max_users", middleware.max_users, count, "10000000"), RANGE(1, 2000000000)},
    {SECTION("middleware.client_approval")},
    {KEY("middleware.client_approval.mode", middleware.client_mode, choice, "off"), .words = client_words},
    {KEY("middleware.client_approval.prefixes", middleware.client_prefixes, prefixes, "[]")},
    {SECTION("middleware.torrent_approval")},
    {KEY("middleware.torrent_approval.mode", middleware.torrent_mode, choice, "open"), .words = torrent_words},
    {SECTION("middleware.limits")},
    {KEY("middleware.limits.sessions_per_torrent", middleware.sessions_per_torrent, count, "3"), RANGE(1, 65535)},
    {KEY("middleware.limits.new_torrents_per_user", middleware.new_torrents_per_user, rate, "1000/d"),
     RANGE(1, COUNT_MAX)},
    {KEY("middleware.limits.ports_denied", middleware.ports_denied, ports, "[0]"),
     COUNTED(middleware.port_denied_count)},
    {KEY("middleware.limits.hide_user_from_self", middleware.hide_user_from_self, boolean, "true")},
    {SECTION("middleware.privtrak")},
    {KEY("middleware.privtrak.max_rate", middleware.max_rate_bytes_per_s, size, "1GiB"), RANGE(1, TIB)},
    {KEY("middleware.privtrak.seed_time_gap", middleware.seed_time_gap_s, seconds, "75m"), DURATION},

    {SECTION("database")},
    {KEY("database.url", database.url, database_url, "sqlite:privtrak.db"), FIXED},
    {KEY("database.refresh_interval", database.refresh_interval_s, seconds, "30s"), DURATION},

    {SECTION("deltas")},
    {KEY("deltas.batch_size", deltas.batch_size, count, "1024"), RANGE(1, 1000000)},
    {KEY("deltas.flush_interval", deltas.flush_interval_s, seconds, "3s"), DURATION},
    {SECTION("deltas.journal")},
    {KEY("deltas.journal.sync_interval", deltas.sync_interval_ms, milliseconds, "200ms"), RANGE(1, 1000 * DAY_S)},
    {KEY("deltas.journal.max_size", deltas.journal_max_bytes, size, "1GiB"), RANGE(KIB, 1024 * TIB)},
    {KEY("deltas.journal.when_full", deltas.when_full, choice, "refuse"), .words = when_full_words},
    {KEY("deltas.durability", deltas.durability, choice, "relaxed"), .words = durability_words, FIXED},
    {KEY("deltas.sinks", deltas.sinks, sinks, "[{type: database}]"), COUNTED(deltas.sink_count), FIXED},
    {SINK_KEY("deltas.sinks[].type", type, word, NULL), .words = sink_words},
    {SINK_KEY("deltas.sinks[].path", path, file, NULL)},
    {SINK_KEY("deltas.sinks[].rotate", rotate_bytes, size, "100MiB"), RANGE(KIB, 1024 * TIB)},
    {SINK_KEY("deltas.sinks[].url", url, web_url, NULL)},
    {SINK_KEY("deltas.sinks[].timeout", timeout_s, seconds, "10s"), RANGE(1, DAY_S)},
    {KEY("deltas.include_address", deltas.include_address, boolean, "true")},

    {SECTION("admin")},
    {KEY("admin.listen", admin.listen, listen, "[\"127.0.0.1:6970\"]"), FIXED},
    {KEY("admin.socket", admin.socket, file, "admin.sock"), FIXED},
    {KEY("admin.token_file", admin.token_file, file, "admin.token"), FIXED},
    {KEY("admin.metrics_need_token", admin.metrics_need_token, boolean, "false")},

    {SECTION("log")},
    {KEY("log.level", log.level, choice, "info"), .words = level_words},
    {KEY("log.format", log.format, choice, "text"), .words = format_words},
    {KEY("log.file", log.file, text, "")},

    {SECTION("privileges")},
    {KEY("privileges.user", privileges.user, text, ""), FIXED},
    {KEY("privileges.chroot", privileges.chroot, boolean, "false"), FIXED},
};

const size_t schema_size = sizeof schema / sizeof *schema;
_Static_assert(sizeof schema / sizeof *schema <= SCHEMA_LIMIT, "arrays with a place for each key are too small");

const struct key *schema_find(const char *name)
{
    for (size_t i = 0; i < schema_size; i++) {
        if (strcmp(schema[i].name, name) == 0)
            return &schema[i];
    }
    return NULL;
}

bool schema_is_in(const struct key *key, const char *section, const char **own)
{
    size_t length = strlen(section);
    const char *name = key->name;
    if (length > 0) {
        if (strncmp(name, section, length) != 0 || name[length] != '.')
            return false;
        name += length + 1;
    }
    *own = name;
    return strchr(name, '.') == NULL;
}
