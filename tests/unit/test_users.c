/* users: found by passkey, index and row id, through growth and every change, while others read. */
#include "storage/users.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum { MANY = 20000 };

static struct users *users;

static void set_up(void)
{
    users_thread_register();
    users = users_new();
    cr_assert_not_null(users);
}

static void tear_down(void)
{
    users_free(users);
    users_thread_unregister();
}

TestSuite(users, .init = set_up, .fini = tear_down, .timeout = 60);

static int put_percent(int64_t id, const char *passkey, uint32_t upload_percent)
{
    const struct user_facts facts = {.id = id,
                                     .passkey = passkey,
                                     .enabled = true,
                                     .can_leech = true,
                                     .upload_percent = upload_percent,
                                     .download_percent = 100};
    return users_put(users, &facts);
}

static int put(int64_t id, const char *passkey)
{
    return put_percent(id, passkey, 100);
}

/* The row id of whoever has the passkey; -1: nobody. */
static int64_t id_of(const char *passkey)
{
    users_read_begin();
    const struct user *user = users_find(users, passkey, strlen(passkey));
    int64_t id = user == NULL ? -1 : user->id;
    users_read_end();
    return id;
}

static uint32_t index_of(const char *passkey)
{
    users_read_begin();
    const struct user *user = users_find(users, passkey, strlen(passkey));
    uint32_t index = user == NULL ? USER_NONE : user->index;
    users_read_end();
    return index;
}

static uint8_t flags_at(uint32_t index)
{
    users_read_begin();
    uint8_t flags = users_at(users, index)->flags;
    users_read_end();
    return flags;
}

static int64_t id_of_number(const char *prefix, int number)
{
    char passkey[32];
    snprintf(passkey, sizeof passkey, "%s%d", prefix, number);
    return id_of(passkey);
}

static void put_number(const char *prefix, int number)
{
    char passkey[32];
    snprintf(passkey, sizeof passkey, "%s%d", prefix, number);
    cr_assert_eq(put(number, passkey), 0);
}

Test(users, unknown_passkey_finds_nobody)
{
    put(1, "alpha");
    cr_expect_eq(id_of("beta"), -1);
    cr_expect_eq(id_of("alph"), -1);
    cr_expect_eq(id_of("alphaa"), -1);
}

Test(users, row_becomes_a_user_with_its_facts)
{
    const struct user_facts facts = {
        .id = 7, .passkey = "alpha", .hide_address = true, .upload_percent = 150, .download_percent = 0};
    cr_assert_eq(users_put(users, &facts), 0);
    users_read_begin();
    const struct user *user = users_find(users, "alpha", 5);
    cr_assert_not_null(user);
    cr_expect_eq(user->id, 7);
    cr_expect_eq(user->flags, USER_HIDE_ADDRESS);
    cr_expect_eq(user->upload_percent, 150);
    cr_expect_eq(user->download_percent, 0);
    cr_expect_eq(users_find_id(users, 7), user);
    cr_expect_eq(users_at(users, user->index), user);
    users_read_end();
    cr_expect_eq(users_count(users), 1);
}

Test(users, everybody_is_found_through_growth)
{
    for (int i = 1; i <= MANY; i++) {
        put_number("key-", i);
        cr_assert_eq(id_of_number("key-", i), i);
        cr_assert_eq(id_of_number("key-", i / 2 + 1), i / 2 + 1);
    }
    users_read_begin();
    for (int i = 1; i <= MANY; i++) {
        cr_assert_eq(id_of_number("key-", i), i);
        cr_assert_eq(users_find_id(users, i)->id, i);
    }
    users_read_end();
    cr_expect_eq(users_count(users), MANY);
    cr_expect_gt(users_memory(users), MANY * 40u);
}

Test(users, changed_facts_keep_the_index)
{
    put(1, "alpha");
    uint32_t index = index_of("alpha");
    put_percent(1, "alpha", 200);
    users_read_begin();
    cr_expect_eq(users_at(users, index)->upload_percent, 200);
    users_read_end();
    cr_expect_eq(index_of("alpha"), index);
    cr_expect_eq(users_count(users), 1);
}

