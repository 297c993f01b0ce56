/*
 * floor over HTTPS: OpenSSL under libevent's bufferevents, set up as a tracker does it (TLS 1.2 and 1.3, tickets, no cache
 * of sessions), and nothing else: it looks for the end of each request and has the answer ready beforehand.
 */
#include "bench/floor.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS = 64, REQUEST_MAX = 8192 };

struct responder {
    struct floor_thread *thread;
    SSL_CTX *context;
    struct event_base *base;
    struct event *tick;
    struct event *listeners[ENDPOINTS_MAX];
    char *reply;
    size_t reply_bytes;
};

/*
 * The same settings as the tracker's, and not its function: what the bare responder does must not change with the
 * tracker, or what slows both down would not be seen.
 */
static SSL_CTX *make_context(const struct floor_settings *settings, struct error *error)
{
    static const unsigned char session_context[] = "floor";
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(context,
                              SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_session_id_context(context, session_context, sizeof session_context - 1);
    (void)SSL_CTX_set_num_tickets(context, 1);
    if (SSL_CTX_use_certificate_chain_file(context, settings->certificate) == 1 &&
        SSL_CTX_use_PrivateKey_file(context, settings->key, SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_check_private_key(context) == 1)
        return context;
    error_set(error, "--certificate %s, --key %s: they cannot be used", settings->certificate, settings->key);
    ERR_clear_error();
    SSL_CTX_free(context);
    return NULL;
}

int floor_https_open(struct floor_thread *thread, struct error *error)
{
    if (thread->settings->certificate == NULL || thread->settings->key == NULL)
        return error_set(error, "--certificate and --key are missing");
    SSL_CTX *context = make_context(thread->settings, error); /* to tell of a bad file before anything runs */
    if (context == NULL)
        return -1;
    SSL_CTX_free(context);
    return floor_http_open(thread, error);
}

/* --- connections: their bufferevent is all there is of them --- */

static void end(struct bufferevent *connection)
{
    SSL *ssl = bufferevent_openssl_get_ssl(connection);
    if (SSL_is_init_finished(ssl))
        (void)SSL_shutdown(ssl);
    ERR_clear_error();
    bufferevent_free(connection);
}

static void on_readable(struct bufferevent *connection, void *context)
{
    struct responder *responder = context;
    struct evbuffer *input = bufferevent_get_input(connection);
    unsigned count = 0;
    for (;;) {
        struct evbuffer_ptr found = evbuffer_search(input, "\r\n\r\n", 4, NULL);
        if (found.pos < 0)
            break;
        (void)evbuffer_drain(input, (size_t)found.pos + 4);
        if (bufferevent_write(connection, responder->reply, responder->reply_bytes) != 0)
            break;
        count++;
    }
    responder->thread->replies += count;
    if (evbuffer_get_length(input) > REQUEST_MAX)
        bufferevent_free(connection);
}

static void on_written(struct bufferevent *connection, void *context)
{
    const struct responder *responder = context;
    if (responder->thread->settings->close)
        end(connection);
}

static void on_event(struct bufferevent *connection, short what, void *context)
{
    struct responder *responder = context;
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        responder->thread->connects++;
        return;
    }
    ERR_clear_error();
    bufferevent_free(connection);
}

static void accept_connection(struct responder *responder, int fd)
{
    int one = 1;
    SSL *ssl = SSL_new(responder->context);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct bufferevent *connection =
        ssl == NULL ? NULL
                    : bufferevent_openssl_socket_new(responder->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                     BEV_OPT_CLOSE_ON_FREE);
    if (connection == NULL) {
        SSL_free(ssl);
        (void)close(fd);
        return;
    }
    bufferevent_openssl_set_allow_dirty_shutdown(connection, 1);
    bufferevent_setcb(connection, on_readable, on_written, on_event, responder);
    (void)bufferevent_enable(connection, EV_READ | EV_WRITE);
}

static void on_accept(evutil_socket_t listener, short what, void *context)
{
    (void)what;
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4((int)listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        accept_connection(context, fd);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct responder *responder = context;
    if (atomic_load_explicit(responder->thread->stop, memory_order_relaxed))
        (void)event_base_loopbreak(responder->base);
}

static bool responder_init(struct responder *responder, struct floor_thread *thread)
{
    const struct floor_settings *settings = thread->settings;
    const struct timeval often = {.tv_usec = FLOOR_WAIT_MS * 1000};
    *responder = (struct responder){.thread = thread};
    responder->context = make_context(settings, &thread->error);
    if (responder->context == NULL)
        return false;
    responder->reply = malloc(settings->reply_bytes + FLOOR_HTTP_ROOM);
    responder->base = event_base_new();
    if (responder->reply == NULL || responder->base == NULL)
        return false;
    responder->reply_bytes = floor_http_reply(responder->reply, settings->reply_bytes + FLOOR_HTTP_ROOM,
                                              settings->reply_bytes, settings->close);
    responder->tick = event_new(responder->base, -1, EV_PERSIST, on_tick, responder);
    bool ready = responder->tick != NULL && event_add(responder->tick, &often) == 0;
    for (size_t i = 0; ready && i < thread->socket_count; i++) {
        responder->listeners[i] =
            event_new(responder->base, thread->sockets[i], EV_READ | EV_PERSIST, on_accept, responder);
        ready = responder->listeners[i] != NULL && event_add(responder->listeners[i], NULL) == 0;
    }
    return ready;
}

void floor_https_serve(struct floor_thread *thread)
{
    struct responder responder;
    if (responder_init(&responder, thread))
        (void)event_base_dispatch(responder.base);
    else if (thread->error.text[0] == '\0')
        error_set(&thread->error, "out of memory");
    for (size_t i = 0; i < thread->socket_count; i++) {
        if (responder.listeners[i] != NULL)
            event_free(responder.listeners[i]);
    }
    if (responder.tick != NULL)
        event_free(responder.tick);
    /* Connections that are open still end with the process. */
    if (responder.base != NULL)
        event_base_free(responder.base);
    free(responder.reply);
    SSL_CTX_free(responder.context);
}
