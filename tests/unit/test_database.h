/*
 * What the tests of the database room share: a database of their own, plain SQL over a second
 * connection (what a site does), and deltas. The same tests run over PostgreSQL or MariaDB where PRIVTRAK_TEST_POSTGRESQL or
 * PRIVTRAK_TEST_MARIADB is defined before this is included (test_database_postgresql.c, test_database_mariadb.c).
 */
#ifndef PRIVTRAK_TESTS_TEST_DATABASE_H
#define PRIVTRAK_TESTS_TEST_DATABASE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hex.h"
#include "database/database.h"

#ifdef PRIVTRAK_TEST_POSTGRESQL
#include "test_database_server.h"
#elif defined(PRIVTRAK_TEST_MARIADB)
#include "test_database_mariadb_server.h"
#else
#include "test_database_file.h"
#endif

#define INSTANCE "00112233445566778899aabbccddeeff"

/* What a site does; it must work. */
__attribute__((unused)) static void site(const char *sql)
{
    cr_assert(site_try(sql), "%s: %s", sql, site_reason());
}

__attribute__((unused)) static long long site_number(const char *sql)
{
    return strtoll(site_text(sql), NULL, 10);
}

/*
 * Prunes the log of changes until so many are left. In a server that other tests use at the same
 * time, their transactions may hold it back for a moment.
 */
__attribute__((unused)) static void prune_to(long long left)
{
    struct error error = {{0}};
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(database_prune(place.database, &error), DATABASE_OK, "%s", error.text);
        if (site_number("SELECT count(*) FROM changes") <= left)
            break;
        usleep(20000);
    }
    cr_assert_eq(site_number("SELECT count(*) FROM changes"), left);
}

/* Users and torrents of one number: passkey 00…07, info hash 07 07 …; ids as given. */
__attribute__((unused)) static void add_user(int id)
{
    char sql[256];
    snprintf(sql, sizeof(sql), "INSERT INTO users (id, name, passkey) VALUES (%d, 'user %d', '%032d')", id, id, id);
    site(sql);
}

__attribute__((unused)) static void add_torrent(int id)
{
    char sql[256];
    uint8_t info_hash[INFO_HASH_BYTES];
    char digits[2 * INFO_HASH_BYTES + 1];
    memset(info_hash, id, sizeof(info_hash));
    hex_encode(digits, info_hash, sizeof(info_hash));
    snprintf(sql, sizeof(sql), "INSERT INTO torrents (id, info_hash, name) VALUES (%d, '%s', 'torrent %d')", id, digits,
             id);
    site(sql);
}

/* An announce of that user on that torrent, a seeding session that moved 100 and 10 bytes. */
__attribute__((unused)) static struct delta delta_of(uint64_t seq, int user, int torrent)
{
    struct delta delta = {.seq = seq,
                          .time_ms = 1700000000000 + (int64_t)seq * 1000,
                          .user_id = user,
                          .torrent_id = torrent,
                          .event = EVENT_NONE,
                          .uploaded = 200,
                          .downloaded = 20,
                          .credited_uploaded = 100,
                          .credited_downloaded = 10,
                          .quarantined = 1,
                          .left = 0,
                          .seed_time_s = 5,
                          .leech_time_s = 3,
                          .active = true,
                          .user_seeding = 1,
                          .user_active = 1,
                          .seeders = 4,
                          .leechers = 2};
    memset(delta.info_hash, torrent, INFO_HASH_BYTES);
    memcpy(delta.peer_id, "-qB4630-abcdefghijkl", PEER_ID_BYTES);
    delta.session.uploaded = 1000 + seq;
    delta.session.downloaded = 500;
    delta.session.last_announce_ms = delta.time_ms;
    address_parse(&delta.session.address4, "192.0.2.7:51413", 15);
    delta.source = delta.session.address4;
    delta.passkey_length = (uint8_t)snprintf(delta.passkey, sizeof(delta.passkey), "%032d", user);
    return delta;
}

__attribute__((unused)) static enum database_result apply_many(const struct delta *deltas, size_t count)
{
    struct database_batch batch = {.instance = INSTANCE, .deltas = deltas, .count = count, .include_address = true};
    struct error error = {{0}};
    enum database_result result = database_apply(place.database, &batch, &error);
    if (result != DATABASE_OK)
        fprintf(stderr, "not applied: %s\n", error.text);
    return result;
}

__attribute__((unused)) static void apply_one(struct delta delta)
{
    cr_assert_eq(apply_many(&delta, 1), DATABASE_OK);
}

__attribute__((unused)) static uint64_t applied(void)
{
    uint64_t seq = 12345;
    struct error error;
    cr_assert_eq(database_applied(place.database, INSTANCE, &seq, &error), DATABASE_OK, "%s", error.text);
    return seq;
}

#endif
