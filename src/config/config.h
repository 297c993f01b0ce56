/*
 * config: tracker.yaml as a struct. Read once at start and once for each
 * reload; immutable from then on, so every thread may read it.
 */
#ifndef PRIVTRAK_CONFIG_CONFIG_H
#define PRIVTRAK_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"
#include "base/log.h"

struct rate {
    uint32_t count;
    uint32_t per_s; /* 1, 60, 3600 or 86400 */
};

struct listen_list {
    struct address *addresses;
    size_t count;
    bool by_default; /* not written by the operator: a missing family is no error */
};

struct string_list {
    char **strings;
    size_t count;
};

enum users_mode { USERS_REGISTERED, USERS_ANY };
enum client_mode { CLIENTS_OFF, CLIENTS_ALLOW, CLIENTS_DENY };
enum torrent_mode { TORRENTS_OPEN, TORRENTS_REGISTERED };
enum when_full { WHEN_FULL_REFUSE };
enum durability { DURABILITY_RELAXED, DURABILITY_STRICT };

struct config_tracker {
    uint32_t workers; /* `auto` is already the number of cores */
    char *state_dir;  /* absolute, or relative to the working directory */
    uint32_t announce_interval_s;
    uint32_t min_announce_interval_s; /* 0: never too early */
    uint32_t announce_jitter_s;
    uint32_t peer_lifetime_s;
    uint32_t tombstone_lifetime_s;
    uint32_t default_numwant;
    uint32_t max_numwant;
    uint32_t max_scrape;
};

struct config_http {
    struct listen_list listen;
    struct listen_list tls_listen;
    char *tls_certificate; /* "" where not set; else resolved against state_dir */
    char *tls_key;
    bool keepalive;
    uint32_t read_timeout_s;
    uint32_t idle_timeout_s;
    uint32_t max_connections;
    bool max_connections_by_default;
    uint32_t max_request_bytes;
    struct network *trusted_proxies;
    size_t trusted_proxy_count;
    char *real_ip_header;
    bool proxy_protocol;
};

struct config_udp {
    struct listen_list listen;
    uint32_t connection_lifetime_s;
    bool scrape;
};

struct config_middleware {
    enum users_mode users;
    struct rate identify_rate_limit;
    uint32_t max_users;
    enum client_mode client_mode;
    struct string_list client_prefixes;
    enum torrent_mode torrent_mode;
    uint32_t sessions_per_torrent;
    struct rate new_torrents_per_user;
    uint16_t *ports_denied;
    size_t port_denied_count;
    bool hide_user_from_self;
    uint64_t max_rate_bytes_per_s;
    uint32_t seed_time_gap_s;
};

struct config_database {
    char *url; /* "sqlite:PATH" already holds a path resolved against state_dir */
    uint32_t refresh_interval_s;
};

struct config_sink {
    char *type;            /* "database", "ndjson", "webhook" */
    char *path;            /* ndjson: resolved against state_dir; else "" */
    char *url;             /* webhook; else "" */
    uint64_t rotate_bytes; /* ndjson */
    uint32_t timeout_s;    /* webhook */
    uint32_t line;         /* of the file, for messages */
};

struct config_deltas {
    uint32_t batch_size;
    uint32_t flush_interval_s;
    uint32_t sync_interval_ms;
    uint64_t journal_max_bytes;
    enum when_full when_full;
    enum durability durability;
    struct config_sink *sinks;
    size_t sink_count;
    bool include_address;
};

struct config_admin {
    struct listen_list listen;
    char *socket;     /* resolved against state_dir */
    char *token_file; /* resolved against state_dir */
    bool metrics_need_token;
};

struct config_log {
    enum log_level level;
    enum log_format format;
    char *file; /* "" is stderr; else resolved against state_dir */
};

struct config_privileges {
    char *user; /* "": stay who we are */
    bool chroot;
};

struct config {
    char *file; /* the name it was read from, for messages */
    struct config_tracker tracker;
    struct config_http http;
    struct config_udp udp;
    struct config_middleware middleware;
    struct config_database database;
    struct config_deltas deltas;
    struct config_admin admin;
    struct config_log log;
    struct config_privileges privileges;
    uint32_t *lines; /* where each key stands in the file, for messages; private to config/ */
};

/* Called for each fault that reading finds, in the order of the file. */
typedef void config_fault_fn(void *context, const char *message);

/*
 * Reads and checks `file`. Every fault is told to `fault` as one line,
 * `FILE:LINE: KEY: found …, allowed …` (without KEY where the text is no YAML).
 * Returns the configuration, owned by the caller, or NULL where there was any
 * fault. Only the file itself is looked at, not the files that it names.
 */
struct config *config_read(const char *file, config_fault_fn *fault, void *context);

/* The same from memory, with `file` as the name for messages. */
struct config *config_parse(const char *file, const char *text, size_t length, config_fault_fn *fault, void *context);

/*
 * The same, and looks at the files that the configuration names too: certificate
 * and key readable and matching, state directory (or its parent) writable, sink
 * paths' folders there, the log file's too, the user to change to known. For
 * `-t`, the start and a reload.
 */
struct config *config_load(const char *file, config_fault_fn *fault, void *context);

/*
 * Says which settings of `next` cannot be taken over by a running tracker
 * (workers, state_dir, listen addresses, database url, sinks, privileges, …)
 * and differ from `now`. Returns 0 where a reload can go on, else -1 with the
 * first such key named.
 */
int config_check_reload(const struct config *now, const struct config *next, struct error *error);

/* Frees all of it; NULL is allowed. */
void config_free(struct config *config);

#endif
