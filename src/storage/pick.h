/*
 * pick: which peers of a swarm a client gets (section 5). The choice is a window at a
 * random place of the packed endpoints, seeders' and leechers' each: in a large swarm
 * everybody is handed out about equally often, nobody twice, and it is a copy.
 */
#ifndef PRIVTRAK_STORAGE_PICK_H
#define PRIVTRAK_STORAGE_PICK_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/swarm.h"

enum { PICK_HIDDEN_MAX = 64 };

struct pick {
    /* What is wanted. */
    const struct torrents *torrents;
    const struct torrent *torrent;
    uint32_t want;      /* for both families together */
    bool wants_seeders; /* false: leechers only */
    bool wants4;
    bool wants6;
    uint32_t hidden[PICK_HIDDEN_MAX]; /* slots never to be given: the asking one, the user's others */
    uint32_t hidden_count;
    uint64_t dice; /* random bits: where the walks over the lists begin */

    /* Where it goes: packed endpoints, or, where `entries` is not NULL, whole entries with peer ids. */
    uint8_t *peers4;
    uint8_t *peers6;
    struct peer_entry *entries;

    /* What was given. */
    uint32_t count4;
    uint32_t count6;
};

void pick_peers(struct pick *pick);

/* Fetches what pick_peers will read of the IPv4 endpoints, in two steps: where the chunks are, and the endpoints. */
struct pick_view {
    const struct torrent *torrent;
    uint64_t dice;
    uint32_t want;
    bool wants_seeders;
};
void pick_prefetch_chunks(const struct pick_view *view);
void pick_prefetch_endpoints(const struct pick_view *view);

/* xorshift: fast and good enough for choosing peers. */
uint64_t pick_random(uint64_t *state);

#endif