Test(users, new_passkey_keeps_the_index_and_ends_the_old_one)
{
    put(1, "alpha");
    uint32_t index = index_of("alpha");
    cr_assert_eq(put(1, "beta"), 0);
    cr_expect_eq(id_of("alpha"), -1);
    cr_expect_eq(index_of("beta"), index);
}

Test(users, passkeys_that_change_a_thousand_times_are_found)
{
    enum { USERS = 50, ROUNDS = 1000 };
    char prefix[16];
    for (int round = 0; round < ROUNDS; round++) {
        snprintf(prefix, sizeof prefix, "r%d-", round);
        for (int i = 1; i <= USERS; i++)
            put_number(prefix, i);
    }
    for (int i = 1; i <= USERS; i++) {
        cr_assert_eq(id_of_number(prefix, i), i);
        cr_assert_eq(id_of_number("r0-", i), -1);
    }
    cr_expect_eq(users_count(users), USERS);
    cr_expect_lt(users_memory(users), 1u << 20, "old passkeys leave nothing behind");
}

Test(users, passkey_of_another_user_is_refused)
{
    put(1, "alpha");
    put(2, "beta");
    cr_expect_eq(put(2, "alpha"), -EEXIST);
    cr_expect_eq(put(3, "alpha"), -EEXIST);
    cr_expect_eq(id_of("alpha"), 1);
    cr_expect_eq(id_of("beta"), 2);
    cr_expect_eq(users_count(users), 2);
}

Test(users, passkey_that_was_given_up_may_be_taken_by_another)
{
    put(1, "alpha");
    put(1, "beta");
    cr_assert_eq(put(2, "alpha"), 0);
    cr_expect_eq(id_of("alpha"), 2);
    cr_expect_eq(id_of("beta"), 1);
}

Test(users, gone_user_is_unknown_by_passkey_and_known_by_index)
{
    put(1, "alpha");
    uint32_t index = index_of("alpha");
    users_remove(users, 1);
    cr_expect_eq(id_of("alpha"), -1);
    cr_expect(flags_at(index) & USER_GONE);
    cr_expect_eq(users_count(users), 0);
}

Test(users, removing_twice_counts_once)
{
    put(1, "alpha");
    put(2, "beta");
    users_remove(users, 1);
    users_remove(users, 1);
    users_remove(users, 99);
    cr_expect_eq(users_count(users), 1);
}

Test(users, user_that_comes_back_has_its_old_index)
{
    put(1, "alpha");
    uint32_t index = index_of("alpha");
    users_remove(users, 1);
    cr_assert_eq(put(1, "alpha"), 0);
    cr_expect_eq(index_of("alpha"), index);
    cr_expect_not(flags_at(index) & USER_GONE);
    cr_expect_eq(users_count(users), 1);
}

Test(users, passkey_of_a_gone_user_may_be_taken)
{
    put(1, "alpha");
    users_remove(users, 1);
    cr_assert_eq(put(2, "alpha"), 0);
    cr_expect_eq(id_of("alpha"), 2);
    cr_expect_eq(put(1, "alpha"), -EEXIST, "the first cannot come back with it");
    cr_expect_eq(put(1, "gamma"), 0);
    cr_expect_eq(id_of("alpha"), 2);
    cr_expect_eq(id_of("gamma"), 1);
}

Test(users, the_refused_are_those_that_are_disabled_or_gone)
{
    struct user_facts facts = {.id = 1, .passkey = "alpha", .enabled = true, .upload_percent = 100};
    cr_assert_eq(users_put(users, &facts), 0);
    cr_assert_eq(put(2, "beta"), 0);
    uint32_t alpha = index_of("alpha"), beta = index_of("beta");
    cr_expect_not(users_is_refused(users, alpha));
    cr_expect_eq(users_refusals(users), 0);
    facts.enabled = false;
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(users_put(users, &facts), 0);
        cr_expect(users_is_refused(users, alpha));
        cr_expect_not(users_is_refused(users, beta));
        cr_expect_eq(users_refusals(users), 1, "counted once");
    }
    users_remove(users, 1); /* disabled already */
    cr_expect_eq(users_refusals(users), 1);
    users_remove(users, 2);
    cr_expect(users_is_refused(users, beta));
    cr_expect_eq(users_refusals(users), 2);
    facts.enabled = true;
    cr_assert_eq(users_put(users, &facts), 0);
    cr_expect_not(users_is_refused(users, alpha));
    cr_expect_eq(users_refusals(users), 2);
}

