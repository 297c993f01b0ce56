/*
 * http: the announce frontend over TCP and TLS. Sockets are opened by the main
 * thread, before privileges are dropped; all else happens on the workers.
 */
#ifndef PRIVTRAK_HTTP_HTTP_H
#define PRIVTRAK_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "base/error.h"
#include "config/config.h"

struct http_listeners;
struct tracker;

/*
 * Opens one SO_REUSEPORT socket a worker for each address of `http`, reads
 * certificate and key where there is tls.listen, and raises the descriptor limit
 * so that max_connections fit. A default address whose family the machine lacks
 * is left out with a warning. Returns NULL with a reason, `KEY: …`.
 */
struct http_listeners *http_listen(const struct config *config, unsigned workers, struct error *error);

/* Closes all sockets; the tracker must be gone. NULL is allowed. */
void http_listeners_free(struct http_listeners *listeners);

/*
 * What is listened on: the n-th address, with the port that the kernel picked
 * where 0 was asked for. Returns false past the last one.
 */
struct http_address {
    struct address address;
    bool is_tls;
};
bool http_listening(const struct http_listeners *listeners, size_t n, struct http_address *address);

/* Attaches the frontend to every worker, before tracker_start. The listeners must outlive the tracker. */
void http_add_to(struct tracker *tracker, struct http_listeners *listeners);

#endif
