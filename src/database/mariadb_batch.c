/*
 * mariadb_batch: the sink's batch in statements of many rows. Accounts and sessions are inserted or, where they are
 * there, changed, by one statement, once it is known which users and torrents are there; rows of users
 * and torrents are only ever changed, by a join with a temporary table in memory, in the order of the keys.
 */
#include <stdlib.h>

#include "base/hex.h"
#include "database/mariadb.h"

/* Rows of a statement: bounded by its bytes, and where it lists ranges of an index by their number. */
enum { STATEMENT_BYTES = 512 * 1024, ROW_BYTES = 1024, IDS_MAX = 900, ANY_COUNT = INT32_MAX };

/* A statement that is sent as often as its rows fill it. */
struct statement {
    struct mariadb *mariadb;
    const char *head;
    const char *tail;
    size_t most; /* rows */
    size_t rows;
    bool row_is_open; /* its first value is there */
    sql_row_fn *take;
    void *context;
    enum database_result result;
    struct error *error;
};

static struct statement statement_of(struct mariadb *mariadb, const char *head, const char *tail, struct error *error)
{
    return (struct statement){.mariadb = mariadb, .head = head, .tail = tail, .most = ANY_COUNT, .error = error};
}

static void put(struct statement *statement, const char *text)
{
    sql_buffer_put(&statement->mariadb->batch, text, strlen(text));
}

/* Sends what has gathered; after a failure nothing more is sent. */
static enum database_result finish(struct statement *statement)
{
    struct sql_buffer *batch = &statement->mariadb->batch;
    if (statement->rows == 0 || statement->result != DATABASE_OK)
        return statement->result;
    put(statement, statement->tail);
    if (batch->failed) {
        batch->failed = false;
        statement->result = database_fail(DATABASE_UNAVAILABLE, statement->error, "out of memory");
        return statement->result;
    }
    struct sql_query query = {.text = batch->bytes, .row = statement->take, .context = statement->context};
    statement->result = mariadb_send(statement->mariadb, &query, batch->length, statement->error);
    statement->rows = 0;
    return statement->result;
}

/* Begins a row, "(" or what else opens one. */
static void row_begin(struct statement *statement, const char *open)
{
    struct sql_buffer *batch = &statement->mariadb->batch;
    size_t room = statement->mariadb->packet_bytes / 2 < STATEMENT_BYTES ? statement->mariadb->packet_bytes / 2
                                                                         : (size_t)STATEMENT_BYTES;
    if (statement->rows == statement->most || (statement->rows > 0 && batch->length + ROW_BYTES > room))
        (void)finish(statement);
    if (statement->rows == 0) {
        batch->length = 0;
        put(statement, statement->head);
    } else {
        put(statement, ",");
    }
    put(statement, open);
    statement->rows++;
    statement->row_is_open = false;
}

static void value_begin(struct statement *statement)
{
    if (statement->row_is_open)
        put(statement, ",");
    statement->row_is_open = true;
}

static void put_integer(struct statement *statement, int64_t number)
{
    value_begin(statement);
    sql_buffer_put_integer(&statement->mariadb->batch, number);
}

static void put_integers(struct statement *statement, const int64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put_integer(statement, values[i]);
}

static void put_text(struct statement *statement, const char *text, size_t length)
{
    value_begin(statement);
    mariadb_put_text(&statement->mariadb->batch, text, length);
}

static void put_null(struct statement *statement)
{
    value_begin(statement);
    put(statement, "NULL");
}

static void put_integer_row(struct statement *statement, const int64_t *values, size_t count)
{
    row_begin(statement, "(");
    put_integers(statement, values, count);
    put(statement, ")");
}

static int take_lookup(void *context, const struct sql_value *columns)
{
    struct batch_lookup *lookups = context;
    lookups[sql_as_integer(&columns[0])].id = sql_as_integer(&columns[1]);
    return 0;
}

static void put_key(struct statement *statement, const struct delta *delta, bool of_user)
{
    char digits[2 * INFO_HASH_BYTES + 1];
    if (of_user) {
        put_text(statement, delta->passkey, delta->passkey_length);
        return;
    }
    hex_encode(digits, delta->info_hash, INFO_HASH_BYTES);
    put_text(statement, digits, sizeof(digits) - 1);
}

/* Asks for the ids of those that have none yet. */
static enum database_result find_ids(struct mariadb *mariadb, struct batch_lookup *lookups, size_t count, bool of_user,
                                     struct error *error)
{
    struct statement find =
        statement_of(mariadb, "SELECT d.place, r.id FROM (WITH v (place, name) AS (VALUES ",
                     of_user ? ") SELECT * FROM v) AS d STRAIGHT_JOIN users r ON r.passkey = d.name"
                             : ") SELECT * FROM v) AS d STRAIGHT_JOIN torrents r ON r.info_hash = d.name",
                     error);
    find.take = take_lookup;
    find.context = lookups;
    for (size_t i = 0; i < count; i++) {
        if (lookups[i].id != 0)
            continue;
        row_begin(&find, "(");
        put_integer(&find, (int64_t)i);
        put_key(&find, lookups[i].delta, of_user);
        put(&find, ")");
    }
    return finish(&find);
}

