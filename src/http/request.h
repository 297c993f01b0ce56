/*
 * request: the head of one HTTP request, parsed where it lies. Nothing is copied
 * or allocated; what was found is kept as offsets, so the bytes may move between
 * two calls as long as they begin with the same request.
 */
#ifndef PRIVTRAK_HTTP_REQUEST_H
#define PRIVTRAK_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

enum request_state { REQUEST_INCOMPLETE, REQUEST_COMPLETE, REQUEST_BAD };

enum request_method { METHOD_GET, METHOD_HEAD, METHOD_OTHER };

/* What the parser has to know of the configuration and of the connection. */
struct request_rules {
    uint32_t max_bytes;         /* of request line and headers together */
    const char *real_ip_header; /* NULL: nobody that may be believed sent this */
    size_t real_ip_header_length;
    const struct network *trusted;
    size_t trusted_count;
};

struct request {
    /* What was found; whole once the state is COMPLETE. */
    uint32_t length; /* of the head, the empty line included */
    uint32_t path_at;
    uint32_t path_length;
    uint32_t query_at;
    uint32_t query_length;
    uint16_t status; /* where BAD: the answer that it gets */
    uint8_t method;  /* enum request_method */
    bool is_http10;
    bool says_close;          /* Connection: close */
    bool says_keep_alive;     /* Connection: keep-alive */
    bool has_body;            /* one is to follow, of whatever length */
    struct address forwarded; /* what real_ip_header shows; family 0: nothing */

    /* The parser's own. */
    uint32_t line_at; /* where the line begins that is not yet whole */
    uint32_t scanned; /* no line ends before here */
    bool has_line;    /* the request line is done, headers follow */
    bool skipped_empty_line;
};

void request_begin(struct request *request);

/*
 * Goes on parsing. `data` holds all bytes from the request's first one on, those
 * of earlier calls included, and may hold more than the request. Each byte is
 * looked at a bounded number of times, however many calls it takes.
 */
enum request_state request_parse(struct request *request, const char *data, size_t length,
                                 const struct request_rules *rules);

/* Whether the client leaves the connection open after this request (RFC 9112, section 9.3). */
bool request_keeps_alive(const struct request *request);

#endif
