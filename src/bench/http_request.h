/* http_request: writes the GET requests that clients make. */
#ifndef PRIVTRAK_BENCH_HTTP_REQUEST_H
#define PRIVTRAK_BENCH_HTTP_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "bench/load.h"

enum { HTTP_REQUEST_MAX = 2048 };

struct http_request_facts {
    const struct peer_announce *announce; /* of a scrape, only the passkey is read */
    int64_t numwant;                      /* negative: not said */
    enum passkey_form form;
    const char *tail; /* from " HTTP/1.1" to the empty line: the same for all */
    size_t tail_length;
    uint8_t (*hashes)[INFO_HASH_BYTES]; /* scrape */
    uint32_t hash_count;
};

/* Both return the bytes written into `text`, which has room for HTTP_REQUEST_MAX. */
size_t http_write_announce(char *text, const struct http_request_facts *facts);
size_t http_write_scrape(char *text, const struct http_request_facts *facts);

#endif
