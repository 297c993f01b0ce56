/*
 * reply: writes whole HTTP replies, head and bencoded body, to a place of the
 * caller's in one pass, and returns how many bytes that took. The head is written
 * with three digits of length, as most bodies have; others are then moved.
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

/* What the chain made of an announce: its answer, or its failure. */
size_t reply_announce(char to[static REPLY_BUFFER_BYTES], const struct reply_head *head,
                      const struct announce *announce);

/* Likewise of a scrape. */
size_t reply_scrape(char to[static REPLY_BUFFER_BYTES], const struct reply_head *head, const struct scrape *scrape);

/* A bencoded failure with status 200; retry_s of 0: retrying does not help. */
size_t reply_failure(char to[static REPLY_BUFFER_BYTES], const struct reply_head *head, const char *reason,
                     uint32_t retry_s);

/* A status other than 200, its own name as the body. */
size_t reply_status(char to[static REPLY_BUFFER_BYTES], const struct reply_head *head, unsigned status);

/* The headers of a success alone, for HEAD. There is no telling how long the body would have been. */
size_t reply_headers_only(char to[static REPLY_BUFFER_BYTES], const struct reply_head *head);

#endif
