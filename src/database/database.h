/*
 * database: the tables of users, torrents, accounts and sessions, in SQLite,
 * PostgreSQL or MariaDB. A handle belongs to one thread at a time; the sink, the registry and
 * the admin side each open their own. A handle connects when it is first
 * used, makes or migrates the schema then, and connects anew after a failure, so
 * a database that is down is no reason for a handle not to be there.
 *
 * Rows come in structs of fixed size: a text that is longer in the table is cut
 * at a character's border when it is read (what a patch writes is checked).
 */
#ifndef PRIVTRAK_DATABASE_DATABASE_H
#define PRIVTRAK_DATABASE_DATABASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "deltas/delta.h"
#include "storage/multipliers.h"
#include "tracker/announce.h"
#include "tracker/tracker.h"

enum database_result {
    DATABASE_OK = 0,
    DATABASE_NOT_FOUND,   /* no such row */
    DATABASE_CONFLICT,    /* passkey, info hash or prefix is already there */
    DATABASE_INVALID,     /* a value that the table cannot take; the text says which */
    DATABASE_UNAVAILABLE, /* none of it was done, for a reason that may pass: connection, lock, full disk */
    DATABASE_STOPPED,     /* the caller's own function said so, or database_interrupt */
};

enum {
    DATABASE_NAME_BYTES = 512, /* of users and torrents, with the NUL */
    DATABASE_REASON_BYTES = 512,
    DATABASE_RECORD_BYTES = 2048,
    DATABASE_PASSKEY_BYTES = PASSKEY_MAX + 1,
    DATABASE_PERCENT_MAX = 1000000,
    DATABASE_LIST_MAX = 1000,
};

struct database;

/*
 * Makes a handle for "sqlite:PATH", "postgresql://…", "postgres://…" or "mariadb://…". Nothing is opened yet.
 * Returns NULL with a reason where the URL names no kind of database that is built in.
 */
struct database *database_open(const char *url, struct error *error);
void database_close(struct database *database);

/* Opens or connects now, and makes or migrates the schema. Every other function does so by itself where needed. */
enum database_result database_connect(struct database *database, struct error *error);

/*
 * Of the last failure: the database answered, and waiting will not change its answer (a wrong password, no such database,
 * a schema of a newer version). False where it is only away: nobody answers, it is starting, it is locked.
 */
bool database_is_refused(const struct database *database);

/* Any thread: what the handle is doing ends soon, with DATABASE_STOPPED or DATABASE_UNAVAILABLE; so does all later work. */
void database_interrupt(struct database *database);

/* A change that the handle made, and what the site has already committed by now, shows in later reads. "sqlite", "postgresql" or "mariadb". */
const char *database_kind(const struct database *database);

/* Users. */

struct user_row {
    int64_t id;
    char name[DATABASE_NAME_BYTES];
    char passkey[DATABASE_PASSKEY_BYTES];
    bool enabled;
    bool can_leech;
    bool hide_address;
    uint32_t upload_percent;
    uint32_t download_percent;
    uint64_t uploaded;
    uint64_t downloaded;
    uint64_t raw_uploaded;
    uint64_t raw_downloaded;
    uint64_t quarantined;
    int64_t created_at;
    int64_t updated_at;
};

/* The columns that the site (or the operator) may write; the others belong to the tracker. */
enum user_fields {
    USER_FIELD_NAME = 1 << 0,
    USER_FIELD_PASSKEY = 1 << 1,
    USER_FIELD_ENABLED = 1 << 2,
    USER_FIELD_CAN_LEECH = 1 << 3,
    USER_FIELD_HIDE_ADDRESS = 1 << 4,
    USER_FIELD_UPLOAD_PERCENT = 1 << 5,
    USER_FIELD_DOWNLOAD_PERCENT = 1 << 6,
};

/*
 * Makes a user of the `fields` given in `row`, the rest at the table's defaults; without
 * USER_FIELD_PASSKEY a random one of 32 hex digits. Fills in the whole row.
 */
enum database_result database_user_create(struct database *database, unsigned fields, struct user_row *row,
                                          struct error *error);
enum database_result database_user_get(struct database *database, int64_t id, struct user_row *row,
                                       struct error *error);
enum database_result database_user_by_passkey(struct database *database, const char *passkey, struct user_row *row,
                                              struct error *error);
