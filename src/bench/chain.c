/*
 * privtrak-bench chain: the middleware chain alone, in this process, without sockets, ledger or database: fills
 * stores with sessions, tells the memory that each takes, then announces for random ones and tells the time of
 * each announce, by stage where asked. Deltas are made and thrown away.
 *
 * Each worker is a thread with stores and a chain of its own, as in the daemon; they share the table of users. The main
 * thread leads them from step to step, and reads the process's memory in between.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/chain_load.h"
#include "bench/command.h"
#include "bench/cpu.h"
#include "bench/options.h"
#include "storage/swarm.h"

enum { WORKERS_MAX = 64, USER_BYTES = 4 };

static const char settings[] = "tracker: {workers: 1, min_announce_interval: 0s}\n";

enum step { STEP_MAKE, STEP_FILL, STEP_ANNOUNCE, STEP_MEASURE_STAGES, STEP_FREE };

struct chain_options {
    uint64_t torrents, sessions, users, announces, numwant, seed, workers;
    struct number_list batches;
    bool stages;
    struct cpu_list cpus;
};

struct chain_worker {
    const struct chain_run *run;
    uint64_t number;
    pthread_t thread;
    struct chain_load *load;
    struct chain_load_spent spent; /* in the last step */
};

struct chain_run {
    struct chain_options options;
    struct config *config;
    struct users *users;
    pthread_barrier_t begin, end; /* of each step */
    enum step step;
    unsigned batch; /* of the step */
    struct chain_worker workers[WORKERS_MAX];
};

/* --- a worker's thread --- */

static void make_load(struct chain_worker *worker)
{
    const struct chain_options *options = &worker->run->options;
    uint64_t number = worker->number, workers = options->workers;
    const struct chain_load_settings load_settings = {
        .torrents = options->torrents * (number + 1) / workers - options->torrents * number / workers,
        .sessions = options->sessions * (number + 1) / workers - options->sessions * number / workers,
        .users = options->users,
        .numwant = options->numwant,
        .seed = options->seed,
        .worker = number,
    };
    worker->load = chain_load_new(&load_settings, worker->run->config, worker->run->users);
}

static void do_step(struct chain_worker *worker)
{
    const struct chain_run *run = worker->run;
    uint64_t announces = run->options.announces / run->options.workers;
    switch (run->step) {
    case STEP_MAKE:
        make_load(worker);
        break;
    case STEP_FILL:
        chain_load_fill(worker->load, &worker->spent);
        chain_load_pass_time(worker->load);
        break;
    case STEP_MEASURE_STAGES:
        chain_measure(chain_load_chain(worker->load), true);
        chain_load_announce(worker->load, announces, run->batch, &worker->spent);
        chain_measure(chain_load_chain(worker->load), false);
        break;
    case STEP_ANNOUNCE:
        chain_load_announce(worker->load, announces, run->batch, &worker->spent);
        break;
    case STEP_FREE:
        chain_load_free(worker->load);
        break;
    }
}

static void *run_worker(void *context)
{
    struct chain_worker *worker = context;
    struct chain_run *run = (struct chain_run *)worker->run;
    struct error error;
    enum step step;
    if (cpu_pin(&run->options.cpus, worker->number, &error) != 0)
        fprintf(stderr, "privtrak-bench: %s\n", error.text);
    users_thread_register();
    do {
        pthread_barrier_wait(&run->begin);
        step = run->step;
        do_step(worker);
        pthread_barrier_wait(&run->end);
    } while (step != STEP_FREE);
    users_thread_unregister();
    return NULL;
}

/* --- the main thread --- */

static void take_step(struct chain_run *run, enum step step, unsigned batch)
{
    run->step = step;
    run->batch = batch;
    pthread_barrier_wait(&run->begin);
    pthread_barrier_wait(&run->end);
}

