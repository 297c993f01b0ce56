/*
 * The same promises over MariaDB: all tests of schema, lists, batches, sink and registry, and then what only
 * a server can do: commit out of order, break a connection, go away and come back; and what is MariaDB's own.
 */
#define PRIVTRAK_TEST_MARIADB

/* The same tests, which PRIVTRAK_TEST_MARIADB leads to a server. NOLINTBEGIN(bugprone-suspicious-include) */
#include "test_database_apply.c"
#include "test_database_schema.c"

/* These have an error of their own for all their tests. */
#include "test_database.c"
#include "test_registry.c"
#include "test_sink_database.c"
/* NOLINTEND(bugprone-suspicious-include) */

#include "test_database_served.h"

TestSuite(mariadb, .init = place_open, .fini = place_close, .timeout = 60);

Test(mariadb, the_log_is_not_pruned_beyond_a_transaction_that_is_open)
{
    MYSQL *slow = second_site();
    read_now();
    run_well(slow, "BEGIN");
    run_well(slow, "INSERT INTO users (id, passkey) VALUES (1, 'slow')");
    add_user(2);
    add_user(3);
    read_now();
    site("UPDATE changes SET at = at - 4000 WHERE id > 1"); /* the first is not there for this site yet */
    cr_assert_neq(database_prune(place.database, &error), DATABASE_OK);
    cr_assert_eq(site_number("SELECT count(*) FROM changes"), 2);
    run_well(slow, "COMMIT");
    cr_assert_str_eq(read_now(), "changes u1");
    site("UPDATE changes SET at = at - 4000");
    prune_to(0);
    mysql_close(slow);
}

/* A site and the sink that lock the same rows in another order: one of them is told to try again, and nothing is lost. */
Test(mariadb, a_deadlock_is_a_reason_to_try_again)
{
    for (int id = 1; id <= 2; id++) {
        add_user(id);
        add_torrent(id);
    }
    struct delta deltas[] = {delta_of(1, 1, 1), delta_of(2, 2, 1)};
    MYSQL *other = second_site();
    run_well(other, "BEGIN");
    run_well(other, "UPDATE users SET quarantined = 5 WHERE id = 2");
    cr_assert_eq(apply_many(deltas, 2), DATABASE_UNAVAILABLE);
    cr_assert_eq(applied(), 0);
    run_well(other, "ROLLBACK");
    cr_assert_eq(apply_many(deltas, 2), DATABASE_OK);
    cr_assert_eq(site_number("SELECT sum(uploaded) FROM users"), 200);
    mysql_close(other);
}

/* Case, accents and spaces at the end are what makes MySQL's usual comparison a trap. */
Test(mariadb, passkeys_are_compared_byte_by_byte)
{
    site("INSERT INTO users (id, passkey) VALUES (1, 'Key'), (2, 'key')");
    struct user_row row;
    OK(database_user_by_passkey(place.database, "key", &row, &error));
    cr_assert_eq(row.id, 2);
    cr_assert_eq(database_user_by_passkey(place.database, "KEY", &row, &error), DATABASE_NOT_FOUND);
    cr_assert_eq(database_user_by_passkey(place.database, "key ", &row, &error), DATABASE_NOT_FOUND);
    cr_assert_eq(database_user_by_passkey(place.database, "k\xc3\xa9y", &row, &error), DATABASE_NOT_FOUND);
    cr_assert_not(site_try("UPDATE users SET passkey = 'key ' WHERE id = 1"));
}

/* Such a session cuts what is too long, and makes numbers of what is none. */
Test(mariadb, a_session_that_is_not_strict_is_refused_bad_values_too)
{
    site("SET sql_mode = ''");
    cr_assert_not(site_try("INSERT INTO users (passkey) VALUES (repeat('a', 65))"));
    cr_assert_not(site_try("INSERT INTO users (passkey) VALUES (repeat('a', 500))"));
    cr_assert_not(site_try("INSERT INTO torrents (info_hash) VALUES (repeat('a', 41))"));
    cr_assert_not(site_try("INSERT INTO torrents (info_hash) VALUES (repeat('a', 500))"));
    cr_assert_not(site_try("INSERT INTO clients (prefix) VALUES (repeat('a', 500))"));
}

