/*
 * bench_sink: how many deltas a second the database sink takes.
 *
 *     bench_sink [--url URL] [--users N] [--torrents N] [--sessions N] [--deltas N] [--repeat PERCENT] [--batch N]...
 *
 * Without --url a SQLite file in the working directory is made and removed again; another
 * database must be empty. All sessions announce once first (not measured: it makes the rows). What is measured
 * is a tracker that runs: sessions in random order, each once before any comes again, of users who
 * have many sessions each and torrents of heavy-tailed popularity; of a hundred announces 88 are plain (a third of them
 * without bytes), 5 stopped, 5 started by new sessions, 1 completed, 1 expired. So nearly every delta is a row of its own.
 * --repeat: of so many the session is one that is in the batch already, as where clients announce over both families, and
 * the two become one row.
 */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "database/database.h"

enum { BATCHES_MAX = 16, MAKE_BATCH = 8192 };

struct bench {
    const char *url;
    const char *path; /* to be removed at the end; NULL: not ours */
    uint32_t users, torrents, sessions;
    uint64_t deltas;
    uint64_t repeat;      /* percent */
    uint64_t batch_first; /* `next` when the batch began */
    size_t batch_sizes[BATCHES_MAX];
    size_t batch_count;

    struct database *database;
    int64_t *user_ids, *torrent_ids;
    uint32_t *seeders; /* of each torrent: plain announces change no counts */
    struct bench_session {
        uint32_t user, torrent;
        uint32_t incarnation; /* a stopped session starts again under another peer id */
        bool active;
        uint64_t uploaded;
    } * all;
    uint32_t *order; /* a random order of the sessions */
    uint64_t next, seq, random;
};

static void fail(const char *what, const struct error *error)
{
    fprintf(stderr, "bench_sink: %s: %s\n", what, error->text);
    exit(1);
}

static uint64_t random_next(struct bench *bench)
{
    bench->random ^= bench->random << 13;
    bench->random ^= bench->random >> 7;
    bench->random ^= bench->random << 17;
    return bench->random;
}

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void info_hash_of(uint8_t info_hash[static INFO_HASH_BYTES], uint32_t torrent)
{
    for (size_t i = 0; i < INFO_HASH_BYTES; i += 4) {
        uint32_t word = (torrent + 1) * 2654435761u + (uint32_t)i * 40503u;
        memcpy(info_hash + i, &word, 4);
    }
    memcpy(info_hash, &torrent, 4);
}

static void fill_delta(struct bench *bench, struct delta *delta, uint32_t number)
{
    const struct bench_session *session = &bench->all[number];
    *delta = (struct delta){.seq = ++bench->seq,
                            .time_ms = 1700000000000 + (int64_t)bench->seq,
                            .user_id = bench->user_ids[session->user],
                            .torrent_id = bench->torrent_ids[session->torrent],
                            .active = session->active,
                            .seed_time_s = 1800,
                            .user_seeding = session->active,
                            .user_active = session->active,
                            .seeders = bench->seeders[session->torrent]};
    info_hash_of(delta->info_hash, session->torrent);
    char peer_id[PEER_ID_BYTES + 1];
    snprintf(peer_id, sizeof(peer_id), "-qB4630-%08x%04x", number, session->incarnation & 0xffff);
    memcpy(delta->peer_id, peer_id, PEER_ID_BYTES);
    delta->session.uploaded = session->uploaded;
    delta->session.last_announce_ms = delta->time_ms;
    delta->session.address4 =
        (struct address){.family = 4,
                         .ip = {10, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number},
                         .port = (uint16_t)(1024 + number % 60000)};
    if (number % 3 == 0)
        delta->session.address6 = (struct address){.family = 6, .ip = {0x20, 1, 0xd, 0xb8}, .port = 6881};
    if (delta->user_id == 0)
        delta->passkey_length = (uint8_t)snprintf(delta->passkey, sizeof(delta->passkey), "%032" PRIu32, session->user);
}

static uint32_t next_session(struct bench *bench)
{
    uint64_t of_batch = bench->next - bench->batch_first;
    if (bench->repeat > 0 && of_batch > 0 && random_next(bench) % 100 < bench->repeat)
        return bench->order[(bench->batch_first + random_next(bench) % of_batch) % bench->sessions];
    return bench->order[bench->next++ % bench->sessions];
}

