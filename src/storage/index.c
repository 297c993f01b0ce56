/*
 * index: see index.h. Two tables at most: tables[1] is the current one, tables[0] the
 * smaller one that is being emptied into it. An entry's place follows from its
 * tag, so that moving it needs no look at what it refers to.
 */
#include "storage/index.h"

#include <stdbool.h>
#include <stdlib.h>

enum {
    START = 64,
    MOVES = 8, /* places of the old table that an insert empties: done long before the new one is full */
};

#define DELETED UINT32_MAX

struct entry {
    uint32_t tag;       /* the hash's upper half */
    uint32_t reference; /* stored + 1; 0: unused */
};

struct table {
    struct entry *entries;
    uint64_t mask;
    uint64_t used; /* deleted ones too */
};

struct index {
    struct table tables[2];
    uint64_t moved; /* how far the old table is emptied */
    size_t count;
};

static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static int table_make(struct table *table, uint64_t size)
{
    struct entry *entries = calloc(size, sizeof *entries);
    if (entries == NULL)
        return -1;
    *table = (struct table){.entries = entries, .mask = size - 1};
    return 0;
}

struct index *index_new(void)
{
    struct index *index = calloc(1, sizeof *index);
    if (index != NULL && table_make(&index->tables[1], START) != 0) {
        free(index);
        return NULL;
    }
    return index;
}

void index_free(struct index *index)
{
    if (index == NULL)
        return;
    free(index->tables[0].entries);
    free(index->tables[1].entries);
    free(index);
}

static uint32_t walk_on(struct index_walk *walk)
{
    for (; walk->table >= 0; walk->table--, walk->at = walk->tag) {
        const struct table *table = &walk->index->tables[walk->table];
        if (table->entries == NULL)
            continue;
        for (;;) {
            struct entry entry = table->entries[walk->at++ & table->mask];
            if (entry.reference == 0)
                break;
            if (entry.tag == walk->tag && entry.reference != DELETED)
                return entry.reference - 1;
        }
    }
    return INDEX_NONE;
}

uint32_t index_first(const struct index *index, uint64_t hash, struct index_walk *walk)
{
    *walk = (struct index_walk){.index = index, .tag = tag_of(hash), .at = tag_of(hash), .table = 1};
    return walk_on(walk);
}

uint32_t index_next(struct index_walk *walk)
{
    return walk_on(walk);
}

void index_prefetch(const struct index *index, uint64_t hash)
{
    __builtin_prefetch(&index->tables[1].entries[tag_of(hash) & index->tables[1].mask]);
}

static void table_add(struct table *table, struct entry entry)
{
    uint64_t i = entry.tag;
    while (table->entries[i & table->mask].reference != 0)
        i++;
    table->entries[i & table->mask] = entry;
    table->used++;
}

/* Empties the next few places of the old table. What it moved stays there as deleted, so that walks still pass. */
static void move_some(struct index *index, unsigned places)
{
    struct table *old = &index->tables[0];
    for (; old->entries != NULL && places > 0; places--) {
        struct entry *entry = &old->entries[index->moved];
        if (entry->reference != 0 && entry->reference != DELETED) {
            table_add(&index->tables[1], *entry);
            entry->reference = DELETED; /* unused places stay so: walks end there */
        }
        if (index->moved++ == old->mask) {
            free(old->entries);
            *old = (struct table){.entries = NULL};
        }
    }
}

static bool is_crowded(const struct table *table)
{
    return (table->used + 1) * 4 > (table->mask + 1) * 3;
}

/* Begins a new table, of the size that what is really there needs: deleted entries stay behind. */
static int begin_table(struct index *index)
{
    move_some(index, UINT32_MAX); /* nothing is left to move, but for a table that filled up with deletions */
    uint64_t size = index->tables[1].mask + 1;
    if (index->count * 2 > size)
        size *= 2;
    struct table fresh;
    if (table_make(&fresh, size) != 0)
        return -1;
    index->tables[0] = index->tables[1];
    index->tables[1] = fresh;
    index->moved = 0;
    return 0;
}

int index_add(struct index *index, uint64_t hash, uint32_t reference)
{
    move_some(index, MOVES);
    if (is_crowded(&index->tables[1]) && begin_table(index) != 0)
        return -1;
    table_add(&index->tables[1], (struct entry){.tag = tag_of(hash), .reference = reference + 1});
    index->count++;
    return 0;
}

void index_remove(struct index *index, uint64_t hash, uint32_t reference)
{
    for (int t = 1; t >= 0; t--) {
        const struct table *table = &index->tables[t];
        if (table->entries == NULL)
            continue;
        for (uint64_t i = tag_of(hash); table->entries[i & table->mask].reference != 0; i++) {
            struct entry *entry = &table->entries[i & table->mask];
            if (entry->reference == reference + 1 && entry->tag == tag_of(hash)) {
                entry->reference = DELETED;
                index->count--;
                return;
            }
        }
    }
}

size_t index_count(const struct index *index)
{
    return index->count;
}

size_t index_bytes(const struct index *index)
{
    size_t bytes = 0;
    for (int t = 0; t < 2; t++)
        if (index->tables[t].entries != NULL)
            bytes += (index->tables[t].mask + 1) * sizeof(struct entry);
    return bytes;
}
