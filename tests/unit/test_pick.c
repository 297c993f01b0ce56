/* pick: which peers of a swarm a client gets (section 5 of the specification). */
#include "storage/pick.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { WANT_MAX = 200, SWARM_MAX = 5000 };

static struct torrents *torrents;
static struct torrent *torrent;
static uint64_t random_state = 88172645463325252u;
static uint8_t peers4[WANT_MAX * ENDPOINT4_BYTES];
static uint8_t peers6[WANT_MAX * ENDPOINT6_BYTES];
static struct peer_entry entries[WANT_MAX];
static struct pick pick;
static int seen[SWARM_MAX]; /* how often each peer was given since the last clear_seen */

static void set_up(void)
{
    torrents = torrents_new();
    torrent = torrents_add(torrents, (const uint8_t *)"abcdefghijklmnopqrs");
    cr_assert_not_null(torrent);
}

static void tear_down(void)
{
    torrents_free(torrents);
}

TestSuite(pick, .init = set_up, .fini = tear_down, .timeout = 60);

static void make_peer_id(uint8_t *peer_id, uint32_t number)
{
    char text[32];
    snprintf(text, sizeof text, "-TT0001-%012u", number);
    memcpy(peer_id, text, PEER_ID_BYTES);
}

static uint32_t slot_of(uint32_t number)
{
    uint8_t peer_id[PEER_ID_BYTES];
    make_peer_id(peer_id, number);
    return swarm_find(torrents, torrent, number, peer_id);
}

enum { HAS_NONE = 0, HAS4 = 1, HAS6 = 2, HAS_BOTH = 3 };

/* Peer `number`: a user of its own, 10.0.x.y and [::x.y], port 6881. */
static void add_peer(uint32_t number, enum swarm_place place, int families)
{
    uint8_t peer_id[PEER_ID_BYTES];
    make_peer_id(peer_id, number);
    uint32_t slot = swarm_add(torrents, torrent, number, peer_id);
    slot = swarm_move(torrents, torrent, slot, place);
    const struct address address4 = {.family = 4, .ip = {10, 0, (uint8_t)(number >> 8), (uint8_t)number}, .port = 6881};
    const struct address address6 = {
        .family = 6, .ip = {[14] = (uint8_t)(number >> 8), [15] = (uint8_t)number}, .port = 6881};
    if (families & HAS4)
        cr_assert_eq(swarm_set_endpoint(torrent, slot, &address4), 0);
    if (families & HAS6)
        cr_assert_eq(swarm_set_endpoint(torrent, slot, &address6), 0);
}

static void add_peers(uint32_t first, uint32_t count, enum swarm_place place, int families)
{
    for (uint32_t i = 0; i < count; i++)
        add_peer(first + i, place, families);
}

static void clear_seen(void)
{
    memset(seen, 0, sizeof seen);
}

static void see(const uint8_t *last_two)
{
    seen[last_two[0] << 8 | last_two[1]]++;
}

static void see_all(void)
{
    for (uint32_t i = 0; i < pick.count4; i++)
        see(peers4 + i * ENDPOINT4_BYTES + 2);
    for (uint32_t i = 0; i < pick.count6; i++)
        see(peers6 + i * ENDPOINT6_BYTES + 14);
}

/* Picks for a leecher that wants both kinds; `families` as above. */
static void pick_some(uint32_t want, int families)
{
    pick.torrents = torrents;
    pick.torrent = torrent;
    pick.want = want;
    pick.wants4 = families & HAS4;
    pick.wants6 = families & HAS6;
    pick.dice = pick_random(&random_state);
    pick.peers4 = peers4;
    pick.peers6 = peers6;
    pick_peers(&pick);
    cr_assert_leq(pick.count4 + pick.count6, want);
    see_all();
}

static void pick_for_leecher(uint32_t want, int families)
{
    clear_seen();
    pick.wants_seeders = true;
    pick_some(want, families);
}

