/*
 * announce: the whole state of one announce, from the parsed request to the
 * answer. It has three groups, each with one owner; who else reads a group may
 * not write it.
 */
#ifndef PRIVTRAK_TRACKER_ANNOUNCE_H
#define PRIVTRAK_TRACKER_ANNOUNCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

enum { INFO_HASH_BYTES = 20, PEER_ID_BYTES = 20, PASSKEY_MAX = 64 };
enum { ENDPOINT4_BYTES = 6, ENDPOINT6_BYTES = 18 };

/* Byte counts are at most this, so that they fit the database's integers. */
#define COUNTER_MAX ((uint64_t)INT64_MAX)

/* The numbers are those of BEP 15; paused is BEP 21. */
enum announce_event {
    EVENT_NONE = 0,
    EVENT_COMPLETED = 1,
    EVENT_STARTED = 2,
    EVENT_STOPPED = 3,
    EVENT_PAUSED = 4,
    EVENT_EXPIRED = 5, /* never said by a client: the tracker's own, in deltas */
};

enum protocol { PROTOCOL_HTTP, PROTOCOL_UDP, PROTOCOL_COUNT };

/* What becomes of an announce. Anything but ACCEPTED is final at once. */
enum verdict {
    VERDICT_ACCEPTED, /* so far; the next stage looks at it */
    VERDICT_EMPTY,    /* an empty success, nothing stored (stopped from an unknown session) */
    VERDICT_REFUSED,  /* a failure by rule: passkey, torrent, client, … */
    VERDICT_OVERLOAD, /* a failure that changed nothing and is worth a retry */
};

enum { NUMWANT_DEFAULT = -1 };

struct worker;
struct announce;
struct user;
struct torrent;
struct session;

/*
 * How an answer finds its way back: set by the frontend that made the announce.
 * `reply` is called once, on the worker that made it, after the chain has run;
 * the announce and all it points to are gone when it returns. One exception: peers4
 * and peers6 of an announce that ran in this worker's own batch stay until the worker runs its
 * next batch, so that UDP can send them from where they stand.
 */
struct announce_origin {
    void (*reply)(struct worker *worker, struct announce *announce);
};

/* One peer of a list that is to hold peer ids (compact=0). */
struct peer_entry {
    struct address address;
    uint8_t peer_id[PEER_ID_BYTES];
};

/* What one announce brings to the account: filled in by privtrak, carried out by the delta. */
struct credit {
    uint64_t uploaded; /* raw differences */
    uint64_t downloaded;
    uint64_t credited_uploaded;
    uint64_t credited_downloaded;
    uint64_t quarantined;
    uint32_t seed_time_s;
    uint32_t leech_time_s;
    uint16_t flags; /* enum delta_flags */
};

/* The user's other sessions on the torrent, taken together: what limits saw, and what holds until the deltas stage. */
struct others {
    uint32_t count;   /* tombstones included */
    uint32_t active;  /* in the swarm */
    uint32_t seeding; /* of those */
    uint32_t oldest;  /* the tombstone that is one longest: its slot; SLOT_NONE: none */
    uint64_t left;    /* the smallest of the active; COUNTER_MAX where there are none */
    bool has_snatched;
    bool has_twin; /* one of them is the same client under another peer id, with these counters */
};

struct announce {
    /* 1. What the client said. Written by the frontend, then read-only. */
    uint8_t info_hash[INFO_HASH_BYTES];
    uint8_t peer_id[PEER_ID_BYTES];
    uint64_t uploaded; /* all three at most COUNTER_MAX */
    uint64_t downloaded;
    uint64_t left;
    uint32_t key;    /* 0: none */
    int32_t numwant; /* NUMWANT_DEFAULT, or 0 and above as said: the limit is not yet applied */
    uint8_t event;   /* enum announce_event */
    uint8_t protocol;
    bool compact; /* false: a list of dictionaries is wanted (HTTP) */
    bool no_peer_id;
    struct address source;  /* where it came from (proxies seen through), with the port that the client listens on */
    struct address claimed; /* ipv4= or ipv6= of the other family, unproven; family 0: none */
    uint8_t passkey_length; /* 1 to PASSKEY_MAX */
    char passkey[PASSKEY_MAX];

