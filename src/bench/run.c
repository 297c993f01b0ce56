/*
 * A generator's run from start to end. Each thread goes through its phases by
 * itself: fill, warm up, wait for the others, run, drain, settle. The main thread
 * prints a line a second, and reads the CPU times around the run.
 */
#include "bench/load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/command.h"

#define SECOND_NS INT64_C(1000000000)
enum { SILENCE_S = 30, FILL_LIMIT_S = 1800, SETTLE_LIMIT_S = 60 };

static int make_peers(struct load_thread *thread, uint32_t thread_peers, uint32_t identity)
{
    const struct world *world = &thread->load->world;
    uint32_t threads = (uint32_t)thread->load->settings.thread_count;
    uint32_t index = (uint32_t)thread->index;
    uint32_t users = (world->settings.users - index + threads - 1) / threads;
    thread->peers = calloc(thread_peers, sizeof *thread->peers);
    if (thread->peers == NULL)
        return -ENOMEM;
    thread->peer_count = thread_peers;
    bool both = thread->lane_count > 1 && thread->lanes[0].family != thread->lanes[1].family;
    for (uint32_t i = 0; i < thread_peers; i++) {
        uint32_t user = index + threads * (uint32_t)random_below(&thread->random, users);
        bool dual = both && random_below(&thread->random, 2) == 0;
        peer_init(world, &thread->peers[i], identity + i, user, dual, &thread->random);
    }
    uint32_t given = 0;
    for (uint16_t i = 0; i < thread->lane_count; i++) {
        struct lane *lane = &thread->lanes[i];
        lane->first_peer = given;
        lane->peer_count = (thread_peers - given) / (uint32_t)(thread->lane_count - i);
        given += lane->peer_count;
    }
    return 0;
}

static int make_lanes(struct load_thread *thread)
{
    const struct load_settings *settings = &thread->load->settings;
    bool both = settings->targets[0].length > 0 && settings->targets[1].length > 0;
    uint64_t count = settings->lanes / settings->thread_count;
    if (count == 0)
        count = 1;
    if (both)
        count = (count + 1) / 2 * 2;
    thread->lane_count = (uint16_t)count;
    thread->lanes = calloc(count, sizeof *thread->lanes);
    if (thread->lanes == NULL)
        return -ENOMEM;
    uint64_t window = settings->in_flight / settings->thread_count / count;
    if (settings->protocol == LOAD_HTTP)
        window = settings->pipeline;
    for (uint16_t i = 0; i < thread->lane_count; i++) {
        struct lane *lane = &thread->lanes[i];
        lane->family = both ? (i % 2 == 0 ? 4 : 6) : (settings->targets[0].length > 0 ? 4 : 6);
        lane->sibling = both ? i ^ 1 : i;
        lane->window = (uint32_t)(window == 0 ? 1 : window);
    }
    return 0;
}

static int make_requests(struct load_thread *thread)
{
    uint64_t room = (uint64_t)thread->lane_count * thread->lanes[0].window;
    thread->request_room = (uint32_t)(room < REQUESTS_MAX ? room : REQUESTS_MAX);
    thread->requests = calloc(thread->request_room, sizeof *thread->requests);
    thread->free_requests = calloc(thread->request_room, sizeof *thread->free_requests);
    if (thread->requests == NULL || thread->free_requests == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < thread->request_room; i++)
        thread->free_requests[thread->free_count++] = thread->request_room - 1 - i;
    thread->oldest = thread->newest = REQUEST_NONE;
    return 0;
}

static int make_thread(struct load *load, size_t index, struct error *error)
{
    struct load_thread *thread = &load->threads[index];
    uint64_t threads = load->settings.thread_count;
    uint64_t peers = load->settings.world.peers;
    uint64_t first = peers * index / threads;
    *thread = (struct load_thread){.load = load, .index = index};
    random_init(&thread->random, load->settings.world.peer_seed ^ random_mix(index + 1));
    thread->budget = UINT64_MAX;
    if (load->settings.requests > 0)
        thread->budget = load->settings.requests * (index + 1) / threads - load->settings.requests * index / threads;
    if (load->settings.rate > 0)
        thread->interval_ns = 1e9 * (double)threads / (double)load->settings.rate;
    if (make_lanes(thread) < 0 || make_requests(thread) < 0 ||
        make_peers(thread, (uint32_t)(peers * (index + 1) / threads - first), (uint32_t)first) < 0)
        return error_set(error, "out of memory for %ju peers", (uintmax_t)peers);
    if (load->settings.ledger != NULL) {
        thread->accounting = accounting_new(&accounting_default_rules);
        if (thread->accounting == NULL)
            return error_set(error, "out of memory for the ledger");
    }
    return 0;
}

static void free_threads(struct load *load)
{
    for (size_t i = 0; load->threads != NULL && i < load->settings.thread_count; i++) {
        struct load_thread *thread = &load->threads[i];
        free(thread->peers);
        free(thread->lanes);
        free(thread->requests);
        free(thread->free_requests);
        accounting_free(thread->accounting);
    }
    free(load->threads);
}

