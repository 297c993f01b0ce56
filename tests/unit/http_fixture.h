/*
 * http_fixture: the HTTP frontend over real sockets on loopback, with a worker
 * that is a fake: it answers each announce with fixed figures, or as the
 * passkey says. For the test_http_ programs, one of which includes it once.
 */
#ifndef PRIVTRAK_TESTS_HTTP_FIXTURE_H
#define PRIVTRAK_TESTS_HTTP_FIXTURE_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/http.h"
#include "tracker/tracker.h"

/* --- the fake worker --- */

enum { BATCH = 64, HELD_MAX = 64 };

struct worker {
    struct event_base *base;
    struct event flush;
    struct event command;
    const struct config *config;
    struct counters counters;
    void *frontend;
    struct worker_hooks hooks;
    struct announce batch[BATCH];
    unsigned filled;
    struct announce held[HELD_MAX]; /* announces of the passkey "held", until they are let go */
    unsigned held_count;
    int pipe[2];
    pthread_t thread;
};

static struct worker fake;
static struct config config;
static atomic_uint announces_seen;
static atomic_uint held_now;

struct event_base *worker_base(struct worker *worker)
{
    return worker->base;
}

unsigned worker_number(const struct worker *worker)
{
    (void)worker;
    return 0;
}

unsigned worker_total(const struct worker *worker)
{
    (void)worker;
    return 2; /* the other one is made up, too: see ANNOUNCE_ELSEWHERE */
}

const struct config *worker_config(const struct worker *worker)
{
    return worker->config;
}

struct counters *worker_counters(struct worker *worker)
{
    return &worker->counters;
}

int64_t worker_tick(struct worker *worker)
{
    (void)worker;
    return clock_now_ms();
}

void worker_set_frontend(struct worker *worker, enum frontend frontend, void *state)
{
    (void)frontend;
    worker->frontend = state;
}

void *worker_frontend(struct worker *worker, enum frontend frontend)
{
    (void)frontend;
    return worker->frontend;
}

static inline bool passkey_is(const struct announce *announce, const char *passkey)
{
    return announce->passkey_length == strlen(passkey) && memcmp(announce->passkey, passkey, strlen(passkey)) == 0;
}

static inline void answer(struct announce *announce)
{
    static uint8_t peers[6] = {192, 0, 2, 1, 0x1a, 0xe1};
    announce->verdict = VERDICT_ACCEPTED;
    announce->interval_s = 1800;
    announce->complete = 1;
    announce->has_ipv4 = true;
    announce->peers4 = peers;
    announce->peer4_count = 1;
    if (passkey_is(announce, "refused")) {
        announce->verdict = VERDICT_REFUSED;
        announce->failure = "unknown passkey";
    } else if (passkey_is(announce, "overload")) {
        announce->verdict = VERDICT_OVERLOAD;
        announce->failure = "overloaded";
        announce->retry_s = 61;
    }
    announce->origin->reply(&fake, announce);
}

static inline void run_batch(struct worker *worker)
{
    struct announce batch[BATCH];
    unsigned count = worker->filled;
    memcpy(batch, worker->batch, count * sizeof batch[0]);
    worker->filled = 0;
    for (unsigned i = 0; i < count; i++) {
        atomic_fetch_add(&announces_seen, 1);
        if (passkey_is(&batch[i], "held")) {
            cr_assert_lt(worker->held_count, HELD_MAX);
            worker->held[worker->held_count++] = batch[i];
            atomic_store(&held_now, worker->held_count);
        } else {
            answer(&batch[i]);
        }
    }
}

struct announce *worker_announce(struct worker *worker)
{
    if (worker->filled == BATCH)
        run_batch(worker);
    struct announce *announce = &worker->batch[worker->filled];
    memset(announce, 0, sizeof *announce);
    return announce;
}

void worker_discard(struct worker *worker, struct announce *announce)
{
    (void)worker;
    (void)announce;
}

void worker_submit(struct worker *worker, struct announce *announce)
{
    if (passkey_is(announce, "full")) { /* another worker's mailbox is full: answered at once */
        announce->verdict = VERDICT_OVERLOAD;
        announce->failure = "overloaded";
        announce->origin->reply(worker, announce);
        return;
    }
    if (worker->filled++ == 0)
        event_active(&worker->flush, EV_TIMEOUT, 0);
}

void worker_scrape(struct worker *worker, struct scrape *scrape)
{
    run_batch(worker);
    for (uint32_t i = 0; i < scrape->count; i++) {
        if (scrape->info_hashes[i][0] != 'u')
            scrape->results[i] = (struct scrape_result){.known = true, .complete = i + 1, .snatches = 7};
    }
    scrape->verdict = VERDICT_ACCEPTED;
    scrape->reply(worker, scrape);
}

void tracker_add_hooks(struct tracker *tracker, const struct worker_hooks *hooks)
{
    ((struct worker *)(void *)tracker)->hooks = *hooks;
}

static inline void on_flush(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    run_batch(context);
}

