/*
 * query: the parameters of announce and scrape (BEP 3, 7, 21, 23, 48). A fault
 * is told as a static text for `failure reason` that names the parameter.
 */
#ifndef PRIVTRAK_HTTP_QUERY_H
#define PRIVTRAK_HTTP_QUERY_H

#include <stddef.h>
#include <stdint.h>

#include "tracker/announce.h"
#include "tracker/route.h"

/*
 * Reads an announce's query into group 1 of `announce`, all but protocol and
 * origin. announce->source must hold the client's IP already; its port is set.
 * `route` is what the path said. Returns NULL or the fault.
 */
const char *query_read_announce(struct announce *announce, struct route *route, const char *query, size_t length);

/*
 * Reads a scrape's query: the info hashes, in order, without repeats, at most
 * `max` of them (repeats counted), which `info_hashes` has room for. A passkey
 * goes into `route`. Returns NULL or the fault.
 */
const char *query_read_scrape(uint8_t (*info_hashes)[INFO_HASH_BYTES], uint32_t *count, uint32_t max,
                              struct route *route, const char *query, size_t length);

#endif
