/*
 * users: who may announce. Read by every worker on each announce, changed
 * rarely by the registry. Readers take no lock: they look up inside an RCU
 * read section (users_read_begin / users_read_end, once a batch), within which
 * every `struct user` that they got stays valid. A change makes a new version of
 * the record; the old one is freed when no reader can see it any more.
 *
 * A user keeps its index for as long as the process runs, whatever happens to
 * its passkey or row: sessions refer to users by index.
 */
#ifndef PRIVTRAK_STORAGE_USERS_H
#define PRIVTRAK_STORAGE_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tracker/announce.h"

#define USER_NONE UINT32_MAX

enum user_flags {
    USER_ENABLED = 1 << 0,
    USER_CAN_LEECH = 1 << 1,
    USER_HIDE_ADDRESS = 1 << 2,
    USER_GONE = 1 << 3, /* its row was deleted: its passkey is unknown, its sessions only wait to expire */
};

/* One version of a user: never written after it was made. */
struct user {
    int64_t id; /* the database's; 0: not there yet (identify: any) */
    uint8_t user_id[16];
    uint32_t index;
    uint32_t upload_percent;
    uint32_t download_percent;
    uint8_t flags;
    uint8_t passkey_length;
    char passkey[]; /* passkey_length bytes, no NUL */
};

/* What the registry knows of a user: a row of the table `users`. */
struct user_facts {
    int64_t id;
    const char *passkey; /* well-formed, 1 to PASSKEY_MAX bytes */
    bool enabled;
    bool can_leech;
    bool hide_address;
    uint32_t upload_percent;
    uint32_t download_percent;
};

struct users;

/* Returns NULL out of memory. */
struct users *users_new(void);
/* No reader may be left. */
void users_free(struct users *users);

/* Every thread that reads calls these at its start and its end; pairs may nest. */
void users_thread_register(void);
void users_thread_unregister(void);
void users_read_begin(void);
void users_read_end(void);

/* Reader: the user with that passkey; NULL where there is none (or it is gone). */
const struct user *users_find(struct users *users, const char *passkey, size_t length);

/*
 * Reader: the same in three steps over a batch, so that the misses of many overlap: hash, and fetch the table's
 * line; guess, and fetch the guessed record; look at it. A guess of NULL is certain.
 */
uint64_t users_hash(const struct users *users, const char *passkey, size_t length);
void users_prefetch_bucket(const struct users *users, uint64_t hash);
const struct user *users_guess(const struct users *users, uint64_t hash);
const struct user *users_find_hashed(const struct users *users, uint64_t hash, const struct user *guess,
                                     const char *passkey, size_t length);

/* Reader: by index (from a session); never NULL for an index that was given out. */
const struct user *users_at(struct users *users, uint32_t index);

/* Reader: the row id of a user by index; 0: none yet. Looks at no version. */
int64_t users_id_at(struct users *users, uint32_t index);

/* Any thread: whether the user may not announce at all: disabled, or gone. Looks at no version. */
bool users_is_refused(struct users *users, uint32_t index);

/*
 * Any thread: how many times that has become true of somebody, modulo 2^32. Who has looked at everything since a
 * count knows all that were refused up to it.
 */
uint32_t users_refusals(struct users *users);

/* By row id: the index, which stays; USER_NONE: nobody has it. For loading many sessions. */
uint32_t users_index_of_id(struct users *users, int64_t id);
/* The same of many, which costs less. */
void users_indexes_of_ids(struct users *users, const int64_t *ids, uint32_t *indexes, size_t count);

/* Reader, for admin and registry: by row id; slower. NULL: none. */
const struct user *users_find_id(struct users *users, int64_t id);

/* How many are known and not gone. */
uint32_t users_count(struct users *users);

/*
 * Writer (any thread; serialised inside): makes the row known or changes it. A
 * user is recognised by its id, or by its passkey where it had no id yet.
 * Returns 0, -ENOMEM, or -EEXIST where the passkey belongs to another user.
 */
int users_put(struct users *users, const struct user_facts *facts);

/* Writer: the row with that id is gone. */
void users_remove(struct users *users, int64_t id);

/*
 * Writer, for `identify: {users: any}`: the user with that passkey, made where it
 * is unknown, as long as fewer than `max` are known. `*made` says whether this
 * call made it. The result is valid in the caller's read section. NULL: full.
 */
const struct user *users_register(struct users *users, const char *passkey, size_t length, uint32_t max, bool *made);

/*
 * Writer, for a complete look at the table: every user with an id that no users_put
 * has touched since users_mark_all was called is removed by users_sweep.
 */
void users_mark_all(struct users *users);
void users_sweep(struct users *users);

/*
 * Any thread: counts one more new torrent of that user against `limit`, over
 * windows of limit_per_s seconds. Returns false where the limit is reached.
 */
bool users_count_new_torrent(struct users *users, uint32_t index, uint32_t limit, uint32_t limit_per_s, int64_t now_s);

/* How many indexes were given out: for walks with users_at. */
uint32_t users_indexes(struct users *users);

/* Bytes of memory in use. */
size_t users_memory(struct users *users);

/*
 * The 16-byte user id of a passkey: its own bytes where it is 32 hex digits, else up to
 * 16 characters padded with zeros, else the first 16 bytes of its SHA-256.
 */
void user_id_of_passkey(uint8_t user_id[static 16], const char *passkey, size_t length);

#endif
