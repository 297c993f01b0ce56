/*
 * runner: the thread of one sink. It reads the journal from where the sink
 * stands, builds batches by size or age, and hands them over until they are taken:
 * in order, again after a pause where the sink could not, in halves where it would not.
 */
#ifndef PRIVTRAK_DELTAS_RUNNER_H
#define PRIVTRAK_DELTAS_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "deltas/journal.h"
#include "deltas/ledger.h"
#include "deltas/sink.h"

struct runner;

struct runner_options {
    uint32_t batch_size;
    uint32_t flush_interval_ms;
    bool include_address;
};

struct runner_settings {
    const struct sink_type *type;
    struct sink *sink; /* the runner's own from runner_new on */
    const char *name;  /* copied */
    struct journal *journal;
    struct runner_options options;
    uint32_t pause_min_ms; /* between tries: from here, doubling, */
    uint32_t pause_max_ms; /* up to here */

    /* Called on the runner's thread: its position has moved; and: the sink has taken numbers above all that were given out. */
    void (*moved)(void *context);
    void (*ahead)(void *context, uint64_t seq);
    void *context;
};

/* NULL with a reason: out of memory. The sink is then still the caller's. */
struct runner *runner_new(const struct runner_settings *settings, struct error *error);
int runner_start(struct runner *runner, struct error *error);

/* Any thread, all that follows. */

/* The last seq that the sink has taken for good, as far as is known; 0: not known. */
uint64_t runner_position(const struct runner *runner);

/* The sink has told where it stands, and, where that was needed, `ahead` was called. */
bool runner_is_placed(const struct runner *runner);

/* Records up to `synced_seq` may be read. Cheap: wakes the thread only where that makes a batch or begins one. */
void runner_wake(struct runner *runner, uint64_t synced_seq);

/* By one thread, again and again: sees to it that others leave the runner's thread enough of the machine. */
void runner_watch(struct runner *runner, int64_t now_ns);

/* Delivers all up to `seq` without waiting for batches to fill. */
void runner_flush(struct runner *runner, uint64_t seq);

void runner_set_options(struct runner *runner, const struct runner_options *options);

/* Delivers what is there up to `seq`, then ends; gives up sooner where the sink does not take it. */
void runner_finish(struct runner *runner, uint64_t seq);

/* Ends now, whatever is left. */
void runner_interrupt(struct runner *runner);

/* Waits for the thread until `deadline_ns` of the monotonic clock. False: it still runs. */
bool runner_join(struct runner *runner, int64_t deadline_ns);

void runner_status(struct runner *runner, struct ledger_sink_status *status);

/* After runner_join, or if it was never started. A runner that could not be joined is left as it is. */
void runner_free(struct runner *runner);

#endif
