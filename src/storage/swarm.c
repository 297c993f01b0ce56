/* swarm: see swarm.h for what it does, swarm_layout.h for how it lies in memory. */
#include "storage/swarm.h"

#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "storage/swarm_layout.h"

/* --- finding --- */

/* Which of the first `total` users of a chunk are `user`, as bits. */
static uint64_t scan_users(const uint32_t *users, uint32_t total, uint32_t user)
{
    uint64_t found = 0;
#ifdef __SSE2__
    /* The last four may be past the total, but not past the chunk: what they find there is dropped. */
    const __m128i wanted = _mm_set1_epi32((int)user);
    for (uint32_t i = 0; i < total; i += 4) {
        __m128i four = _mm_loadu_si128((const __m128i *)(const void *)(users + i));
        uint64_t equal = (uint64_t)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(four, wanted)));
        found |= equal << i;
    }
    return total == CHUNK_SLOTS ? found : found & ((UINT64_C(1) << total) - 1);
#else
    for (uint32_t i = 0; i < total; i++)
        found |= (uint64_t)(users[i] == user) << i;
    return found;
#endif
}

static uint32_t check_in_index(struct swarm_walk *walk, uint32_t slot)
{
    while (slot != INDEX_NONE && swarm_user(walk->torrent, slot) != walk->user)
        slot = index_next(&walk->index);
    return slot; /* SLOT_NONE and INDEX_NONE are the same */
}

uint32_t swarm_next_in_index(struct swarm_walk *walk)
{
    return check_in_index(walk, index_next(&walk->index));
}

uint32_t swarm_first_of_user(const struct torrent *torrent, uint32_t user, struct swarm_walk *walk)
{
    walk->torrent = torrent;
    walk->user = user;
    if (torrent->flags & TORRENT_IS_LARGE)
        return check_in_index(walk, index_first(&torrent_large(torrent)->index, swarm_user_hash(user), &walk->index));
    walk->slots = scan_users(chunk_users(torrent_chunk(torrent)), swarm_total(torrent), user);
    return swarm_next_of_user(walk);
}

uint32_t swarm_find(const struct torrents *torrents, const struct torrent *torrent, uint32_t user,
                    const uint8_t *peer_id)
{
    struct peer_id_key key;
    peer_ids_key(torrents->peer_ids, peer_id, &key);
    struct swarm_walk walk;
    uint32_t slot = swarm_first_of_user(torrent, user, &walk);
    while (slot != SLOT_NONE && !peer_ids_match(torrents->peer_ids, &key, &swarm_session(torrent, slot)->peer_id))
        slot = swarm_next_of_user(&walk);
    return slot;
}

uint32_t swarm_buckets(const struct torrent *torrent)
{
    return torrent->flags & TORRENT_IS_LARGE ? torrent_large(torrent)->index.segment_count : 1;
}

void swarm_walk_bucket(const struct torrent *torrent, uint32_t bucket, void (*visit)(void *context, uint32_t slot),
                       void *context)
{
    if (torrent->flags & TORRENT_IS_LARGE) {
        uint32_t at = 0, slot;
        while ((slot = index_in_segment(&torrent_large(torrent)->index, bucket, &at)) != INDEX_NONE)
            visit(context, slot);
        return;
    }
    for (uint32_t slot = 0; slot < swarm_total(torrent); slot++)
        visit(context, slot);
}

void swarm_unpack_peer_id(const struct torrents *torrents, const struct session *session, uint8_t *peer_id)
{
    peer_ids_unpack(torrents->peer_ids, &session->peer_id, peer_id);
}

/* --- slots --- */

