/*
 * Generator transport over HTTP/1.1. A lane is a TCP connection, kept or made
 * anew for each request; its requests are answered in their order.
 */
#include "bench/load.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/http_link.h"
#include "bench/http_reply.h"
#include "bench/http_request.h"

enum { EVENTS = 256, PIPELINE_MAX = 64, INPUT_BYTES = 65536, TAIL_BYTES = 256 };

#define MILLISECOND_NS INT64_C(1000000)
#define HOUSEKEEPING_NS (5 * MILLISECOND_NS)

struct connection {
    struct http_link link;
    bool waits_for_write; /* not yet connected, or the kernel's buffer is full: `out` holds what is left */
    uint32_t input_length;
    char *input; /* INPUT_BYTES */
    char *out;
    size_t out_length;
    uint32_t requests[PIPELINE_MAX]; /* those sent over it, by order */
    uint32_t head, tail;
};

struct http {
    struct load_thread *thread;
    int epoll;
    struct connection *connections; /* one a lane */
    struct tls_client *tls;         /* NULL: plain */
    enum load_phase phase;          /* in which the lanes were last visited */
    int64_t housekeeping_ns;
    char tail[2][TAIL_BYTES]; /* by family */
    size_t tail_length[2];
    char batch[PIPELINE_MAX * HTTP_REQUEST_MAX];
};

