/* The database is away when the tracker starts: it goes on with the lists as they were, and loses nothing. */
#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/harness.h"

TestSuite(database_away, .fini = harness_finish);

static char output[65536];

static void path_in(const struct daemon *daemon, char path[static 256], const char *name)
{
    (void)snprintf(path, 256, "%s/state/%s", daemon->directory, name);
}

/* Another program that lets nobody else read or write; closed by unlock. */
static sqlite3 *lock(const struct daemon *daemon)
{
    char path[256];
    path_in(daemon, path, "privtrak.db");
    sqlite3 *database = NULL;
    cr_assert_eq(sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(database, 5000);
    int result = sqlite3_exec(database, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE", NULL, NULL, NULL);
    cr_assert_eq(result, SQLITE_OK, "%s", sqlite3_errmsg(database));
    return database;
}

static void run(sqlite3 *database, const char *sql)
{
    cr_assert_eq(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(database));
}

static void unlock(sqlite3 *database)
{
    run(database, "COMMIT");
    sqlite3_close(database);
}

static void say(const struct daemon *daemon, const struct ask *ask, const char *failure)
{
    struct told told;
    http_announce(daemon, ask, &told);
    if (failure[0] == '\0')
        cr_assert_str_eq(told.failure, "");
    else
        cr_assert_not_null(strstr(told.failure, failure), "\"%s\" is told", told.failure);
}

static void expect_refused_start(const struct daemon *daemon, const char *one, const char *two)
{
    int status = run_program(daemon, output, sizeof output, "privtrakd", "-c", "tracker.yaml", NULL);
    cr_assert_neq(status, 0);
    cr_assert(strstr(output, one) != NULL && strstr(output, two) != NULL, "the start says: %s", output);
}

/* Where the first start has written the cache, a kill does not matter. */
static void wait_for_cache(const struct daemon *daemon)
{
    char path[256];
    path_in(daemon, path, "lists.cache");
    for (double end = now_s() + 10; access(path, R_OK) != 0; sleep_s(0.05))
        cr_assert(now_s() < end, "no cache of the lists is written");
}

Test(database_away, starts_with_the_lists_as_they_were_and_takes_the_new_ones)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    const char *alice = add_user(&daemon, "alice");
    database_run(&daemon, "INSERT INTO torrents (info_hash, state, reason) VALUES ('%040d', 'deleted', 'trumped')", 0);
    struct ask ask = {.passkey = alice, .torrent = "there", .peer = "a", .left = 100, .up = 1000};
    say(&daemon, &ask, "");
    ask.up = 1500;
    say(&daemon, &ask, "");
    daemon_terminate(&daemon);

    sqlite3 *other = lock(&daemon);
    run(other, "UPDATE users SET enabled = 0 WHERE name = 'owner'");
    run(other, "INSERT INTO users (name, passkey) VALUES ('bob', 'bob-is-new')");
    daemon_launch(&daemon);
    cr_assert(daemon_logs(&daemon, "the database is away, going on with the lists as they were", 0));
    cr_assert(daemon_logs(&daemon, "seconds ago", 0));
    ask.up = 1700;
    say(&daemon, &ask, "");
    struct ask owner = {.passkey = daemon.owner, .torrent = "there", .peer = "o"};
    say(&daemon, &owner, "");
    struct ask bob = {.passkey = "bob-is-new", .torrent = "there", .peer = "b"};
    say(&daemon, &bob, "passkey");
    cr_assert_eq(run_program(&daemon, output, sizeof output, "privtrakctl", "--json", "stats", NULL), 0);
    cr_assert_not_null(strstr(output, "database is locked"), "%s", output);

    unlock(other);
    cr_assert(daemon_logs(&daemon, "the database answers again", 40));
    say(&daemon, &bob, "");
    say(&daemon, &owner, "disabled");
    database_expect(&daemon, 700, "SELECT uploaded FROM users WHERE name = 'alice'");
    daemon_stop(&daemon);
}

Test(database_away, a_user_that_the_cache_does_not_know_loses_nothing)
{
    struct daemon daemon;
    char cache[256], kept[256];
    daemon_start(&daemon, &(struct daemon_options){0});
    wait_for_cache(&daemon);
    path_in(&daemon, cache, "lists.cache");
    path_in(&daemon, kept, "kept");
    cr_assert_eq(link(cache, kept), 0);
    struct ask ask = {.passkey = add_user(&daemon, "late"), .torrent = "there", .peer = "a", .left = 100, .up = 1000};
    say(&daemon, &ask, "");
    ask.up = 1500;
    say(&daemon, &ask, "");
    daemon_terminate(&daemon);
    cr_assert_eq(rename(kept, cache), 0);

    sqlite3 *other = lock(&daemon);
    daemon_launch(&daemon);
    ask.up = 1700;
    say(&daemon, &ask, "passkey");
    unlock(other);
    cr_assert(daemon_logs(&daemon, "the database answers again", 40));
    say(&daemon, &ask, "");
    database_expect(&daemon, 700, "SELECT uploaded FROM users WHERE name = 'late'");
    daemon_stop(&daemon);
}

Test(database_away, may_be_killed_again_and_again_meanwhile)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "there", .peer = "a", .left = 100, .up = 1000};
    say(&daemon, &ask, "");
    wait_for_cache(&daemon);
    sleep_s(0.5);
    daemon_kill(&daemon);
    sqlite3 *other = lock(&daemon);
    for (int kills = 0; kills < 2; kills++) {
        daemon_launch(&daemon);
        ask.up += 100;
        say(&daemon, &ask, "");
        sleep_s(0.5);
        daemon_kill(&daemon);
    }
    unlock(other);
    daemon_launch(&daemon);
    database_expect(&daemon, 200, "SELECT uploaded FROM users WHERE name = 'owner'");
    daemon_stop(&daemon);
}

