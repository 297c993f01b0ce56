/* sqlite: what the files of the SQLite backend share. */
#ifndef PRIVTRAK_DATABASE_SQLITE_H
#define PRIVTRAK_DATABASE_SQLITE_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "database/backend.h"

/* Statements of the sink, prepared once a connection. */
enum sqlite_statement {
    SQLITE_FIND_USER,
    SQLITE_MAKE_USER,
    SQLITE_FIND_TORRENT,
    SQLITE_MAKE_TORRENT,
    SQLITE_ADD_USER,
    SQLITE_SET_TORRENT,
    SQLITE_ADD_ACCOUNT,
    SQLITE_MAKE_ACCOUNT,
    SQLITE_NOTE_SNATCH,
    SQLITE_PUT_SESSION,
    SQLITE_END_SESSION,
    SQLITE_STATEMENTS,
};

struct sqlite {
    char *path;
    sqlite3 *handle;          /* NULL: not open */
    atomic_bool *interrupted; /* the handle's */
    sqlite3_stmt *statements[SQLITE_STATEMENTS];
    bool is_refused; /* the last failure is not one that passes */
    bool is_full;    /* the disk had no room for the last transaction that wrote */
};

/* What an error code of SQLite means for the caller; its text goes into `error`. */
enum database_result sqlite_failed(struct sqlite *sqlite, int code, struct error *error);

/* The name of the layer ("vfs") beneath the library that gathers what is written to the log; NULL: there is none. Any thread. */
#define SQLITE_WAL_LAYER "privtrak"
const char *sqlite_wal_layer(void);

extern const char *const *const sqlite_migrations[];
enum { SQLITE_SCHEMA_VERSION = 1 };

enum database_result sqlite_resolve(void *state, struct batch *batch, struct error *error);
enum database_result sqlite_write(void *state, struct batch *batch, struct error *error);

#endif
