/*
 * server: the HTTP side of the operator's calls, on evhttp. It bounds what
 * strangers can hold: connections, headers, bodies and time.
 */
#ifndef PRIVTRAK_ADMIN_SERVER_H
#define PRIVTRAK_ADMIN_SERVER_H

#include <event2/event.h>
#include <stdbool.h>

#include "admin/backend.h"

struct server;

/* `is_local`: for the unix socket, whose callers need no token. NULL: out of memory. */
struct server *server_new(struct event_base *base, struct backend *backend, bool is_local);

/* Takes connections from a listening socket, which stays the caller's. Returns 0, or -1 out of memory. */
int server_add(struct server *server, int file);

/* Closes all connections; the base must not be running. NULL is allowed. */
void server_free(struct server *server);

#endif
