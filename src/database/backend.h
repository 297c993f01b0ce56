/*
 * backend: what a kind of database has to bring, and what the files of this room
 * share. Statements are written once for all kinds, with $1, $2, … for values;
 * only the schema, the connection and the batch of the sink are each kind's own.
 */
#ifndef PRIVTRAK_DATABASE_BACKEND_H
#define PRIVTRAK_DATABASE_BACKEND_H

#include <stdatomic.h>
#include <string.h>

#include "database/batch.h"
#include "database/database.h"

enum { SQL_COLUMNS_MAX = 32, SQL_VALUES_MAX = 16, SQL_TEXT_BYTES = 2048 };

enum sql_type { SQL_NULL, SQL_INTEGER, SQL_TEXT };

/* A value on its way to or from the database. The text is borrowed, and has no NUL at its end for certain. */
struct sql_value {
    enum sql_type type;
    int64_t integer;
    const char *text;
    size_t length;
};

static inline struct sql_value sql_integer(int64_t integer)
{
    return (struct sql_value){.type = SQL_INTEGER, .integer = integer};
}

static inline struct sql_value sql_text(const char *text)
{
    return (struct sql_value){.type = SQL_TEXT, .text = text, .length = strlen(text)};
}

/* Called for each row of a result; another value than 0 ends it with DATABASE_STOPPED. Integers that come as text are left so. */
typedef int sql_row_fn(void *context, const struct sql_value *columns);

struct sql_query {
    const char *text;
    const struct sql_value *values;
    size_t value_count;
    sql_row_fn *row; /* NULL: results are not looked at */
    void *context;
    bool at_once;    /* the result is no larger than the values: it may come in one piece */
    int64_t changed; /* out: rows that an INSERT, UPDATE or DELETE touched */
};

/* A text that grows, for statements that are long; `failed` once memory ran out. */
struct sql_buffer {
    char *bytes;
    size_t length;
    size_t room;
    bool failed;
};

void sql_buffer_put(struct sql_buffer *buffer, const char *bytes, size_t length);
void sql_buffer_put_integer(struct sql_buffer *buffer, int64_t number);

/* All reads see one state; each read sees what is committed by then; the same, and it writes. */
enum sql_transaction { SQL_READ, SQL_ASK, SQL_WRITE };

struct database_backend {
    const char *kind;
    const char *const *schemes; /* URL prefixes, ended by NULL */

    /* The backend's own part of the handle; nothing is opened. NULL with a reason. */
    void *(*open)(struct database *database, const char *url, struct error *error);
    void (*close)(void *state);

    /* Connects where not connected. The schema is the caller's affair. */
    enum database_result (*connect)(void *state, struct error *error);
    bool (*connected)(void *state);
    void (*disconnect)(void *state);
    void (*interrupt)(void *state); /* any thread */
    /*
     * Of the last failure: it was answered, and the answer is one that waiting does not change (a wrong password, no such
     * database, a file that may not be opened), rather than that nobody answers, or not yet. NULL: it is never known.
     */
    bool (*is_refused)(const void *state);

    enum database_result (*begin)(void *state, enum sql_transaction kind, struct error *error);
    enum database_result (*commit)(void *state, struct error *error);
    void (*rollback)(void *state);
    enum database_result (*query)(void *state, struct sql_query *query, struct error *error);
    /* Several statements without values. */
    enum database_result (*script)(void *state, const char *text, struct error *error);

    /* The schema: for each version the scripts that make it from the one before, ended by NULL. */
    const char *const *const *migrations;
    size_t migration_count;
    const char *has_schema; /* a query that gives a row where the table privtrak is there */

    /* Of the log of changes. A cursor is a text; what these mean is each kind's own. */
    const char *cursor_now;    /* a query for the cursor that stands behind all that is visible */
    const char *changed_since; /* a condition on table `changes` AS c, with $1 the cursor */
    const char *pruned_beyond; /* a query that gives a row where entries behind cursor $1 are gone */
    const char *pruned_mark;   /* an expression over the entries that go: what pruned_beyond compares */
    const char *prunable;      /* the end of a condition: no reader can have seen only a part of what is up to here */
    const char *now;           /* an expression: Unix seconds */
    /* In the place of cursor_now and changed_since where these take more than SQL; `last`: the old cursor, or NULL. */
    enum database_result (*cursor)(void *state, const char *last, char **cursor, struct error *error);
    void (*changed)(const char *cursor, char *condition, size_t size);

    const char *set_key; /* a statement: sets key $1 of table `privtrak` to $2, whether or not it is there */

