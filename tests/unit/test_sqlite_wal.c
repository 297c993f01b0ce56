/* The layer that gathers what is written to SQLite's log: nobody sees a difference but the clock. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "database/sqlite.h"

enum { ROWS = 2000 };

static char folder[64], path[96];
static sqlite3 *ours, *others;

static void run(sqlite3 *handle, const char *sql)
{
    cr_assert_eq(sqlite3_exec(handle, sql, NULL, NULL, NULL), SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(handle));
}

static long long number(sqlite3 *handle, const char *sql)
{
    sqlite3_stmt *statement;
    cr_assert_eq(sqlite3_prepare_v2(handle, sql, -1, &statement, NULL), SQLITE_OK, "%s", sqlite3_errmsg(handle));
    cr_assert_eq(sqlite3_step(statement), SQLITE_ROW, "%s", sqlite3_errmsg(handle));
    long long value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static bool is_whole(sqlite3 *handle)
{
    return number(handle, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'") == 1;
}

/* A cache of few pages: a transaction writes to the log long before its end, and reads from there. */
static void open_places(void)
{
    snprintf(folder, sizeof(folder), "/tmp/privtrak-wal-XXXXXX");
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/db", folder);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    cr_assert_str_eq(sqlite_wal_layer(), SQLITE_WAL_LAYER);
    cr_assert_eq(sqlite3_open_v2(path, &ours, flags, sqlite_wal_layer()), SQLITE_OK);
    run(ours, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = 20; "
              "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, filler BLOB NOT NULL)");
    cr_assert_eq(sqlite3_open_v2(path, &others, flags, NULL), SQLITE_OK);
    run(others, "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0");
}

static void close_places(void)
{
    sqlite3_close(ours);
    sqlite3_close(others);
    static const char *const ends[] = {"", "-wal", "-shm", "-copy", "-copy-wal", "-copy-shm"};
    for (size_t i = 0; i < 6; i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s%s", path, ends[i]);
        unlink(name);
    }
    rmdir(folder);
}

TestSuite(sqlite_wal, .init = open_places, .fini = close_places, .timeout = 60);

static void fill(sqlite3 *handle, int first)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "WITH RECURSIVE c(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM c WHERE i < %d) "
             "INSERT INTO t SELECT %d + i, i, randomblob(1500) FROM c",
             ROWS - 1, first);
    run(handle, sql);
}

Test(sqlite_wal, what_is_committed_is_seen_by_a_handle_without_the_layer)
{
    for (int turn = 1; turn <= 3; turn++) {
        run(ours, "BEGIN IMMEDIATE");
        fill(ours, turn * ROWS);
        cr_assert_eq(number(others, "SELECT count(*) FROM t"), (turn - 1) * ROWS);
        run(ours, "COMMIT");
        cr_assert_eq(number(others, "SELECT count(*) FROM t"), turn * ROWS);
        cr_assert(is_whole(others));
    }
}

Test(sqlite_wal, a_transaction_reads_what_it_has_gathered)
{
    run(ours, "BEGIN IMMEDIATE");
    fill(ours, 0);
    cr_assert_eq(number(ours, "SELECT sum(n) FROM t"), (long long)ROWS * (ROWS - 1) / 2);
    run(ours, "UPDATE t SET n = n + 1, filler = randomblob(1400) WHERE id % 7 = 0");
    run(ours, "COMMIT");
    cr_assert_eq(number(others, "SELECT sum(n) FROM t"), (long long)ROWS * (ROWS - 1) / 2 + (ROWS + 6) / 7);
    cr_assert(is_whole(others));
}

Test(sqlite_wal, what_was_rolled_back_is_not_written_over_the_next_programs_commit)
{
    fill(ours, 0);
    for (int turn = 1; turn <= 20; turn++) {
        char sql[128];
        snprintf(sql, sizeof(sql), "UPDATE t SET n = -1, filler = randomblob(%d) WHERE id < %d", 1000 + turn,
                 40 + turn * 9);
        run(ours, "BEGIN IMMEDIATE");
        run(ours, sql);
        run(ours, "ROLLBACK");
        snprintf(sql, sizeof(sql), "UPDATE t SET n = %d WHERE id %% 5 = 0", turn);
        run(others, sql);
        cr_assert_eq(number(ours, "SELECT count(*) FROM t WHERE n = -1"), 0);
        cr_assert_eq(number(ours, "SELECT sum(n) FROM t WHERE id % 5 = 0"), (long long)turn * ROWS / 5);
        snprintf(sql, sizeof(sql), "UPDATE t SET n = %d WHERE id = 1", turn);
        run(ours, sql);
        cr_assert(is_whole(others));
    }
    run(ours, "PRAGMA wal_checkpoint(TRUNCATE)");
    cr_assert(is_whole(others));
}

static void copy(const char *end)
{
    char command[320];
    snprintf(command, sizeof(command), "cp '%s%s' '%s-copy%s'", path, end, path, end);
    cr_assert_eq(system(command), 0); // NOLINT(cert-env33-c)
}

Test(sqlite_wal, files_copied_right_after_a_commit_hold_it)
{
    run(ours, "PRAGMA wal_autocheckpoint = 0");
    fill(ours, 0);
    run(ours, "BEGIN IMMEDIATE");
    run(ours, "UPDATE t SET n = 1");
    copy("");
    run(ours, "COMMIT");
    copy("-wal");
    char name[128];
    snprintf(name, sizeof(name), "%s-copy", path);
    sqlite3 *found;
    cr_assert_eq(sqlite3_open_v2(name, &found, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    cr_assert_eq(number(found, "SELECT sum(n) FROM t"), ROWS);
    cr_assert(is_whole(found));
    sqlite3_close(found);
}
