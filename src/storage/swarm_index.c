/* swarm_index: finds the sessions of a user in a large swarm, by an index of slots. */
#include "storage/swarm_layout.h"

static uint64_t hash_of_slot(const void *owner, uint32_t slot)
{
    return swarm_user_hash(swarm_user(owner, slot));
}

int swarm_index_add(struct torrent *torrent, uint32_t user, uint32_t slot)
{
    struct index *index = &torrent_large(torrent)->index;
    /* Who has a slot that a newcomer gets goes on to the end. */
    if (index_admit(index, swarm_total(torrent)) != 0)
        return -1;
    return index_add(index, swarm_user_hash(user), slot, hash_of_slot, torrent);
}

void swarm_index_remove(struct torrent *torrent, uint32_t slot)
{
    index_remove(&torrent_large(torrent)->index, hash_of_slot(torrent, slot), slot);
}

void swarm_index_swap(struct torrent *torrent, uint32_t a, uint32_t b)
{
    struct index *index = &torrent_large(torrent)->index;
    index_renumber(index, hash_of_slot(torrent, a), a, b);
    /* Where both hash alike this finds the entry that was just renumbered, and all is as before: as it should be. */
    index_renumber(index, hash_of_slot(torrent, b), b, a);
}

void swarm_index_shift(struct torrent *torrent, uint32_t from, uint32_t to)
{
    index_renumber(&torrent_large(torrent)->index, hash_of_slot(torrent, from), from, to);
}

int swarm_index_build(struct torrents *torrents, struct torrent *torrent)
{
    index_init(&torrent_large(torrent)->index, torrents->index_memory);
    for (uint32_t slot = 0; slot < swarm_total(torrent); slot++)
        if (swarm_index_add(torrent, swarm_user(torrent, slot), slot) != 0) {
            index_clear(&torrent_large(torrent)->index);
            return -1;
        }
    return 0;
}
