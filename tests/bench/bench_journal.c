/*
 * bench_journal: what a delta costs the ledger's thread, and how long a restart takes.
 *
 *     bench_journal [--dir DIR] [--deltas N] [--rate N] [--rings N] [--strict]
 *
 * Two producers fill rings as two workers would, at `rate` deltas a second (0: as fast as the ledger takes
 * them), with typical deltas: an announce of a seeder over IPv4. The journal is written under DIR (made and removed
 * again). The CPU time is that of the threads `ledger` and `journal-sync` as the kernel counts it,
 * a delta. Then the journal is opened anew (every frame checked) and replayed.
 */
#include <dirent.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../unit/delta_maker.h"
#include "base/clock.h"
#include "deltas/ledger.h"
#include "deltas/record.h"

enum { RINGS_MAX = 16, SAMPLES = 4096, BATCH = 64 };

struct bench {
    const char *folder;
    uint64_t deltas; /* a ring */
    uint64_t rate;   /* a second and ring */
    unsigned ring_count;
    struct ring *rings[RINGS_MAX];
    struct delta *samples;
};

static double now_s(void)
{
    return (double)clock_monotonic_ns() / 1e9;
}

/* CPU nanoseconds of this process's thread of that name. */
static uint64_t thread_cpu_ns(const char *wanted)
{
    uint64_t found = 0;
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry;
    while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
        char path[300];
        char name[64] = "";
        uint64_t ns = 0;
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            continue;
        if (fscanf(file, "%63s", name) != 1)
            name[0] = '\0';
        fclose(file);
        snprintf(path, sizeof(path), "/proc/self/task/%s/schedstat", entry->d_name);
        file = strcmp(name, wanted) == 0 ? fopen(path, "r") : NULL;
        if (file == NULL)
            continue;
        if (fscanf(file, "%" SCNu64, &ns) == 1)
            found += ns;
        fclose(file);
    }
    if (tasks != NULL)
        closedir(tasks);
    return found;
}

static void measure_encoding(const struct bench *bench)
{
    uint8_t *bytes = malloc((size_t)SAMPLES * RECORD_BYTES_MAX);
    struct delta delta;
    enum { ROUNDS = 100 };
    uint8_t *end = bytes;
    double start = now_s();
    for (int round = 0; round < ROUNDS; round++) {
        end = bytes;
        for (size_t i = 0; i < SAMPLES; i++)
            end = record_encode(end, &bench->samples[i], bench->samples[0].time_ms);
    }
    double encoded = now_s();
    for (int round = 0; round < ROUNDS; round++)
        for (const uint8_t *at = bytes; at < end;)
            at += record_decode(&delta, at, (size_t)(end - at), bench->samples[0].time_ms);
    double decoded = now_s();
    printf("record: %.1f bytes, encode %.0f ns, decode %.0f ns\n", (double)(end - bytes) / SAMPLES,
           (encoded - start) * 1e9 / (ROUNDS * SAMPLES), (decoded - encoded) * 1e9 / (ROUNDS * SAMPLES));
    free(bytes);
}

struct producer {
    const struct bench *bench;
    struct ring *ring;
    uint64_t full; /* times that the ring had no room */
    pthread_t thread;
};

static void *produce(void *argument)
{
    struct producer *producer = argument;
    const struct bench *bench = producer->bench;
    double start = now_s();
    for (uint64_t made = 0; made < bench->deltas;) {
        double due = bench->rate > 0 ? start + (double)made / (double)bench->rate : 0;
        while (ring_room(producer->ring) < BATCH) {
            producer->full++;
            usleep(100);
        }
        for (int i = 0; i < BATCH && made < bench->deltas; i++, made++) {
            struct delta *delta = ring_next(producer->ring);
            memcpy(delta, &bench->samples[made % SAMPLES], offsetof(struct delta, passkey));
            ring_commit(producer->ring);
        }
        ring_publish(producer->ring);
        if (bench->rate > 0 && now_s() < due)
            usleep((useconds_t)((due - now_s()) * 1e6));
    }
    return NULL;
}

static void count_replayed(void *context, const struct delta *delta)
{
    uint64_t *count = context;
    *count += delta->seq != 0;
}

