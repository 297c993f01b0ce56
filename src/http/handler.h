/* handler: what a parsed request asks for, and the answers to it. Private to this room. */
#ifndef PRIVTRAK_HTTP_HANDLER_H
#define PRIVTRAK_HTTP_HANDLER_H

#include <stdbool.h>

struct connection;

/*
 * Handles connection->request, whose bytes begin at `data`: either answers it or
 * sends it to the workers (connection->away). Returns false, and nothing is done,
 * where it would be answered before one that is away: it is to be handled again
 * when all of those are answered.
 */
bool handle_request(struct connection *connection, const char *data);

/* Answers what cannot be handled, and lets the connection end with that. */
void handle_malformed(struct connection *connection, unsigned status);

#endif
