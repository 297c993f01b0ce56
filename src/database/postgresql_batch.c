/*
 * postgresql_batch: the sink's batch, a statement for each table: its rows travel as one array a
 * column (unnest), so that the number of round trips does not depend on the batch.
 */
#include <stdlib.h>

#include "base/hex.h"
#include "database/postgresql.h"

static void element_begin(struct sql_buffer *text)
{
    if (text->length > 1)
        sql_buffer_put(text, ",", 1);
}

static void put_integer(struct sql_buffer *text, int64_t number)
{
    element_begin(text);
    sql_buffer_put_integer(text, number);
}

static void put_null(struct sql_buffer *text)
{
    element_begin(text);
    sql_buffer_put(text, "NULL", 4);
}

/* Quoted, with what would end the quotes escaped: a client's name is whatever it says. */
static void put_text(struct sql_buffer *text, const char *bytes, size_t length)
{
    element_begin(text);
    sql_buffer_put(text, "\"", 1);
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '"' || bytes[i] == '\\')
            sql_buffer_put(text, "\\", 1);
        sql_buffer_put(text, bytes + i, 1);
    }
    sql_buffer_put(text, "\"", 1);
}

static void arrays_begin(struct postgresql *postgresql, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        postgresql->arrays[i].length = 0;
        sql_buffer_put(&postgresql->arrays[i], "{", 1);
    }
}

/* One row of integers, a column an array. */
static void put_row(struct postgresql *postgresql, const int64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put_integer(&postgresql->arrays[i], values[i]);
}

static enum database_result run(struct postgresql *postgresql, const char *statement, size_t count, sql_row_fn *row,
                                void *context, struct error *error)
{
    struct sql_value values[PG_ARRAYS_MAX];
    bool failed = false;
    for (size_t i = 0; i < count; i++) {
        sql_buffer_put(&postgresql->arrays[i], "}", 1);
        failed = failed || postgresql->arrays[i].failed;
        postgresql->arrays[i].failed = false;
        values[i] = (struct sql_value){
            .type = SQL_TEXT, .text = postgresql->arrays[i].bytes, .length = postgresql->arrays[i].length};
    }
    if (failed)
        return database_fail(DATABASE_UNAVAILABLE, error, "out of memory");
    struct sql_query query = {
        .text = statement, .values = values, .value_count = count, .row = row, .context = context, .at_once = true};
    return postgresql_query(postgresql, &query, error);
}

static int take_lookup(void *context, const struct sql_value *columns)
{
    struct batch_lookup *lookups = context;
    int64_t place = sql_as_integer(&columns[0]);
    lookups[place - 1].id = sql_as_integer(&columns[1]);
    return 0;
}

static void put_key(struct sql_buffer *text, const struct delta *delta, bool of_user)
{
    char digits[2 * INFO_HASH_BYTES + 1];
    if (of_user) {
        put_text(text, delta->passkey, delta->passkey_length);
        return;
    }
    hex_encode(digits, delta->info_hash, INFO_HASH_BYTES);
    put_text(text, digits, sizeof(digits) - 1);
}

/* Makes the rows that are registered, then asks for the ids of all. */
static enum database_result resolve(struct postgresql *postgresql, struct batch_lookup *lookups, size_t count,
                                    bool of_user, struct error *error)
{
    enum database_result result = DATABASE_OK;
    bool registers = false;
    arrays_begin(postgresql, 2);
    for (size_t i = 0; i < count; i++) {
        if (!lookups[i].registers)
            continue;
        put_key(&postgresql->arrays[0], lookups[i].delta, of_user);
        put_integer(&postgresql->arrays[1], lookups[i].hide_address);
        registers = true;
    }
    if (registers && of_user)
        result = run(postgresql,
                     "INSERT INTO users (passkey, hide_address) SELECT * FROM unnest($1::text[], $2::bigint[]) "
                     "AS d (passkey, hide_address) WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.passkey = "
                     "d.passkey) ON CONFLICT (passkey) DO NOTHING",
                     2, NULL, NULL, error);
    else if (registers)
        result = run(postgresql,
                     "INSERT INTO torrents (info_hash) SELECT info_hash FROM unnest($1::text[]) AS d (info_hash) "
                     "WHERE NOT EXISTS (SELECT 1 FROM torrents t WHERE t.info_hash = d.info_hash) "
                     "ON CONFLICT (info_hash) DO NOTHING",
                     1, NULL, NULL, error);
    if (result != DATABASE_OK)
        return result;
    arrays_begin(postgresql, 1);
    for (size_t i = 0; i < count; i++) {
        lookups[i].id = 0;
        put_key(&postgresql->arrays[0], lookups[i].delta, of_user);
    }
    const char *find = of_user ? "SELECT d.place, u.id FROM unnest($1::text[]) WITH ORDINALITY AS d (key, place) "
                                 "JOIN users u ON u.passkey = d.key"
                               : "SELECT d.place, t.id FROM unnest($1::text[]) WITH ORDINALITY AS d (key, place) "
                                 "JOIN torrents t ON t.info_hash = d.key";
    return run(postgresql, find, 1, take_lookup, lookups, error);
}

