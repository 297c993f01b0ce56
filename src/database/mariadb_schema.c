/*
 * mariadb_schema: the same tables as in SQLite (sqlite_schema.c), with the same names, so that a site's SQL
 * serves both. Text is compared byte by byte (nopad_bin). Columns are wider than what they take: a site's session that is not
 * strict would cut a longer value to the width and so make a good one of it. Triggers run with the rights of who made
 * them, so that a site's user needs rights on the tables that it writes and on nothing else.
 *
 * A change of a schema is no part of a transaction here: each statement can be run again where a start broke off
 * in the middle, and the version is written last.
 *
 * A version, once released, is never edited: what comes later is a further entry.
 */
#include "database/mariadb.h"

/* A column a word, not what a formatter makes of strings between macros. */
/* clang-format off */
#define NOW "unix_timestamp()"
#define FLAG(name, value) name " bigint NOT NULL DEFAULT " value " CHECK (" name " IN (0, 1)), "
#define PERCENT(name) name " bigint NOT NULL DEFAULT 100 CHECK (" name " BETWEEN 0 AND 1000000), "
#define COUNT(name) name " bigint NOT NULL DEFAULT 0, "
#define TIMES "created_at bigint NOT NULL DEFAULT " NOW ", updated_at bigint NOT NULL DEFAULT " NOW
#define MAKE(name) "CREATE TABLE IF NOT EXISTS " name " "
#define INNODB " ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;"
#define ID "id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, "

/* The tables of a site that is already there are not ours because they have our names. */
#define OWN_DATABASE                                                                                          \
    "BEGIN NOT ATOMIC "                                                                                       \
    "IF NOT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = database() "                 \
    "  AND table_name = 'privtrak') AND EXISTS (SELECT 1 FROM information_schema.tables "                     \
    "  WHERE table_schema = database() AND table_name IN ('users', 'torrents', 'user_torrents', 'sessions', " \
    "  'clients', 'parked_deltas', 'changes')) THEN "                                                         \
    "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'tables users, torrents and so on are there and "               \
    "not made by privtrak: give it a database of its own'; END IF; END;"                                      \
    MAKE("privtrak") "(\"key\" varchar(255) NOT NULL PRIMARY KEY, value text NOT NULL)" INNODB

#define TABLES                                                                                                \
    MAKE("users") "(" ID                                                                                      \
    "name text NOT NULL DEFAULT '', "                                                                         \
    "passkey varchar(128) NOT NULL UNIQUE DEFAULT (lower(hex(random_bytes(16)))), "                           \
    FLAG("enabled", "1") FLAG("can_leech", "1") FLAG("hide_address", "0")                                     \
    PERCENT("upload_percent") PERCENT("download_percent")                                                     \
    COUNT("uploaded") COUNT("downloaded") COUNT("raw_uploaded") COUNT("raw_downloaded") COUNT("quarantined")  \
    TIMES ")" INNODB                                                                                          \
    MAKE("torrents") "(" ID                                                                                   \
    "info_hash varchar(128) NOT NULL UNIQUE, "                                                                \
    "name text NOT NULL DEFAULT '', "                                                                         \
    "size bigint NOT NULL DEFAULT 0 CHECK (size >= 0), "                                                      \
    "state varchar(32) NOT NULL DEFAULT 'approved' CHECK (state IN ('approved', 'pending', 'deleted')), "     \
    "reason text NOT NULL DEFAULT '', "                                                                       \
    PERCENT("upload_percent") PERCENT("download_percent")                                                     \
    COUNT("seeders") COUNT("leechers") COUNT("snatches")                                                      \
    TIMES ")" INNODB