static uint32_t seen_between(uint32_t first, uint32_t count)
{
    uint32_t sum = 0;
    for (uint32_t i = first; i < first + count; i++)
        sum += (uint32_t)seen[i];
    return sum;
}

static void expect_no_duplicates(void)
{
    for (int i = 0; i < SWARM_MAX; i++)
        cr_assert_leq(seen[i], 1, "peer %d was given %d times", i, seen[i]);
}

Test(pick, empty_swarm_gives_nobody)
{
    pick_for_leecher(50, HAS_BOTH);
    cr_expect_eq(pick.count4 + pick.count6, 0);
}

Test(pick, nobody_is_given_where_none_is_wanted)
{
    add_peers(0, 10, PLACE_SEEDER, HAS_BOTH);
    pick_for_leecher(0, HAS_BOTH);
    cr_expect_eq(pick.count4 + pick.count6, 0);
}

Test(pick, leecher_gets_seeders_and_a_quarter_leechers)
{
    add_peers(0, 300, PLACE_SEEDER, HAS4);
    add_peers(300, 300, PLACE_LEECHER, HAS4);
    pick_for_leecher(40, HAS4);
    cr_expect_eq(seen_between(0, 300), 30);
    cr_expect_eq(seen_between(300, 300), 10);
}

Test(pick, seeders_come_first)
{
    add_peers(0, 10, PLACE_SEEDER, HAS4);
    add_peers(300, 10, PLACE_LEECHER, HAS4);
    pick_for_leecher(20, HAS4);
    cr_assert_eq(pick.count4, 20);
    for (uint32_t i = 0; i < 10; i++)
        cr_expect_eq(peers4[i * ENDPOINT4_BYTES + 2], 0, "place %u is not a seeder's", i);
}

Test(pick, one_of_four_is_a_leecher)
{
    add_peers(0, 10, PLACE_SEEDER, HAS4);
    add_peers(300, 10, PLACE_LEECHER, HAS4);
    pick_for_leecher(4, HAS4);
    cr_expect_eq(seen_between(300, 10), 1);
}

Test(pick, few_leechers_leave_room_for_more_seeders)
{
    add_peers(0, 100, PLACE_SEEDER, HAS4);
    add_peers(300, 3, PLACE_LEECHER, HAS4);
    pick_for_leecher(40, HAS4);
    cr_expect_eq(seen_between(0, 100), 37);
    cr_expect_eq(seen_between(300, 3), 3);
}

Test(pick, few_seeders_leave_room_for_more_leechers)
{
    add_peers(0, 3, PLACE_SEEDER, HAS4);
    add_peers(300, 100, PLACE_LEECHER, HAS4);
    pick_for_leecher(40, HAS4);
    cr_expect_eq(seen_between(0, 3), 3);
    cr_expect_eq(seen_between(300, 100), 37);
}

Test(pick, seeder_gets_leechers_only)
{
    add_peers(0, 100, PLACE_SEEDER, HAS_BOTH);
    add_peers(300, 10, PLACE_LEECHER, HAS_BOTH);
    clear_seen();
    pick.wants_seeders = false;
    pick_some(10, HAS_BOTH);
    cr_expect_eq(seen_between(0, 100), 0);
    cr_expect_eq(seen_between(300, 10), 10);
}

Test(pick, stopped_sessions_are_given_to_nobody)
{
    add_peers(0, 10, PLACE_SEEDER, HAS4);
    for (uint32_t i = 0; i < 10; i++)
        swarm_move(torrents, torrent, slot_of(i), PLACE_TOMBSTONE);
    pick_for_leecher(50, HAS4);
    cr_expect_eq(pick.count4, 0);
}

