/*
 * route: what a request's path and query ask for. HTTP targets and BEP 41 URL
 * data go through this one parser, so that a passkey means the same over both.
 */
#ifndef PRIVTRAK_TRACKER_ROUTE_H
#define PRIVTRAK_TRACKER_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tracker/announce.h"
#include "tracker/url.h"

enum route_action { ROUTE_NONE, ROUTE_ANNOUNCE, ROUTE_SCRAPE };

enum route_passkey { ROUTE_PASSKEY_MISSING, ROUTE_PASSKEY_GOOD, ROUTE_PASSKEY_MALFORMED };

struct route {
    enum route_action action;
    enum route_passkey passkey_state;
    uint8_t passkey_length; /* where passkey_state is GOOD */
    char passkey[PASSKEY_MAX];
    bool bad_escape; /* a % in the path without two hex digits */
};

/*
 * Reads a path, without query, of `length` bytes: /{passkey}/announce,
 * /announce/{passkey}, /announce, likewise scrape; one last slash is allowed.
 * With `lone_passkey` also "/{passkey}" alone (BEP 41 URL data), whose action is
 * ROUTE_ANNOUNCE, and an empty path or "/" (the same, without a passkey).
 * Anything else gives ROUTE_NONE.
 */
void route_parse_path(struct route *route, const char *path, size_t length, bool lone_passkey);

/*
 * Takes the value of a `passkey` query parameter, still %-encoded, where the
 * path had none and no earlier one was taken. Sets passkey_state.
 */
void route_take_query_passkey(struct route *route, const char *value, size_t length);

/* 1 to 64 of A–Z a–z 0–9 - _ */
bool route_passkey_is_well_formed(const char *text, size_t length);

#endif
