/* Tests of the generators' own model of the accounting rules. */
#include "bench/accounting.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, MIB = 1 << 20 };

static struct accounting *model;

static void set_up(void)
{
    model = accounting_new(&accounting_default_rules);
}

static void tear_down(void)
{
    accounting_free(model);
}

TestSuite(bench_accounting, .init = set_up, .fini = tear_down);

/* A leecher's announce of user 1 on torrent 1. */
static struct accounted_announce announce(const char *peer, uint8_t event, uint64_t uploaded, uint64_t downloaded,
                                          int64_t time_ms)
{
    struct accounted_announce announce = {.user = 1,
                                          .torrent = 1,
                                          .event = event,
                                          .uploaded = uploaded,
                                          .downloaded = downloaded,
                                          .left = 1000,
                                          .time_ms = time_ms};
    memcpy(announce.peer_id, peer, strlen(peer));
    return announce;
}

static struct accounted_credit apply(struct accounted_announce announce)
{
    struct accounted_credit credit;
    cr_assert_eq(accounting_apply(model, &announce, &credit), 0);
    return credit;
}

static struct accounted_credit say(const char *peer, uint8_t event, uint64_t uploaded, uint64_t downloaded,
                                   int64_t time_ms)
{
    return apply(announce(peer, event, uploaded, downloaded, time_ms));
}

static struct accounted_credit say_left(const char *peer, uint8_t event, uint64_t left, int64_t time_ms)
{
    struct accounted_announce said = announce(peer, event, 0, 0, time_ms);
    said.left = left;
    return apply(said);
}

static void expect_bytes(struct accounted_credit credit, uint64_t uploaded, uint64_t downloaded)
{
    cr_expect_eq(credit.uploaded, uploaded, "%ju uploaded", (uintmax_t)credit.uploaded);
    cr_expect_eq(credit.downloaded, downloaded, "%ju downloaded", (uintmax_t)credit.downloaded);
}

static uint8_t event_named(const char *name)
{
    return strcmp(name, "started") == 0 ? EVENT_STARTED : strcmp(name, "stopped") == 0 ? EVENT_STOPPED : EVENT_NONE;
}

static void play_vector(const json_t *vector, size_t number)
{
    const json_t *said;
    const json_t *deltas = json_object_get(vector, "deltas");
    size_t i, delta = 0;
    json_array_foreach (json_object_get(vector, "announces"), i, said) {
        const char *who = json_string_value(json_array_get(said, 0));
        struct accounted_announce next =
            announce(who, event_named(json_string_value(json_array_get(said, 1))),
                     (uint64_t)json_integer_value(json_array_get(said, 2)),
                     (uint64_t)json_integer_value(json_array_get(said, 3)), (int64_t)i * 10 * SECOND);
        next.user = (uint32_t)who[0];
        struct accounted_credit credit = apply(next);
        if (credit.raw_uploaded == 0 && credit.raw_downloaded == 0)
            continue;
        const json_t *expected = json_array_get(deltas, delta++);
        cr_assert_not_null(expected, "vector %zu gave more than its deltas", number);
        cr_expect_str_eq(who, json_string_value(json_array_get(expected, 0)));
        expect_bytes(credit, (uint64_t)json_integer_value(json_array_get(expected, 2)),
                     (uint64_t)json_integer_value(json_array_get(expected, 3)));
    }
    cr_expect_eq(delta, json_array_size(deltas), "vector %zu gave fewer than its deltas", number);
}

Test(bench_accounting, vectors_give_their_deltas)
{
    json_t *file = json_load_file("tests/data/accounting-vectors.json", 0, NULL);
    cr_assert_not_null(file);
    const json_t *vector;
    size_t i;
    json_array_foreach (json_object_get(file, "vectors"), i, vector) {
        tear_down();
        set_up();
        play_vector(vector, i);
    }
    json_decref(file);
}

Test(bench_accounting, first_announce_is_a_baseline_and_makes_a_row)
{
    struct accounted_credit credit = say("a", EVENT_STARTED, 500, 700, 0);
    expect_bytes(credit, 0, 0);
    cr_expect(credit.is_first);
    cr_expect_not_null(accounting_find(model, 1, 1));
}

Test(bench_accounting, stopped_from_an_unknown_session_stores_nothing)
{
    cr_expect_not(say("a", EVENT_STOPPED, 500, 700, 0).is_stored);
    cr_expect_null(accounting_find(model, 1, 1));
    cr_expect_eq(accounting_count(model), 0);
}

Test(bench_accounting, one_lower_counter_credits_nothing_and_keeps_the_baseline)
{
    say("a", EVENT_STARTED, 0, 0, 0);
    say("a", EVENT_NONE, 100, 100, 1 * SECOND);
    cr_expect(say("a", EVENT_NONE, 500, 50, 2 * SECOND).is_late);
    expect_bytes(say("a", EVENT_NONE, 110, 100, 3 * SECOND), 10, 0);
}

