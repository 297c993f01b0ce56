/* tls: see tls.h. Contexts are shared by all workers; connections belong to one. */
#include "http/tls.h"

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "http/connection.h"

/* A record of TLS is at most this long; more than one need not lie in wait. */
enum { RECORD_BYTES = 16384 };

struct tls {
    SSL_CTX *context;
};

/* The first reason that OpenSSL has, without its numbers: later ones only tell who passed it on. */
static const char *openssl_reason(void)
{
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    return reason != NULL ? reason : "unknown error";
}

/* HTTP/1.1 is all that is spoken here. A client that offers other protocols only is served all the same. */
static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_length,
                           const unsigned char *offered, unsigned offered_length, void *context)
{
    static const unsigned char spoken[] = "\x08http/1.1";
    unsigned char *found = NULL;
    (void)ssl;
    (void)context;
    if (SSL_select_next_proto(&found, chosen_length, spoken, sizeof spoken - 1, offered, offered_length) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

/* Sessions are resumed by tickets alone, so nothing is kept for clients that do not come back. */
static void set_options(SSL_CTX *context)
{
    static const unsigned char session_context[] = "privtrak";
    (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(context,
                              SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_session_id_context(context, session_context, sizeof session_context - 1);
    (void)SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
}

/* The keys of tickets are taken over, so that a reload does not make all clients do a full handshake again. */
static void take_ticket_keys(SSL_CTX *context, SSL_CTX *before)
{
    unsigned char keys[128];
    long length = SSL_CTX_get_tlsext_ticket_keys(before, NULL, 0);
    if (length > 0 && length <= (long)sizeof keys && SSL_CTX_get_tlsext_ticket_keys(before, keys, length) == 1)
        (void)SSL_CTX_set_tlsext_ticket_keys(context, keys, length);
    OPENSSL_cleanse(keys, sizeof keys);
}

static int read_files(SSL_CTX *context, const struct config_http *config, struct error *error)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, config->tls_certificate) != 1)
        return error_set(error, "http.tls.certificate: cannot use %s: %s", config->tls_certificate, openssl_reason());
    if (SSL_CTX_use_PrivateKey_file(context, config->tls_key, SSL_FILETYPE_PEM) != 1)
        return error_set(error, "http.tls.key: cannot use %s: %s", config->tls_key, openssl_reason());
    if (SSL_CTX_check_private_key(context) != 1)
        return error_set(error, "http.tls.key: %s does not belong to the certificate %s", config->tls_key,
                         config->tls_certificate);
    return 0;
}

struct tls *tls_new(const struct config_http *config, const struct tls *before, struct error *error)
{
    struct tls *tls = calloc(1, sizeof *tls);
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (tls == NULL || context == NULL) {
        (void)error_set(error, "http.tls: out of memory");
        goto fail;
    }
    set_options(context);
    if (read_files(context, config, error) != 0)
        goto fail;
    if (before != NULL)
        take_ticket_keys(context, before->context);
    tls->context = context;
    return tls;
fail:
    ERR_clear_error();
    SSL_CTX_free(context);
    free(tls);
    return NULL;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->context); /* its connections hold on to it as long as they need it */
    free(tls);
}

void tls_reload(struct http_worker *home)
{
    struct http_listeners *listeners = home->listeners;
    home->reloads++;
    (void)pthread_mutex_lock(&listeners->tls_lock);
    if (listeners->tls != NULL && listeners->tls_reloads != home->reloads) {
        struct error error = {{0}};
        struct tls *fresh = tls_new(&home->config->http, listeners->tls, &error);
        listeners->tls_reloads = home->reloads;
        if (fresh != NULL) {
            tls_free(listeners->tls);
            listeners->tls = fresh;
        } else {
            log_error("http", "the old certificate stays in use: %s", error.text);
        }
    }
    (void)pthread_mutex_unlock(&listeners->tls_lock);
}

/* --- connections --- */