static struct chain_load_spent sum_of(const struct chain_run *run)
{
    struct chain_load_spent sum = {0};
    for (uint64_t i = 0; i < run->options.workers; i++) {
        const struct chain_load_spent *one = &run->workers[i].spent;
        sum.ns += one->ns;
        sum.slowest_ns = one->slowest_ns > sum.slowest_ns ? one->slowest_ns : sum.slowest_ns;
        sum.announces += one->announces;
        sum.peers += one->peers;
    }
    return sum;
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

static void print_part(const char *name, double bytes, double sessions)
{
    printf("             %7.2f  %s\n", bytes / sessions, name);
}

/* Where the bytes of a session go. What has no room of its own in the stores' accounts is what is left. */
static void print_memory(const struct chain_run *run, uint64_t sessions, size_t grown)
{
    double count = (double)sessions, chunks = 0, torrents = 0, records = 0;
    for (uint64_t i = 0; i < run->options.workers; i++) {
        const struct torrents *store = chain_load_torrents(run->workers[i].load);
        chunks += (double)torrents_session_memory(store);
        torrents += (double)torrents_memory(store);
        records += (double)torrents_count(store) * (double)sizeof(struct torrent);
    }
    double slots = count * (USER_BYTES + ENDPOINT4_BYTES + sizeof(struct session));
    printf("memory       %7.2f  bytes a session of resident growth, of these\n", (double)grown / count);
    print_part("record: counters, times, port, key, flags, peer id", count * (double)sizeof(struct session), count);
    print_part("user", count * USER_BYTES, count);
    print_part("endpoint", count * ENDPOINT4_BYTES, count);
    print_part("room in chunks and pages that no session has", chunks - slots, count);
    print_part("torrents", records, count);
    print_part("index of torrents, index of large swarms", torrents - records, count);
    print_part("all else: directories, peer ids kept whole, the allocator", (double)grown - chunks - torrents, count);
}

static void fill_stores(struct chain_run *run)
{
    uint64_t sessions = 0, swarms = 0;
    take_step(run, STEP_MAKE, 0);
    for (uint64_t i = 0; i < run->options.workers; i++) {
        if (run->workers[i].load == NULL) {
            fprintf(stderr, "privtrak-bench: out of memory\n");
            exit(EXIT_FAILED);
        }
    }
    size_t before = resident_bytes();
    take_step(run, STEP_FILL, 0);
    size_t grown = resident_bytes() - before;
    for (uint64_t i = 0; i < run->options.workers; i++) {
        const struct torrent_totals *totals = torrents_totals(chain_load_torrents(run->workers[i].load));
        sessions += totals->seeders + totals->leechers + totals->tombstones;
        swarms += totals->swarms;
    }
    struct chain_load_spent spent = sum_of(run);
    printf("filled       %" PRIu64 " sessions in %" PRIu64 " swarms, %.0f ns an announce, slowest 64 in %.2f ms\n",
           sessions, swarms, (double)spent.ns / (double)spent.announces, (double)spent.slowest_ns / 1e6);
    print_memory(run, sessions, grown);
}

static void print_announces(const struct chain_run *run, uint64_t batch)
{
    struct chain_load_spent spent = sum_of(run);
    printf("batch %3" PRIu64 "    %7.1f  ns an announce, %.1f peers each, slowest 64 in %.3f ms\n", batch,
           (double)spent.ns / (double)spent.announces, (double)spent.peers / (double)spent.announces,
           (double)spent.slowest_ns / 1e6);
    double sum = 0;
    for (uint64_t i = 0; run->options.workers > 1 && i < run->options.workers; i++) {
        const struct chain_load_spent *one = &run->workers[i].spent;
        double each_ns = (double)one->ns / (double)one->announces;
        printf("  worker %-2" PRIu64 "  %7.1f  ns\n", i, each_ns);
        sum += 1e9 / each_ns;
    }
    if (run->options.workers > 1)
        printf("  in sum     %.0f announces a second, each worker on a core of its own\n", sum);
}

static void print_stages(const struct chain_run *run)
{
    struct chain_load_spent spent = sum_of(run);
    for (unsigned i = 0; i < chain_stage_count(); i++) {
        double ns = 0;
        for (uint64_t j = 0; j < run->options.workers; j++)
            ns += (double)chain_stage_ns(chain_load_chain(run->workers[j].load), i);
        printf("  stage      %7.1f  ns %s\n", ns / (double)spent.announces, chain_stage_name(i));
    }
}

static void measure(struct chain_run *run)
{
    const struct number_list *batches = &run->options.batches;
    fill_stores(run);
    for (size_t i = 0; i < batches->count; i++) {
        take_step(run, STEP_ANNOUNCE, (unsigned)batches->items[i]);
        print_announces(run, batches->items[i]);
    }
    /* In a run of its own, because the clock costs something at each stage, too. */
    if (run->options.stages) {
        take_step(run, STEP_MEASURE_STAGES, (unsigned)batches->items[batches->count - 1]);
        print_stages(run);
    }
    take_step(run, STEP_FREE, 0);
}

static void print_fault(void *context, const char *message)
{
    (void)context;
    fprintf(stderr, "privtrak-bench: %s\n", message);
}

static int run_workers(struct chain_run *run)
{
    uint64_t workers = run->options.workers;
    run->config = config_parse("chain", settings, strlen(settings), print_fault, NULL);
    run->users = users_new();
    if (run->config == NULL || run->users == NULL || chain_load_add_users(run->users, run->options.users) != 0) {
        fprintf(stderr, "privtrak-bench: out of memory\n");
        return EXIT_FAILED;
    }
    (void)pthread_barrier_init(&run->begin, NULL, (unsigned)workers + 1);
    (void)pthread_barrier_init(&run->end, NULL, (unsigned)workers + 1);
    for (uint64_t i = 0; i < workers; i++) {
        run->workers[i] = (struct chain_worker){.run = run, .number = i};
        if (pthread_create(&run->workers[i].thread, NULL, run_worker, &run->workers[i]) != 0) {
            fprintf(stderr, "privtrak-bench: no thread for a worker\n");
            exit(EXIT_FAILED); /* those that wait for it would wait for ever */
        }
    }
    measure(run);
    for (uint64_t i = 0; i < workers; i++)
        pthread_join(run->workers[i].thread, NULL);
    return EXIT_GOOD;
}

static int check(struct chain_options *options, struct error *error)
{
    if (options->sessions < options->torrents)
        return error_set(error, "--sessions: fewer than --torrents");
    if (options->torrents < options->workers)
        return error_set(error, "--torrents: fewer than --workers");
    if (options->batches.count == 0)
        options->batches = (struct number_list){.items = {BATCH_MAX}, .count = 1};
    /* A core each, where nothing else is said. */
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    for (uint64_t i = 0; options->workers > 1 && i < options->workers && options->cpus.count == i && (long)i < cores;
         i++)
        options->cpus.items[options->cpus.count++] = (uint16_t)i;
    return 0;
}

static int chain_run_command(int argc, char **argv)
{
    struct chain_options options = {.torrents = 100000,
                                    .sessions = 1000000,
                                    .users = 50000,
                                    .announces = 2000000,
                                    .numwant = 30,
                                    .workers = 1,
                                    .seed = 1};
    const struct option_entry entries[] = {
        {"torrents", OPTION_NUMBER, &options.torrents, 1, 100000000, NULL, "N",
         "torrents of all workers, each with a session (100000)"},
        {"sessions", OPTION_NUMBER, &options.sessions, 1, 1000000000, NULL, "N", "sessions of all workers (1000000)"},
        {"users", OPTION_NUMBER, &options.users, 1, 100000000, NULL, "N", "users (50000)"},
        {"workers", OPTION_NUMBER, &options.workers, 1, WORKERS_MAX, NULL, "N",
         "threads, each with its share of torrents and sessions and a core (1)"},
        {"batch", OPTION_NUMBERS, &options.batches, 1, BATCH_MAX, NULL, "LIST",
         "announces a batch, in turn, such as 1,8,64 (64)"},
        {"announces", OPTION_NUMBER, &options.announces, 1, INT64_MAX, NULL, "N",
         "announces that are timed for each batch size (2000000)"},
        {"numwant", OPTION_NUMBER, &options.numwant, 0, CHAIN_LOAD_PEERS_MAX, NULL, "N", "peers that each wants (30)"},
        {"stages", OPTION_FLAG, &options.stages, 0, 0, NULL, NULL,
         "then announce once more and time each stage, which costs some ns itself"},
        {"cpu", OPTION_CPUS, &options.cpus, 0, 0, NULL, "LIST", "CPUs to pin the workers to, in turn"},
        {"seed", OPTION_NUMBER, &options.seed, 0, INT64_MAX, NULL, "N", "all chance follows from it (1)"},
        {.name = NULL},
    };
    int status = options_handle(entries, "chain [OPTION]...", argc, argv);
    if (status >= 0)
        return status;
    struct error error = {.text = ""};
    struct chain_run *run = check(&options, &error) == 0 ? calloc(1, sizeof *run) : NULL;
    if (run == NULL) {
        fprintf(stderr, "privtrak-bench: %s\n", error.text[0] != '\0' ? error.text : "out of memory");
        return EXIT_USAGE;
    }
    run->options = options;
    status = run_workers(run);
    users_free(run->users);
    config_free(run->config);
    free(run);
    return status;
}

const struct command command_chain = {
    .name = "chain",
    .summary = "the middleware chain alone: nanoseconds an announce, bytes a session",
    .run = chain_run_command,
};
