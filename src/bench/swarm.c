/* swarm: see swarm.h. */
#include "bench/swarm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"

enum { MIB = 1 << 20 };

/* What a stored thing is mixed from, so that users, torrents and peers have nothing in common. */
enum { SALT_USER = 1, SALT_TORRENT, SALT_SIZE, SALT_PEER, SALT_KEY, SALT_PORT };

static uint64_t derive(const struct world *world, uint64_t salt, uint64_t number)
{
    uint64_t seed = salt >= SALT_PEER ? world->settings.peer_seed : world->settings.seed;
    return random_mix(random_mix(seed * 8 + salt) ^ number);
}

static int add_passkey(struct world *world, size_t *room, const char *line, size_t length)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if (length < 1 || length > PASSKEY_MAX || strspn(line, letters) != length)
        return -EINVAL;
    if (world->settings.users == *room) {
        size_t larger = *room == 0 ? 4096 : *room * 2;
        void *moved = larger > UINT32_MAX ? NULL : reallocarray(world->passkeys, larger, sizeof *world->passkeys);
        if (moved == NULL)
            return -ENOMEM;
        world->passkeys = moved;
        *room = larger;
    }
    struct passkey *passkey = &world->passkeys[world->settings.users++];
    passkey->length = (uint8_t)length;
    memcpy(passkey->text, line, length);
    return 0;
}

static int read_passkeys(struct world *world, struct error *error)
{
    const char *name = world->settings.passkeys;
    FILE *file = fopen(name, "re");
    if (file == NULL)
        return error_set(error, "--passkeys %s: %s", name, strerror(errno));
    char line[256];
    size_t number = 0, room = 0;
    int code = 0;
    world->settings.users = 0;
    while (code == 0 && fgets(line, sizeof line, file) != NULL) {
        size_t length = strcspn(line, "\r\n");
        line[length] = '\0';
        number++;
        if (length > 0)
            code = add_passkey(world, &room, line, length);
    }
    if (code == -EINVAL)
        error_set(error, "%s:%zu: not a passkey (1 to 64 of A-Z a-z 0-9 - _)", name, number);
    else if (code < 0 || ferror(file) != 0)
        code = error_set(error, "--passkeys %s: it could not be read whole", name);
    else if (world->settings.users == 0)
        code = error_set(error, "--passkeys %s: it holds no passkey", name);
    (void)fclose(file);
    return code < 0 ? -1 : 0;
}

/*
 * At a turn, a leecher completes with the chance c and anybody stops with the
 * chance s, to come back as a seeder with the chance r. The share f of seeders stays where
 * (1 - f) c + (1 - f) s r = f s (1 - r), so r = f - (1 - f) c / s.
 */
static void choose_chances(struct world *world)
{
    double seeders = world->settings.seeders / 100;
    world->stop = 0.02;
    world->complete = seeders >= 1 ? 0 : 0.5 * seeders * world->stop / (1 - seeders);
    if (world->complete > 0.05)
        world->complete = 0.05;
    world->restart_seeding = seeders - (1 - seeders) * world->complete / world->stop;
}

int world_init(struct world *world, const struct world_settings *settings, struct error *error)
{
    *world = (struct world){.settings = *settings};
    choose_chances(world);
    if (settings->passkeys != NULL && read_passkeys(world, error) < 0) {
        world_clear(world);
        return -1;
    }
    world->popularity = popularity_new(settings->torrents, (size_t)settings->peers);
    if (world->popularity == NULL) {
        world_clear(world);
        return error_set(error, "out of memory for %u torrents", settings->torrents);
    }
    return 0;
}

void world_clear(struct world *world)
{
    free(world->passkeys);
    alias_free(world->popularity);
    world->passkeys = NULL;
    world->popularity = NULL;
}

void world_passkey(const struct world *world, uint32_t user, struct passkey *passkey)
{
    if (world->passkeys != NULL) {
        *passkey = world->passkeys[user];
        return;
    }
    uint64_t bytes[2] = {derive(world, SALT_USER, (uint64_t)user * 2),
                         derive(world, SALT_USER, (uint64_t)user * 2 + 1)};
    char digits[33];
    hex_encode(digits, (const uint8_t *)bytes, sizeof bytes);
    passkey->length = 32;
    memcpy(passkey->text, digits, 32);
}

void world_info_hash(const struct world *world, uint32_t torrent, uint8_t info_hash[static INFO_HASH_BYTES])
{
    for (uint64_t i = 0; i < 3; i++) {
        uint64_t bytes = derive(world, SALT_TORRENT, (uint64_t)torrent * 4 + i);
        memcpy(info_hash + 8 * i, &bytes, i < 2 ? 8 : 4);
    }
}

/* At most 512 MiB: no step between two announces may come near what a tracker's rate limit cuts off. */
uint64_t world_torrent_bytes(const struct world *world, uint32_t torrent)
{
    return (1 + derive(world, SALT_SIZE, torrent) % 512) * MIB;
}

static void start_over(const struct world *world, struct peer *peer, bool seeding)
{
    peer->uploaded = 0;
    peer->downloaded = 0;
    peer->left = seeding ? 0 : world_torrent_bytes(world, peer->torrent);
}

