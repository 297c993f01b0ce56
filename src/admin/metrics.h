/* metrics: what the tracker counts, as Prometheus text (format 0.0.4). */
#ifndef PRIVTRAK_ADMIN_METRICS_H
#define PRIVTRAK_ADMIN_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "deltas/ledger.h"
#include "tracker/counters.h"

struct metrics {
    struct counters counters; /* of all workers */
    struct ledger_status ledger;
    uint64_t users;
    uint64_t users_memory_bytes;
    bool database_is_up; /* the last look at the lists succeeded */
};

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metrics_write(FILE *out, const struct metrics *metrics);

#endif
