/* delta_maker: deltas and folders for the tests of src/deltas. */
#ifndef PRIVTRAK_TESTS_DELTA_MAKER_H
#define PRIVTRAK_TESTS_DELTA_MAKER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deltas/delta.h"
#include "remove_folder.h"

/* xorshift: the same numbers in every run. */
static inline uint64_t maker_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A number of any magnitude, small ones and the largest among them. */
static inline uint64_t maker_number(uint64_t *state, uint64_t max)
{
    uint64_t kind = maker_random(state) % 8;
    if (kind == 0)
        return 0;
    if (kind == 1)
        return max;
    return (maker_random(state) >> (maker_random(state) % 64)) & max;
}

static inline struct address maker_address(uint64_t *state, uint8_t family)
{
    struct address address = {.family = family};
    if (family == 0)
        return address;
    for (int i = 0; i < (family == 4 ? 4 : 16); i++)
        address.ip[i] = (uint8_t)maker_random(state);
    address.port = (uint16_t)maker_random(state);
    return address;
}

/* Any delta that a worker could make, and some that it could not. */
static inline struct delta maker_wild(uint64_t *state)
{
    struct delta delta;
    memset(&delta, 0, sizeof(delta));
    delta.time_ms = (int64_t)maker_number(state, INT64_MAX);
    delta.user_id = (int64_t)maker_number(state, INT64_MAX);
    delta.torrent_id = (int64_t)maker_number(state, INT64_MAX);
    for (size_t i = 0; i < sizeof(delta.user); i++)
        delta.user[i] = (uint8_t)maker_random(state);
    for (size_t i = 0; i < sizeof(delta.info_hash); i++)
        delta.info_hash[i] = (uint8_t)maker_random(state);
    for (size_t i = 0; i < sizeof(delta.peer_id); i++)
        delta.peer_id[i] = (uint8_t)maker_random(state);
    delta.event = (uint8_t)(maker_random(state) % 6);
    delta.flags = (uint16_t)maker_number(state, UINT16_MAX);
    delta.uploaded = maker_number(state, UINT64_MAX);
    delta.downloaded = maker_number(state, UINT64_MAX);
    delta.credited_uploaded = maker_random(state) % 2 ? delta.uploaded : maker_number(state, UINT64_MAX);
    delta.credited_downloaded = maker_random(state) % 2 ? delta.downloaded : maker_number(state, UINT64_MAX);
    delta.quarantined = maker_number(state, UINT64_MAX);
    delta.left = maker_number(state, UINT64_MAX);
    delta.seed_time_s = (uint32_t)maker_number(state, UINT32_MAX);
    delta.leech_time_s = (uint32_t)maker_number(state, UINT32_MAX);
    delta.session.uploaded = maker_number(state, UINT64_MAX);
    delta.session.downloaded = maker_number(state, UINT64_MAX);
    delta.session.left = maker_random(state) % 2 ? delta.left : maker_number(state, UINT64_MAX);
    delta.session.last_announce_ms = maker_random(state) % 2 ? delta.time_ms : (int64_t)maker_number(state, INT64_MAX);
    delta.session.key = (uint32_t)maker_number(state, UINT32_MAX);
    delta.session.flags = (uint16_t)maker_number(state, UINT16_MAX);
    delta.session.address4 = maker_address(state, maker_random(state) % 2 ? 4 : 0);
    delta.session.address6 = maker_address(state, maker_random(state) % 2 ? 6 : 0);
    switch (maker_random(state) % 4) {
    case 0:
        delta.source = delta.session.address4;
        break;
    case 1:
        delta.source = delta.session.address6;
        break;
    case 2:
        delta.source = maker_address(state, 4);
        break;
    default:
        delta.source = maker_address(state, 6);
    }
    delta.active = maker_random(state) % 2;
    delta.user_seeding = (uint16_t)maker_number(state, UINT16_MAX);
    delta.user_active = (uint16_t)maker_number(state, UINT16_MAX);
    delta.user_left = maker_random(state) % 2 ? delta.left : maker_number(state, UINT64_MAX);
    delta.seeders = (uint32_t)maker_number(state, UINT32_MAX);
    delta.leechers = (uint32_t)maker_number(state, UINT32_MAX);
    if (maker_random(state) % 4 == 0) {
        delta.passkey_length = (uint8_t)(1 + maker_random(state) % PASSKEY_MAX);
        for (size_t i = 0; i < delta.passkey_length; i++)
            delta.passkey[i] = (char)('a' + maker_random(state) % 26);
    }
    return delta;
}

/* What most deltas are: a seeder's regular announce over IPv4. */
static inline struct delta maker_typical(uint64_t *state, int64_t time_ms)
{
    struct delta delta;
    memset(&delta, 0, sizeof(delta));
    delta.time_ms = time_ms;
    delta.user_id = (int64_t)(1 + maker_random(state) % 500000);
    delta.torrent_id = (int64_t)(1 + maker_random(state) % 1000000);
    for (size_t i = 0; i < sizeof(delta.user); i++)
        delta.user[i] = (uint8_t)maker_random(state);
    for (size_t i = 0; i < sizeof(delta.info_hash); i++)
        delta.info_hash[i] = (uint8_t)maker_random(state);
    memcpy(delta.peer_id, "-qB4630-", 8);
    for (size_t i = 8; i < sizeof(delta.peer_id); i++)
        delta.peer_id[i] = (uint8_t)('a' + maker_random(state) % 26);
    delta.uploaded = delta.credited_uploaded = maker_random(state) % 100000000;
    delta.seed_time_s = 1800;
    delta.session.uploaded = maker_random(state) % 100000000000;
    delta.session.downloaded = maker_random(state) % 10000000000;
    delta.session.last_announce_ms = time_ms;
    delta.session.key = (uint32_t)maker_random(state);
    delta.session.flags = 3;
    delta.session.address4 = maker_address(state, 4);
    delta.source = delta.session.address4;
    delta.active = true;
    delta.user_seeding = delta.user_active = 1;
    delta.seeders = (uint32_t)(maker_random(state) % 300);
    delta.leechers = (uint32_t)(maker_random(state) % 50);
    return delta;
}

static inline char *maker_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *path = NULL;
    if (asprintf(&path, "%s/privtrak-test-XXXXXX", base != NULL ? base : "/tmp") < 0 || mkdtemp(path) == NULL)
        abort();
    return path;
}

/* Removes the folder with all in it, and frees its name. */
static inline void maker_remove(char *path)
{
    remove_folder(path);
    free(path);
}

#endif
