/*
 * output: replies on their way to the client. Those of the connection that is
 * being answered are written one behind the other into memory of the worker, and
 * leave by one send; what the socket does not take, and what has to make room for
 * another connection's replies, is kept in the connection's own buffer. Private to
 * this room.
 */
#ifndef PRIVTRAK_HTTP_OUTPUT_H
#define PRIVTRAK_HTTP_OUTPUT_H

#include "http/connection.h"

/*
 * Replies are gathered up to this many bytes while more requests wait behind
 * them. What one client can make the tracker keep is bounded by this, the replies
 * to AWAY_MAX requests, and input_size; none of it is kept for an idle connection.
 */
enum { GATHER_BYTES = 16384 };

/* What a worker writes replies into. */
enum { OUTPUT_BYTES = GATHER_BYTES + REPLY_BUFFER_BYTES };

/* Where the next reply is to be written; it has REPLY_BUFFER_BYTES. */
char *output_room(struct connection *connection);

/* A reply of that length was written there. */
void output_add(struct connection *connection, size_t length);

/* Sends as much as the socket takes (plain connections; TLS sees to itself). */
void output_flush(struct connection *connection);

/* Bytes that are not yet sent. */
size_t output_unsent(const struct connection *connection);

/* The same, of plain connections only. */
static inline size_t output_gathered(const struct connection *connection)
{
    const struct http_worker *home = connection->home;
    return connection->output.length + (home->gathering == connection ? home->gathered : 0);
}

/* The connection is closed: forgets what was to be sent. */
void output_clear(struct connection *connection);

#endif
