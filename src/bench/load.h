/*
 * load: the engine of the announce generators, the same for UDP and HTTP. It
 * decides who says what and when, keeps the requests that wait for an answer,
 * counts, and keeps the model accounts. A transport carries the requests.
 *
 * Each thread has lanes, peers, requests and counts of its own; the main thread
 * reads the counts while it runs, and the rest after the join.
 */
#ifndef PRIVTRAK_BENCH_LOAD_H
#define PRIVTRAK_BENCH_LOAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/accounting.h"
#include "bench/cpu.h"
#include "bench/histogram.h"
#include "bench/options.h"
#include "bench/swarm.h"

enum load_protocol { LOAD_UDP, LOAD_HTTP };
enum load_families { FAMILIES_4, FAMILIES_6, FAMILIES_BOTH };
enum passkey_form { FORM_QUERY, FORM_PATH, FORM_ANNOUNCE_PATH, FORM_MIXED };

enum {
    REQUESTS_MAX = 65536, /* in flight, a thread: their number fits half a transaction id */
    FOLLOW_UPS = 256,     /* a power of two */
    FAILURES_MAX = 32,    /* kinds of failures kept apart */
    FAILURE_TEXT_BYTES = 128,
    SCRAPE_HASHES = 8,
    LATE_COPY_RISK_MS = 50 * 1000, /* past 60 s a lower counter is a restart: no copy is told to the model near that */
};

struct load_settings {
    int protocol;
    struct endpoint targets[2]; /* IPv4, IPv6; length 0: not used */
    struct world_settings world;
    uint64_t thread_count;
    uint64_t lanes; /* sockets or connections, of all threads */
    uint64_t in_flight;
    uint64_t pipeline;
    uint64_t requests; /* 0: as long as the duration says */
    uint64_t rate;     /* 0: closed loop */
    uint64_t retries;
    int64_t duration_ns;
    int64_t warm_up_ns;
    int64_t timeout_ns;
    int64_t numwant;
    double scrape;
    int passkey_form;
    bool fill;
    bool keepalive;
    bool segments; /* UDP: the kernel is given several packets as one */
    bool tls;
    bool resume; /* TLS sessions */
    bool quiet;
    struct cpu_list cpus;
    uint64_t pid; /* 0: none whose CPU time is read */
    const char *json;
    const char *ledger;
};

/* Counts that the main thread looks at meanwhile. One writer: the thread itself. */
struct load_counts {
    atomic_uint_fast64_t requests; /* announces and scrapes, copies that were sent again aside */
    atomic_uint_fast64_t announces;
    atomic_uint_fast64_t scrapes;
    atomic_uint_fast64_t late_copies;
    atomic_uint_fast64_t replies; /* successes */
    atomic_uint_fast64_t announce_replies;
    atomic_uint_fast64_t failures;
    atomic_uint_fast64_t resent;
    atomic_uint_fast64_t lost;       /* given up */
    atomic_uint_fast64_t stray;      /* answers to nothing that waits for one */
    atomic_uint_fast64_t connects;   /* UDP handshakes, or TCP connections */
    atomic_uint_fast64_t handshakes; /* TLS, all of them */
    atomic_uint_fast64_t resumed;    /* those that went on with an earlier session */
    atomic_uint_fast64_t peers;
    atomic_uint_fast64_t reply_bytes;
    atomic_uint_fast64_t unsent; /* open loop: due before the end, never sent */
};

static inline void count_add(atomic_uint_fast64_t *count, uint64_t more)
{
    uint64_t now = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, now + more, memory_order_relaxed);
}

