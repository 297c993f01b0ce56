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

TestSuite(postgresql, .init = place_open, .fini = place_close, .timeout = 60);

static PGconn *second_site(void)
{
    char name[32];
    snprintf(name, sizeof(name), "t%ld", (long)getpid());
    PGconn *connection = connect_to(name);
    cr_assert_eq(PQstatus(connection), CONNECTION_OK);
    return connection;
}

static void run_on(PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    cr_assert(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, "%s: %s", sql, PQerrorMessage(connection));
    PQclear(result);
}

Test(postgresql, a_change_that_commits_late_is_not_missed)
{
    PGconn *slow = second_site();
    read_now();
    run_on(slow, "BEGIN");
    run_on(slow, "INSERT INTO users (id, passkey) VALUES (1, 'slow')");
    add_user(2);
    cr_assert_str_eq(read_now(), "changes u2");
    run_on(slow, "COMMIT");
    cr_assert_str_eq(read_now(), "changes u1");
    cr_assert_str_eq(read_now(), "changes");
    PQfinish(slow);
}

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

Test(postgresql, a_broken_connection_is_made_anew_and_all_is_read_again)
{
    add_user(1);
    read_now();
    site("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'privtrak' "
         "AND datname = current_database()");
    add_user(2);
    usleep(200000);
    cr_assert_str_eq(read_now(), "whole u1 u2 c0 m100");
}

Test(postgresql, a_connection_that_ends_is_worth_a_look)
{
    read_now();
    int fd = database_notify_fd(place.database);
    site("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'privtrak' "
         "AND datname = current_database()");
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&ready, 1, 5000), 1);
    for (int i = 0; i < 50 && database_notify_fd(place.database) >= 0 && !database_notified(place.database); i++)
        usleep(20000);
    cr_assert_str_eq(read_now(), "whole c0 m100");
}

/* An old connection that is still at work: the number is only known when it has ended. */
Test(postgresql, the_number_waits_for_a_commit_that_is_under_way)
{
    add_user(1);
    add_torrent(1);
    struct delta delta = delta_of(1, 1, 1);
    PGconn *old = second_site();
    run_on(old, "BEGIN");
    run_on(old, "SELECT pg_advisory_xact_lock(hashtextextended('privtrak.applied." INSTANCE "', 0))");
    run_on(old, "INSERT INTO privtrak (key, value) VALUES ('applied." INSTANCE "', '1')");
    run_on(old, "UPDATE users SET uploaded = 100 WHERE id = 1");
    uint64_t seq;
    cr_assert_eq(database_applied(place.database, INSTANCE, &seq, &error), DATABASE_UNAVAILABLE);
    cr_assert_eq(apply_many(&delta, 1), DATABASE_UNAVAILABLE);
    run_on(old, "COMMIT");
    cr_assert_eq(applied(), 1);
    cr_assert_eq(apply_many(&delta, 1), DATABASE_OK);
    cr_assert_eq(site_number("SELECT uploaded FROM users WHERE id = 1"), 100);
    PQfinish(old);
}

Test(postgresql, ids_of_the_sites_own_move_the_counter_along)
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

Test(postgresql, a_clients_name_may_hold_any_sign)
{
    add_user(1);
    add_torrent(1);
    struct delta delta = delta_of(1, 1, 1);
    memcpy(delta.peer_id, "\"\\{},' \x01", 8);
    apply_one(delta);
    cr_assert_str_eq(site_text("SELECT client FROM sessions"), "\"\\{},' ?");
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

Test(postgresql, handles_that_start_together_make_one_schema)
{
    site("DROP SCHEMA public CASCADE");
    site("CREATE SCHEMA public");
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

/* A server of which every third batch loses its connection: each is applied once all the same. */
Test(postgresql, batches_over_breaking_connections_are_applied_once)
{
    add_user(1);
    add_torrent(1);
    for (uint64_t seq = 1; seq <= 60; seq++) {
        struct delta delta = delta_of(seq, 1, 1);
        if (seq % 3 == 0)
            site("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'privtrak' "
                 "AND datname = current_database()");
        while (apply_many(&delta, 1) != DATABASE_OK)
            usleep(10000);
    }
    cr_assert_eq(site_number("SELECT uploaded FROM users WHERE id = 1"), 6000);
    cr_assert_eq(applied(), 60);
}
