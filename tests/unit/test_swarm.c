/*
 * swarm: sessions keep their contents and are found, whatever order, growth, moves and removals bring; checked
 * against a plain list after every step.
 */
#include "storage/swarm.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t info_hash[INFO_HASH_BYTES] = "abcdefghijklmnopqrs";

static struct torrents *torrents;
static struct torrent *torrent;

static void set_up(void)
{
    torrents = torrents_new();
    cr_assert_not_null(torrents);
    torrent = torrents_add(torrents, info_hash);
    cr_assert_not_null(torrent);
}

static void tear_down(void)
{
    torrents_free(torrents);
}

TestSuite(swarm, .init = set_up, .fini = tear_down, .timeout = 120);

/* What the swarm should hold. */
enum { MODEL_MAX = 3000 };
struct entry {
    bool used;
    uint32_t user;
    uint8_t peer_id[PEER_ID_BYTES];
    uint64_t uploaded;
    enum swarm_place place;
    bool has4;
    bool has6;
    bool unlisted;
    uint16_t port;
};
static struct entry model[MODEL_MAX];

static void make_peer_id(uint8_t *peer_id, uint32_t number)
{
    char text[32];
    /* Enough names that some ids are kept whole. */
    snprintf(text, sizeof text, "-XX%04u-%012u", number % 6000, number);
    memcpy(peer_id, text, PEER_ID_BYTES);
}

static uint32_t find(const struct entry *entry)
{
    return swarm_find(torrents, torrent, entry->user, entry->peer_id);
}

static struct address address_for(const struct entry *entry, int family)
{
    struct address address = {.family = (uint8_t)family, .port = entry->port};
    memcpy(address.ip, entry->peer_id + 12, 4);
    return address;
}

static void check_entry(const struct entry *entry, int step)
{
    uint32_t slot = find(entry);
    if (!entry->used) {
        cr_assert_eq(slot, SLOT_NONE, "step %d: found a session that was removed", step);
        return;
    }
    cr_assert_neq(slot, SLOT_NONE, "step %d: session lost", step);
    const struct session *session = swarm_session(torrent, slot);
    uint8_t peer_id[PEER_ID_BYTES];
    swarm_unpack_peer_id(torrents, session, peer_id);
    cr_assert_arr_eq(peer_id, entry->peer_id, PEER_ID_BYTES);
    cr_assert_eq(swarm_user(torrent, slot), entry->user);
    cr_assert_eq(session->uploaded, entry->uploaded);
    cr_assert_eq(swarm_place(torrent, slot), entry->place, "step %d: in another place", step);
    for (int family = 4; family <= 6; family += 2) {
        struct address address = swarm_endpoint(torrent, slot, family);
        bool has = family == 4 ? entry->has4 : entry->has6;
        cr_assert_eq(address.family, has ? family : 0, "step %d: endpoint of family %d", step, family);
        if (has) {
            struct address wanted = address_for(entry, family);
            cr_assert(address_same_ip(&address, &wanted));
            cr_assert_eq(address.port, entry->port);
        }
    }
}

static void check_counts(uint32_t used)
{
    uint32_t places[3] = {0}, entries6[2] = {0}, holes = 0;
    for (uint32_t i = 0; i < used; i++) {
        if (!model[i].used)
            continue;
        places[model[i].place]++;
        if (model[i].place == PLACE_TOMBSTONE)
            continue;
        entries6[model[i].place] += model[i].has6;
        holes += !model[i].has4 || model[i].unlisted;
    }
    cr_assert_eq(torrent->seeders, places[PLACE_SEEDER]);
    cr_assert_eq(torrent->leechers, places[PLACE_LEECHER]);
    cr_assert_eq(torrent->tombstones, places[PLACE_TOMBSTONE]);
    cr_assert_eq(swarm_endpoints(torrent, 6, true), entries6[PLACE_SEEDER]);
    cr_assert_eq(swarm_endpoints(torrent, 6, false), entries6[PLACE_LEECHER]);
    cr_assert(torrent->holes4 == TORRENT_MANY_HOLES || torrent->holes4 == holes);
    const struct torrent_totals *totals = torrents_totals(torrents);
    cr_assert_eq(totals->seeders, places[PLACE_SEEDER]);
    cr_assert_eq(totals->tombstones, places[PLACE_TOMBSTONE]);
    cr_assert_eq(totals->swarms, swarm_active(torrent) > 0);
}

static void add_at(struct entry *entry, uint32_t number, enum swarm_place place)
{
    *entry = (struct entry){.used = true,
                            .user = number % 700,
                            .uploaded = number * UINT64_C(1000003),
                            .place = place,
                            .port = (uint16_t)(number % 60000 + 1)};
    make_peer_id(entry->peer_id, number);
    uint32_t slot = swarm_add_at(torrents, torrent, entry->user, entry->peer_id, place);
    cr_assert_neq(slot, SLOT_NONE);
    swarm_session(torrent, slot)->uploaded = entry->uploaded;
}

static void add_one(struct entry *entry, uint32_t number)
{
    add_at(entry, number, PLACE_TOMBSTONE);
}

static void move_one(struct entry *entry, enum swarm_place place)
{
    uint32_t slot = swarm_move(torrents, torrent, find(entry), place);
    entry->place = place;
    if (place == PLACE_TOMBSTONE) {
        entry->has4 = entry->has6 = entry->unlisted = false;
        return;
    }
    int family = rand() % 2 ? 4 : 6;
    struct address address = address_for(entry, family);
    cr_assert_eq(swarm_set_endpoint(torrent, slot, &address), 0);
    *(family == 4 ? &entry->has4 : &entry->has6) = true;
    entry->unlisted = rand() % 8 == 0;
    swarm_list_session(torrent, slot, !entry->unlisted);
}