enum database_result postgresql_resolve(void *state, struct batch *batch, struct error *error)
{
    enum database_result result = DATABASE_OK;
    if (batch->user_lookup_count > 0)
        result = resolve(state, batch->user_lookups, batch->user_lookup_count, true, error);
    if (result == DATABASE_OK && batch->torrent_lookup_count > 0)
        result = resolve(state, batch->torrent_lookups, batch->torrent_lookup_count, false, error);
    return result;
}

static enum database_result write_users(struct postgresql *postgresql, const struct batch *batch, struct error *error)
{
    if (batch->user_count == 0)
        return DATABASE_OK;
    arrays_begin(postgresql, 6);
    for (size_t i = 0; i < batch->user_count; i++) {
        int64_t values[BATCH_USER_VALUES];
        batch_user_values(&batch->users[i], values);
        put_row(postgresql, values, BATCH_USER_VALUES);
    }
    return run(postgresql,
               "UPDATE users u SET uploaded = u.uploaded + d.uploaded, downloaded = u.downloaded + d.downloaded, "
               "raw_uploaded = u.raw_uploaded + d.raw_uploaded, raw_downloaded = u.raw_downloaded + d.raw_downloaded, "
               "quarantined = u.quarantined + d.quarantined FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], "
               "$4::bigint[], $5::bigint[], $6::bigint[]) AS d (id, uploaded, downloaded, raw_uploaded, "
               "raw_downloaded, quarantined) WHERE u.id = d.id",
               6, NULL, NULL, error);
}

/* Of a statement that returns the places of the rows that it found. */
static int take_account(void *context, const struct sql_value *columns)
{
    struct batch *batch = context;
    batch->accounts[sql_as_integer(&columns[0])].is_there = true;
    return 0;
}

/* The accounts that are not known to be there as one array a column, the last being their places; returns how many. */
static size_t list_accounts(struct postgresql *postgresql, const struct batch *batch)
{
    size_t count = 0;
    arrays_begin(postgresql, 14);
    for (size_t i = 0; i < batch->account_count; i++) {
        const struct batch_account *account = &batch->accounts[i];
        if (account->is_there)
            continue;
        int64_t values[BATCH_ACCOUNT_VALUES + 1];
        batch_account_values(account, values);
        values[BATCH_ACCOUNT_VALUES] = (int64_t)i;
        put_row(postgresql, values, BATCH_ACCOUNT_VALUES + 1);
        count++;
    }
    return count;
}

#define ACCOUNTS                                                                                             \
    "unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], "            \
    "$7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], " \
    "$14::bigint[]) AS d (user_id, torrent_id, uploaded, downloaded, raw_uploaded, raw_downloaded, "         \
    "seed_time, leech_time, left_bytes, seeding, active, first_announce, last_announce, place)"

