/* chain_fixture: a worker's stores and chain without a worker, and short ways to announce to it. */
#ifndef PRIVTRAK_TESTS_CHAIN_FIXTURE_H
#define PRIVTRAK_TESTS_CHAIN_FIXTURE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "middleware/source_rate.h"
#include "storage/pick.h"
#include "tracker/chain.h"
#include "tracker/tracker.h"

enum { FIXTURE_PEERS_MAX = 100, FIXTURE_USERS = 8 };

#define START_MS INT64_C(1795500000000)

struct tracker_fixture {
    struct config *config;
    struct multipliers multipliers;
    struct counters counters;
    struct context context;
    struct chain *chain;
};

static inline void fixture_fault(void *context, const char *message)
{
    (void)context;
    cr_assert_fail("%s", message);
}

/* Users 1 … FIXTURE_USERS have the passkeys "passkey-1" … */
static inline void fixture_add_user(struct users *users, int64_t id, bool can_leech)
{
    char passkey[32];
    snprintf(passkey, sizeof passkey, "passkey-%d", (int)id);
    const struct user_facts facts = {.id = id,
                                     .passkey = passkey,
                                     .enabled = true,
                                     .can_leech = can_leech,
                                     .upload_percent = 100,
                                     .download_percent = 100};
    cr_assert_eq(users_put(users, &facts), 0);
}

static inline void fixture_open(struct tracker_fixture *fixture, const char *yaml)
{
    memset(fixture, 0, sizeof *fixture);
    users_thread_register();
    fixture->config = config_parse("test.yaml", yaml, strlen(yaml), fixture_fault, NULL);
    fixture->multipliers = (struct multipliers){.upload_percent = 100, .download_percent = 100};
    fixture->context = (struct context){
        .config = fixture->config,
        .torrents = torrents_new(),
        .users = users_new(),
        .clients = clients_new(),
        .multipliers = &fixture->multipliers,
        .ring = ring_new(4096),
        .counters = &fixture->counters,
        .unknown_passkeys = source_rate_new(START_MS),
        .now_ms = START_MS,
        .random = 88172645463325252u,
    };
    for (int64_t id = 1; id <= FIXTURE_USERS; id++)
        fixture_add_user(fixture->context.users, id, true);
    fixture->chain = chain_new(&fixture->context);
    cr_assert_not_null(fixture->chain);
}

static inline void fixture_close(struct tracker_fixture *fixture)
{
    chain_free(fixture->chain);
    source_rate_free(fixture->context.unknown_passkeys);
    ring_free(fixture->context.ring);
    torrents_free(fixture->context.torrents);
    clients_free(fixture->context.clients);
    users_free(fixture->context.users);
    config_free(fixture->config);
    users_thread_unregister();
}

/* An announce with room for its peers. */
struct test_announce {
    struct announce announce;
    uint8_t buffer4[ANNOUNCE_HEADROOM + FIXTURE_PEERS_MAX * ENDPOINT4_BYTES];
    uint8_t buffer6[ANNOUNCE_HEADROOM + FIXTURE_PEERS_MAX * ENDPOINT6_BYTES];
    struct peer_entry entries[FIXTURE_PEERS_MAX];
};

/* Over UDP from 10.0.0.<peer>, port 6000 + peer, by that user, for torrent number `torrent`. */
static inline void fixture_fill(struct test_announce *test, int user, int torrent, int peer, enum announce_event event,
                                uint64_t uploaded, uint64_t downloaded, uint64_t left)
{
    memset(&test->announce, 0, sizeof test->announce);
    struct announce *announce = &test->announce;
    announce->passkey_length = (uint8_t)snprintf(announce->passkey, sizeof announce->passkey, "passkey-%d", user);
    memset(announce->info_hash, 'a' + torrent % 26, INFO_HASH_BYTES);
    announce->info_hash[0] = (uint8_t)torrent;
    char peer_id[32];
    snprintf(peer_id, sizeof peer_id, "-TT0001-%06d%06d", user, peer);
    memcpy(announce->peer_id, peer_id, PEER_ID_BYTES);
    announce->event = (uint8_t)event;
    announce->uploaded = uploaded;
    announce->downloaded = downloaded;
    announce->left = left;
    announce->numwant = NUMWANT_DEFAULT;
    announce->protocol = PROTOCOL_UDP;
    announce->compact = true;
    announce->source = (struct address){.family = 4, .ip = {10, 0, 0, (uint8_t)peer}, .port = (uint16_t)(6000 + peer)};
    announce->peers4 = test->buffer4 + ANNOUNCE_HEADROOM;
    announce->peers6 = test->buffer6 + ANNOUNCE_HEADROOM;
    announce->entries = test->entries;
    announce->peers_max = FIXTURE_PEERS_MAX;
}

static inline void fixture_run(struct tracker_fixture *fixture, struct test_announce *test)
{
    struct announce *one = &test->announce;
    chain_run(fixture->chain, &one, 1);
}

/* Takes the oldest delta off the ring into `delta`; false where there is none. */
static inline bool fixture_delta(struct tracker_fixture *fixture, struct delta *delta)
{
    size_t count;
    const struct delta *next = ring_peek(fixture->context.ring, 1, &count);
    if (count == 0)
        return false;
    *delta = *next;
    ring_release(fixture->context.ring, 1);
    return true;
}

static inline void fixture_drop_deltas(struct tracker_fixture *fixture)
{
    struct delta delta;
    while (fixture_delta(fixture, &delta)) {
    }
}

static inline void fixture_pass_time(struct tracker_fixture *fixture, int64_t seconds)
{
    fixture->context.now_ms += seconds * 1000;
}

#endif
