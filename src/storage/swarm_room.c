/*
 * swarm_room: the memory of a swarm, from one chunk of a few slots to a directory of full ones, and back. Slots
 * keep their numbers.
 */
#include <string.h>

#include "storage/swarm_layout.h"

const uint8_t chunk_capacities[] = {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, CHUNK_SLOTS};
const unsigned chunk_classes = sizeof chunk_capacities;

enum {
    TAIL_STEP = 8, /* slots by which the last chunk of a large swarm grows */
    DIRECTORY_AT_START = 8,
    TIDY_CHUNKS = 64, /* of a large swarm that are looked at in one go */
};

_Static_assert(sizeof(struct session) == 48, "a session takes 48 bytes beside its user and endpoint");

/* The smallest chunk that holds `slots`. */
static unsigned class_for(uint32_t slots)
{
    unsigned class = 0;
    while (chunk_capacities[class] < slots)
        class += 1;
    return class;
}

static void set_body(struct torrent *torrent, const void *body)
{
    torrent->body_address = (uintptr_t)body & ADDRESS_MASK;
}

/* Copies a chunk with so many slots used, or NULL, into one of that class, and gives it back. NULL out of memory. */
static struct chunk *move_chunk(struct torrents *torrents, struct chunk *old, unsigned old_capacity, unsigned class,
                                uint32_t slots)
{
    unsigned capacity = chunk_capacities[class];
    struct chunk *chunk = memory_take(torrents->memory, class);
    if (chunk == NULL || old == NULL)
        return chunk;
    memcpy(chunk_users(chunk), chunk_users(old), slots * sizeof(uint32_t));
    memcpy(chunk_endpoints(chunk, capacity), chunk_endpoints(old, old_capacity), slots * ENDPOINT4_BYTES);
    memcpy(chunk_sessions(chunk, capacity), chunk_sessions(old, old_capacity), slots * sizeof(struct session));
    memory_give(torrents->memory, class_for(old_capacity), old);
    return chunk;
}

static int resize_chunk(struct torrents *torrents, struct torrent *torrent, unsigned class)
{
    struct chunk *chunk = move_chunk(torrents, torrent_chunk(torrent), torrent->capacity, class, swarm_total(torrent));
    if (chunk == NULL)
        return -1;
    set_body(torrent, chunk);
    torrent->capacity = chunk_capacities[class];
    return 0;
}

static size_t directory_bytes(uint32_t room)
{
    return room * sizeof(struct chunk *);
}

static void free_large(struct torrents *torrents, struct swarm_large *large)
{
    index_clear(&large->index);
    memory_give_block(torrents->index_memory, large->chunks, directory_bytes(large->directory));
    memory_give_block(torrents->index_memory, large, sizeof *large);
}

static int grow_directory(struct torrents *torrents, struct swarm_large *large, uint32_t room)
{
    struct chunk **chunks = memory_take_block(torrents->index_memory, directory_bytes(room));
    if (chunks == NULL)
        return -1;
    if (large->chunk_count > 0)
        memcpy(chunks, large->chunks, directory_bytes(large->chunk_count));
    memory_give_block(torrents->index_memory, large->chunks, directory_bytes(large->directory));
    large->chunks = chunks;
    large->directory = room;
    return 0;
}

/* Slots by which a tail grows where that many are wanted. */
static uint32_t tail_step(uint32_t more)
{
    return more + (TAIL_STEP - 1) - (more + (TAIL_STEP - 1)) % TAIL_STEP;
}

/* The last chunk grows in steps up to CHUNK_SLOTS; `more` slots are wanted in all. Returns how many it got, or -1. */
static int grow_tail(struct torrents *torrents, struct swarm_large *large, uint32_t more)
{
    struct chunk **tail = &large->chunks[large->chunk_count - 1];
    uint32_t room = CHUNK_SLOTS - large->tail_capacity;
    unsigned class = class_for(large->tail_capacity + tail_step(more < room ? more : room));
    struct chunk *chunk = move_chunk(torrents, *tail, large->tail_capacity, class, large->tail_capacity);
    if (chunk == NULL)
        return -1;
    int got = chunk_capacities[class] - large->tail_capacity;
    *tail = chunk;
    large->tail_capacity = chunk_capacities[class];
    return got;
}

static int add_chunk(struct torrents *torrents, struct swarm_large *large, uint32_t more)
{
    if (large->chunk_count == large->directory && grow_directory(torrents, large, large->directory * 2) != 0)
        return -1;
    unsigned class = class_for(tail_step(more < CHUNK_SLOTS ? more : CHUNK_SLOTS));
    struct chunk *chunk = memory_take(torrents->memory, class);
    if (chunk == NULL)
        return -1;
    large->chunks[large->chunk_count++] = chunk;
    large->tail_capacity = chunk_capacities[class];
    return large->tail_capacity;
}

