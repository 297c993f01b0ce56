/* swarm_index: finds the sessions of a user in a large swarm, by an index of slots. */
#include "storage/swarm_layout.h"

static uint64_t hash_of_slot(const void *owner, uint32_t slot)
{
    return swarm_user_hash(swarm_user(owner, slot));
}

int swarm_index_add(struct torrent *torrent, uint32_t slot)
{
    return index_add(&torrent_large(torrent)->index, hash_of_slot(torrent, slot), slot, hash_of_slot, torrent);
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

int swarm_index_build(struct torrents *torrents, struct torrent *torrent)
{
    index_init(&torrent_large(torrent)->index, torrents->index_memory);
    for (uint32_t slot = 0; slot < swarm_total(torrent); slot++)
        if (swarm_index_add(torrent, slot) != 0) {
            index_clear(&torrent_large(torrent)->index);
            return -1;
        }
    return 0;
}