/* Nearly all rows are there: only for those that are not, user and torrent have to be looked for. */
static enum database_result write_accounts(struct postgresql *postgresql, struct batch *batch, struct error *error)
{
    if (list_accounts(postgresql, batch) == 0)
        return DATABASE_OK;
    enum database_result result =
        run(postgresql,
            "UPDATE user_torrents a SET uploaded = a.uploaded + d.uploaded, downloaded = a.downloaded + d.downloaded, "
            "raw_uploaded = a.raw_uploaded + d.raw_uploaded, raw_downloaded = a.raw_downloaded + d.raw_downloaded, "
            "seed_time = a.seed_time + d.seed_time, leech_time = a.leech_time + d.leech_time, "
            "left_bytes = d.left_bytes, seeding = d.seeding, active = d.active, "
            "last_announce = greatest(a.last_announce, d.last_announce) FROM " ACCOUNTS
            " WHERE a.user_id = d.user_id AND a.torrent_id = d.torrent_id RETURNING d.place",
            14, take_account, batch, error);
    if (result != DATABASE_OK || list_accounts(postgresql, batch) == 0)
        return result;
    return run(
        postgresql,
        "INSERT INTO user_torrents AS a (user_id, torrent_id, uploaded, downloaded, raw_uploaded, "
        "raw_downloaded, seed_time, leech_time, left_bytes, seeding, active, first_announce, last_announce) "
        "SELECT d.user_id, d.torrent_id, d.uploaded, d.downloaded, d.raw_uploaded, d.raw_downloaded, "
        "d.seed_time, d.leech_time, d.left_bytes, d.seeding, d.active, d.first_announce, d.last_announce FROM " ACCOUNTS
        " WHERE EXISTS (SELECT 1 FROM users u WHERE u.id = d.user_id) "
        "AND EXISTS (SELECT 1 FROM torrents t WHERE t.id = d.torrent_id) "
        "ON CONFLICT (user_id, torrent_id) DO UPDATE SET uploaded = a.uploaded + excluded.uploaded, "
        "downloaded = a.downloaded + excluded.downloaded, "
        "raw_uploaded = a.raw_uploaded + excluded.raw_uploaded, "
        "raw_downloaded = a.raw_downloaded + excluded.raw_downloaded, "
        "seed_time = a.seed_time + excluded.seed_time, leech_time = a.leech_time + excluded.leech_time, "
        "left_bytes = excluded.left_bytes, seeding = excluded.seeding, active = excluded.active, "
        "last_announce = greatest(a.last_announce, excluded.last_announce)",
        14, NULL, NULL, error);
}

static int take_snatches(void *context, const struct sql_value *columns)
{
    struct batch *batch = context;
    struct batch_torrent *torrent = batch_find_torrent(batch, sql_as_integer(&columns[0]));
    if (torrent)
        torrent->snatches = (uint32_t)sql_as_integer(&columns[1]);
    return 0;
}

/* The table is the last word on "once": only a row that had no snatch yet counts one on the torrent. */
static enum database_result note_snatches(struct postgresql *postgresql, struct batch *batch, struct error *error)
{
    bool any = false;
    arrays_begin(postgresql, 3);
    for (size_t i = 0; i < batch->account_count; i++) {
        const struct batch_account *account = &batch->accounts[i];
        const int64_t values[] = {account->user_id, account->torrent_id, account->snatched_at};
        if (account->snatched_at == 0)
            continue;
        put_row(postgresql, values, 3);
        any = true;
    }
    if (!any)
        return DATABASE_OK;
    return run(postgresql,
               "WITH noted AS (UPDATE user_torrents a SET snatched_at = d.at FROM unnest($1::bigint[], $2::bigint[], "
               "$3::bigint[]) AS d (user_id, torrent_id, at) WHERE a.user_id = d.user_id "
               "AND a.torrent_id = d.torrent_id AND a.snatched_at IS NULL RETURNING a.torrent_id) "
               "SELECT torrent_id, count(*) FROM noted GROUP BY torrent_id",
               3, take_snatches, batch, error);
}

static void put_address(struct postgresql *postgresql, size_t place, const char *text, int64_t port)
{
    if (text[0] == '\0') {
        put_null(&postgresql->arrays[place]);
        put_null(&postgresql->arrays[place + 1]);
        return;
    }
    put_text(&postgresql->arrays[place], text, strlen(text));
    put_integer(&postgresql->arrays[place + 1], port);
}

static void put_session_key(struct postgresql *postgresql, const struct batch_session *entry)
{
    char peer_id[2 * PEER_ID_BYTES + 1];
    batch_session_peer_id(entry, peer_id);
    put_integer(&postgresql->arrays[0], entry->user_id);
    put_integer(&postgresql->arrays[1], entry->torrent_id);
    put_text(&postgresql->arrays[2], peer_id, 2 * PEER_ID_BYTES);
}

static int take_session(void *context, const struct sql_value *columns)
{
    struct batch *batch = context;
    batch->sessions[sql_as_integer(&columns[0])].is_there = true;
    return 0;
}

/* The sessions in a swarm that are not known to be there, as for accounts; returns how many. */
static size_t list_sessions(struct postgresql *postgresql, const struct batch *batch)
{
    size_t count = 0;
    arrays_begin(postgresql, 13);
    for (size_t i = 0; i < batch->session_count; i++) {
        const struct batch_session *entry = &batch->sessions[i];
        if (!entry->delta->active || entry->is_there)
            continue;
        struct batch_session_texts texts;
        batch_session_describe(batch, entry, &texts);
        put_session_key(postgresql, entry);
        put_text(&postgresql->arrays[3], texts.client, DELTA_CLIENT_BYTES - 1);
        put_address(postgresql, 4, texts.ip4, texts.port4);
        put_address(postgresql, 6, texts.ip6, texts.port6);
        for (size_t k = 0; k < 4; k++)
            put_integer(&postgresql->arrays[8 + k], texts.counters[k]);
        put_integer(&postgresql->arrays[12], (int64_t)i);
        count++;
    }
    return count;
}

