/* id_table: from row ids to indices of users. Open addressing; ids are never taken out. Not locked. */
#ifndef PRIVTRAK_STORAGE_ID_TABLE_H
#define PRIVTRAK_STORAGE_ID_TABLE_H

#include <stdint.h>

#define ID_TABLE_NONE UINT32_MAX

struct id_entry {
    int64_t id; /* 0: unused */
    uint32_t index;
};

struct id_table {
    struct id_entry *entries;
    uint64_t mask;
    uint64_t used;
};

/* Return 0, or -1 out of memory. */
int id_table_init(struct id_table *ids);
int id_table_reserve(struct id_table *ids); /* makes room for one more id */
void id_table_clear(struct id_table *ids);

/* There is room, and the id, which is not 0, is not in it. */
void id_table_put(struct id_table *ids, int64_t id, uint32_t index);

/* ID_TABLE_NONE: nobody has the id; nobody has 0. */
uint32_t id_table_find(const struct id_table *ids, int64_t id);

/* Fetches the cache line that a search will look at. */
void id_table_prefetch(const struct id_table *ids, int64_t id);

#endif
