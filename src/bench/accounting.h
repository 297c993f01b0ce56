/*
 * accounting: what a tracker ought to credit, told from outside. It is a model of the
 * accounting rules of its own, sharing nothing with the tracker but their text,
 * so that the two can be held against each other. Single-threaded.
 *
 * An announce is given to it when its reply has arrived, once.
 */
#ifndef PRIVTRAK_BENCH_ACCOUNTING_H
#define PRIVTRAK_BENCH_ACCOUNTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tracker/announce.h"

/* The tracker's settings that the rules depend on. */
struct accounting_rules {
    uint64_t max_rate_bytes_per_s;
    int64_t seed_time_gap_ms;
    int64_t peer_lifetime_ms;
    int64_t tombstone_lifetime_ms;
};

/* The defaults of tracker.yaml. */
extern const struct accounting_rules accounting_default_rules;

struct accounted_announce {
    uint32_t user; /* the caller's numbers for passkey and info hash */
    uint32_t torrent;
    uint8_t peer_id[PEER_ID_BYTES];
    uint32_t key; /* 0: none */
    uint16_t port;
    uint8_t event; /* enum announce_event */
    uint64_t uploaded;
    uint64_t downloaded;
    uint64_t left;
    int64_t time_ms;
};

/* What one announce brought, percentages aside. */
struct accounted_credit {
    uint64_t raw_uploaded;
    uint64_t raw_downloaded;
    uint64_t uploaded; /* raw less what the rate limit cut off */
    uint64_t downloaded;
    bool is_first; /* the session was unknown */
    bool is_reset; /* the client restarted with lower counters */
    bool is_late;  /* a late copy: it changed nothing */
    bool is_clamped;
    bool is_duplicate; /* the same client under another peer id */
    bool is_snatch;
    bool is_stored; /* false: stopped from an unknown session */
};

/* The account of a user on a torrent. */
struct account {
    uint32_t user;
    uint32_t torrent;
    uint64_t uploaded;
    uint64_t downloaded;
    uint64_t raw_uploaded;
    uint64_t raw_downloaded;
    int64_t seed_time_ms;
    int64_t leech_time_ms;
    uint64_t credits; /* announces that brought bytes: each may have been rounded down by less than a byte */
    bool snatched;

    int64_t seeded_until_ms; /* time up to here is in seed_time_ms already */
    int64_t leeched_until_ms;
    uint32_t first_session; /* the newest in front; 0: none, else index + 1 */
};

struct accounting;

/* NULL out of memory. */
struct accounting *accounting_new(const struct accounting_rules *rules);
void accounting_free(struct accounting *accounting);

/* Returns 0, or -ENOMEM (then nothing has changed). `credit` may be NULL. */
int accounting_apply(struct accounting *accounting, const struct accounted_announce *announce,
                     struct accounted_credit *credit);

size_t accounting_count(const struct accounting *accounting);
const struct account *accounting_at(const struct accounting *accounting, size_t index);

/* NULL: no such account. */
const struct account *accounting_find(const struct accounting *accounting, uint32_t user, uint32_t torrent);

#endif
