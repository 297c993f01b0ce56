/*
 * privtrak-bench chain: the middleware chain alone, in this process, without sockets, ledger or database: fills a
 * store with sessions, tells the memory that each takes, then announces for random ones and tells the time of
 * each announce, by stage where asked. Deltas are made and thrown away.
 */
#include "tracker/chain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/command.h"
#include "bench/cpu.h"
#include "bench/options.h"
#include "bench/random.h"

enum { PEERS_MAX = 100, RING_RECORDS = 4096, PASSKEY_LENGTH = 32 };

static const char settings[] = "tracker: {workers: 1, min_announce_interval: 0s}\n";

struct chain_options {
    uint64_t torrents, sessions, users, batch, announces, numwant, seed;
    bool stages;
    struct cpu_list cpus;
};

/* What an announcer is: kept small, so that the load stays out of the caches' way. */
struct announcer {
    uint32_t torrent;
    uint32_t user;
    uint32_t mebibytes; /* uploaded so far */
};

struct place {
    struct announce announce;
    uint8_t buffer4[ANNOUNCE_HEADROOM + PEERS_MAX * ENDPOINT4_BYTES];
    uint8_t buffer6[ANNOUNCE_HEADROOM + PEERS_MAX * ENDPOINT6_BYTES];
};

struct run {
    struct chain_options options;
    struct config *config;
    struct multipliers multipliers;
    struct counters counters;
    struct context context;
    struct chain *chain;
    struct announcer *announcers;
    struct place places[BATCH_MAX];
    struct random random;
    uint64_t peers;
};

static void write_passkey(char *passkey, uint64_t user)
{
    char text[PASSKEY_LENGTH + 1];
    (void)snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, random_mix(user), random_mix(~user));
    memcpy(passkey, text, PASSKEY_LENGTH);
}

static int add_users(struct run *run)
{
    for (uint64_t i = 0; i < run->options.users; i++) {
        char passkey[PASSKEY_LENGTH + 1] = "";
        write_passkey(passkey, i);
        const struct user_facts facts = {.id = (int64_t)i + 1,
                                         .passkey = passkey,
                                         .enabled = true,
                                         .can_leech = true,
                                         .upload_percent = 100,
                                         .download_percent = 100};
        if (users_put(run->context.users, &facts) != 0)
            return -1;
    }
    return 0;
}

/* Every torrent gets one session, the rest go where the popular ones are. */
static int make_announcers(struct run *run)
{
    const struct chain_options *options = &run->options;
    struct alias *popularity = popularity_new(options->torrents, options->sessions);
    run->announcers = malloc(options->sessions * sizeof *run->announcers);
    if (popularity == NULL || run->announcers == NULL) {
        alias_free(popularity);
        return -1;
    }
    for (uint64_t i = 0; i < options->sessions; i++) {
        struct announcer *announcer = &run->announcers[i];
        announcer->torrent = i < options->torrents ? (uint32_t)i : alias_pick(popularity, &run->random);
        announcer->user = (uint32_t)random_below(&run->random, options->users);
        announcer->mebibytes = 0;
    }
    alias_free(popularity);
    return 0;
}

static void fill(struct run *run, struct place *place, uint64_t number)
{
    struct announcer *announcer = &run->announcers[number];
    struct announce *announce = &place->announce;
    memset(announce, 0, sizeof *announce);
    for (int i = 0; i < 3; i++) {
        uint64_t part = random_mix(announcer->torrent * UINT64_C(3) + (uint64_t)i);
        memcpy(announce->info_hash + 6 * i, &part, i < 2 ? 6 : 8);
    }
    memcpy(announce->peer_id, "-qB4630-", 8);
    uint64_t tail = random_mix(number);
    memcpy(announce->peer_id + 8, &tail, 8);
    memcpy(announce->peer_id + 16, &number, 4);
    announce->uploaded = (uint64_t)announcer->mebibytes++ << 20;
    announce->left = number % 4 == 0 ? 1000 : 0;
    announce->key = (uint32_t)tail;
    announce->numwant = (int32_t)run->options.numwant;
    announce->protocol = PROTOCOL_UDP;
    announce->compact = true;
    announce->source = (struct address){.family = 4, .port = (uint16_t)(1024 + number % 60000)};
    memcpy(announce->source.ip, &tail, 4);
    announce->passkey_length = PASSKEY_LENGTH;
    write_passkey(announce->passkey, announcer->user);
    announce->peers4 = place->buffer4 + ANNOUNCE_HEADROOM;
    announce->peers6 = place->buffer6 + ANNOUNCE_HEADROOM;
    announce->peers_max = PEERS_MAX;
}