void peer_init(const struct world *world, struct peer *peer, uint32_t identity, uint32_t user, bool dual,
               struct random *random)
{
    *peer = (struct peer){
        .user = user,
        .torrent = alias_pick(world->popularity, random),
        .identity = identity,
        .flags = (uint8_t)(dual ? PEER_DUAL : 0),
        .state = PEER_NEW,
    };
    if (identity % 8 == 7)
        peer->flags |= PEER_KEEPS_KEY;
    start_over(world, peer, random_unit(random) * 100 < world->settings.seeders);
    /* Some were running before the tracker knew them: what they say at first is not to be trusted. */
    if (random_below(random, 10) == 0) {
        peer->uploaded = random_below(random, UINT64_C(1) << 40);
        peer->downloaded = random_below(random, UINT64_C(1) << 40);
    }
}

static void restart(const struct world *world, struct peer *peer, struct random *random)
{
    uint64_t kind = random_below(random, 8);
    peer->event = EVENT_STARTED;
    if (kind == 0) /* the same process goes on with the torrent */
        return;
    /*
     * A client that keeps its peer id but not its counters. Not where an older copy may still arrive: to
     * a tracker it would look like progress.
     */
    if (kind == 1 && (peer->flags & PEER_RESENT) == 0) {
        start_over(world, peer, peer->left == 0);
        return;
    }
    peer->generation++;
    peer->flags &= (uint8_t)~PEER_RESENT;
    start_over(world, peer, random_unit(random) < world->restart_seeding);
}

static void make_progress(const struct world *world, struct peer *peer, struct random *random)
{
    peer->event = EVENT_NONE;
    if (random_below(random, 8) != 0)
        peer->uploaded += random_below(random, 16 * MIB);
    if (peer->left > 0) {
        uint64_t bytes = random_below(random, peer->left / 8 + 1);
        peer->downloaded += bytes;
        peer->left -= bytes;
    } else if (random_below(random, 512) == 0) {
        /* A check of the data on disk found a part of it broken: a seeder leeches again. */
        peer->left = world_torrent_bytes(world, peer->torrent) / 16 + 1;
    }
}

static void complete(struct peer *peer)
{
    peer->downloaded += peer->left;
    peer->left = 0;
    peer->event = peer->flags & PEER_KEEPS_KEY ? EVENT_NONE : EVENT_COMPLETED;
}

void peer_advance(const struct world *world, struct peer *peer, struct random *random)
{
    if (peer->flags & PEER_PENDING)
        return;
    peer->flags |= PEER_PENDING;
    if (peer->state == PEER_NEW) {
        peer->event = EVENT_STARTED;
        return;
    }
    if (peer->state == PEER_STOPPED) {
        restart(world, peer, random);
        return;
    }
    double chance = random_unit(random);
    if (peer->left > 0 && chance < world->complete) {
        complete(peer);
        return;
    }
    make_progress(world, peer, random);
    if (chance >= 1 - world->stop)
        peer->event = EVENT_STOPPED;
}

void peer_settle(struct peer *peer)
{
    peer->state = peer->event == EVENT_STOPPED ? PEER_STOPPED : PEER_ACTIVE;
    peer->flags &= (uint8_t) ~(PEER_PENDING | PEER_UNCERTAIN);
}

bool peer_can_be_late(const struct peer *peer)
{
    return peer->uploaded > 0 || peer->downloaded > 0;
}

static void describe_identity(const struct world *world, const struct peer *peer, struct peer_announce *announce)
{
    static const char prefixes[4][9] = {"-qB4630-", "-TR3000-", "-lt0D60-", "-DE203s-"};
    static const char letters[] = "0123456789abcdefghijklmnopqrstuv";
    uint64_t bits = derive(world, SALT_PEER, (uint64_t)peer->identity << 16 | peer->generation);
    memcpy(announce->peer_id, prefixes[peer->identity % 4], 8);
    for (size_t i = 8; i < PEER_ID_BYTES; i++) {
        announce->peer_id[i] = (uint8_t)letters[bits & 31];
        bits >>= 5;
    }
    uint64_t generation = peer->flags & PEER_KEEPS_KEY ? 0 : peer->generation;
    announce->key = (uint32_t)derive(world, SALT_KEY, (uint64_t)peer->identity << 16 | generation) | 1;
    announce->port = (uint16_t)(1024 + derive(world, SALT_PORT, peer->identity) % 64000);
}

void peer_describe(const struct world *world, const struct peer *peer, bool late, struct peer_announce *announce)
{
    world_info_hash(world, peer->torrent, announce->info_hash);
    world_passkey(world, peer->user, &announce->passkey);
    describe_identity(world, peer, announce);
    announce->uploaded = peer->uploaded;
    announce->downloaded = peer->downloaded;
    announce->left = peer->left;
    announce->event = peer->event;
    if (late) {
        announce->uploaded -= (peer->uploaded + 7) / 8;
        announce->downloaded -= (peer->downloaded + 7) / 8;
        announce->event = EVENT_NONE;
    }
}
