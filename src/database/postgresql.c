/*
 * postgresql: the connection, through libpq without its blocking calls: each wait also
 * watches for an interrupt and has an end, so that a far end which falls silent
 * cannot hold a thread for ever. URL options (TLS, timeouts, …) are libpq's own.
 */
#include "database/postgresql.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

enum {
    CONNECT_LIMIT_MS = 10000,
    ANSWER_LIMIT_MS = 75000, /* above the server's own limit below, which ends a statement in good order */
};

/* Only where the URL (options=-c…) or the role has not set them. */
static const char session_settings[] =
    "SELECT set_config(name, wanted, false) FROM (VALUES ('statement_timeout', '60s'), ('lock_timeout', '20s'), "
    "('idle_in_transaction_session_timeout', '60s')) AS d (name, wanted) WHERE current_setting(name) = '0'; "
    "SET client_min_messages = warning; SET client_encoding = 'UTF8'";

static void *postgresql_open(struct database *database, const char *url, struct error *error)
{
    char *reason = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &reason);
    if (!options) {
        sql_one_line(error, reason ? reason : "out of memory");
        PQfreemem(reason);
        return NULL;
    }
    PQconninfoFree(options);
    struct postgresql *postgresql = calloc(1, sizeof(*postgresql));
    if (postgresql) {
        postgresql->url = strdup(url);
        if (postgresql->url && waiter_open(&postgresql->waiter, &database->interrupted) == 0)
            return postgresql;
        free(postgresql->url);
        free(postgresql);
    }
    error_set(error, "out of memory or descriptors");
    return NULL;
}

static void postgresql_disconnect(void *state)
{
    struct postgresql *postgresql = state;
    PQfinish(postgresql->connection);
    postgresql->connection = NULL;
    postgresql->listens = false;
}

static void postgresql_close(void *state)
{
    struct postgresql *postgresql = state;
    postgresql_disconnect(postgresql);
    for (int i = 0; i < PG_ARRAYS_MAX; i++)
        free(postgresql->arrays[i].bytes);
    waiter_close(&postgresql->waiter);
    free(postgresql->url);
    free(postgresql);
}

static void postgresql_interrupt(void *state)
{
    struct postgresql *postgresql = state;
    waiter_wake(&postgresql->waiter);
}

static bool wait_for(struct postgresql *postgresql, short events, int64_t end_ns)
{
    return waiter_wait(&postgresql->waiter, PQsocket(postgresql->connection), events, end_ns) != 0;
}

/* Authentication, no such database or schema, no such table or right, nothing of the kind supported. */
static bool state_refuses(const char *state)
{
    static const char *const classes[] = {"28", "3D", "3F", "42", "0A"};
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (strncmp(state, classes[i], 2) == 0)
            return true;
    }
    return false;
}

/*
 * libpq tells the SQLSTATE of a connection that failed only within its text, and there only if asked to be verbose:
 * `… FATAL:  28P01: password authentication failed …` and a line LOCATION. Both are taken out again.
 */