/* Makes rows for those that have none and register themselves; where another was faster, its row stays as it is. */
static enum database_result make_rows(struct mariadb *mariadb, const struct batch_lookup *lookups, size_t count,
                                      bool of_user, bool *any, struct error *error)
{
    struct statement make = statement_of(
        mariadb,
        of_user ? "INSERT INTO users (passkey, hide_address) VALUES " : "INSERT INTO torrents (info_hash) VALUES ",
        of_user ? " ON DUPLICATE KEY UPDATE id = users.id" : " ON DUPLICATE KEY UPDATE id = torrents.id", error);
    for (size_t i = 0; i < count; i++) {
        if (lookups[i].id != 0 || !lookups[i].registers)
            continue;
        row_begin(&make, "(");
        put_key(&make, lookups[i].delta, of_user);
        if (of_user)
            put_integer(&make, lookups[i].hide_address);
        put(&make, ")");
        *any = true;
    }
    return finish(&make);
}

static enum database_result resolve(struct mariadb *mariadb, struct batch_lookup *lookups, size_t count, bool of_user,
                                    struct error *error)
{
    bool made = false;
    for (size_t i = 0; i < count; i++)
        lookups[i].id = 0;
    enum database_result result = find_ids(mariadb, lookups, count, of_user, error);
    if (result == DATABASE_OK)
        result = make_rows(mariadb, lookups, count, of_user, &made, error);
    return result == DATABASE_OK && made ? find_ids(mariadb, lookups, count, of_user, error) : result;
}

enum database_result mariadb_resolve(void *state, struct batch *batch, struct error *error)
{
    enum database_result result = resolve(state, batch->user_lookups, batch->user_lookup_count, true, error);
    if (result == DATABASE_OK)
        result = resolve(state, batch->torrent_lookups, batch->torrent_lookup_count, false, error);
    return result;
}

#define TABLE(name, columns) "CREATE TEMPORARY TABLE IF NOT EXISTS " name " (" columns ") ENGINE = MEMORY;"

/* No change of these ends or is part of a transaction; each statement that fills one empties it first. */
static enum database_result make_tables(struct mariadb *mariadb, struct error *error)
{
    if (mariadb->has_tables)
        return DATABASE_OK;
    enum database_result result = mariadb_script(
        mariadb,
        TABLE("privtrak_users", "id bigint, uploaded bigint, downloaded bigint, raw_uploaded bigint, "
                                "raw_downloaded bigint, quarantined bigint")
            TABLE("privtrak_torrents", "id bigint, seeders bigint, leechers bigint, snatches bigint")
                TABLE("privtrak_snatches", "user_id bigint, torrent_id bigint, at bigint")
                    TABLE("privtrak_ended", "user_id bigint, torrent_id bigint, "
                                            "peer_id varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"),
        error);
    mariadb->has_tables = result == DATABASE_OK;
    return result;
}

/* Around statements in which no trigger has anything to note. Where one fails, the end of the transaction takes it back. */
#define COUNTING "; SET @privtrak_counts = 1; "
#define COUNTED "; SET @privtrak_counts = NULL"

static enum database_result write_users(struct mariadb *mariadb, const struct batch *batch, struct error *error)
{
    struct statement add = statement_of(
        mariadb, "DELETE FROM privtrak_users; INSERT INTO privtrak_users VALUES ",
        COUNTING
        "UPDATE privtrak_users d STRAIGHT_JOIN users u ON u.id = d.id SET u.uploaded = u.uploaded + d.uploaded, "
        "u.downloaded = u.downloaded + d.downloaded, u.raw_uploaded = u.raw_uploaded + d.raw_uploaded, "
        "u.raw_downloaded = u.raw_downloaded + d.raw_downloaded, u.quarantined = u.quarantined + d.quarantined" COUNTED,
        error);
    for (size_t i = 0; i < batch->user_count; i++) {
        int64_t values[BATCH_USER_VALUES];
        batch_user_values(&batch->users[i], values);
        put_integer_row(&add, values, BATCH_USER_VALUES);
    }
    return finish(&add);
}

/* Accounts stand by user: all of one are marked at once. */
static int take_user(void *context, const struct sql_value *columns)
{
    struct batch *batch = context;
    int64_t id = sql_as_integer(&columns[0]);
    size_t first = 0, end = batch->account_count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (batch->accounts[middle].user_id < id)
            first = middle + 1;
        else
            end = middle;
    }
    for (; first < batch->account_count && batch->accounts[first].user_id == id; first++)
        batch->accounts[first].is_there = true;
    return 0;
}

