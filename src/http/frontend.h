/*
 * frontend: what the HTTP frontend keeps for each worker, and what all of its
 * workers share. Private to this room.
 */
#ifndef PRIVTRAK_HTTP_FRONTEND_H
#define PRIVTRAK_HTTP_FRONTEND_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "config/config.h"
#include "http/http.h"
#include "http/request.h"
#include "http/wheel.h"
#include "tracker/tracker.h"

struct connection;
struct tls;

/* One address that is listened on, with a socket for each worker. */
struct listener {
    struct address address;
    bool is_tls;
    int *sockets; /* one a worker; -1: closed */
};

struct http_listeners {
    struct listener *list;
    size_t count;
    unsigned workers;
    struct worker_hooks hooks;
    atomic_uint connections;     /* open now, on all workers */
    atomic_uint max_connections; /* as configured, or as many as the descriptor limit allows */

    /* TLS: the context for new connections, replaced by a reload. */
    pthread_mutex_t tls_lock;
    struct tls *tls;
    unsigned tls_reloads; /* how many reloads the context has seen */
};

/* A listening socket of one worker. */
struct acceptor {
    struct event event;
    struct http_worker *home;
    int socket;
    bool is_tls;
};

TAILQ_HEAD(connection_list, connection);

/* One worker's share of the frontend; touched by its thread only. */
struct http_worker {
    struct worker *worker;
    struct http_listeners *listeners;
    const struct config *config;        /* in force */
    struct request_rules rules;         /* for requests from anyone */
    struct request_rules trusted_rules; /* for those from a trusted proxy */
    unsigned reloads;

    struct acceptor *acceptors;
    size_t acceptor_count;
    bool accepting_is_paused; /* no descriptor was left; the next tick tries again */
    bool is_draining;

    struct connection_list connections;
    struct connection_list spare;    /* closed ones, kept for their next use: late answers may still name them */
    struct connection_list resuming; /* answered, with more requests waiting in their buffers */
    struct event resume;
    struct event tick;
    struct wheel wheel;
    int64_t now_ns;    /* taken when an event is handled and when replies were sent; a tick old at most */
    int64_t ticked_ns; /* when the worker's coarse clock was last taken */

    char *input;                  /* what was just read; shared by all connections, for most requests come whole */
    size_t input_size;            /* more than max_request */
    char *output;                 /* OUTPUT_BYTES for replies; see output.h */
    struct connection *gathering; /* whose they are; NULL: nobody's */
    size_t gathered;              /* and how many bytes */
};

/* Takes the clock, and the worker's coarse one at most once a millisecond. */
void http_worker_take_time(struct http_worker *home);

/* Sets what the configuration decides. At start and at each reload. Returns 0 or -1. */
int http_worker_configure(struct http_worker *home, const struct config *config);

/* The largest number of connections that the descriptor limit leaves room for, after raising it as far as may be. */
uint32_t http_descriptor_room(uint32_t wanted, unsigned workers);

#endif