static void throw_away(struct connection *connection, struct evbuffer *input)
{
    size_t length = evbuffer_get_length(input);
    (void)evbuffer_drain(input, length);
    connection_discard(connection, length);
}

static void on_readable(struct bufferevent *bufferevent, void *context)
{
    struct connection *connection = context;
    http_worker_take_time(connection->home);
    struct evbuffer *input = bufferevent_get_input(bufferevent);
    if (connection->state == CONNECTION_LINGERING) {
        throw_away(connection, input);
        return;
    }
    char *to = NULL;
    size_t room = connection_input_room(connection, &to);
    int got = room > 0 ? evbuffer_remove(input, to, room) : 0;
    connection->has_ended = connection->ends_after_input && evbuffer_get_length(input) == 0;
    if (got > 0)
        connection_take_input(connection, to, (size_t)got);
    else
        connection_run(connection);
}

static void on_written(struct bufferevent *bufferevent, void *context)
{
    struct connection *connection = context;
    (void)bufferevent;
    http_worker_take_time(connection->home);
    if (connection->state == CONNECTION_LINGERING)
        return;
    connection->is_blocked = false;
    connection_run(connection);
}

/* Clients often leave without closing the session properly: that is an end like any other. */
static void on_event(struct bufferevent *bufferevent, short what, void *context)
{
    struct connection *connection = context;
    http_worker_take_time(connection->home);
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        connection_run(connection);
        return;
    }
    ERR_clear_error();
    if ((what & BEV_EVENT_EOF) == 0 || connection->state == CONNECTION_LINGERING) {
        connection_close(connection);
        return;
    }
    (void)bufferevent_disable(bufferevent, EV_READ);
    (void)bufferevent_enable(bufferevent, EV_WRITE); /* libevent ended that with the reading, though replies may wait */
    connection->ends_after_input = true;
    connection->has_ended = evbuffer_get_length(bufferevent_get_input(bufferevent)) == 0;
    connection_run(connection);
}

int tls_start(struct connection *connection)
{
    struct http_worker *home = connection->home;
    (void)pthread_mutex_lock(&home->listeners->tls_lock);
    SSL *ssl = SSL_new(home->listeners->tls->context);
    (void)pthread_mutex_unlock(&home->listeners->tls_lock);
    if (ssl == NULL)
        return -1;
    struct bufferevent *bufferevent = bufferevent_openssl_socket_new(worker_base(home->worker), connection->fd, ssl,
                                                                     BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (bufferevent == NULL) {
        SSL_free(ssl);
        return -1;
    }
    connection->tls = bufferevent;
    bufferevent_openssl_set_allow_dirty_shutdown(bufferevent, 1);
    bufferevent_setcb(bufferevent, on_readable, on_written, on_event, connection);
    bufferevent_setwatermark(bufferevent, EV_READ, 0, RECORD_BYTES);
    return bufferevent_enable(bufferevent, EV_READ | EV_WRITE);
}

void tls_watch(struct connection *connection)
{
    struct evbuffer *input = bufferevent_get_input(connection->tls);
    if (evbuffer_get_length(input) > 0 && connection->input.length < connection->home->input_size)
        bufferevent_trigger(connection->tls, EV_READ, BEV_TRIG_DEFER_CALLBACKS | BEV_TRIG_IGNORE_WATERMARKS);
}

void tls_write(struct connection *connection, const char *bytes, size_t length)
{
    if (bufferevent_write(connection->tls, bytes, length) != 0)
        connection->is_broken = true;
}

size_t tls_unsent(const struct connection *connection)
{
    return evbuffer_get_length(bufferevent_get_output(connection->tls));
}

void tls_say_goodbye(struct connection *connection)
{
    SSL *ssl = bufferevent_openssl_get_ssl(connection->tls);
    if (SSL_is_init_finished(ssl))
        (void)SSL_shutdown(ssl);
    ERR_clear_error();
}