static void next_announce(struct bench *bench, struct delta *delta)
{
    uint32_t number = next_session(bench);
    struct bench_session *session = &bench->all[number];
    unsigned kind = (unsigned)(random_next(bench) % 100);
    uint64_t bytes = kind % 3 == 0 ? 0 : random_next(bench) % (1u << 26);
    uint8_t event = EVENT_NONE;
    if (!session->active) {
        session->incarnation++;
        session->active = true;
        bench->seeders[session->torrent]++;
        session->uploaded = 0;
        event = EVENT_STARTED;
        bytes = 0;
    } else if (kind < 6) {
        event = kind == 0 ? EVENT_EXPIRED : EVENT_STOPPED;
        session->active = false;
        bench->seeders[session->torrent]--;
    } else if (kind == 6) {
        event = EVENT_COMPLETED;
    }
    session->uploaded += bytes;
    fill_delta(bench, delta, number);
    delta->event = event;
    delta->uploaded = delta->credited_uploaded = bytes;
    delta->flags = event == EVENT_COMPLETED ? DELTA_SNATCHED : 0;
}

static void apply(struct bench *bench, const struct delta *deltas, size_t count)
{
    struct database_batch batch = {.instance = "bench", .deltas = deltas, .count = count, .include_address = true};
    struct error error;
    if (database_apply(bench->database, &batch, &error) != DATABASE_OK)
        fail("apply", &error);
}

static int64_t *ids(uint32_t count)
{
    int64_t *list = calloc(count, sizeof(*list));
    if (!list)
        exit(1);
    return list;
}

static int take_begin(void *context, bool whole)
{
    (void)context;
    return whole ? 0 : -1;
}

static int take_user(void *context, const struct user_row *row)
{
    struct bench *bench = context;
    bench->user_ids[strtoul(row->passkey, NULL, 10)] = row->id;
    return 0;
}

static int take_torrent(void *context, const struct torrent_row *row)
{
    struct bench *bench = context;
    uint32_t torrent;
    memcpy(&torrent, row->info_hash, 4);
    bench->torrent_ids[torrent] = row->id;
    return 0;
}

static int take_clients(void *context, const struct client_row *rows, size_t count)
{
    (void)context;
    (void)rows;
    (void)count;
    return 0;
}

static int take_multipliers(void *context, const struct multipliers *multipliers)
{
    (void)context;
    (void)multipliers;
    return 0;
}

/* Users and torrents register themselves with their first deltas; then their ids are read as the registry does. */
static void make_rows(struct bench *bench)
{
    struct delta *deltas = calloc(MAKE_BATCH, sizeof(*deltas));
    if (!deltas)
        exit(1);
    double start = seconds(CLOCK_MONOTONIC);
    for (uint32_t done = 0; done < bench->sessions;) {
        size_t count = 0;
        for (; count < MAKE_BATCH && done < bench->sessions; count++, done++) {
            bench->all[bench->order[done]].active = true;
            bench->seeders[bench->all[bench->order[done]].torrent]++;
            fill_delta(bench, &deltas[count], bench->order[done]);
            deltas[count].flags = DELTA_FIRST | DELTA_REGISTERS_TORRENT | DELTA_REGISTERS_USER;
        }
        apply(bench, deltas, count);
    }
    free(deltas);
    double took = seconds(CLOCK_MONOTONIC) - start;
    printf("made     %9" PRIu32 " first announces, %u users, %u torrents: %8.0f a second\n", bench->sessions,
           bench->users, bench->torrents, bench->sessions / took);
    struct database_reader reader = {.context = bench,
                                     .begin = take_begin,
                                     .user = take_user,
                                     .torrent = take_torrent,
                                     .clients = take_clients,
                                     .multipliers = take_multipliers};
    struct error error;
    start = seconds(CLOCK_MONOTONIC);
    if (database_read(bench->database, &reader, &error) != DATABASE_OK)
        fail("read", &error);
    printf("read     %9" PRIu32 " users and torrents in %.2f s\n", bench->users + bench->torrents,
           seconds(CLOCK_MONOTONIC) - start);
}

