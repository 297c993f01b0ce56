/*
 * source_rate: counts events by source address in fixed memory, for refusing those
 * who send too many. Addresses of IPv6 count by /64. Where more addresses are about
 * than the table holds, the one that was quiet the longest is forgotten. One table serves
 * all workers, for what an address asks goes to one after the other.
 */
#ifndef PRIVTRAK_MIDDLEWARE_SOURCE_RATE_H
#define PRIVTRAK_MIDDLEWARE_SOURCE_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "config/config.h"

struct source_rate;

/* Returns NULL out of memory. */
struct source_rate *source_rate_new(int64_t now_ms);
void source_rate_free(struct source_rate *rate);

/* Counts one event. Returns true while the address is within `limit`. Any thread may call it. */
bool source_rate_allows(struct source_rate *rate, const struct address *source, const struct rate *limit,
                        int64_t now_ms);

#endif
