/*
 * connection: one client's TCP connection, from accept to close. It reads,
 * has requests parsed and handled one after the other, writes their replies in
 * that order, and sees to time-outs. Private to this room; the worker's thread.
 */
#ifndef PRIVTRAK_HTTP_CONNECTION_H
#define PRIVTRAK_HTTP_CONNECTION_H

#include <event2/bufferevent.h>

#include "http/buffer.h"
#include "http/frontend.h"
#include "http/reply.h"

enum connection_state {
    CONNECTION_PROXY,     /* the PROXY header is awaited */
    CONNECTION_OPEN,      /* requests are read and answered */
    CONNECTION_FINISHING, /* the last answer is made: it is still to be written, and no more is parsed */
    CONNECTION_LINGERING, /* all is said; what the client still sends is thrown away, so that it can read the answer */
};

/* How many requests of one client may be away. */
enum { AWAY_MAX = 16 };

struct connection {
    struct event event; /* plain connections; TLS too while the PROXY header is awaited */
    struct http_worker *home;
    struct bufferevent *tls; /* NULL: a plain one */
    int fd;
    short watched; /* what `event` waits for: EV_READ, EV_WRITE or 0 */
    uint8_t state; /* enum connection_state */
    uint8_t away;  /* requests that are with the workers: in this worker's batch, in order, or a single one elsewhere */
    bool is_tls;
    bool is_trusted;        /* real_ip_header is believed */
    bool is_running;        /* connection_run is on the stack */
    bool is_resuming;       /* in home->resuming */
    bool is_blocked;        /* the socket takes no more output for now */
    bool is_reading;        /* the first byte of a request came, not yet the last */
    bool has_more;          /* bytes behind the request in hand wait to be parsed */
    bool has_ended;         /* the client sends no more */
    bool ends_after_input;  /* TLS: it does so with what still waits in the bufferevent */
    bool is_broken;         /* nothing can be sent or received any more */
    bool lingers;           /* the client may be sending still: close so that it can read the answer */
    bool must_wait;         /* no more is parsed until all that is away is answered */
    bool hurries;           /* gathered replies are not to wait for the one that is away */
    struct reply_head head; /* for the replies to the request in hand and to what is away */
    struct address peer;    /* the client's, or the proxy's */
    struct request request;
    struct buffer input;  /* what came and is not yet parsed */
    struct buffer output; /* what the socket did not take yet (plain); see output.h */
    struct wheel_entry timer;
    uint64_t generation; /* changes when the connection closes: a late answer is for an earlier one */
    int64_t read_ns;     /* when the first request that is away was read */
    uint32_t unsent;     /* replies that are made and not yet sent */
    size_t discarded;    /* bytes thrown away while lingering */
    TAILQ_ENTRY(connection)
    link;
    TAILQ_ENTRY(connection)
    resume_link;
};

/* Takes a new connection over, `fd` included. It may be served and closed before this returns. */
void connection_open(struct http_worker *home, int fd, const struct address *peer, bool is_tls);

/* Closes it at once. */
void connection_close(struct connection *connection);

/* A request that was away has been answered: goes on where it was the last one. It may close. */
void connection_continue(struct connection *connection);

/* Goes on with a connection of home->resuming. It may close. */
void connection_resume(struct connection *connection);

/* Answers what came already, then closes. */
void connection_drain(struct connection *connection);

/* Goes on parsing, writing and waiting, as far as it can. It may close. */
void connection_run(struct connection *connection);

/* How many bytes may be read now, and where to; 0: none until some are parsed. */
size_t connection_input_room(struct connection *connection, char **to);

/* `length` bytes were read to where connection_input_room said: parses them and runs. It may close. */
void connection_take_input(struct connection *connection, const char *data, size_t length);

/* `length` more bytes were thrown away while lingering. It may close. */
void connection_discard(struct connection *connection, size_t length);

/* Finds out anew whether it comes from a trusted proxy. */
void connection_trust(struct connection *connection);

/* The deadline of the wheel has passed. */
void connection_expired(struct wheel_entry *entry);

#endif