/* Writes the `fields` of `row`, then fills in the whole row as it is now. */
enum database_result database_user_update(struct database *database, int64_t id, unsigned fields, struct user_row *row,
                                          struct error *error);
/* A new random passkey; the row as it is now. */
enum database_result database_user_reset_passkey(struct database *database, int64_t id, struct user_row *row,
                                                 struct error *error);
/* The row goes, and with it the user's rows in user_torrents and sessions. */
enum database_result database_user_delete(struct database *database, int64_t id, struct error *error);

/*
 * Up to `limit` users with an id above `after`, by id. `search` (NULL: all) keeps those
 * whose name holds it, in any case of ASCII letters, or whose passkey or id it is.
 */
enum database_result database_user_list(struct database *database, int64_t after, size_t limit, const char *search,
                                        struct user_row *rows, size_t *count, struct error *error);

/* Where the table of users is empty and no owner was ever made: makes the user `owner`. */
enum database_result database_owner_create(struct database *database, struct user_row *row, bool *made,
                                           struct error *error);

/* Torrents. */

struct torrent_row {
    int64_t id;
    uint8_t info_hash[INFO_HASH_BYTES];
    char name[DATABASE_NAME_BYTES];
    uint64_t size;
    enum torrent_state state;
    char reason[DATABASE_REASON_BYTES];
    uint32_t upload_percent;
    uint32_t download_percent;
    uint32_t seeders;
    uint32_t leechers;
    uint32_t snatches;
    int64_t created_at;
    int64_t updated_at;
};

enum torrent_fields {
    TORRENT_FIELD_NAME = 1 << 0,
    TORRENT_FIELD_SIZE = 1 << 1,
    TORRENT_FIELD_STATE = 1 << 2,
    TORRENT_FIELD_REASON = 1 << 3,
    TORRENT_FIELD_UPLOAD_PERCENT = 1 << 4,
    TORRENT_FIELD_DOWNLOAD_PERCENT = 1 << 5,
};

/* "approved", "pending", "deleted". */
const char *torrent_state_name(enum torrent_state state);
bool torrent_state_parse(enum torrent_state *state, const char *name);

/* Makes a torrent of row->info_hash and the `fields` given; fills in the whole row. */
enum database_result database_torrent_create(struct database *database, unsigned fields, struct torrent_row *row,
                                             struct error *error);
enum database_result database_torrent_get(struct database *database, const uint8_t *info_hash, struct torrent_row *row,
                                          struct error *error);
enum database_result database_torrent_get_id(struct database *database, int64_t id, struct torrent_row *row,
                                             struct error *error);
/* To delete a torrent with a reason: state and reason; the row stays. */
enum database_result database_torrent_update(struct database *database, const uint8_t *info_hash, unsigned fields,
                                             struct torrent_row *row, struct error *error);
/* The row itself goes, and with it the torrent's rows in user_torrents and sessions. */
enum database_result database_torrent_delete(struct database *database, const uint8_t *info_hash, struct error *error);
/* As for users; `search`: part of the name, or the info hash (40 digits) or id. */
enum database_result database_torrent_list(struct database *database, int64_t after, size_t limit, const char *search,
                                           struct torrent_row *rows, size_t *count, struct error *error);

/* Clients. */

struct client_row {
    char prefix[PEER_ID_BYTES + 1]; /* 1 to 20 printable ASCII characters */
    char name[DATABASE_NAME_BYTES]; /* for people; "" where there is none */
    bool allowed;
};

/* Makes or changes; `*made` tells which. */
enum database_result database_client_put(struct database *database, const struct client_row *row, bool *made,
                                         struct error *error);
enum database_result database_client_get(struct database *database, const char *prefix, struct client_row *row,
                                         struct error *error);
enum database_result database_client_delete(struct database *database, const char *prefix, struct error *error);
/* Up to `limit` with a prefix above `after` (NULL or "": from the first), in byte order. */
enum database_result database_client_list(struct database *database, const char *after, size_t limit,
                                          struct client_row *rows, size_t *count, struct error *error);

/* Site-wide percentages: keys of the table `privtrak`, 100, 100 and no end where not there. */
enum database_result database_multipliers_get(struct database *database, struct multipliers *multipliers,
                                              struct error *error);
enum database_result database_multipliers_set(struct database *database, const struct multipliers *multipliers,
                                              struct error *error);