Test(users, who_begins_disabled_is_refused)
{
    const struct user_facts facts = {.id = 1, .passkey = "alpha", .upload_percent = 100};
    cr_assert_eq(users_put(users, &facts), 0);
    cr_expect(users_is_refused(users, index_of("alpha")));
    cr_expect_eq(users_refusals(users), 1);
}

static bool registers(const char *passkey, uint32_t max)
{
    bool made;
    users_read_begin();
    const struct user *user = users_register(users, passkey, strlen(passkey), max, &made);
    users_read_end();
    cr_expect(user != NULL || !made);
    return made;
}

Test(users, unknown_passkey_registers_itself_once)
{
    cr_expect(registers("alpha", 10));
    cr_expect_not(registers("alpha", 10));
    cr_expect_eq(id_of("alpha"), 0);
    cr_expect_eq(flags_at(index_of("alpha")), USER_ENABLED | USER_CAN_LEECH);
    cr_expect_eq(users_count(users), 1);
}

Test(users, nobody_registers_beyond_the_most)
{
    cr_expect(registers("alpha", 2));
    cr_expect(registers("beta", 2));
    cr_expect_not(registers("gamma", 2));
    cr_expect_eq(id_of("gamma"), -1);
    bool made;
    users_read_begin();
    cr_expect_not_null(users_register(users, "alpha", 5, 2, &made), "who is known stays so");
    users_read_end();
}

Test(users, gone_user_makes_room_for_a_new_one)
{
    put(1, "alpha");
    cr_expect_not(registers("beta", 1));
    users_remove(users, 1);
    cr_expect(registers("beta", 1));
}

Test(users, registered_user_gets_the_id_of_its_row_and_keeps_its_index)
{
    registers("alpha", 10);
    uint32_t index = index_of("alpha");
    cr_assert_eq(put(5, "alpha"), 0);
    cr_expect_eq(id_of("alpha"), 5);
    cr_expect_eq(index_of("alpha"), index);
    users_read_begin();
    cr_expect_eq(users_find_id(users, 5)->index, index);
    users_read_end();
}

Test(users, sweep_removes_whom_no_put_has_touched)
{
    put(1, "alpha");
    put(2, "beta");
    put(3, "gamma");
    registers("delta", 10);
    users_mark_all(users);
    put(1, "alpha");
    put(2, "changed");
    put(4, "epsilon");
    users_sweep(users);
    cr_expect_eq(id_of("alpha"), 1);
    cr_expect_eq(id_of("changed"), 2);
    cr_expect_eq(id_of("gamma"), -1);
    cr_expect_eq(id_of("delta"), 0, "has no row yet");
    cr_expect_eq(id_of("epsilon"), 4);
}

Test(users, new_torrents_are_counted_by_window)
{
    put(1, "alpha");
    put(2, "beta");
    uint32_t alpha = index_of("alpha");
    cr_expect(users_count_new_torrent(users, alpha, 2, 60, 6000));
    cr_expect(users_count_new_torrent(users, alpha, 2, 60, 6030));
    cr_expect_not(users_count_new_torrent(users, alpha, 2, 60, 6059));
    cr_expect(users_count_new_torrent(users, index_of("beta"), 2, 60, 6059));
    cr_expect(users_count_new_torrent(users, alpha, 2, 60, 6060));
}

static void expect_user_id(const char *passkey, const uint8_t *wanted)
{
    uint8_t user_id[16];
    user_id_of_passkey(user_id, passkey, strlen(passkey));
    cr_expect_arr_eq(user_id, wanted, 16);
}

