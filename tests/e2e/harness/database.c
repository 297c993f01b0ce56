/* database: the daemon's SQLite file, seen as a site sees it. See harness.h. */
#include "harness.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SQL_BYTES = 4096 };

static sqlite3 *open_database(const struct daemon *daemon)
{
    char path[HARNESS_PATH_BYTES + 32];
    (void)snprintf(path, sizeof path, "%s/state/privtrak.db", daemon->directory);
    sqlite3 *database = NULL;
    cr_assert_eq(sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK, "cannot open %s", path);
    sqlite3_busy_timeout(database, 5000);
    return database;
}

void database_run(const struct daemon *daemon, const char *sql, ...)
{
    char text[SQL_BYTES];
    va_list arguments;
    va_start(arguments, sql);
    (void)vsnprintf(text, sizeof text, sql, arguments);
    va_end(arguments);
    sqlite3 *database = open_database(daemon);
    char *reason = NULL;
    int result = sqlite3_exec(database, text, NULL, NULL, &reason);
    cr_assert_eq(result, SQLITE_OK, "%s: %s", text, reason != NULL ? reason : "?");
    sqlite3_close(database);
}

/* Returns false where the query gives no row, or NULL. */
static bool query(const struct daemon *daemon, const char *sql, int64_t *number, char *text, size_t size)
{
    sqlite3 *database = open_database(daemon);
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(database, sql, -1, &statement, NULL);
    cr_assert_eq(result, SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(database));
    result = sqlite3_step(statement);
    cr_assert(result == SQLITE_ROW || result == SQLITE_DONE, "%s: %s", sql, sqlite3_errmsg(database));
    bool found = result == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL;
    if (found && number != NULL)
        *number = sqlite3_column_int64(statement, 0);
    if (found && text != NULL)
        (void)snprintf(text, size, "%s", (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return found;
}

int64_t database_int(const struct daemon *daemon, const char *sql, ...)
{
    char text[SQL_BYTES];
    va_list arguments;
    va_start(arguments, sql);
    (void)vsnprintf(text, sizeof text, sql, arguments);
    va_end(arguments);
    int64_t number = 0;
    cr_assert(query(daemon, text, &number, NULL, 0), "no row: %s", text);
    return number;
}

void database_text(const struct daemon *daemon, char *value, size_t size, const char *sql, ...)
{
    char text[SQL_BYTES];
    va_list arguments;
    va_start(arguments, sql);
    (void)vsnprintf(text, sizeof text, sql, arguments);
    va_end(arguments);
    cr_assert(query(daemon, text, NULL, value, size), "no row: %s", text);
}

void database_expect(const struct daemon *daemon, int64_t expected, const char *sql, ...)
{
    char text[SQL_BYTES];
    va_list arguments;
    va_start(arguments, sql);
    (void)vsnprintf(text, sizeof text, sql, arguments);
    va_end(arguments);
    int64_t number = 0;
    bool found = false;
    double end = now_s() + 10;
    do {
        found = query(daemon, text, &number, NULL, 0);
        if (found && number == expected)
            return;
        sleep_s(0.05);
    } while (now_s() < end);
    if (found)
        cr_assert_fail("%s: %" PRId64 ", expected %" PRId64, text, number, expected);
    cr_assert_fail("%s: no row, expected %" PRId64, text, expected);
}

const char *passkey_of(const char *name)
{
    static char keys[64][33];
    static unsigned turn;
    char *key = keys[turn++ % 64];
    uint64_t hash = 1469598103934665603u;
    for (int half = 0; half < 2; half++) {
        for (const char *c = name; *c != '\0'; c++)
            hash = (hash ^ (unsigned char)*c) * 1099511628211u;
        (void)snprintf(key + 16 * half, 17, "%016" PRIx64, hash);
        hash ^= 0x5bd1e995;
    }
    return key;
}

void wait_for_passkey(const struct daemon *daemon, const char *passkey, bool known)
{
    static const char *const nothing[] = {"a torrent that nobody has"};
    struct scraped scraped;
    char failure[256];
    double end = now_s() + 10;
    do {
        http_scrape(daemon, passkey, nothing, 1, &scraped, failure);
        if ((failure[0] == '\0') == known)
            return;
        sleep_s(0.05);
    } while (now_s() < end);
    cr_assert_fail("passkey %s: %s", passkey, known ? failure : "still known");
}

const char *add_user(const struct daemon *daemon, const char *name)
{
    const char *passkey = passkey_of(name);
    database_run(daemon, "INSERT INTO users (name, passkey) VALUES ('%s', '%s')", name, passkey);
    wait_for_passkey(daemon, passkey, true);
    return passkey;
}