static bool judge_connection(const struct postgresql *postgresql, char *text, size_t size)
{
    snprintf(text, size, "%s", PQerrorMessage(postgresql->connection));
    bool is_refused = PQconnectionNeedsPassword(postgresql->connection) == 1;
    for (char *at = text; (at = strstr(at, ":  ")) != NULL; at += 3) {
        char *state = at + 3;
        if (strspn(state, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5 || strncmp(state + 5, ": ", 2) != 0)
            continue;
        is_refused = state_refuses(state);
        memmove(state, state + 7, strlen(state + 7) + 1);
        char *line = strstr(state, "\nLOCATION:");
        if (line)
            *line = '\0';
    }
    return is_refused;
}

/* The connection cannot be used any more. */
static enum database_result lost(struct postgresql *postgresql, const char *reason, struct error *error)
{
    bool interrupted = waiter_is_interrupted(&postgresql->waiter);
    sql_one_line(error, interrupted ? "interrupted" : reason);
    postgresql_disconnect(postgresql);
    postgresql->is_refused = false;
    return interrupted ? DATABASE_STOPPED : DATABASE_UNAVAILABLE;
}

static enum database_result postgresql_script(void *state, const char *text, struct error *error);

static enum database_result postgresql_connect(void *state, struct error *error)
{
    struct postgresql *postgresql = state;
    postgresql_disconnect(postgresql);
    postgresql->is_refused = false;
    const char *const keywords[] = {"dbname", "fallback_application_name", NULL};
    const char *const values[] = {postgresql->url, "privtrak", NULL};
    postgresql->connection = PQconnectStartParams(keywords, values, 1);
    if (!postgresql->connection)
        return database_fail(DATABASE_UNAVAILABLE, error, "out of memory");
    PQsetErrorVerbosity(postgresql->connection, PQERRORS_VERBOSE);

    int64_t end_ns = clock_monotonic_ns() + CONNECT_LIMIT_MS * INT64_C(1000000);
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    while (PQstatus(postgresql->connection) != CONNECTION_BAD && status != PGRES_POLLING_OK) {
        if (!wait_for(postgresql, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, end_ns))
            return lost(postgresql, "the server does not answer", error);
        status = PQconnectPoll(postgresql->connection);
        if (status == PGRES_POLLING_FAILED)
            break;
    }
    if (PQstatus(postgresql->connection) != CONNECTION_OK) {
        char text[2 * ERROR_TEXT_BYTES];
        bool is_refused = judge_connection(postgresql, text, sizeof(text));
        enum database_result result = lost(postgresql, text, error);
        postgresql->is_refused = is_refused;
        return result;
    }
    PQsetErrorVerbosity(postgresql->connection, PQERRORS_DEFAULT);
    if (PQsetnonblocking(postgresql->connection, 1) != 0)
        return lost(postgresql, PQerrorMessage(postgresql->connection), error);
    return postgresql_script(postgresql, session_settings, error);
}

/* Also notices a server that closed the connection while it was idle: first its reason arrives, then the end. */
static bool postgresql_connected(void *state)
{
    struct postgresql *postgresql = state;
    if (!postgresql->connection)
        return false;
    struct pollfd fd = {.fd = PQsocket(postgresql->connection), .events = POLLIN};
    bool is_good = PQstatus(postgresql->connection) == CONNECTION_OK;
    for (int i = 0; i < 3 && is_good && poll(&fd, 1, 0) > 0; i++)
        is_good = PQconsumeInput(postgresql->connection) && PQstatus(postgresql->connection) == CONNECTION_OK;
    if (!is_good)
        postgresql_disconnect(postgresql);
    return is_good;
}

/* Sends what libpq still holds, taking in what comes meanwhile: neither end may wait for the other. */
static bool flush(struct postgresql *postgresql, int64_t end_ns)
{
    for (;;) {
        int left = PQflush(postgresql->connection);
        if (left <= 0)
            return left == 0;
        if (!wait_for(postgresql, POLLIN | POLLOUT, end_ns) || !PQconsumeInput(postgresql->connection))
            return false;
    }
}

/* The next result of what was sent; NULL in *result: there is none. False: the connection is lost. */
static bool next_result(struct postgresql *postgresql, int64_t end_ns, PGresult **result)
{
    while (PQisBusy(postgresql->connection)) {
        if (!wait_for(postgresql, POLLIN, end_ns) || !PQconsumeInput(postgresql->connection))
            return false;
    }
    *result = PQgetResult(postgresql->connection);
    return true;
}

/* What a SQLSTATE means: classes 22 and 23 are for the values, all else is for a time. */
static enum database_result judge(struct postgresql *postgresql, const PGresult *result, struct error *error)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    sql_one_line(error, PQresultErrorMessage(result));
    postgresql->is_refused = state && state_refuses(state);
    if (!state)
        return DATABASE_UNAVAILABLE;
    if (strcmp(state, "23505") == 0)
        return DATABASE_CONFLICT;
    if (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0)
        return DATABASE_INVALID;
    return DATABASE_UNAVAILABLE;
}