static inline uint64_t count_of(const atomic_uint_fast64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

struct failure_count {
    char text[FAILURE_TEXT_BYTES];
    uint64_t count;
};

enum load_action { ACTION_CONNECT, ACTION_ANNOUNCE, ACTION_SCRAPE, ACTION_ERROR }; /* BEP 15's numbers */

/* What waits for an answer. */
struct request {
    int64_t scheduled_ns;  /* latency counts from here: when it was due, or in a closed loop when it was sent */
    int64_t sent_ns;       /* last */
    uint32_t peer;         /* announce: who; scrape: the first of those whose torrents are asked for */
    uint32_t older, newer; /* by sent_ns; REQUEST_NONE at the ends */
    uint16_t lane;
    uint16_t generation;
    uint8_t action;
    uint8_t hashes;   /* scrape */
    uint8_t attempts; /* 0: the slot is free */
    bool late;
};
#define REQUEST_NONE UINT32_MAX

struct follow_up {
    uint32_t peer;
    bool late;
    int64_t made_ns;
};

/* One source address of one family: a UDP socket, or a TCP connection after another. Its peers live behind it. */
struct lane {
    uint32_t first_peer;
    uint32_t peer_count;
    uint32_t cursor;
    uint32_t visited; /* while filling and settling: how many of its peers had their turn */
    uint32_t in_flight;
    uint32_t window;  /* at most so many in flight */
    uint16_t sibling; /* the lane of the other family that its dual-stack peers use, too; its own number: none */
    uint8_t family;   /* 4 or 6 */
    uint32_t follow_head, follow_tail;
    struct follow_up follow_ups[FOLLOW_UPS];
};

enum load_phase { PHASE_FILL, PHASE_WARM_UP, PHASE_RUN, PHASE_DRAIN, PHASE_SETTLE };

struct load;

struct load_thread {
    struct load *load;
    size_t index;
    pthread_t thread;
    struct random random;
    enum load_phase phase;
    int64_t phase_start_ns;
    int64_t now_ns; /* taken by the transport once a batch */

    struct peer *peers;
    uint32_t peer_count;
    struct lane *lanes;
    uint16_t lane_count;
    uint16_t next_lane; /* open loop: lanes take turns */

    struct request *requests;
    uint32_t request_room;
    uint32_t *free_requests;
    uint32_t free_count;
    uint32_t oldest, newest; /* in flight, by sent_ns */
    uint64_t budget;         /* of --requests: what this thread may still send */
    uint64_t issued;         /* open loop: since the phase began */
    double interval_ns;

    struct accounting *accounting; /* NULL without --ledger */
    uint64_t ambiguous;            /* announces that the model cannot judge for their timing */
    struct load_counts counts;
    uint64_t replies_in_time; /* until sending ended */
    uint64_t unresolved;      /* announces whose fate stays unknown: the ledger is not certain */
    int64_t run_ns;
    int64_t cpu_ns;
    struct histogram latency;
    struct histogram lateness; /* open loop: how long after they were due the generator got round to requests */
    struct failure_count failures[FAILURES_MAX];
    size_t failure_count;
    void *transport;    /* the transport's own */
    struct error error; /* "" where all went well */
};

/* How requests travel. */
struct transport {
    const char *name;
    int (*open)(struct load_thread *thread, struct error *error);
    /* Sends what may be sent, waits a little for answers, and takes those that came. */
    void (*turn)(struct load_thread *thread);
    void (*close)(struct load_thread *thread);
};
extern const struct transport transport_udp, transport_http;

struct load {
    struct load_settings settings;
    const struct transport *transport;
    struct world world;
    struct load_thread *threads;
    atomic_bool stop;       /* SIGINT: end the phase at hand */
    atomic_uint ready;      /* threads that wait for the measured part */
    atomic_bool start;      /* they may begin it */
    atomic_uint ended;      /* threads that have ended it */
    atomic_uint done;       /* threads that have ended all */
    struct cpu_usage usage; /* of --pid, while it ran */
    bool has_usage;
};

/* engine.c: for the transports. */

/*
 * How many requests may be begun now, at most `limit`: in an open loop those that are due, in a closed one
 * what the phase leaves. Whether a lane has room is the transport's to look at.
 */
uint32_t load_due(const struct load_thread *thread, uint32_t limit);

/* Nanoseconds until the next request is due; 0 where one is, 10 ms at most. */
int64_t load_wait_ns(const struct load_thread *thread);

/* Begins a request on the lane; REQUEST_NONE where it has nothing to say now. */
uint32_t load_take(struct load_thread *thread, uint16_t lane);

/* The announce of a request that is in flight. */
void load_describe(const struct load_thread *thread, uint32_t request, struct peer_announce *announce);
/* The hash number `i` of a scrape. */
void load_scrape_hash(const struct load_thread *thread, uint32_t request, uint32_t i,
                      uint8_t info_hash[static INFO_HASH_BYTES]);
/* How the user's passkey stands in the URL: FORM_MIXED resolved. */
enum passkey_form load_passkey_form(const struct load_thread *thread, uint32_t request);

/* The request's end: a success, a failure that the target told, or no answer for good. */
void load_succeeded(struct load_thread *thread, uint32_t request, uint32_t peers, size_t bytes);
void load_failed(struct load_thread *thread, uint32_t request, const char *reason, size_t length);
void load_lost(struct load_thread *thread, uint32_t request);

/* It is to be sent again: counts that. Returns false where the retries are used up and it has ended as lost. */
bool load_again(struct load_thread *thread, uint32_t request);

/*
 * The address that a lane sends from: one of its own in 127.0.0.0/8 where the target is IPv4 loopback, with port 0.
 * Returns its length; 0: leave it to the kernel.
 */
socklen_t load_source_address(const struct load_thread *thread, uint16_t lane, struct sockaddr_storage *address);

/* Something failed that is no request's answer. */
void load_note(struct load_thread *thread, const char *reason, size_t length);

/* The request that was sent longest ago, where that is past the time-out; else REQUEST_NONE. */
uint32_t load_expired(const struct load_thread *thread);

/* run.c: the whole run. Returns the exit status. */
int load_run(struct load *load);

/* report.c */
struct load_sums {
    uint64_t requests, announces, scrapes, late_copies, replies, announce_replies, failures, resent, lost, stray,
        connects, handshakes, resumed, peers, reply_bytes, unsent;
};
void report_sum(const struct load *load, struct load_sums *sums);
/* One line of what happened since `before`, which becomes the present. */
void report_progress(const struct load *load, struct load_sums *before, double seconds, double elapsed);
int report_end(const struct load *load, struct error *error);

/* ledger.c: the model's accounts as CSV. */
int ledger_write(const struct load *load, struct error *error);

#endif
