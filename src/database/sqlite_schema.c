/*
 * sqlite_schema: the tables, and the triggers that note what the site changes. Tables
 * are STRICT, so that a sum beyond 64 bits is an error and not a rounded number, and
 * ids are never given twice (AUTOINCREMENT), so that a new user cannot inherit what is
 * still on its way for a deleted one.
 *
 * A version, once released, is never edited: what comes later is a further entry.
 */
#include "database/sqlite.h"

/* A column a word, not what a formatter makes of strings between macros. */
/* clang-format off */
#define NOW "(CAST(strftime('%s', 'now') AS INTEGER))"
#define FLAG(name, value) name " INTEGER NOT NULL DEFAULT " value " CHECK (" name " IN (0, 1)), "
#define PERCENT(name) name " INTEGER NOT NULL DEFAULT 100 CHECK (" name " BETWEEN 0 AND 1000000), "
#define COUNT(name) name " INTEGER NOT NULL DEFAULT 0, "
#define TIMES "created_at INTEGER NOT NULL DEFAULT " NOW ", updated_at INTEGER NOT NULL DEFAULT " NOW

#define TABLES                                                                                                \
    "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, "                                              \
    "name TEXT NOT NULL DEFAULT '', "                                                                         \
    "passkey TEXT NOT NULL UNIQUE DEFAULT (lower(hex(randomblob(16)))) "                                      \
    "  CHECK (length(passkey) BETWEEN 1 AND 64 AND passkey NOT GLOB '*[^A-Za-z0-9_-]*'), "                    \
    FLAG("enabled", "1") FLAG("can_leech", "1") FLAG("hide_address", "0")                                     \
    PERCENT("upload_percent") PERCENT("download_percent")                                                     \
    COUNT("uploaded") COUNT("downloaded") COUNT("raw_uploaded") COUNT("raw_downloaded") COUNT("quarantined")  \
    TIMES ") STRICT;"                                                                                         \
    "CREATE TABLE torrents (id INTEGER PRIMARY KEY AUTOINCREMENT, "                                           \
    "info_hash TEXT NOT NULL UNIQUE CHECK (length(info_hash) = 40 AND info_hash NOT GLOB '*[^0-9a-f]*'), "    \
    "name TEXT NOT NULL DEFAULT '', "                                                                         \
    "size INTEGER NOT NULL DEFAULT 0 CHECK (size >= 0), "                                                     \
    "state TEXT NOT NULL DEFAULT 'approved' CHECK (state IN ('approved', 'pending', 'deleted')), "            \
    "reason TEXT NOT NULL DEFAULT '', "                                                                       \
    PERCENT("upload_percent") PERCENT("download_percent")                                                     \
    COUNT("seeders") COUNT("leechers") COUNT("snatches")                                                      \
    TIMES ") STRICT;"                                                                                         \
    "CREATE TABLE user_torrents (user_id INTEGER NOT NULL, torrent_id INTEGER NOT NULL, "                     \
    COUNT("uploaded") COUNT("downloaded") COUNT("raw_uploaded") COUNT("raw_downloaded")                       \
    COUNT("seed_time") COUNT("leech_time") COUNT("left_bytes") COUNT("seeding") COUNT("active")               \
    "snatched_at INTEGER, first_announce INTEGER NOT NULL, last_announce INTEGER NOT NULL, "                  \
    "PRIMARY KEY (user_id, torrent_id)) STRICT, WITHOUT ROWID;"                                               \
    "CREATE INDEX user_torrents_torrent ON user_torrents (torrent_id);"                                       \
    "CREATE TABLE sessions (user_id INTEGER NOT NULL, torrent_id INTEGER NOT NULL, peer_id TEXT NOT NULL, "   \
    "client TEXT NOT NULL, ip4 TEXT, port4 INTEGER, ip6 TEXT, port6 INTEGER, "                                \
    COUNT("uploaded") COUNT("downloaded") COUNT("left_bytes")                                                 \
    "last_announce INTEGER NOT NULL, "                                                                        \
    "PRIMARY KEY (user_id, torrent_id, peer_id)) STRICT, WITHOUT ROWID;"                                      \
    "CREATE INDEX sessions_torrent ON sessions (torrent_id);"                                                 \
    "CREATE TABLE clients (prefix TEXT PRIMARY KEY NOT NULL "                                                 \
    "  CHECK (length(prefix) BETWEEN 1 AND 20 AND prefix NOT GLOB '*[^ -~]*'), "                              \
    "name TEXT NOT NULL DEFAULT '', "                                                                         \
    "allowed INTEGER NOT NULL DEFAULT 1 CHECK (allowed IN (0, 1))) STRICT, WITHOUT ROWID;"                    \
    "CREATE TABLE parked_deltas (seq INTEGER NOT NULL, reason TEXT NOT NULL, record TEXT NOT NULL) STRICT;"   \
    "CREATE INDEX parked_deltas_seq ON parked_deltas (seq);"                                                  \
    "CREATE TABLE privtrak (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"       \
    "CREATE TABLE changes (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, row_id INTEGER, "        \
    "info_hash TEXT, at INTEGER NOT NULL DEFAULT " NOW ") STRICT;"

