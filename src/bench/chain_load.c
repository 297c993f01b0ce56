/* chain_load: see chain_load.h. */
#include "bench/chain_load.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "bench/cpu.h"
#include "middleware/departure.h"

enum { RING_RECORDS = 32768 /* as a worker has */, PASSKEY_LENGTH = 32 };

/* What an announcer is: kept small, so that the load stays out of the caches' way. */
struct announcer {
    uint32_t torrent;
    uint32_t user;
    uint32_t mebibytes; /* uploaded so far */
};

struct place {
    struct announce announce;
    uint8_t buffer4[ANNOUNCE_HEADROOM + CHAIN_LOAD_PEERS_MAX * ENDPOINT4_BYTES];
    uint8_t buffer6[ANNOUNCE_HEADROOM + CHAIN_LOAD_PEERS_MAX * ENDPOINT6_BYTES];
};

struct chain_load {
    struct chain_load_settings settings;
    struct multipliers multipliers;
    struct counters counters;
    struct context context;
    struct chain *chain;
    struct announcer *announcers;
    struct random random;
    struct place places[BATCH_MAX];
};

static void write_passkey(char passkey[static PASSKEY_LENGTH + 1], uint64_t user)
{
    uint64_t bytes[2] = {random_mix(user), random_mix(~user)};
    hex_encode(passkey, (const uint8_t *)bytes, sizeof bytes);
}

int chain_load_add_users(struct users *users, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        char passkey[PASSKEY_LENGTH + 1];
        write_passkey(passkey, i);
        const struct user_facts facts = {.id = (int64_t)i + 1,
                                         .passkey = passkey,
                                         .enabled = true,
                                         .can_leech = true,
                                         .upload_percent = 100,
                                         .download_percent = 100};
        if (users_put(users, &facts) != 0)
            return -1;
    }
    return 0;
}

/* Every torrent gets one session, the rest go where the popular ones are. */
static int make_announcers(struct chain_load *load)
{
    const struct chain_load_settings *settings = &load->settings;
    struct alias *popularity = popularity_new(settings->torrents, settings->sessions);
    load->announcers = malloc(settings->sessions * sizeof *load->announcers);
    if (popularity == NULL || load->announcers == NULL) {
        alias_free(popularity);
        return -1;
    }
    for (uint64_t i = 0; i < settings->sessions; i++) {
        struct announcer *announcer = &load->announcers[i];
        announcer->torrent = i < settings->torrents ? (uint32_t)i : alias_pick(popularity, &load->random);
        announcer->user = (uint32_t)random_below(&load->random, settings->users);
        announcer->mebibytes = 0;
    }
    alias_free(popularity);
    return 0;
}

struct chain_load *chain_load_new(const struct chain_load_settings *settings, const struct config *config,
                                  struct users *users)
{
    struct chain_load *load = calloc(1, sizeof *load);
    if (load == NULL)
        return NULL;
    load->settings = *settings;
    load->multipliers = (struct multipliers){.upload_percent = 100, .download_percent = 100};
    load->context = (struct context){
        .config = config,
        .torrents = torrents_new(),
        .users = users,
        .clients = clients_new(),
        .multipliers = &load->multipliers,
        .ring = ring_new(RING_RECORDS),
        .counters = &load->counters,
        .now_ms = clock_now_ms(),
        .random = random_mix(settings->seed + settings->worker) | 1,
    };
    random_init(&load->random, settings->seed + settings->worker);
    const struct context *context = &load->context;
    if (context->torrents != NULL && context->clients != NULL && context->ring != NULL)
        load->chain = chain_new(&load->context);
    if (load->chain == NULL || make_announcers(load) != 0) {
        chain_load_free(load);
        return NULL;
    }
    return load;
}

void chain_load_free(struct chain_load *load)
{
    if (load == NULL)
        return;
    chain_free(load->chain);
    ring_free(load->context.ring);
    torrents_free(load->context.torrents);
    clients_free(load->context.clients);
    free(load->announcers);
    free(load);
}

