/*
 * Tests of the HTTP frontend over real sockets on loopback, with a worker that
 * is a fake: it answers each announce with fixed figures, or as the passkey says.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <event2/thread.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
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

struct held {
    const struct announce_origin *origin;
    struct announce announce;
};

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
    struct held held[HELD_MAX]; /* announces of the passkey "held", until they are let go */
    unsigned held_count;
    struct address last_source;
    int pipe[2];
    pthread_t thread;
};

static struct worker fake;
static struct config config;
static atomic_uint announces_seen;
static atomic_uint held_now;

struct event_base *worker_base(struct worker *worker) { return worker->base; }
unsigned worker_number(const struct worker *worker) { (void)worker; return 0; }
unsigned worker_total(const struct worker *worker) { (void)worker; return 1; }
const struct config *worker_config(const struct worker *worker) { return worker->config; }
struct counters *worker_counters(struct worker *worker) { return &worker->counters; }
int64_t worker_tick(struct worker *worker) { (void)worker; return clock_now_ms(); }

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

static bool passkey_is(const struct announce *announce, const char *passkey)
{
    return announce->passkey_length == strlen(passkey) && memcmp(announce->passkey, passkey, strlen(passkey)) == 0;
}

static void answer(struct announce *announce)
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

static void run_batch(struct worker *worker)
{
    struct announce batch[BATCH];
    unsigned count = worker->filled;
    memcpy(batch, worker->batch, count * sizeof batch[0]);
    worker->filled = 0;
    for (unsigned i = 0; i < count; i++) {
        worker->last_source = batch[i].source;
        atomic_fetch_add(&announces_seen, 1);
        if (passkey_is(&batch[i], "held")) {
            cr_assert_lt(worker->held_count, HELD_MAX);
            worker->held[worker->held_count++].announce = batch[i];
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

static void on_flush(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    run_batch(context);
}

/* What the test asks of the worker's thread, one letter each. */
static void on_command(evutil_socket_t fd, short what, void *context)
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
            answer(&worker->held[i].announce);
    } else if (command == 'c') {
        worker->hooks.reload(worker, worker->hooks.context, worker->config);
    } else if (command == 'd') {
        worker->hooks.drain(worker, worker->hooks.context);
    } else {
        (void)event_base_loopbreak(worker->base);
    }
}

static void *run_worker(void *context)
{
    struct worker *worker = context;
    if (worker->hooks.start(worker, worker->hooks.context) == 0)
        (void)event_base_dispatch(worker->base);
    worker->hooks.stop(worker, worker->hooks.context);
    return NULL;
}

static void command(char letter)
{
    cr_assert_eq(write(fake.pipe[1], &letter, 1), 1);
}

/* --- the fixture --- */

static struct http_listeners *listeners;
static struct address loopback4 = {.family = 4, .ip = {127, 0, 0, 1}};
static char no_text[] = "";
static char forwarded_for[] = "X-Forwarded-For";

static void defaults(void)
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

static void begin(void)
{
    struct error error;
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

static void end(void)
{
    command('q');
    cr_assert_eq(pthread_join(fake.thread, NULL), 0);
    http_listeners_free(listeners);
    (void)event_del(&fake.command);
    event_base_free(fake.base);
}

static int dial(void)
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

static void say_bytes(int fd, const char *text, size_t length)
{
    cr_assert_eq(send(fd, text, length, MSG_NOSIGNAL), (ssize_t)length);
}

static void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

/* Reads until the end or until `ms` pass without anything, zeros as dots. Returns whether the end came. */
static bool hear(int fd, char *text, size_t size, int ms)
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

static void wait_until(const atomic_uint *number, unsigned value)
{
    for (int i = 0; i < 2000 && atomic_load(number) < value; i++)
        (void)usleep(1000);
    cr_assert_geq(atomic_load(number), value);
}

static unsigned occurrences(const char *text, const char *of)
{
    unsigned count = 0;
    size_t length = strlen(of);
    for (; *text != '\0'; text++) /* strstr, under the address sanitizer, measures all of the text at each call */
        count += *text == *of && strncmp(text, of, length) == 0;
    return count;
}

#define QUERY "?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-XX0000-bbbbbbbbbbbb&port=6881&uploaded=0&downloaded=0&left=0"
#define ANNOUNCE_OF(key) "GET /announce/" key QUERY " HTTP/1.1\r\nHost: x\r\n\r\n"
#define ANNOUNCE ANNOUNCE_OF("key")
#define BODY "d8:completei1e10:downloadedi0e11:external ip4:\x7f"
#define SCRAPE "GET /key/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n\r\n"

Test(http, announce_is_answered_and_the_connection_kept)
{
    defaults();
    begin();
    int fd = dial();
    for (int i = 0; i < 3; i++) {
        char text[1024] = "";
        say(fd, ANNOUNCE);
        cr_expect_not(hear(fd, text, sizeof text, 100), "the connection stays");
        cr_expect(strncmp(text, "HTTP/1.1 200 OK\r\n", 17) == 0, "%s", text);
        cr_expect_not_null(strstr(text, "\r\n\r\n" BODY), "%s", text);
        cr_expect_null(strstr(text, "Connection:"), "%s", text);
    }
    end();
}

Test(http, announce_split_at_every_byte_is_answered_the_same)
{
    defaults();
    begin();
    int fd = dial();
    static const char request[] = ANNOUNCE;
    for (size_t at = 1; at < sizeof request - 1; at += 7) {
        char text[1024] = "";
        say_bytes(fd, request, at);
        (void)usleep(2000);
        say_bytes(fd, request + at, sizeof request - 1 - at);
        (void)hear(fd, text, sizeof text, 20);
        cr_expect_not_null(strstr(text, "\r\n\r\n" BODY), "%zu: %s", at, text);
    }
    end();
}

Test(http, pipelined_requests_are_answered_in_order)
{
    defaults();
    begin();
    int fd = dial();
    char text[16384] = "";
    say(fd, ANNOUNCE SCRAPE ANNOUNCE_OF("refused") "GET /nothing HTTP/1.1\r\n\r\n" ANNOUNCE_OF("full") ANNOUNCE SCRAPE);
    cr_expect_not(hear(fd, text, sizeof text, 200));
    static const char *in_order[] = {"external ip", "5:filesd", "15:unknown passkey", "404 Not Found", "10:overloaded",
                                     "external ip", "5:filesd"};
    const char *at = text;
    for (size_t i = 0; i < sizeof in_order / sizeof in_order[0]; i++) {
        at = strstr(at, in_order[i]);
        cr_assert_not_null(at, "%zu", i);
        at++;
    }
    cr_expect_eq(occurrences(text, "HTTP/1.1 "), 7);
    end();
}

Test(http, many_pipelined_requests_behind_one_that_is_away_wait_for_it)
{
    defaults();
    begin();
    int fd = dial();
    static char requests[200 * 200];
    static char text[400 * 200];
    strcpy(requests, ANNOUNCE_OF("held"));
    for (int i = 0; i < 150; i++)
        strcat(requests, ANNOUNCE);
    say(fd, requests);
    cr_expect_not(hear(fd, text, sizeof text, 100));
    cr_expect_eq(strlen(text), 0, "nothing is answered before the first");
    command('r');
    cr_expect_not(hear(fd, text, sizeof text, 200));
    cr_expect_eq(occurrences(text, "HTTP/1.1 200 OK"), 151);
    end();
}

Test(http, malformed_request_gets_an_answer_and_an_orderly_close)
{
    static const struct {
        const char *request;
        const char *status;
    } cases[] = {
        {"GARBAGE\r\n", "400 "},
        {"GET /announce\r\n", "400 "},
        {"\x16\x03\x01\x02", "400 "},
        {"GET / HTTP/1.1\r\n folded\r\n", "400 "},
        {"GET / HTTP/2.0\r\n", "505 "},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "400 "},
        {"POST /announce HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd", "405 "},
        {"\r\n\r\n", "400 "},
    };
    defaults();
    begin();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024] = "";
        int fd = dial();
        say(fd, cases[i].request);
        cr_expect(hear(fd, text, sizeof text, 500), "%zu: the connection is closed", i);
        cr_expect(strncmp(text + 9, cases[i].status, 4) == 0, "%zu: %s", i, text);
        cr_expect_not_null(strstr(text, "Connection: close\r\n"), "%zu", i);
        (void)close(fd);
    }
    end();
}

