/* What a batch of deltas makes of the tables, and that it does so once. */
#include <pthread.h>

#include "test_database.h"

static void apply_open(void)
{
    place_open();
    for (int id = 1; id <= 3; id++) {
        add_user(id);
        add_torrent(id);
    }
}

TestSuite(database_apply, .init = apply_open, .fini = place_close, .timeout = 60);

Test(database_apply, a_delta_is_added_to_user_account_and_session)
{
    apply_one(delta_of(1, 1, 2));
    cr_assert_str_eq(site_text("SELECT uploaded||','||downloaded||','||raw_uploaded||','||raw_downloaded||','||"
                               "quarantined FROM users WHERE id = 1"),
                     "100,10,200,20,1");
    cr_assert_str_eq(site_text("SELECT uploaded||','||downloaded||','||raw_uploaded||','||raw_downloaded||','||"
                               "seed_time||','||leech_time||','||left_bytes||','||seeding||','||active||','||"
                               "first_announce||','||last_announce FROM user_torrents "
                               "WHERE user_id = 1 AND torrent_id = 2"),
                     "100,10,200,20,5,3,0,1,1,1700000001,1700000001");
    cr_assert_str_eq(site_text("SELECT peer_id||','||client||','||ip4||','||port4||','||coalesce(ip6, '-')||','||"
                               "uploaded||','||downloaded||','||left_bytes||','||last_announce FROM sessions"),
                     "2d7142343633302d6162636465666768696a6b6c,-qB4630-,192.0.2.7,51413,-,1001,500,0,1700000001");
    cr_assert_str_eq(site_text("SELECT seeders||','||leechers||','||snatches FROM torrents WHERE id = 2"), "4,2,0");
    cr_assert_str_eq(site_text("SELECT snatched_at FROM user_torrents"), "null");
}

Test(database_apply, later_deltas_are_added_to_what_is_there)
{
    apply_one(delta_of(1, 1, 1));
    apply_one(delta_of(2, 1, 1));
    struct delta more[] = {delta_of(3, 1, 1), delta_of(4, 1, 1)};
    more[1].user_left = 77;
    more[1].user_seeding = 0;
    cr_assert_eq(apply_many(more, 2), DATABASE_OK);
    cr_assert_eq(site_number("SELECT uploaded FROM users WHERE id = 1"), 400);
    cr_assert_str_eq(site_text("SELECT uploaded||','||seed_time||','||left_bytes||','||seeding||','||first_announce||"
                               "','||last_announce FROM user_torrents"),
                     "400,20,77,0,1700000001,1700000004");
    cr_assert_eq(site_number("SELECT uploaded FROM sessions"), 1004);
}

Test(database_apply, a_batch_is_the_same_as_its_deltas_one_at_a_time)
{
    enum { COUNT = 400 };
    struct delta deltas[COUNT];
    unsigned random = 1;
    for (unsigned i = 0; i < COUNT; i++) {
        random = random * 1103515245 + 12345;
        deltas[i] = delta_of(i + 1, 1 + (int)(random >> 16) % 3, 1 + (int)(random >> 20) % 3);
        deltas[i].peer_id[19] = (uint8_t)('a' + (random >> 24) % 3);
        deltas[i].active = (random >> 27) % 4 != 0;
        deltas[i].user_left = i;
        deltas[i].seeders = i % 7;
        deltas[i].flags = (random >> 22) % 8 == 0 ? DELTA_SNATCHED : 0;
        deltas[i].credited_uploaded = random % 1000;
    }
    cr_assert_eq(apply_many(deltas, COUNT), DATABASE_OK);
    static const char *const sums[] = {
        "SELECT " JOINED("id||':'||uploaded||':'||downloaded||':'||quarantined", "id") " FROM users",
        "SELECT " JOINED("id||':'||seeders||':'||leechers||':'||snatches", "id") " FROM torrents",
        "SELECT " JOINED("user_id||':'||torrent_id||':'||uploaded||':'||seed_time||':'||left_bytes||':'||"
                         "coalesce(snatched_at, 0)||':'||first_announce||':'||last_announce",
                         "user_id, torrent_id") " FROM user_torrents",
        "SELECT " JOINED("user_id||':'||torrent_id||':'||substr(peer_id, 38)||':'||uploaded",
                         "user_id, torrent_id, peer_id") " FROM sessions"};
    char whole[4][1024];
    for (size_t i = 0; i < 4; i++)
        snprintf(whole[i], sizeof(whole[i]), "%s", site_text(sums[i]));
    site("DELETE FROM users");
    site("DELETE FROM torrents");
    site("DELETE FROM privtrak WHERE \"key\" <> 'schema'");
    for (int id = 1; id <= 3; id++) {
        add_user(id);
        add_torrent(id);
    }
    for (unsigned i = 0; i < COUNT; i++)
        apply_one(deltas[i]);
    for (size_t i = 0; i < 4; i++)
        cr_assert_str_eq(site_text(sums[i]), whole[i]);
}