/* Exchanges two slots, and all that refers to them by number. */
static void swap(struct torrent *torrent, uint32_t a, uint32_t b)
{
    if (a == b)
        return;
    if (torrent->flags & TORRENT_IS_LARGE)
        swarm_index_swap(torrent, a, b);
    uint32_t *user_a = &chunk_users(swarm_chunk(torrent, a))[a % CHUNK_SLOTS];
    uint32_t *user_b = &chunk_users(swarm_chunk(torrent, b))[b % CHUNK_SLOTS];
    uint32_t user = *user_a;
    *user_a = *user_b;
    *user_b = user;
    uint8_t endpoint[ENDPOINT4_BYTES];
    memcpy(endpoint, swarm_endpoint4(torrent, a), sizeof endpoint);
    memcpy(swarm_endpoint4(torrent, a), swarm_endpoint4(torrent, b), sizeof endpoint);
    memcpy(swarm_endpoint4(torrent, b), endpoint, sizeof endpoint);
    struct session session = *swarm_session(torrent, a);
    *swarm_session(torrent, a) = *swarm_session(torrent, b);
    *swarm_session(torrent, b) = session;
    if (torrent_extra(torrent) != NULL && torrent_extra(torrent)->swarm6 != NULL)
        swarm6_swapped(torrent, a, b);
}

/* Each step crosses one border: the session goes to the border, and the border past it. */
static uint32_t step_to_leecher_from_seeder(struct torrent *torrent, uint32_t slot)
{
    uint32_t border = --torrent->seeders;
    torrent->leechers++;
    swap(torrent, slot, border);
    return border;
}

static uint32_t step_to_seeder_from_leecher(struct torrent *torrent, uint32_t slot)
{
    uint32_t border = torrent->seeders++;
    torrent->leechers--;
    swap(torrent, slot, border);
    return border;
}

static uint32_t step_to_tombstone_from_leecher(struct torrent *torrent, uint32_t slot)
{
    uint32_t border = torrent->seeders + --torrent->leechers;
    torrent->tombstones++;
    swap(torrent, slot, border);
    return border;
}

static uint32_t step_to_leecher_from_tombstone(struct torrent *torrent, uint32_t slot)
{
    uint32_t border = torrent->seeders + torrent->leechers++;
    torrent->tombstones--;
    swap(torrent, slot, border);
    return border;
}

static bool is_hole(const struct torrent *torrent, uint32_t slot)
{
    const uint8_t *endpoint = swarm_endpoint4(torrent, slot);
    return (endpoint[4] | endpoint[5]) == 0;
}

/* Many are not counted, but remembered until the swarm is empty. */
static void count_holes(struct torrent *torrent, int more)
{
    if (torrent->holes4 != TORRENT_MANY_HOLES)
        torrent->holes4 = (uint8_t)(torrent->holes4 + more);
    else if (swarm_active(torrent) == 0)
        torrent->holes4 = (uint8_t)(more > 0);
}

static void enter(struct torrent *torrent, uint32_t slot)
{
    count_holes(torrent, is_hole(torrent, slot));
}

static void leave(struct torrent *torrent, uint32_t slot)
{
    struct session *session = swarm_session(torrent, slot);
    if (session->flags & SESSION_HAS6)
        swarm6_take(torrent, slot);
    count_holes(torrent, -is_hole(torrent, slot));
    const uint8_t swarm_flags = SESSION_HAS4 | SESSION_HAS6 | SESSION_GIVEN_PEER | SESSION_UNLISTED | SESSION_PARTIAL;
    session->flags &= (uint8_t)~swarm_flags;
    memset(swarm_endpoint4(torrent, slot), 0, ENDPOINT4_BYTES);
}

static void count_move(struct torrent_totals *totals, const struct torrent *torrent, enum swarm_place from,
                       enum swarm_place to)
{
    uint64_t *counts[] = {&totals->seeders, &totals->leechers, &totals->tombstones};
    --*counts[from];
    ++*counts[to];
    if (from == PLACE_TOMBSTONE && swarm_active(torrent) == 1)
        totals->swarms++;
    else if (to == PLACE_TOMBSTONE && swarm_active(torrent) == 0)
        totals->swarms--;
}

/* --- coming --- */

/* A slot's session goes to a slot that nobody has, and all that refers to it by number follows. */
static void shift(struct torrent *torrent, uint32_t from, uint32_t to)
{
    if (from == to)
        return;
    uint32_t user = swarm_user(torrent, from);
    if (torrent->flags & TORRENT_IS_LARGE)
        swarm_index_shift(torrent, from, to);
    chunk_users(swarm_chunk(torrent, to))[to % CHUNK_SLOTS] = user;
    memcpy(swarm_endpoint4(torrent, to), swarm_endpoint4(torrent, from), ENDPOINT4_BYTES);
    *swarm_session(torrent, to) = *swarm_session(torrent, from);
    if (swarm_session(torrent, to)->flags & SESSION_HAS6)
        swarm6_shifted(torrent, from, to);
}