Test(http, request_over_the_limit_is_answered_though_more_is_sent)
{
    defaults();
    begin();
    static char request[300000];
    memset(request, 'x', sizeof request);
    memcpy(request, "GET /", 5);
    char text[1024] = "";
    int fd = dial();
    say_bytes(fd, request, sizeof request);
    cr_expect(hear(fd, text, sizeof text, 500));
    cr_expect_not_null(strstr(text, " 414 "), "%s", text);
    (void)close(fd);

    memcpy(request, "GET / HTTP/1.1\r\nA: ", 19);
    text[0] = '\0';
    fd = dial();
    say_bytes(fd, request, sizeof request);
    cr_expect(hear(fd, text, sizeof text, 500));
    cr_expect_not_null(strstr(text, " 431 "), "%s", text);
    end();
}

Test(http, connection_of_http_1_0_is_closed_unless_asked_to_stay)
{
    defaults();
    begin();
    char text[1024] = "";
    int fd = dial();
    say(fd, "GET /announce/key" QUERY " HTTP/1.0\r\n\r\n");
    cr_expect(hear(fd, text, sizeof text, 500));
    cr_expect_not_null(strstr(text, "Connection: close\r\n"), "%s", text);
    (void)close(fd);
    text[0] = '\0';
    fd = dial();
    say(fd, "GET /announce/key" QUERY " HTTP/1.0\nconnection: Keep-Alive\n\n");
    cr_expect_not(hear(fd, text, sizeof text, 100));
    cr_expect_not_null(strstr(text, "Connection: keep-alive\r\n"), "%s", text);
    end();
}

