/* torrents: see torrents.h. */
#include "storage/torrents.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "storage/swarm_layout.h"

static void make_memory(struct torrents *torrents)
{
    size_t sizes[MEMORY_CLASSES];
    for (unsigned class = 0; class < chunk_classes; class ++)
        sizes[class] = (size_t)chunk_capacities[class] * SLOT_BYTES;
    torrents->memory = memory_new(sizes, chunk_classes);
    torrents->index_memory = index_memory_new();
    index_init(&torrents->index, torrents->index_memory);
}

struct torrents *torrents_new(void)
{
    struct torrents *torrents = calloc(1, sizeof *torrents);
    if (torrents == NULL)
        return NULL;
    make_memory(torrents);
    torrents->peer_ids = peer_ids_new();
    torrents->marks = seed_marks_new();
    if (torrents->memory == NULL || torrents->index_memory == NULL || torrents->peer_ids == NULL ||
        torrents->marks == NULL) {
        torrents_free(torrents);
        return NULL;
    }
    arc4random_buf(&torrents->seed, sizeof torrents->seed);
    return torrents;
}

static void free_extra(struct torrent_extra *extra)
{
    if (extra == NULL)
        return;
    swarm6_free(extra->swarm6);
    free(extra->reason);
    free(extra);
}

void torrents_free(struct torrents *torrents)
{
    if (torrents == NULL)
        return;
    for (uint32_t i = 0; i < torrents->count; i++) {
        swarm_clear(torrents, torrents_at(torrents, i));
        free_extra(torrent_extra(torrents_at(torrents, i)));
    }
    for (uint32_t i = 0; i < torrents->region_count; i++)
        munmap(torrents->regions[i], TORRENT_REGION_BYTES);
    free(torrents->regions);
    index_clear(&torrents->index);
    peer_ids_free(torrents->peer_ids);
    seed_marks_free(torrents->marks);
    memory_free(torrents->memory);
    memory_free(torrents->index_memory);
    free(torrents);
}

struct torrent *torrents_at(struct torrents *torrents, uint32_t number)
{
    return torrent_at(torrents, number);
}

uint32_t torrent_number(const struct torrent *torrent)
{
    const struct torrent_region *region = (const void *)((uintptr_t)torrent & ~(uintptr_t)(TORRENT_REGION_BYTES - 1));
    return region->first + (uint32_t)(torrent - region->records);
}

uint32_t torrents_count(const struct torrents *torrents)
{
    return torrents->count;
}

uint64_t torrents_hash(const struct torrents *torrents, const uint8_t *info_hash)
{
    return XXH3_64bits_withSeed(info_hash, INFO_HASH_BYTES, torrents->seed);
}

void torrents_prefetch_bucket(const struct torrents *torrents, uint64_t hash)
{
    index_prefetch_line(&torrents->index, hash);
}

struct torrent *torrents_guess(struct torrents *torrents, uint64_t hash)
{
    struct index_walk walk;
    uint32_t number = index_first(&torrents->index, hash, &walk);
    if (number == INDEX_NONE)
        return NULL;
    struct torrent *torrent = torrents_at(torrents, number);
    __builtin_prefetch(torrent);
    return torrent;
}

static bool has_info_hash(const struct torrent *torrent, const uint8_t *info_hash)
{
    return memcmp(torrent->info_hash, info_hash, INFO_HASH_BYTES) == 0;
}

struct torrent *torrents_find_hashed(struct torrents *torrents, uint64_t hash, struct torrent *guess,
                                     const uint8_t *info_hash)
{
    if (guess == NULL || has_info_hash(guess, info_hash))
        return guess;
    struct index_walk walk;
    for (uint32_t number = index_first(&torrents->index, hash, &walk); number != INDEX_NONE; number = index_next(&walk))
        if (has_info_hash(torrents_at(torrents, number), info_hash))
            return torrents_at(torrents, number);
    return NULL;
}

struct torrent *torrents_find(struct torrents *torrents, const uint8_t *info_hash)
{
    uint64_t hash = torrents_hash(torrents, info_hash);
    return torrents_find_hashed(torrents, hash, torrents_guess(torrents, hash), info_hash);
}

static uint64_t hash_of_number(const void *owner, uint32_t number)
{
    const struct torrents *torrents = owner;
    return torrents_hash(torrents, torrent_at(torrents, number)->info_hash);
}

/* Makes room for one more record. Regions are never moved, so that stages may hold pointers to records. */
static int reserve(struct torrents *torrents)
{
    if (torrents->count < torrents->region_count * (uint32_t)TORRENTS_PER_REGION)
        return 0;
    struct torrent_region **regions = realloc(torrents->regions, (torrents->region_count + 1) * sizeof *regions);
    if (regions == NULL)
        return -1;
    torrents->regions = regions;
    struct torrent_region *region = memory_map(TORRENT_REGION_BYTES, torrents->region_count > 0);
    if (region == NULL)
        return -1;
    region->first = torrents->count;
    regions[torrents->region_count++] = region;
    return 0;
}

struct torrent *torrents_add(struct torrents *torrents, const uint8_t *info_hash)
{
    uint32_t number = torrents->count;
    if (number > INDEX_REFERENCE_MAX || reserve(torrents) != 0 ||
        index_add(&torrents->index, torrents_hash(torrents, info_hash), number, hash_of_number, torrents) != 0)
        return NULL;
    torrents->count++;
    struct torrent *torrent = torrents_at(torrents, number);
    memcpy(torrent->info_hash, info_hash, INFO_HASH_BYTES);
    torrent->next_expiry_s = UINT32_MAX;
    return torrent;
}

struct torrent_extra *torrent_make_extra(struct torrent *torrent)
{
    struct torrent_extra *extra = torrent_extra(torrent);
    if (extra != NULL || (extra = calloc(1, sizeof *extra)) == NULL)
        return extra;
    extra->upload_percent = 100;
    extra->download_percent = 100;
    torrent->extra_address = (uintptr_t)extra & ADDRESS_MASK;
    return extra;
}

uint32_t torrent_upload_percent(const struct torrent *torrent)
{
    return torrent_extra(torrent) == NULL ? 100 : torrent_extra(torrent)->upload_percent;
}

uint32_t torrent_download_percent(const struct torrent *torrent)
{
    return torrent_extra(torrent) == NULL ? 100 : torrent_extra(torrent)->download_percent;
}

const struct torrent_totals *torrents_totals(const struct torrents *torrents)
{
    return &torrents->totals;
}

struct peer_ids *torrents_peer_ids(struct torrents *torrents)
{
    return torrents->peer_ids;
}

struct seed_marks *torrents_seed_marks(struct torrents *torrents)
{
    return torrents->marks;
}

size_t torrents_memory(const struct torrents *torrents)
{
    return torrents->count * sizeof(struct torrent) + memory_used(torrents->index_memory);
}

size_t torrents_session_memory(const struct torrents *torrents)
{
    return memory_used(torrents->memory);
}