Test(database_away, a_lock_that_only_keeps_from_writing_is_no_matter)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    daemon_terminate(&daemon);
    char path[256];
    path_in(&daemon, path, "privtrak.db");
    sqlite3 *other = NULL;
    cr_assert_eq(sqlite3_open(path, &other), SQLITE_OK);
    run(other, "BEGIN IMMEDIATE");
    daemon_launch(&daemon);
    cr_assert_not(daemon_logs(&daemon, "the database is away", 0));
    unlock(other);
    daemon_stop(&daemon);
}

Test(database_away, without_a_cache_the_start_is_refused)
{
    struct daemon daemon;
    char cache[256];
    daemon_start(&daemon, &(struct daemon_options){0});
    daemon_terminate(&daemon);
    path_in(&daemon, cache, "lists.cache");
    struct stat status;
    cr_assert_eq(stat(cache, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0600u, "it holds passkeys");
    cr_assert_eq(unlink(cache), 0);
    sqlite3 *other = lock(&daemon);
    expect_refused_start(&daemon, "database is locked", "lists.cache: No such file");
    unlock(other);
    daemon_launch(&daemon);
    daemon_stop(&daemon);
}

Test(database_away, a_damaged_cache_is_not_used)
{
    struct daemon daemon;
    char cache[256];
    daemon_start(&daemon, &(struct daemon_options){0});
    daemon_terminate(&daemon);
    path_in(&daemon, cache, "lists.cache");
    FILE *file = fopen(cache, "r+");
    cr_assert_not_null(file);
    cr_assert_eq(fseek(file, 60, SEEK_SET), 0);
    (void)fputc('x', file);
    cr_assert_eq(fclose(file), 0);
    sqlite3 *other = lock(&daemon);
    expect_refused_start(&daemon, "database is locked", "damaged");
    unlock(other);
    daemon_launch(&daemon);
    daemon_stop(&daemon);
}

Test(database_away, what_waiting_does_not_mend_refuses_the_start_in_spite_of_the_cache)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    daemon_terminate(&daemon);
    database_run(&daemon, "UPDATE privtrak SET value = '99' WHERE key = 'schema'");
    expect_refused_start(&daemon, "schema has version 99", "newer");
    char path[256];
    path_in(&daemon, path, "privtrak.db");
    write_file(path,
               "This is no database, but as long as a page of one would be at the least: ........................");
    expect_refused_start(&daemon, "not a database", "privtrak.db");
    daemon_forget(&daemon);
}
