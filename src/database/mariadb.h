/* mariadb: what the files of the MariaDB backend share. */
#ifndef PRIVTRAK_DATABASE_MARIADB_H
#define PRIVTRAK_DATABASE_MARIADB_H

#include <mysql.h>

#include "database/backend.h"
#include "database/mariadb_url.h"
#include "database/waiter.h"

/* Places in the log of changes where an entry may still become visible: see mariadb_changes.c. */
enum { GAPS_MAX = 16 };

struct mariadb {
    struct database *database; /* whose backend this is */
    struct mariadb_url url;
    MYSQL *connection; /* NULL: not connected */
    struct waiter waiter;
    bool gave_up;        /* a wait ended before what it waited for */
    bool is_refused;     /* the last failure is not one that passes */
    bool holds_names;    /* a name is locked that no end of a transaction sets free */
    bool has_tables;     /* the connection's temporary tables are made */
    size_t packet_bytes; /* how long a statement may be */
    bool gap_has_rows[GAPS_MAX];
    struct sql_buffer text;  /* a statement with its values */
    struct sql_buffer batch; /* a statement of a batch */
};

enum { MARIADB_SCHEMA_VERSION = 1 };
extern const char *const *const mariadb_migrations[];

/* As in database_backend; the state is a struct mariadb. */
enum database_result mariadb_query(void *state, struct sql_query *query, struct error *error);
enum database_result mariadb_script(void *state, const char *text, struct error *error);
/* A text of one or more statements as it is, `length` bytes; the query's values are not looked at. */
enum database_result mariadb_send(struct mariadb *mariadb, struct sql_query *query, size_t length, struct error *error);

/* 'text' as a literal: in the sessions of the backend no sign but the quote has a meaning in it. */
void mariadb_put_text(struct sql_buffer *buffer, const char *text, size_t length);

/* Before a read begins: learns which gaps of the last read's cursor still have rows that are not committed, or were since. */
enum database_result mariadb_look_at_gaps(struct mariadb *mariadb, struct error *error);
enum database_result mariadb_cursor(void *state, const char *last, char **cursor, struct error *error);
void mariadb_changed_since(const char *cursor, char *condition, size_t size);
/* Within a query, $1 being a cursor: up to where it has seen all, and the last entry that it has seen. */
#define CURSOR_LOW "CAST(substring_index($1, ';', 1) AS SIGNED)"
#define CURSOR_LAST "CAST(substring_index(substring_index($1, ';', 2), ';', -1) AS SIGNED)"
/* The newest entry there ever was; those that are pruned have left their mark. */
#define PRUNED "coalesce((SELECT CAST(value AS SIGNED) FROM privtrak WHERE \"key\" = 'changes.pruned'), 0)"
#define NEWEST "greatest(coalesce((SELECT max(id) FROM changes), 0), " PRUNED ")"

enum database_result mariadb_resolve(void *state, struct batch *batch, struct error *error);
enum database_result mariadb_write(void *state, struct batch *batch, struct error *error);

#endif
