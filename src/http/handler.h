/* handler: what a parsed request asks for, and the answers to it. Private to this room. */
#ifndef PRIVTRAK_HTTP_HANDLER_H
#define PRIVTRAK_HTTP_HANDLER_H

struct connection;

/*
 * Handles connection->request, whose bytes begin at `data`: either answers it or
 * sends it to the workers (connection->is_away).
 */
void handle_request(struct connection *connection, const char *data);

/* Answers what cannot be handled, and lets the connection end with that. */
void handle_malformed(struct connection *connection, unsigned status);

#endif
