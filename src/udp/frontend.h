/*
 * frontend: what the UDP frontend keeps for one worker. Private to src/udp; all
 * of it is touched by that worker's thread only.
 *
 * A datagram's way: receive.c reads up to 64 of them at once, request.c tells what
 * each one asks for and hands announces to the worker, the answers come
 * back into outbox.c, where merge.c puts those to one client together, and one
 * sendmmsg takes them all.
 */
#ifndef PRIVTRAK_UDP_FRONTEND_H
#define PRIVTRAK_UDP_FRONTEND_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "tracker/worker.h"
#include "udp/connection_id.h"
#include "udp/listen.h"
#include "udp/merge.h"
#include "udp/packet.h"

enum {
    UDP_BATCH = 64,
    UDP_TURN_BATCHES = 8, /* from one socket, before the other sockets and the clock get their turn */
    UDP_LATE_MAX = 16384, /* requests that may wait for an answer past their batch */
    UDP_SCRAPES_MAX = 64, /* scrapes under way */
    /* An odd number of cache lines: at 2,048 the heads of all datagrams would share two sets of the cache. */
    UDP_DATAGRAM_STRIDE = PACKET_REQUEST_MAX + 64,
    UDP_PEER_BYTES = sizeof(struct sockaddr_in6),
    UDP_CONTROL_BYTES = CMSG_SPACE(sizeof(struct in6_pktinfo)),
};

struct udp_frontend;

struct udp_socket {
    struct udp_frontend *frontend;
    struct event *readable;
    struct event *next_turn; /* a timer of 0, while the socket is under full load */
    bool is_polled;          /* and so is not watched, but read each turn */
    bool can_merge;
    int fd;
    uint16_t listener; /* its number, the same for all workers */
    uint8_t family;    /* FAMILY4 or FAMILY6 */
};

/*
 * Where a datagram came from and came to, as the kernel takes it for the reply:
 * the control message received is the control message sent.
 */
struct udp_envelope {
    _Alignas(struct cmsghdr) uint8_t control[UDP_CONTROL_BYTES];
    union {
        struct sockaddr generic;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
    } peer;
    uint8_t control_length;
    uint8_t peer_length;
};

/*
 * A request on its way to an answer. One belongs to each place of the receiving
 * batch. One that has no answer when the batch is done becomes late: it leaves
 * its place to another and lives until the answer comes.
 */
struct udp_request {
    struct udp_envelope envelope;
    struct udp_socket *socket;
    uint32_t transaction;
    bool is_pending;
    bool is_late;
    uint64_t generation; /* counts its uses: an answer to an earlier one goes nowhere */
    int64_t received_ns; /* only where it is late */
    struct udp_request *next_free;
    struct udp_request *next_made; /* of those that pool.c made */
};

struct udp_scrape {
    struct scrape scrape;
    struct udp_request *request;
    uint64_t request_generation;
    struct udp_scrape *next_free;
    struct udp_scrape *next_made;
    uint8_t info_hashes[PACKET_SCRAPE_MAX][INFO_HASH_BYTES];
    struct scrape_result results[PACKET_SCRAPE_MAX];
};

struct udp_inbox {
    struct mmsghdr messages[UDP_BATCH];
    struct iovec vectors[UDP_BATCH];
    struct udp_request *requests[UDP_BATCH];
    uint8_t datagrams[UDP_BATCH][UDP_DATAGRAM_STRIDE];
};

/* Replies that wait for sendmmsg; all for one socket. */
struct udp_outbox {
    unsigned count;
    unsigned late_count;
    unsigned borrowed_count; /* that stand in the worker's memory, before the peers themselves */
    struct udp_socket *socket;
    struct mmsghdr messages[UDP_BATCH];
    struct iovec vectors[UDP_BATCH];
    int64_t late_since_ns[UDP_BATCH]; /* late replies only */
    struct udp_envelope envelopes[UDP_BATCH];
    struct udp_merged merged;
    uint8_t replies[UDP_BATCH][PACKET_REPLY_MAX + 4]; /* a multiple of 16 */
};

