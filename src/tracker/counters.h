/*
 * counters: what a worker has done, for metrics and the dashboard. Each worker
 * has its own set and is the only one to write it (counter_add: a plain load and
 * store, no locked instruction); other threads read with counter_read.
 */
#ifndef PRIVTRAK_TRACKER_COUNTERS_H
#define PRIVTRAK_TRACKER_COUNTERS_H

#include <stdint.h>

#include "tracker/announce.h"

enum request_action { ACTION_CONNECT, ACTION_ANNOUNCE, ACTION_SCRAPE, ACTION_COUNT };
enum request_result { RESULT_OK, RESULT_REFUSED, RESULT_MALFORMED, RESULT_OVERLOAD, RESULT_COUNT };
enum { FAMILY4, FAMILY6, FAMILY_COUNT };

/* Buckets from 10 µs, each twice the one before: 10 µs, 20 µs, … 5.2 s, and the rest. */
enum { LATENCY_BUCKETS = 21 };

typedef uint64_t counter;

static inline void counter_add(counter *c, uint64_t amount)
{
    __atomic_store_n(c, __atomic_load_n(c, __ATOMIC_RELAXED) + amount, __ATOMIC_RELAXED);
}

static inline void counter_set(counter *c, uint64_t value)
{
    __atomic_store_n(c, value, __ATOMIC_RELAXED);
}

static inline uint64_t counter_read(const counter *c)
{
    return __atomic_load_n(c, __ATOMIC_RELAXED);
}

struct latency {
    counter buckets[LATENCY_BUCKETS];
    counter sum_ns;
};

struct counters {
    /* Written by the frontends: one for each request, when its reply is made. */
    counter requests[PROTOCOL_COUNT][FAMILY_COUNT][ACTION_COUNT][RESULT_COUNT];
    struct latency latency[PROTOCOL_COUNT]; /* from reading the request to having sent the reply */
    counter connections;                    /* HTTP: open now */
    counter mailed;                         /* announces that had to go to another worker */
    counter udp_send_failures;              /* replies that the socket would not take */

    /* Written by the stages and the stores. */
    counter deltas_made;
    counter resets;
    counter clamps;
    counter duplicates;
    counter gc_ns;  /* spent on expiry */
    counter swarms; /* gauges: as they are now */
    counter seeders;
    counter leechers;
    counter sessions;
    counter tombstones;
    counter memory_torrents; /* bytes */
    counter memory_sessions;
};

/* Adds `count` requests that all took `ns`. */
void latency_add(struct latency *latency, int64_t ns, uint64_t count);

/* Maps a verdict to the result that the metrics know. */
enum request_result result_of_verdict(uint8_t verdict);

#endif