Test(database_apply, the_number_stands_in_the_same_transaction)
{
    cr_assert_eq(applied(), 0);
    struct delta deltas[] = {delta_of(3, 1, 1), delta_of(9, 1, 1)};
    cr_assert_eq(apply_many(deltas, 2), DATABASE_OK);
    cr_assert_eq(applied(), 9);
    cr_assert_eq(site_number("SELECT value FROM privtrak WHERE \"key\" = 'applied." INSTANCE "'"), 9);
}

Test(database_apply, a_batch_that_comes_again_is_passed_over)
{
    struct delta deltas[] = {delta_of(1, 1, 1), delta_of(2, 1, 1), delta_of(3, 1, 1)};
    cr_assert_eq(apply_many(deltas, 2), DATABASE_OK);
    cr_assert_eq(apply_many(deltas, 2), DATABASE_OK);
    cr_assert_eq(apply_many(deltas, 3), DATABASE_OK);
    cr_assert_eq(site_number("SELECT uploaded FROM users WHERE id = 1"), 300);
    cr_assert_eq(applied(), 3);
}

Test(database_apply, each_instance_has_its_own_number)
{
    struct delta delta = delta_of(5, 1, 1);
    struct database_batch other = {.instance = "other", .deltas = &delta, .count = 1};
    struct error error;
    apply_one(delta);
    cr_assert_eq(database_apply(place.database, &other, &error), DATABASE_OK);
    cr_assert_eq(site_number("SELECT uploaded FROM users WHERE id = 1"), 200);
}

Test(database_apply, a_deleted_user_does_not_come_back)
{
    site("DELETE FROM users WHERE id = 1");
    apply_one(delta_of(1, 1, 1));
    cr_assert_eq(site_number("SELECT count(*) FROM users WHERE id = 1"), 0);
    cr_assert_eq(site_number("SELECT count(*) FROM user_torrents"), 0);
    cr_assert_eq(site_number("SELECT count(*) FROM sessions"), 0);
    cr_assert_eq(applied(), 1);
}

Test(database_apply, a_deleted_torrent_does_not_come_back_but_its_bytes_are_the_users)
{
    site("DELETE FROM torrents WHERE id = 1");
    apply_one(delta_of(1, 1, 1));
    cr_assert_eq(site_number("SELECT count(*) FROM torrents WHERE id = 1"), 0);
    cr_assert_eq(site_number("SELECT count(*) FROM user_torrents"), 0);
    cr_assert_eq(site_number("SELECT uploaded FROM users WHERE id = 1"), 100);
}

Test(database_apply, unknown_ids_are_found_by_passkey_and_info_hash)
{
    struct delta delta = delta_of(1, 2, 3);
    delta.user_id = 0;
    delta.torrent_id = 0;
    apply_one(delta);
    cr_assert_eq(site_number("SELECT uploaded FROM user_torrents WHERE user_id = 2 AND torrent_id = 3"), 100);
}

Test(database_apply, unknown_ones_that_do_not_register_get_no_row)
{
    struct delta delta = delta_of(1, 9, 9);
    delta.user_id = 0;
    delta.torrent_id = 0;
    apply_one(delta);
    cr_assert_eq(site_number("SELECT count(*) FROM users"), 3);
    cr_assert_eq(site_number("SELECT count(*) FROM torrents"), 3);
    cr_assert_eq(applied(), 1);
}

Test(database_apply, new_users_and_torrents_register_themselves_once)
{
    struct delta deltas[] = {delta_of(1, 9, 9), delta_of(2, 9, 9), delta_of(3, 8, 9)};
    for (int i = 0; i < 3; i++) {
        deltas[i].user_id = 0;
        deltas[i].torrent_id = 0;
    }
    deltas[0].flags = DELTA_REGISTERS_TORRENT | DELTA_REGISTERS_USER | DELTA_HIDE_ADDRESS;
    deltas[2].flags = DELTA_REGISTERS_USER;
    deltas[2].peer_id[19] = 'x';
    cr_assert_eq(apply_many(deltas, 3), DATABASE_OK);
    cr_assert_eq(site_number("SELECT count(*) FROM users"), 5);
    cr_assert_eq(site_number("SELECT count(*) FROM torrents"), 4);
    cr_assert_eq(site_number("SELECT uploaded FROM users WHERE passkey = '00000000000000000000000000000009'"), 200);
    cr_assert_eq(site_number("SELECT count(*) FROM user_torrents"), 2);
}

