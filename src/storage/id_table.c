/* id_table: see id_table.h. */
#include "storage/id_table.h"

#include <stdlib.h>

enum { SIZE_AT_START = 1024 };

int id_table_init(struct id_table *ids)
{
    *ids = (struct id_table){.entries = calloc(SIZE_AT_START, sizeof(struct id_entry)), .mask = SIZE_AT_START - 1};
    return ids->entries == NULL ? -1 : 0;
}

void id_table_clear(struct id_table *ids)
{
    free(ids->entries);
    *ids = (struct id_table){.entries = NULL};
}

static uint64_t home_of(int64_t id)
{
    uint64_t mixed = (uint64_t)id * UINT64_C(0x9e3779b97f4a7c15);
    return mixed >> 32 ^ mixed;
}

/* Where the id stands, or would stand. */
static struct id_entry *place_of(const struct id_table *ids, int64_t id)
{
    uint64_t i = home_of(id);
    while (ids->entries[i & ids->mask].id != 0 && ids->entries[i & ids->mask].id != id)
        i++;
    return &ids->entries[i & ids->mask];
}

int id_table_reserve(struct id_table *ids)
{
    if ((ids->used + 1) * 4 <= (ids->mask + 1) * 3)
        return 0;
    struct id_table larger = {.mask = ids->mask * 2 + 1, .used = ids->used};
    larger.entries = calloc(larger.mask + 1, sizeof *larger.entries);
    if (larger.entries == NULL)
        return -1;
    for (uint64_t i = 0; i <= ids->mask; i++)
        if (ids->entries[i].id != 0)
            *place_of(&larger, ids->entries[i].id) = ids->entries[i];
    free(ids->entries);
    *ids = larger;
    return 0;
}

void id_table_put(struct id_table *ids, int64_t id, uint32_t index)
{
    *place_of(ids, id) = (struct id_entry){.id = id, .index = index};
    ids->used++;
}

uint32_t id_table_find(const struct id_table *ids, int64_t id)
{
    const struct id_entry *entry = place_of(ids, id);
    return id == 0 || entry->id == 0 ? ID_TABLE_NONE : entry->index;
}

void id_table_prefetch(const struct id_table *ids, int64_t id)
{
    __builtin_prefetch(&ids->entries[home_of(id) & ids->mask]);
}