static int take_torrent(void *context, const struct sql_value *columns)
{
    struct batch *batch = context;
    struct batch_torrent *torrent = batch_find_torrent(batch, sql_as_integer(&columns[0]));
    if (torrent)
        torrent->is_there = true;
    return 0;
}

static void put_id(struct statement *statement, int64_t id)
{
    row_begin(statement, "");
    put_integer(statement, id);
}

/* Which accounts may have a row: those whose user and torrent have one. */
static enum database_result find_accounts(struct mariadb *mariadb, struct batch *batch, struct error *error)
{
    struct statement users = statement_of(mariadb, "SELECT id FROM users WHERE id IN (", ")", error);
    struct statement torrents = statement_of(mariadb, "SELECT id FROM torrents WHERE id IN (", ")", error);
    users.most = torrents.most = IDS_MAX;
    users.take = take_user;
    torrents.take = take_torrent;
    users.context = torrents.context = batch;
    for (size_t i = 0; i < batch->account_count; i++) {
        if (i == 0 || batch->accounts[i].user_id != batch->accounts[i - 1].user_id)
            put_id(&users, batch->accounts[i].user_id);
    }
    enum database_result result = finish(&users);
    if (result != DATABASE_OK)
        return result;
    for (size_t i = 0; i < batch->torrent_count; i++)
        put_id(&torrents, batch->torrents[i].id);
    result = finish(&torrents);
    for (size_t i = 0; i < batch->account_count; i++) {
        struct batch_account *account = &batch->accounts[i];
        const struct batch_torrent *torrent = batch_find_torrent(batch, account->torrent_id);
        account->is_there = account->is_there && torrent && torrent->is_there;
    }
    return result;
}

static enum database_result write_accounts(struct mariadb *mariadb, struct batch *batch, struct error *error)
{
    struct statement add = statement_of(
        mariadb,
        "INSERT INTO user_torrents (user_id, torrent_id, uploaded, downloaded, raw_uploaded, raw_downloaded, seed_time, "
        "leech_time, left_bytes, seeding, active, first_announce, last_announce) VALUES ",
        " ON DUPLICATE KEY UPDATE uploaded = uploaded + VALUES(uploaded), downloaded = downloaded + VALUES(downloaded), "
        "raw_uploaded = raw_uploaded + VALUES(raw_uploaded), raw_downloaded = raw_downloaded + VALUES(raw_downloaded), "
        "seed_time = seed_time + VALUES(seed_time), leech_time = leech_time + VALUES(leech_time), "
        "left_bytes = VALUES(left_bytes), seeding = VALUES(seeding), active = VALUES(active), "
        "last_announce = greatest(last_announce, VALUES(last_announce))",
        error);
    enum database_result result = find_accounts(mariadb, batch, error);
    if (result != DATABASE_OK)
        return result;
    for (size_t i = 0; i < batch->account_count; i++) {
        int64_t values[BATCH_ACCOUNT_VALUES];
        if (!batch->accounts[i].is_there)
            continue;
        batch_account_values(&batch->accounts[i], values);
        put_integer_row(&add, values, BATCH_ACCOUNT_VALUES);
    }
    return finish(&add);
}

static int take_snatch(void *context, const struct sql_value *columns)
{
    struct batch_torrent *torrent = batch_find_torrent(context, sql_as_integer(&columns[0]));
    if (torrent)
        torrent->snatches += (uint32_t)sql_as_integer(&columns[1]);
    return 0;
}

/*
 * The table is the last word on "once": only a row that had no snatch yet counts one on the torrent. The rows were
 * written in this transaction, and so are locked: what is read here stays so.
 */
static enum database_result note_snatches(struct mariadb *mariadb, struct batch *batch, struct error *error)
{
#define SNATCHES \
    "privtrak_snatches d STRAIGHT_JOIN user_torrents a ON a.user_id = d.user_id AND a.torrent_id = d.torrent_id "
    struct statement note = statement_of(
        mariadb, "DELETE FROM privtrak_snatches; INSERT INTO privtrak_snatches VALUES ",
        "; SELECT a.torrent_id, count(*) FROM " SNATCHES "WHERE a.snatched_at IS NULL GROUP BY a.torrent_id; "
        "UPDATE " SNATCHES "SET a.snatched_at = d.at WHERE a.snatched_at IS NULL",
        error);
#undef SNATCHES
    note.take = take_snatch;
    note.context = batch;
    for (size_t i = 0; i < batch->account_count; i++) {
        const struct batch_account *account = &batch->accounts[i];
        const int64_t values[] = {account->user_id, account->torrent_id, account->snatched_at};
        if (account->is_there && account->snatched_at != 0)
            put_integer_row(&note, values, 3);
    }
    return finish(&note);
}

