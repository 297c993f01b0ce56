/* accounting: the rules of the account as functions of a session and an announce. */
#include "middleware/accounting.h"

#include <criterion/criterion.h>

#include "deltas/delta.h"

#define NOW_MS INT64_C(1795500000000)
#define MIB UINT64_C(1048576)

/* A session that said 1000 up and 500 down `age_ms` ago, with that key. */
static struct session session_of_age(int64_t age_ms, uint8_t flags)
{
    struct session session = {.uploaded = 1000, .downloaded = 500, .key = 77, .port = 6881, .flags = flags};
    session_set_last_ms(&session, NOW_MS - age_ms);
    return session;
}

static struct announce announce_of(enum announce_event event, uint64_t uploaded, uint64_t downloaded)
{
    struct announce announce = {.uploaded = uploaded, .downloaded = downloaded, .key = 77};
    announce.event = (uint8_t)event;
    announce.source.port = 6881;
    return announce;
}

static enum arrival arrival(int64_t age_ms, bool in_swarm, uint8_t flags, enum announce_event event, uint64_t uploaded,
                            uint64_t downloaded)
{
    struct session session = session_of_age(age_ms, flags);
    struct announce announce = announce_of(event, uploaded, downloaded);
    return accounting_arrival(&session, in_swarm, &announce, NOW_MS);
}

Test(accounting, equal_counters_are_the_next_announce)
{
    cr_expect_eq(arrival(0, true, 0, EVENT_NONE, 1000, 500), ARRIVAL_NEXT);
}

Test(accounting, one_lower_counter_at_sixty_seconds_is_a_late_copy)
{
    cr_expect_eq(arrival(60000, true, 0, EVENT_NONE, 999, 5000), ARRIVAL_LATE);
    cr_expect_eq(arrival(60000, true, 0, EVENT_NONE, 5000, 499), ARRIVAL_LATE);
}

Test(accounting, one_lower_counter_after_sixty_seconds_is_a_restart)
{
    cr_expect_eq(arrival(60001, true, 0, EVENT_NONE, 999, 5000), ARRIVAL_RESTART);
    cr_expect_eq(arrival(60001, true, 0, EVENT_NONE, 5000, 499), ARRIVAL_RESTART);
}

Test(accounting, started_after_stopped_is_a_restart_at_once)
{
    cr_expect_eq(arrival(0, false, SESSION_STOPPED, EVENT_STARTED, 0, 0), ARRIVAL_RESTART);
}

Test(accounting, started_in_the_swarm_with_lower_counters_is_a_late_copy)
{
    cr_expect_eq(arrival(1000, true, 0, EVENT_STARTED, 0, 0), ARRIVAL_LATE);
}

Test(accounting, started_after_giving_way_is_a_late_copy_for_a_minute)
{
    cr_expect_eq(arrival(1000, false, 0, EVENT_STARTED, 0, 0), ARRIVAL_LATE);
    cr_expect_eq(arrival(60001, false, 0, EVENT_STARTED, 0, 0), ARRIVAL_RESTART);
}

static bool joins(int64_t age_ms, bool in_swarm, uint8_t flags, enum announce_event event)
{
    struct session session = session_of_age(age_ms, flags);
    struct announce announce = announce_of(event, 2000, 500);
    return accounting_joins(&session, in_swarm, &announce, NOW_MS);
}

Test(accounting, only_started_joins_within_a_minute_after_stopped)
{
    cr_expect(joins(60000, false, SESSION_STOPPED, EVENT_STARTED));
    cr_expect_not(joins(60000, false, SESSION_STOPPED, EVENT_NONE));
    cr_expect_not(joins(60000, false, SESSION_STOPPED, EVENT_COMPLETED));
    cr_expect(joins(60001, false, SESSION_STOPPED, EVENT_NONE));
}

Test(accounting, expired_session_joins_with_any_event_but_stopped)
{
    cr_expect(joins(1000, false, 0, EVENT_NONE));
    cr_expect_not(joins(1000, false, 0, EVENT_STOPPED));
}

Test(accounting, session_in_the_swarm_does_not_join_again)
{
    cr_expect_not(joins(1000, true, 0, EVENT_STARTED));
}

static bool is_twin(int64_t age_ms, uint32_t key, uint16_t port, uint64_t uploaded, uint64_t downloaded)
{
    struct session session = session_of_age(age_ms, 0);
    session.key = key == 0 ? 0 : 77;
    struct announce announce = announce_of(EVENT_NONE, uploaded, downloaded);
    announce.key = key;
    announce.source.port = port;
    return accounting_is_twin(&session, &announce, NOW_MS);
}

Test(accounting, twin_has_the_same_key_port_and_counters_within_five_seconds)
{
    cr_expect(is_twin(5000, 77, 6881, 1000, 500));
    cr_expect_not(is_twin(5001, 77, 6881, 1000, 500), "too long ago");
    cr_expect_not(is_twin(0, 78, 6881, 1000, 500), "another key");
    cr_expect_not(is_twin(0, 77, 6882, 1000, 500), "another port");
    cr_expect_not(is_twin(0, 77, 6881, 1001, 500), "another upload");
    cr_expect_not(is_twin(0, 77, 6881, 1000, 501), "another download");
}