/* Makes the slot free that a newcomer gets: those behind it go on, one from each place. */
static void open_slot(struct torrent *torrent, enum swarm_place place)
{
    if (place == PLACE_TOMBSTONE)
        return;
    shift(torrent, swarm_active(torrent), swarm_total(torrent));
    if (place == PLACE_SEEDER)
        shift(torrent, torrent->seeders, swarm_active(torrent));
}

static uint32_t slot_of_newcomer(const struct torrent *torrent, enum swarm_place place)
{
    if (place == PLACE_TOMBSTONE)
        return swarm_total(torrent);
    return place == PLACE_LEECHER ? swarm_active(torrent) : torrent->seeders;
}

static void count_newcomer(struct torrents *torrents, struct torrent *torrent, enum swarm_place place)
{
    uint64_t *totals[] = {&torrents->totals.seeders, &torrents->totals.leechers, &torrents->totals.tombstones};
    ++*totals[place];
    if (place == PLACE_TOMBSTONE) {
        torrent->tombstones++;
        return;
    }
    torrents->totals.swarms += swarm_active(torrent) == 0;
    count_holes(torrent, 1);
    if (place == PLACE_SEEDER)
        torrent->seeders++;
    else
        torrent->leechers++;
}

uint32_t swarm_add_at(struct torrents *torrents, struct torrent *torrent, uint32_t user, const uint8_t *peer_id,
                      enum swarm_place place)
{
    struct packed_peer_id packed;
    if (swarm_grow(torrents, torrent, 1) != 0 || peer_ids_pack(torrents->peer_ids, peer_id, &packed) != 0)
        return SLOT_NONE;
    uint32_t slot = slot_of_newcomer(torrent, place);
    /* It can fail, so it comes first; who has the slot as yet keeps its own entry. */
    if (torrent->flags & TORRENT_IS_LARGE && swarm_index_add(torrent, user, slot) != 0) {
        peer_ids_drop(torrents->peer_ids, &packed);
        return SLOT_NONE;
    }
    open_slot(torrent, place);
    chunk_users(swarm_chunk(torrent, slot))[slot % CHUNK_SLOTS] = user;
    memset(swarm_endpoint4(torrent, slot), 0, ENDPOINT4_BYTES);
    *swarm_session(torrent, slot) = (struct session){.peer_id = packed};
    count_newcomer(torrents, torrent, place);
    return slot;
}

uint32_t swarm_add(struct torrents *torrents, struct torrent *torrent, uint32_t user, const uint8_t *peer_id)
{
    return swarm_add_at(torrents, torrent, user, peer_id, PLACE_TOMBSTONE);
}

/* --- moving and going --- */

uint32_t swarm_move(struct torrents *torrents, struct torrent *torrent, uint32_t slot, enum swarm_place place)
{
    enum swarm_place now = swarm_place(torrent, slot);
    if (now == place)
        return slot;
    if (place == PLACE_TOMBSTONE)
        leave(torrent, slot);
    else if (now == PLACE_TOMBSTONE)
        enter(torrent, slot);
    if (now == PLACE_SEEDER)
        slot = step_to_leecher_from_seeder(torrent, slot);
    else if (now == PLACE_TOMBSTONE)
        slot = step_to_leecher_from_tombstone(torrent, slot);
    if (place == PLACE_SEEDER)
        slot = step_to_seeder_from_leecher(torrent, slot);
    else if (place == PLACE_TOMBSTONE)
        slot = step_to_tombstone_from_leecher(torrent, slot);
    if (swarm_session(torrent, slot)->flags & SESSION_HAS6)
        swarm6_move(torrent, slot, place == PLACE_SEEDER);
    count_move(&torrents->totals, torrent, now, place);
    return slot;
}

