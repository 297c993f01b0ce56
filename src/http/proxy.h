/* proxy: the PROXY protocol, versions 1 and 2, as a load balancer sends it before all else. */
#ifndef PRIVTRAK_HTTP_PROXY_H
#define PRIVTRAK_HTTP_PROXY_H

#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

enum proxy_state { PROXY_INCOMPLETE, PROXY_COMPLETE, PROXY_BAD };

/*
 * Reads the header at the beginning of `data`, which holds all bytes that have
 * come so far. COMPLETE: `*length_used` is how long it was, and `*source` has
 * become the address in it, or is as it was where the header has none to tell
 * (LOCAL, UNKNOWN, UNSPEC, UNIX). A header of more than `max_bytes` is BAD.
 */
enum proxy_state proxy_parse(struct address *source, size_t *length_used, const char *data, size_t length,
                             size_t max_bytes);

#endif
