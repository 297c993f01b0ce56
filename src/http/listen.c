/* listen: opens the frontend's sockets, on the main thread, before privileges are dropped. See http.h. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "http/frontend.h"
#include "http/tls.h"

/* Descriptors that the process needs besides HTTP connections: sockets, database, journal, event loops. */
enum { DESCRIPTORS_OF_PROCESS = 256, DESCRIPTORS_OF_WORKER = 16 };

/* The kernel cuts this to net.core.somaxconn. */
enum { BACKLOG = 4096 };

struct place {
    const char *key; /* of the configuration, for messages */
    bool is_tls;
};

static int set_option(int fd, int level, int option)
{
    int on = 1;
    return setsockopt(fd, level, option, &on, sizeof on);
}

/* Returns the socket, or a negative errno. TCP_NODELAY is inherited by what it accepts. */
static int open_socket(const struct address *address, bool is_shared)
{
    struct sockaddr_storage storage;
    socklen_t length = address_to_sockaddr(address, &storage);
    int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR) != 0 || (is_shared && set_option(fd, SOL_SOCKET, SO_REUSEPORT) != 0) ||
        (address->family == 6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0) ||
        set_option(fd, IPPROTO_TCP, TCP_NODELAY) != 0 || bind(fd, (const struct sockaddr *)&storage, length) != 0 ||
        (is_shared && listen(fd, BACKLOG) != 0)) {
        int reason = errno;
        (void)close(fd);
        return -reason;
    }
    return fd;
}

/*
 * Another tracker of the same user could share the port, and would take half of
 * the clients: a socket that shares with nobody finds it out first.
 */
static int probe(const struct address *address)
{
    int fd = open_socket(address, false);
    if (fd < 0)
        return fd;
    (void)close(fd);
    return 0;
}

static int bound_port(int fd, uint16_t *port)
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    if (getsockname(fd, (struct sockaddr *)&storage, &length) != 0)
        return -errno;
    *port = address_from_sockaddr((const struct sockaddr *)&storage).port;
    return 0;
}

static void close_sockets(struct listener *listener, unsigned workers)
{
    for (unsigned i = 0; i < workers; i++) {
        if (listener->sockets[i] >= 0)
            (void)close(listener->sockets[i]);
    }
    free(listener->sockets);
    listener->sockets = NULL;
}

/* Opens a socket a worker. Returns 0 or a negative errno. */
static int open_listener(struct listener *listener, unsigned workers)
{
    int result = probe(&listener->address);
    if (result != 0)
        return result;
    listener->sockets = malloc(workers * sizeof listener->sockets[0]);
    if (listener->sockets == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < workers; i++)
        listener->sockets[i] = -1;
    for (unsigned i = 0; i < workers && result == 0; i++) {
        int fd = open_socket(&listener->address, true);
        listener->sockets[i] = fd;
        result = fd < 0 ? fd : bound_port(fd, &listener->address.port);
    }
    if (result != 0)
        close_sockets(listener, workers);
    return result;
}

/* Where the kernel is to pick the port, one that it picked before is tried first, so that both families have the same. */
static int open_with_port(struct listener *listener, unsigned workers, uint16_t picked)
{
    if (listener->address.port == 0 && picked != 0) {
        listener->address.port = picked;
        if (open_listener(listener, workers) == 0)
            return 0;
        listener->address.port = 0;
    }
    return open_listener(listener, workers);
}

static bool is_missing_family(int result)
{
    return result == -EAFNOSUPPORT || result == -EADDRNOTAVAIL || result == -EPROTONOSUPPORT;
}