Test(database_apply, registering_what_is_there_already_uses_it)
{
    struct delta delta = delta_of(1, 2, 3);
    delta.user_id = 0;
    delta.torrent_id = 0;
    delta.flags = DELTA_REGISTERS_TORRENT | DELTA_REGISTERS_USER;
    apply_one(delta);
    cr_assert_eq(site_number("SELECT count(*) FROM users"), 3);
    cr_assert_eq(site_number("SELECT uploaded FROM users WHERE id = 2"), 100);
}

Test(database_apply, a_snatch_is_counted_once_whatever_the_deltas_say)
{
    struct delta deltas[] = {delta_of(1, 1, 1), delta_of(2, 1, 1), delta_of(3, 2, 1)};
    deltas[0].flags = deltas[1].flags = deltas[2].flags = DELTA_SNATCHED;
    cr_assert_eq(apply_many(deltas, 3), DATABASE_OK);
    struct delta again = delta_of(4, 1, 1);
    again.flags = DELTA_SNATCHED;
    apply_one(again);
    cr_assert_eq(site_number("SELECT snatches FROM torrents WHERE id = 1"), 2);
    cr_assert_eq(site_number("SELECT snatched_at FROM user_torrents WHERE user_id = 1"), 1700000001);
}

Test(database_apply, a_session_stands_while_it_is_in_the_swarm)
{
    apply_one(delta_of(1, 1, 1));
    struct delta stopped = delta_of(2, 1, 1);
    stopped.event = EVENT_STOPPED;
    stopped.active = false;
    stopped.user_active = stopped.user_seeding = 0;
    apply_one(stopped);
    cr_assert_eq(site_number("SELECT count(*) FROM sessions"), 0);
    cr_assert_eq(site_number("SELECT active FROM user_torrents"), 0);
    cr_assert_eq(site_number("SELECT uploaded FROM users WHERE id = 1"), 200);
}

Test(database_apply, an_expiry_leaves_the_last_announce_as_it_was)
{
    apply_one(delta_of(1, 1, 1));
    struct delta expired = delta_of(5000, 1, 1);
    expired.event = EVENT_EXPIRED;
    expired.active = false;
    expired.session.last_announce_ms = 1700000001000;
    apply_one(expired);
    cr_assert_eq(site_number("SELECT last_announce FROM user_torrents"), 1700000001);
}

Test(database_apply, both_families_stand_in_the_session)
{
    struct delta delta = delta_of(1, 1, 1);
    address_parse(&delta.session.address6, "[2001:db8::7]:6881", 18);
    apply_one(delta);
    cr_assert_str_eq(site_text("SELECT ip4||' '||port4||' '||ip6||' '||port6 FROM sessions"),
                     "192.0.2.7 51413 2001:db8::7 6881");
}

Test(database_apply, hidden_addresses_are_not_written)
{
    struct delta delta = delta_of(1, 1, 1);
    delta.flags = DELTA_HIDE_ADDRESS;
    apply_one(delta);
    struct delta plain = delta_of(2, 2, 1);
    struct database_batch batch = {.instance = INSTANCE, .deltas = &plain, .count = 1, .include_address = false};
    struct error error;
    cr_assert_eq(database_apply(place.database, &batch, &error), DATABASE_OK);
    cr_assert_eq(site_number("SELECT count(*) FROM sessions WHERE ip4 IS NULL AND port4 IS NULL"), 2);
}

Test(database_apply, counts_of_a_torrent_are_those_of_its_last_delta)
{
    struct delta deltas[] = {delta_of(1, 3, 1), delta_of(2, 1, 1), delta_of(3, 2, 1)};
    deltas[0].seeders = 30;
    deltas[2].seeders = 7;
    deltas[2].leechers = 0;
    cr_assert_eq(apply_many(deltas, 3), DATABASE_OK);
    cr_assert_str_eq(site_text("SELECT seeders||','||leechers FROM torrents WHERE id = 1"), "7,0");
}

Test(database_apply, a_sum_beyond_64_bits_is_refused_whole)
{
    struct delta deltas[] = {delta_of(1, 2, 1), delta_of(2, 1, 1)};
    site("UPDATE users SET uploaded = 9223372036854775807 WHERE id = 1");
    cr_assert_eq(apply_many(deltas, 2), DATABASE_INVALID);
    cr_assert_eq(site_number("SELECT uploaded FROM users WHERE id = 2"), 0);
    cr_assert_eq(applied(), 0);
    cr_assert_eq(apply_many(deltas, 1), DATABASE_OK);
    deltas[1].credited_uploaded = UINT64_MAX;
    cr_assert_eq(apply_many(&deltas[1], 1), DATABASE_INVALID);
}

