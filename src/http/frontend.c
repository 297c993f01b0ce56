/*
 * frontend: starts, reloads, drains and stops the HTTP frontend on a worker, and
 * accepts its connections. All functions but http_add_to run on the worker's thread.
 */
#include "http/frontend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/connection.h"
#include "http/output.h"
#include "http/tls.h"

/* How many connections one socket accepts a turn, so that those at hand have theirs. */
enum { ACCEPTS_A_TURN = 64, ACCEPTS_AT_THE_END = 4096 };

/* What is read at once, at least. */
enum { INPUT_BYTES = 16384 };

void http_worker_take_time(struct http_worker *home)
{
    home->now_ns = clock_monotonic_ns();
    if (home->now_ns - home->ticked_ns >= 1000000) {
        home->ticked_ns = home->now_ns;
        (void)worker_tick(home->worker);
    }
}

static void pause_accepting(struct http_worker *home)
{
    home->accepting_is_paused = true;
    for (size_t i = 0; i < home->acceptor_count; i++)
        (void)event_del(&home->acceptors[i].event);
}

static void go_on_accepting(struct http_worker *home)
{
    home->accepting_is_paused = false;
    for (size_t i = 0; i < home->acceptor_count; i++)
        (void)event_add(&home->acceptors[i].event, NULL);
}

/* Returns false where there is no other connection to accept for now. */
static bool accept_one(struct acceptor *acceptor)
{
    struct http_worker *home = acceptor->home;
    struct http_listeners *listeners = home->listeners;
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    int fd = accept4(acceptor->socket, (struct sockaddr *)&storage, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            LOG_LIMITED(LOG_LEVEL_ERROR, "http", "cannot accept connections: %s", strerror(errno));
            pause_accepting(home);
            return false;
        }
        return errno != EAGAIN && errno != EBADF && errno != EINVAL; /* else that one client has left already */
    }
    if (atomic_load_explicit(&listeners->connections, memory_order_relaxed) >=
        atomic_load_explicit(&listeners->max_connections, memory_order_relaxed)) {
        LOG_LIMITED(LOG_LEVEL_WARNING, "http", "max_connections reached: closing further ones");
        (void)close(fd);
        return true;
    }
    struct address peer = address_from_sockaddr((const struct sockaddr *)&storage);
    http_worker_take_time(home);
    connection_open(home, fd, &peer, acceptor->is_tls);
    return true;
}

static void on_acceptable(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    for (int i = 0; i < ACCEPTS_A_TURN && accept_one(context); i++)
        continue;
}

static void on_resume(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct http_worker *home = context;
    struct connection *connection;
    http_worker_take_time(home);
    while ((connection = TAILQ_FIRST(&home->resuming)) != NULL)
        connection_resume(connection);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct http_worker *home = context;
    http_worker_take_time(home);
    wheel_advance(&home->wheel, home->now_ns / 1000000, connection_expired);
    if (home->accepting_is_paused && !home->is_draining)
        go_on_accepting(home);
}

int http_worker_configure(struct http_worker *home, const struct config *config)
{
    const struct config_http *http = &config->http;
    size_t input_size = http->max_request_bytes < INPUT_BYTES ? INPUT_BYTES : http->max_request_bytes + 1;
    if (input_size > home->input_size) {
        char *input = realloc(home->input, input_size);
        if (input == NULL)
            return -1;
        home->input = input;
        home->input_size = input_size;
    }
    home->config = config;
    home->rules = (struct request_rules){.max_bytes = http->max_request_bytes};
    home->trusted_rules = (struct request_rules){
        .max_bytes = http->max_request_bytes,
        .real_ip_header = http->real_ip_header,
        .real_ip_header_length = strlen(http->real_ip_header),
        .trusted = http->trusted_proxies,
        .trusted_count = http->trusted_proxy_count,
    };
    return 0;
}

static int add_acceptors(struct http_worker *home)
{
    struct http_listeners *listeners = home->listeners;
    struct event_base *base = worker_base(home->worker);
    home->acceptors = calloc(listeners->count > 0 ? listeners->count : 1, sizeof home->acceptors[0]);
    if (home->acceptors == NULL)
        return -1;
    for (size_t i = 0; i < listeners->count; i++) {
        struct acceptor *acceptor = &home->acceptors[i];
        acceptor->home = home;
        acceptor->socket = listeners->list[i].sockets[worker_number(home->worker)];
        acceptor->is_tls = listeners->list[i].is_tls;
        (void)event_assign(&acceptor->event, base, acceptor->socket, EV_READ | EV_PERSIST, on_acceptable, acceptor);
        if (event_add(&acceptor->event, NULL) != 0)
            return -1;
        home->acceptor_count++;
    }
    return 0;
}

static void close_all(struct http_worker *home)
{
    struct connection *connection;
    while ((connection = TAILQ_FIRST(&home->connections)) != NULL)
        connection_close(connection);
    while ((connection = TAILQ_FIRST(&home->spare)) != NULL) {
        TAILQ_REMOVE(&home->spare, connection, link);
        free(connection);
    }
}

