/*
 * snapshot: the sessions of a store as bytes, taken in slices beside the running work, and back.
 *
 * A slice shows each torrent as it is at that moment. What changes while the slices are taken
 * may be in or not: the journal has a delta for it, and is replayed from the snapshot's beginning. What
 * does not change is in for certain: a large swarm is walked by its index's buckets, between which sessions do
 * not move when slots do.
 */
#ifndef PRIVTRAK_STORAGE_SNAPSHOT_H
#define PRIVTRAK_STORAGE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "storage/swarm_load.h"
#include "storage/torrents.h"
#include "storage/users.h"

/* How far the walk over a store has come; zero-initialised at its start. */
struct snapshot_walk {
    uint32_t torrent;
    uint32_t bucket;       /* of a large swarm that was left in the middle */
    uint32_t buckets_seen; /* it had at least so many: fewer means that it was made anew since */
    uint64_t sessions;     /* written so far */
};

/*
 * Appends about `budget` more sessions to `bytes`. Returns true where the walk is through. Runs on the store's own
 * thread, in an RCU read section.
 */
bool snapshot_write(struct snapshot_walk *walk, struct torrents *torrents, struct users *users, uint32_t budget,
                    struct bytes *bytes);

/* A torrent as a snapshot tells it. */
struct saved_torrent {
    uint8_t info_hash[INFO_HASH_BYTES];
    int64_t id;           /* 0: not known then */
    int64_t deleted_at_s; /* 0: was not deleted */
};

/* A user likewise: by its row, or by its passkey where that is not known. */
struct saved_user {
    int64_t id; /* 0: by the passkey */
    uint8_t passkey_length;
    char passkey[PASSKEY_MAX];
};

/*
 * What is read back. A torrent is told of, then its sessions (without the index of the user, which is told beside), and the seed
 * marks of users with several. Each returns 0, or negative to stop.
 */
struct snapshot_reader {
    void *context;
    int (*torrent)(void *context, const struct saved_torrent *torrent);
    int (*session)(void *context, const struct saved_user *user, const struct saved_session *session);
    int (*mark)(void *context, const struct saved_user *user, uint32_t seed_s, uint32_t leech_s);
};

/* Reads what snapshot_write wrote. Returns 0, -EBADMSG where it is damaged, or what the reader returned. */
int snapshot_read(const uint8_t *data, size_t size, const struct snapshot_reader *reader);

#endif
