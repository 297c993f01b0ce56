/*
 * reply: writes whole HTTP replies, head and bencoded body, into a buffer of the
 * caller's in one pass. The body is written first, at a fixed place; the head,
 * whose length depends on the body's, then ends where the body begins.
 */
#ifndef PRIVTRAK_HTTP_REPLY_H
#define PRIVTRAK_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tracker/announce.h"

/*
 * Room for the largest reply: SCRAPE_MAX files, or as many peers with peer ids,
 * are less than 128 bytes each; texts are cut at REPLY_TEXT_MAX.
 */
enum { REPLY_TEXT_MAX = 1024, REPLY_PEERS_MAX = 1000 };
enum { REPLY_BUFFER_BYTES = 4096 + SCRAPE_MAX * 128 };

/* What the head has to say besides status and length. */
struct reply_head {
    bool closes;    /* the connection is closed after this reply */
    bool is_http10; /* a connection that stays open has to say so */
    bool no_body;   /* HEAD */
};

struct reply {
    const char *bytes; /* within the buffer */
    size_t length;
};

/* What the chain made of an announce: its answer, or its failure. */
struct reply reply_announce(char buffer[static REPLY_BUFFER_BYTES], const struct reply_head *head,
                            const struct announce *announce);

/* Likewise of a scrape. */
struct reply reply_scrape(char buffer[static REPLY_BUFFER_BYTES], const struct reply_head *head,
                          const struct scrape *scrape);

/* A bencoded failure with status 200; retry_s of 0: retrying does not help. */
struct reply reply_failure(char buffer[static REPLY_BUFFER_BYTES], const struct reply_head *head, const char *reason,
                           uint32_t retry_s);

/* A status other than 200, its own name as the body. */
struct reply reply_status(char buffer[static REPLY_BUFFER_BYTES], const struct reply_head *head, unsigned status);

/* The headers of a success alone, for HEAD. There is no telling how long the body would have been. */
struct reply reply_headers_only(char buffer[static REPLY_BUFFER_BYTES], const struct reply_head *head);

#endif
