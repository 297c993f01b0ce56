/*
 * index: from 64-bit hashes to 32-bit references, for one thread. It grows beside
 * the running work: a larger table is begun, and every later insert moves a few
 * entries over, so no call ever pays for the whole. Several references may have
 * the same hash; the caller compares what they refer to.
 */
#ifndef PRIVTRAK_STORAGE_INDEX_H
#define PRIVTRAK_STORAGE_INDEX_H

#include <stddef.h>
#include <stdint.h>

#define INDEX_NONE UINT32_MAX

struct index;

struct index *index_new(void);
void index_free(struct index *index);

/* A walk over the references of one hash. */
struct index_walk {
    const struct index *index;
    uint64_t at;
    uint32_t tag;
    int table;
};
/* The first, then the next reference whose entry fits the hash; INDEX_NONE at the end. */
uint32_t index_first(const struct index *index, uint64_t hash, struct index_walk *walk);
uint32_t index_next(struct index_walk *walk);

void index_prefetch(const struct index *index, uint64_t hash);

/* Adds a reference (below INDEX_NONE - 1). Returns 0, or -1 out of memory. */
int index_add(struct index *index, uint64_t hash, uint32_t reference);

/* Takes out the entry of that hash and reference. */
void index_remove(struct index *index, uint64_t hash, uint32_t reference);

size_t index_count(const struct index *index);
size_t index_bytes(const struct index *index);

#endif
