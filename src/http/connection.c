/* connection: see connection.h. */
#include "http/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/forwarded.h"
#include "http/handler.h"
#include "http/output.h"
#include "http/proxy.h"
#include "http/tls.h"

/* How long and how much of what a client still sends is thrown away before the connection is closed. */
enum { LINGER_MS = 2000, LINGER_BYTES = 1 << 20 };

static void on_event(evutil_socket_t fd, short what, void *context);

static void set_deadline(struct connection *connection, int64_t after_ms)
{
    struct http_worker *home = connection->home;
    wheel_set(&home->wheel, &connection->timer, home->now_ns / 1000000 + after_ms);
}

/* Waits for EV_READ, EV_WRITE or, with 0, for nothing. */
static void watch(struct connection *connection, short what)
{
    if (connection->tls != NULL) {
        tls_watch(connection);
        return;
    }
    if (connection->watched == what)
        return;
    if (connection->watched != 0)
        (void)event_del(&connection->event);
    connection->watched = what;
    if (what == 0)
        return;
    (void)event_assign(&connection->event, worker_base(connection->home->worker), connection->fd,
                       (short)(what | EV_PERSIST), on_event, connection);
    if (event_add(&connection->event, NULL) != 0) {
        connection->watched = 0;
        set_deadline(connection, 0); /* nothing would ever be heard of it again */
    }
}

void connection_close(struct connection *connection)
{
    struct http_worker *home = connection->home;
    connection->generation++;
    if (connection->is_resuming)
        TAILQ_REMOVE(&home->resuming, connection, resume_link);
    wheel_remove(&connection->timer);
    if (connection->watched != 0)
        (void)event_del(&connection->event);
    if (connection->tls != NULL)
        bufferevent_free(connection->tls); /* closes the socket */
    else
        (void)close(connection->fd);
    buffer_clear(&connection->input);
    output_clear(connection);
    TAILQ_REMOVE(&home->connections, connection, link);
    TAILQ_INSERT_HEAD(&home->spare, connection, link);
    atomic_fetch_sub_explicit(&home->listeners->connections, 1, memory_order_relaxed);
    counter_add(&worker_counters(home->worker)->connections, (uint64_t)-1);
}

/* --- input --- */

size_t connection_input_room(struct connection *connection, char **to)
{
    struct http_worker *home = connection->home;
    struct buffer *input = &connection->input;
    if (input->length == 0) {
        *to = home->input;
        return home->input_size;
    }
    if (input->length >= home->input_size)
        return 0;
    size_t left = home->input_size - input->length;
    *to = buffer_reserve(input, left < 1024 ? left : 1024);
    if (*to == NULL) {
        connection->is_broken = true;
        return 0;
    }
    return buffer_room(input) < left ? buffer_room(input) : left;
}

/* The address in the header takes the place of the connection's for all else. */
static void end_proxy_header(struct connection *connection)
{
    connection->state = CONNECTION_OPEN;
    connection->is_reading = false;
    connection_trust(connection);
}

/* Returns how many bytes the header took: 0 while it is not whole. */
static size_t take_proxy_header(struct connection *connection, const char *data, size_t length)
{
    size_t used = 0;
    const struct http_worker *home = connection->home;
    switch (proxy_parse(&connection->peer, &used, data, length, home->config->http.max_request_bytes)) {
    case PROXY_INCOMPLETE:
        connection->has_more = false;
        return 0;
    case PROXY_COMPLETE:
        end_proxy_header(connection);
        connection->has_more = used < length;
        return used;
    case PROXY_BAD:
        break;
    }
    handle_malformed(connection, 400);
    return 0;
}

/* Returns how many bytes the request took: 0 while it is not whole. */
static size_t take_request(struct connection *connection, const char *data, size_t length)
{
    const struct http_worker *home = connection->home;
    const struct request_rules *rules = connection->is_trusted ? &home->trusted_rules : &home->rules;
    size_t used = 0;
    connection->has_more = false;
    switch (request_parse(&connection->request, data, length, rules)) {
    case REQUEST_INCOMPLETE:
        return 0;
    case REQUEST_BAD:
        handle_malformed(connection, connection->request.status);
        return 0;
    case REQUEST_COMPLETE:
        used = connection->request.length;
        connection->has_more = used < length;
        connection->is_reading = false;
        if (!handle_request(connection, data)) {
            connection->has_more = connection->must_wait = true;
            used = 0;
        }
        request_begin(&connection->request);
        break;
    }
    return used;
}

/* Parses one request after the other, as far as they are whole and may be handled. Returns how many bytes that took. */
static size_t take_requests(struct connection *connection, const char *data, size_t length)
{
    size_t at = 0;
    while (at < length && connection->has_more && !connection->must_wait && !connection->is_blocked &&
           output_gathered(connection) < GATHER_BYTES) {
        if (connection->state == CONNECTION_PROXY)
            at += take_proxy_header(connection, data + at, length - at);
        else if (connection->state == CONNECTION_OPEN)
            at += take_request(connection, data + at, length - at);
        else
            break;
    }
    return at;
}

