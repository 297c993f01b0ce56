/*
 * accounting: the rules of the account (section 6 of the specification) as functions
 * of a session and an announce. They decide and compute; nothing here changes a store.
 */
#ifndef PRIVTRAK_MIDDLEWARE_ACCOUNTING_H
#define PRIVTRAK_MIDDLEWARE_ACCOUNTING_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/seed_marks.h"
#include "storage/swarm.h"
#include "tracker/announce.h"

/* How an announce of a known session stands to what was accepted before (rule 2). */
enum arrival {
    ARRIVAL_NEXT,    /* counters at or above the baseline: credit the difference */
    ARRIVAL_RESTART, /* the client restarted: the lower counters become the baseline, nothing is credited */
    ARRIVAL_LATE,    /* a copy that others have overtaken: changes nothing */
};
enum arrival accounting_arrival(const struct session *session, bool in_swarm, const struct announce *announce,
                                int64_t now_ms);

/*
 * True within 60 s after `stopped` for all but `started` (rule 2): the announce is overtaken by the stop, is
 * counted, and does not bring the session back.
 */
bool accounting_is_after_stop(const struct session *session, bool in_swarm, const struct announce *announce,
                              int64_t now_ms);

/* True where the announce makes a session that is out of the swarm come (back) into it. */
bool accounting_joins(const struct session *session, bool in_swarm, const struct announce *announce, int64_t now_ms);

/* Rule 4: the other session is the same client under another peer id, and has just brought these counters. */
bool accounting_is_twin(const struct session *other, const struct announce *announce, int64_t now_ms);

struct accounting_terms {
    uint64_t max_rate;         /* bytes a second */
    uint32_t upload_percent;   /* what applies: the largest of global, user and torrent */
    uint32_t download_percent; /* the smallest */
};

/* Rules 8 and 9: fills raw, credited and quarantined amounts and DELTA_CLAMPED, from differences over `elapsed_ms`. */
void accounting_credit(struct credit *credit, uint64_t uploaded, uint64_t downloaded, int64_t elapsed_ms,
                       const struct accounting_terms *terms);

/*
 * Rule 10: seconds of the gap from `from_s` to `now_s` that `*covered_s` has not covered yet; moves it on. Zero for
 * gaps longer than `longest_s`.
 */
uint32_t accounting_time(uint32_t from_s, uint32_t now_s, uint32_t longest_s, uint32_t *covered_s);

#endif