Test(pick, hidden_slots_are_never_given)
{
    add_peers(0, 150, PLACE_SEEDER, HAS_BOTH);
    for (uint32_t i = 0; i < 50; i++)
        pick.hidden[pick.hidden_count++] = slot_of(i * 3);
    for (int round = 0; round < 200; round++) {
        pick_for_leecher(100, round % 2 ? HAS_BOTH : HAS4);
        for (uint32_t i = 0; i < 50; i++)
            cr_assert_eq(seen[i * 3], 0);
        expect_no_duplicates();
        cr_assert_eq(pick.count4 + pick.count6, 100);
    }
}

Test(pick, unlisted_and_those_of_the_other_family_are_holes)
{
    add_peers(0, 20, PLACE_SEEDER, HAS4);
    add_peers(20, 20, PLACE_SEEDER, HAS6);
    add_peers(40, 20, PLACE_SEEDER, HAS_NONE);
    add_peers(60, 20, PLACE_SEEDER, HAS_BOTH);
    for (uint32_t i = 60; i < 80; i++)
        swarm_list_session(torrent, slot_of(i), false);
    pick_for_leecher(100, HAS4);
    cr_expect_eq(pick.count4, 20);
    cr_expect_eq(seen_between(0, 20), 20);
    pick_for_leecher(100, HAS6);
    cr_expect_eq(pick.count6, 20);
    cr_expect_eq(seen_between(20, 20), 20);
}

Test(pick, want_is_for_both_families_together)
{
    add_peers(0, 100, PLACE_SEEDER, HAS4);
    add_peers(100, 100, PLACE_SEEDER, HAS6);
    pick_for_leecher(50, HAS_BOTH);
    cr_expect_eq(pick.count4 + pick.count6, 50);
    cr_expect_gt(pick.count4, 15);
    cr_expect_gt(pick.count6, 15);
}

Test(pick, peer_of_both_families_is_given_once)
{
    add_peers(0, 100, PLACE_SEEDER, HAS_BOTH);
    for (int round = 0; round < 200; round++) {
        pick_for_leecher(60, HAS_BOTH);
        cr_assert_eq(pick.count4 + pick.count6, 60);
        expect_no_duplicates();
    }
}

Test(pick, all_of_a_small_swarm_are_given)
{
    add_peers(0, 7, PLACE_SEEDER, HAS4);
    add_peers(10, 5, PLACE_LEECHER, HAS6);
    add_peers(20, 9, PLACE_LEECHER, HAS_BOTH);
    pick_for_leecher(21, HAS_BOTH);
    cr_expect_eq(pick.count4 + pick.count6, 21);
    expect_no_duplicates();
}

Test(pick, both_endpoints_of_a_peer_are_given_where_there_is_room)
{
    add_peers(0, 7, PLACE_SEEDER, HAS4);
    add_peers(10, 5, PLACE_LEECHER, HAS6);
    add_peers(20, 9, PLACE_LEECHER, HAS_BOTH);
    pick_for_leecher(50, HAS_BOTH);
    cr_expect_eq(pick.count4, 16);
    cr_expect_eq(pick.count6, 14);
    for (int i = 0; i < SWARM_MAX; i++)
        cr_expect_leq(seen[i], i >= 20 ? 2 : 1);
    pick_for_leecher(25, HAS_BOTH);
    cr_expect_eq(pick.count4, 16);
    cr_expect_eq(pick.count6, 9);
    cr_expect_eq(seen_between(10, 5), 5, "each once before one is given twice");
}

Test(pick, few_of_ipv6_leave_room_for_ipv4)
{
    add_peers(0, 100, PLACE_SEEDER, HAS4);
    add_peers(100, 2, PLACE_SEEDER, HAS6);
    for (int round = 0; round < 100; round++) {
        pick_for_leecher(50, HAS_BOTH);
        cr_expect_eq(pick.count4 + pick.count6, 50);
        expect_no_duplicates();
    }
}

