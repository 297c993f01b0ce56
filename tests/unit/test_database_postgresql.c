/*
 * The same promises over PostgreSQL: all tests of schema, lists, batches, sink and registry, and then what
 * only a server can do: notify, commit out of order, break a connection, go away and come back.
 */
#define PRIVTRAK_TEST_POSTGRESQL

/* The same tests, which PRIVTRAK_TEST_POSTGRESQL leads to a server. NOLINTBEGIN(bugprone-suspicious-include) */
#include "test_database_apply.c"
#include "test_database_schema.c"

/* These have an error of their own for all their tests. */
#include "test_database.c"
#include "test_registry.c"
#include "test_sink_database.c"
/* NOLINTEND(bugprone-suspicious-include) */

#include <poll.h>

#include "test_database_served.h"

TestSuite(postgresql, .init = place_open, .fini = place_close, .timeout = 60);

Test(postgresql, the_site_is_heard_at_once)
{
    read_now();
    int fd = database_notify_fd(place.database);
    cr_assert_geq(fd, 0);
    cr_assert_not(database_notified(place.database));
    add_user(1);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&ready, 1, 5000), 1);
    cr_assert(database_notified(place.database));
    cr_assert_not(database_notified(place.database));
}

Test(postgresql, what_the_sink_writes_notifies_nobody)
{
    add_user(1);
    add_torrent(1);
    read_now();
    int fd = database_notify_fd(place.database);
    struct database *sink_side = database_open(place.url, &error);
    struct delta delta = delta_of(1, 1, 1);
    struct database_batch batch = {.instance = INSTANCE, .deltas = &delta, .count = 1};
    OK(database_apply(sink_side, &batch, &error));
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&ready, 1, 300), 0);
    database_close(sink_side);
}

/* As a tracker that knew only the first version left it. */
Test(postgresql, tables_of_the_first_version_are_brought_up_to_date_with_what_is_in_them)
{
    add_user(1);
    add_torrent(1);
    apply_one(delta_of(1, 1, 1));
    site("ALTER TABLE user_torrents SET (fillfactor = 75); ALTER TABLE sessions SET (fillfactor = 75)");
    site("UPDATE privtrak SET value = '1' WHERE key = 'schema'");
    struct database *newer = database_open(place.url, &error);
    OK(database_connect(newer, &error));
    cr_assert_eq(site_number("SELECT count(*) FROM pg_class WHERE oid IN ('user_torrents'::regclass, "
                             "'sessions'::regclass) AND reloptions = '{fillfactor=50}'"),
                 2);
    cr_assert_eq(site_number("SELECT value FROM privtrak WHERE key = 'schema'"), 2);
    cr_assert_eq(site_number("SELECT uploaded FROM user_torrents"), 100);
    struct delta delta = delta_of(2, 1, 1);
    struct database_batch batch = {.instance = INSTANCE, .deltas = &delta, .count = 1};
    OK(database_apply(newer, &batch, &error));
    cr_assert_eq(site_number("SELECT uploaded FROM user_torrents"), 200);
    database_close(newer);
}

Test(postgresql, a_connection_that_ends_is_worth_a_look)
{
    read_now();
    int fd = database_notify_fd(place.database);
    break_connections();
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&ready, 1, 5000), 1);
    for (int i = 0; i < 50 && database_notify_fd(place.database) >= 0 && !database_notified(place.database); i++)
        usleep(20000);
    cr_assert_str_eq(read_now(), "whole c0 m100");
}

Test(postgresql, a_sites_role_needs_rights_on_its_tables_only)
{
    site("CREATE ROLE site LOGIN");
    site("GRANT SELECT, INSERT, UPDATE, DELETE ON users, torrents, clients TO site");
    read_now();
    site("SET ROLE site");
    add_user(1);
    site("UPDATE users SET enabled = 0");
    site("INSERT INTO clients (prefix) VALUES ('-qB')");
    site("RESET ROLE");
    cr_assert_str_eq(read_now(), "changes u1 c1");
    site("DROP OWNED BY site; DROP ROLE site");
}

Test(postgresql, truncating_is_refused_because_it_would_go_unnoticed)
{
    add_user(1);
    cr_assert_not(site_try("TRUNCATE users"));
}

Test(postgresql, nobody_listening_is_unavailable_and_tells_no_password)
{
    struct database *database = database_open("postgresql://user:secret@127.0.0.1:9/x", &error);
    cr_assert(database);
    cr_assert_eq(database_connect(database, &error), DATABASE_UNAVAILABLE);
    cr_assert_null(strstr(error.text, "secret"), "%s", error.text);
    cr_assert_null(strchr(error.text, '\n'));
    database_close(database);
    cr_assert_null(database_open("postgresql://host/x?no_such_option=1", &error));
}