static void random_walk(uint32_t size, int steps, unsigned seed)
{
    srand(seed);
    uint32_t number = 0;
    memset(model, 0, sizeof model);
    for (int step = 0; step < steps; step++) {
        struct entry *entry = &model[(uint32_t)rand() % size];
        if (!entry->used)
            add_at(entry, number++, (enum swarm_place)(rand() % 3));
        else if (entry->place == PLACE_TOMBSTONE && rand() % 4 == 0) {
            swarm_remove(torrents, torrent, find(entry));
            entry->used = false;
        } else
            move_one(entry, (enum swarm_place)(rand() % 3));
        check_entry(entry, step);
        check_entry(&model[(uint32_t)rand() % size], step);
        if (step % 256 == 0)
            check_counts(size);
    }
    for (uint32_t i = 0; i < size; i++)
        if (model[i].user != 0 || model[i].used)
            check_entry(&model[i], steps);
    check_counts(size);
}

Test(swarm, small_swarm_matches_a_plain_list)
{
    random_walk(20, 60000, 1);
}

Test(swarm, swarm_around_the_border_of_one_chunk_matches_a_plain_list)
{
    random_walk(90, 60000, 2);
}

Test(swarm, large_swarm_matches_a_plain_list)
{
    random_walk(MODEL_MAX, 120000, 3);
}

Test(swarm, memory_comes_back_when_all_have_gone)
{
    for (uint32_t i = 0; i < MODEL_MAX; i++)
        add_one(&model[i], i);
    size_t full = torrents_session_memory(torrents);
    for (uint32_t i = 0; i < MODEL_MAX; i++)
        swarm_remove(torrents, torrent, find(&model[i]));
    cr_expect_gt(full, MODEL_MAX * 50);
    cr_expect_eq(torrents_session_memory(torrents), 0);
    cr_expect_eq(swarm_total(torrent), 0);
}

Test(swarm, sessions_of_a_user_are_all_given_once)
{
    for (uint32_t i = 0; i < 2800; i++)
        add_one(&model[i], i);
    for (uint32_t user = 0; user < 700; user++) {
        int count = 0;
        struct swarm_walk walk;
        for (uint32_t slot = swarm_first_of_user(torrent, user, &walk); slot != SLOT_NONE;
             slot = swarm_next_of_user(&walk))
            count++;
        cr_assert_eq(count, 4);
    }
}

static void count_visit(void *context, uint32_t slot)
{
    ((int *)context)[swarm_session(torrent, slot)->port]++;
}

Test(swarm, walk_by_buckets_meets_everyone_although_slots_move)
{
    enum { COUNT = 2000 };
    static int visits[65536];
    for (uint32_t i = 0; i < COUNT; i++) {
        add_one(&model[i], i);
        swarm_session(torrent, find(&model[i]))->port = (uint16_t)i;
    }
    srand(5);
    for (uint32_t bucket = 0; bucket < swarm_buckets(torrent); bucket++) {
        swarm_walk_bucket(torrent, bucket, count_visit, visits);
        if (bucket % 4 == 0) { /* what other announces do in between: moves, and new sessions that split buckets */
            struct entry *entry = &model[(uint32_t)rand() % COUNT];
            swarm_move(torrents, torrent, find(entry), (enum swarm_place)(rand() % 3));
            if (bucket % 8 == 0 && bucket < 4000)
                add_one(&model[COUNT + bucket / 8], COUNT + bucket / 8);
        }
    }
    for (int i = 0; i < COUNT; i++)
        cr_assert_gt(visits[i], 0, "session %d was never met", i);
}

Test(swarm, left_that_no_client_knows_is_told_as_the_largest)
{
    add_one(&model[0], 1);
    struct session *session = swarm_session(torrent, find(&model[0]));
    session_set_left(session, COUNTER_MAX);
    cr_expect_eq(session_left(session), COUNTER_MAX);
    session_set_left(session, 12345);
    cr_expect_eq(session_left(session), 12345);
}

Test(swarm, time_of_last_announce_survives_packing)
{
    add_one(&model[0], 1);
    struct session *session = swarm_session(torrent, find(&model[0]));
    session_set_last_ms(session, INT64_C(1795500396123));
    cr_expect_eq(session_last_ms(session), INT64_C(1795500396123));
    session_set_last_ms(session, 5); /* before the base: the earliest that can be told */
    cr_expect_eq(session_last_ms(session), TIME_BASE_MS);
}

Test(swarm, tidying_empties_sparse_pages_and_keeps_every_session)
{
    enum { COUNT = 9000, KEPT = 4 }; /* one-session swarms on several pages, of which a quarter stays */
    static struct torrent *small[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        uint8_t bytes[PEER_ID_BYTES] = "-qB4630-";
        memcpy(bytes + 8, &i, sizeof i);
        small[i] = torrents_add(torrents, bytes);
        cr_assert_eq(swarm_add(torrents, small[i], i, bytes), 0);
        swarm_session(small[i], 0)->uploaded = i;
    }
    for (uint32_t i = 0; i < COUNT; i++)
        if (i % KEPT != 0)
            swarm_remove(torrents, small[i], 0);
    size_t before = torrents_session_memory(torrents);
    for (uint32_t i = 0; i < COUNT; i++)
        swarm_tidy(torrents, small[i]);
    cr_expect_lt(torrents_session_memory(torrents), before / 2 + before / 4);
    for (uint32_t i = 0; i < COUNT; i += KEPT) {
        cr_assert_eq(swarm_user(small[i], 0), i);
        cr_assert_eq(swarm_session(small[i], 0)->uploaded, i);
    }
}