/* --- what it waits for next --- */

/* All is said: closes, where the client may still be sending only after it has had time to read. */
static void finish(struct connection *connection)
{
    if (connection->tls != NULL)
        tls_say_goodbye(connection);
    if ((!connection->lingers && connection->input.length == 0) || connection->has_ended ||
        shutdown(connection->fd, SHUT_WR) != 0) {
        connection_close(connection);
        return;
    }
    connection->state = CONNECTION_LINGERING;
    buffer_clear(&connection->input);
    set_deadline(connection, LINGER_MS);
    watch(connection, EV_READ);
}

/* The client ended in the middle of a request: it gets an answer all the same. */
static void end_unfinished(struct connection *connection)
{
    if (connection->state == CONNECTION_OPEN && connection->input.length > 0)
        handle_malformed(connection, 400);
    connection->state = CONNECTION_FINISHING;
    if (connection->tls == NULL)
        output_flush(connection);
}

static void wait_for_input(struct connection *connection)
{
    const struct config_http *config = &connection->home->config->http;
    if (connection->input.length == 0 && !connection->is_reading) {
        set_deadline(connection, (int64_t)config->idle_timeout_s * 1000);
    } else if (!connection->is_reading) {
        connection->is_reading = true;
        set_deadline(connection, (int64_t)config->read_timeout_s * 1000);
    }
    watch(connection, EV_READ);
}

/* What is not watched yet, for it was just accepted, need not be: the answer may be its end. */
static void wait_for_answer(struct connection *connection)
{
    if (connection->is_blocked)
        watch(connection, EV_WRITE);
    else if (connection->has_ended || connection->input.length >= connection->home->input_size)
        watch(connection, 0);
    else if (connection->watched != 0)
        watch(connection, EV_READ);
}

/* Decides what the connection waits for now, or that it is done. It may close. */
static void settle(struct connection *connection)
{
    const struct http_worker *home = connection->home;
    if (connection->is_broken) {
        connection_close(connection);
    } else if (connection->away > 0) {
        wheel_set(&connection->home->wheel, &connection->timer, WHEEL_NEVER);
        wait_for_answer(connection);
    } else if (output_unsent(connection) > 0) {
        set_deadline(connection, (int64_t)home->config->http.idle_timeout_s * 1000);
        watch(connection, EV_WRITE);
    } else if (connection->state == CONNECTION_FINISHING ||
               (home->is_draining && connection->state != CONNECTION_LINGERING)) {
        finish(connection);
    } else {
        wait_for_input(connection);
    }
}

void connection_run(struct connection *connection)
{
    connection->is_running = true;
    for (;;) {
        if (connection->has_more) {
            size_t taken = take_requests(connection, buffer_bytes(&connection->input), connection->input.length);
            buffer_consume(&connection->input, taken);
        }
        if (connection->tls == NULL &&
            (connection->away == 0 || connection->hurries || output_gathered(connection) >= GATHER_BYTES))
            output_flush(connection);
        if (connection->is_broken || connection->away > 0 || connection->is_blocked || !connection->has_more ||
            connection->state >= CONNECTION_FINISHING)
            break;
    }
    if (connection->has_ended && connection->away == 0 && !connection->has_more &&
        connection->state < CONNECTION_FINISHING)
        end_unfinished(connection);
    connection->is_running = false;
    settle(connection);
}

void connection_take_input(struct connection *connection, const char *data, size_t length)
{
    if (connection->away == 0)
        connection->read_ns = connection->home->now_ns;
    connection->has_more = true;
    if (data != connection->home->input) {
        connection->input.length += length;
        connection_run(connection);
        return;
    }
    connection->is_running = true;
    size_t taken = take_requests(connection, data, length);
    connection->is_running = false;
    if (taken < length && !buffer_append(&connection->input, data + taken, length - taken))
        connection->is_broken = true;
    connection_run(connection);
}

void connection_continue(struct connection *connection)
{
    if (connection->is_running || connection->away > 0)
        return;
    if (!connection->has_more || connection->is_broken) {
        connection_run(connection);
    } else if (!connection->is_resuming) {
        struct http_worker *home = connection->home;
        if (TAILQ_EMPTY(&home->resuming))
            event_active(&home->resume, EV_TIMEOUT, 0);
        connection->is_resuming = true;
        TAILQ_INSERT_TAIL(&home->resuming, connection, resume_link);
    }
}

void connection_resume(struct connection *connection)
{
    TAILQ_REMOVE(&connection->home->resuming, connection, resume_link);
    connection->is_resuming = false;
    connection_run(connection);
}

/* --- events --- */

/* One read, however much there is: other connections want their turn. */
static void read_some(struct connection *connection)
{
    char *to = NULL;
    size_t room = connection_input_room(connection, &to);
    ssize_t got = room > 0 ? recv(connection->fd, to, room, 0) : -1;
    if (got > 0) {
        connection_take_input(connection, to, (size_t)got);
        return;
    }
    if (got == 0)
        connection->has_ended = true;
    else if (room > 0 && errno != EAGAIN && errno != EINTR)
        connection->is_broken = true;
    connection_run(connection);
}