/* Accounts and sessions, for reading. */

struct user_torrent_row {
    int64_t user_id;
    int64_t torrent_id;
    char passkey[DATABASE_PASSKEY_BYTES];
    uint8_t info_hash[INFO_HASH_BYTES];
    uint64_t uploaded;
    uint64_t downloaded;
    uint64_t raw_uploaded;
    uint64_t raw_downloaded;
    int64_t seed_time;
    int64_t leech_time;
    uint64_t left_bytes;
    uint32_t seeding;
    uint32_t active;
    int64_t snatched_at; /* 0: not snatched */
    int64_t first_announce;
    int64_t last_announce;
};

/* Rows with both keys above (after_user, after_torrent), by key; of one user or one torrent where given (0: any). */
struct user_torrent_filter {
    int64_t user_id;
    int64_t torrent_id;
    int64_t after_user;
    int64_t after_torrent;
};

enum database_result database_user_torrent_list(struct database *database, const struct user_torrent_filter *filter,
                                                size_t limit, struct user_torrent_row *rows, size_t *count,
                                                struct error *error);

/* Every row, in one consistent read, by key. A function that returns other than 0 ends it with DATABASE_STOPPED. */
typedef int database_user_torrent_fn(void *context, const struct user_torrent_row *row);
enum database_result database_user_torrent_each(struct database *database, database_user_torrent_fn *each,
                                                void *context, struct error *error);

struct parked_row {
    int64_t id; /* for `after` */
    uint64_t seq;
    char reason[DATABASE_REASON_BYTES];
    char record[DATABASE_RECORD_BYTES]; /* JSON, as in the ndjson sink */
};

enum database_result database_parked_list(struct database *database, int64_t after, size_t limit,
                                          struct parked_row *rows, size_t *count, struct error *error);

/* For the registry: the lists, and what changes in them. */

struct database_reader {
    void *context;
    /* First: `whole` says that all rows follow, else only what changed since the last read that ended well. */
    int (*begin)(void *context, bool whole);
    /* A row as it is now. Rows that cannot be used (a malformed passkey or hash) have been logged and left out. */
    int (*user)(void *context, const struct user_row *row);
    int (*user_gone)(void *context, int64_t id);
    int (*torrent)(void *context, const struct torrent_row *row);
    int (*torrent_gone)(void *context, const uint8_t *info_hash);
    /* All of them, where any changed. */
    int (*clients)(void *context, const struct client_row *rows, size_t count);
    int (*multipliers)(void *context, const struct multipliers *multipliers);
};

/*
 * Reads what changed since this handle's last read that ended in DATABASE_OK; everything the
 * first time, or where the log of changes no longer reaches back so far. One consistent read.
 * With another result than DATABASE_OK what was told so far is not to be used, and is told again next time.
 */
enum database_result database_read(struct database *database, const struct database_reader *reader,
                                   struct error *error);

/* The next database_read reads everything. */
void database_forget(struct database *database);

/* Removes old entries of the log of changes; cheap where there are none. */
enum database_result database_prune(struct database *database, struct error *error);

/*
 * A descriptor that becomes readable when the site changed something (LISTEN); -1 where
 * the kind has none or is not connected. database_notified takes what arrived: true where a read is worth it.
 */
int database_notify_fd(struct database *database);
bool database_notified(struct database *database);

/* For the sink. `instance` is the tracker's name: 1 to 64 letters and digits. */

/* The last seq that was applied for the instance; 0: none. */
enum database_result database_applied(struct database *database, const char *instance, uint64_t *seq,
                                      struct error *error);

struct database_batch {
    const char *instance;
    const struct delta *deltas; /* by rising seq; those at or below the number in the database are passed over */
    size_t count;
    bool include_address;
};

/*
 * Applies the batch and its number in one transaction that is on disk when it returns. DATABASE_INVALID
 * where it cannot be taken for what is in it; DATABASE_UNAVAILABLE: nothing was applied, or, where
 * the connection broke in the commit, nobody knows: database_applied tells.
 */
enum database_result database_apply(struct database *database, const struct database_batch *batch, struct error *error);

/* Puts the one delta of the batch into parked_deltas with its reason, and moves the number past it. */
enum database_result database_park(struct database *database, const struct database_batch *batch, const char *reason,
                                   struct error *error);

#endif