Test(http, client_that_ends_its_side_still_gets_its_answers)
{
    defaults();
    begin();
    char text[4096] = "";
    int fd = dial();
    say(fd, ANNOUNCE ANNOUNCE "GET /half");
    (void)shutdown(fd, SHUT_WR);
    cr_expect(hear(fd, text, sizeof text, 500));
    cr_expect_eq(occurrences(text, "200 OK"), 2);
    cr_expect_eq(occurrences(text, "400 Bad Request"), 1);
    end();
}

Test(http, slow_request_is_ended_after_read_timeout)
{
    defaults();
    begin();
    char text[1024] = "";
    int fd = dial();
    int64_t before = clock_monotonic_ns();
    say(fd, "GET /announce");
    cr_expect(hear(fd, text, sizeof text, 3000));
    int64_t took_ms = (clock_monotonic_ns() - before) / 1000000;
    cr_expect(took_ms >= 900 && took_ms < 1900, "%ld ms", (long)took_ms);
    cr_expect_not_null(strstr(text, " 408 "), "%s", text);
    end();
}

Test(http, idle_connection_is_closed_after_idle_timeout)
{
    defaults();
    begin();
    char text[1024] = "";
    int silent = dial();
    int used = dial();
    say(used, ANNOUNCE);
    (void)hear(used, text, sizeof text, 100);
    int64_t before = clock_monotonic_ns();
    char nothing[16] = "";
    cr_expect(hear(silent, nothing, sizeof nothing, 4000));
    cr_expect(hear(used, nothing, sizeof nothing, 4000));
    cr_expect_eq(strlen(nothing), 0);
    int64_t took_ms = (clock_monotonic_ns() - before) / 1000000;
    cr_expect(took_ms >= 1700 && took_ms < 3000, "%ld ms", (long)took_ms);
    end();
}

Test(http, answer_for_a_closed_connection_is_dropped)
{
    defaults();
    begin();
    int fd = dial();
    say(fd, ANNOUNCE_OF("held"));
    wait_until(&held_now, 1);
    struct linger reset = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    (void)close(fd);
    char text[1024] = "";
    int other = dial(); /* may well be given the same memory */
    say(other, ANNOUNCE_OF("held"));
    wait_until(&held_now, 2);
    command('r');
    cr_expect_not(hear(other, text, sizeof text, 200));
    cr_expect_eq(occurrences(text, "200 OK"), 1);
    end();
}

Test(http, connections_over_the_limit_are_closed_at_once)
{
    defaults();
    config.http.max_connections = 2;
    begin();
    char text[1024] = "";
    int first = dial();
    int second = dial();
    say(first, ANNOUNCE);
    say(second, ANNOUNCE);
    (void)hear(second, text, sizeof text, 100);
    cr_expect_eq(occurrences(text, "200 OK"), 1);
    text[0] = '\0';
    int third = dial();
    cr_expect(hear(third, text, sizeof text, 500));
    cr_expect_eq(strlen(text), 0);
    (void)close(first);
    (void)usleep(50000);
    int fourth = dial();
    say(fourth, ANNOUNCE);
    (void)hear(fourth, text, sizeof text, 100);
    cr_expect_eq(occurrences(text, "200 OK"), 1, "a place is free again");
    end();
}