    /*
     * A query that waits until no other transaction has asked it with the same $1, and keeps others waiting until the
     * end of this one; NULL where a transaction that writes is alone anyway. `lock_schema`: the same for the name
     * "schema" where that takes another query.
     */
    const char *lock;
    const char *lock_schema;

    int (*notify_fd)(void *state); /* NULL: has none */
    bool (*notified)(void *state);

    /*
     * Steps of a batch, within a transaction. `resolve` fills in the ids of batch->lookups (0 where
     * there is no row), making rows for those that register; `write` writes the merged rows.
     */
    enum database_result (*resolve)(void *state, struct batch *batch, struct error *error);
    enum database_result (*write)(void *state, struct batch *batch, struct error *error);
};

extern const struct database_backend sqlite_backend, postgresql_backend, mariadb_backend;

struct database {
    const struct database_backend *backend;
    void *state;
    bool schema_is_there;
    bool schema_is_newer; /* than this tracker knows */
    atomic_bool interrupted;
    char *cursor; /* of the last read that ended well; NULL: none */
    struct batch batch;
};

/* Makes sure of connection and schema. */
enum database_result database_ready(struct database *database, struct error *error);

/* Connection, schema and one statement, on its own. */
enum database_result database_query(struct database *database, struct sql_query *query, struct error *error);

/* The same for a statement within the transaction that database_begin began. */
enum database_result database_begin(struct database *database, enum sql_transaction kind, struct error *error);
enum database_result database_step(struct database *database, struct sql_query *query, struct error *error);
/* Commits where `result` is DATABASE_OK, else rolls back; returns what became of all. */
enum database_result database_end(struct database *database, enum database_result result, struct error *error);

/* A statement that gives at most one row: DATABASE_NOT_FOUND where it gives none. Within a transaction or alone. */
enum database_result database_one(struct database *database, struct sql_query *query, struct error *error);

/* Keeps other transactions that lock the same name waiting until the end of this one. */
enum database_result database_lock(struct database *database, const char *name, struct error *error);

/* Sets a key of table `privtrak`, whether or not it is there; within a transaction. */
enum database_result database_set_key(struct database *database, const char *key, const char *value,
                                      struct error *error);

/* Sets the reason and returns `result`. */
enum database_result database_fail(enum database_result result, struct error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Sets a library's reason as one line. */
void sql_one_line(struct error *error, const char *reason);

/* Reading of columns. Integers may come as text (privtrak.value); what is no integer is 0 with *bad set. */
int64_t sql_as_integer(const struct sql_value *value);
/* Cuts at a character's border. */
void sql_copy_text(char *to, size_t size, const struct sql_value *value);

/* Rows from columns in the order of these lists; false: the row cannot be used. */
#define USER_COLUMNS                                                                                    \
    "id, name, passkey, enabled, can_leech, hide_address, upload_percent, download_percent, uploaded, " \
    "downloaded, raw_uploaded, raw_downloaded, quarantined, created_at, updated_at"
#define TORRENT_COLUMNS                                                                                         \
    "id, info_hash, name, size, state, reason, upload_percent, download_percent, seeders, leechers, snatches, " \
    "created_at, updated_at"

bool user_row_read(struct user_row *row, const struct sql_value *columns);
bool torrent_row_read(struct torrent_row *row, const struct sql_value *columns);

/* database_multipliers_get within a transaction. */
enum database_result multipliers_read(struct database *database, struct multipliers *multipliers, struct error *error);

/* 1 to PASSKEY_MAX of A–Z a–z 0–9 - _. */
bool passkey_is_wellformed(const char *passkey, size_t length);

/* Checks that a name or reason fits its row, and a percentage its range. */
enum database_result check_text(const char *field, const char *text, size_t size, struct error *error);
enum database_result check_percent(const char *field, uint32_t percent, struct error *error);

/* Collects SET or INSERT lists of the fields that a caller gave. */
struct sql_fields {
    char names[SQL_TEXT_BYTES / 4];   /* "a, b" */
    char holes[SQL_TEXT_BYTES / 8];   /* "$1, $2" */
    char assigns[SQL_TEXT_BYTES / 4]; /* "a = $1, b = $2" */
    struct sql_value values[SQL_VALUES_MAX];
    size_t count;
};
void sql_fields_add(struct sql_fields *fields, const char *name, struct sql_value value);

/* `%text%` for LIKE, with its signs escaped by a backslash. */
void sql_like_pattern(char *pattern, size_t size, const char *text);

#endif