    const struct announce_origin *origin;
    void *origin_data;   /* the frontend's: connection, datagram */
    uint64_t origin_tag; /* the frontend's: a generation to recognise a reused connection */

    /* 2. What the stages found. Valid within the chain only. */
    const struct user *user;
    struct torrent *torrent;
    uint64_t hash;           /* of the passkey, then of the info hash: for looking up in steps */
    uint64_t dice;           /* what chance decides about the peers that it gets */
    struct session *session; /* found by limits, made by privtrak, moved by peers; NULL: unknown */
    uint32_t slot;           /* its place in the swarm; SLOT_NONE: unknown */
    uint8_t place;           /* enum swarm_place: where privtrak says it belongs after this */
    bool changes_session;    /* a delta is due */
    bool is_late;            /* section 6, rule 2: overtaken, changes nothing */
    bool takes_endpoint;     /* the source becomes the session's endpoint of its family */
    bool wants_no_peers;     /* too early, stopped, no right to leech, …: an empty list */
    bool is_unlisted;        /* not to be handed out to others */
    bool ends_with_failure;  /* the torrent is deleted: counted, then told the reason */
    struct others others;
    struct credit credit;

    /* 3. Verdict and answer, for the frontend to encode. */
    uint8_t verdict;     /* enum verdict */
    uint32_t retry_s;    /* failures: try again after this long; 0: retrying does not help */
    const char *failure; /* static, or valid until reply returns */
    const char *warning; /* NULL: none */
    uint32_t interval_s;
    uint32_t min_interval_s; /* 0: none to be told */
    uint32_t complete;
    uint32_t incomplete;
    uint32_t snatches;
    bool has_ipv4; /* the families that the session has announced from */
    bool has_ipv6;
    uint16_t peer4_count;
    uint16_t peer6_count;

    /* 4. Where the peers are put: the worker's, with room for peers_max of either family. */
    uint8_t *peers4; /* peer4_count * 6 bytes; the frontend may write into the ANNOUNCE_HEADROOM bytes before it */
    uint8_t *peers6; /* peer6_count * 18 bytes, likewise */
    struct peer_entry *entries; /* with compact=false instead of both: peer4_count + peer6_count of them */
    uint32_t peers_max;
};

/* Group 1 ends, and group 4 begins, at these. */
#define ANNOUNCE_FOUND_OFFSET offsetof(struct announce, user)
#define ANNOUNCE_BUFFERS_OFFSET offsetof(struct announce, peers4)

/* Room before peers4 / peers6 that the frontend may fill with its header. */
enum { ANNOUNCE_HEADROOM = 32 };

/* A scrape: up to SCRAPE_MAX info hashes and what is known of each. */
enum { SCRAPE_MAX = 1000 };

struct scrape_result {
    bool known;
    uint32_t complete;
    uint32_t incomplete;
    uint32_t snatches;
};

struct scrape {
    uint8_t passkey_length; /* 0: none needed (UDP) */
    char passkey[PASSKEY_MAX];
    struct address source;
    uint8_t protocol;
    uint32_t count;
    uint8_t (*info_hashes)[INFO_HASH_BYTES];
    struct scrape_result *results; /* `count` of them, zeroed by the frontend */

    /* Called once on the worker that submitted it; the scrape is the frontend's own memory throughout. */
    void (*reply)(struct worker *worker, struct scrape *scrape);
    void *origin_data;
    uint64_t origin_tag;

    uint8_t verdict; /* VERDICT_ACCEPTED or VERDICT_REFUSED */
    const char *failure;
    uint32_t retry_s;
};

#endif