#define MORE_TABLES                                                                                           \
    MAKE("user_torrents") "(user_id bigint NOT NULL, torrent_id bigint NOT NULL, "                            \
    COUNT("uploaded") COUNT("downloaded") COUNT("raw_uploaded") COUNT("raw_downloaded")                       \
    COUNT("seed_time") COUNT("leech_time") COUNT("left_bytes") COUNT("seeding") COUNT("active")               \
    "snatched_at bigint, first_announce bigint NOT NULL, last_announce bigint NOT NULL, "                     \
    "PRIMARY KEY (user_id, torrent_id), INDEX user_torrents_torrent (torrent_id))" INNODB                     \
    MAKE("sessions") "(user_id bigint NOT NULL, torrent_id bigint NOT NULL, peer_id varchar(64) NOT NULL, "   \
    "client varchar(64) NOT NULL, ip4 varchar(64), port4 bigint, ip6 varchar(64), port6 bigint, "             \
    COUNT("uploaded") COUNT("downloaded") COUNT("left_bytes")                                                 \
    "last_announce bigint NOT NULL, "                                                                         \
    "PRIMARY KEY (user_id, torrent_id, peer_id), INDEX sessions_torrent (torrent_id))" INNODB                 \
    MAKE("clients") "(prefix varchar(64) NOT NULL PRIMARY KEY "                                               \
    "CHECK (octet_length(prefix) BETWEEN 1 AND 20 AND prefix NOT REGEXP '[^ -~]'), "                          \
    "name text NOT NULL DEFAULT '', "                                                                         \
    "allowed bigint NOT NULL DEFAULT 1 CHECK (allowed IN (0, 1)))" INNODB                                     \
    MAKE("parked_deltas") "(seq bigint NOT NULL, reason text NOT NULL, record text NOT NULL, "                \
    "INDEX parked_deltas_seq (seq))" INNODB                                                                   \
    MAKE("changes") "(" ID "kind varchar(32) NOT NULL, row_id bigint, info_hash varchar(128), "               \
    "at bigint NOT NULL DEFAULT " NOW ")" INNODB                                                              \
    /* Nobody writes it: a table that another refers to cannot be truncated, which no trigger would notice. */ \
    MAKE("no_truncate") "(user_id bigint, torrent_id bigint, prefix varchar(64), "                            \
    "CONSTRAINT users_are_not_truncated FOREIGN KEY (user_id) REFERENCES users (id), "                        \
    "CONSTRAINT torrents_are_not_truncated FOREIGN KEY (torrent_id) REFERENCES torrents (id), "               \
    "CONSTRAINT clients_are_not_truncated FOREIGN KEY (prefix) REFERENCES clients (prefix))" INNODB

#define TRIGGER(name, when, table, body)                                                                      \
    "CREATE OR REPLACE TRIGGER " name " " when " ON " table " FOR EACH ROW BEGIN " body " END;"

#define NOTE_USER(row) "INSERT INTO changes (kind, row_id) VALUES ('user', " row ".id); "
#define NOTE_TORRENT(row)                                                                                     \
    "INSERT INTO changes (kind, row_id, info_hash) VALUES ('torrent', " row ".id, " row ".info_hash); "
#define NOTE(kind) "INSERT INTO changes (kind) VALUES ('" kind "'); "

#define SIGNAL_IF(condition, text)                                                                            \
    "IF " condition " THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '" text "'; END IF; "
#define BAD_PASSKEY "(octet_length(NEW.passkey) NOT BETWEEN 1 AND 64 OR NEW.passkey REGEXP '[^A-Za-z0-9_-]')"
#define BAD_INFO_HASH "(octet_length(NEW.info_hash) <> 40 OR NEW.info_hash REGEXP '[^0-9a-f]')"
#define REFUSE_PASSKEY "passkey is not 1 to 64 of A-Z a-z 0-9 - _"
#define REFUSE_INFO_HASH "info_hash is not 40 digits of lower-case hex"

/* The counters that the sink writes are not among these. */
#define USER_CHANGED                                                                                          \
    "OLD.id <> NEW.id OR OLD.passkey <> NEW.passkey OR OLD.enabled <> NEW.enabled OR "                        \
    "OLD.can_leech <> NEW.can_leech OR OLD.hide_address <> NEW.hide_address OR "                              \
    "OLD.upload_percent <> NEW.upload_percent OR OLD.download_percent <> NEW.download_percent"
#define TORRENT_CHANGED                                                                                       \
    "OLD.id <> NEW.id OR OLD.info_hash <> NEW.info_hash OR OLD.state <> NEW.state OR "                        \
    "OLD.reason <> NEW.reason OR OLD.upload_percent <> NEW.upload_percent OR "                                \
    "OLD.download_percent <> NEW.download_percent"

