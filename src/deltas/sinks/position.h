/*
 * position: what the sinks that write files or speak to others keep in state_dir:
 * how far they are, and the records that they could not deliver.
 */
#ifndef PRIVTRAK_DELTAS_SINKS_POSITION_H
#define PRIVTRAK_DELTAS_SINKS_POSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "deltas/delta.h"
#include "deltas/sink.h"

struct position {
    char *path;        /* state_dir/position-<sink> */
    char *parked_path; /* state_dir/parked-<sink>.ndjson */
    char instance[33];
};

/* 0, or -1 with a reason: out of memory. */
int position_init(struct position *position, const struct sink_settings *settings, struct error *error);
void position_clear(struct position *position);

/* 0 where there is no file, or one of another journal. Returns 0, or -1 with a reason: it cannot be read or understood. */
int position_read(const struct position *position, uint64_t *seq, struct error *error);
int position_write(const struct position *position, uint64_t seq, struct error *error);

/* Adds {"seq":…,"reason":…,"record":{…}} to the parked records, and waits for the disk. 0, or -1 with a reason. */
int position_park(const struct position *position, const struct delta *delta, const char *reason, bool include_address,
                  struct error *error);

#endif