/* The thread's side. */

static bool is_stopped(const struct load_thread *thread)
{
    return atomic_load_explicit(&thread->load->stop, memory_order_relaxed) || thread->error.text[0] != '\0';
}

static void begin_phase(struct load_thread *thread, enum load_phase phase)
{
    thread->phase = phase;
    thread->now_ns = clock_monotonic_ns();
    thread->phase_start_ns = thread->now_ns;
    thread->issued = 0;
    for (uint16_t i = 0; i < thread->lane_count; i++)
        thread->lanes[i].visited = 0;
}

static void drain(struct load_thread *thread)
{
    begin_phase(thread, PHASE_DRAIN);
    while (thread->oldest != REQUEST_NONE && thread->error.text[0] == '\0')
        thread->load->transport->turn(thread);
}

static bool has_visits_left(const struct load_thread *thread)
{
    if (thread->oldest != REQUEST_NONE)
        return true;
    for (uint16_t i = 0; i < thread->lane_count; i++) {
        const struct lane *lane = &thread->lanes[i];
        if (lane->visited < lane->peer_count || lane->follow_head != lane->follow_tail)
            return true;
    }
    return false;
}

static void fill(struct load_thread *thread)
{
    begin_phase(thread, PHASE_FILL);
    while (has_visits_left(thread) && !is_stopped(thread)) {
        thread->load->transport->turn(thread);
        if (thread->now_ns - thread->phase_start_ns > FILL_LIMIT_S * SECOND_NS)
            error_set(&thread->error, "filling took longer than %d s", FILL_LIMIT_S);
        if (thread->now_ns - thread->phase_start_ns > SILENCE_S * SECOND_NS && count_of(&thread->counts.replies) == 0)
            error_set(&thread->error, "no answer from the target for %d s", SILENCE_S);
    }
}

static void warm_up(struct load_thread *thread)
{
    begin_phase(thread, PHASE_WARM_UP);
    while (thread->now_ns - thread->phase_start_ns < thread->load->settings.warm_up_ns && !is_stopped(thread))
        thread->load->transport->turn(thread);
}

static void forget_counts(struct load_thread *thread)
{
    memset(&thread->counts, 0, sizeof thread->counts);
    memset(&thread->latency, 0, sizeof thread->latency);
    memset(&thread->lateness, 0, sizeof thread->lateness);
    thread->failure_count = 0;
}

static void wait_for_start(struct load_thread *thread)
{
    atomic_fetch_add(&thread->load->ready, 1);
    while (!atomic_load(&thread->load->start)) {
        struct timespec pause = {.tv_nsec = 200000};
        nanosleep(&pause, NULL);
    }
}

static void run(struct load_thread *thread)
{
    int64_t duration_ns = thread->load->settings.duration_ns;
    int64_t cpu_before = cpu_thread_ns();
    begin_phase(thread, PHASE_RUN);
    int64_t heard_ns = thread->phase_start_ns;
    uint64_t heard = 0;
    while (!is_stopped(thread)) {
        thread->load->transport->turn(thread);
        if (duration_ns > 0 && thread->now_ns - thread->phase_start_ns >= duration_ns)
            break;
        if (thread->budget == 0 && thread->oldest == REQUEST_NONE)
            break;
        uint64_t answers = count_of(&thread->counts.replies) + count_of(&thread->counts.failures);
        if (answers != heard) {
            heard = answers;
            heard_ns = thread->now_ns;
        } else if (thread->now_ns - heard_ns > SILENCE_S * SECOND_NS && thread->load->settings.rate == 0) {
            error_set(&thread->error, "no answer from the target for %d s", SILENCE_S);
        }
    }
    thread->run_ns = thread->now_ns - thread->phase_start_ns;
    thread->replies_in_time = count_of(&thread->counts.replies);
    thread->cpu_ns = cpu_thread_ns() - cpu_before;
    uint64_t limit = thread->budget < UINT32_MAX ? thread->budget : UINT32_MAX;
    if (thread->load->settings.rate > 0)
        count_add(&thread->counts.unsent, load_due(thread, (uint32_t)limit));
}

static uint64_t count_uncertain(const struct load_thread *thread)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < thread->peer_count; i++)
        count += (thread->peers[i].flags & PEER_UNCERTAIN) != 0;
    return count;
}

/* For the ledger to be certain, what nobody answered is said again until somebody does. */
static void settle(struct load_thread *thread)
{
    int64_t deadline = clock_monotonic_ns() + SETTLE_LIMIT_S * SECOND_NS;
    thread->unresolved = count_uncertain(thread);
    while (thread->unresolved > 0 && clock_monotonic_ns() < deadline && !is_stopped(thread)) {
        begin_phase(thread, PHASE_SETTLE);
        while (has_visits_left(thread) && thread->error.text[0] == '\0')
            thread->load->transport->turn(thread);
        thread->unresolved = count_uncertain(thread);
    }
}