Test(mariadb, a_sites_user_needs_rights_on_its_tables_only)
{
    char sql[512];
    snprintf(sql, sizeof(sql),
             "CREATE USER site_%s; GRANT SELECT, INSERT, UPDATE, DELETE ON %s.users TO site_%s; "
             "GRANT SELECT, INSERT, UPDATE, DELETE ON %s.clients TO site_%s",
             place.name, place.name, place.name, place.name, place.name);
    site(sql);
    read_now();
    snprintf(sql, sizeof(sql), "site_%s", place.name);
    MYSQL *limited = connect_as(sql, place.name);
    cr_assert(limited);
    run_well(limited, "INSERT INTO users (id, passkey) VALUES (1, 'x')");
    run_well(limited, "UPDATE users SET enabled = 0");
    run_well(limited, "INSERT INTO clients (prefix) VALUES ('-qB')");
    cr_assert_not(run_on(limited, "SELECT * FROM changes", NULL, 0));
    cr_assert_str_eq(read_now(), "changes u1 c1");
    run_well(limited, "DELETE FROM users");
    cr_assert_str_eq(read_now(), "changes -u1");
    mysql_close(limited);
}

/* As docs/database.md tells to grant them. */
Test(mariadb, the_trackers_user_needs_rights_on_its_database_only)
{
    char sql[512], url[512];
    snprintf(
        sql, sizeof(sql),
        "CREATE DATABASE own_%s; CREATE USER own_%s IDENTIFIED BY 'p@ss/word'; GRANT SELECT, INSERT, UPDATE, DELETE, "
        "CREATE, ALTER, INDEX, REFERENCES, TRIGGER, CREATE TEMPORARY TABLES ON own_%s.* TO own_%s",
        place.name, place.name, place.name, place.name);
    site(sql);
    snprintf(url, sizeof(url), "mariadb://own_%s:p%%40ss%%2Fword@/own_%s?socket=%s/socket", place.name, place.name,
             getenv("PRIVTRAK_TEST_SERVER"));
    struct database *own = database_open(url, &error);
    cr_assert(own, "%s", error.text);
    struct user_row row = {.name = "alice"};
    OK(database_user_create(own, USER_FIELD_NAME, &row, &error));
    struct delta delta = delta_of(1, (int)row.id, 1);
    delta.torrent_id = 0;
    delta.flags = DELTA_REGISTERS_TORRENT | DELTA_SNATCHED;
    struct database_batch batch = {.instance = INSTANCE, .deltas = &delta, .count = 1};
    OK(database_apply(own, &batch, &error));
    OK(database_read(own, &teller, &error));
    OK(database_prune(own, &error));
    database_close(own);
}

Test(mariadb, truncating_is_refused_because_it_would_go_unnoticed)
{
    add_user(1);
    add_torrent(1);
    site("INSERT INTO clients (prefix) VALUES ('-qB')");
    cr_assert_not(site_try("TRUNCATE users"));
    cr_assert_not(site_try("TRUNCATE torrents"));
    cr_assert_not(site_try("TRUNCATE clients"));
    site("DELETE FROM users");
}

static struct database *another(const char *name)
{
    char url[512];
    snprintf(url, sizeof(url), "mariadb://root@/%s?socket=%s/socket", name, getenv("PRIVTRAK_TEST_SERVER"));
    struct database *database = database_open(url, &error);
    cr_assert(database, "%s", error.text);
    return database;
}

Test(mariadb, tables_of_a_sites_own_are_not_taken_over)
{
    char sql[256], name[64];
    snprintf(name, sizeof(name), "taken_%s", place.name);
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s; CREATE TABLE %s.users (id int)", name, name);
    site(sql);
    struct database *database = another(name);
    cr_assert_eq(database_connect(database, &error), DATABASE_UNAVAILABLE);
    cr_assert(strstr(error.text, "database of its own"), "%s", error.text);
    cr_assert(database_is_refused(database));
    database_close(database);
}

Test(mariadb, a_schema_that_was_half_made_is_finished)
{
    char sql[512], name[64];
    snprintf(name, sizeof(name), "half_%s", place.name);
    snprintf(sql, sizeof(sql),
             "CREATE DATABASE %s; CREATE TABLE %s.privtrak LIKE privtrak; CREATE TABLE %s.users LIKE users", name, name,
             name);
    site(sql);
    struct database *database = another(name);
    struct user_row row = {.name = "alice"};
    OK(database_user_create(database, USER_FIELD_NAME, &row, &error));
    OK(database_read(database, &teller, &error));
    cr_assert_str_eq(told, "whole u1 c0 m100");
    row.enabled = false;
    OK(database_user_update(database, row.id, USER_FIELD_ENABLED, &row, &error));
    OK(database_read(database, &teller, &error));
    cr_assert_str_eq(told, "changes u1");
    database_close(database);
}