/* What the test asks of the worker's thread, one letter each. */
static inline void on_command(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct worker *worker = context;
    char command = 0;
    if (read(fd, &command, 1) != 1)
        return;
    if (command == 'r') { /* let the held announces go */
        unsigned count = worker->held_count;
        worker->held_count = 0;
        atomic_store(&held_now, 0);
        for (unsigned i = 0; i < count; i++)
            answer(&worker->held[i]);
    } else if (command == 'c') {
        worker->hooks.reload(worker, worker->hooks.context, worker->config);
    } else if (command == 'd') {
        worker->hooks.drain(worker, worker->hooks.context);
    } else {
        (void)event_base_loopbreak(worker->base);
    }
}

static inline void *run_worker(void *context)
{
    struct worker *worker = context;
    if (worker->hooks.start(worker, worker->hooks.context) == 0)
        (void)event_base_dispatch(worker->base);
    worker->hooks.stop(worker, worker->hooks.context);
    for (unsigned i = 0; i < worker->held_count; i++)
        answer(&worker->held[i]); /* too late, which must do no harm */
    return NULL;
}

static inline void command(char letter)
{
    cr_assert_eq(write(fake.pipe[1], &letter, 1), 1);
}

/* --- the fixture --- */

static struct http_listeners *listeners;
static struct address loopback4 = {.family = 4, .ip = {127, 0, 0, 1}};
static char no_text[] = "";
static char forwarded_for[] = "X-Forwarded-For";

static inline void defaults(void)
{
    config.tracker.max_scrape = 2;
    config.http.listen = (struct listen_list){.addresses = &loopback4, .count = 1};
    config.http.keepalive = true;
    config.http.read_timeout_s = 1;
    config.http.idle_timeout_s = 2;
    config.http.max_connections = 100;
    config.http.max_request_bytes = 1024;
    config.http.real_ip_header = forwarded_for;
    config.http.tls_certificate = no_text;
    config.http.tls_key = no_text;
}

static inline void begin(void)
{
    struct error error;
    (void)signal(SIGPIPE, SIG_IGN); /* as the daemon does: OpenSSL writes to sockets without MSG_NOSIGNAL */
    listeners = http_listen(&config, 1, &error);
    cr_assert_not_null(listeners, "%s", error.text);
    fake.config = &config;
    fake.base = event_base_new();
    cr_assert_eq(pipe(fake.pipe), 0);
    (void)event_assign(&fake.flush, fake.base, -1, 0, on_flush, &fake);
    (void)event_assign(&fake.command, fake.base, fake.pipe[0], EV_READ | EV_PERSIST, on_command, &fake);
    (void)event_add(&fake.command, NULL);
    http_add_to((struct tracker *)(void *)&fake, listeners);
    cr_assert_eq(pthread_create(&fake.thread, NULL, run_worker, &fake), 0);
}

static inline void end(void)
{
    command('q');
    cr_assert_eq(pthread_join(fake.thread, NULL), 0);
    http_listeners_free(listeners);
    (void)event_del(&fake.command);
    event_base_free(fake.base);
}

static inline int dial(void)
{
    struct http_address where;
    cr_assert(http_listening(listeners, 0, &where));
    struct sockaddr_storage storage;
    socklen_t length = address_to_sockaddr(&where.address, &storage);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&storage, length), 0);
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static inline void say_bytes(int fd, const char *text, size_t length)
{
    cr_assert_eq(send(fd, text, length, MSG_NOSIGNAL), (ssize_t)length);
}

static inline void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

/* Reads until the end or until `ms` pass without anything, zeros as dots. Returns whether the end came. */
static inline bool hear(int fd, char *text, size_t size, int ms)
{
    size_t length = strlen(text);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    while (poll(&ready, 1, ms) == 1) {
        ssize_t got = recv(fd, text + length, size - 1 - length, 0);
        if (got <= 0)
            return got == 0;
        for (; got > 0; got--, length++)
            text[length] = text[length] == '\0' ? '.' : text[length];
        text[length] = '\0';
    }
    return false;
}

static inline void wait_until(const atomic_uint *number, unsigned value)
{
    for (int i = 0; i < 2000 && atomic_load(number) < value; i++)
        (void)usleep(1000);
    cr_assert_geq(atomic_load(number), value);
}

static inline unsigned occurrences(const char *text, const char *of)
{
    unsigned count = 0;
    size_t length = strlen(of);
    for (; *text != '\0'; text++) /* strstr, under the address sanitizer, measures all of the text at each call */
        count += *text == *of && strncmp(text, of, length) == 0;
    return count;
}

/* Puts a text into the middle of bytes, without its end. */
static inline void overwrite(char *to, const char *text)
{
    while (*text != '\0')
        *to++ = *text++;
}

#define QUERY_OF(four) \
    "?info_hash=" four "aaaaaaaaaaaaaaaa&peer_id=-XX0000-bbbbbbbbbbbb&port=6881&uploaded=0&downloaded=0&left=0"
#define QUERY QUERY_OF("bbbb")
#define ANNOUNCE_OF(key) "GET /announce/" key QUERY " HTTP/1.1\r\nHost: x\r\n\r\n"
/* Of a torrent that another worker owns: what is not answered in the order of the batch. */
#define ANNOUNCE_ELSEWHERE(key) "GET /announce/" key QUERY_OF("aaaa") " HTTP/1.1\r\nHost: x\r\n\r\n"
#define ANNOUNCE ANNOUNCE_OF("key")
#define BODY "d8:completei1e10:downloadedi0e11:external ip4:\x7f"
#define SCRAPE "GET /key/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n\r\n"

#endif
