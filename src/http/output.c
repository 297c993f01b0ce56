/* output: see output.h. */
#include "http/output.h"

#include <errno.h>
#include <sys/socket.h>

#include "http/tls.h"

size_t output_unsent(const struct connection *connection)
{
    return connection->tls != NULL ? tls_unsent(connection) : output_gathered(connection);
}

/* All replies made so far are on their way. */
static void note_sent(struct connection *connection)
{
    if (connection->unsent == 0)
        return;
    struct http_worker *home = connection->home;
    http_worker_take_time(home);
    latency_add(&worker_counters(home->worker)->latency[PROTOCOL_HTTP], home->now_ns - connection->read_ns,
                connection->unsent);
    connection->unsent = 0;
}

/* Returns how many bytes the socket took. */
static size_t send_some(struct connection *connection, const char *bytes, size_t length)
{
    ssize_t sent = send(connection->fd, bytes, length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        connection->is_broken = true;
    size_t taken = sent > 0 ? (size_t)sent : 0;
    if (taken < length)
        connection->is_blocked = !connection->is_broken;
    return taken;
}

/* Ends the gathering for a connection: what is behind the first `sent` bytes goes into its own buffer. */
static void keep_gathered(struct connection *connection, size_t sent)
{
    struct http_worker *home = connection->home;
    size_t left = home->gathered - sent;
    home->gathering = NULL;
    home->gathered = 0;
    if (left > 0 && !connection->is_broken && !buffer_append(&connection->output, home->output + sent, left))
        connection->is_broken = true;
}

void output_flush(struct connection *connection)
{
    const struct http_worker *home = connection->home;
    struct buffer *output = &connection->output;
    if (home->gathering == connection) {
        bool is_first = output->length == 0 && !connection->is_blocked;
        keep_gathered(connection, is_first ? send_some(connection, home->output, home->gathered) : 0);
    }
    if (output->length > 0 && !connection->is_blocked)
        buffer_consume(output, send_some(connection, buffer_bytes(output), output->length));
    if (output->length == 0 && !connection->is_broken)
        note_sent(connection);
}

char *output_room(struct connection *connection)
{
    struct http_worker *home = connection->home;
    if (home->gathering != NULL && home->gathering != connection)
        keep_gathered(home->gathering, 0);
    else if (home->gathered > GATHER_BYTES)
        output_flush(connection);
    return home->output + home->gathered;
}

void output_add(struct connection *connection, size_t length)
{
    struct http_worker *home = connection->home;
    connection->unsent++;
    if (connection->tls != NULL) {
        tls_write(connection, home->output, length);
        connection->is_blocked = tls_unsent(connection) > GATHER_BYTES;
        note_sent(connection);
        return;
    }
    home->gathering = connection;
    home->gathered += length;
}

void output_clear(struct connection *connection)
{
    struct http_worker *home = connection->home;
    buffer_clear(&connection->output);
    if (home->gathering == connection) {
        home->gathering = NULL;
        home->gathered = 0;
    }
}
