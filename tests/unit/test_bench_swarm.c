/* Tests of the generators' model of users, torrents and clients. */
#include "bench/random.h"
#include "bench/swarm.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct world world;
static struct random chance;

static void set_up(void)
{
    struct world_settings settings = {
        .seed = 5, .peer_seed = 5, .users = 100, .torrents = 1000, .peers = 2000, .seeders = 75};
    cr_assert_eq(world_init(&world, &settings, NULL), 0);
    random_init(&chance, 9);
}

static void tear_down(void)
{
    world_clear(&world);
}

TestSuite(bench_swarm, .init = set_up, .fini = tear_down);

Test(bench_swarm, world_follows_from_the_seed)
{
    struct world_settings settings = world.settings;
    struct world same, other;
    struct passkey a, b, c;
    cr_assert_eq(world_init(&same, &settings, NULL), 0);
    settings.seed = 6;
    cr_assert_eq(world_init(&other, &settings, NULL), 0);
    world_passkey(&world, 7, &a);
    world_passkey(&same, 7, &b);
    world_passkey(&other, 7, &c);
    cr_expect_eq(a.length, 32);
    cr_expect_eq(memcmp(a.text, b.text, 32), 0);
    cr_expect_neq(memcmp(a.text, c.text, 32), 0);
    cr_expect_eq(strspn(a.text, "0123456789abcdef") >= 32, 1);
    world_clear(&same);
    world_clear(&other);
}

Test(bench_swarm, other_clients_keep_users_and_torrents)
{
    struct world_settings settings = world.settings;
    struct world other;
    struct peer peer;
    struct peer_announce a, b;
    settings.peer_seed = 6;
    cr_assert_eq(world_init(&other, &settings, NULL), 0);
    peer_init(&world, &peer, 1, 1, false, &chance);
    peer_describe(&world, &peer, false, &a);
    peer_describe(&other, &peer, false, &b);
    cr_expect_eq(memcmp(a.info_hash, b.info_hash, sizeof a.info_hash), 0);
    cr_expect_eq(memcmp(a.passkey.text, b.passkey.text, 32), 0);
    cr_expect_neq(memcmp(a.peer_id, b.peer_id, sizeof a.peer_id), 0);
    world_clear(&other);
}

static int read_file(const char *text, struct error *error)
{
    char name[] = "/tmp/bench-passkeys-XXXXXX";
    int fd = mkstemp(name);
    struct world_settings settings = world.settings;
    struct world read;
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    settings.passkeys = name;
    int users = world_init(&read, &settings, error) < 0 ? -1 : (int)read.settings.users;
    if (users > 0) {
        struct passkey passkey;
        world_passkey(&read, 0, &passkey);
        cr_expect_eq(passkey.length, 3);
        world_clear(&read);
    }
    unlink(name);
    return users;
}

Test(bench_swarm, passkeys_come_from_a_file)
{
    struct error error;
    cr_expect_eq(read_file("abc\r\n\nd-_\n", &error), 2);
    cr_expect_eq(read_file("abc\nbad key\n", &error), -1);
    cr_expect_not_null(strstr(error.text, ":2:"));
    cr_expect_eq(read_file("", &error), -1);
}

/* Lets the peer have its turn, answered at once. */
static void turn(struct peer *peer)
{
    peer_advance(&world, peer, &chance);
    cr_assert(peer->flags & PEER_PENDING);
    peer_settle(peer);
}

