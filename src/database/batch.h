/*
 * batch: the deltas of one transaction, merged, so that each row is written once
 * however many deltas touch it. Rows stand sorted by key: two trackers that
 * write to one database then lock rows in the same order, and a B-tree is walked
 * from left to right.
 */
#ifndef PRIVTRAK_DATABASE_BATCH_H
#define PRIVTRAK_DATABASE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "deltas/delta.h"

/* A user or torrent that the deltas know by passkey or info hash only. */
struct batch_lookup {
    const struct delta *delta; /* the first that names it */
    bool registers;            /* a row is to be made where there is none */
    bool hide_address;
    int64_t id; /* out: 0 where there is no row */
};

struct batch_user {
    int64_t id;
    uint64_t uploaded;
    uint64_t downloaded;
    uint64_t raw_uploaded;
    uint64_t raw_downloaded;
    uint64_t quarantined;
};

struct batch_torrent {
    int64_t id;
    uint32_t seeders;
    uint32_t leechers;
    uint32_t snatches; /* made by this batch: set by the backend where the database agrees */
    uint64_t seq;      /* of the delta that the counts are from */
    bool is_there;     /* set by the backend where it asks */
};

struct batch_account {
    int64_t user_id;
    int64_t torrent_id;
    uint64_t uploaded;
    uint64_t downloaded;
    uint64_t raw_uploaded;
    uint64_t raw_downloaded;
    uint64_t seed_time;
    uint64_t leech_time;
    uint64_t left;
    uint32_t seeding;
    uint32_t active;
    int64_t first_announce;
    int64_t last_announce;
    int64_t snatched_at; /* 0: no snatch in this batch */
    bool is_there;       /* set by the backend: the row is in the table after it was written */
};

struct batch_session {
    int64_t user_id;
    int64_t torrent_id;
    const struct delta *delta; /* the last one: what the session is now */
    bool is_there;             /* set by the backend, as in an account */
};

struct batch {
    bool include_address;

    const struct delta *deltas;
    size_t count;
    struct batch_session *sessions; /* while merging: one a delta */

    struct batch_user *users;
    struct batch_torrent *torrents;
    struct batch_account *accounts;
    struct batch_lookup *user_lookups;
    struct batch_lookup *torrent_lookups;
    size_t user_count;
    size_t torrent_count;
    size_t account_count;
    size_t session_count;
    size_t user_lookup_count;
    size_t torrent_lookup_count;

    uint32_t *slots; /* hash table while the lookups are collected */
    size_t slot_count;
    size_t capacity; /* deltas that the arrays have room for */
};

void batch_clear(struct batch *batch); /* frees its memory */

/*
 * Takes the deltas and lists whom and what has to be looked up. Returns 0 or -ENOMEM.
 */
int batch_begin(struct batch *batch, const struct delta *deltas, size_t count);

/* Unix seconds of the announce that a delta is from: for an expiry, the last one. */
int64_t batch_announce_time(const struct delta *delta);

/*
 * Merges all, once the lookups have their ids; deltas whose user or torrent has no row fall away. Returns 0,
 * or -ERANGE with a reason where a sum is more than the database's integers hold.
 */
int batch_merge(struct batch *batch, struct error *error);

/* The rows as values, in the order in which the tables have them (after id, or user_id and torrent_id, the first). */
enum { BATCH_USER_VALUES = 6, BATCH_ACCOUNT_VALUES = 13, BATCH_TORRENT_VALUES = 4 };
void batch_user_values(const struct batch_user *user, int64_t values[static BATCH_USER_VALUES]);
void batch_account_values(const struct batch_account *account, int64_t values[static BATCH_ACCOUNT_VALUES]);
void batch_torrent_values(const struct batch_torrent *torrent, int64_t values[static BATCH_TORRENT_VALUES]);

/* A row of table `sessions`, but for the ids. */
struct batch_session_texts {
    char peer_id[2 * PEER_ID_BYTES + 1];
    char client[DELTA_CLIENT_BYTES];
    char ip4[ADDRESS_TEXT_BYTES]; /* "": NULL, and so is the port */
    char ip6[ADDRESS_TEXT_BYTES];
    int64_t port4;
    int64_t port6;
    int64_t counters[4]; /* uploaded, downloaded, left_bytes, last_announce */
};
void batch_session_peer_id(const struct batch_session *entry, char digits[static 2 * PEER_ID_BYTES + 1]);
void batch_session_describe(const struct batch *batch, const struct batch_session *entry,
                            struct batch_session_texts *texts);

/* NULL: the batch has no delta of it. */
struct batch_torrent *batch_find_torrent(const struct batch *batch, int64_t id);

#endif