Test(mariadb, tables_of_another_engine_are_refused)
{
    site("ALTER TABLE sessions ENGINE = MyISAM");
    struct database *database = another(place.name);
    cr_assert_eq(database_connect(database, &error), DATABASE_UNAVAILABLE);
    cr_assert(strstr(error.text, "InnoDB") && strstr(error.text, "sessions"), "%s", error.text);
    cr_assert(database_is_refused(database));
    database_close(database);
}

Test(mariadb, what_cannot_be_reached_is_unavailable_and_tells_no_password)
{
    static const char *const urls[] = {"mariadb://user:secret@127.0.0.1:9/x",
                                       "mariadb://user:secret@/x?socket=/nowhere/s"};
    for (size_t i = 0; i < 2; i++) {
        struct database *database = database_open(urls[i], &error);
        cr_assert(database);
        cr_assert_eq(database_connect(database, &error), DATABASE_UNAVAILABLE);
        cr_assert_null(strstr(error.text, "secret"), "%s", error.text);
        cr_assert_not(database_is_refused(database));
        database_close(database);
    }
}

Test(mariadb, a_wrong_password_is_a_refusal)
{
    char url[512];
    snprintf(url, sizeof(url), "mariadb://root:secret@/%s?socket=%s/socket", place.name,
             getenv("PRIVTRAK_TEST_SERVER"));
    struct database *database = database_open(url, &error);
    cr_assert_eq(database_connect(database, &error), DATABASE_UNAVAILABLE);
    cr_assert_null(strstr(error.text, "secret"), "%s", error.text);
    cr_assert(database_is_refused(database), "%s", error.text);
    database_close(database);
}

/* Each with what its reason has to say. */
Test(mariadb, urls_that_are_none_are_refused_with_a_reason)
{
    static const char *const urls[][2] = {{"mariadb://host", "no name"},
                                          {"mariadb://u:secret@host/", "no name"},
                                          {"mariadb://u:secret@host:0/x", "port"},
                                          {"mariadb://u:secret@host:70000/x", "port"},
                                          {"mariadb://u:secret@[::1/x", "IPV6"},
                                          {"mariadb://u:secret@host/x?colour=red", "colour"},
                                          {"mariadb://u:secret@host/x?ssl-mode=maybe", "ssl-mode"},
                                          {"mariadb://u:secret@host/x?lock-timeout=0", "lock-timeout"},
                                          {"mariadb://u:secret@host/x?lock-timeout=1x", "lock-timeout"},
                                          {"mariadb://u:secret%zz@host/x", "escape"},
                                          {"mariadb://u:secret@host/x?ssl-ca", "NAME=VALUE"},
                                          {"mariadb://u:secret@host/x?socket=/s", "one of them"}};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        cr_expect_null(database_open(urls[i][0], &error), "%s", urls[i][0]);
        cr_expect(strstr(error.text, urls[i][1]), "%s: %s", urls[i][0], error.text);
        cr_expect_null(strstr(error.text, "secret"), "%s", error.text);
    }
}

/* A statement is cut into several where it would be longer than the server takes, or has too many rows. */
Test(mariadb, large_batches_are_applied_whole)
{
    enum { COUNT = 20000 };
    struct delta *deltas = calloc(COUNT, sizeof(*deltas));
    site("INSERT INTO users (id, passkey) SELECT seq, lpad(seq, 32, '0') FROM seq_1_to_2000");
    site("INSERT INTO torrents (id, info_hash) SELECT seq, lpad(seq, 40, '0') FROM seq_1_to_3000");
    for (int i = 0; i < COUNT; i++) {
        deltas[i] = delta_of((uint64_t)i + 1, 1 + i % 2000, 1 + (i * 7) % 3000);
        deltas[i].flags = DELTA_SNATCHED;
        deltas[i].active = i % 4 != 0;
    }
    cr_assert_eq(apply_many(deltas, COUNT), DATABASE_OK);
    cr_assert_eq(site_number("SELECT sum(uploaded) FROM users"), COUNT * 100);
    cr_assert_eq(site_number("SELECT sum(uploaded) FROM user_torrents"), COUNT * 100);
    cr_assert_eq(site_number("SELECT sum(snatches) FROM torrents"), site_number("SELECT count(*) FROM user_torrents"));
    cr_assert_eq(site_number("SELECT count(*) FROM user_torrents WHERE snatched_at IS NULL"), 0);
    free(deltas);
}
