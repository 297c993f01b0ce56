/* peer_ids: see peer_ids.h. */
#include "storage/peer_ids.h"

#include <stdlib.h>
#include <string.h>

enum {
    NAME_BYTES = 8,
    NAMES_MAX = 4096, /* more than all clients' versions; the table stays in the cache */
    TABLE_BITS = 14,
    TABLE_SIZE = 1 << TABLE_BITS,
    ID_BYTES = 20,
};

struct peer_ids {
    uint64_t names[NAMES_MAX + 1]; /* by number; 0 is not used */
    uint16_t table[TABLE_SIZE];    /* open addressing, numbers */
    uint32_t name_count;
    uint64_t seed;              /* odd, and nobody's to know: a stranger cannot choose names that fall together */
    uint8_t (*whole)[ID_BYTES]; /* ids of names without a number */
    uint32_t whole_count;
    uint32_t whole_capacity;
    uint32_t whole_free; /* head of the free places, number + 1, linked through their first bytes */
};

struct peer_ids *peer_ids_new(void)
{
    struct peer_ids *ids = calloc(1, sizeof *ids);
    if (ids != NULL)
        arc4random_buf(&ids->seed, sizeof ids->seed);
    if (ids != NULL)
        ids->seed |= 1;
    return ids;
}

void peer_ids_free(struct peer_ids *ids)
{
    if (ids != NULL)
        free(ids->whole);
    free(ids);
}

/* The table's place of that name: where it stands, or where it would. */
static uint32_t place_of(const struct peer_ids *ids, uint64_t name)
{
    uint32_t i = (uint32_t)((name * ids->seed) >> (64 - TABLE_BITS));
    while (ids->table[i] != 0 && ids->names[ids->table[i]] != name)
        i = (i + 1) % TABLE_SIZE;
    return i;
}

static int pack_whole(struct peer_ids *ids, const uint8_t *peer_id, struct packed_peer_id *packed)
{
    uint32_t number;
    if (ids->whole_free != 0) {
        number = ids->whole_free - 1;
        memcpy(&ids->whole_free, ids->whole[number], sizeof ids->whole_free);
    } else {
        if (ids->whole_count == ids->whole_capacity) {
            uint32_t capacity = ids->whole_capacity == 0 ? 64 : ids->whole_capacity * 2;
            void *larger = realloc(ids->whole, (size_t)capacity * ID_BYTES);
            if (larger == NULL)
                return -1;
            ids->whole = larger;
            ids->whole_capacity = capacity;
        }
        number = ids->whole_count++;
    }
    memcpy(ids->whole[number], peer_id, ID_BYTES);
    *packed = (struct packed_peer_id){.name = 0};
    memcpy(packed->tail, &number, sizeof number);
    return 0;
}

int peer_ids_pack(struct peer_ids *ids, const uint8_t *peer_id, struct packed_peer_id *packed)
{
    uint64_t name;
    memcpy(&name, peer_id, NAME_BYTES);
    uint32_t place = place_of(ids, name);
    if (ids->table[place] == 0) {
        if (ids->name_count == NAMES_MAX)
            return pack_whole(ids, peer_id, packed);
        ids->table[place] = (uint16_t)++ids->name_count;
        ids->names[ids->name_count] = name;
    }
    packed->name = ids->table[place];
    memcpy(packed->tail, peer_id + NAME_BYTES, sizeof packed->tail);
    return 0;
}

static uint32_t whole_number(const struct packed_peer_id *packed)
{
    uint32_t number;
    memcpy(&number, packed->tail, sizeof number);
    return number;
}

void peer_ids_drop(struct peer_ids *ids, const struct packed_peer_id *packed)
{
    if (packed->name != 0)
        return;
    uint32_t number = whole_number(packed);
    memcpy(ids->whole[number], &ids->whole_free, sizeof ids->whole_free);
    ids->whole_free = number + 1;
}

void peer_ids_unpack(const struct peer_ids *ids, const struct packed_peer_id *packed, uint8_t *peer_id)
{
    if (packed->name == 0) {
        memcpy(peer_id, ids->whole[whole_number(packed)], ID_BYTES);
        return;
    }
    memcpy(peer_id, &ids->names[packed->name], NAME_BYTES);
    memcpy(peer_id + NAME_BYTES, packed->tail, sizeof packed->tail);
}

void peer_ids_key(const struct peer_ids *ids, const uint8_t *peer_id, struct peer_id_key *key)
{
    uint64_t name;
    memcpy(&name, peer_id, NAME_BYTES);
    key->packed.name = ids->table[place_of(ids, name)];
    memcpy(key->packed.tail, peer_id + NAME_BYTES, sizeof key->packed.tail);
    key->whole = peer_id;
}

bool peer_ids_match_whole(const struct peer_ids *ids, const struct peer_id_key *key,
                          const struct packed_peer_id *packed)
{
    return memcmp(ids->whole[whole_number(packed)], key->whole, ID_BYTES) == 0;
}
