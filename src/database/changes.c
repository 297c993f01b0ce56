/*
 * changes: the lists as the registry reads them: whole, or by the log that the
 * triggers keep in table `changes` (kind, row_id, info_hash, at). An entry only says that
 * a row was touched; what it is now stands in its table, read in the same transaction.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hex.h"
#include "base/log.h"
#include "database/backend.h"

enum { CHANGES_KEPT_S = 3600, CHANGES_KEPT_ROWS = 1000000 };
enum { PRUNE_ROWS = 50000, PRUNE_ROUNDS = 20 }; /* short transactions: the sink waits for each */

struct reading {
    struct database *database;
    const struct database_reader *reader;
    struct error *error;
    bool whole;
    struct sql_value since; /* the old cursor */
    char condition[SQL_TEXT_BYTES / 2];
    size_t bad_rows;
    union {
        struct user_row user;
        struct torrent_row torrent;
    } row;
    struct client_row *clients;
    size_t client_count;
    size_t client_room;
    bool clients_changed;
    bool multipliers_changed;
};

static int give_user(void *context, const struct sql_value *columns)
{
    struct reading *reading = context;
    struct user_row *row = &reading->row.user;
    if (user_row_read(row, columns))
        return reading->reader->user(reading->reader->context, row);
    if (reading->bad_rows++ == 0)
        log_warning("database", "row left out table=users id=%" PRId64 " reason=\"malformed passkey or percentage\"",
                    row->id);
    /* What it was before is no longer true either. */
    return reading->whole ? 0 : reading->reader->user_gone(reading->reader->context, row->id);
}

static int give_torrent(void *context, const struct sql_value *columns)
{
    struct reading *reading = context;
    struct torrent_row *row = &reading->row.torrent;
    if (torrent_row_read(row, columns))
        return reading->reader->torrent(reading->reader->context, row);
    if (reading->bad_rows++ == 0)
        log_warning("database",
                    "row left out table=torrents id=%" PRId64 " reason=\"malformed info hash, state or percentage\"",
                    row->id);
    return 0;
}

static int give_user_gone(void *context, const struct sql_value *columns)
{
    const struct reading *reading = context;
    return reading->reader->user_gone(reading->reader->context, sql_as_integer(&columns[0]));
}

static int give_torrent_gone(void *context, const struct sql_value *columns)
{
    const struct reading *reading = context;
    uint8_t info_hash[INFO_HASH_BYTES];
    if (columns[0].type != SQL_TEXT || !hex_decode(info_hash, sizeof(info_hash), columns[0].text, columns[0].length))
        return 0;
    return reading->reader->torrent_gone(reading->reader->context, info_hash);
}

static int take_kind(void *context, const struct sql_value *columns)
{
    struct reading *reading = context;
    char kind[16];
    sql_copy_text(kind, sizeof(kind), &columns[0]);
    if (strcmp(kind, "client") == 0)
        reading->clients_changed = true;
    if (strcmp(kind, "multiplier") == 0)
        reading->multipliers_changed = true;
    return 0;
}

static int collect_client(void *context, const struct sql_value *columns)
{
    struct reading *reading = context;
    size_t length = columns[0].type == SQL_TEXT ? columns[0].length : 0;
    if (length < 1 || length > PEER_ID_BYTES) {
        log_warning("database", "row left out table=clients reason=\"prefix is not 1 to %d bytes\"", PEER_ID_BYTES);
        return 0;
    }
    if (reading->client_count == reading->client_room) {
        size_t room = reading->client_room ? 2 * reading->client_room : 16;
        struct client_row *rows = reallocarray(reading->clients, room, sizeof(*rows));
        if (!rows)
            return -1;
        reading->clients = rows;
        reading->client_room = room;
    }
    struct client_row *row = &reading->clients[reading->client_count++];
    sql_copy_text(row->prefix, sizeof(row->prefix), &columns[0]);
    row->allowed = sql_as_integer(&columns[1]) != 0;
    return 0;
}

/* One statement of the read; `%s` in its text stands for the condition on `changes`. */
static enum database_result ask(struct reading *reading, const char *text, sql_row_fn *row)
{
    char full[SQL_TEXT_BYTES];
    const char *hole = strstr(text, "%s");
    if (hole)
        snprintf(full, sizeof(full), "%.*s%s%s", (int)(hole - text), text, reading->condition, hole + 2);
    struct sql_query query = {.text = hole ? full : text,
                              .values = &reading->since,
                              .value_count = hole && !reading->database->backend->changed ? 1 : 0,
                              .row = row,
                              .context = reading};
    return database_step(reading->database, &query, reading->error);
}

