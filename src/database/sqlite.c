/*
 * sqlite: the connection. WAL, so that the site's readers never wait for the sink
 * nor it for them; every commit is synced (synchronous=FULL), because the
 * journal is trimmed behind what the sink has taken.
 */
#include "database/sqlite.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    BUSY_LIMIT_MS = 5000,
    BUSY_STEP_MS = 20,
    CACHE_KIB = 131072,
    CHECKPOINT_PAGES = 32768, /* a checkpoint writes the file once for many commits */
    WAL_LIMIT_BYTES = 128 * 1024 * 1024,
    FILE_MODE = 0660, /* without what the umask takes: passkeys are nothing for everybody */
};

/* Locks, and what a machine is short of for a time; all else is about the file or the statement. */
static bool may_pass(int code)
{
    static const int passing[] = {SQLITE_BUSY, SQLITE_LOCKED, SQLITE_PROTOCOL, SQLITE_INTERRUPT,
                                  SQLITE_FULL, SQLITE_IOERR,  SQLITE_NOMEM};
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
        if ((code & 0xff) == passing[i])
            return true;
    }
    return false;
}

enum database_result sqlite_failed(struct sqlite *sqlite, int code, struct error *error)
{
    const char *reason = sqlite->handle ? sqlite3_errmsg(sqlite->handle) : sqlite3_errstr(code);
    int extended = sqlite->handle ? sqlite3_extended_errcode(sqlite->handle) : code;
    enum database_result result = DATABASE_UNAVAILABLE;
    sqlite->is_refused = !may_pass(code);
    switch (code & 0xff) {
    case SQLITE_FULL:
        sqlite->is_full = true;
        break;
    case SQLITE_INTERRUPT:
        result = DATABASE_STOPPED;
        break;
    case SQLITE_CONSTRAINT:
        result = extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY ? DATABASE_CONFLICT
                                                                                                  : DATABASE_INVALID;
        break;
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
        result = DATABASE_INVALID;
        break;
    default:
        break;
    }
    return database_fail(result, error, "%s", reason);
}

/* SQLite's own busy timeout would sleep through an interrupt. */
static int wait_while_busy(void *context, int tries)
{
    struct sqlite *sqlite = context;
    if (atomic_load(sqlite->interrupted) || tries * BUSY_STEP_MS >= BUSY_LIMIT_MS)
        return 0;
    /* The first waits are short: most locks last for a commit. */
    long ms = tries < 10 ? 1 + tries : BUSY_STEP_MS;
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
    return 1;
}

static void *sqlite_open(struct database *database, const char *url, struct error *error)
{
    const char *path = strchr(url, ':') + 1;
    if (*path == '\0') {
        error_set(error, "sqlite: needs the path of a file");
        return NULL;
    }
    struct sqlite *sqlite = calloc(1, sizeof(*sqlite));
    if (sqlite)
        sqlite->path = strdup(path);
    if (!sqlite || !sqlite->path) {
        free(sqlite);
        error_set(error, "out of memory");
        return NULL;
    }
    sqlite->interrupted = &database->interrupted;
    return sqlite;
}

static void sqlite_disconnect(void *state)
{
    struct sqlite *sqlite = state;
    for (int i = 0; i < SQLITE_STATEMENTS; i++) {
        sqlite3_finalize(sqlite->statements[i]);
        sqlite->statements[i] = NULL;
    }
    sqlite3_close(sqlite->handle);
    sqlite->handle = NULL;
}

static void sqlite_close(void *state)
{
    struct sqlite *sqlite = state;
    sqlite_disconnect(sqlite);
    free(sqlite->path);
    free(sqlite);
}

static bool sqlite_connected(void *state)
{
    const struct sqlite *sqlite = state;
    return sqlite->handle != NULL;
}

static bool sqlite_is_refused(const void *state)
{
    const struct sqlite *sqlite = state;
    return sqlite->is_refused;
}

/* An interrupt may come while another thread opens or closes; the flag of the handle tells it then. */
static void sqlite_stop(void *state)
{
    (void)state;
}