/*
 * The sink says of its own statements that they only count. What costs for a row of a batch is that a trigger is
 * called (so one does all), and more than that each comparison in it: 8 of 20 us of CPU for a user's row.
 */
#define UNLESS_COUNTING "IF @privtrak_counts IS NULL THEN "

#define USER_TRIGGERS                                                                                         \
    TRIGGER("users_check", "BEFORE INSERT", "users", SIGNAL_IF(BAD_PASSKEY, REFUSE_PASSKEY))                  \
    TRIGGER("users_note", "AFTER INSERT", "users", NOTE_USER("NEW"))                                          \
    TRIGGER("users_change", "BEFORE UPDATE", "users",                                                         \
            UNLESS_COUNTING "IF " USER_CHANGED " THEN SET NEW.updated_at = " NOW "; "                         \
            SIGNAL_IF("OLD.passkey <> NEW.passkey AND " BAD_PASSKEY, REFUSE_PASSKEY)                          \
            NOTE_USER("OLD") NOTE_USER("NEW")                                                                 \
            "ELSEIF OLD.name <> NEW.name THEN SET NEW.updated_at = " NOW "; END IF; END IF; ")                \
    TRIGGER("users_gone", "AFTER DELETE", "users", NOTE_USER("OLD")                                           \
            "DELETE FROM sessions WHERE user_id = OLD.id; DELETE FROM user_torrents WHERE user_id = OLD.id; ")

#define TORRENT_TRIGGERS                                                                                      \
    TRIGGER("torrents_check", "BEFORE INSERT", "torrents", SIGNAL_IF(BAD_INFO_HASH, REFUSE_INFO_HASH))        \
    TRIGGER("torrents_note", "AFTER INSERT", "torrents", NOTE_TORRENT("NEW"))                                 \
    TRIGGER("torrents_change", "BEFORE UPDATE", "torrents",                                                   \
            UNLESS_COUNTING "IF " TORRENT_CHANGED " THEN SET NEW.updated_at = " NOW "; "                      \
            SIGNAL_IF("OLD.info_hash <> NEW.info_hash AND " BAD_INFO_HASH, REFUSE_INFO_HASH)                  \
            NOTE_TORRENT("OLD") NOTE_TORRENT("NEW")                                                           \
            "ELSEIF OLD.name <> NEW.name OR OLD.size <> NEW.size THEN SET NEW.updated_at = " NOW "; END IF; " \
            "END IF; ")                                                                                       \
    TRIGGER("torrents_gone", "AFTER DELETE", "torrents", NOTE_TORRENT("OLD")                                  \
            "DELETE FROM sessions WHERE torrent_id = OLD.id; "                                                \
            "DELETE FROM user_torrents WHERE torrent_id = OLD.id; ")

#define IF_MULTIPLIER(row)                                                                                    \
    "IF " row ".\"key\" IN ('upload_percent', 'download_percent', 'until') THEN " NOTE("multiplier") "END IF; "

#define OTHER_TRIGGERS                                                                                        \
    TRIGGER("clients_note", "AFTER INSERT", "clients", NOTE("client"))                                        \
    TRIGGER("clients_change", "AFTER UPDATE", "clients", NOTE("client"))                                      \
    TRIGGER("clients_gone", "AFTER DELETE", "clients", NOTE("client"))                                        \
    TRIGGER("privtrak_note", "AFTER INSERT", "privtrak", IF_MULTIPLIER("NEW"))                                \
    TRIGGER("privtrak_change", "AFTER UPDATE", "privtrak", IF_MULTIPLIER("NEW"))                              \
    TRIGGER("privtrak_gone", "AFTER DELETE", "privtrak", IF_MULTIPLIER("OLD"))

static const char *const version1[] = {OWN_DATABASE, TABLES, MORE_TABLES, USER_TRIGGERS, TORRENT_TRIGGERS, OTHER_TRIGGERS, NULL};

const char *const *const mariadb_migrations[MARIADB_SCHEMA_VERSION] = {version1};
