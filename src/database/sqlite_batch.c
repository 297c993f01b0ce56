/*
 * sqlite_batch: the sink's batch, row by row through statements that are prepared
 * once a connection. Runs within the transaction of database_apply.
 */
#include <stdlib.h>

#include "base/hex.h"
#include "database/sqlite.h"

enum { INFO_HASH_DIGITS = 2 * INFO_HASH_BYTES, PEER_ID_DIGITS = 2 * PEER_ID_BYTES };

/* Users and torrents are only ever updated here, but for those that a delta registers: what the site deleted stays so. */
static const char *const texts[SQLITE_STATEMENTS] = {
    [SQLITE_FIND_USER] = "SELECT id FROM users WHERE passkey = ?1",
    [SQLITE_MAKE_USER] = "INSERT INTO users (passkey, hide_address) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    [SQLITE_FIND_TORRENT] = "SELECT id FROM torrents WHERE info_hash = ?1",
    [SQLITE_MAKE_TORRENT] = "INSERT INTO torrents (info_hash) VALUES (?1) ON CONFLICT DO NOTHING",
    [SQLITE_ADD_USER] = "UPDATE users SET uploaded = uploaded + ?2, downloaded = downloaded + ?3, "
                        "raw_uploaded = raw_uploaded + ?4, raw_downloaded = raw_downloaded + ?5, "
                        "quarantined = quarantined + ?6 WHERE id = ?1",
    [SQLITE_SET_TORRENT] = "UPDATE torrents SET seeders = ?2, leechers = ?3, snatches = snatches + ?4 "
                           "WHERE id = ?1 AND (seeders <> ?2 OR leechers <> ?3 OR ?4 > 0)",
    [SQLITE_ADD_ACCOUNT] =
        "UPDATE user_torrents SET uploaded = uploaded + ?3, downloaded = downloaded + ?4, "
        "raw_uploaded = raw_uploaded + ?5, raw_downloaded = raw_downloaded + ?6, seed_time = seed_time + ?7, "
        "leech_time = leech_time + ?8, left_bytes = ?9, seeding = ?10, active = ?11, "
        "last_announce = max(last_announce, ?13) WHERE user_id = ?1 AND torrent_id = ?2",
    [SQLITE_MAKE_ACCOUNT] =
        "INSERT INTO user_torrents (user_id, torrent_id, uploaded, downloaded, raw_uploaded, raw_downloaded, "
        "seed_time, leech_time, left_bytes, seeding, active, first_announce, last_announce) "
        "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13 "
        "WHERE EXISTS (SELECT 1 FROM users WHERE id = ?1) AND EXISTS (SELECT 1 FROM torrents WHERE id = ?2)",
    [SQLITE_NOTE_SNATCH] = "UPDATE user_torrents SET snatched_at = ?3 "
                           "WHERE user_id = ?1 AND torrent_id = ?2 AND snatched_at IS NULL",
    [SQLITE_PUT_SESSION] =
        "INSERT INTO sessions (user_id, torrent_id, peer_id, client, ip4, port4, ip6, port6, uploaded, downloaded, "
        "left_bytes, last_announce) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) "
        "ON CONFLICT (user_id, torrent_id, peer_id) DO UPDATE SET ip4 = excluded.ip4, port4 = excluded.port4, "
        "ip6 = excluded.ip6, port6 = excluded.port6, uploaded = excluded.uploaded, "
        "downloaded = excluded.downloaded, left_bytes = excluded.left_bytes, "
        "last_announce = excluded.last_announce",
    [SQLITE_END_SESSION] = "DELETE FROM sessions WHERE user_id = ?1 AND torrent_id = ?2 AND peer_id = ?3",
};

static int statement_ready(struct sqlite *sqlite, enum sqlite_statement which, sqlite3_stmt **statement)
{
    int code = SQLITE_OK;
    if (!sqlite->statements[which])
        code = sqlite3_prepare_v3(sqlite->handle, texts[which], -1, SQLITE_PREPARE_PERSISTENT,
                                  &sqlite->statements[which], NULL);
    *statement = sqlite->statements[which];
    return code;
}

static void bind_integers(sqlite3_stmt *statement, int first, const int64_t *values, int count)
{
    for (int i = 0; i < count; i++)
        sqlite3_bind_int64(statement, first + i, values[i]);
}