Test(database_apply, a_parked_delta_leaves_its_reason_and_is_passed)
{
    struct delta delta = delta_of(7, 1, 1);
    struct database_batch batch = {.instance = INSTANCE, .deltas = &delta, .count = 1, .include_address = true};
    struct error error;
    cr_assert_eq(database_park(place.database, &batch, "too large", &error), DATABASE_OK);
    cr_assert_eq(database_park(place.database, &batch, "too large", &error), DATABASE_OK);
    cr_assert_eq(applied(), 7);
    cr_assert_str_eq(site_text("SELECT count(*)||' '||max(seq)||' '||max(reason) FROM parked_deltas"), "1 7 too large");
    cr_assert(strstr(site_text("SELECT record FROM parked_deltas"), "\"seq\":7,"));
    struct parked_row rows[2];
    size_t count;
    cr_assert_eq(database_parked_list(place.database, 0, 2, rows, &count, &error), DATABASE_OK);
    cr_assert_eq(count, 1);
    cr_assert_eq(rows[0].seq, 7);
    cr_assert_str_eq(rows[0].reason, "too large");
}

Test(database_apply, a_locked_database_is_unavailable_and_takes_the_batch_later, .timeout = 30)
{
    struct delta delta = delta_of(1, 1, 1);
    site_lock();
    cr_assert_eq(apply_many(&delta, 1), DATABASE_UNAVAILABLE);
    site("COMMIT");
    cr_assert_eq(apply_many(&delta, 1), DATABASE_OK);
    cr_assert_eq(site_number("SELECT uploaded FROM users WHERE id = 1"), 100);
}

static void *interrupt_soon(void *argument)
{
    usleep(200000);
    database_interrupt(argument);
    return NULL;
}

/* Left alone, SQLite waits for 5 s, and PostgreSQL for longer. */
Test(database_apply, an_interrupt_ends_the_wait_for_a_lock)
{
    struct delta delta = delta_of(1, 1, 1);
    site_lock();
    pthread_t thread;
    int64_t begin = clock_monotonic_ns();
    pthread_create(&thread, NULL, interrupt_soon, place.database);
    cr_assert_neq(apply_many(&delta, 1), DATABASE_OK);
    cr_expect_lt(clock_monotonic_ns() - begin, INT64_C(4000000000));
    pthread_join(thread, NULL);
    site("COMMIT");
    cr_assert_eq(site_number("SELECT uploaded FROM users WHERE id = 1"), 0);
}

Test(database_apply, an_instance_with_other_signs_is_refused)
{
    uint64_t seq;
    struct error error;
    cr_assert_eq(database_applied(place.database, "a b", &seq, &error), DATABASE_INVALID);
    cr_assert_eq(database_applied(place.database, "", &seq, &error), DATABASE_INVALID);
}

Test(database_apply, accounts_are_read_with_their_keys)
{
    struct delta deltas[] = {delta_of(1, 1, 1), delta_of(2, 1, 2), delta_of(3, 2, 1)};
    cr_assert_eq(apply_many(deltas, 3), DATABASE_OK);
    struct user_torrent_row rows[5];
    size_t count;
    struct error error;
    struct user_torrent_filter all = {0};
    cr_assert_eq(database_user_torrent_list(place.database, &all, 5, rows, &count, &error), DATABASE_OK);
    cr_assert_eq(count, 3);
    cr_assert_eq(rows[1].torrent_id, 2);
    cr_assert_eq(rows[1].info_hash[19], 2);
    cr_assert_eq(rows[1].uploaded, 100);
    cr_assert_eq(strcmp(rows[2].passkey, "00000000000000000000000000000002"), 0);
    struct user_torrent_filter of_torrent = {.torrent_id = 1, .after_user = 1, .after_torrent = 1};
    cr_assert_eq(database_user_torrent_list(place.database, &of_torrent, 5, rows, &count, &error), DATABASE_OK);
    cr_assert_eq(count, 1);
    struct user_torrent_filter of_both = {.user_id = 1, .torrent_id = 2};
    cr_assert_eq(database_user_torrent_list(place.database, &of_both, 5, rows, &count, &error), DATABASE_OK);
    cr_assert_eq(count, 1);
    struct user_torrent_filter of_user = {.user_id = 1};
    cr_assert_eq(database_user_torrent_list(place.database, &of_user, 1, rows, &count, &error), DATABASE_OK);
    cr_assert_eq(count, 1);
}