Test(accounting, absent_keys_make_no_twins)
{
    cr_expect_not(is_twin(0, 0, 6881, 1000, 500));
}

static struct credit credit_of(uint64_t uploaded, uint64_t downloaded, int64_t elapsed_ms, uint64_t max_rate,
                               uint32_t up, uint32_t down)
{
    struct credit credit = {.flags = 0};
    const struct accounting_terms terms = {.max_rate = max_rate, .upload_percent = up, .download_percent = down};
    accounting_credit(&credit, uploaded, downloaded, elapsed_ms, &terms);
    return credit;
}

Test(accounting, difference_at_the_rate_is_credited_whole)
{
    struct credit credit = credit_of(10 * MIB, 10 * MIB, 10000, MIB, 100, 100);
    cr_expect_eq(credit.credited_uploaded, 10 * MIB);
    cr_expect_eq(credit.credited_downloaded, 10 * MIB);
    cr_expect_eq(credit.quarantined, 0);
    cr_expect_eq(credit.flags, 0);
}

Test(accounting, excess_of_both_directions_is_quarantined_and_flagged)
{
    struct credit credit = credit_of(10 * MIB + 3, 10 * MIB + 4, 10000, MIB, 100, 100);
    cr_expect_eq(credit.uploaded, 10 * MIB + 3);
    cr_expect_eq(credit.downloaded, 10 * MIB + 4);
    cr_expect_eq(credit.credited_uploaded, 10 * MIB);
    cr_expect_eq(credit.credited_downloaded, 10 * MIB);
    cr_expect_eq(credit.quarantined, 7);
    cr_expect_eq(credit.flags, DELTA_CLAMPED);
}

Test(accounting, elapsed_time_is_at_least_a_second_and_then_counted_in_milliseconds)
{
    cr_expect_eq(credit_of(5000, 0, 0, 1000, 100, 100).credited_uploaded, 1000);
    cr_expect_eq(credit_of(5000, 0, -100, 1000, 100, 100).credited_uploaded, 1000);
    cr_expect_eq(credit_of(5000, 0, 1500, 1000, 100, 100).credited_uploaded, 1500);
}

Test(accounting, percentages_are_applied_after_the_quarantine_and_rounded_down)
{
    struct credit credit = credit_of(2000, 99, 1000, 999, 150, 50);
    cr_expect_eq(credit.quarantined, 1001);
    cr_expect_eq(credit.credited_uploaded, 1498); /* 999 * 1.5 = 1498.5 */
    cr_expect_eq(credit.credited_downloaded, 49);
}

Test(accounting, free_download_credits_none_and_keeps_raw)
{
    struct credit credit = credit_of(0, MIB, 1000, 2 * MIB, 100, 0);
    cr_expect_eq(credit.downloaded, MIB);
    cr_expect_eq(credit.credited_downloaded, 0);
    cr_expect_eq(credit.quarantined, 0);
}

Test(accounting, largest_numbers_do_not_overflow)
{
    struct credit credit = credit_of(COUNTER_MAX, COUNTER_MAX, INT64_MAX, UINT64_MAX, 10000, 10000);
    cr_expect_eq(credit.credited_uploaded, COUNTER_MAX);
    cr_expect_eq(credit.credited_downloaded, COUNTER_MAX);
    cr_expect_eq(credit_of(COUNTER_MAX, COUNTER_MAX, 1000, 1, 100, 100).quarantined, COUNTER_MAX);
}

Test(accounting, gap_counts_up_to_the_longest)
{
    uint32_t covered_s = 0;
    cr_expect_eq(accounting_time(1000, 1100, 100, &covered_s), 100);
    cr_expect_eq(covered_s, 1100);
}

Test(accounting, longer_gap_counts_nothing_and_covers_nothing)
{
    uint32_t covered_s = 0;
    cr_expect_eq(accounting_time(1000, 1101, 100, &covered_s), 0);
    cr_expect_eq(covered_s, 0);
}

Test(accounting, covered_part_of_a_gap_is_not_counted_again)
{
    uint32_t covered_s = 1060;
    cr_expect_eq(accounting_time(1000, 1100, 100, &covered_s), 40);
    cr_expect_eq(accounting_time(1000, 1100, 100, &covered_s), 0);
    cr_expect_eq(accounting_time(1050, 1080, 100, &covered_s), 0);
    cr_expect_eq(covered_s, 1100, "the mark never goes back");
}

Test(accounting, clock_that_goes_back_counts_nothing)
{
    uint32_t covered_s = 0;
    cr_expect_eq(accounting_time(1000, 990, 100, &covered_s), 0);
    cr_expect_eq(covered_s, 0);
}