static enum database_result read_clients(struct reading *reading)
{
    enum database_result result = ask(reading, "SELECT prefix, allowed FROM clients ORDER BY prefix", collect_client);
    if (result == DATABASE_OK &&
        reading->reader->clients(reading->reader->context, reading->clients, reading->client_count) != 0)
        result = DATABASE_STOPPED;
    free(reading->clients);
    reading->clients = NULL;
    return result;
}

static enum database_result read_multipliers(struct reading *reading)
{
    struct multipliers multipliers;
    enum database_result result = multipliers_read(reading->database, &multipliers, reading->error);
    if (result == DATABASE_OK && reading->reader->multipliers(reading->reader->context, &multipliers) != 0)
        result = DATABASE_STOPPED;
    return result;
}

static enum database_result read_whole(struct reading *reading)
{
    enum database_result result = ask(reading, "SELECT " USER_COLUMNS " FROM users ORDER BY id", give_user);
    if (result == DATABASE_OK)
        result = ask(reading, "SELECT " TORRENT_COLUMNS " FROM torrents ORDER BY id", give_torrent);
    if (result == DATABASE_OK)
        result = read_clients(reading);
    if (result == DATABASE_OK)
        result = read_multipliers(reading);
    return result;
}

static enum database_result read_changed(struct reading *reading)
{
    enum database_result result = ask(reading,
                                      "SELECT DISTINCT c.row_id FROM changes c WHERE c.kind = 'user' AND %s AND NOT "
                                      "EXISTS (SELECT 1 FROM users u WHERE u.id = c.row_id)",
                                      give_user_gone);
    if (result == DATABASE_OK)
        result = ask(reading,
                     "SELECT DISTINCT c.info_hash FROM changes c WHERE c.kind = 'torrent' AND %s AND NOT EXISTS "
                     "(SELECT 1 FROM torrents t WHERE t.info_hash = c.info_hash)",
                     give_torrent_gone);
    if (result == DATABASE_OK)
        result = ask(reading,
                     "SELECT " USER_COLUMNS " FROM users WHERE id IN (SELECT c.row_id FROM changes c "
                     "WHERE c.kind = 'user' AND %s) ORDER BY id",
                     give_user);
    if (result == DATABASE_OK)
        result = ask(reading,
                     "SELECT " TORRENT_COLUMNS " FROM torrents WHERE id IN (SELECT c.row_id FROM changes c "
                     "WHERE c.kind = 'torrent' AND %s) ORDER BY id",
                     give_torrent);
    if (result == DATABASE_OK)
        result = ask(reading, "SELECT DISTINCT c.kind FROM changes c WHERE c.kind IN ('client', 'multiplier') AND %s",
                     take_kind);
    if (result == DATABASE_OK && reading->clients_changed)
        result = read_clients(reading);
    if (result == DATABASE_OK && reading->multipliers_changed)
        result = read_multipliers(reading);
    return result;
}

static int take_cursor(void *context, const struct sql_value *columns)
{
    char **cursor = context;
    if (columns[0].type == SQL_TEXT)
        *cursor = strndup(columns[0].text, columns[0].length);
    return *cursor ? 0 : -1;
}

static int take_nothing(void *context, const struct sql_value *columns)
{
    (void)context;
    (void)columns;
    return 0;
}

/* Whether the log still holds all that came behind the old cursor. */
static enum database_result find_out_whether_whole(struct reading *reading)
{
    struct database *database = reading->database;
    if (!database->cursor) {
        reading->whole = true;
        return DATABASE_OK;
    }
    reading->since = sql_text(database->cursor);
    if (database->backend->changed)
        database->backend->changed(database->cursor, reading->condition, sizeof(reading->condition));
    else
        snprintf(reading->condition, sizeof(reading->condition), "%s", database->backend->changed_since);
    struct sql_query query = {
        .text = database->backend->pruned_beyond, .values = &reading->since, .value_count = 1, .row = take_nothing};
    enum database_result result = database_one(database, &query, reading->error);
    reading->whole = result == DATABASE_OK;
    return result == DATABASE_NOT_FOUND ? DATABASE_OK : result;
}