static struct config make_config(const struct bench *bench, char *folder, bool strict)
{
    struct config config = {0};
    uint64_t bytes = bench->deltas * bench->ring_count * 160;
    config.tracker.state_dir = folder;
    config.deltas.batch_size = 1024;
    config.deltas.flush_interval_s = 3;
    config.deltas.sync_interval_ms = 200;
    config.deltas.journal_max_bytes = bytes > 1 << 30 ? bytes : 1 << 30;
    config.deltas.durability = strict ? DURABILITY_STRICT : DURABILITY_RELAXED;
    return config;
}

static void fail(const struct error *error)
{
    fprintf(stderr, "bench_journal: %s\n", error->text);
    exit(1);
}

static void measure_journal(struct bench *bench, const struct config *config)
{
    struct error error;
    struct producer producers[RINGS_MAX];
    struct ledger_status status;
    struct ledger *ledger = ledger_open(config, &error);
    if (ledger == NULL || ledger_start(ledger, bench->rings, bench->ring_count, &error) != 0)
        fail(&error);
    double start = now_s();
    for (unsigned i = 0; i < bench->ring_count; i++) {
        producers[i] = (struct producer){.bench = bench, .ring = bench->rings[i]};
        pthread_create(&producers[i].thread, NULL, produce, &producers[i]);
    }
    uint64_t full = 0;
    for (unsigned i = 0; i < bench->ring_count; i++) {
        pthread_join(producers[i].thread, NULL);
        full += producers[i].full;
    }
    uint64_t total = ledger_barrier(ledger);
    double took = now_s() - start;
    double ledger_ns = (double)thread_cpu_ns("ledger") / (double)total;
    double sync_ns = (double)thread_cpu_ns("journal-sync") / (double)total;
    ledger_status(ledger, &status);
    printf("journal: %" PRIu64 " deltas in %.2f s, %.0f a second; %.1f bytes each\n", total, took, (double)total / took,
           (double)status.journal_bytes / (double)total);
    printf("cpu a delta: ledger %.0f ns, journal-sync %.0f ns; %" PRIu64 " syncs of %.2f ms; a ring was full %" PRIu64
           " times\n",
           ledger_ns, sync_ns, status.sync_count,
           status.sync_count > 0 ? (double)status.sync_sum_ns / (double)status.sync_count / 1e6 : 0, full);
    ledger_stop(ledger, 10000);
    ledger_free(ledger);
}

static void measure_restart(const struct config *config)
{
    struct error error;
    uint64_t count = 0;
    double start = now_s();
    struct ledger *ledger = ledger_open(config, &error);
    if (ledger == NULL)
        fail(&error);
    double opened = now_s();
    if (ledger_replay(ledger, 0, count_replayed, &count, &error) != 0)
        fail(&error);
    double replayed = now_s();
    printf("restart: %" PRIu64 " records checked in %.2f s, replayed in %.2f s\n", count, opened - start,
           replayed - opened);
    ledger_free(ledger);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'},  {"deltas", required_argument, NULL, 'n'},
        {"rate", required_argument, NULL, 'r'}, {"rings", required_argument, NULL, 'w'},
        {"strict", no_argument, NULL, 's'},     {NULL, 0, NULL, 0}};
    struct bench bench = {.folder = "/tmp", .deltas = 2000000, .rate = 200000, .ring_count = 2};
    bool strict = false;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'd')
            bench.folder = optarg;
        else if (option == 'n')
            bench.deltas = strtoull(optarg, NULL, 10);
        else if (option == 'r')
            bench.rate = strtoull(optarg, NULL, 10);
        else if (option == 'w')
            bench.ring_count = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 's')
            strict = true;
        else
            return 2;
    }
    if (bench.ring_count < 1 || bench.ring_count > RINGS_MAX || bench.deltas < bench.ring_count)
        return 2;
    bench.deltas /= bench.ring_count;
    bench.rate /= bench.ring_count;

    uint64_t random = 88172645463325252ull;
    bench.samples = calloc(SAMPLES, sizeof(*bench.samples));
    for (size_t i = 0; i < SAMPLES; i++)
        bench.samples[i] = maker_typical(&random, 1763885000000 + (int64_t)i / 200);
    for (unsigned i = 0; i < bench.ring_count; i++)
        bench.rings[i] = ring_new(16384);
    measure_encoding(&bench);

    setenv("TMPDIR", bench.folder, 1);
    char *folder = maker_folder();
    struct config config = make_config(&bench, folder, strict);
    measure_journal(&bench, &config);
    measure_restart(&config);
    maker_remove(folder);
    for (unsigned i = 0; i < bench.ring_count; i++)
        ring_free(bench.rings[i]);
    free(bench.samples);
    return 0;
}