static void put_address(struct statement *statement, const char *text, int64_t port)
{
    if (text[0] == '\0') {
        put_null(statement);
        put_null(statement);
        return;
    }
    put_text(statement, text, strlen(text));
    put_integer(statement, port);
}

static void put_session(struct statement *statement, const struct batch *batch, const struct batch_session *entry)
{
    struct batch_session_texts texts;
    batch_session_describe(batch, entry, &texts);
    row_begin(statement, "(");
    put_integer(statement, entry->user_id);
    put_integer(statement, entry->torrent_id);
    put_text(statement, texts.peer_id, 2 * PEER_ID_BYTES);
    put_text(statement, texts.client, DELTA_CLIENT_BYTES - 1);
    put_address(statement, texts.ip4, texts.port4);
    put_address(statement, texts.ip6, texts.port6);
    put_integers(statement, texts.counters, 4);
    put(statement, ")");
}

/* Sessions and accounts are sorted alike, so that each session's account is found by walking along. */
static enum database_result put_sessions(struct mariadb *mariadb, const struct batch *batch, struct error *error)
{
    struct statement add = statement_of(
        mariadb,
        "INSERT INTO sessions (user_id, torrent_id, peer_id, client, ip4, port4, ip6, port6, uploaded, downloaded, "
        "left_bytes, last_announce) VALUES ",
        " ON DUPLICATE KEY UPDATE ip4 = VALUES(ip4), port4 = VALUES(port4), ip6 = VALUES(ip6), port6 = VALUES(port6), "
        "uploaded = VALUES(uploaded), downloaded = VALUES(downloaded), left_bytes = VALUES(left_bytes), "
        "last_announce = VALUES(last_announce)",
        error);
    size_t at = 0;
    for (size_t i = 0; i < batch->session_count; i++) {
        const struct batch_session *entry = &batch->sessions[i];
        while (batch->accounts[at].user_id != entry->user_id || batch->accounts[at].torrent_id != entry->torrent_id)
            at++;
        if (entry->delta->active && batch->accounts[at].is_there)
            put_session(&add, batch, entry);
    }
    return finish(&add);
}

static enum database_result end_sessions(struct mariadb *mariadb, const struct batch *batch, struct error *error)
{
    struct statement end =
        statement_of(mariadb, "DELETE FROM privtrak_ended; INSERT INTO privtrak_ended VALUES ",
                     "; DELETE s FROM privtrak_ended d STRAIGHT_JOIN sessions s ON s.user_id = d.user_id "
                     "AND s.torrent_id = d.torrent_id AND s.peer_id = d.peer_id",
                     error);
    for (size_t i = 0; i < batch->session_count; i++) {
        const struct batch_session *entry = &batch->sessions[i];
        char peer_id[2 * PEER_ID_BYTES + 1];
        if (entry->delta->active)
            continue;
        batch_session_peer_id(entry, peer_id);
        row_begin(&end, "(");
        put_integer(&end, entry->user_id);
        put_integer(&end, entry->torrent_id);
        put_text(&end, peer_id, 2 * PEER_ID_BYTES);
        put(&end, ")");
    }
    return finish(&end);
}

static enum database_result write_torrents(struct mariadb *mariadb, const struct batch *batch, struct error *error)
{
    struct statement set = statement_of(
        mariadb, "DELETE FROM privtrak_torrents; INSERT INTO privtrak_torrents VALUES ",
        COUNTING "UPDATE privtrak_torrents d STRAIGHT_JOIN torrents t ON t.id = d.id SET t.seeders = d.seeders, "
                 "t.leechers = d.leechers, t.snatches = t.snatches + d.snatches "
                 "WHERE t.seeders <> d.seeders OR t.leechers <> d.leechers OR d.snatches > 0" COUNTED,
        error);
    for (size_t i = 0; i < batch->torrent_count; i++) {
        int64_t values[BATCH_TORRENT_VALUES];
        batch_torrent_values(&batch->torrents[i], values);
        put_integer_row(&set, values, BATCH_TORRENT_VALUES);
    }
    return finish(&set);
}

enum database_result mariadb_write(void *state, struct batch *batch, struct error *error)
{
    struct mariadb *mariadb = state;
    enum database_result result = make_tables(mariadb, error);
    if (result == DATABASE_OK)
        result = write_users(mariadb, batch, error);
    if (result == DATABASE_OK)
        result = write_accounts(mariadb, batch, error);
    if (result == DATABASE_OK)
        result = note_snatches(mariadb, batch, error);
    if (result == DATABASE_OK)
        result = put_sessions(mariadb, batch, error);
    if (result == DATABASE_OK)
        result = end_sessions(mariadb, batch, error);
    if (result == DATABASE_OK)
        result = write_torrents(mariadb, batch, error);
    return result;
}
