/* http_link: see http_link.h. */
#include "bench/http_link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct tls_client {
    SSL_CTX *context;
    struct load_counts *counts;
};

/* Called when a ticket has come, with TLS 1.3 some time after the handshake. The reference is taken over. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct http_link *link = SSL_get_app_data(ssl);
    if (!link->resumes)
        return 0;
    SSL_SESSION_free(link->session);
    link->session = session;
    return 1;
}

struct tls_client *tls_client_new(struct load_counts *counts, struct error *error)
{
    struct tls_client *tls = calloc(1, sizeof *tls);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (tls == NULL || context == NULL) {
        SSL_CTX_free(context);
        free(tls);
        error_set(error, "out of memory for TLS");
        return NULL;
    }
    (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    tls->context = context;
    tls->counts = counts;
    return tls;
}

void tls_client_free(struct tls_client *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->context);
    free(tls);
}

void http_link_init(struct http_link *link, struct tls_client *tls, bool resumes)
{
    *link = (struct http_link){.fd = -1, .tls = tls, .resumes = resumes};
}

int http_link_prepare(struct http_link *link, const struct endpoint *target, const struct sockaddr_storage *source,
                      socklen_t source_length, int epoll, uint32_t number)
{
    static const char congestion[] = "reno"; /* needs neither timers nor models, and what is sent here is one packet */
    int one = 1;
    if (link->fd >= 0)
        return 0;
    int fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, sizeof congestion - 1);
    /* The port is chosen with the target known, so that all ports serve each address. */
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = number};
    if ((source_length > 0 && bind(fd, (const void *)source, source_length) < 0) ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        int reason = errno;
        (void)close(fd);
        errno = reason;
        return -1;
    }
    link->fd = fd;
    return 0;
}

static int begin_tls(struct http_link *link)
{
    link->ssl = SSL_new(link->tls->context);
    if (link->ssl == NULL || SSL_set_fd(link->ssl, link->fd) != 1) {
        errno = ENOMEM;
        return -1;
    }
    SSL_set_app_data(link->ssl, link);
    if (link->resumes && link->session != NULL)
        (void)SSL_set_session(link->ssl, link->session);
    SSL_set_connect_state(link->ssl);
    link->is_shaken = false;
    return 0;
}

int http_link_connect(struct http_link *link, const struct endpoint *target)
{
    link->is_open = true;
    if (connect(link->fd, (const void *)&target->address, target->length) < 0 && errno != EINPROGRESS)
        return -1;
    return link->tls == NULL ? 0 : begin_tls(link);
}

/* What a call of OpenSSL that has not succeeded means: 0: not now, -1 with errno. */
static ssize_t tls_outcome(struct http_link *link, int code)
{
    int reason = errno;
    switch (SSL_get_error(link->ssl, code)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_SYSCALL:
        if (reason == ENOTCONN) /* not yet connected */
            return 0;
        errno = reason == 0 ? ECONNRESET : reason;
        break;
    default:
        errno = EPROTO;
    }
    ERR_clear_error();
    return -1;
}

/* 1: done; else as tls_outcome. */
static ssize_t shake_hands(struct http_link *link)
{
    errno = 0;
    int code = SSL_do_handshake(link->ssl);
    if (code != 1)
        return tls_outcome(link, code);
    if (!link->is_shaken) {
        count_add(&link->tls->counts->handshakes, 1);
        count_add(&link->tls->counts->resumed, SSL_session_reused(link->ssl) == 1);
    }
    link->is_shaken = true;
    return 1;
}

static ssize_t tls_send(struct http_link *link, const char *bytes, size_t length)
{
    ssize_t shaken = shake_hands(link);
    if (shaken <= 0)
        return shaken;
    errno = 0;
    int code = SSL_write(link->ssl, bytes, (int)length);
    return code > 0 ? code : tls_outcome(link, code);
}

ssize_t http_link_send(struct http_link *link, const char *bytes, size_t length)
{
    if (link->tls != NULL)
        return tls_send(link, bytes, length);
    ssize_t sent = send(link->fd, bytes, length, MSG_NOSIGNAL);
    return sent < 0 && (errno == EAGAIN || errno == ENOTCONN) ? 0 : sent;
}

static ssize_t tls_receive(struct http_link *link, char *bytes, size_t room)
{
    ssize_t shaken = shake_hands(link);
    errno = shaken == 0 ? EAGAIN : errno;
    if (shaken <= 0)
        return -1;
    errno = 0;
    int code = SSL_read(link->ssl, bytes, (int)room);
    if (code > 0)
        return code;
    if (SSL_get_error(link->ssl, code) == SSL_ERROR_ZERO_RETURN)
        return 0;
    ssize_t outcome = tls_outcome(link, code);
    errno = outcome == 0 ? EAGAIN : errno;
    return -1;
}

ssize_t http_link_receive(struct http_link *link, char *bytes, size_t room)
{
    if (link->tls != NULL)
        return tls_receive(link, bytes, room);
    return recv(link->fd, bytes, room, 0);
}

void http_link_close(struct http_link *link)
{
    const struct sockaddr none = {.sa_family = AF_UNSPEC};
    if (link->ssl != NULL) {
        /* Without a goodbye, as clients do: OpenSSL would not let the session be resumed after one that failed. */
        SSL_set_shutdown(link->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(link->ssl);
        link->ssl = NULL;
    }
    if (link->is_open && connect(link->fd, &none, sizeof none) < 0) {
        (void)close(link->fd);
        link->fd = -1;
    }
    link->is_open = false;
}

void http_link_clear(struct http_link *link)
{
    http_link_close(link);
    if (link->fd >= 0)
        (void)close(link->fd);
    link->fd = -1;
    SSL_SESSION_free(link->session);
    link->session = NULL;
}
