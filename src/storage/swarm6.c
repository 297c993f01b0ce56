/*
 * swarm6: the IPv6 endpoints of a swarm, in a list of their own, because few swarms
 * have them yet and 18 bytes a session would be a waste for the rest. Like the slots,
 * the list holds seeders first; an entry knows its slot, and a slot its entry.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/swarm_layout.h"

static struct entry6 *entry_at(const struct swarm6 *swarm6, uint32_t number)
{
    return paged_at(&swarm6->entries, number, sizeof(struct entry6));
}

static uint32_t *place_at(const struct swarm6 *swarm6, uint32_t slot)
{
    return paged_at(&swarm6->places, slot, sizeof(uint32_t));
}

static void swap_entries(struct swarm6 *swarm6, uint32_t a, uint32_t b)
{
    if (a == b)
        return;
    struct entry6 kept = *entry_at(swarm6, a);
    *entry_at(swarm6, a) = *entry_at(swarm6, b);
    *entry_at(swarm6, b) = kept;
    *place_at(swarm6, entry_at(swarm6, a)->slot) = a;
    *place_at(swarm6, kept.slot) = b;
}

static void write_endpoint(struct entry6 *entry, const uint8_t *ip, uint16_t port)
{
    memcpy(entry->endpoint, ip, 16);
    entry->endpoint[16] = (uint8_t)(port >> 8);
    entry->endpoint[17] = (uint8_t)port;
}

int swarm6_reserve(struct swarm6 *swarm6, uint32_t slots)
{
    return paged_reserve(&swarm6->places, slots, sizeof(uint32_t));
}

static struct swarm6 *make(struct torrent *torrent)
{
    struct torrent_extra *extra = torrent_make_extra(torrent);
    if (extra == NULL)
        return NULL;
    if (extra->swarm6 == NULL)
        extra->swarm6 = calloc(1, sizeof *extra->swarm6);
    return extra->swarm6;
}

int swarm6_put(struct torrent *torrent, uint32_t slot, const uint8_t *ip, uint16_t port, bool seeder)
{
    if (swarm_session(torrent, slot)->flags & SESSION_HAS6) {
        const struct swarm6 *known = torrent_extra(torrent)->swarm6;
        write_endpoint(entry_at(known, *place_at(known, slot)), ip, port);
        return 0;
    }
    struct swarm6 *swarm6 = make(torrent);
    if (swarm6 == NULL)
        return -1;
    uint32_t number = swarm6->seeders + swarm6->leechers;
    if (paged_reserve(&swarm6->entries, number + 1, sizeof(struct entry6)) != 0 ||
        swarm6_reserve(swarm6, swarm_total(torrent)) != 0)
        return -1;
    struct entry6 *entry = entry_at(swarm6, number);
    write_endpoint(entry, ip, port);
    entry->slot = slot;
    *place_at(swarm6, slot) = number;
    swarm6->leechers++;
    if (seeder)
        swarm6_move(torrent, slot, true);
    return 0;
}

void swarm6_move(struct torrent *torrent, uint32_t slot, bool to_seeders)
{
    struct swarm6 *swarm6 = torrent_extra(torrent)->swarm6;
    uint32_t number = *place_at(swarm6, slot);
    if (to_seeders && number >= swarm6->seeders) {
        swap_entries(swarm6, number, swarm6->seeders);
        swarm6->seeders++;
        swarm6->leechers--;
    } else if (!to_seeders && number < swarm6->seeders) {
        swarm6->seeders--;
        swarm6->leechers++;
        swap_entries(swarm6, number, swarm6->seeders);
    }
}

void swarm6_take(struct torrent *torrent, uint32_t slot)
{
    struct swarm6 *swarm6 = torrent_extra(torrent)->swarm6;
    swarm6_move(torrent, slot, false);
    swarm6->leechers--;
    uint32_t last = swarm6->seeders + swarm6->leechers;
    swap_entries(swarm6, *place_at(swarm6, slot), last);
    paged_trim(&swarm6->entries, last);
}

void swarm6_swapped(struct torrent *torrent, uint32_t a, uint32_t b)
{
    struct swarm6 *swarm6 = torrent_extra(torrent)->swarm6;
    bool a_has = swarm_session(torrent, a)->flags & SESSION_HAS6; /* the session that stands at a now came from b */
    bool b_has = swarm_session(torrent, b)->flags & SESSION_HAS6;
    uint32_t from_b = a_has ? *place_at(swarm6, b) : 0;
    uint32_t from_a = b_has ? *place_at(swarm6, a) : 0;
    if (a_has) {
        *place_at(swarm6, a) = from_b;
        entry_at(swarm6, from_b)->slot = a;
    }
    if (b_has) {
        *place_at(swarm6, b) = from_a;
        entry_at(swarm6, from_a)->slot = b;
    }
}

void swarm6_shifted(struct torrent *torrent, uint32_t from, uint32_t to)
{
    struct swarm6 *swarm6 = torrent_extra(torrent)->swarm6;
    uint32_t number = *place_at(swarm6, from);
    *place_at(swarm6, to) = number;
    entry_at(swarm6, number)->slot = to;
}

void swarm6_free(struct swarm6 *swarm6)
{
    if (swarm6 == NULL)
        return;
    paged_clear(&swarm6->entries);
    paged_clear(&swarm6->places);
    free(swarm6);
}