#define NOTE_USER(row) "INSERT INTO changes (kind, row_id) VALUES ('user', " row ".id);"
#define NOTE_TORRENT(row)                                                                                     \
    "INSERT INTO changes (kind, row_id, info_hash) VALUES ('torrent', " row ".id, " row ".info_hash);"

/*
 * AFTER UPDATE OF names the site's columns only: the counters that the sink
 * writes note nothing. An update that changes no value notes nothing either.
 */
#define USER_TRIGGERS                                                                                         \
    "CREATE TRIGGER users_insert AFTER INSERT ON users BEGIN " NOTE_USER("new") " END;"                       \
    "CREATE TRIGGER users_delete AFTER DELETE ON users BEGIN " NOTE_USER("old")                               \
    "  DELETE FROM sessions WHERE user_id = old.id; DELETE FROM user_torrents WHERE user_id = old.id; END;"   \
    "CREATE TRIGGER users_update AFTER UPDATE OF id, passkey, enabled, can_leech, hide_address, "             \
    "  upload_percent, download_percent ON users "                                                            \
    "  WHEN (old.id, old.passkey, old.enabled, old.can_leech, old.hide_address, old.upload_percent, "         \
    "        old.download_percent) IS NOT (new.id, new.passkey, new.enabled, new.can_leech, "                 \
    "        new.hide_address, new.upload_percent, new.download_percent) "                                    \
    "  BEGIN " NOTE_USER("old") NOTE_USER("new") " END;"                                                      \
    "CREATE TRIGGER users_touch AFTER UPDATE OF name, passkey, enabled, can_leech, hide_address, "            \
    "  upload_percent, download_percent ON users BEGIN "                                                      \
    "  UPDATE users SET updated_at = " NOW " WHERE id = new.id; END;"

#define TORRENT_TRIGGERS                                                                                      \
    "CREATE TRIGGER torrents_insert AFTER INSERT ON torrents BEGIN " NOTE_TORRENT("new") " END;"              \
    "CREATE TRIGGER torrents_delete AFTER DELETE ON torrents BEGIN " NOTE_TORRENT("old")                      \
    "  DELETE FROM sessions WHERE torrent_id = old.id; "                                                      \
    "  DELETE FROM user_torrents WHERE torrent_id = old.id; END;"                                             \
    "CREATE TRIGGER torrents_update AFTER UPDATE OF id, info_hash, state, reason, upload_percent, "           \
    "  download_percent ON torrents "                                                                         \
    "  WHEN (old.id, old.info_hash, old.state, old.reason, old.upload_percent, old.download_percent) "        \
    "    IS NOT (new.id, new.info_hash, new.state, new.reason, new.upload_percent, new.download_percent) "    \
    "  BEGIN " NOTE_TORRENT("old") NOTE_TORRENT("new") " END;"                                                \
    "CREATE TRIGGER torrents_touch AFTER UPDATE OF info_hash, name, size, state, reason, upload_percent, "    \
    "  download_percent ON torrents BEGIN "                                                                   \
    "  UPDATE torrents SET updated_at = " NOW " WHERE id = new.id; END;"

#define MULTIPLIER_KEYS "('upload_percent', 'download_percent', 'until')"

#define OTHER_TRIGGERS                                                                                        \
    "CREATE TRIGGER clients_insert AFTER INSERT ON clients BEGIN "                                            \
    "  INSERT INTO changes (kind) VALUES ('client'); END;"                                                    \
    "CREATE TRIGGER clients_update AFTER UPDATE ON clients BEGIN "                                            \
    "  INSERT INTO changes (kind) VALUES ('client'); END;"                                                    \
    "CREATE TRIGGER clients_delete AFTER DELETE ON clients BEGIN "                                            \
    "  INSERT INTO changes (kind) VALUES ('client'); END;"                                                    \
    "CREATE TRIGGER privtrak_insert AFTER INSERT ON privtrak WHEN new.key IN " MULTIPLIER_KEYS " BEGIN "      \
    "  INSERT INTO changes (kind) VALUES ('multiplier'); END;"                                                \
    "CREATE TRIGGER privtrak_update AFTER UPDATE ON privtrak WHEN new.key IN " MULTIPLIER_KEYS " BEGIN "      \
    "  INSERT INTO changes (kind) VALUES ('multiplier'); END;"                                                \
    "CREATE TRIGGER privtrak_delete AFTER DELETE ON privtrak WHEN old.key IN " MULTIPLIER_KEYS " BEGIN "      \
    "  INSERT INTO changes (kind) VALUES ('multiplier'); END;"

static const char *const version1[] = {TABLES, USER_TRIGGERS, TORRENT_TRIGGERS, OTHER_TRIGGERS, NULL};

const char *const *const sqlite_migrations[SQLITE_SCHEMA_VERSION] = {version1};