Test(users, user_id_is_the_bytes_of_thirty_two_hex_digits)
{
    const uint8_t wanted[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
    expect_user_id("00112233445566778899aabbccddeeff", wanted);
}

Test(users, user_id_of_a_short_passkey_is_padded)
{
    expect_user_id("alpha", (const uint8_t *)"alpha\0\0\0\0\0\0\0\0\0\0");
    expect_user_id("0123456789abcdef", (const uint8_t *)"0123456789abcdef");
}

Test(users, user_id_of_a_long_passkey_is_its_hash)
{
    const uint8_t wanted[16] = {0xb8, 0x60, 0x66, 0x6e, 0xe2, 0x96, 0x6d, 0xd8,
                                0xf9, 0x03, 0xbe, 0x44, 0xee, 0x60, 0x5c, 0x6e};
    expect_user_id("aaaaaaaaaaaaaaaaa", wanted);
}

/* --- readers beside a writer --- */

enum { STABLE = 200, CHANGING = 200, READERS = 3, WRITER_ROUNDS = 150, LEAST_ROUNDS = 20 };

/* Fewer rounds have to do where a sanitiser and other work leave the writer little of the processors. */
#define LONGEST_NS INT64_C(30000000000)

static bool writer_is_done;

static void *read_all_the_time(void *argument)
{
    long *faults = argument;
    char passkey[32];
    users_thread_register();
    while (!__atomic_load_n(&writer_is_done, __ATOMIC_ACQUIRE)) {
        users_read_begin();
        for (int i = 1; i <= STABLE; i++) {
            int length = snprintf(passkey, sizeof passkey, "stable-%d", i);
            const struct user *user = users_find(users, passkey, (size_t)length);
            /* The percentage changes; what is read must be one whole version. */
            if (user == NULL || user->id != i || user->upload_percent != user->download_percent)
                ++*faults;
        }
        for (int i = 0; i < CHANGING; i++) {
            const struct user *user = users_at(users, STABLE + (uint32_t)i);
            if (user->id != STABLE + 1 + i || user->passkey_length < 5)
                ++*faults;
        }
        users_read_end();
    }
    users_thread_unregister();
    return NULL;
}

/* Changes percentages of the stable, passkeys of the changing, and adds more, so that the table grows. */
static void write_round(int round)
{
    char passkey[32];
    for (int i = 1; i <= STABLE; i++) {
        snprintf(passkey, sizeof passkey, "stable-%d", i);
        const struct user_facts facts = {.id = i,
                                         .passkey = passkey,
                                         .enabled = true,
                                         .upload_percent = (uint32_t)round,
                                         .download_percent = (uint32_t)round};
        cr_assert_eq(users_put(users, &facts), 0);
    }
    for (int i = 0; i < CHANGING; i++) {
        snprintf(passkey, sizeof passkey, "r%d-%d-padding", round, i);
        cr_assert_eq(put(STABLE + 1 + i, passkey), 0);
        if (i % 10 == round % 10)
            users_remove(users, STABLE + 1 + i);
    }
    for (int i = 0; i < 50; i++) {
        snprintf(passkey, sizeof passkey, "more-%d-%d", round, i);
        cr_assert_eq(put(100000 + round * 50 + i, passkey), 0);
    }
}

Test(users, readers_see_whole_versions_while_a_writer_changes_everything)
{
    pthread_t readers[READERS];
    long faults[READERS] = {0};
    write_round(0);
    for (int i = 0; i < READERS; i++)
        cr_assert_eq(pthread_create(&readers[i], NULL, read_all_the_time, &faults[i]), 0);
    int64_t end_ns = clock_monotonic_ns() + LONGEST_NS;
    for (int round = 1; round < LEAST_ROUNDS || (round < WRITER_ROUNDS && clock_monotonic_ns() < end_ns); round++)
        write_round(round);
    __atomic_store_n(&writer_is_done, true, __ATOMIC_RELEASE);
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
        cr_expect_eq(faults[i], 0, "reader %d saw %ld faults", i, faults[i]);
    }
}