static int make_tail(struct http *http, int family, struct error *error)
{
    const struct load_settings *settings = &http->thread->load->settings;
    const struct endpoint *target = &settings->targets[family];
    char host[64], port[8];
    if (getnameinfo((const void *)&target->address, target->length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return error_set(error, "the target's address cannot be written");
    int length = snprintf(http->tail[family], TAIL_BYTES,
                          " HTTP/1.1\r\nHost: %s%s%s:%s\r\nUser-Agent: privtrak-bench/1\r\n"
                          "Accept-Encoding: gzip\r\n%s\r\n",
                          family == 1 ? "[" : "", host, family == 1 ? "]" : "", port,
                          settings->keepalive ? "" : "Connection: close\r\n");
    http->tail_length[family] = (size_t)length;
    return 0;
}

static void http_close(struct load_thread *thread)
{
    struct http *http = thread->transport;
    for (uint16_t i = 0; http->connections != NULL && i < thread->lane_count; i++) {
        struct connection *connection = &http->connections[i];
        http_link_clear(&connection->link);
        free(connection->input);
        free(connection->out);
    }
    if (http->epoll >= 0)
        (void)close(http->epoll);
    tls_client_free(http->tls);
    free(http->connections);
    free(http);
    thread->transport = NULL;
}

static int make_connections(struct http *http, struct error *error)
{
    const struct load_thread *thread = http->thread;
    http->connections = calloc(thread->lane_count, sizeof *http->connections);
    for (uint16_t i = 0; http->connections != NULL && i < thread->lane_count; i++)
        http_link_init(&http->connections[i].link, http->tls, thread->load->settings.resume);
    for (uint16_t i = 0; http->connections != NULL && i < thread->lane_count; i++) {
        struct connection *connection = &http->connections[i];
        connection->input = malloc(INPUT_BYTES);
        connection->out = malloc(sizeof http->batch);
        if (connection->input == NULL || connection->out == NULL)
            return error_set(error, "out of memory for %u connections", thread->lane_count);
    }
    return http->connections == NULL ? error_set(error, "out of memory") : 0;
}

static int http_open(struct load_thread *thread, struct error *error)
{
    const struct load_settings *settings = &thread->load->settings;
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return error_set(error, "out of memory");
    thread->transport = http;
    http->thread = thread;
    http->phase = PHASE_DRAIN;
    http->epoll = epoll_create1(EPOLL_CLOEXEC);
    int code = http->epoll < 0 ? error_set(error, "epoll: %s", strerror(errno)) : 0;
    for (int family = 0; code == 0 && family < 2; family++) {
        if (settings->targets[family].length > 0)
            code = make_tail(http, family, error);
    }
    if (code == 0 && settings->tls)
        code = (http->tls = tls_client_new(&thread->counts, error)) == NULL ? -1 : 0;
    if (code == 0)
        code = make_connections(http, error);
    if (code < 0)
        http_close(thread);
    return code;
}

static void close_connection(struct connection *connection)
{
    http_link_close(&connection->link);
    connection->waits_for_write = false;
    connection->input_length = 0;
    connection->out_length = 0;
}

static int open_connection(struct http *http, uint16_t index)
{
    struct load_thread *thread = http->thread;
    struct http_link *link = &http->connections[index].link;
    const struct endpoint *target = &thread->load->settings.targets[thread->lanes[index].family == 6];
    if (link->fd < 0) {
        struct sockaddr_storage source;
        socklen_t length = load_source_address(thread, index, &source);
        if (http_link_prepare(link, target, &source, length, http->epoll, index) < 0)
            return -1;
    }
    count_add(&thread->counts.connects, 1);
    return http_link_connect(link, target);
}

static size_t write_request(struct http *http, uint32_t index, char *text)
{
    const struct load_thread *thread = http->thread;
    const struct request *request = &thread->requests[index];
    int family = thread->lanes[request->lane].family == 6;
    struct peer_announce announce;
    uint8_t hashes[SCRAPE_HASHES][INFO_HASH_BYTES];
    load_describe(thread, index, &announce);
    struct http_request_facts facts = {
        .announce = &announce,
        .numwant = announce.event == EVENT_STOPPED ? 0 : thread->load->settings.numwant,
        .form = load_passkey_form(thread, index),
        .tail = http->tail[family],
        .tail_length = http->tail_length[family],
        .hashes = hashes,
        .hash_count = request->hashes,
    };
    if (request->action == ACTION_ANNOUNCE)
        return http_write_announce(text, &facts);
    for (uint32_t i = 0; i < request->hashes; i++)
        load_scrape_hash(thread, index, i, hashes[i]);
    return http_write_scrape(text, &facts);
}

/* What was on its way over a connection that broke is sent again over the next one. */
static void break_connection(struct http *http, uint16_t lane, const char *reason)
{
    struct load_thread *thread = http->thread;
    struct connection *connection = &http->connections[lane];
    if (connection->head != connection->tail)
        load_note(thread, reason, strlen(reason));
    close_connection(connection);
    uint32_t kept = connection->head;
    for (uint32_t i = connection->head; i != connection->tail; i++) {
        uint32_t request = connection->requests[i % PIPELINE_MAX];
        if (load_again(thread, request))
            connection->requests[kept++ % PIPELINE_MAX] = request;
    }
    connection->tail = kept;
}

/* Sends `length` bytes of `text`, and keeps for later what is not taken now. */
static void send_bytes(struct http *http, uint16_t lane, const char *text, size_t length)
{
    struct connection *connection = &http->connections[lane];
    ssize_t sent = connection->waits_for_write ? 0 : http_link_send(&connection->link, text, length);
    if (sent < 0) {
        break_connection(http, lane, strerror(errno));
        return;
    }
    if ((size_t)sent == length)
        return;
    memcpy(connection->out + connection->out_length, text + sent, length - (size_t)sent);
    connection->out_length += length - (size_t)sent;
    connection->waits_for_write = true;
}

/* Fills the lane's connection: first with what has to be sent again, then with new requests. */
static void send_more(struct http *http, uint16_t index, uint32_t most)
{
    struct load_thread *thread = http->thread;
    struct connection *connection = &http->connections[index];
    const struct lane *lane = &thread->lanes[index];
    size_t length = 0;
    bool fresh = !connection->link.is_open;
    for (uint32_t i = connection->head; fresh && i != connection->tail; i++)
        length += write_request(http, connection->requests[i % PIPELINE_MAX], http->batch + length);
    uint32_t room = lane->window - (connection->tail - connection->head);
    uint32_t count = load_due(thread, room < most ? room : most);
    while (count-- > 0) {
        uint32_t request = load_take(thread, index);
        if (request == REQUEST_NONE)
            break;
        connection->requests[connection->tail++ % PIPELINE_MAX] = request;
        length += write_request(http, request, http->batch + length);
    }
    if (length == 0)
        return;
    if (fresh && open_connection(http, index) < 0) {
        break_connection(http, index, strerror(errno));
        return;
    }
    send_bytes(http, index, http->batch, length);
}

static void send_rest(struct http *http, uint16_t lane)
{
    struct connection *connection = &http->connections[lane];
    ssize_t sent = http_link_send(&connection->link, connection->out, connection->out_length);
    if (sent < 0) {
        break_connection(http, lane, strerror(errno));
        return;
    }
    connection->out_length -= (size_t)sent;
    memmove(connection->out, connection->out + sent, connection->out_length);
    connection->waits_for_write = connection->out_length > 0;
}

static void take_reply(struct load_thread *thread, uint32_t request, const struct http_reply *reply)
{
    static const char broken[] = "reply is no bencoded dictionary";
    struct tracker_reply tracker;
    if (reply->status != 200) {
        char text[32];
        int length = snprintf(text, sizeof text, "HTTP status %u", reply->status);
        load_failed(thread, request, text, (size_t)length);
    } else if (tracker_reply_parse(&tracker, reply->body, reply->body_length) < 0) {
        load_failed(thread, request, broken, sizeof broken - 1);
    } else if (tracker.failure != NULL) {
        load_failed(thread, request, tracker.failure, tracker.failure_length);
    } else {
        load_succeeded(thread, request, tracker.peers, reply->length);
    }
}

/* Takes all whole answers. Returns false where the connection is to be closed. */
static bool take_replies(struct http *http, uint16_t lane, bool ended)
{
    struct connection *connection = &http->connections[lane];
    size_t done = 0;
    bool closes = false;
    while (done < connection->input_length && !closes) {
        struct http_reply reply;
        enum http_result result =
            http_reply_parse(&reply, connection->input + done, connection->input_length - done, ended);
        if (result == HTTP_PARTIAL)
            break;
        if (result == HTTP_BROKEN || connection->head == connection->tail)
            return false;
        done += reply.length;
        closes = reply.closes || !http->thread->load->settings.keepalive;
        take_reply(http->thread, connection->requests[connection->head++ % PIPELINE_MAX], &reply);
    }
    connection->input_length -= (uint32_t)done;
    memmove(connection->input, connection->input + done, connection->input_length);
    return !closes && connection->input_length < INPUT_BYTES;
}

/*
 * Takes what has come. The socket is watched for changes alone, so it is read until there is nothing more; but where a
 * read leaves room, and no end was told with it, what comes later is a change.
 */
static void receive(struct http *http, uint16_t lane, bool has_ended)
{
    struct connection *connection = &http->connections[lane];
    while (connection->link.is_open) {
        size_t room = INPUT_BYTES - connection->input_length;
        ssize_t received = http_link_receive(&connection->link, connection->input + connection->input_length, room);
        http->thread->now_ns = clock_monotonic_ns();
        if (received < 0) {
            if (errno != EAGAIN)
                break_connection(http, lane, strerror(errno));
            return;
        }
        connection->input_length += (uint32_t)received;
        if (!take_replies(http, lane, received == 0) || received == 0)
            break_connection(http, lane, "connection closed before the answer");
        else if ((size_t)received < room && !has_ended && http->tls == NULL)
            return;
    }
}

static void keep_house(struct http *http)
{
    struct load_thread *thread = http->thread;
    http->housekeeping_ns = thread->now_ns;
    for (uint32_t i = load_expired(thread); i != REQUEST_NONE; i = load_expired(thread))
        break_connection(http, thread->requests[i].lane, "no answer in time");
}

/* Open loop: what is due, one a lane, as long as a lane has room. */
static void send_due(struct http *http)
{
    struct load_thread *thread = http->thread;
    for (uint16_t tried = 0; tried < thread->lane_count && load_due(thread, 1) > 0; tried++) {
        uint16_t lane = thread->next_lane;
        thread->next_lane = (uint16_t)((lane + 1) % thread->lane_count);
        send_more(http, lane, 1);
    }
}

/* What waits at lanes that no event will come for: requests of broken connections, and lanes that had nothing to say. */
static void visit_lanes(struct http *http, bool open_loop)
{
    const struct load_thread *thread = http->thread;
    http->phase = thread->phase;
    for (uint16_t i = 0; i < thread->lane_count; i++) {
        const struct connection *connection = &http->connections[i];
        uint32_t waiting = connection->tail - connection->head;
        if ((!connection->link.is_open && waiting > 0) || (!open_loop && waiting < thread->lanes[i].window))
            send_more(http, i, open_loop ? 0 : UINT32_MAX);
    }
}

static void handle_event(struct http *http, const struct epoll_event *event, bool open_loop)
{
    uint16_t lane = (uint16_t)event->data.u32;
    const struct connection *connection = &http->connections[lane];
    bool was_open = connection->link.is_open;
    if (was_open && connection->waits_for_write)
        send_rest(http, lane);
    if (connection->link.is_open && (event->events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
        receive(http, lane, (event->events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0);
    if (!open_loop && was_open && (event->events & ~(uint32_t)EPOLLOUT) != 0)
        send_more(http, lane, UINT32_MAX);
}

static void http_turn(struct load_thread *thread)
{
    struct http *http = thread->transport;
    struct epoll_event events[EVENTS];
    bool open_loop = thread->load->settings.rate > 0 && (thread->phase == PHASE_RUN || thread->phase == PHASE_WARM_UP);
    thread->now_ns = clock_monotonic_ns();
    bool keeps_house = thread->now_ns - http->housekeeping_ns >= HOUSEKEEPING_NS;
    if (keeps_house)
        keep_house(http);
    if (open_loop)
        send_due(http);
    if (keeps_house || http->phase != thread->phase)
        visit_lanes(http, open_loop);
    int64_t wait_ns = load_wait_ns(thread);
    wait_ns = wait_ns > HOUSEKEEPING_NS ? HOUSEKEEPING_NS : wait_ns;
    struct timespec wait = {.tv_nsec = wait_ns};
    int count = epoll_pwait2(http->epoll, events, EVENTS, &wait, NULL);
    for (int i = 0; i < count; i++)
        handle_event(http, &events[i], open_loop);
}

const struct transport transport_http = {
    .name = "http",
    .open = http_open,
    .turn = http_turn,
    .close = http_close,
};
