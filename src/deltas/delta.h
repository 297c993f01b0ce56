/*
 * delta: what one accepted announce changed. It holds what is credited, and what
 * the session, the user's row on the torrent and the torrent are after it, so
 * that applying a delta twice over a state that already has it can be told
 * (by seq), and replay brings back every baseline.
 *
 * Made by a worker (privtrak stage, expiry), carried by the worker's ring to
 * the ledger thread, which gives it its seq and writes it into the journal; the
 * sinks read it from there.
 */
#ifndef PRIVTRAK_DELTAS_DELTA_H
#define PRIVTRAK_DELTAS_DELTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "tracker/announce.h"

enum delta_flags {
    DELTA_SNATCHED = 1 << 0,          /* this one made the user's snatch of the torrent */
    DELTA_REGISTERS_TORRENT = 1 << 1, /* the torrent is new: the database has to get a row for it */
    DELTA_REGISTERS_USER = 1 << 2,    /* likewise the user (identify: any) */
    DELTA_FIRST = 1 << 3,             /* the session was unknown before */
    DELTA_RESET = 1 << 4,             /* the client restarted: the lower counters became the baseline */
    DELTA_CLAMPED = 1 << 5,           /* something was quarantined */
    DELTA_DUPLICATE = 1 << 6,         /* rule 4: the same client under another peer id */
    DELTA_HIDE_ADDRESS = 1 << 7,      /* the user's address must not leave the tracker */
};

/* The session after the announce: what a restart has to know of it. */
struct delta_session {
    uint64_t uploaded; /* the baseline: counters as the client said them */
    uint64_t downloaded;
    uint64_t left;
    int64_t last_announce_ms;
    uint32_t key;
    uint16_t flags;          /* storage/swarm.h, enum session_flags: opaque outside storage */
    struct address address4; /* family 0: none */
    struct address address6;
};

struct delta {
    uint64_t seq; /* 1, 2, 3, …; given by the ledger thread, never to two records */
    int64_t time_ms;
    int64_t user_id;    /* 0: not yet known to the database; then `passkey` says who */
    int64_t torrent_id; /* 0: not yet known; then the info hash says which */
    uint8_t user[16];
    uint8_t info_hash[INFO_HASH_BYTES];
    uint8_t peer_id[PEER_ID_BYTES];
    uint8_t event; /* enum announce_event */
    uint16_t flags;

    uint64_t uploaded; /* raw differences */
    uint64_t downloaded;
    uint64_t credited_uploaded;
    uint64_t credited_downloaded;
    uint64_t quarantined;
    uint64_t left; /* as the client said it */
    uint32_t seed_time_s;
    uint32_t leech_time_s;
    struct address source; /* of this announce; family 0 for expired */

    struct delta_session session;

    bool active;           /* the session is in the swarm after this */
    uint16_t user_seeding; /* the user's sessions in this swarm after this: seeding, and all */
    uint16_t user_active;
    uint64_t user_left; /* the smallest `left` of those in the swarm, else the last one said */
    uint32_t seeders;   /* of the torrent, after this */
    uint32_t leechers;

    uint8_t passkey_length; /* 0 but where user_id is 0 */
    char passkey[PASSKEY_MAX];
};

/* "none", "started", "completed", "stopped", "expired"; paused is told as "none". */
const char *delta_event_name(uint8_t event);

/* The client as its peer id names itself: the first 8 bytes, what is not printable ASCII as '?', and a NUL. */
enum { DELTA_CLIENT_BYTES = 9 };
void delta_client(char text[static DELTA_CLIENT_BYTES], const uint8_t *peer_id);

/*
 * Writes the delta as one JSON object, no newline, and a NUL. ip, port and peer_id are left out where
 * `include_address` is false or the user's address must not leave the tracker. Returns the length without the
 * NUL; 0 where `size` was too small. DELTA_JSON_BYTES always suffice.
 */
enum { DELTA_JSON_BYTES = 1024 };
size_t delta_json(const struct delta *delta, bool include_address, char *buffer, size_t size);

#endif
