/* http_reply: reads an HTTP answer, and of a bencoded announce reply what a generator counts. Nothing is copied. */
#ifndef PRIVTRAK_BENCH_HTTP_REPLY_H
#define PRIVTRAK_BENCH_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_reply {
    unsigned status;
    bool closes; /* the connection ends behind it */
    const char *body;
    size_t body_length;
    size_t length; /* of the whole answer */
};

enum http_result { HTTP_WHOLE, HTTP_PARTIAL, HTTP_BROKEN };

/*
 * Reads the answer at the front of `bytes`. `ended`: nothing more will come, which ends an answer
 * without Content-Length.
 */
enum http_result http_reply_parse(struct http_reply *reply, const char *bytes, size_t length, bool ended);

struct tracker_reply {
    const char *failure; /* NULL: a success */
    size_t failure_length;
    uint32_t peers; /* of both families */
};

/* Reads the dictionary of an announce or scrape reply. Returns 0, or -1 where it is no whole bencoded dictionary. */
int tracker_reply_parse(struct tracker_reply *reply, const char *body, size_t length);

#endif