/* The full single chunk becomes the first of a directory. */
static int become_large(struct torrents *torrents, struct torrent *torrent)
{
    struct swarm_large *large = memory_take_block(torrents->index_memory, sizeof *large);
    if (large == NULL)
        return -1;
    *large = (struct swarm_large){.chunks = NULL};
    if (grow_directory(torrents, large, DIRECTORY_AT_START) != 0) {
        memory_give_block(torrents->index_memory, large, sizeof *large);
        return -1;
    }
    struct chunk *chunk = torrent_chunk(torrent);
    large->chunks[large->chunk_count++] = chunk;
    large->tail_capacity = CHUNK_SLOTS;
    set_body(torrent, large);
    torrent->flags |= TORRENT_IS_LARGE;
    if (swarm_index_build(torrents, torrent) == 0)
        return 0;
    torrent->flags &= (uint8_t)~TORRENT_IS_LARGE;
    set_body(torrent, chunk);
    free_large(torrents, large);
    return -1;
}

/* There are others, of CHUNK_SLOTS. */
static void drop_tail(struct torrents *torrents, struct swarm_large *large)
{
    memory_give(torrents->memory, class_for(large->tail_capacity), large->chunks[--large->chunk_count]);
    large->tail_capacity = CHUNK_SLOTS;
}

static void become_small(struct torrents *torrents, struct torrent *torrent)
{
    struct swarm_large *large = torrent_large(torrent);
    while (large->chunk_count > 1)
        drop_tail(torrents, large);
    set_body(torrent, large->chunks[0]);
    torrent->capacity = CHUNK_SLOTS;
    torrent->flags &= (uint8_t)~TORRENT_IS_LARGE;
    free_large(torrents, large);
}

static int grow_large(struct torrents *torrents, struct swarm_large *large, uint32_t slots)
{
    uint32_t room = (large->chunk_count - 1) * CHUNK_SLOTS + large->tail_capacity;
    while (room < slots) {
        int got = large->tail_capacity < CHUNK_SLOTS ? grow_tail(torrents, large, slots - room)
                                                     : add_chunk(torrents, large, slots - room);
        if (got < 0)
            return -1;
        room += (uint32_t)got;
    }
    return 0;
}

int swarm_grow(struct torrents *torrents, struct torrent *torrent, uint32_t more)
{
    uint32_t slots = swarm_total(torrent) + more;
    if (torrent_extra(torrent) != NULL && torrent_extra(torrent)->swarm6 != NULL &&
        swarm6_reserve(torrent_extra(torrent)->swarm6, slots) != 0)
        return -1;
    if (!(torrent->flags & TORRENT_IS_LARGE)) {
        if (slots <= torrent->capacity)
            return 0;
        if (slots <= CHUNK_SLOTS || torrent->capacity < CHUNK_SLOTS)
            if (resize_chunk(torrents, torrent, class_for(slots < CHUNK_SLOTS ? slots : CHUNK_SLOTS)) != 0)
                return -1;
        if (slots <= CHUNK_SLOTS)
            return 0;
        if (become_large(torrents, torrent) != 0)
            return -1;
    }
    return grow_large(torrents, torrent_large(torrent), slots);
}

/* Gives back what the slots that are left do not need, with some slack so that a peer that comes and goes costs nothing. */
void swarm_shrink(struct torrents *torrents, struct torrent *torrent)
{
    uint32_t total = swarm_total(torrent);
    if (torrent->flags & TORRENT_IS_LARGE) {
        struct swarm_large *large = torrent_large(torrent);
        if (total <= LARGE_SHRINKS_AT)
            become_small(torrents, torrent);
        else if (total + CHUNK_SLOTS + CHUNK_SLOTS / 2 <= large->chunk_count * CHUNK_SLOTS)
            drop_tail(torrents, large);
        return;
    }
    if (total == 0) {
        memory_give(torrents->memory, class_for(torrent->capacity), torrent_chunk(torrent));
        set_body(torrent, NULL);
        torrent->capacity = 0;
    } else if (total * 2 <= torrent->capacity) {
        (void)resize_chunk(torrents, torrent, class_for(total)); /* out of memory: stays as it is */
    }
}

/* Into the fuller pages of its class, so that sparse ones empty. */
static void tidy_chunk(struct torrents *torrents, struct chunk **chunk, unsigned capacity, uint32_t slots)
{
    unsigned class = class_for(capacity);
    if (!memory_is_sparse(torrents->memory, class, *chunk))
        return;
    struct chunk *moved = move_chunk(torrents, *chunk, capacity, class, slots);
    *chunk = moved != NULL ? moved : *chunk;
}

void swarm_tidy(struct torrents *torrents, struct torrent *torrent)
{
    if (torrent->flags & TORRENT_IS_LARGE) {
        struct swarm_large *large = torrent_large(torrent);
        for (uint32_t i = 0; i + 1 < large->chunk_count && i < TIDY_CHUNKS; i++)
            tidy_chunk(torrents, &large->chunks[i], CHUNK_SLOTS, CHUNK_SLOTS);
    } else if (torrent->capacity > 0) {
        struct chunk *chunk = torrent_chunk(torrent);
        tidy_chunk(torrents, &chunk, torrent->capacity, swarm_total(torrent));
        set_body(torrent, chunk);
    }
}

void swarm_clear(struct torrents *torrents, struct torrent *torrent)
{
    if (torrent->flags & TORRENT_IS_LARGE)
        become_small(torrents, torrent);
    if (torrent_chunk(torrent) != NULL)
        memory_give(torrents->memory, class_for(torrent->capacity), torrent_chunk(torrent));
    set_body(torrent, NULL);
    torrent->capacity = 0;
}