static int give_rows(const PGresult *result, const struct sql_query *query)
{
    int fields = PQnfields(result), stop = 0;
    for (int row = 0; row < PQntuples(result) && stop == 0; row++) {
        struct sql_value columns[SQL_COLUMNS_MAX];
        for (int i = 0; i < fields && i < SQL_COLUMNS_MAX; i++) {
            if (PQgetisnull(result, row, i))
                columns[i] = (struct sql_value){.type = SQL_NULL};
            else
                columns[i] = (struct sql_value){.type = SQL_TEXT,
                                                .text = PQgetvalue(result, row, i),
                                                .length = (size_t)PQgetlength(result, row, i)};
        }
        stop = query->row ? query->row(query->context, columns) : 0;
    }
    return stop;
}

/* Takes all results of what was sent, to the end even after a failure: the connection is to be clean again. */
static enum database_result take_results(struct postgresql *postgresql, struct sql_query *query, struct error *error)
{
    enum database_result outcome = DATABASE_OK;
    for (;;) {
        int64_t end_ns = clock_monotonic_ns() + ANSWER_LIMIT_MS * INT64_C(1000000);
        PGresult *result;
        if (!flush(postgresql, end_ns) || !next_result(postgresql, end_ns, &result)) {
            const char *reason = PQstatus(postgresql->connection) == CONNECTION_OK
                                     ? "the server does not answer"
                                     : PQerrorMessage(postgresql->connection);
            return lost(postgresql, reason, error);
        }
        if (!result)
            break;
        ExecStatusType status = PQresultStatus(result);
        bool is_good = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_SINGLE_TUPLE;
        if (!is_good && outcome == DATABASE_OK)
            outcome = judge(postgresql, result, error);
        if (is_good && query && outcome == DATABASE_OK) {
            const char *changed = PQcmdTuples((PGresult *)result);
            if (status != PGRES_SINGLE_TUPLE)
                query->changed = strtoll(changed, NULL, 10);
            if (give_rows(result, query) != 0)
                outcome = database_fail(DATABASE_STOPPED, error, "stopped by the caller");
        }
        PQclear(result);
    }
    /* A connection that ended says so in its last result. */
    if (PQstatus(postgresql->connection) != CONNECTION_OK)
        return lost(postgresql, error ? error->text : "", error);
    return outcome;
}

static enum database_result not_connected(struct error *error)
{
    return database_fail(DATABASE_UNAVAILABLE, error, "the connection is lost");
}

static enum database_result postgresql_script(void *state, const char *text, struct error *error)
{
    struct postgresql *postgresql = state;
    if (!postgresql->connection)
        return not_connected(error);
    if (!PQsendQuery(postgresql->connection, text))
        return lost(postgresql, PQerrorMessage(postgresql->connection), error);
    return take_results(postgresql, NULL, error);
}

enum database_result postgresql_query(void *state, struct sql_query *query, struct error *error)
{
    struct postgresql *postgresql = state;
    if (!postgresql->connection)
        return not_connected(error);
    const char *values[SQL_VALUES_MAX];
    char numbers[SQL_VALUES_MAX][24];
    for (size_t i = 0; i < query->value_count; i++) {
        const struct sql_value *value = &query->values[i];
        values[i] = value->type == SQL_TEXT ? value->text : value->type == SQL_INTEGER ? numbers[i] : NULL;
        if (value->type == SQL_INTEGER)
            snprintf(numbers[i], sizeof(numbers[i]), "%lld", (long long)value->integer);
    }
    query->changed = 0;
    if (!PQsendQueryParams(postgresql->connection, query->text, (int)query->value_count, NULL, values, NULL, NULL, 0))
        return lost(postgresql, PQerrorMessage(postgresql->connection), error);
    /* A table of a million rows is not to stand in memory whole. */
    if (!query->at_once)
        PQsetSingleRowMode(postgresql->connection);
    return take_results(postgresql, query, error);
}