/* Runs the first `count` places; returns the CPU time of the chain alone, in nanoseconds. */
static int64_t run_batch(struct run *run, unsigned count)
{
    struct announce *announces[BATCH_MAX];
    for (unsigned i = 0; i < count; i++)
        announces[i] = &run->places[i].announce;
    int64_t begin_ns = cpu_thread_ns(); /* not the wall clock: others may want the core, too */
    chain_run(run->chain, announces, count);
    int64_t spent_ns = cpu_thread_ns() - begin_ns;
    for (unsigned i = 0; i < count; i++)
        run->peers += announces[i]->peer4_count;
    size_t deltas;
    while (ring_peek(run->context.ring, RING_RECORDS, &deltas), deltas > 0)
        ring_release(run->context.ring, deltas);
    return spent_ns;
}

static size_t resident_bytes(void)
{
    unsigned long long total, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL || fscanf(file, "%llu %llu", &total, &resident) != 2)
        resident = 0;
    if (file != NULL)
        fclose(file);
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void fill_store(struct run *run)
{
    size_t before = resident_bytes();
    int64_t spent_ns = 0;
    int64_t slowest_ns = 0;
    for (uint64_t at = 0; at < run->options.sessions;) {
        unsigned count = 0;
        for (; count < BATCH_MAX && at < run->options.sessions; at++)
            fill(run, &run->places[count++], at);
        run->context.now_ms += 1;
        int64_t batch_ns = run_batch(run, count);
        spent_ns += batch_ns;
        slowest_ns = batch_ns > slowest_ns ? batch_ns : slowest_ns;
    }
    const struct torrent_totals *totals = torrents_totals(run->context.torrents);
    uint64_t sessions = totals->seeders + totals->leechers + totals->tombstones;
    size_t grown = resident_bytes() - before;
    printf("filled     %" PRIu64 " sessions in %" PRIu64 " swarms, %" PRId64 " ns an announce, slowest batch %.2f ms\n",
           sessions, totals->swarms, spent_ns / (int64_t)run->options.sessions, (double)slowest_ns / 1e6);
    printf("memory     %.1f bytes a session of resident growth (sessions %.1f, torrents and index %.1f)\n",
           (double)grown / (double)sessions, (double)torrents_session_memory(run->context.torrents) / (double)sessions,
           (double)torrents_memory(run->context.torrents) / (double)sessions);
}

static void announce_randomly(struct run *run)
{
    const struct chain_options *options = &run->options;
    int64_t spent_ns = 0, slowest_ns = 0;
    uint64_t announced = 0;
    run->peers = 0;
    run->context.now_ms += 1800000; /* half an hour later: nobody is too early */
    chain_measure(run->chain, options->stages);
    while (announced < options->announces) {
        for (unsigned i = 0; i < options->batch; i++)
            fill(run, &run->places[i], random_below(&run->random, options->sessions));
        int64_t batch_ns = run_batch(run, (unsigned)options->batch);
        spent_ns += batch_ns;
        slowest_ns = batch_ns > slowest_ns ? batch_ns : slowest_ns;
        announced += options->batch;
    }
    printf("announces  %" PRIu64 " in batches of %" PRIu64 ": %.1f ns each, %.1f peers each, slowest batch %.3f ms\n",
           announced, options->batch, (double)spent_ns / (double)announced, (double)run->peers / (double)announced,
           (double)slowest_ns / 1e6);
    for (unsigned i = 0; options->stages && i < chain_stage_count(); i++)
        printf("stage      %-18s %6.1f ns\n", chain_stage_name(i),
               (double)chain_stage_ns(run->chain, i) / (double)announced);
}