static void make_sessions(struct bench *bench)
{
    bench->all = calloc(bench->sessions, sizeof(*bench->all));
    bench->order = calloc(bench->sessions, sizeof(*bench->order));
    if (!bench->all || !bench->order)
        exit(1);
    for (uint32_t i = 0; i < bench->sessions; i++) {
        double draw = (double)(random_next(bench) % 1000000) / 1e6;
        bench->all[i].user = (uint32_t)(random_next(bench) % bench->users);
        bench->all[i].torrent = (uint32_t)(pow(draw, 3.0) * bench->torrents);
        bench->order[i] = i;
    }
    for (uint32_t i = bench->sessions - 1; i > 0; i--) {
        uint32_t other = (uint32_t)(random_next(bench) % (i + 1));
        uint32_t kept = bench->order[i];
        bench->order[i] = bench->order[other];
        bench->order[other] = kept;
    }
}

static void measure(struct bench *bench, size_t batch)
{
    struct delta *deltas = calloc(batch, sizeof(*deltas));
    if (!deltas)
        exit(1);
    double wall = 0, cpu = 0, slowest = 0;
    uint64_t done = 0;
    while (done < bench->deltas) {
        bench->batch_first = bench->next;
        for (size_t i = 0; i < batch; i++)
            next_announce(bench, &deltas[i]);
        double start = seconds(CLOCK_MONOTONIC), start_cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
        apply(bench, deltas, batch);
        double took = seconds(CLOCK_MONOTONIC) - start;
        wall += took;
        cpu += seconds(CLOCK_THREAD_CPUTIME_ID) - start_cpu;
        slowest = took > slowest ? took : slowest;
        done += batch;
    }
    free(deltas);
    printf("batch %6zu: %8.0f deltas a second, %6.2f us of CPU a delta, slowest batch %7.1f ms\n", batch,
           (double)done / wall, cpu / (double)done * 1e6, slowest * 1e3);
    fflush(stdout);
}

static void parse(struct bench *bench, int argc, char **argv)
{
    static const struct option options[] = {
        {"url", required_argument, NULL, 'u'},      {"users", required_argument, NULL, 'U'},
        {"torrents", required_argument, NULL, 'T'}, {"sessions", required_argument, NULL, 'S'},
        {"deltas", required_argument, NULL, 'D'},   {"repeat", required_argument, NULL, 'R'},
        {"batch", required_argument, NULL, 'B'},    {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        unsigned long long value = optarg ? strtoull(optarg, NULL, 10) : 0;
        switch (option) {
        case 'u':
            bench->url = optarg;
            break;
        case 'U':
            bench->users = (uint32_t)value;
            break;
        case 'T':
            bench->torrents = (uint32_t)value;
            break;
        case 'S':
            bench->sessions = (uint32_t)value;
            break;
        case 'D':
            bench->deltas = value;
            break;
        case 'R':
            bench->repeat = value;
            break;
        case 'B':
            if (bench->batch_count < BATCHES_MAX)
                bench->batch_sizes[bench->batch_count++] = value;
            break;
        default:
            exit(2);
        }
    }
    if (bench->users == 0 || bench->torrents == 0 || bench->sessions == 0 || bench->deltas == 0 || bench->repeat > 99) {
        (void)fprintf(stderr, "bench_sink: numbers from 1 on, --repeat up to 99\n");
        exit(2);
    }
    if (bench->batch_count == 0) {
        static const size_t usual[] = {1024, 4096, 16384, 65536};
        memcpy(bench->batch_sizes, usual, sizeof(usual));
        bench->batch_count = 4;
    }
}

int main(int argc, char **argv)
{
    struct bench bench = {
        .users = 10000, .torrents = 20000, .sessions = 200000, .deltas = 500000, .random = 88172645463325252u};
    parse(&bench, argc, argv);
    if (!bench.url) {
        bench.url = "sqlite:bench_sink.db";
        bench.path = "bench_sink.db";
    }
    struct error error;
    bench.database = database_open(bench.url, &error);
    if (!bench.database || database_connect(bench.database, &error) != DATABASE_OK)
        fail(bench.url, &error);
    bench.user_ids = ids(bench.users);
    bench.torrent_ids = ids(bench.torrents);
    bench.seeders = calloc(bench.torrents, sizeof(*bench.seeders));
    if (!bench.user_ids || !bench.torrent_ids || !bench.seeders)
        return 1;
    make_sessions(&bench);
    make_rows(&bench);
    for (size_t i = 0; i < bench.batch_count; i++)
        measure(&bench, bench.batch_sizes[i]);
    database_close(bench.database);
    free(bench.user_ids);
    free(bench.torrent_ids);
    free(bench.seeders);
    if (bench.path)
        unlink(bench.path);
    return 0;
}