Test(http, client_that_does_not_read_is_not_parsed_for_without_bound)
{
    defaults();
    begin();
    int fd = dial();
    int small = 131072; /* not below a segment of loopback, or it crawls */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    size_t sent = 0;
    for (int quiet = 0; quiet < 20;) {
        static const char request[] = ANNOUNCE;
        ssize_t put = send(fd, request + sent % (sizeof request - 1), sizeof request - 1 - sent % (sizeof request - 1),
                           MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put > 0) {
            sent += (size_t)put;
            quiet = 0;
        } else {
            quiet++;
            (void)usleep(5000);
        }
    }
    unsigned whole = (unsigned)(sent / (sizeof ANNOUNCE - 1));
    cr_expect_lt(atomic_load(&announces_seen), whole, "some wait in the kernel");
    static char text[1 << 24];
    (void)hear(fd, text, sizeof text, 1000);
    cr_expect_eq(occurrences(text, "HTTP/1.1 200 OK"), whole, "all of %u are answered once it reads, not %u", whole, occurrences(text, "HTTP/1.1 200 OK"));
    end();
}

Test(http, drain_answers_what_is_in_hand_and_closes_all)
{
    defaults();
    begin();
    char text[1024] = "";
    char nothing[64] = "";
    int idle = dial();
    int away = dial();
    say(idle, ANNOUNCE);
    (void)hear(idle, nothing, 1, 50);
    nothing[0] = '\0';
    say(away, ANNOUNCE_OF("held"));
    wait_until(&held_now, 1);
    command('d');
    (void)usleep(50000);
    struct sockaddr_storage storage;
    struct http_address where;
    cr_assert(http_listening(listeners, 0, &where));
    socklen_t length = address_to_sockaddr(&where.address, &storage);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    cr_expect_eq(connect(late, (struct sockaddr *)&storage, length), -1, "no new connection is taken");
    command('r');
    cr_expect(hear(away, text, sizeof text, 500));
    cr_expect_eq(occurrences(text, "200 OK"), 1);
    cr_expect_eq(occurrences(text, "Connection: close"), 1);
    end();
}

Test(http, drain_answers_requests_that_wait_in_the_kernel)
{
    defaults();
    begin();
    /* The worker is kept busy by its own command pipe while the request arrives: drain has to look for it. */
    char text[1024] = "";
    int fd = dial();
    say(fd, ANNOUNCE);
    command('d');
    cr_expect(hear(fd, text, sizeof text, 500));
    cr_expect_eq(occurrences(text, "200 OK"), 1);
    end();
}

Test(http, reload_keeps_connections_and_takes_new_limits)
{
    defaults();
    begin();
    char text[2048] = "";
    int fd = dial();
    say(fd, ANNOUNCE);
    (void)hear(fd, text, sizeof text, 50);
    static struct config next;
    next = config;
    next.http.keepalive = false;
    next.http.max_request_bytes = 65536;
    fake.config = &next;
    command('c');
    (void)usleep(50000);
    static char request[40000];
    memset(request, 'x', sizeof request);
    strcpy(request, "GET /announce/key" QUERY "&x=");
    request[strlen(request)] = 'x';
    strcpy(request + sizeof request - 20, " HTTP/1.1\r\n\r\n");
    say(fd, request);
    cr_expect(hear(fd, text, sizeof text, 500), "keepalive is off now");
    cr_expect_eq(occurrences(text, "200 OK"), 2);
    end();
}

Test(http, forwarded_address_is_believed_from_trusted_proxies_only)
{
    static struct network trusted = {.address = {.family = 4, .ip = {127, 0, 0, 0}}, .prefix = 8};
    defaults();
    config.http.trusted_proxies = &trusted;
    config.http.trusted_proxy_count = 1;
    begin();
    char text[1024] = "";
    int fd = dial();
    say(fd, "GET /announce/key" QUERY " HTTP/1.1\r\nx-forwarded-for: 192.0.2.7, 127.0.0.9\r\n\r\n");
    (void)hear(fd, text, sizeof text, 100);
    cr_expect_not_null(strstr(text, "external ip4:\xc0"), "%s", text);
    static struct config next;
    next = config;
    next.http.trusted_proxy_count = 0;
    fake.config = &next;
    command('c');
    (void)usleep(50000);
    text[0] = '\0';
    say(fd, "GET /announce/key" QUERY " HTTP/1.1\r\nx-forwarded-for: 192.0.2.7, 127.0.0.9\r\n\r\n");
    (void)hear(fd, text, sizeof text, 100);
    cr_expect_not_null(strstr(text, "external ip4:\x7f"), "%s", text);
    end();
}

