/*
 * database: handles, their connection, the schema's version and transactions.
 * What the tables hold is the other files' affair.
 */
#include "database/database.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "database/backend.h"

/* A new kind of database is a line here and a file of its own. */
static const struct database_backend *const backends[] = {&sqlite_backend, &postgresql_backend, &mariadb_backend};

enum { BACKENDS = sizeof(backends) / sizeof(backends[0]) };

enum database_result database_fail(enum database_result result, struct error *error, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof(error->text), format, arguments);
        va_end(arguments);
    }
    return result;
}

static const struct database_backend *backend_of(const char *url)
{
    for (size_t i = 0; i < BACKENDS; i++) {
        for (const char *const *scheme = backends[i]->schemes; *scheme; scheme++) {
            if (strncmp(url, *scheme, strlen(*scheme)) == 0)
                return backends[i];
        }
    }
    return NULL;
}

struct database *database_open(const char *url, struct error *error)
{
    const struct database_backend *backend = backend_of(url);
    if (!backend) {
        /* What stands behind the scheme may hold a password. */
        int scheme = (int)strcspn(url, ":");
        error_set(error, "database kind \"%.*s\" is not known; known are sqlite:, postgresql:// and mariadb://",
                  scheme < 32 ? scheme : 32, url);
        return NULL;
    }
    if (sodium_init() < 0) {
        error_set(error, "libsodium cannot be initialised");
        return NULL;
    }
    struct database *database = calloc(1, sizeof(*database));
    if (!database) {
        error_set(error, "out of memory");
        return NULL;
    }
    database->backend = backend;
    database->state = backend->open(database, url, error);
    if (!database->state) {
        free(database);
        return NULL;
    }
    return database;
}

void database_close(struct database *database)
{
    if (!database)
        return;
    database->backend->close(database->state);
    batch_clear(&database->batch);
    free(database->cursor);
    free(database);
}

const char *database_kind(const struct database *database)
{
    return database->backend->kind;
}

void database_interrupt(struct database *database)
{
    atomic_store(&database->interrupted, true);
    database->backend->interrupt(database->state);
}

void database_forget(struct database *database)
{
    free(database->cursor);
    database->cursor = NULL;
}

int database_notify_fd(struct database *database)
{
    return database->backend->notify_fd ? database->backend->notify_fd(database->state) : -1;
}

bool database_notified(struct database *database)
{
    return database->backend->notified && database->backend->notified(database->state);
}

static int take_integer(void *context, const struct sql_value *columns)
{
    *(int64_t *)context = sql_as_integer(&columns[0]);
    return 0;
}

/* The schema's version; 0 where there is none yet. */
static enum database_result schema_version(struct database *database, int64_t *version, struct error *error)
{
    int64_t is_there = 0;
    *version = 0;
    struct sql_query look = {.text = database->backend->has_schema, .row = take_integer, .context = &is_there};
    enum database_result result = database->backend->query(database->state, &look, error);
    if (result != DATABASE_OK || !is_there)
        return result;
    struct sql_query ask = {
        .text = "SELECT value FROM privtrak WHERE \"key\" = 'schema'", .row = take_integer, .context = version};
    return database->backend->query(database->state, &ask, error);
}

enum database_result database_set_key(struct database *database, const char *key, const char *value,
                                      struct error *error)
{
    struct sql_value values[] = {sql_text(key), sql_text(value)};
    struct sql_query query = {.text = database->backend->set_key, .values = values, .value_count = 2};
    return database->backend->query(database->state, &query, error);
}

static enum database_result migrate_to(struct database *database, int64_t version, struct error *error)
{
    enum database_result result = DATABASE_OK;
    for (const char *const *script = database->backend->migrations[version - 1]; *script; script++) {
        result = database->backend->script(database->state, *script, error);
        if (result != DATABASE_OK)
            break;
    }
    if (result != DATABASE_OK)
        return result;
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)version);
    return database_set_key(database, "schema", text, error);
}

enum database_result database_lock(struct database *database, const char *name, struct error *error)
{
    if (!database->backend->lock)
        return DATABASE_OK;
    struct sql_value values[] = {sql_text(name)};
    struct sql_query query = {.text = database->backend->lock, .values = values, .value_count = 1};
    if (database->backend->lock_schema && strcmp(name, "schema") == 0)
        query = (struct sql_query){.text = database->backend->lock_schema};
    return database_step(database, &query, error);
}