/*
 * SQLite would make the file with 0644; an empty file is as good to it as none. It is never opened here: closing it
 * would drop the locks that the process's other handles have on it, and the site's next close would remove the WAL.
 */
static enum database_result make_file(struct sqlite *sqlite, struct error *error)
{
    const char *path = sqlite->path;
    if (strcmp(path, ":memory:") == 0 || mknod(path, S_IFREG | FILE_MODE, 0) == 0 || errno == EEXIST)
        return DATABASE_OK;
    sqlite->is_refused = errno != ENOSPC && errno != EDQUOT && errno != EIO;
    return database_fail(DATABASE_UNAVAILABLE, error, "%s: %s", path, strerror(errno));
}

static int check_progress(void *context)
{
    const struct sqlite *sqlite = context;
    return atomic_load(sqlite->interrupted);
}

static enum database_result run_script(struct sqlite *sqlite, const char *text, struct error *error)
{
    int code = sqlite3_exec(sqlite->handle, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? DATABASE_OK : sqlite_failed(sqlite, code, error);
}

/*
 * The library counts its memory behind one lock for all threads, several times a row, and nobody asks for the sums.
 * It can only be told before its first use; told later it refuses, and all works as before.
 */
static void configure_library(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static enum database_result sqlite_connect(void *state, struct error *error)
{
    static pthread_once_t configured = PTHREAD_ONCE_INIT;
    (void)pthread_once(&configured, configure_library);
    struct sqlite *sqlite = state;
    sqlite_disconnect(sqlite);
    enum database_result result = make_file(sqlite, error);
    if (result != DATABASE_OK)
        return result;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(sqlite->path, &sqlite->handle, flags, sqlite_wal_layer());
    if (code == SQLITE_OK) {
        sqlite3_busy_handler(sqlite->handle, wait_while_busy, sqlite);
        sqlite3_progress_handler(sqlite->handle, 10000, check_progress, sqlite);
        char pragmas[512];
        snprintf(pragmas, sizeof(pragmas),
                 "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -%d; "
                 "PRAGMA wal_autocheckpoint = %d; PRAGMA journal_size_limit = %d",
                 CACHE_KIB, CHECKPOINT_PAGES, WAL_LIMIT_BYTES);
        result = run_script(sqlite, pragmas, error);
    } else {
        result = sqlite_failed(sqlite, code, error);
    }
    if (result == DATABASE_OK)
        return result;
    error_prefix(error, sqlite->path);
    sqlite_disconnect(sqlite);
    return result;
}

static enum database_result sqlite_begin(void *state, enum sql_transaction kind, struct error *error)
{
    struct sqlite *sqlite = state;
    if (sqlite->is_full && kind == SQL_WRITE) {
        /* The WAL may be what fills the disk, and only a commit, for which there is no room, would have it emptied. */
        sqlite->is_full = false;
        (void)sqlite3_wal_checkpoint_v2(sqlite->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    }
    return run_script(state, kind == SQL_WRITE ? "BEGIN IMMEDIATE" : "BEGIN", error);
}

static void sqlite_rollback(void *state)
{
    struct sqlite *sqlite = state;
    /* Some errors have rolled back already; the progress handler must not stop this one. */
    if (sqlite->handle && !sqlite3_get_autocommit(sqlite->handle)) {
        sqlite3_progress_handler(sqlite->handle, 0, NULL, NULL);
        sqlite3_exec(sqlite->handle, "ROLLBACK", NULL, NULL, NULL);
        sqlite3_progress_handler(sqlite->handle, 10000, check_progress, sqlite);
    }
}

static enum database_result sqlite_commit(void *state, struct error *error)
{
    enum database_result result = run_script(state, "COMMIT", error);
    if (result != DATABASE_OK)
        sqlite_rollback(state);
    return result;
}

static enum database_result sqlite_script(void *state, const char *text, struct error *error)
{
    return run_script(state, text, error);
}

/* $1, $2, … are named parameters to SQLite, numbered as they appear. */
static int bind_values(sqlite3_stmt *statement, const struct sql_query *query)
{
    int code = SQLITE_OK;
    for (size_t i = 0; i < query->value_count && code == SQLITE_OK; i++) {
        char name[24];
        snprintf(name, sizeof(name), "$%zu", i + 1);
        int place = sqlite3_bind_parameter_index(statement, name);
        const struct sql_value *value = &query->values[i];
        if (value->type == SQL_INTEGER)
            code = sqlite3_bind_int64(statement, place, value->integer);
        else if (value->type == SQL_TEXT)
            code = sqlite3_bind_text64(statement, place, value->text, value->length, SQLITE_STATIC, SQLITE_UTF8);
    }
    return code;
}

static int give_row(sqlite3_stmt *statement, const struct sql_query *query)
{
    struct sql_value columns[SQL_COLUMNS_MAX];
    int count = sqlite3_column_count(statement);
    for (int i = 0; i < count && i < SQL_COLUMNS_MAX; i++) {
        switch (sqlite3_column_type(statement, i)) {
        case SQLITE_INTEGER:
            columns[i] = sql_integer(sqlite3_column_int64(statement, i));
            break;
        case SQLITE_NULL:
            columns[i] = (struct sql_value){.type = SQL_NULL};
            break;
        default:
            columns[i].type = SQL_TEXT;
            columns[i].text = (const char *)sqlite3_column_text(statement, i);
            columns[i].length = (size_t)sqlite3_column_bytes(statement, i);
            if (!columns[i].text)
                columns[i] = (struct sql_value){.type = SQL_NULL};
        }
    }
    return query->row(query->context, columns);
}

static enum database_result sqlite_query(void *state, struct sql_query *query, struct error *error)
{
    struct sqlite *sqlite = state;
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(sqlite->handle, query->text, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = bind_values(statement, query);
    bool stopped = false;
    if (code == SQLITE_OK) {
        while (!stopped && (code = sqlite3_step(statement)) == SQLITE_ROW)
            stopped = query->row && give_row(statement, query) != 0;
    }
    enum database_result result = DATABASE_OK;
    if (stopped)
        result = database_fail(DATABASE_STOPPED, error, "stopped by the caller");
    else if (code != SQLITE_DONE)
        result = sqlite_failed(sqlite, code, error);
    query->changed = sqlite3_changes(sqlite->handle);
    sqlite3_finalize(statement);
    return result;
}

static const char *const schemes[] = {"sqlite:", NULL};

/* The newest entry there ever was: those that are pruned have left their mark. */
#define PRUNED "coalesce((SELECT CAST(value AS INTEGER) FROM privtrak WHERE key = 'changes.pruned'), 0)"
#define NEWEST "max(coalesce((SELECT max(id) FROM changes), 0), " PRUNED ")"

const struct database_backend sqlite_backend = {
    .kind = "sqlite",
    .schemes = schemes,
    .open = sqlite_open,
    .close = sqlite_close,
    .connect = sqlite_connect,
    .connected = sqlite_connected,
    .disconnect = sqlite_disconnect,
    .interrupt = sqlite_stop,
    .is_refused = sqlite_is_refused,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .query = sqlite_query,
    .script = sqlite_script,
    .migrations = sqlite_migrations,
    .migration_count = SQLITE_SCHEMA_VERSION,
    .has_schema = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'privtrak'",
    .cursor_now = "SELECT CAST(" NEWEST " AS TEXT)",
    .changed_since = "c.id > CAST($1 AS INTEGER)",
    .pruned_beyond = "SELECT 1 WHERE CAST($1 AS INTEGER) NOT BETWEEN " PRUNED " AND " NEWEST,
    .pruned_mark = "id",
    .prunable = "1 = 1",
    .now = "CAST(strftime('%s', 'now') AS INTEGER)",
    .set_key =
        "INSERT INTO privtrak (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    .resolve = sqlite_resolve,
    .write = sqlite_write,
};
