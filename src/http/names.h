/*
 * names: the parameters of announce and scrape, known by their names. Private to
 * this room.
 */
#ifndef PRIVTRAK_HTTP_NAMES_H
#define PRIVTRAK_HTTP_NAMES_H

#include <stdbool.h>

#include "tracker/url.h"

/* The required ones first, in the order in which a lack is told. */
enum parameter_number {
    PARAMETER_INFO_HASH,
    PARAMETER_PEER_ID,
    PARAMETER_PORT,
    PARAMETER_UPLOADED,
    PARAMETER_DOWNLOADED,
    PARAMETER_LEFT,
    PARAMETERS_REQUIRED,
    PARAMETER_EVENT = PARAMETERS_REQUIRED,
    PARAMETER_COMPACT,
    PARAMETER_NO_PEER_ID,
    PARAMETER_NUMWANT,
    PARAMETER_KEY,
    PARAMETER_TRACKERID,
    PARAMETER_CORRUPT,
    PARAMETER_IPV4,
    PARAMETER_IPV6,
    PARAMETER_PASSKEY,
    PARAMETER_COUNT,
};

/*
 * Gives the next pair whose name is known, as query_next does, and its number, and
 * passes over all others. Returns PARAMETER_COUNT at the end.
 */
enum parameter_number names_next(const char **cursor, const char *end, struct query_pair *pair);

#endif
