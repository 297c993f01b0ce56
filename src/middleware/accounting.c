/* accounting: see accounting.h. */
#include "middleware/accounting.h"

#include "deltas/delta.h"

__extension__ typedef unsigned __int128 wide; /* byte counts times percentages do not fit 64 bits */

enum {
    LATE_WITHIN_MS = 60000, /* rule 2 */
    TWIN_WITHIN_MS = 5000,  /* rule 4 */
    LEAST_ELAPSED_MS = 1000 /* rule 8 */
};

enum arrival accounting_arrival(const struct session *session, bool in_swarm, const struct announce *announce,
                                int64_t now_ms)
{
    if (announce->uploaded >= session->uploaded && announce->downloaded >= session->downloaded)
        return ARRIVAL_NEXT;
    bool was_stopped = !in_swarm && session->flags & SESSION_STOPPED;
    if (announce->event == EVENT_STARTED && was_stopped)
        return ARRIVAL_RESTART;
    return now_ms - session_last_ms(session) > LATE_WITHIN_MS ? ARRIVAL_RESTART : ARRIVAL_LATE;
}

bool accounting_is_after_stop(const struct session *session, bool in_swarm, const struct announce *announce,
                              int64_t now_ms)
{
    return !in_swarm && session->flags & SESSION_STOPPED && announce->event != EVENT_STARTED &&
           now_ms - session_last_ms(session) <= LATE_WITHIN_MS;
}

bool accounting_joins(const struct session *session, bool in_swarm, const struct announce *announce, int64_t now_ms)
{
    return !in_swarm && announce->event != EVENT_STOPPED &&
           !accounting_is_after_stop(session, in_swarm, announce, now_ms) &&
           accounting_arrival(session, in_swarm, announce, now_ms) != ARRIVAL_LATE;
}

bool accounting_is_twin(const struct session *other, const struct announce *announce, int64_t now_ms)
{
    return announce->key != 0 && other->key == announce->key && other->port == announce->source.port &&
           other->uploaded == announce->uploaded && other->downloaded == announce->downloaded &&
           now_ms - session_last_ms(other) <= TWIN_WITHIN_MS;
}

static uint64_t percent_of(uint64_t bytes, uint32_t percent)
{
    if (percent == 100)
        return bytes;
    wide share = (wide)bytes * percent / 100;
    return share < COUNTER_MAX ? (uint64_t)share : COUNTER_MAX;
}

/* What of `bytes` is more than `window_ms` milliseconds allow at `per_s` bytes a second. */
static uint64_t excess_of(uint64_t bytes, uint64_t per_s, uint64_t window_ms)
{
    uint64_t most_thousandths;
    if (!__builtin_mul_overflow(per_s, window_ms, &most_thousandths) && bytes <= UINT64_MAX / 1000 &&
        bytes * 1000 <= most_thousandths)
        return 0; /* nearly always, and without dividing */
    wide most = (wide)per_s * window_ms / 1000;
    return bytes > most ? bytes - (uint64_t)most : 0;
}

void accounting_credit(struct credit *credit, uint64_t uploaded, uint64_t downloaded, int64_t elapsed_ms,
                       const struct accounting_terms *terms)
{
    int64_t window_ms = elapsed_ms > LEAST_ELAPSED_MS ? elapsed_ms : LEAST_ELAPSED_MS;
    uint64_t excess_up = excess_of(uploaded, terms->max_rate, (uint64_t)window_ms);
    uint64_t excess_down = excess_of(downloaded, terms->max_rate, (uint64_t)window_ms);
    credit->uploaded = uploaded;
    credit->downloaded = downloaded;
    uint64_t quarantined = excess_up + excess_down; /* both below 2^63: no overflow */
    credit->quarantined = quarantined < COUNTER_MAX ? quarantined : COUNTER_MAX;
    credit->credited_uploaded = percent_of(uploaded - excess_up, terms->upload_percent);
    credit->credited_downloaded = percent_of(downloaded - excess_down, terms->download_percent);
    if (quarantined > 0)
        credit->flags |= DELTA_CLAMPED;
}

uint32_t accounting_time(uint32_t from_s, uint32_t now_s, uint32_t longest_s, uint32_t *covered_s)
{
    if (now_s <= from_s || now_s - from_s > longest_s)
        return 0;
    uint32_t begin_s = from_s > *covered_s ? from_s : *covered_s;
    if (now_s <= begin_s)
        return 0;
    *covered_s = now_s;
    return now_s - begin_s;
}
