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

#define INDEX_NONE UINT32_MAX
enum { INDEX_REFERENCE_MAX = (1 << 26) - 2 };
enum { INDEX_LINE = 16 }; /* entries */

struct index_segment {
    uint32_t
        *entries; /* `lines` cache lines, each filled from its beginning; 0: unused; NULL while there are no lines */
    uint16_t lines;
    uint16_t used;
    uint8_t reference_bits;
};

struct index {
    struct index_segment *segments;
    uint32_t segment_count;
    uint32_t segment_room;
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

/* References up to this one may be given by index_renumber. Returns 0, or -1 where it is above INDEX_REFERENCE_MAX. */
int index_admit(struct index *index, uint32_t reference);

/* Takes out the entry of that hash and reference, which must be there. */
void index_remove(struct index *index, uint64_t hash, uint32_t reference);

/* The entry of that hash gets another reference, not above the highest that was ever added or admitted. */
void index_renumber(struct index *index, uint64_t hash, uint32_t from, uint32_t to);

/* All references of a segment in turn, `at` from 0 on; INDEX_NONE ends. New segments take theirs from earlier ones. */
uint32_t index_in_segment(const struct index *index, uint32_t segment, uint32_t *at);

/* --- searching --- */

static inline const struct index_segment *index_segment_of(const struct index *index, uint64_t hash)
{
    uint32_t mask = UINT32_MAX >> __builtin_clz(index->segment_count); /* the smallest 2^k - 1 that holds the count */
    uint32_t number = (uint32_t)hash & mask;
    return &index->segments[number < index->segment_count ? number : number & mask >> 1];
}

static inline uint32_t index_home(uint32_t tag, uint32_t lines)
{
    return (uint32_t)((uint64_t)tag * lines >> 32);
}

/* A walk over the references whose entries fit one hash. Nothing may be added or removed meanwhile. */
struct index_walk {
    const uint32_t *line;
    uint32_t fits; /* bits: entries of the line that are still to be given */
    uint32_t tag;
    uint32_t tag_mask;
    const struct index_segment *segment;
};

/* Which entries of a line fit the tag, as bits; where the tag is 0, unused ones too. */
static inline uint32_t index_fitting(const uint32_t *line, uint32_t tag, uint32_t tag_mask)
{
#ifdef __SSE2__
    const __m128i wanted = _mm_set1_epi32((int)tag), mask = _mm_set1_epi32((int)tag_mask);
    const __m128i *fours = (const __m128i *)(const void *)line;
    __m128i a = _mm_cmpeq_epi32(_mm_and_si128(_mm_load_si128(fours), mask), wanted);
    __m128i b = _mm_cmpeq_epi32(_mm_and_si128(_mm_load_si128(fours + 1), mask), wanted);
    __m128i c = _mm_cmpeq_epi32(_mm_and_si128(_mm_load_si128(fours + 2), mask), wanted);
    __m128i d = _mm_cmpeq_epi32(_mm_and_si128(_mm_load_si128(fours + 3), mask), wanted);
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d)));
#else
    uint32_t fits = 0;
    for (uint32_t i = 0; i < INDEX_LINE; i++)
        fits |= (uint32_t)((line[i] & tag_mask) == tag) << i;
    return fits;
#endif
}

/* The next reference; INDEX_NONE at the end. */
static inline uint32_t index_next(struct index_walk *walk)
{
    for (;;) {
        while (walk->fits != 0) {
            uint32_t entry = walk->line[__builtin_ctz(walk->fits)];
            walk->fits &= walk->fits - 1;
            if (entry != 0)
                return (entry & ~walk->tag_mask) - 1;
        }
        if (walk->line[INDEX_LINE - 1] == 0)
            return INDEX_NONE; /* a line with room: nobody had to go on from here */
        walk->line += INDEX_LINE;
        if (walk->line == walk->segment->entries + (size_t)walk->segment->lines * INDEX_LINE)
            walk->line = walk->segment->entries;
        walk->fits = index_fitting(walk->line, walk->tag, walk->tag_mask);
    }
}

/* The first one; INDEX_NONE: there is none. */
static inline uint32_t index_first(const struct index *index, uint64_t hash, struct index_walk *walk)
{
    static const uint32_t nothing[INDEX_LINE];
    walk->line = nothing;
    walk->fits = 0;
    if (index->count == 0)
        return INDEX_NONE;
    const struct index_segment *segment = index_segment_of(index, hash);
    if (segment->lines == 0)
        return INDEX_NONE;
    walk->segment = segment;
    walk->tag_mask = UINT32_MAX << segment->reference_bits;
    walk->tag = (uint32_t)(hash >> 32) & walk->tag_mask;
    walk->line = segment->entries + (size_t)index_home(walk->tag, segment->lines) * INDEX_LINE;
    walk->fits = index_fitting(walk->line, walk->tag, walk->tag_mask);
    return index_next(walk);
}

/* Two steps before a search: fetches the segment's place, then the line that will be looked at. */
static inline void index_prefetch_segment(const struct index *index, uint64_t hash)
{
    if (index->count > 0)
        __builtin_prefetch(index_segment_of(index, hash));
}

static inline void index_prefetch_line(const struct index *index, uint64_t hash)
{
    if (index->count == 0)
        return;
    const struct index_segment *segment = index_segment_of(index, hash);
    uint32_t tag = (uint32_t)(hash >> 32) & UINT32_MAX << segment->reference_bits;
    __builtin_prefetch(segment->entries + (size_t)index_home(tag, segment->lines) * INDEX_LINE);
}

#endif