static void stop(struct worker *worker, void *context)
{
    (void)context;
    struct http_worker *home = worker_frontend(worker, FRONTEND_HTTP);
    if (home == NULL)
        return;
    close_all(home);
    for (size_t i = 0; i < home->acceptor_count; i++)
        (void)event_del(&home->acceptors[i].event);
    (void)event_del(&home->tick);
    (void)event_del(&home->resume);
    free(home->acceptors);
    free(home->input);
    free(home->output);
    free(home);
    worker_set_frontend(worker, FRONTEND_HTTP, NULL);
}

static int start(struct worker *worker, void *context)
{
    static const struct timeval tick = {.tv_usec = WHEEL_TICK_MS * 1000};
    struct http_worker *home = calloc(1, sizeof *home);
    if (home == NULL)
        return -1;
    home->worker = worker;
    home->listeners = context;
    TAILQ_INIT(&home->connections);
    TAILQ_INIT(&home->spare);
    TAILQ_INIT(&home->resuming);
    http_worker_take_time(home);
    wheel_init(&home->wheel, home->now_ns / 1000000);
    (void)event_assign(&home->tick, worker_base(worker), -1, EV_PERSIST, on_tick, home);
    (void)event_assign(&home->resume, worker_base(worker), -1, 0, on_resume, home);
    worker_set_frontend(worker, FRONTEND_HTTP, home);
    home->output = malloc(OUTPUT_BYTES);
    if (home->output == NULL || http_worker_configure(home, worker_config(worker)) != 0 ||
        event_add(&home->tick, &tick) != 0 || add_acceptors(home) != 0) {
        stop(worker, context);
        return -1;
    }
    return 0;
}

/* Puts another max_connections in force, as far as the descriptor limit allows. */
static void reload_limit(struct http_worker *home, const struct config *config)
{
    uint32_t wanted = config->http.max_connections;
    uint32_t room = http_descriptor_room(wanted, home->listeners->workers);
    uint32_t before = atomic_exchange_explicit(&home->listeners->max_connections, room, memory_order_relaxed);
    if (room < wanted && room != before)
        log_warning("http", "max_connections lowered from %u to %u by the limit of open files (ulimit -n)", wanted,
                    room);
}

static void reload(struct worker *worker, void *context, const struct config *config)
{
    (void)context;
    struct http_worker *home = worker_frontend(worker, FRONTEND_HTTP);
    if (http_worker_configure(home, config) != 0) {
        /* No memory for a larger max_request: all else is taken over, and the requests stay smaller. */
        struct config smaller = *config;
        smaller.http.max_request_bytes = (uint32_t)home->input_size - 1;
        (void)http_worker_configure(home, &smaller);
        home->config = config;
        log_error("http", "no memory for max_request %u", config->http.max_request_bytes);
    }
    struct connection *connection;
    TAILQ_FOREACH (connection, &home->connections, link)
        connection_trust(connection);
    reload_limit(home, config);
    tls_reload(home);
}

/*
 * Draining one connection can run the batch, and so close any other: works on a
 * list of its own. The memory of closed ones stays, so their generation tells.
 */
static void drain_connections(struct http_worker *home)
{
    size_t count = 0;
    struct connection *connection;
    TAILQ_FOREACH (connection, &home->connections, link)
        count++;
    struct {
        struct connection *connection;
        uint64_t generation;
    } *all = calloc(count > 0 ? count : 1, sizeof *all);
    if (all == NULL)
        return; /* they are closed by stop, then */
    size_t at = 0;
    TAILQ_FOREACH (connection, &home->connections, link) {
        all[at].connection = connection;
        all[at++].generation = connection->generation;
    }
    for (at = 0; at < count; at++) {
        if (all[at].connection->generation == all[at].generation)
            connection_drain(all[at].connection);
    }
    free(all);
}

/* What waits in the kernel to be accepted was sent before the end, and is answered too. */
static void drain(struct worker *worker, void *context)
{
    (void)context;
    struct http_worker *home = worker_frontend(worker, FRONTEND_HTTP);
    if (home->is_draining)
        return;
    home->is_draining = true;
    for (size_t i = 0; i < home->acceptor_count; i++) {
        for (int accepted = 0; accepted < ACCEPTS_AT_THE_END && accept_one(&home->acceptors[i]); accepted++)
            continue;
    }
    pause_accepting(home);
    for (size_t i = 0; i < home->acceptor_count; i++) {
        int *socket = &home->listeners->list[i].sockets[worker_number(worker)];
        (void)close(*socket);
        *socket = -1;
    }
    drain_connections(home);
}

void http_add_to(struct tracker *tracker, struct http_listeners *listeners)
{
    listeners->hooks = (struct worker_hooks){
        .start = start,
        .reload = reload,
        .drain = drain,
        .stop = stop,
        .context = listeners,
    };
    tracker_add_hooks(tracker, &listeners->hooks);
}