Test(pick, a_quarter_of_both_families_together_are_leechers)
{
    add_peers(0, 100, PLACE_SEEDER, HAS_BOTH);
    add_peers(100, 100, PLACE_LEECHER, HAS4);
    add_peers(200, 50, PLACE_LEECHER, HAS6);
    for (uint32_t want = 4; want < 100; want++) {
        pick_for_leecher(want, HAS_BOTH);
        expect_no_duplicates();
        cr_expect_eq(pick.count4 + pick.count6, want);
        cr_expect_eq(seen_between(100, 150), (want + 3) / 4, "of %u", want);
    }
}

Test(pick, a_list_of_entries_is_filled_with_the_other_family)
{
    add_peers(0, 100, PLACE_SEEDER, HAS4);
    add_peers(100, 100, PLACE_LEECHER, HAS_BOTH);
    pick.entries = entries;
    for (uint32_t want = 1; want <= WANT_MAX; want++) {
        pick_for_leecher(want, HAS_BOTH);
        cr_expect_eq(pick.count4 + pick.count6, want);
    }
}

Test(pick, a_user_with_more_sessions_than_the_list_holds_gets_none_of_them)
{
    enum { OWN = 100 };
    for (uint32_t i = 0; i < OWN; i++) {
        uint8_t peer_id[PEER_ID_BYTES];
        make_peer_id(peer_id, 1000 + i);
        uint32_t slot = swarm_add(torrents, torrent, 5000, peer_id);
        slot = swarm_move(torrents, torrent, slot, PLACE_LEECHER);
        const struct address address = {.family = 4, .ip = {10, 0, 8, (uint8_t)i}, .port = 6881};
        cr_assert_eq(swarm_set_endpoint(torrent, slot, &address), 0);
    }
    add_peers(0, 100, PLACE_LEECHER, HAS4);
    pick.hides_user = true;
    pick.hidden_user = 5000;
    for (int families = HAS4; families <= HAS_BOTH; families += 2) {
        pick_for_leecher(200, families);
        cr_expect_eq(pick.count4, 100);
        cr_expect_eq(seen_between(0, 100), 100);
    }
}

Test(pick, endpoints_of_ipv6_are_whole)
{
    add_peer(258, PLACE_SEEDER, HAS6);
    pick_for_leecher(50, HAS6);
    const uint8_t wanted[ENDPOINT6_BYTES] = {[14] = 1, [15] = 2, [16] = 6881 >> 8, [17] = 6881 & 255};
    cr_assert_eq(pick.count6, 1);
    cr_expect_arr_eq(peers6, wanted, sizeof wanted);
}

Test(pick, entries_hold_addresses_and_their_peer_ids)
{
    add_peers(0, 40, PLACE_SEEDER, HAS4);
    add_peers(40, 40, PLACE_LEECHER, HAS6);
    pick.entries = entries;
    pick.wants_seeders = true;
    pick.torrents = torrents;
    pick.torrent = torrent;
    pick.want = 100;
    pick.wants4 = pick.wants6 = true;
    pick.dice = pick_random(&random_state);
    pick_peers(&pick);
    cr_assert_eq(pick.count4, 40);
    cr_assert_eq(pick.count6, 40);
    for (uint32_t i = 0; i < 80; i++) {
        const struct address *address = &entries[i].address;
        uint8_t peer_id[PEER_ID_BYTES];
        make_peer_id(peer_id, address->ip[address->family == 4 ? 3 : 15]);
        cr_expect_eq(address->family, i < 40 ? 4 : 6);
        cr_expect_eq(address->port, 6881);
        cr_expect_arr_eq(entries[i].peer_id, peer_id, PEER_ID_BYTES);
    }
}

/* Everybody in [first, first + count) within a half and twice the mean. */
static void expect_about_equal(uint32_t first, uint32_t count)
{
    double mean = (double)seen_between(first, count) / count;
    cr_assert_gt(mean, 100);
    for (uint32_t i = first; i < first + count; i++)
        cr_assert(seen[i] > mean / 2 && seen[i] < mean * 2, "peer %u: %d of %.0f", i, seen[i], mean);
}