static enum database_result read_within(struct reading *reading, char **cursor)
{
    struct database *database = reading->database;
    struct sql_query now = {.text = database->backend->cursor_now, .row = take_cursor, .context = cursor};
    enum database_result result =
        database->backend->cursor ? database->backend->cursor(database->state, database->cursor, cursor, reading->error)
                                  : database_one(database, &now, reading->error);
    if (result == DATABASE_OK)
        result = find_out_whether_whole(reading);
    if (result != DATABASE_OK)
        return result;
    if (reading->reader->begin(reading->reader->context, reading->whole) != 0)
        return DATABASE_STOPPED;
    result = reading->whole ? read_whole(reading) : read_changed(reading);
    if (reading->bad_rows > 1)
        log_warning("database", "rows left out count=%zu", reading->bad_rows);
    return result;
}

enum database_result database_read(struct database *database, const struct database_reader *reader, struct error *error)
{
    struct reading reading = {.database = database, .reader = reader, .error = error};
    char *cursor = NULL;
    enum database_result result = database_begin(database, SQL_READ, error);
    if (result != DATABASE_OK)
        return result;
    result = database_end(database, read_within(&reading, &cursor), error);
    if (result == DATABASE_OK) {
        free(database->cursor);
        database->cursor = cursor;
    } else {
        free(cursor);
    }
    return result;
}

struct cutoff {
    int64_t id;
    char mark[32];
};

static int take_cutoff(void *context, const struct sql_value *columns)
{
    struct cutoff *cutoff = context;
    cutoff->id = sql_as_integer(&columns[0]);
    return 0;
}

static int take_mark(void *context, const struct sql_value *columns)
{
    struct cutoff *cutoff = context;
    if (columns[0].type == SQL_TEXT)
        sql_copy_text(cutoff->mark, sizeof(cutoff->mark), &columns[0]);
    return 0;
}

/*
 * The newest entry that may go, of the `depth` oldest; cutoff->id 0: none. A short look is
 * cheap, and tells nearly always that there is nothing to do.
 */
static enum database_result find_cutoff(struct database *database, int64_t depth, struct cutoff *cutoff,
                                        struct error *error)
{
    struct sql_value values[] = {sql_integer(CHANGES_KEPT_S), sql_integer(CHANGES_KEPT_ROWS), sql_integer(depth)};
    char text[SQL_TEXT_BYTES];
    snprintf(text, sizeof(text),
             "SELECT max(id) FROM (SELECT id, at FROM changes ORDER BY id LIMIT $3) AS oldest "
             "WHERE at < %s - $1 OR id <= (SELECT max(id) FROM changes) - $2",
             database->backend->now);
    struct sql_query query = {.text = text, .values = values, .value_count = 3, .row = take_cutoff, .context = cutoff};
    return database_step(database, &query, error);
}

static enum database_result prune_within(struct database *database, struct error *error)
{
    struct cutoff cutoff = {0};
    enum database_result result = find_cutoff(database, PRUNE_ROWS, &cutoff, error);
    if (result != DATABASE_OK || cutoff.id == 0)
        return result;

    char text[SQL_TEXT_BYTES];
    struct sql_value values[] = {sql_integer(cutoff.id), {0}};
    snprintf(text, sizeof(text), "SELECT CAST(max(%s) AS VARCHAR(20)) FROM changes WHERE id <= $1 AND %s",
             database->backend->pruned_mark, database->backend->prunable);
    struct sql_query mark = {.text = text, .values = values, .value_count = 1, .row = take_mark, .context = &cutoff};
    result = database_step(database, &mark, error);
    if (result != DATABASE_OK || cutoff.mark[0] == '\0')
        return result;

    /* Not what was committed since: the mark would not speak for it. */
    values[1] = sql_integer(strtoll(cutoff.mark, NULL, 10));
    snprintf(text, sizeof(text), "DELETE FROM changes WHERE id <= $1 AND %s <= $2", database->backend->pruned_mark);
    struct sql_query remove = {.text = text, .values = values, .value_count = 2};
    result = database_step(database, &remove, error);
    if (result != DATABASE_OK)
        return result;
    return database_set_key(database, "changes.pruned", cutoff.mark, error);
}

enum database_result database_prune(struct database *database, struct error *error)
{
    for (int round = 0; round < PRUNE_ROUNDS; round++) {
        struct cutoff cutoff = {0};
        enum database_result result = database_ready(database, error);
        if (result == DATABASE_OK)
            result = find_cutoff(database, 1, &cutoff, error);
        if (result != DATABASE_OK || cutoff.id == 0)
            return result;
        result = database_begin(database, SQL_WRITE, error);
        if (result == DATABASE_OK)
            result = database_end(database, prune_within(database, error), error);
        if (result != DATABASE_OK)
            return result;
    }
    return DATABASE_OK;
}
