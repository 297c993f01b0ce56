/*
 * floor over HTTP: epoll, keep-alive or a connection for each request. It looks
 * for the end of each request, answers all that came with one send, and has the
 * answer ready beforehand.
 */
#include "bench/floor.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096, EVENTS = 256, PIPELINE = 64, REQUEST_MAX = 8192, ACCEPTS = 64 };

/* A connection with the start of a request that has not come whole. Most have none. */
struct connection {
    int fd;
    uint32_t held;
    char *start; /* REQUEST_MAX bytes, NULL where nothing is held */
    LIST_ENTRY(connection)
    others;
};

LIST_HEAD(connections, connection);

struct responder {
    struct floor_thread *thread;
    int epoll;
    struct connections connections; /* those that epoll knows */
    char *reply;                    /* the same answer PIPELINE times */
    size_t reply_bytes;
    char *buffer; /* REQUEST_MAX + a read */
    size_t buffer_bytes;
};

int floor_http_open(struct floor_thread *thread, struct error *error)
{
    const struct endpoint_list *addresses = &thread->settings->listen;
    for (size_t i = 0; i < addresses->count; i++) {
        int fd = floor_socket(&addresses->items[i], SOCK_STREAM, error);
        if (fd < 0)
            return -1;
        thread->sockets[thread->socket_count++] = fd;
        int one = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (listen(fd, BACKLOG) < 0)
            return error_set(error, "listen: %s", strerror(errno));
    }
    return 0;
}

size_t floor_http_reply(char *reply, size_t size, size_t wanted, bool close_after)
{
    static const char before[] = "d8:completei1e10:incompletei1e8:intervali1800e5:peers";
    for (size_t peers = 0;; peers++) {
        char digits[24];
        size_t count = (size_t)snprintf(digits, sizeof digits, "%zu:", peers);
        size_t body = sizeof before - 1 + count + peers + 1;
        size_t head = (size_t)snprintf(reply, size,
                                       "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n%s"
                                       "Content-Length: %zu\r\n\r\n",
                                       close_after ? "Connection: close\r\n" : "", body);
        if (head + body < wanted)
            continue;
        (void)snprintf(reply + head, size - head, "%s%s", before, digits);
        char *end = reply + head + sizeof before - 1 + count;
        memset(end, 0x7f, peers);
        end[peers] = 'e';
        return head + body;
    }
}

static int responder_init(struct responder *responder, struct floor_thread *thread)
{
    size_t wanted = thread->settings->reply_bytes;
    *responder = (struct responder){.thread = thread, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    responder->buffer_bytes = REQUEST_MAX + 65536;
    responder->buffer = malloc(responder->buffer_bytes);
    responder->reply = malloc((wanted + FLOOR_HTTP_ROOM) * PIPELINE);
    if (responder->epoll < 0 || responder->buffer == NULL || responder->reply == NULL)
        return error_set(&thread->error, "epoll: %s", strerror(errno));
    responder->reply_bytes =
        floor_http_reply(responder->reply, wanted + FLOOR_HTTP_ROOM, wanted, thread->settings->close);
    for (size_t i = 1; i < PIPELINE; i++)
        memcpy(responder->reply + i * responder->reply_bytes, responder->reply, responder->reply_bytes);
    for (size_t i = 0; i < thread->socket_count; i++) {
        /* A listening socket is a small number, a connection a pointer. */
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};
        if (epoll_ctl(responder->epoll, EPOLL_CTL_ADD, thread->sockets[i], &event) < 0)
            return error_set(&thread->error, "epoll: %s", strerror(errno));
    }
    return 0;
}

static void connection_free(struct connection *connection)
{
    LIST_REMOVE(connection, others);
    (void)close(connection->fd);
    free(connection->start);
    free(connection);
}

/*
 * Answers what is in `buffer`. Returns the bytes that belong to a request that
 * is not whole yet and now stand at its front, or -1 where the connection is to be closed.
 */
static ssize_t answer(struct responder *responder, int fd, char *buffer, size_t length)
{
    size_t done = 0;
    while (done < length) {
        size_t count = 0;
        while (count < PIPELINE && done < length) {
            char *end = memmem(buffer + done, length - done, "\r\n\r\n", 4);
            if (end == NULL)
                break;
            done = (size_t)(end - buffer) + 4;
            count++;
        }
        if (count == 0)
            break;
        responder->thread->replies += count;
        /* A reader that does not keep up is of no use to a measurement: it is closed. */
        size_t bytes = count * responder->reply_bytes;
        if (send(fd, responder->reply, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)bytes)
            return -1;
        if (responder->thread->settings->close)
            return -1;
    }
    size_t rest = length - done;
    if (rest >= REQUEST_MAX)
        return -1;
    memmove(buffer, buffer + done, rest);
    return (ssize_t)rest;
}

/* Reads once and answers. Returns false where the connection has ended. */
static bool serve_connection(struct responder *responder, struct connection *connection)
{
    char *buffer = responder->buffer;
    if (connection->held > 0)
        memcpy(buffer, connection->start, connection->held);
    ssize_t received =
        recv(connection->fd, buffer + connection->held, responder->buffer_bytes - connection->held, MSG_DONTWAIT);
    if (received <= 0)
        return received < 0 && errno == EAGAIN;
    ssize_t rest = answer(responder, connection->fd, buffer, connection->held + (size_t)received);
    if (rest < 0)
        return false;
    if (rest > 0 && connection->start == NULL)
        connection->start = malloc(REQUEST_MAX);
    if (rest > 0 && connection->start == NULL)
        return false;
    if (rest > 0)
        memcpy(connection->start, buffer, (size_t)rest);
    connection->held = (uint32_t)rest;
    return true;
}

/* The first request has often come with the connection, and a connection for one request never needs epoll then. */
static void accept_connection(struct responder *responder, int fd)
{
    int one = 1;
    if (!responder->thread->settings->close)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct connection first = {.fd = fd};
    if (!serve_connection(responder, &first)) {
        (void)close(fd);
        return;
    }
    struct connection *connection = malloc(sizeof *connection);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (connection == NULL) {
        (void)close(fd);
        free(first.start);
        return;
    }
    *connection = first;
    LIST_INSERT_HEAD(&responder->connections, connection, others);
    if (epoll_ctl(responder->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        connection_free(connection);
}

static void accept_some(struct responder *responder, int listener)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        accept_connection(responder, fd);
    }
}

void floor_http_serve(struct floor_thread *thread)
{
    struct responder responder;
    struct epoll_event events[EVENTS];
    bool ready = responder_init(&responder, thread) == 0;
    while (ready && !atomic_load_explicit(thread->stop, memory_order_relaxed)) {
        int count = epoll_wait(responder.epoll, events, EVENTS, FLOOR_WAIT_MS);
        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 < ENDPOINTS_MAX)
                accept_some(&responder, thread->sockets[events[i].data.u64]);
            else if (!serve_connection(&responder, events[i].data.ptr))
                connection_free(events[i].data.ptr);
        }
    }
    struct connection *connection, *next;
    LIST_FOREACH_SAFE (connection, &responder.connections, others, next)
        connection_free(connection);
    (void)close(responder.epoll);
    free(responder.buffer);
    free(responder.reply);
}