#define SESSIONS                                                                                              \
    "unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], "       \
    "$8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[]) AS d (user_id, " \
    "torrent_id, peer_id, client, ip4, port4, ip6, port6, uploaded, downloaded, left_bytes, last_announce, place)"

static enum database_result put_sessions(struct postgresql *postgresql, struct batch *batch, struct error *error)
{
    if (list_sessions(postgresql, batch) == 0)
        return DATABASE_OK;
    enum database_result result =
        run(postgresql,
            "UPDATE sessions s SET ip4 = d.ip4, port4 = d.port4, ip6 = d.ip6, port6 = d.port6, "
            "uploaded = d.uploaded, downloaded = d.downloaded, left_bytes = d.left_bytes, "
            "last_announce = d.last_announce FROM " SESSIONS " WHERE s.user_id = d.user_id "
            "AND s.torrent_id = d.torrent_id AND s.peer_id = d.peer_id RETURNING d.place",
            13, take_session, batch, error);
    if (result != DATABASE_OK || list_sessions(postgresql, batch) == 0)
        return result;
    return run(postgresql,
               "INSERT INTO sessions (user_id, torrent_id, peer_id, client, ip4, port4, ip6, port6, uploaded, "
               "downloaded, left_bytes, last_announce) SELECT d.user_id, d.torrent_id, d.peer_id, d.client, d.ip4, "
               "d.port4, d.ip6, d.port6, d.uploaded, d.downloaded, d.left_bytes, d.last_announce FROM " SESSIONS
               " WHERE EXISTS (SELECT 1 FROM user_torrents a WHERE a.user_id = d.user_id "
               "AND a.torrent_id = d.torrent_id) "
               "ON CONFLICT (user_id, torrent_id, peer_id) DO UPDATE SET ip4 = excluded.ip4, port4 = excluded.port4, "
               "ip6 = excluded.ip6, port6 = excluded.port6, uploaded = excluded.uploaded, "
               "downloaded = excluded.downloaded, left_bytes = excluded.left_bytes, "
               "last_announce = excluded.last_announce",
               13, NULL, NULL, error);
}

static enum database_result end_sessions(struct postgresql *postgresql, const struct batch *batch, struct error *error)
{
    bool any = false;
    arrays_begin(postgresql, 3);
    for (size_t i = 0; i < batch->session_count; i++) {
        if (batch->sessions[i].delta->active)
            continue;
        put_session_key(postgresql, &batch->sessions[i]);
        any = true;
    }
    if (!any)
        return DATABASE_OK;
    return run(postgresql,
               "DELETE FROM sessions s USING unnest($1::bigint[], $2::bigint[], $3::text[]) "
               "AS d (user_id, torrent_id, peer_id) WHERE s.user_id = d.user_id AND s.torrent_id = d.torrent_id "
               "AND s.peer_id = d.peer_id",
               3, NULL, NULL, error);
}

static enum database_result write_torrents(struct postgresql *postgresql, const struct batch *batch,
                                           struct error *error)
{
    if (batch->torrent_count == 0)
        return DATABASE_OK;
    arrays_begin(postgresql, 4);
    for (size_t i = 0; i < batch->torrent_count; i++) {
        int64_t values[BATCH_TORRENT_VALUES];
        batch_torrent_values(&batch->torrents[i], values);
        put_row(postgresql, values, BATCH_TORRENT_VALUES);
    }
    return run(postgresql,
               "UPDATE torrents t SET seeders = d.seeders, leechers = d.leechers, snatches = t.snatches + d.snatches "
               "FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS d (id, seeders, leechers, "
               "snatches) WHERE t.id = d.id AND (t.seeders <> d.seeders OR t.leechers <> d.leechers OR d.snatches > 0)",
               4, NULL, NULL, error);
}

enum database_result postgresql_write(void *state, struct batch *batch, struct error *error)
{
    struct postgresql *postgresql = state;
    enum database_result result = write_users(postgresql, batch, error);
    if (result == DATABASE_OK)
        result = write_accounts(postgresql, batch, error);
    if (result == DATABASE_OK)
        result = note_snatches(postgresql, batch, error);
    if (result == DATABASE_OK)
        result = put_sessions(postgresql, batch, error);
    if (result == DATABASE_OK)
        result = end_sessions(postgresql, batch, error);
    if (result == DATABASE_OK)
        result = write_torrents(postgresql, batch, error);
    return result;
}
