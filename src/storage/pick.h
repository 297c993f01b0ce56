/*
 * pick: which peers of a swarm a client gets (section 5). The choice is a window at a
 * random place of the packed endpoints, seeders' and leechers' each: in a large swarm
 * everybody is handed out about equally often, nobody twice, and it is a copy. Who asks
 * over both families gets a peer of both by one of them, and by the other as well only
 * where everybody has been given and there is room left.
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
    bool hides_user; /* more than PICK_HIDDEN_MAX: all sessions of hidden_user are hidden */
    uint32_t hidden_user;
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

/*
 * For fetching ahead what pick_peers will read of the IPv4 endpoints: what that will be, as the swarm is now; and in
 * two steps where the chunks are, and the endpoints. The swarm may change between them.
 */
struct pick_run {
    uint32_t slot;
    uint32_t count;
};
struct pick_plan {
    uint32_t count;
    struct pick_run runs[4];
};
void pick_make_plan(const struct torrent *torrent, uint64_t dice, uint32_t want, bool wants_seeders,
                    struct pick_plan *plan);
void pick_prefetch_chunks(const struct torrent *torrent, const struct pick_plan *plan);
void pick_prefetch_endpoints(const struct torrent *torrent, const struct pick_plan *plan);

/* xorshift: fast and good enough for choosing peers. */
uint64_t pick_random(uint64_t *state);

#endif
