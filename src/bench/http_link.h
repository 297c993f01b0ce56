/*
 * http_link: the connection under a lane of the HTTP generator: TCP, plain or with TLS, never blocking. One thread's own.
 *
 * A link that is made anew for each request keeps its socket: it is disconnected by a reset and connected again, which
 * spares the generator most of what a new socket costs. What the server does for a connection stays the same, for the
 * kernel handles the end of a closed connection in the name of the side that ends it last.
 */
#ifndef PRIVTRAK_BENCH_HTTP_LINK_H
#define PRIVTRAK_BENCH_HTTP_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "bench/load.h"

struct tls_client; /* what all links of a thread have in common */
struct ssl_st;
struct ssl_session_st;

struct http_link {
    int fd;                 /* -1: no socket */
    bool is_open;           /* connected, or on the way to it */
    bool resumes;           /* TLS: the last session's ticket is offered to the server */
    bool is_shaken;         /* TLS: the handshake is done, and was counted */
    struct tls_client *tls; /* NULL: plain */
    struct ssl_st *ssl;
    struct ssl_session_st *session; /* NULL: none yet */
};

/* Certificates are not looked at: only loopback is loaded, with certificates made for it. Counts handshakes. */
struct tls_client *tls_client_new(struct load_counts *counts, struct error *error);
void tls_client_free(struct tls_client *tls);

void http_link_init(struct http_link *link, struct tls_client *tls, bool resumes);

/* Makes the socket where there is none, and registers it with `epoll` under `number`, edge-triggered, for good. */
int http_link_prepare(struct http_link *link, const struct endpoint *target, const struct sockaddr_storage *source,
                      socklen_t source_length, int epoll, uint32_t number);

/* Begins to connect. Returns 0, or -1 with errno. */
int http_link_connect(struct http_link *link, const struct endpoint *target);

/* Bytes sent, 0: not now; -1 with errno: the connection is broken. Drives the handshake of TLS. */
ssize_t http_link_send(struct http_link *link, const char *bytes, size_t length);

/* Bytes read, -1 with errno: EAGAIN for nothing now, else the connection is broken. 0: it has ended. */
ssize_t http_link_receive(struct http_link *link, char *bytes, size_t room);

/* Ends the connection; the socket may stay, for the next one. */
void http_link_close(struct http_link *link);
void http_link_clear(struct http_link *link);

#endif
