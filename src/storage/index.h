/*
 * index: from 64-bit hashes to 32-bit references, for one thread. Several references may have the same hash; the
 * caller compares what they refer to.
 *
 * It is made of segments of some hundreds of entries. A segment is an open hash table of cache lines, 16 entries each,
 * and grows by itself in small steps; their number grows by linear hashing: now and then one is split in two. So no
 * call ever pays for the whole, an entry takes about 5 bytes, and a search looks at one line nearly always.
 *
 * An entry is the reference + 1 in as many bits as references need at present, below the upper bits of the hash. The
 * lower bits of the hash choose the segment. Hence the hash must be good in all its bits.
 */
#ifndef PRIVTRAK_STORAGE_INDEX_H
#define PRIVTRAK_STORAGE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "storage/memory.h"
#include "storage/paged.h"

#define INDEX_NONE UINT32_MAX
enum { INDEX_REFERENCE_MAX = (1 << 26) - 2 };
enum { INDEX_LINE = 16 }; /* entries */

struct index_segment {
    uint32_t *entries; /* `lines` cache lines; 0: unused; NULL while there are no lines */
    uint16_t lines;
    uint16_t used;
    uint8_t reference_bits;
};

struct index {
    struct paged segments; /* struct index_segment */
    uint32_t segment_count;
    uint32_t count;
    uint32_t lines; /* of all segments */
    uint8_t reference_bits;
    struct memory *memory;
};

/* Memory for the segments of any number of indexes; NULL out of memory. Freed by memory_free. */
struct memory *index_memory_new(void);

/* `memory`: from index_memory_new; NULL: from the heap. Takes nothing before the first entry. */
void index_init(struct index *index, struct memory *memory);
void index_clear(struct index *index);

/* The hash of a reference that was added with it: asked for where a segment is split. */
typedef uint64_t index_hash_fn(const void *owner, uint32_t reference);

/* Adds a reference, at most INDEX_REFERENCE_MAX. Returns 0, or -1 out of memory or past that, and nothing changed. */
int index_add(struct index *index, uint64_t hash, uint32_t reference, index_hash_fn *hash_of, const void *owner);

/* Takes out the entry of that hash and reference, which must be there. */
void index_remove(struct index *index, uint64_t hash, uint32_t reference);

/* The entry of that hash gets another reference, not above the highest that was ever added. */
void index_renumber(struct index *index, uint64_t hash, uint32_t from, uint32_t to);

/* All references of a segment in turn, `at` from 0 on; INDEX_NONE ends. New segments take theirs from earlier ones. */
uint32_t index_in_segment(const struct index *index, uint32_t segment, uint32_t *at);

size_t index_bytes(const struct index *index);

/* --- searching --- */

static inline const struct index_segment *index_segment_of(const struct index *index, uint64_t hash)
{
    uint32_t mask = UINT32_MAX >> __builtin_clz(index->segment_count); /* the smallest 2^k - 1 that holds the count */
    uint32_t number = (uint32_t)hash & mask;
    if (number >= index->segment_count)
        number &= mask >> 1;
    return paged_at(&index->segments, number, sizeof(struct index_segment));
}

static inline uint32_t index_home(uint32_t tag, uint32_t lines)
{
    return (uint32_t)((uint64_t)tag * lines >> 32);
}

/* A walk over the references whose entries fit one hash. Nothing may be added or removed meanwhile. */
struct index_walk {
    const uint32_t *entries;
    uint32_t lines;
    uint32_t line;
    uint32_t tag;
    uint32_t tag_mask;
    uint32_t fits; /* bits: entries of the line that are still to be given */
    bool goes_on;  /* the line is full: others of its hash may have gone to the next */
};

static inline void index_look_at_line(struct index_walk *walk)
{
    const uint32_t *entries = walk->entries + (size_t)walk->line * INDEX_LINE;
    uint32_t fits = 0, unused = 0;
#ifdef __SSE2__
    const __m128i tag = _mm_set1_epi32((int)walk->tag), mask = _mm_set1_epi32((int)walk->tag_mask);
    __m128i equal[4], zero[4];
    for (int i = 0; i < 4; i++) {
        __m128i four = _mm_load_si128((const __m128i *)(const void *)(entries + 4 * i));
        equal[i] = _mm_cmpeq_epi32(_mm_and_si128(four, mask), tag);
        zero[i] = _mm_cmpeq_epi32(four, _mm_setzero_si128());
    }
    fits = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(equal[0], equal[1]),
                                                       _mm_packs_epi32(equal[2], equal[3])));
    unused = (uint32_t)_mm_movemask_epi8(
        _mm_packs_epi16(_mm_packs_epi32(zero[0], zero[1]), _mm_packs_epi32(zero[2], zero[3])));
#else
    for (uint32_t i = 0; i < INDEX_LINE; i++) {
        fits |= (uint32_t)((entries[i] & walk->tag_mask) == walk->tag) << i;
        unused |= (uint32_t)(entries[i] == 0) << i;
    }
#endif
    walk->fits = fits & ~unused;
    walk->goes_on = unused == 0;
}

/* The next reference; INDEX_NONE at the end. */
static inline uint32_t index_next(struct index_walk *walk)
{
    while (walk->fits == 0) {
        if (!walk->goes_on)
            return INDEX_NONE;
        walk->line = walk->line + 1 == walk->lines ? 0 : walk->line + 1;
        index_look_at_line(walk);
    }
    uint32_t place = walk->line * INDEX_LINE + (uint32_t)__builtin_ctz(walk->fits);
    walk->fits &= walk->fits - 1;
    return (walk->entries[place] & ~walk->tag_mask) - 1;
}

/* The first one; INDEX_NONE: there is none. */
static inline uint32_t index_first(const struct index *index, uint64_t hash, struct index_walk *walk)
{
    *walk = (struct index_walk){.goes_on = false};
    if (index->count == 0)
        return INDEX_NONE;
    const struct index_segment *segment = index_segment_of(index, hash);
    if (segment->lines == 0)
        return INDEX_NONE;
    walk->entries = segment->entries;
    walk->lines = segment->lines;
    walk->tag_mask = UINT32_MAX << segment->reference_bits;
    walk->tag = (uint32_t)(hash >> 32) & walk->tag_mask;
    walk->line = index_home(walk->tag, walk->lines);
    index_look_at_line(walk);
    return index_next(walk);
}

/* Fetches the line that a search will look at. */
static inline void index_prefetch(const struct index *index, uint64_t hash)
{
    if (index->count == 0)
        return;
    const struct index_segment *segment = index_segment_of(index, hash);
    uint32_t tag = (uint32_t)(hash >> 32) & UINT32_MAX << segment->reference_bits;
    __builtin_prefetch(segment->entries + (size_t)index_home(tag, segment->lines) * INDEX_LINE);
}

#endif