static void print_fault(void *context, const char *message)
{
    (void)context;
    fprintf(stderr, "privtrak-bench: %s\n", message);
}

static int set_up(struct run *run)
{
    run->config = config_parse("chain", settings, strlen(settings), print_fault, NULL);
    run->multipliers = (struct multipliers){.upload_percent = 100, .download_percent = 100};
    run->context = (struct context){
        .config = run->config,
        .torrents = torrents_new(),
        .users = users_new(),
        .clients = clients_new(),
        .multipliers = &run->multipliers,
        .ring = ring_new(RING_RECORDS),
        .counters = &run->counters,
        .now_ms = clock_now_ms(),
        .random = run->options.seed | 1,
    };
    const struct context *context = &run->context;
    bool made = run->config != NULL && context->torrents != NULL && context->users != NULL &&
                context->clients != NULL && context->ring != NULL;
    run->chain = made ? chain_new(&run->context) : NULL;
    random_init(&run->random, run->options.seed);
    if (run->chain != NULL && add_users(run) == 0 && make_announcers(run) == 0)
        return 0;
    fprintf(stderr, "privtrak-bench: out of memory\n");
    return -1;
}

static void tear_down(struct run *run)
{
    chain_free(run->chain);
    ring_free(run->context.ring);
    torrents_free(run->context.torrents);
    clients_free(run->context.clients);
    users_free(run->context.users);
    config_free(run->config);
    free(run->announcers);
    free(run);
}

static int chain_run_command(int argc, char **argv)
{
    struct chain_options options = {.torrents = 100000,
                                    .sessions = 1000000,
                                    .users = 50000,
                                    .batch = BATCH_MAX,
                                    .announces = 2000000,
                                    .numwant = 30,
                                    .seed = 1};
    const struct option_entry entries[] = {
        {"torrents", OPTION_NUMBER, &options.torrents, 1, 100000000, NULL, "N",
         "torrents, each with a session (100000)"},
        {"sessions", OPTION_NUMBER, &options.sessions, 1, 1000000000, NULL, "N", "sessions in all (1000000)"},
        {"users", OPTION_NUMBER, &options.users, 1, 100000000, NULL, "N", "users (50000)"},
        {"batch", OPTION_NUMBER, &options.batch, 1, BATCH_MAX, NULL, "N", "announces a batch (64)"},
        {"announces", OPTION_NUMBER, &options.announces, 1, INT64_MAX, NULL, "N", "announces that are timed (2000000)"},
        {"numwant", OPTION_NUMBER, &options.numwant, 0, PEERS_MAX, NULL, "N", "peers that each wants (30)"},
        {"stages", OPTION_FLAG, &options.stages, 0, 0, NULL, NULL, "time each stage too, which costs some ns itself"},
        {"cpu", OPTION_CPUS, &options.cpus, 0, 0, NULL, "LIST", "CPU to run on"},
        {"seed", OPTION_NUMBER, &options.seed, 0, INT64_MAX, NULL, "N", "all chance follows from it (1)"},
        {.name = NULL},
    };
    int status = options_handle(entries, "chain [OPTION]...", argc, argv);
    if (status >= 0)
        return status;
    struct error error = {.text = ""};
    struct run *run = options.sessions < options.torrents ? NULL : calloc(1, sizeof *run);
    if (run == NULL || cpu_pin(&options.cpus, 0, &error) != 0) {
        fprintf(stderr, "privtrak-bench: %s\n", run == NULL ? "--sessions: fewer than --torrents" : error.text);
        free(run);
        return EXIT_USAGE;
    }
    users_thread_register();
    run->options = options;
    status = set_up(run) == 0 ? EXIT_GOOD : EXIT_FAILED;
    if (status == EXIT_GOOD) {
        fill_store(run);
        announce_randomly(run);
    }
    tear_down(run);
    users_thread_unregister();
    return status;
}

const struct command command_chain = {
    .name = "chain",
    .summary = "the middleware chain alone: nanoseconds an announce, bytes a session",
    .run = chain_run_command,
};