void connection_discard(struct connection *connection, size_t length)
{
    connection->discarded += length;
    if (connection->discarded > LINGER_BYTES)
        connection_close(connection);
}

static void discard_some(struct connection *connection)
{
    struct http_worker *home = connection->home;
    ssize_t got = recv(connection->fd, home->input, home->input_size, 0);
    if (got > 0)
        connection_discard(connection, (size_t)got);
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        connection_close(connection);
}

static void begin_tls(struct connection *connection)
{
    if (tls_start(connection) != 0)
        connection_close(connection);
    else
        set_deadline(connection, (int64_t)connection->home->config->http.read_timeout_s * 1000);
}

/*
 * Before a handshake nothing behind the PROXY header may be taken off the
 * socket: looks first, then takes just what is the header's.
 */
static void read_proxy_header_before_tls(struct connection *connection)
{
    struct http_worker *home = connection->home;
    struct buffer *input = &connection->input;
    char *to = buffer_reserve(input, home->config->http.max_request_bytes);
    ssize_t seen = to != NULL ? recv(connection->fd, to, buffer_room(input), MSG_PEEK) : -1;
    if (seen <= 0) {
        if (to == NULL || seen == 0 || (errno != EAGAIN && errno != EINTR))
            connection_close(connection);
        return;
    }
    size_t used = 0;
    size_t before = input->length;
    enum proxy_state state = proxy_parse(&connection->peer, &used, buffer_bytes(input), before + (size_t)seen,
                                         home->config->http.max_request_bytes);
    size_t taken = state == PROXY_COMPLETE ? used - before : (size_t)seen;
    if (state == PROXY_BAD || recv(connection->fd, to, taken, 0) != (ssize_t)taken) {
        connection_close(connection);
        return;
    }
    input->length += taken;
    if (state == PROXY_INCOMPLETE) {
        wait_for_input(connection);
        return;
    }
    buffer_clear(input);
    watch(connection, 0);
    end_proxy_header(connection);
    begin_tls(connection);
}

static void on_event(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    struct connection *connection = context;
    http_worker_take_time(connection->home);
    if ((what & EV_WRITE) != 0) {
        connection->is_blocked = false;
        output_flush(connection);
        connection_run(connection);
    } else if (connection->state == CONNECTION_LINGERING) {
        discard_some(connection);
    } else if (connection->state == CONNECTION_PROXY && connection->is_tls) {
        read_proxy_header_before_tls(connection);
    } else {
        read_some(connection);
    }
}

void connection_expired(struct wheel_entry *entry)
{
    struct connection *connection = (struct connection *)(void *)((char *)entry - offsetof(struct connection, timer));
    bool awaits_rest = connection->is_reading && connection->state == CONNECTION_OPEN && connection->input.length > 0;
    if (!awaits_rest || output_unsent(connection) > 0 || connection->is_broken) {
        connection_close(connection);
        return;
    }
    connection->is_reading = false;
    handle_malformed(connection, 408);
    connection_run(connection);
}

void connection_trust(struct connection *connection)
{
    const struct config_http *config = &connection->home->config->http;
    connection->is_trusted = networks_contain(config->trusted_proxies, config->trusted_proxy_count, &connection->peer);
}

void connection_drain(struct connection *connection)
{
    if (connection->state == CONNECTION_LINGERING)
        connection_close(connection);
    else if (connection->tls != NULL || connection->is_tls || connection->away > 0 || connection->is_blocked)
        connection_run(connection);
    else
        read_some(connection);
}

/* --- accept --- */

static struct connection *new_connection(struct http_worker *home)
{
    struct connection *connection = TAILQ_FIRST(&home->spare);
    uint64_t generation = 0;
    if (connection != NULL) {
        TAILQ_REMOVE(&home->spare, connection, link);
        generation = connection->generation;
    } else {
        connection = malloc(sizeof *connection);
        if (connection == NULL)
            return NULL;
    }
    memset(connection, 0, sizeof *connection);
    connection->generation = generation;
    connection->home = home;
    wheel_entry_init(&connection->timer);
    request_begin(&connection->request);
    TAILQ_INSERT_TAIL(&home->connections, connection, link);
    atomic_fetch_add_explicit(&home->listeners->connections, 1, memory_order_relaxed);
    counter_add(&worker_counters(home->worker)->connections, 1);
    return connection;
}

void connection_open(struct http_worker *home, int fd, const struct address *peer, bool is_tls)
{
    const struct config_http *config = &home->config->http;
    struct connection *connection = new_connection(home);
    if (connection == NULL) {
        (void)close(fd);
        return;
    }
    connection->fd = fd;
    connection->peer = *peer;
    connection->is_tls = is_tls;
    connection_trust(connection);
    connection->state = config->proxy_protocol && connection->is_trusted ? CONNECTION_PROXY : CONNECTION_OPEN;
    if (!is_tls) {
        read_some(connection); /* the request often came right behind the handshake */
    } else if (connection->state == CONNECTION_PROXY) {
        wait_for_input(connection);
    } else {
        begin_tls(connection);
    }
}
