/* peer_ids: every id comes back as it was, by its client's number or whole. */
#include "storage/peer_ids.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { ID_BYTES = 20, NAMES = 5000 }; /* more names than there are numbers for */

static struct peer_ids *ids;
static struct packed_peer_id packed[NAMES];

static void set_up(void)
{
    ids = peer_ids_new();
    cr_assert_not_null(ids);
}

static void tear_down(void)
{
    peer_ids_free(ids);
}

TestSuite(peer_ids, .init = set_up, .fini = tear_down, .timeout = 60);

static void make_id(uint8_t *id, int name, int tail)
{
    char text[32];
    snprintf(text, sizeof text, "-X%05d%012d", name, tail);
    memcpy(id, text, ID_BYTES);
}

static void pack(int number)
{
    uint8_t id[ID_BYTES];
    make_id(id, number, number);
    cr_assert_eq(peer_ids_pack(ids, id, &packed[number]), 0);
}

static bool matches(int name, int tail, const struct packed_peer_id *other)
{
    uint8_t id[ID_BYTES];
    struct peer_id_key key;
    make_id(id, name, tail);
    peer_ids_key(ids, id, &key);
    return peer_ids_match(ids, &key, other);
}

static void expect_back(int number)
{
    uint8_t id[ID_BYTES], back[ID_BYTES];
    make_id(id, number, number);
    peer_ids_unpack(ids, &packed[number], back);
    cr_assert_arr_eq(back, id, ID_BYTES);
    cr_assert(matches(number, number, &packed[number]));
    cr_assert_not(matches(number, number + 1, &packed[number]));
}

Test(peer_ids, every_id_comes_back_beyond_the_table_of_names)
{
    for (int i = 0; i < NAMES; i++)
        pack(i);
    for (int i = 0; i < NAMES; i++)
        expect_back(i);
    cr_expect_eq(packed[NAMES - 1].name, 0, "kept whole");
}

Test(peer_ids, ids_of_one_client_share_its_number)
{
    uint8_t id[ID_BYTES];
    struct packed_peer_id one, other;
    make_id(id, 1, 1);
    peer_ids_pack(ids, id, &one);
    make_id(id, 1, 2);
    peer_ids_pack(ids, id, &other);
    cr_expect_eq(memcmp(one.tail, other.tail, sizeof one.tail) == 0, false);
    cr_expect_eq(one.name, other.name);
    cr_expect_neq(one.name, 0);
}

Test(peer_ids, unknown_name_matches_no_packed_id)
{
    pack(1);
    cr_expect_not(matches(2, 1, &packed[1]));
}

Test(peer_ids, places_of_dropped_whole_ids_are_used_again)
{
    for (int i = 0; i < NAMES; i++)
        pack(i);
    struct packed_peer_id first = packed[NAMES - 1];
    peer_ids_drop(ids, &packed[NAMES - 2]);
    peer_ids_drop(ids, &packed[NAMES - 1]);
    pack(NAMES - 2);
    cr_expect_eq(memcmp(&packed[NAMES - 2], &first, sizeof first), 0);
    pack(NAMES - 1);
    for (int i = NAMES - 10; i < NAMES; i++)
        expect_back(i);
}

Test(peer_ids, binary_ids_come_back)
{
    uint8_t id[ID_BYTES] = {0}, back[ID_BYTES];
    struct packed_peer_id zero, ones;
    cr_assert_eq(peer_ids_pack(ids, id, &zero), 0);
    peer_ids_unpack(ids, &zero, back);
    cr_expect_arr_eq(back, id, ID_BYTES);
    memset(id, 0xff, sizeof id);
    cr_assert_eq(peer_ids_pack(ids, id, &ones), 0);
    peer_ids_unpack(ids, &ones, back);
    cr_expect_arr_eq(back, id, ID_BYTES);
}