static enum database_result postgresql_begin(void *state, enum sql_transaction kind, struct error *error)
{
    return postgresql_script(state,
                             kind == SQL_READ ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
                                              : "BEGIN ISOLATION LEVEL READ COMMITTED",
                             error);
}

static void postgresql_rollback(void *state)
{
    struct postgresql *postgresql = state;
    if (postgresql->connection)
        (void)postgresql_script(postgresql, "ROLLBACK", NULL);
}

static enum database_result postgresql_commit(void *state, struct error *error)
{
    struct postgresql *postgresql = state;
    /* COMMIT of a transaction that has failed is answered with ROLLBACK, and no error. */
    if (postgresql->connection && PQtransactionStatus(postgresql->connection) == PQTRANS_INERROR) {
        postgresql_rollback(postgresql);
        return database_fail(DATABASE_UNAVAILABLE, error, "the transaction has failed");
    }
    return postgresql_script(state, "COMMIT", error);
}

static int postgresql_notify_fd(void *state)
{
    struct postgresql *postgresql = state;
    if (!postgresql_connected(postgresql))
        return -1;
    if (!postgresql->listens)
        postgresql->listens = postgresql_script(postgresql, "LISTEN privtrak", NULL) == DATABASE_OK;
    return postgresql->connection ? PQsocket(postgresql->connection) : -1;
}

/* A connection that ended is worth a look too: the look is what makes a new one. */
static bool postgresql_notified(void *state)
{
    struct postgresql *postgresql = state;
    bool was_connected = postgresql->connection != NULL;
    if (!postgresql_connected(postgresql))
        return was_connected;
    bool any = false;
    for (PGnotify *notify; (notify = PQnotifies(postgresql->connection)) != NULL; any = true)
        PQfreemem(notify);
    return any;
}

static bool postgresql_is_refused(const void *state)
{
    const struct postgresql *postgresql = state;
    return postgresql->is_refused;
}

static const char *const schemes[] = {"postgresql://", "postgres://", NULL};

/*
 * A cursor is a snapshot: entries whose transaction it did not see are new, in whatever order they were numbered
 * and committed.
 */
const struct database_backend postgresql_backend = {
    .kind = "postgresql",
    .schemes = schemes,
    .open = postgresql_open,
    .close = postgresql_close,
    .connect = postgresql_connect,
    .connected = postgresql_connected,
    .disconnect = postgresql_disconnect,
    .interrupt = postgresql_interrupt,
    .is_refused = postgresql_is_refused,
    .begin = postgresql_begin,
    .commit = postgresql_commit,
    .rollback = postgresql_rollback,
    .query = postgresql_query,
    .script = postgresql_script,
    .migrations = postgresql_migrations,
    .migration_count = POSTGRESQL_SCHEMA_VERSION,
    /* Not to_regclass: its cache may not have heard yet what another connection has just made. */
    .has_schema = "SELECT 1 FROM pg_catalog.pg_tables WHERE tablename = 'privtrak' "
                  "AND schemaname = ANY (current_schemas(false))",
    .cursor_now = "SELECT pg_current_snapshot()::text",
    .changed_since = "(c.xid >= pg_snapshot_xmin($1::pg_snapshot) "
                     "AND NOT pg_visible_in_snapshot(c.xid, $1::pg_snapshot))",
    .pruned_beyond = "SELECT 1 FROM privtrak WHERE key = 'changes.pruned' "
                     "AND value::bigint >= pg_snapshot_xmin($1::pg_snapshot)::text::bigint",
    .pruned_mark = "xid::text::bigint",
    .prunable = "xid < pg_snapshot_xmin(pg_current_snapshot())",
    .now = "CAST(extract(epoch FROM now()) AS bigint)",
    .set_key =
        "INSERT INTO privtrak (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    .lock = "SELECT pg_advisory_xact_lock(hashtextextended('privtrak.' || $1, 0))",
    .notify_fd = postgresql_notify_fd,
    .notified = postgresql_notified,
    .resolve = postgresql_resolve,
    .write = postgresql_write,
};
