/*
 * peer_ids: 20-byte peer ids in 14 bytes. The first 8 name the client and its
 * version ("-qB4630-"), of which there are few: they are kept once, by number. A
 * stranger may send as many names as they like, so when the table of names is full,
 * or nearly, a new name's ids are kept whole in a list beside it. One thread only.
 */
#ifndef PRIVTRAK_STORAGE_PEER_IDS_H
#define PRIVTRAK_STORAGE_PEER_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct peer_ids;

/* Equal ids are equal byte for byte, unless they are whole ones (name 0). */
struct packed_peer_id {
    uint16_t name; /* 0: the id stands whole in the list, at the number in the tail's first 4 bytes */
    uint8_t tail[12];
} __attribute__((packed));

struct peer_ids *peer_ids_new(void);
void peer_ids_free(struct peer_ids *ids);

/* Packs `peer_id` (20 bytes), remembering what is new. Returns 0, or -1 out of memory. */
int peer_ids_pack(struct peer_ids *ids, const uint8_t *peer_id, struct packed_peer_id *packed);

/* A packed id that is thrown away gives back its place in the list. Names stay. */
void peer_ids_drop(struct peer_ids *ids, const struct packed_peer_id *packed);

void peer_ids_unpack(const struct peer_ids *ids, const struct packed_peer_id *packed, uint8_t *peer_id);

/* For comparing one id with many: what it would be packed as, without remembering anything. */
struct peer_id_key {
    struct packed_peer_id packed; /* name 0 where the name is not known */
    const uint8_t *whole;
};
void peer_ids_key(const struct peer_ids *ids, const uint8_t *peer_id, struct peer_id_key *key);
bool peer_ids_match_whole(const struct peer_ids *ids, const struct peer_id_key *key,
                          const struct packed_peer_id *packed);

static inline bool peer_ids_match(const struct peer_ids *ids, const struct peer_id_key *key,
                                  const struct packed_peer_id *packed)
{
    return packed->name != 0 ? memcmp(packed, &key->packed, sizeof *packed) == 0
                             : peer_ids_match_whole(ids, key, packed);
}

#endif