Test(bench_accounting, lower_counters_after_a_minute_are_a_restart)
{
    say("a", EVENT_STARTED, 0, 0, 0);
    say("a", EVENT_NONE, 100, 100, 0);
    cr_expect(say("a", EVENT_NONE, 10, 10, 60 * SECOND).is_late);
    cr_expect(say("a", EVENT_NONE, 10, 10, 60 * SECOND + 1).is_reset);
    expect_bytes(say("a", EVENT_NONE, 15, 11, 61 * SECOND), 5, 1);
}

Test(bench_accounting, lower_counters_with_started_after_stopped_are_a_restart_at_once)
{
    say("a", EVENT_STARTED, 0, 0, 0);
    expect_bytes(say("a", EVENT_STOPPED, 100, 100, SECOND), 100, 100);
    cr_expect(say("a", EVENT_STARTED, 0, 0, 2 * SECOND).is_reset);
    expect_bytes(say("a", EVENT_NONE, 7, 8, 3 * SECOND), 7, 8);
}

Test(bench_accounting, lower_counters_with_started_and_no_stopped_are_a_late_copy)
{
    say("a", EVENT_STARTED, 0, 0, 0);
    say("a", EVENT_NONE, 100, 100, SECOND);
    cr_expect(say("a", EVENT_STARTED, 0, 0, 2 * SECOND).is_late);
    expect_bytes(say("a", EVENT_NONE, 100, 100, 3 * SECOND), 0, 0);
}

Test(bench_accounting, late_stopped_ends_the_session)
{
    say("a", EVENT_STARTED, 0, 0, 0);
    say("a", EVENT_NONE, 100, 100, SECOND);
    cr_expect(say("a", EVENT_STOPPED, 50, 50, 2 * SECOND).is_late);
    cr_expect(say("a", EVENT_STARTED, 0, 0, 3 * SECOND).is_reset);
}

Test(bench_accounting, announce_overtaken_by_the_stop_is_counted)
{
    say("a", EVENT_STARTED, 0, 0, 0);
    say("a", EVENT_STOPPED, 100, 100, SECOND);
    expect_bytes(say("a", EVENT_NONE, 110, 100, 2 * SECOND), 10, 0);
    /* It did not bring the session back: started with lower counters is still a restart. */
    cr_expect(say("a", EVENT_STARTED, 0, 0, 3 * SECOND).is_reset);
}

Test(bench_accounting, repeated_announces_credit_once)
{
    say("a", EVENT_STARTED, 0, 0, 0);
    expect_bytes(say("a", EVENT_COMPLETED, 10, 20, SECOND), 10, 20);
    expect_bytes(say("a", EVENT_COMPLETED, 10, 20, SECOND), 0, 0);
    expect_bytes(say("a", EVENT_STOPPED, 10, 20, SECOND), 0, 0);
    expect_bytes(say("a", EVENT_STOPPED, 10, 20, SECOND), 0, 0);
}

Test(bench_accounting, same_client_under_two_peer_ids_is_credited_once)
{
    struct accounted_announce a = announce("a", EVENT_STARTED, 0, 0, 0), b = announce("b", EVENT_STARTED, 0, 0, 0);
    a.key = b.key = 77;
    a.port = b.port = 6881;
    apply(a);
    apply(b);
    a.event = b.event = EVENT_NONE;
    a.uploaded = b.uploaded = 100;
    a.time_ms = 10 * SECOND;
    b.time_ms = 12 * SECOND;
    expect_bytes(apply(a), 100, 0);
    cr_expect(apply(b).is_duplicate);
    /* The second's baseline moved along. */
    b.uploaded = 130;
    b.time_ms = 30 * SECOND;
    expect_bytes(apply(b), 30, 0);
}

Test(bench_accounting, key_zero_and_five_seconds_make_no_duplicate)
{
    say("a", EVENT_STARTED, 0, 0, 0);
    say("b", EVENT_STARTED, 0, 0, 0);
    say("a", EVENT_NONE, 100, 0, 10 * SECOND);
    expect_bytes(say("b", EVENT_NONE, 100, 0, 11 * SECOND), 100, 0);

    struct accounted_announce c = announce("c", EVENT_STARTED, 0, 0, 0), d = announce("d", EVENT_STARTED, 0, 0, 0);
    c.key = d.key = 5;
    apply(c);
    apply(d);
    c.uploaded = d.uploaded = 40;
    c.time_ms = 10 * SECOND;
    d.time_ms = 15 * SECOND + 1;
    apply(c);
    expect_bytes(apply(d), 40, 0);
}

