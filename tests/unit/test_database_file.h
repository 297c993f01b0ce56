/* A SQLite database in a directory of its own; included by test_database.h. */
#include <sqlite3.h>

#include "test_database_open.h"

struct place {
    char directory[64];
    char path[96];
    char url[112];
    sqlite3 *site;
    struct database *database;
};

static struct place place;

/* Several values in one, in the order given (the keys' own, which is the tables'). */
#define JOINED(what, order) "group_concat(" what ")"

__attribute__((unused)) static void place_open(void)
{
    snprintf(place.directory, sizeof(place.directory), "/tmp/privtrak-database-XXXXXX");
    cr_assert(mkdtemp(place.directory));
    snprintf(place.path, sizeof(place.path), "%s/privtrak.db", place.directory);
    snprintf(place.url, sizeof(place.url), "sqlite:%s", place.path);
    place.database = open_and_connect(place.url);
    cr_assert_eq(sqlite3_open(place.path, &place.site), SQLITE_OK);
    sqlite3_busy_timeout(place.site, 5000);
}

__attribute__((unused)) static void place_close(void)
{
    database_close(place.database);
    sqlite3_close(place.site);
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s%s", place.path, ends[i]);
        unlink(path);
    }
    rmdir(place.directory);
}

__attribute__((unused)) static bool site_try(const char *sql)
{
    return sqlite3_exec(place.site, sql, NULL, NULL, NULL) == SQLITE_OK;
}

__attribute__((unused)) static const char *site_reason(void)
{
    return sqlite3_errmsg(place.site);
}

/* Begins a transaction that keeps all others from writing until the next COMMIT. */
__attribute__((unused)) static void site_lock(void)
{
    cr_assert(site_try("BEGIN EXCLUSIVE"), "%s", site_reason());
}

/* The first column of the first row as text in a static buffer; "none" without a row, "null" for NULL. */
__attribute__((unused)) static const char *site_text(const char *sql)
{
    static char text[1024];
    sqlite3_stmt *statement;
    cr_assert_eq(sqlite3_prepare_v2(place.site, sql, -1, &statement, NULL), SQLITE_OK, "%s: %s", sql, site_reason());
    int code = sqlite3_step(statement);
    const char *value = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : "none";
    snprintf(text, sizeof(text), "%s", value ? value : "null");
    sqlite3_finalize(statement);
    return text;
}
