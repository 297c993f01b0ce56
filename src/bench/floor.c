/* privtrak-bench floor: starts the bare responders, and tells what a reply cost. */
#include "bench/floor.h"

#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/command.h"
#include "bench/cpu.h"

struct floor_kind {
    const char *name;
    const char *usage;
    int (*open)(struct floor_thread *thread, struct error *error);
    void (*serve)(struct floor_thread *thread);
    uint64_t reply_bytes_min;
    uint64_t reply_bytes_max;
    uint64_t reply_bytes;
};

static const struct floor_kind kinds[] = {
    {"udp", "floor udp [OPTION]...", floor_udp_open, floor_udp_serve, 20, 1452, 320},
    {"http", "floor http [OPTION]...", floor_http_open, floor_http_serve, 180, 65536, 400},
    {"https", "floor https --certificate FILE --key FILE [OPTION]...", floor_https_open, floor_https_serve, 180, 65536,
     400},
};

struct floor_run {
    const struct floor_kind *kind;
    struct floor_settings settings;
    uint64_t thread_count;
    int64_t duration_ns; /* 0: until SIGTERM or SIGINT */
    const char *json;
    bool allow_remote;
    atomic_bool stop;
    struct floor_thread *threads;
};

int floor_socket(const struct endpoint *endpoint, int type, struct error *error)
{
    int one = 1;
    int fd = socket(endpoint->address.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(error, "socket: %s", strerror(errno));
    bool is_ipv6 = endpoint->address.ss_family == AF_INET6;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0 ||
        (is_ipv6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0) ||
        bind(fd, (const void *)&endpoint->address, endpoint->length) < 0) {
        error_set(error, "--listen: %s", strerror(errno));
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void *run_thread(void *context)
{
    struct floor_thread *thread = context;
    char name[16];
    /* The threads are called as the tracker's are, so that a generator's --pid measures both alike. */
    (void)snprintf(name, sizeof name, "worker-%u", (unsigned)(thread->index % 1000));
    (void)prctl(PR_SET_NAME, name);
    if (cpu_pin(&thread->settings->cpus, thread->index, &thread->error) == 0) {
        int64_t before = cpu_thread_ns();
        thread->serve(thread);
        thread->cpu_ns = cpu_thread_ns() - before;
    }
    return NULL;
}

static int start_threads(struct floor_run *run, struct error *error)
{
    run->threads = calloc(run->thread_count, sizeof *run->threads);
    if (run->threads == NULL)
        return error_set(error, "out of memory");
    for (size_t i = 0; i < run->thread_count; i++) {
        struct floor_thread *thread = &run->threads[i];
        *thread = (struct floor_thread){
            .settings = &run->settings, .stop = &run->stop, .index = i, .serve = run->kind->serve};
        if (run->kind->open(thread, error) < 0)
            return -1;
    }
    for (size_t i = 0; i < run->thread_count; i++) {
        int code = pthread_create(&run->threads[i].thread, NULL, run_thread, &run->threads[i]);
        if (code != 0)
            return error_set(error, "thread: %s", strerror(code));
    }
    return 0;
}

/* Sleeps until a signal comes or the duration has passed. SIGTERM and SIGINT are blocked in every thread. */
static void wait_for_end(const struct floor_run *run, const sigset_t *signals)
{
    int64_t end = clock_monotonic_ns() + run->duration_ns;
    for (;;) {
        int64_t left = run->duration_ns == 0 ? 3600000000000 : end - clock_monotonic_ns();
        if (left <= 0)
            return;
        struct timespec time = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
        if (sigtimedwait(signals, NULL, &time) > 0)
            return;
    }
}

static int report(const struct floor_run *run, double seconds, struct error *error)
{
    uint64_t replies = 0, connects = 0;
    int64_t cpu_ns = 0;
    for (size_t i = 0; i < run->thread_count; i++) {
        const struct floor_thread *thread = &run->threads[i];
        if (thread->error.text[0] != '\0')
            return error_set(error, "%s", thread->error.text);
        replies += thread->replies;
        connects += thread->connects;
        cpu_ns += thread->cpu_ns;
    }
    double each_us = replies == 0 ? 0 : (double)cpu_ns / 1e3 / (double)replies;
    printf("replies %ju  connects %ju  seconds %.3f  replies/s %.0f  cpu %.3f s  cpu/reply %.3f us\n",
           (uintmax_t)replies, (uintmax_t)connects, seconds, (double)replies / seconds, (double)cpu_ns / 1e9, each_us);
    if (run->json == NULL)
        return 0;
    json_t *json = json_pack("{s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:I}", "protocol", run->kind->name, "replies",
                             (json_int_t)replies, "connects", (json_int_t)connects, "threads",
                             (json_int_t)run->thread_count, "seconds", seconds, "replies_per_second",
                             (double)replies / seconds, "cpu_seconds", (double)cpu_ns / 1e9, "cpu_us_per_reply",
                             each_us, "reply_bytes", (json_int_t)run->settings.reply_bytes);
    int code = json == NULL ? -1 : json_dump_file(json, run->json, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    json_decref(json);
    return code == 0 ? 0 : error_set(error, "--json %s: %s", run->json, strerror(errno));
}

static int check(struct floor_run *run, struct error *error)
{
    struct endpoint_list *listen = &run->settings.listen;
    if (listen->count == 0) {
        (void)option_read_endpoint("127.0.0.1:6969", &listen->items[0]);
        listen->count = 1;
    }
    for (size_t i = 0; i < listen->count; i++) {
        if (!run->allow_remote && !endpoint_is_loopback(&listen->items[i]))
            return error_set(error, "--listen: not a loopback address; --allow-remote permits it");
    }
    return 0;
}

static void clear(struct floor_run *run)
{
    for (size_t i = 0; run->threads != NULL && i < run->thread_count; i++) {
        for (size_t j = 0; j < run->threads[i].socket_count; j++)
            (void)close(run->threads[i].sockets[j]);
    }
    free(run->threads);
}

static int serve(struct floor_run *run)
{
    struct error error = {""};
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);

    int code = start_threads(run, &error);
    if (code == 0) {
        int64_t start = clock_monotonic_ns();
        printf("floor %s: answering with %ju bytes\n", run->kind->name, (uintmax_t)run->settings.reply_bytes);
        (void)fflush(stdout);
        wait_for_end(run, &signals);
        atomic_store(&run->stop, true);
        for (size_t i = 0; i < run->thread_count; i++)
            pthread_join(run->threads[i].thread, NULL);
        code = report(run, (double)(clock_monotonic_ns() - start) / 1e9, &error);
    }
    clear(run);
    if (code < 0)
        fprintf(stderr, "privtrak-bench: %s\n", error.text);
    return code < 0 ? EXIT_FAILED : EXIT_GOOD;
}

static int run_kind(const struct floor_kind *kind, int argc, char **argv)
{
    struct floor_run run = {.kind = kind, .thread_count = 1, .settings.reply_bytes = kind->reply_bytes};
    const struct option_entry entries[] = {
        {.name = "listen",
         .kind = OPTION_ENDPOINTS,
         .value = &run.settings.listen,
         .argument = "ADDR:PORT",
         .help = "where to listen; may be repeated (127.0.0.1:6969)"},
        {.name = "threads",
         .kind = OPTION_NUMBER,
         .value = &run.thread_count,
         .low = 1,
         .high = 256,
         .argument = "N",
         .help = "threads, each with sockets of its own (1)"},
        {.name = "cpu",
         .kind = OPTION_CPUS,
         .value = &run.settings.cpus,
         .argument = "LIST",
         .help = "CPUs to pin the threads to, in turn"},
        {.name = "reply-bytes",
         .kind = OPTION_NUMBER,
         .value = &run.settings.reply_bytes,
         .low = kind->reply_bytes_min,
         .high = kind->reply_bytes_max,
         .argument = "N",
         .help = "bytes of a reply: the UDP payload (320), or the whole HTTP answer (400)"},
        {.name = "merge",
         .kind = OPTION_FLAG,
         .value = &run.settings.merge,
         .help = "UDP: let the kernel cut one send into the replies to one address, as the tracker does"},
        {.name = "close",
         .kind = OPTION_FLAG,
         .value = &run.settings.close,
         .help = "HTTP: close the connection after each reply"},
        {.name = "certificate",
         .kind = OPTION_TEXT,
         .value = &run.settings.certificate,
         .argument = "FILE",
         .help = "HTTPS: certificate in PEM"},
        {.name = "key",
         .kind = OPTION_TEXT,
         .value = &run.settings.key,
         .argument = "FILE",
         .help = "HTTPS: its key in PEM"},
        {.name = "duration",
         .kind = OPTION_DURATION,
         .value = &run.duration_ns,
         .argument = "TIME",
         .help = "end by itself (else at SIGTERM or SIGINT)"},
        {.name = "json",
         .kind = OPTION_TEXT,
         .value = &run.json,
         .argument = "FILE",
         .help = "write the result there as JSON"},
        {.name = "allow-remote",
         .kind = OPTION_FLAG,
         .value = &run.allow_remote,
         .help = "listen at addresses other than loopback, too"},
        {.name = NULL},
    };
    struct error error = {""};
    int status = options_handle(entries, kind->usage, argc, argv);
    if (status >= 0)
        return status;
    if (check(&run, &error) < 0) {
        fprintf(stderr, "privtrak-bench: %s\n", error.text);
        return EXIT_USAGE;
    }
    return serve(&run);
}

static int floor_run_command(int argc, char **argv)
{
    for (size_t i = 0; argc >= 2 && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(argv[1], kinds[i].name) == 0)
            return run_kind(&kinds[i], argc - 1, argv + 1);
    }
    bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
    fprintf(help ? stdout : stderr,
            "usage: privtrak-bench floor udp|http|https [OPTION]... (--help lists the options)\n");
    return help ? EXIT_GOOD : EXIT_USAGE;
}

const struct command command_floor = {
    .name = "floor",
    .summary = "bare responders (udp|http|https), to learn what the machine's sockets allow",
    .run = floor_run_command,
};
