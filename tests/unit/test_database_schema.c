/* The schema: what it takes, what it refuses, and what its triggers note. */
#include "test_database.h"

#include "database/backend.h"

TestSuite(database_schema, .init = place_open, .fini = place_close, .timeout = 60);

#define DIGITS32 "00000000000000000000000000000000"

static long long notes(void)
{
    return site_number("SELECT count(*) FROM changes");
}

Test(database_schema, has_the_promised_tables_and_columns)
{
    site("SELECT id, name, passkey, enabled, can_leech, hide_address, upload_percent, download_percent, uploaded, "
         "downloaded, raw_uploaded, raw_downloaded, quarantined, created_at, updated_at FROM users");
    site("SELECT id, info_hash, name, size, state, reason, upload_percent, download_percent, seeders, leechers, "
         "snatches, created_at, updated_at FROM torrents");
    site("SELECT user_id, torrent_id, uploaded, downloaded, raw_uploaded, raw_downloaded, seed_time, leech_time, "
         "left_bytes, seeding, active, snatched_at, first_announce, last_announce FROM user_torrents");
    site("SELECT user_id, torrent_id, peer_id, client, ip4, port4, ip6, port6, uploaded, downloaded, left_bytes, "
         "last_announce FROM sessions");
    site("SELECT prefix, allowed FROM clients");
    site("SELECT seq, reason, record FROM parked_deltas");
    cr_assert_eq(site_number("SELECT value FROM privtrak WHERE \"key\" = 'schema'"),
                 (long long)place.database->backend->migration_count);
}

Test(database_schema, opening_again_changes_nothing)
{
    struct error error = {{0}};
    struct database *again = database_open(place.url, &error);
    cr_assert_eq(database_connect(again, &error), DATABASE_OK, "%s", error.text);
    database_close(again);
    cr_assert_eq(notes(), 0);
}

Test(database_schema, a_newer_version_is_refused)
{
    site("UPDATE privtrak SET value = '99' WHERE \"key\" = 'schema'");
    struct error error = {{0}};
    struct database *again = database_open(place.url, &error);
    cr_assert_neq(database_connect(again, &error), DATABASE_OK);
    cr_assert(strstr(error.text, "newer"), "%s", error.text);
    database_close(again);
}

Test(database_schema, a_user_needs_no_more_than_a_name)
{
    site("INSERT INTO users (name) VALUES ('alice')");
    cr_assert_eq(site_number("SELECT length(passkey) FROM users"), 32);
    cr_assert_eq(site_number("SELECT enabled + can_leech * 10 + hide_address * 100 FROM users"), 11);
    cr_assert_eq(site_number("SELECT upload_percent + download_percent FROM users"), 200);
    cr_assert_gt(site_number("SELECT created_at FROM users"), 1700000000);
}

Test(database_schema, bad_values_are_refused_at_once)
{
    cr_assert_not(site_try("INSERT INTO users (passkey) VALUES ('')"));
    cr_assert_not(site_try("INSERT INTO users (passkey) VALUES ('with space')"));
    cr_assert_not(site_try("INSERT INTO users (passkey) VALUES ('" DIGITS32 DIGITS32 "0')"));
    cr_assert_not(site_try("INSERT INTO users (download_percent) VALUES (-1)"));
    cr_assert_not(site_try("INSERT INTO users (enabled) VALUES (2)"));
    cr_assert_not(site_try("INSERT INTO torrents (info_hash) VALUES ('abc')"));
    cr_assert_not(site_try("INSERT INTO torrents (info_hash) VALUES ('" DIGITS32 "000000000')"));
    cr_assert_not(site_try("INSERT INTO torrents (info_hash, state) VALUES ('" DIGITS32 "00000000', 'gone')"));
    cr_assert_not(site_try("INSERT INTO clients (prefix) VALUES ('')"));
    cr_assert_not(site_try("INSERT INTO clients (prefix) VALUES ('123456789012345678901')"));
}