void swarm_remove(struct torrents *torrents, struct torrent *torrent, uint32_t slot)
{
    uint32_t last = swarm_total(torrent) - 1;
    swap(torrent, slot, last);
    peer_ids_drop(torrents->peer_ids, &swarm_session(torrent, last)->peer_id);
    if (torrent->flags & TORRENT_IS_LARGE)
        swarm_index_remove(torrent, last);
    torrent->tombstones--;
    torrents->totals.tombstones--;
    swarm_shrink(torrents, torrent);
}

/* --- endpoints --- */

static void write_port(uint8_t *at, uint16_t port)
{
    at[0] = (uint8_t)(port >> 8);
    at[1] = (uint8_t)port;
}

/* What stands in the lists: port 0 means not to be handed out. */
static uint16_t listed_port(const struct session *session)
{
    return session->flags & SESSION_UNLISTED ? 0 : session->port;
}

int swarm_set_endpoint(struct torrent *torrent, uint32_t slot, const struct address *address)
{
    struct session *session = swarm_session(torrent, slot);
    session->port = address->port;
    if (address->family == 4) {
        uint8_t *endpoint = swarm_endpoint4(torrent, slot);
        uint8_t fresh[ENDPOINT4_BYTES];
        memcpy(fresh, address->ip, 4);
        write_port(fresh + 4, listed_port(session));
        if (session->flags & SESSION_HAS4 && memcmp(endpoint, fresh, sizeof fresh) == 0)
            return 0; /* as nearly always: nothing to write */
        count_holes(torrent, -is_hole(torrent, slot));
        memcpy(endpoint, fresh, sizeof fresh);
        count_holes(torrent, is_hole(torrent, slot));
        session->flags |= SESSION_HAS4;
        return 0;
    }
    if (swarm6_put(torrent, slot, address->ip, listed_port(session), swarm_place(torrent, slot) == PLACE_SEEDER) != 0)
        return -1;
    session->flags |= SESSION_HAS6;
    return 0;
}

struct address swarm_endpoint(const struct torrent *torrent, uint32_t slot, int family)
{
    struct address address = {.family = 0};
    const struct session *session = swarm_session(torrent, slot);
    if (family == 4 && session->flags & SESSION_HAS4) {
        memcpy(address.ip, swarm_endpoint4(torrent, slot), 4);
    } else if (family == 6 && session->flags & SESSION_HAS6) {
        uint32_t its_slot;
        memcpy(address.ip, swarm_endpoint6(torrent, swarm_number6(torrent, slot), &its_slot), 16);
    } else {
        return address;
    }
    address.family = (uint8_t)family;
    address.port = session->port;
    return address;
}

void swarm_list_session(struct torrent *torrent, uint32_t slot, bool listed)
{
    struct session *session = swarm_session(torrent, slot);
    if (session_is_listed(session) == listed)
        return;
    session->flags ^= SESSION_UNLISTED;
    for (int family = 4; family <= 6; family += 2) {
        struct address address = swarm_endpoint(torrent, slot, family);
        if (address.family != 0)
            (void)swarm_set_endpoint(torrent, slot, &address); /* it has one already: cannot fail */
    }
}

uint32_t swarm_endpoints(const struct torrent *torrent, int family, bool seeders)
{
    if (family == 4)
        return seeders ? torrent->seeders : torrent->leechers;
    if (torrent_extra(torrent) == NULL || torrent_extra(torrent)->swarm6 == NULL)
        return 0;
    return seeders ? torrent_extra(torrent)->swarm6->seeders : torrent_extra(torrent)->swarm6->leechers;
}

uint32_t swarm_number6(const struct torrent *torrent, uint32_t slot)
{
    return *(uint32_t *)paged_at(&torrent_extra(torrent)->swarm6->places, slot, sizeof(uint32_t));
}

const uint8_t *swarm_endpoint6(const struct torrent *torrent, uint32_t number, uint32_t *slot)
{
    const struct entry6 *entry = paged_at(&torrent_extra(torrent)->swarm6->entries, number, sizeof *entry);
    *slot = entry->slot;
    return entry->endpoint;
}