/* All steps that are missing, in one transaction: a schema is never found half-way between two versions. */
static enum database_result migrate(struct database *database, struct error *error)
{
    const struct database_backend *backend = database->backend;
    enum database_result result = backend->begin(database->state, SQL_WRITE, error);
    if (result != DATABASE_OK)
        return result;
    int64_t version = 0;
    /* Sink, registry and admin side connect at the same time to what is empty. */
    result = database_lock(database, "schema", error);
    if (result == DATABASE_OK)
        result = schema_version(database, &version, error);
    int64_t first = version + 1;
    for (int64_t next = first; result == DATABASE_OK && next <= (int64_t)backend->migration_count; next++)
        result = migrate_to(database, next, error);
    if (result != DATABASE_OK) {
        backend->rollback(database->state);
        error_prefix(error, "cannot make the schema");
        /* Whatever it says: it is not about what the caller wanted to write. */
        return result == DATABASE_STOPPED ? result : DATABASE_UNAVAILABLE;
    }
    result = backend->commit(database->state, error);
    if (result == DATABASE_OK && first <= (int64_t)backend->migration_count)
        log_info("database", "schema made kind=%s version=%zu", backend->kind, backend->migration_count);
    return result;
}

enum database_result database_ready(struct database *database, struct error *error)
{
    const struct database_backend *backend = database->backend;
    if (atomic_load(&database->interrupted))
        return database_fail(DATABASE_STOPPED, error, "interrupted");
    if (backend->connected(database->state) && database->schema_is_there)
        return DATABASE_OK;
    database->schema_is_there = false;
    database->schema_is_newer = false;
    /* What happened while there was no connection may not have been noted here, as when a backup was put back. */
    database_forget(database);
    enum database_result result = backend->connect(database->state, error);
    if (result != DATABASE_OK)
        return result;
    int64_t version;
    result = schema_version(database, &version, error);
    if (result != DATABASE_OK)
        return result;
    database->schema_is_newer = version > (int64_t)backend->migration_count;
    if (database->schema_is_newer)
        return database_fail(DATABASE_UNAVAILABLE, error,
                             "the schema has version %lld, made by a newer privtrak; this one knows up to %zu",
                             (long long)version, backend->migration_count);
    if (version < (int64_t)backend->migration_count) {
        result = migrate(database, error);
        if (result != DATABASE_OK)
            return result;
    }
    database->schema_is_there = true;
    return DATABASE_OK;
}

enum database_result database_connect(struct database *database, struct error *error)
{
    return database_ready(database, error);
}

bool database_is_refused(const struct database *database)
{
    const struct database_backend *backend = database->backend;
    return database->schema_is_newer || (backend->is_refused && backend->is_refused(database->state));
}

enum database_result database_step(struct database *database, struct sql_query *query, struct error *error)
{
    return database->backend->query(database->state, query, error);
}

enum database_result database_query(struct database *database, struct sql_query *query, struct error *error)
{
    enum database_result result = database_ready(database, error);
    return result == DATABASE_OK ? database_step(database, query, error) : result;
}

enum database_result database_begin(struct database *database, enum sql_transaction kind, struct error *error)
{
    enum database_result result = database_ready(database, error);
    if (result == DATABASE_OK)
        result = database->backend->begin(database->state, kind, error);
    /* A connection that broke since it was last used is only noticed by using it, and nothing is done yet. */
    if (result == DATABASE_UNAVAILABLE && !database->backend->connected(database->state)) {
        result = database_ready(database, error);
        if (result == DATABASE_OK)
            result = database->backend->begin(database->state, kind, error);
    }
    return result;
}

enum database_result database_end(struct database *database, enum database_result result, struct error *error)
{
    if (result == DATABASE_OK)
        return database->backend->commit(database->state, error);
    database->backend->rollback(database->state);
    return result;
}

struct one_row {
    const struct sql_query *query;
    bool found;
};

static int take_one(void *context, const struct sql_value *columns)
{
    struct one_row *one = context;
    one->found = true;
    return one->query->row ? one->query->row(one->query->context, columns) : 0;
}

enum database_result database_one(struct database *database, struct sql_query *query, struct error *error)
{
    struct one_row one = {.query = query};
    struct sql_query inner = *query;
    inner.row = take_one;
    inner.context = &one;
    enum database_result result = database_step(database, &inner, error);
    query->changed = inner.changed;
    if (result == DATABASE_OK && !one.found)
        return database_fail(DATABASE_NOT_FOUND, error, "no such row");
    return result;
}
