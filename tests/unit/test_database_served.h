/*
 * What a server has to do whichever it is: commit out of order, break a connection, let several start at once. Included
 * by the tests of each kind, behind the tests of the database room (error, told, read_now).
 */
#ifndef PRIVTRAK_TESTS_TEST_DATABASE_SERVED_H
#define PRIVTRAK_TESTS_TEST_DATABASE_SERVED_H

TestSuite(served, .init = place_open, .fini = place_close, .timeout = 60);

Test(served, a_change_that_commits_late_is_not_missed)
{
    SITE *slow = second_site();
    read_now();
    run_well(slow, "BEGIN");
    run_well(slow, "INSERT INTO users (id, passkey) VALUES (1, 'slow')");
    add_user(2);
    cr_assert_str_eq(read_now(), "changes u2");
    cr_assert_str_eq(read_now(), "changes");
    run_well(slow, "COMMIT");
    cr_assert_str_eq(read_now(), "changes u1");
    cr_assert_str_eq(read_now(), "changes");
    site_end(slow);
}

Test(served, a_change_that_was_open_at_the_first_read_is_not_missed)
{
    SITE *slow = second_site();
    run_well(slow, "BEGIN");
    run_well(slow, "INSERT INTO users (id, passkey) VALUES (1, 'slow')");
    add_user(2);
    cr_assert_str_eq(read_now(), "whole u2 c0 m100");
    run_well(slow, "COMMIT");
    cr_assert_str_eq(read_now(), "changes u1");
    site_end(slow);
}

Test(served, many_transactions_that_commit_in_another_order_are_all_seen)
{
    enum { COUNT = 20 };
    SITE *sites[COUNT];
    read_now();
    for (int i = 0; i < COUNT; i++) {
        char sql[128];
        sites[i] = second_site();
        run_well(sites[i], "BEGIN");
        snprintf(sql, sizeof(sql), "INSERT INTO users (id, passkey) VALUES (%d, 'k%d')", i + 1, i + 1);
        run_well(sites[i], sql);
        add_torrent(i + 1);
    }
    bool seen[COUNT + 1] = {false};
    for (int i = 0; i < COUNT; i++) {
        int which = (i * 7) % COUNT;
        run_well(sites[which], which % 5 == 0 ? "ROLLBACK" : "COMMIT");
        for (const char *at = strstr(read_now(), " u"); at; at = strstr(at + 1, " u"))
            seen[atoi(at + 2)] = true;
        site_end(sites[which]);
    }
    for (int id = 1; id <= COUNT; id++)
        cr_expect_eq(seen[id], (id - 1) % 5 != 0, "user %d", id);
}

Test(served, a_change_that_is_taken_back_leaves_nothing)
{
    SITE *slow = second_site();
    read_now();
    run_well(slow, "BEGIN");
    run_well(slow, "INSERT INTO users (id, passkey) VALUES (1, 'slow')");
    add_user(2);
    cr_assert_str_eq(read_now(), "changes u2");
    run_well(slow, "ROLLBACK");
    add_user(3);
    cr_assert_str_eq(read_now(), "changes u3");
    cr_assert_str_eq(read_now(), "changes");
    site_end(slow);
}

Test(served, a_broken_connection_is_made_anew_and_all_is_read_again)
{
    add_user(1);
    read_now();
    break_connections();
    add_user(2);
    usleep(200000);
    cr_assert_str_eq(read_now(), "whole u1 u2 c0 m100");
}

/* An old connection that is still at work: the number is only known when it has ended. */
Test(served, the_number_waits_for_a_commit_that_is_under_way)
{
    add_user(1);
    add_torrent(1);
    struct delta delta = delta_of(1, 1, 1);
    SITE *old = second_site();
    run_well(old, "BEGIN");
    run_well(old, LOCK_NUMBER);
    run_well(old, "INSERT INTO privtrak VALUES ('applied." INSTANCE "', '1')");
    run_well(old, "UPDATE users SET uploaded = 100 WHERE id = 1");
    uint64_t seq;
    cr_assert_eq(database_applied(place.database, INSTANCE, &seq, &error), DATABASE_UNAVAILABLE);
    cr_assert_eq(apply_many(&delta, 1), DATABASE_UNAVAILABLE);
    run_well(old, "COMMIT");
    cr_assert_eq(applied(), 1);
    cr_assert_eq(apply_many(&delta, 1), DATABASE_OK);
    cr_assert_eq(site_number("SELECT uploaded FROM users WHERE id = 1"), 100);
    site_end(old);
}

Test(served, ids_of_the_sites_own_move_the_counter_along)
{
    site("INSERT INTO users (id, passkey) VALUES (1, 'a'), (50, 'b')");
    struct user_row row = {.name = "next"};
    OK(database_user_create(place.database, USER_FIELD_NAME, &row, &error));
    cr_assert_eq(row.id, 51);
    add_torrent(7);
    struct delta delta = delta_of(1, 1, 9);
    delta.torrent_id = 0;
    delta.flags = DELTA_REGISTERS_TORRENT;
    apply_one(delta);
    cr_assert_eq(site_number("SELECT max(id) FROM torrents"), 8);
}

Test(served, a_clients_name_may_hold_any_sign)
{
    add_user(1);
    add_torrent(1);
    struct delta delta = delta_of(1, 1, 1);
    memcpy(delta.peer_id, "\"\\{},' \x01", 8);
    apply_one(delta);
    cr_assert_str_eq(site_text("SELECT client FROM sessions"), "\"\\{},' ?");
}

Test(served, names_hold_any_sign_and_are_searched_so)
{
    static const char *const names[] = {"it's", "back\\slash", "two''quotes\"", "$1 costs $2",
                                        "\xc3\xa4\xf0\x9f\x90\x98"};
    for (size_t i = 0; i < 5; i++) {
        struct user_row row, found[2];
        size_t count;
        snprintf(row.name, sizeof(row.name), "%s", names[i]);
        OK(database_user_create(place.database, USER_FIELD_NAME, &row, &error));
        cr_assert_str_eq(row.name, names[i]);
        OK(database_user_list(place.database, 0, 2, names[i], found, &count, &error));
        cr_assert_eq(count, 1, "%s", names[i]);
        cr_assert_eq(found[0].id, row.id);
    }
}

Test(served, handles_that_start_together_make_one_schema)
{
    site_empty();
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct database *database = database_open(place.url, &error);
            bool connects = database && database_connect(database, &error) == DATABASE_OK;
            if (!connects)
                fprintf(stderr, "not connected: %s\n", error.text);
            _exit(connects ? 0 : 1);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status = 1;
        cr_assert_eq(waitpid(children[i], &status, 0), children[i]);
        cr_assert_eq(status, 0);
    }
    cr_assert_eq(site_number("SELECT count(*) FROM privtrak"), 1);
}

/* A server of which every third batch loses its connection: each is applied once all the same. */
Test(served, batches_over_breaking_connections_are_applied_once)
{
    add_user(1);
    add_torrent(1);
    for (uint64_t seq = 1; seq <= 60; seq++) {
        struct delta delta = delta_of(seq, 1, 1);
        if (seq % 3 == 0)
            break_connections();
        while (apply_many(&delta, 1) != DATABASE_OK)
            usleep(10000);
    }
    cr_assert_eq(site_number("SELECT uploaded FROM users WHERE id = 1"), 6000);
    cr_assert_eq(applied(), 60);
}

#endif