Test(http, proxy_protocol_is_required_from_trusted_proxies)
{
    static struct network trusted = {.address = {.family = 4, .ip = {127, 0, 0, 0}}, .prefix = 8};
    defaults();
    config.http.trusted_proxies = &trusted;
    config.http.trusted_proxy_count = 1;
    config.http.proxy_protocol = true;
    begin();
    char text[1024] = "";
    int fd = dial();
    say(fd, "PROXY TCP4 192.0.2.7 192.0.2.8 1000 80\r\n" ANNOUNCE);
    cr_expect_not(hear(fd, text, sizeof text, 100));
    cr_expect_not_null(strstr(text, "external ip4:\xc0"), "%s", text);
    say(fd, ANNOUNCE);
    cr_expect_not(hear(fd, text, sizeof text, 100));
    cr_expect_eq(occurrences(text, "external ip4:\xc0"), 2, "it holds for the whole connection");
    (void)close(fd);
    text[0] = '\0';
    fd = dial();
    say(fd, ANNOUNCE);
    cr_expect(hear(fd, text, sizeof text, 500));
    cr_expect_not_null(strstr(text, " 400 "), "%s", text);
    end();
}

Test(http, scrape_is_answered_sorted_and_without_unknown_ones)
{
    defaults();
    begin();
    char text[1024] = "";
    int fd = dial();
    say(fd, "GET /key/scrape?info_hash=uuuuuuuuuuuuuuuuuuuu&info_hash=aaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n\r\n");
    (void)hear(fd, text, sizeof text, 100);
    cr_expect_not_null(strstr(text, "\r\n\r\nd5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi7e10:incompletei0eeee"),
                       "%s", text);
    end();
}

Test(http, head_gets_headers_and_announces_nothing)
{
    defaults();
    begin();
    char text[1024] = "";
    int fd = dial();
    say(fd, "HEAD /announce/key" QUERY " HTTP/1.1\r\n\r\n");
    cr_expect_not(hear(fd, text, sizeof text, 100));
    cr_expect_str_eq(text, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n");
    cr_expect_eq(atomic_load(&announces_seen), 0);
    end();
}

Test(http, requests_and_latency_are_counted)
{
    defaults();
    begin();
    char text[4096] = "";
    int fd = dial();
    say(fd, ANNOUNCE ANNOUNCE_OF("refused") ANNOUNCE_OF("overload") SCRAPE "GET /announce HTTP/1.1\r\n\r\n");
    (void)hear(fd, text, sizeof text, 100);
    (void)close(fd);
    (void)usleep(20000);
    end();
    counter(*announced)[RESULT_COUNT] = &fake.counters.requests[PROTOCOL_HTTP][FAMILY4][ACTION_ANNOUNCE];
    cr_expect_eq((*announced)[RESULT_OK], 1);
    cr_expect_eq((*announced)[RESULT_REFUSED], 1);
    cr_expect_eq((*announced)[RESULT_OVERLOAD], 1);
    cr_expect_eq((*announced)[RESULT_MALFORMED], 1);
    cr_expect_eq(fake.counters.requests[PROTOCOL_HTTP][FAMILY4][ACTION_SCRAPE][RESULT_OK], 1);
    cr_expect_eq(fake.counters.connections, 0);
    uint64_t measured = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++)
        measured += fake.counters.latency[PROTOCOL_HTTP].buckets[i];
    cr_expect_eq(measured, 5);
}

Test(http, port_in_use_is_an_error_even_for_the_same_user)
{
    defaults();
    struct error error;
    struct http_listeners *first = http_listen(&config, 2, &error);
    cr_assert_not_null(first, "%s", error.text);
    struct http_address where;
    cr_assert(http_listening(first, 0, &where));
    cr_expect_not_null(first);
    struct config second = config;
    second.http.listen.addresses = &where.address;
    cr_expect_null(http_listen(&second, 2, &error));
    char expected[128];
    (void)snprintf(expected, sizeof expected, "http.listen: cannot listen on 127.0.0.1:%u: address in use",
                   where.address.port);
    cr_expect_str_eq(error.text, expected);
    http_listeners_free(first);
}

Test(http, written_max_connections_over_the_descriptor_limit_is_an_error)
{
    defaults();
    struct error error;
    config.http.max_connections = 4000000000;
    cr_expect_null(http_listen(&config, 1, &error));
    cr_expect(strncmp(error.text, "http.max_connections: found 4000000000, allowed up to ", 54) == 0, "%s", error.text);
    config.http.max_connections_by_default = true;
    struct http_listeners *lowered = http_listen(&config, 1, &error);
    cr_expect_not_null(lowered, "%s", error.text);
    http_listeners_free(lowered);
}