Test(database_schema, edges_of_good_values_are_taken)
{
    site("INSERT INTO users (passkey) VALUES ('x'), ('" DIGITS32 DIGITS32 "'), ('A-Za_z09')");
    site("INSERT INTO users (upload_percent, download_percent) VALUES (1000000, 0)");
    site("INSERT INTO clients (prefix) VALUES ('-'), ('12345678901234567890')");
}

Test(database_schema, the_sites_changes_are_noted)
{
    add_user(1);
    cr_assert_eq(notes(), 1);
    site("UPDATE users SET can_leech = 0");
    cr_assert_gt(notes(), 1);
    long long before = notes();
    site("DELETE FROM users");
    cr_assert_gt(notes(), before);
    before = notes();
    add_torrent(1);
    site("UPDATE torrents SET state = 'deleted', reason = 'trumped'");
    site("DELETE FROM torrents");
    cr_assert_geq(notes(), before + 3);
    before = notes();
    site("INSERT INTO clients (prefix, allowed) VALUES ('-qB', 1)");
    site("UPDATE clients SET allowed = 0");
    site("DELETE FROM clients");
    cr_assert_eq(notes(), before + 3);
    site("INSERT INTO privtrak VALUES ('download_percent', '0')");
    cr_assert_eq(notes(), before + 4);
}

Test(database_schema, what_the_tracker_does_not_need_is_not_noted)
{
    add_user(1);
    add_torrent(1);
    long long before = notes();
    site("UPDATE users SET uploaded = uploaded + 1, quarantined = 7");
    site("UPDATE torrents SET seeders = 9, snatches = snatches + 1");
    site("UPDATE users SET enabled = 1, can_leech = can_leech");
    site("UPDATE users SET name = 'other'");
    site("INSERT INTO privtrak VALUES ('mine', 'x')");
    cr_assert_eq(notes(), before);
}

Test(database_schema, updated_at_follows_the_sites_changes_only)
{
    add_user(1);
    add_torrent(1);
    site("UPDATE users SET updated_at = 5");
    site("UPDATE torrents SET updated_at = 5");
    site("UPDATE users SET uploaded = 1");
    site("UPDATE torrents SET seeders = 1");
    cr_assert_eq(site_number("SELECT updated_at FROM users"), 5);
    cr_assert_eq(site_number("SELECT updated_at FROM torrents"), 5);
    site("UPDATE users SET name = 'renamed'");
    site("UPDATE torrents SET size = 7");
    cr_assert_gt(site_number("SELECT updated_at FROM users"), 1700000000);
    cr_assert_gt(site_number("SELECT updated_at FROM torrents"), 1700000000);
}

Test(database_schema, an_id_is_never_given_twice)
{
    site("INSERT INTO users (name) VALUES ('a')");
    long long first = site_number("SELECT id FROM users");
    site("DELETE FROM users");
    site("INSERT INTO users (name) VALUES ('b')");
    cr_assert_gt(site_number("SELECT id FROM users"), first);
}

Test(database_schema, a_deleted_user_or_torrent_takes_its_rows_along)
{
    add_user(1);
    add_user(2);
    add_torrent(1);
    add_torrent(2);
    struct delta deltas[] = {delta_of(1, 1, 1), delta_of(2, 1, 2), delta_of(3, 2, 1), delta_of(4, 2, 2)};
    cr_assert_eq(apply_many(deltas, 4), DATABASE_OK);
    site("DELETE FROM users WHERE id = 1");
    cr_assert_eq(site_number("SELECT count(*) FROM user_torrents"), 2);
    cr_assert_eq(site_number("SELECT count(*) FROM sessions"), 2);
    site("DELETE FROM torrents WHERE id = 2");
    cr_assert_eq(site_number("SELECT count(*) FROM user_torrents"), 1);
    cr_assert_eq(site_number("SELECT count(*) FROM sessions"), 1);
}