static void say(struct chain_load *load, struct place *place, uint64_t number)
{
    struct announcer *announcer = &load->announcers[number];
    struct announce *announce = &place->announce;
    uint64_t torrent = (uint64_t)announcer->torrent << 8 | load->settings.worker;
    uint64_t tail = random_mix(number << 8 | load->settings.worker);
    char passkey[PASSKEY_LENGTH + 1];
    memset(announce, 0, sizeof *announce);
    for (uint64_t i = 0; i < 3; i++) {
        uint64_t part = random_mix(torrent * 4 + i);
        memcpy(announce->info_hash + 6 * i, &part, 8);
    }
    memcpy(announce->peer_id, "-qB4630-", 8);
    memcpy(announce->peer_id + 8, &tail, 8);
    memcpy(announce->peer_id + 16, &number, 4);
    announce->uploaded = (uint64_t)announcer->mebibytes++ << 20;
    announce->left = number % 4 == 0 ? 1000 : 0;
    announce->key = (uint32_t)tail;
    announce->numwant = (int32_t)load->settings.numwant;
    announce->protocol = PROTOCOL_UDP;
    announce->compact = true;
    announce->source = (struct address){.family = 4, .port = (uint16_t)(1024 + number % 60000)};
    memcpy(announce->source.ip, &tail, 4);
    announce->passkey_length = PASSKEY_LENGTH;
    write_passkey(passkey, announcer->user);
    memcpy(announce->passkey, passkey, PASSKEY_LENGTH);
    announce->peers4 = place->buffer4 + ANNOUNCE_HEADROOM;
    announce->peers6 = place->buffer6 + ANNOUNCE_HEADROOM;
    announce->peers_max = CHAIN_LOAD_PEERS_MAX;
}

/* Runs the first `count` places, `batch` at a time. */
static void run_places(struct chain_load *load, unsigned count, unsigned batch, struct chain_load_spent *spent)
{
    struct announce *announces[BATCH_MAX];
    for (unsigned i = 0; i < count; i++)
        announces[i] = &load->places[i].announce;
    int64_t begin_ns = cpu_thread_ns(); /* not the wall clock: others may want the core, too */
    for (unsigned from = 0; from < count; from += batch)
        chain_run(load->chain, announces + from, count - from < batch ? count - from : batch);
    int64_t ns = cpu_thread_ns() - begin_ns;
    spent->ns += ns;
    spent->slowest_ns = ns > spent->slowest_ns ? ns : spent->slowest_ns;
    spent->announces += count;
    for (unsigned i = 0; i < count; i++)
        spent->peers += announces[i]->peer4_count;
    size_t deltas;
    while (ring_peek(load->context.ring, RING_RECORDS, &deltas), deltas > 0)
        ring_release(load->context.ring, deltas);
}

/* What a worker does in the background meanwhile: looks at every torrent, and tidies its memory. */
static void walk_once(struct chain_load *load)
{
    struct departure_walk walk = {.torrent = 0};
    users_read_begin();
    do
        departure_walk(&load->context, &walk, 1);
    while (walk.torrent < torrents_count(load->context.torrents));
    users_read_end();
}

void chain_load_fill(struct chain_load *load, struct chain_load_spent *spent)
{
    *spent = (struct chain_load_spent){0};
    for (uint64_t at = 0; at < load->settings.sessions;) {
        unsigned count = 0;
        for (; count < BATCH_MAX && at < load->settings.sessions; at++)
            say(load, &load->places[count++], at);
        load->context.now_ms += 1;
        run_places(load, count, BATCH_MAX, spent);
    }
    walk_once(load);
}

void chain_load_pass_time(struct chain_load *load)
{
    load->context.now_ms += 1800000;
}

void chain_load_announce(struct chain_load *load, uint64_t announces, unsigned batch, struct chain_load_spent *spent)
{
    *spent = (struct chain_load_spent){0};
    while (spent->announces < announces) {
        for (unsigned i = 0; i < BATCH_MAX; i++)
            say(load, &load->places[i], random_below(&load->random, load->settings.sessions));
        run_places(load, BATCH_MAX, batch, spent);
    }
}

struct chain *chain_load_chain(struct chain_load *load)
{
    return load->chain;
}

const struct torrents *chain_load_torrents(const struct chain_load *load)
{
    return load->context.torrents;
}