/* Runs a statement whose values are bound; `*changed` (NULL: not asked for) says how many rows it touched. */
static int run(struct sqlite *sqlite, sqlite3_stmt *statement, int *changed)
{
    int code = sqlite3_step(statement);
    if (changed)
        *changed = code == SQLITE_DONE ? sqlite3_changes(sqlite->handle) : 0;
    sqlite3_reset(statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int find_id(struct sqlite *sqlite, enum sqlite_statement which, const char *key, size_t length, int64_t *id)
{
    sqlite3_stmt *statement;
    int code = statement_ready(sqlite, which, &statement);
    if (code != SQLITE_OK)
        return code;
    sqlite3_bind_text(statement, 1, key, (int)length, SQLITE_STATIC);
    code = sqlite3_step(statement);
    *id = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static int resolve_one(struct sqlite *sqlite, struct batch_lookup *lookup, bool of_user)
{
    char digits[INFO_HASH_DIGITS + 1];
    const char *key = lookup->delta->passkey;
    size_t length = lookup->delta->passkey_length;
    if (!of_user) {
        hex_encode(digits, lookup->delta->info_hash, INFO_HASH_BYTES);
        key = digits;
        length = INFO_HASH_DIGITS;
    }
    int code = find_id(sqlite, of_user ? SQLITE_FIND_USER : SQLITE_FIND_TORRENT, key, length, &lookup->id);
    if (code != SQLITE_OK || lookup->id != 0 || !lookup->registers)
        return code;
    sqlite3_stmt *statement;
    code = statement_ready(sqlite, of_user ? SQLITE_MAKE_USER : SQLITE_MAKE_TORRENT, &statement);
    if (code != SQLITE_OK)
        return code;
    sqlite3_bind_text(statement, 1, key, (int)length, SQLITE_STATIC);
    if (of_user)
        sqlite3_bind_int64(statement, 2, lookup->hide_address);
    int changed;
    code = run(sqlite, statement, &changed);
    if (code == SQLITE_OK && changed > 0)
        lookup->id = sqlite3_last_insert_rowid(sqlite->handle);
    return code;
}

enum database_result sqlite_resolve(void *state, struct batch *batch, struct error *error)
{
    struct sqlite *sqlite = state;
    int code = SQLITE_OK;
    for (size_t i = 0; i < batch->user_lookup_count && code == SQLITE_OK; i++)
        code = resolve_one(sqlite, &batch->user_lookups[i], true);
    for (size_t i = 0; i < batch->torrent_lookup_count && code == SQLITE_OK; i++)
        code = resolve_one(sqlite, &batch->torrent_lookups[i], false);
    return code == SQLITE_OK ? DATABASE_OK : sqlite_failed(sqlite, code, error);
}

static int write_users(struct sqlite *sqlite, const struct batch *batch)
{
    sqlite3_stmt *statement;
    int code = statement_ready(sqlite, SQLITE_ADD_USER, &statement);
    for (size_t i = 0; i < batch->user_count && code == SQLITE_OK; i++) {
        int64_t values[BATCH_USER_VALUES];
        batch_user_values(&batch->users[i], values);
        bind_integers(statement, 1, values, BATCH_USER_VALUES);
        code = run(sqlite, statement, NULL);
    }
    return code;
}

/* The table is the last word on "once": only a row that had no snatch yet counts one on the torrent. */
static int note_snatch(struct sqlite *sqlite, struct batch *batch, const struct batch_account *account)
{
    sqlite3_stmt *statement;
    int code = statement_ready(sqlite, SQLITE_NOTE_SNATCH, &statement);
    if (code != SQLITE_OK)
        return code;
    const int64_t values[] = {account->user_id, account->torrent_id, account->snatched_at};
    bind_integers(statement, 1, values, 3);
    int changed;
    code = run(sqlite, statement, &changed);
    if (changed > 0) {
        struct batch_torrent *torrent = batch_find_torrent(batch, account->torrent_id);
        if (torrent)
            torrent->snatches++;
    }
    return code;
}

static int write_accounts(struct sqlite *sqlite, struct batch *batch)
{
    sqlite3_stmt *add, *make;
    int code = statement_ready(sqlite, SQLITE_ADD_ACCOUNT, &add);
    if (code == SQLITE_OK)
        code = statement_ready(sqlite, SQLITE_MAKE_ACCOUNT, &make);
    for (size_t i = 0; i < batch->account_count && code == SQLITE_OK; i++) {
        struct batch_account *account = &batch->accounts[i];
        int64_t values[BATCH_ACCOUNT_VALUES];
        batch_account_values(account, values);
        int changed;
        bind_integers(add, 1, values, 11);
        sqlite3_bind_int64(add, 13, values[12]);
        code = run(sqlite, add, &changed);
        if (code == SQLITE_OK && changed == 0) {
            bind_integers(make, 1, values, BATCH_ACCOUNT_VALUES);
            code = run(sqlite, make, &changed);
        }
        account->is_there = changed > 0;
        if (code == SQLITE_OK && account->is_there && account->snatched_at != 0)
            code = note_snatch(sqlite, batch, account);
    }
    return code;
}

static void bind_address(sqlite3_stmt *statement, int place, const char *text, int64_t port)
{
    if (text[0] == '\0') {
        sqlite3_bind_null(statement, place);
        sqlite3_bind_null(statement, place + 1);
        return;
    }
    sqlite3_bind_text(statement, place, text, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, place + 1, port);
}

static int put_session(struct sqlite *sqlite, sqlite3_stmt *statement, const struct batch *batch,
                       const struct batch_session *entry)
{
    struct batch_session_texts row;
    batch_session_describe(batch, entry, &row);
    sqlite3_bind_int64(statement, 1, entry->user_id);
    sqlite3_bind_int64(statement, 2, entry->torrent_id);
    sqlite3_bind_text(statement, 3, row.peer_id, PEER_ID_DIGITS, SQLITE_STATIC);
    sqlite3_bind_text(statement, 4, row.client, DELTA_CLIENT_BYTES - 1, SQLITE_STATIC);
    bind_address(statement, 5, row.ip4, row.port4);
    bind_address(statement, 7, row.ip6, row.port6);
    bind_integers(statement, 9, row.counters, 4);
    return run(sqlite, statement, NULL);
}

static int end_session(struct sqlite *sqlite, sqlite3_stmt *statement, const struct batch_session *entry)
{
    char peer_id[PEER_ID_DIGITS + 1];
    batch_session_peer_id(entry, peer_id);
    sqlite3_bind_int64(statement, 1, entry->user_id);
    sqlite3_bind_int64(statement, 2, entry->torrent_id);
    sqlite3_bind_text(statement, 3, peer_id, PEER_ID_DIGITS, SQLITE_STATIC);
    return run(sqlite, statement, NULL);
}

/* Sessions and accounts are sorted alike, so that each session's account is found by walking along. */
static int write_sessions(struct sqlite *sqlite, const struct batch *batch)
{
    sqlite3_stmt *put, *end;
    int code = statement_ready(sqlite, SQLITE_PUT_SESSION, &put);
    if (code == SQLITE_OK)
        code = statement_ready(sqlite, SQLITE_END_SESSION, &end);
    size_t at = 0;
    for (size_t i = 0; i < batch->session_count && code == SQLITE_OK; i++) {
        const struct batch_session *entry = &batch->sessions[i];
        while (batch->accounts[at].user_id != entry->user_id || batch->accounts[at].torrent_id != entry->torrent_id)
            at++;
        if (!entry->delta->active)
            code = end_session(sqlite, end, entry);
        else if (batch->accounts[at].is_there)
            code = put_session(sqlite, put, batch, entry);
    }
    return code;
}

static int write_torrents(struct sqlite *sqlite, const struct batch *batch)
{
    sqlite3_stmt *statement;
    int code = statement_ready(sqlite, SQLITE_SET_TORRENT, &statement);
    for (size_t i = 0; i < batch->torrent_count && code == SQLITE_OK; i++) {
        int64_t values[BATCH_TORRENT_VALUES];
        batch_torrent_values(&batch->torrents[i], values);
        bind_integers(statement, 1, values, BATCH_TORRENT_VALUES);
        code = run(sqlite, statement, NULL);
    }
    return code;
}

enum database_result sqlite_write(void *state, struct batch *batch, struct error *error)
{
    struct sqlite *sqlite = state;
    int code = write_users(sqlite, batch);
    if (code == SQLITE_OK)
        code = write_accounts(sqlite, batch);
    if (code == SQLITE_OK)
        code = write_sessions(sqlite, batch);
    if (code == SQLITE_OK)
        code = write_torrents(sqlite, batch);
    return code == SQLITE_OK ? DATABASE_OK : sqlite_failed(sqlite, code, error);
}
