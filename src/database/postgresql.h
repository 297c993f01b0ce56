/* postgresql: what the files of the PostgreSQL backend share. */
#ifndef PRIVTRAK_DATABASE_POSTGRESQL_H
#define PRIVTRAK_DATABASE_POSTGRESQL_H

#include <libpq-fe.h>

#include "database/backend.h"
#include "database/waiter.h"

enum { PG_ARRAYS_MAX = 16 };

struct postgresql {
    char *url;
    PGconn *connection; /* NULL: not connected */
    struct waiter waiter;
    bool listens;
    bool is_refused;                         /* the last failure is the server's answer, and not one that passes */
    struct sql_buffer arrays[PG_ARRAYS_MAX]; /* the values of one statement of a batch */
};

enum { POSTGRESQL_SCHEMA_VERSION = 2 };
extern const char *const *const postgresql_migrations[];

/* As database_backend.query; the state is a struct postgresql. */
enum database_result postgresql_query(void *state, struct sql_query *query, struct error *error);

enum database_result postgresql_resolve(void *state, struct batch *batch, struct error *error);
enum database_result postgresql_write(void *state, struct batch *batch, struct error *error);

#endif