static void *thread_main(void *context)
{
    struct load_thread *thread = context;
    struct load *load = thread->load;
    char name[16];
    (void)snprintf(name, sizeof name, "load-%u", (unsigned)(thread->index % 1000));
    (void)prctl(PR_SET_NAME, name);
    (void)prctl(PR_SET_TIMERSLACK, 1UL);

    bool opened = cpu_pin(&load->settings.cpus, thread->index, &thread->error) == 0 &&
                  load->transport->open(thread, &thread->error) == 0;
    if (opened && load->settings.fill)
        fill(thread);
    if (opened && load->settings.warm_up_ns > 0)
        warm_up(thread);
    if (opened)
        drain(thread);
    forget_counts(thread);
    wait_for_start(thread);
    if (opened && !is_stopped(thread))
        run(thread);
    atomic_fetch_add(&load->ended, 1);
    if (opened)
        drain(thread);
    if (opened && thread->accounting != NULL)
        settle(thread);
    if (opened)
        load->transport->close(thread);
    atomic_fetch_add(&load->done, 1);
    return NULL;
}

/* The main thread's side. */

/* Prints a line a second until `count` says that all threads are there. */
static void watch(struct load *load, const atomic_uint *count, const sigset_t *signals, bool prints)
{
    struct load_sums before;
    int64_t start = clock_monotonic_ns(), last = start;
    report_sum(load, &before);
    while (atomic_load(count) < load->settings.thread_count) {
        struct timespec pause = {.tv_nsec = 5000000};
        if (sigtimedwait(signals, NULL, &pause) > 0)
            atomic_store(&load->stop, true);
        int64_t now = clock_monotonic_ns();
        if (now - last >= SECOND_NS && prints) {
            report_progress(load, &before, (double)(now - last) / 1e9, (double)(now - start) / 1e9);
            last = now;
        }
    }
}

static void read_usage(struct load *load, struct cpu_usage *usage)
{
    struct error error;
    if (load->settings.pid == 0)
        return;
    load->has_usage = cpu_usage_read(usage, (pid_t)load->settings.pid, &error) == 0;
    if (!load->has_usage)
        fprintf(stderr, "privtrak-bench: --pid: %s\n", error.text);
}

static int start_threads(struct load *load, struct error *error)
{
    load->threads = calloc(load->settings.thread_count, sizeof *load->threads);
    if (load->threads == NULL)
        return error_set(error, "out of memory");
    for (size_t i = 0; i < load->settings.thread_count; i++) {
        if (make_thread(load, i, error) < 0)
            return -1;
    }
    for (size_t i = 0; i < load->settings.thread_count; i++) {
        int code = pthread_create(&load->threads[i].thread, NULL, thread_main, &load->threads[i]);
        if (code == 0)
            continue;
        atomic_store(&load->stop, true);
        atomic_store(&load->start, true);
        while (i-- > 0)
            pthread_join(load->threads[i].thread, NULL);
        return error_set(error, "thread: %s", strerror(code));
    }
    return 0;
}

static void supervise(struct load *load, const sigset_t *signals)
{
    static struct cpu_usage before;
    bool prints = !load->settings.quiet;
    bool prepares = load->settings.fill || load->settings.warm_up_ns > 0;
    if (prepares && prints)
        printf("filling and warming up\n");
    watch(load, &load->ready, signals, prints && prepares);
    read_usage(load, &before);
    if (prepares && prints)
        printf("measuring\n");
    atomic_store(&load->start, true);
    watch(load, &load->ended, signals, prints);
    read_usage(load, &load->usage);
    if (load->has_usage)
        cpu_usage_subtract(&load->usage, &before);
    watch(load, &load->done, signals, false);
    for (size_t i = 0; i < load->settings.thread_count; i++)
        pthread_join(load->threads[i].thread, NULL);
}

static int conclude(struct load *load, struct error *error)
{
    uint64_t unresolved = 0;
    for (size_t i = 0; i < load->settings.thread_count; i++) {
        const struct load_thread *thread = &load->threads[i];
        if (thread->error.text[0] != '\0')
            return error_set(error, "%s", thread->error.text);
        unresolved += thread->unresolved + thread->ambiguous;
    }
    if (report_end(load, error) < 0)
        return -1;
    if (load->settings.ledger != NULL && ledger_write(load, error) < 0)
        return -1;
    if (load->settings.ledger != NULL && unresolved > 0)
        return error_set(error, "%ju announces stayed without an answer: the ledger is not certain",
                         (uintmax_t)unresolved);
    return 0;
}

int load_run(struct load *load)
{
    struct error error = {""};
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);

    int code = world_init(&load->world, &load->settings.world, &error);
    if (code == 0 && load->world.settings.users < load->settings.thread_count)
        code = error_set(&error, "fewer users than threads: each thread needs users of its own");
    if (code == 0)
        code = start_threads(load, &error);
    if (code == 0) {
        supervise(load, &signals);
        code = conclude(load, &error);
    }
    free_threads(load);
    world_clear(&load->world);
    if (code < 0)
        fprintf(stderr, "privtrak-bench: %s\n", error.text);
    return code < 0 ? EXIT_FAILED : EXIT_GOOD;
}