struct udp_settings {
    uint32_t connection_lifetime_s;
    uint32_t default_numwant;
    uint32_t max_scrape; /* 0: none are answered */
};

/* The connection id that was found good last: whose it was, and in which second. */
struct udp_good_id {
    uint64_t id;
    int64_t checked_s;
    struct address source;
};

struct udp_frontend {
    struct worker *worker;
    struct counters *counters;
    const struct connection_key *key;
    struct udp_settings settings;
    unsigned number;
    unsigned workers;
    int64_t now_s;
    int64_t batch_ns;  /* when the batch in hand was received */
    bool is_receiving; /* a batch is in hand, and its outbox will be sent at its end */
    bool is_draining;
    struct udp_good_id good_id;
    unsigned pending_count; /* of the batch in hand */
    unsigned scrape_count;
    uint8_t scrapes[UDP_BATCH]; /* the places of the batch that hold scrapes */

    struct event *send_event; /* sends late replies at the end of a turn */
    struct udp_request *free_requests;
    struct udp_request *made_requests;
    unsigned made_request_count;
    struct udp_scrape *free_scrapes;
    struct udp_scrape *made_scrapes;
    unsigned made_scrape_count;

    struct udp_request own_requests[UDP_BATCH];
    struct udp_inbox inbox;
    struct udp_outbox outbox;
    size_t socket_count;
    struct udp_socket sockets[];
};

/* pool.c */

/* NULL: too many are under way. */
struct udp_request *udp_request_take(struct udp_frontend *frontend);
struct udp_scrape *udp_scrape_take(struct udp_frontend *frontend);
void udp_scrape_release(struct udp_frontend *frontend, struct udp_scrape *scrape);

/* The request is with the worker now, which will answer it. Returns the generation that the answer has to name. */
uint64_t udp_request_submitted(struct udp_frontend *frontend, struct udp_request *request);

/* The request is done with: answered, or dropped. A late one is free again. */
void udp_request_finish(struct udp_frontend *frontend, struct udp_request *request);

/* What of the batch has no answer yet becomes late. */
void udp_detach_pending(struct udp_frontend *frontend, unsigned batch_count);
void udp_pools_free(struct udp_frontend *frontend);

/* receive.c */

void udp_inbox_init(struct udp_frontend *frontend);
/* Has the datagram for that place of the inbox received into the request that stands there. */
void udp_inbox_arm(struct udp_inbox *inbox, unsigned place);
void udp_socket_readable(evutil_socket_t fd, short what, void *context);
int udp_socket_watch(struct udp_socket *socket);
void udp_socket_ignore(struct udp_socket *socket);

/* request.c */

/* What the datagram at that place of the inbox asks for; scrapes are only noted. */
void udp_handle_datagram(struct udp_frontend *frontend, unsigned place);
void udp_handle_announce(struct udp_frontend *frontend, struct udp_request *request, const uint8_t *bytes,
                         size_t length);
void udp_handle_scrape(struct udp_frontend *frontend, unsigned place);

/* forward.c */

/* Sends the datagram of `request` to the worker that owns its torrent. */
void udp_forward(struct udp_frontend *frontend, struct udp_request *request, const uint8_t *bytes, size_t length,
                 unsigned owner);

/* outbox.c */

void udp_outbox_init(struct udp_frontend *frontend);
void udp_outbox_send(struct udp_frontend *frontend);

/* Room of PACKET_REPLY_MAX bytes for a reply, which is then finished with udp_reply_end. */
uint8_t *udp_reply_begin(struct udp_frontend *frontend, struct udp_request *request);
void udp_reply_end(struct udp_frontend *frontend, size_t size);
void udp_reply_error(struct udp_frontend *frontend, struct udp_request *request, const char *text);

/* The answer of an announce that the chain has accepted. */
void udp_reply_announce(struct udp_frontend *frontend, struct udp_request *request, const struct announce *announce);

static inline void udp_count(struct udp_frontend *frontend, const struct udp_request *request,
                             enum request_action action, enum request_result result)
{
    counter_add(&frontend->counters->requests[PROTOCOL_UDP][request->socket->family][action][result], 1);
}

#endif
