/*
 * sink: where batches of deltas go. Each sink has a thread of its own (named
 * sink-<name>) that reads the journal from where the sink stands, builds batches and
 * hands them over; see runner.h. A sink is one file in deltas/sinks/ and one
 * line in the table in sinks/all.c.
 */
#ifndef PRIVTRAK_DELTAS_SINK_H
#define PRIVTRAK_DELTAS_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "config/config.h"
#include "deltas/delta.h"

struct sink;

enum sink_result {
    SINK_TAKEN,    /* all of it, for good */
    SINK_RETRY,    /* none of it, for a reason that may pass: connection, lock, full disk */
    SINK_REJECTED, /* none of it, for what is in it: to be halved until the bad row stands alone, and that parked */
};

struct sink_settings {
    const struct config *config;
    const struct config_sink *sink;
    const char *name;     /* "webhook"; "webhook-2" for the second of its kind: for names of files */
    const char *instance; /* 32 hex digits that name this tracker's journal: made at first start, kept in state_dir */
};

struct sink_type {
    const char *name;

    /* Prepares the sink; must not wait for a far end that is down. NULL with a reason: the start stops. */
    struct sink *(*open)(const struct sink_settings *settings, struct error *error);

    /*
     * Tells in `*seq` the last record that the sink has taken for good: it goes on
     * behind it. SINK_RETRY where it cannot tell now (database down): asked again later.
     * Asked again after every delivery that ended in SINK_RETRY, because the far end
     * may have taken the batch and only the acknowledgement was lost.
     */
    enum sink_result (*position)(struct sink *sink, uint64_t *seq, struct error *error);

    /*
     * Takes all `count` deltas, in order, or none. May block, bounded by its own
     * time-outs. Deltas at or below its own position are to be passed over.
     */
    enum sink_result (*deliver)(struct sink *sink, const struct delta *deltas, size_t count, struct error *error);

    /*
     * How many deltas one delivery may hold where more than `batch_size` of them wait, because many at once cost the
     * far end much less; 0: never more than `batch_size`.
     */
    uint32_t catch_up_size;

    /* Sets one delta aside with its reason, so that position moves past it. SINK_TAKEN or SINK_RETRY. */
    enum sink_result (*park)(struct sink *sink, const struct delta *delta, const char *reason, struct error *error);

    /*
     * May be NULL. Whether addresses and peer ids may leave the tracker: told on the sink's thread before the first
     * delivery, and again after a reload that changed it. `settings.config` is not to be kept past open.
     */
    void (*set_include_address)(struct sink *sink, bool include);

    /* Any thread: makes a call that blocks return soon (the tracker stops). */
    void (*interrupt)(struct sink *sink);

    void (*close)(struct sink *sink);
};

/* All types that are built in, ended by NULL. */
extern const struct sink_type *const sink_types[];
extern const struct sink_type sink_database_type, sink_ndjson_type, sink_webhook_type;

#endif