Test(bench_swarm, pending_announce_is_said_again_unchanged)
{
    struct peer peer;
    peer_init(&world, &peer, 1, 1, false, &chance);
    turn(&peer);
    peer_advance(&world, &peer, &chance);
    struct peer before;
    memcpy(&before, &peer, sizeof peer);
    peer_advance(&world, &peer, &chance);
    /* Nothing is written, padding included. NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
    cr_expect_eq(memcmp(&before, &peer, sizeof peer), 0);
}

Test(bench_swarm, clients_live_as_real_ones_do)
{
    enum { TURNS = 20000 };
    struct peer peer;
    uint32_t seen[EVENT_PAUSED] = {0};
    peer_init(&world, &peer, 1, 1, false, &chance);
    for (int i = 0; i < TURNS; i++) {
        struct peer before = peer;
        turn(&peer);
        seen[peer.event]++;
        bool restarts = before.state == PEER_STOPPED || before.state == PEER_NEW;
        cr_assert_eq(peer.event == EVENT_STARTED, restarts);
        if (!restarts) {
            cr_assert_eq(peer.generation, before.generation);
            cr_assert_geq(peer.uploaded, before.uploaded);
            cr_assert_geq(peer.downloaded, before.downloaded);
            /* No step may come near the rate limit of a tracker: 1 GiB for the shortest time. */
            cr_assert_lt(peer.uploaded - before.uploaded, UINT64_C(1) << 30);
            cr_assert_lt(peer.downloaded - before.downloaded, UINT64_C(1) << 30);
        } else if (peer.generation != before.generation) {
            cr_assert_eq(peer.uploaded + peer.downloaded, 0);
        }
        if (peer.event == EVENT_COMPLETED)
            cr_assert_eq(peer.left, 0);
    }
    cr_expect_gt(seen[EVENT_STARTED], 0);
    cr_expect_gt(seen[EVENT_STOPPED], 0);
    cr_expect_gt(seen[EVENT_COMPLETED], 0);
    cr_expect_gt(seen[EVENT_NONE], TURNS / 2);
}

Test(bench_swarm, counters_are_not_reset_while_older_copies_may_arrive)
{
    for (uint32_t i = 0; i < 2000; i++) {
        struct peer peer;
        peer_init(&world, &peer, i, 1, false, &chance);
        peer.state = PEER_STOPPED;
        peer.uploaded = 5;
        peer.flags |= PEER_RESENT;
        turn(&peer);
        cr_assert(peer.generation == 1 || peer.uploaded == 5);
    }
}

static void expect_share(double percent)
{
    enum { PEERS = 4000, ROUNDS = 400 };
    static struct peer peers[PEERS];
    tear_down();
    struct world_settings settings = {.seed = 5, .users = 100, .torrents = 1000, .peers = PEERS, .seeders = percent};
    cr_assert_eq(world_init(&world, &settings, NULL), 0);
    for (uint32_t i = 0; i < PEERS; i++)
        peer_init(&world, &peers[i], i, i % 100, false, &chance);
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < PEERS; i++)
            turn(&peers[i]);
    }
    double seeders = 0;
    for (uint32_t i = 0; i < PEERS; i++)
        seeders += peers[i].left == 0;
    cr_expect_float_eq(seeders * 100 / PEERS, percent, 6, "%.1f %% of seeders, %.1f wanted", seeders * 100 / PEERS,
                       percent);
}

Test(bench_swarm, share_of_seeders_stays_where_it_was)
{
    expect_share(0);
    expect_share(50);
    expect_share(75);
    expect_share(95);
}

Test(bench_swarm, late_copy_has_a_lower_counter)
{
    struct peer peer;
    struct peer_announce announce;
    peer_init(&world, &peer, 1, 1, false, &chance);
    peer.uploaded = peer.downloaded = 0;
    cr_expect_not(peer_can_be_late(&peer));
    peer.downloaded = 1;
    peer.event = EVENT_STOPPED;
    cr_expect(peer_can_be_late(&peer));
    peer_describe(&world, &peer, true, &announce);
    cr_expect_eq(announce.uploaded, 0);
    cr_expect_eq(announce.downloaded, 0);
    cr_expect_eq(announce.event, EVENT_NONE);
}

Test(bench_swarm, restart_brings_a_new_peer_id_and_mostly_a_new_key)
{
    struct peer peer;
    struct peer_announce before, after;
    peer_init(&world, &peer, 0, 1, false, &chance);
    peer_describe(&world, &peer, false, &before);
    peer.generation++;
    peer_describe(&world, &peer, false, &after);
    cr_expect_neq(memcmp(before.peer_id, after.peer_id, sizeof before.peer_id), 0);
    cr_expect_neq(before.key, after.key);
    cr_expect_eq(before.port, after.port);
    peer.flags |= PEER_KEEPS_KEY;
    peer_describe(&world, &peer, false, &before);
    peer.generation++;
    peer_describe(&world, &peer, false, &after);
    cr_expect_eq(before.key, after.key);
    cr_expect_neq(before.key, 0);
}
