/*
 * census: a worker's largest swarms, found by looking at a few torrents each tick, so
 * that nobody who asks makes the worker stand still.
 */
#ifndef PRIVTRAK_TRACKER_CENSUS_H
#define PRIVTRAK_TRACKER_CENSUS_H

#include <stdint.h>

#include "storage/torrents.h"

enum { CENSUS_SIZE = 20 };

struct census_line {
    uint32_t torrent; /* number */
    uint32_t active;
};

struct census {
    uint32_t cursor;
    uint32_t found_count;
    struct census_line found[CENSUS_SIZE]; /* of the walk under way, largest first */
    uint32_t count;
    struct census_line lines[CENSUS_SIZE]; /* of the last whole walk */
};

/* Looks at up to `budget` more torrents. */
void census_walk(struct census *census, struct torrents *torrents, uint32_t budget);

#endif
