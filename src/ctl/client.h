/* client: speaks HTTP to the tracker over its unix socket. */
#ifndef PRIVTRAK_CTL_CLIENT_H
#define PRIVTRAK_CTL_CLIENT_H

#include <stddef.h>

#include "base/error.h"

struct client;

/* Nothing is connected yet. NULL with a reason. */
struct client *client_new(const char *socket, struct error *error);
void client_free(struct client *client);

/*
 * Sends one request; `body` is JSON text, or NULL for none. Gives the status and the
 * answer's body (malloc'd, ended by a NUL). Returns 0, or -1 with a reason where nobody answered.
 */
int client_call(struct client *client, const char *method, const char *path, const char *body, long *status,
                char **answer, struct error *error);

#endif