Test(bench_accounting, rate_limit_cuts_off_and_keeps_raw)
{
    say("a", EVENT_STARTED, 0, 0, 0);
    /* 10 ms still count as a second. */
    struct accounted_credit credit = say("a", EVENT_NONE, UINT64_C(3) << 30, UINT64_C(1) << 30, 10);
    expect_bytes(credit, UINT64_C(1) << 30, UINT64_C(1) << 30);
    cr_expect_eq(credit.raw_uploaded, UINT64_C(3) << 30);
    cr_expect(credit.is_clamped);
    /* 2.5 s allow two and a half times as much. */
    expect_bytes(say("a", EVENT_NONE, UINT64_C(6) << 30, UINT64_C(1) << 30, 2510), UINT64_C(5) << 29, 0);
    const struct account *account = accounting_find(model, 1, 1);
    cr_expect_eq(account->raw_uploaded, UINT64_C(6) << 30);
    cr_expect_eq(account->uploaded, UINT64_C(7) << 29);
}

Test(bench_accounting, snatch_is_counted_once_for_user_and_torrent)
{
    say_left("a", EVENT_STARTED, 100, 0);
    cr_expect_not(say_left("a", EVENT_NONE, 50, SECOND).is_snatch);
    cr_expect(say_left("a", EVENT_COMPLETED, 0, 2 * SECOND).is_snatch);
    cr_expect_not(say_left("a", EVENT_COMPLETED, 0, 3 * SECOND).is_snatch);
    say_left("b", EVENT_STARTED, 100, 4 * SECOND);
    cr_expect_not(say_left("b", EVENT_COMPLETED, 0, 5 * SECOND).is_snatch);
}

Test(bench_accounting, snatch_may_first_show_in_stopped)
{
    say_left("a", EVENT_STARTED, 100, 0);
    cr_expect(say_left("a", EVENT_STOPPED, 0, SECOND).is_snatch);
}

Test(bench_accounting, session_first_seen_complete_makes_no_snatch)
{
    say_left("a", EVENT_STARTED, 0, 0);
    say_left("a", EVENT_NONE, 100, SECOND);
    cr_expect_not(say_left("a", EVENT_COMPLETED, 0, 2 * SECOND).is_snatch);
}

Test(bench_accounting, seed_time_is_the_union_over_sessions)
{
    say_left("a", EVENT_STARTED, 0, 0);
    say_left("b", EVENT_STARTED, 0, 10 * MINUTE);
    say_left("a", EVENT_NONE, 0, 30 * MINUTE);
    say_left("b", EVENT_NONE, 0, 40 * MINUTE);
    cr_expect_eq(accounting_find(model, 1, 1)->seed_time_ms, 40 * MINUTE);
}

Test(bench_accounting, gap_counts_for_what_the_session_was_at_its_start)
{
    say_left("a", EVENT_STARTED, 100, 0);
    say_left("a", EVENT_COMPLETED, 0, 10 * MINUTE);
    say_left("a", EVENT_STOPPED, 0, 15 * MINUTE);
    say_left("a", EVENT_STARTED, 0, 40 * MINUTE);
    const struct account *account = accounting_find(model, 1, 1);
    cr_expect_eq(account->leech_time_ms, 10 * MINUTE);
    cr_expect_eq(account->seed_time_ms, 5 * MINUTE);
}

Test(bench_accounting, gap_beyond_the_longest_that_counts_gives_no_time)
{
    say_left("a", EVENT_STARTED, 0, 0);
    say_left("a", EVENT_NONE, 0, 80 * MINUTE);
    cr_expect_eq(accounting_find(model, 1, 1)->seed_time_ms, 0);
}

Test(bench_accounting, session_that_returns_within_tombstone_lifetime_is_credited)
{
    const int64_t day = INT64_C(24) * 60 * MINUTE;
    say("a", EVENT_STARTED, 0, 0, 0);
    say("a", EVENT_STOPPED, 100, 0, SECOND);
    expect_bytes(say("a", EVENT_STARTED, 150, 0, 20 * day), 50, 0);
    cr_expect(say("a", EVENT_STARTED, 190, 0, 42 * day).is_first);
}

Test(bench_accounting, many_accounts_stay_apart)
{
    for (uint32_t i = 0; i < 5000; i++) {
        struct accounted_announce next = announce("a", EVENT_STARTED, 0, 0, 0);
        next.user = i % 70;
        next.torrent = i;
        apply(next);
        next.uploaded = i;
        next.time_ms = SECOND;
        apply(next);
    }
    cr_assert_eq(accounting_count(model), 5000);
    for (uint32_t i = 0; i < 5000; i++)
        cr_expect_eq(accounting_find(model, i % 70, i)->uploaded, i);
}