static void expect_equal_frequency(int families)
{
    add_peers(0, 2000, PLACE_SEEDER, families);
    add_peers(2000, 1000, PLACE_LEECHER, families);
    clear_seen();
    pick.wants_seeders = true;
    for (int round = 0; round < 20000; round++)
        pick_some(50, families);
    expect_about_equal(0, 2000);
    expect_about_equal(2000, 1000);
}

Test(pick, everybody_of_a_large_swarm_is_given_about_equally_often)
{
    expect_equal_frequency(HAS4);
}

Test(pick, everybody_of_a_large_swarm_is_given_about_equally_often_over_ipv6)
{
    expect_equal_frequency(HAS6);
}

Test(pick, everybody_of_a_large_swarm_is_given_about_equally_often_over_both)
{
    expect_equal_frequency(HAS_BOTH);
}

static void expect_equal_frequency_among(uint32_t want, int families, uint32_t first, uint32_t count)
{
    clear_seen();
    pick.wants_seeders = true;
    for (int round = 0; round < 100000; round++)
        pick_some(want, families);
    expect_about_equal(first, count);
}

Test(pick, peers_of_the_other_family_in_a_row_do_not_favour_who_stands_behind_them)
{
    add_peers(0, 300, PLACE_SEEDER, HAS4);
    add_peers(300, 300, PLACE_SEEDER, HAS6);
    add_peers(600, 100, PLACE_SEEDER, HAS4);
    expect_equal_frequency_among(10, HAS4, 0, 300);
    expect_about_equal(600, 100);
}

Test(pick, both_families_are_given_as_often_as_they_are_there)
{
    add_peers(0, 300, PLACE_SEEDER, HAS4);
    add_peers(300, 20, PLACE_SEEDER, HAS6);
    expect_equal_frequency_among(3, HAS_BOTH, 0, 320);
}

Test(pick, hidden_peers_do_not_favour_who_stands_behind_them)
{
    add_peers(0, 100, PLACE_LEECHER, HAS4);
    for (uint32_t i = 50; i < 53; i++)
        pick.hidden[pick.hidden_count++] = slot_of(i);
    expect_equal_frequency_among(1, HAS4, 0, 50);
    expect_about_equal(53, 47);
    pick.hidden_count = 1;
    expect_equal_frequency_among(1, HAS4, 0, 50);
    expect_about_equal(51, 49);
}

/* Sessions, and endpoints of both families, among the first `count`. */
static void count_peers(const int *families, uint32_t count, uint32_t *sessions, uint32_t *endpoints)
{
    *sessions = *endpoints = 0;
    for (uint32_t i = 0; i < count; i++) {
        *sessions += families[i] != HAS_NONE;
        *endpoints += (uint32_t)((families[i] & HAS4) != 0) + (uint32_t)((families[i] & HAS6) != 0);
    }
}

Test(pick, random_swarms_give_nobody_twice_and_fill_what_can_be_filled)
{
    static int families[1000];
    srand(3);
    for (uint32_t i = 0; i < 1000; i++) {
        families[i] = rand() % 4;
        add_peer(i, rand() % 2 ? PLACE_SEEDER : PLACE_LEECHER, families[i]);
        if (i % 25 != 0)
            continue;
        uint32_t sessions, endpoints, four = 0;
        count_peers(families, i + 1, &sessions, &endpoints);
        for (uint32_t j = 0; j <= i; j++)
            four += (families[j] & HAS4) != 0;
        pick_for_leecher(150, HAS_BOTH);
        if (sessions >= 150)
            expect_no_duplicates();
        cr_assert_eq(pick.count4 + pick.count6, endpoints < 150 ? endpoints : 150, "of %u", endpoints);
        pick_for_leecher(150, HAS4);
        expect_no_duplicates();
        cr_assert_eq(pick.count4, four < 150 ? four : 150);
    }
}
