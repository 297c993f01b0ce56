/*
 * tls: certificates, and connections over TLS by libevent's bufferevents.
 * Private to this room.
 */
#ifndef PRIVTRAK_HTTP_TLS_H
#define PRIVTRAK_HTTP_TLS_H

#include "base/error.h"
#include "config/config.h"

struct tls;
struct connection;
struct http_worker;

/*
 * Reads certificate chain and key. `before`, where not NULL, is the context that
 * this one replaces: sessions made with it can still be resumed. Returns NULL
 * with a reason, `http.tls.…: …`.
 */
struct tls *tls_new(const struct config_http *config, const struct tls *before, struct error *error);
void tls_free(struct tls *tls);

/* A worker has got a new configuration: the first one that tells so reads certificate and key anew. */
void tls_reload(struct http_worker *home);

/* Begins the handshake on the connection's socket. Returns 0 or -1. */
int tls_start(struct connection *connection);

/* Sees to it that what came is handed to the connection, as far as it has room. */
void tls_watch(struct connection *connection);

void tls_write(struct connection *connection, const char *bytes, size_t length);

/* Bytes that are not yet sent. */
size_t tls_unsent(const struct connection *connection);

/* Tells the client that nothing more comes. */
void tls_say_goodbye(struct connection *connection);

#endif
