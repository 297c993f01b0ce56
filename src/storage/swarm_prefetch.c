/* swarm_prefetch: fetches the cache lines of a swarm that the stages are about to touch. */
#include "storage/swarm_layout.h"

void swarm_prefetch_body(const struct torrent *torrent)
{
    const char *body = (const char *)torrent_chunk(torrent);
    if (body == NULL)
        return;
    __builtin_prefetch(body);
    __builtin_prefetch(body + 64); /* the index of large ones; more users, or endpoints and records, of small ones */
    if (torrent->flags & TORRENT_IS_LARGE)
        return;
    uint32_t total = swarm_total(torrent);
    if (total > 16)
        __builtin_prefetch(body + 128);
    if (total > 32)
        __builtin_prefetch(body + 192);
}

void swarm_prefetch_segment(const struct torrent *torrent, uint32_t user)
{
    if (torrent->flags & TORRENT_IS_LARGE)
        index_prefetch_segment(&torrent_large(torrent)->index, swarm_user_hash(user));
}

void swarm_prefetch_line(const struct torrent *torrent, uint32_t user)
{
    if (torrent->flags & TORRENT_IS_LARGE)
        index_prefetch_line(&torrent_large(torrent)->index, swarm_user_hash(user));
}

uint32_t swarm_guess_slot(const struct torrent *torrent, uint32_t user)
{
    struct swarm_walk walk;
    if (!(torrent->flags & TORRENT_IS_LARGE))
        return swarm_first_of_user(torrent, user, &walk);
    uint32_t slot = index_first(&torrent_large(torrent)->index, swarm_user_hash(user), &walk.index);
    if (slot != SLOT_NONE)
        swarm_prefetch_chunk(torrent, slot);
    return slot;
}

void swarm_prefetch_session(const struct torrent *torrent, uint32_t slot)
{
    if (slot >= swarm_total(torrent)) /* unknown, or the swarm has become smaller since the guess */
        return;
    const char *session = (const char *)swarm_session(torrent, slot);
    __builtin_prefetch(session, 1);
    __builtin_prefetch(session + sizeof(struct session) - 1, 1);
    if (torrent->flags & TORRENT_IS_LARGE)
        __builtin_prefetch(&chunk_users(swarm_chunk(torrent, slot))[slot % CHUNK_SLOTS]);
    __builtin_prefetch(swarm_endpoint4(torrent, slot));
}