static int listen_on_all(struct http_listeners *listeners, const struct listen_list *list, const struct place *place,
                         struct error *error)
{
    uint16_t picked = 0;
    size_t opened = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct listener *listener = &listeners->list[listeners->count];
        *listener = (struct listener){.address = list->addresses[i], .is_tls = place->is_tls};
        int result = open_with_port(listener, listeners->workers, picked);
        char text[ADDRESS_TEXT_BYTES];
        (void)address_format(&list->addresses[i], text);
        if (result == 0) {
            if (list->addresses[i].port == 0)
                picked = listener->address.port;
            listeners->count++;
            opened++;
        } else if (list->by_default && is_missing_family(result)) {
            log_warning("http", "not listening on %s: %s", text, strerror(-result));
        } else {
            return error_set(error, "%s: cannot listen on %s: %s", place->key, text,
                             result == -EADDRINUSE ? "address in use" : strerror(-result));
        }
    }
    if (list->count > 0 && opened == 0)
        return error_set(error, "%s: this machine has none of the default addresses", place->key);
    return 0;
}

uint32_t http_descriptor_room(uint32_t wanted, unsigned workers)
{
    uint64_t others = DESCRIPTORS_OF_PROCESS + (uint64_t)DESCRIPTORS_OF_WORKER * workers;
    uint64_t needed = wanted + others;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return wanted;
    if (limit.rlim_cur < needed) {
        struct rlimit raised = {.rlim_cur = needed, .rlim_max = limit.rlim_max > needed ? limit.rlim_max : needed};
        if (setrlimit(RLIMIT_NOFILE, &raised) != 0) { /* only root may raise the hard limit */
            raised = (struct rlimit){.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
            (void)setrlimit(RLIMIT_NOFILE, &raised);
        }
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= needed)
        return wanted;
    return limit.rlim_cur > others ? (uint32_t)(limit.rlim_cur - others) : 0;
}

static int fit_connections(struct http_listeners *listeners, const struct config_http *config, struct error *error)
{
    uint32_t room = http_descriptor_room(config->max_connections, listeners->workers);
    if (room < config->max_connections) {
        if (!config->max_connections_by_default || room == 0)
            return error_set(error,
                             "http.max_connections: found %u, allowed up to %u by the limit of open files (ulimit -n)",
                             config->max_connections, room);
        log_warning("http", "max_connections lowered from %u to %u by the limit of open files (ulimit -n)",
                    config->max_connections, room);
    }
    atomic_init(&listeners->max_connections, room);
    return 0;
}

struct http_listeners *http_listen(const struct config *config, unsigned workers, struct error *error)
{
    static const struct place plain = {.key = "http.listen"};
    static const struct place secure = {.key = "http.tls.listen", .is_tls = true};
    const struct config_http *http = &config->http;
    struct http_listeners *listeners = calloc(1, sizeof *listeners);
    size_t places = http->listen.count + http->tls_listen.count;
    struct listener *list = calloc(places > 0 ? places : 1, sizeof *list);
    if (listeners == NULL || list == NULL) {
        (void)error_set(error, "http: out of memory");
        free(listeners);
        free(list);
        return NULL;
    }
    listeners->list = list;
    listeners->workers = workers;
    (void)pthread_mutex_init(&listeners->tls_lock, NULL);
    if (http->tls_listen.count > 0 && (listeners->tls = tls_new(http, NULL, error)) == NULL)
        goto fail;
    if (fit_connections(listeners, http, error) != 0 || listen_on_all(listeners, &http->listen, &plain, error) != 0 ||
        listen_on_all(listeners, &http->tls_listen, &secure, error) != 0)
        goto fail;
    return listeners;
fail:
    http_listeners_free(listeners);
    return NULL;
}

void http_listeners_free(struct http_listeners *listeners)
{
    if (listeners == NULL)
        return;
    for (size_t i = 0; i < listeners->count; i++)
        close_sockets(&listeners->list[i], listeners->workers);
    tls_free(listeners->tls);
    (void)pthread_mutex_destroy(&listeners->tls_lock);
    free(listeners->list);
    free(listeners);
}

bool http_listening(const struct http_listeners *listeners, size_t n, struct http_address *address)
{
    if (n >= listeners->count)
        return false;
    *address = (struct http_address){listeners->list[n].address, listeners->list[n].is_tls};
    return true;
}
