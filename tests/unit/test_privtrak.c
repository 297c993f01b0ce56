/* privtrak: the account through the whole chain; rule numbers are those of section 6 of the specification. */
#include <jansson.h>

#include "chain_fixture.h"

enum { TORRENT = 3, MINUTE = 60, INTERVAL = 1800 };

static struct tracker_fixture fixture;
static struct test_announce test;

static void set_up(void)
{
    fixture_open(&fixture, "middleware: {privtrak: {max_rate: 1MiB, seed_time_gap: 75m}}\n");
}

static void tear_down(void)
{
    fixture_close(&fixture);
}

TestSuite(privtrak, .init = set_up, .fini = tear_down, .timeout = 60);

/* Runs what stands in `test` and gives its delta; all zero where it made none. */
static struct delta run(void)
{
    struct delta delta = {.seq = 0}, next;
    fixture_run(&fixture, &test);
    while (fixture_delta(&fixture, &next))
        delta = next;
    return delta;
}

static struct delta say_as(int user, int peer, enum announce_event event, uint64_t uploaded, uint64_t downloaded,
                           uint64_t left)
{
    fixture_fill(&test, user, TORRENT, peer, event, uploaded, downloaded, left);
    struct delta delta = run();
    cr_assert_eq(test.announce.verdict, VERDICT_ACCEPTED);
    return delta;
}

static struct delta say(enum announce_event event, uint64_t uploaded, uint64_t downloaded, uint64_t left)
{
    return say_as(1, 1, event, uploaded, downloaded, left);
}

static void wait_s(int64_t seconds)
{
    fixture_pass_time(&fixture, seconds);
}

static void expect_amounts(const struct delta *delta, uint64_t uploaded, uint64_t downloaded)
{
    cr_expect_eq(delta->uploaded, uploaded, "uploaded %llu", (unsigned long long)delta->uploaded);
    cr_expect_eq(delta->downloaded, downloaded, "downloaded %llu", (unsigned long long)delta->downloaded);
    cr_expect_eq(delta->credited_uploaded, uploaded);
    cr_expect_eq(delta->credited_downloaded, downloaded);
}

static const struct torrent *the_torrent(void)
{
    fixture_fill(&test, 1, TORRENT, 1, EVENT_NONE, 0, 0, 0);
    return torrents_find(fixture.context.torrents, test.announce.info_hash);
}

/* --- vectors --- */

static enum announce_event event_named(const char *name)
{
    static const char *const names[] = {"none", "completed", "started", "stopped"};
    for (int i = 0; i < 4; i++)
        if (strcmp(names[i], name) == 0)
            return (enum announce_event)i;
    cr_assert_fail("event %s", name);
    return EVENT_NONE;
}

static void run_vector(size_t number, json_t *announces, json_t *deltas)
{
    size_t i, met = 0;
    json_t *row;
    json_array_foreach (announces, i, row) {
        const char *who, *event;
        json_int_t uploaded, downloaded;
        cr_assert_eq(json_unpack(row, "[ssII]", &who, &event, &uploaded, &downloaded), 0);
        wait_s(INTERVAL);
        struct delta delta =
            say_as(*who == 'A' ? 1 : 2, 1, event_named(event), (uint64_t)uploaded, (uint64_t)downloaded, 100);
        if (delta.uploaded == 0 && delta.downloaded == 0)
            continue;
        const char *wanted_who, *wanted_event;
        cr_assert_eq(
            json_unpack(json_array_get(deltas, met), "[ssII]", &wanted_who, &wanted_event, &uploaded, &downloaded), 0,
            "vector %zu has more deltas than wanted", number);
        cr_expect_str_eq(wanted_who, who);
        cr_expect_str_eq(wanted_event, delta_event_name(delta.event));
        expect_amounts(&delta, (uint64_t)uploaded, (uint64_t)downloaded);
        met++;
    }
    cr_expect_eq(met, json_array_size(deltas), "vector %zu: %zu deltas", number, met);
}

Test(privtrak, vectors_give_their_deltas)
{
    json_error_t error;
    json_t *file = json_load_file("tests/data/accounting-vectors.json", 0, &error);
    cr_assert_not_null(file, "%s", error.text);
    size_t number;
    json_t *vector, *vectors = json_object_get(file, "vectors");
    cr_assert_gt(json_array_size(vectors), 0);
    json_array_foreach (vectors, number, vector) {
        run_vector(number, json_object_get(vector, "announces"), json_object_get(vector, "deltas"));
        tear_down();
        set_up();
    }
    json_decref(file);
}

/* --- rules 1 and 2 --- */

Test(privtrak, first_announce_credits_nothing_and_sets_the_baseline)
{
    struct delta delta = say(EVENT_STARTED, 5000, 700, 10);
    expect_amounts(&delta, 0, 0);
    cr_expect(delta.flags & DELTA_FIRST);
    cr_expect_eq(delta.session.uploaded, 5000);
    cr_expect_eq(delta.session.downloaded, 700);
}

Test(privtrak, later_announces_credit_their_differences)
{
    say(EVENT_STARTED, 5000, 700, 10);
    wait_s(INTERVAL);
    struct delta delta = say(EVENT_NONE, 6000, 900, 10);
    expect_amounts(&delta, 1000, 200);
    wait_s(INTERVAL);
    delta = say(EVENT_NONE, 6001, 900, 10);
    expect_amounts(&delta, 1, 0);
}

Test(privtrak, equal_counters_over_the_other_family_give_zero)
{
    say(EVENT_STARTED, 5000, 700, 10);
    fixture_fill(&test, 1, TORRENT, 1, EVENT_STARTED, 5000, 700, 10);
    test.announce.source.family = 6;
    struct delta delta = run();
    expect_amounts(&delta, 0, 0);
    cr_expect_eq(test.announce.incomplete, 1, "one session, whatever its families");
    cr_expect_eq(delta.session.address4.family, 4);
    cr_expect_eq(delta.session.address6.family, 6);
}

Test(privtrak, late_copy_changes_nothing)
{
    say(EVENT_STARTED, 5000, 700, 10);
    wait_s(INTERVAL);
    say(EVENT_NONE, 6000, 900, 10);
    wait_s(MINUTE);
    struct delta delta = say(EVENT_NONE, 5500, 1000, 10);
    cr_expect_eq(delta.time_ms, 0, "no delta");
    delta = say(EVENT_NONE, 6500, 900, 10);
    expect_amounts(&delta, 500, 0);
    cr_expect_eq(fixture.counters.resets, 0);
}

Test(privtrak, late_stopped_ends_the_session_and_keeps_the_baseline)
{
    say(EVENT_STARTED, 5000, 700, 10);
    wait_s(INTERVAL);
    say(EVENT_NONE, 6000, 900, 10);
    wait_s(5);
    struct delta delta = say(EVENT_STOPPED, 5500, 800, 10);
    expect_amounts(&delta, 0, 0);
    cr_expect_eq(delta.event, EVENT_STOPPED);
    cr_expect_not(delta.active);
    cr_expect_eq(delta.session.uploaded, 6000);
    cr_expect_eq(test.announce.incomplete, 0);
}

Test(privtrak, late_copy_brings_the_endpoint_of_a_new_family)
{
    say(EVENT_STARTED, 5000, 700, 10);
    fixture_fill(&test, 1, TORRENT, 1, EVENT_NONE, 4000, 700, 10);
    test.announce.source.family = 6;
    struct delta delta = run();
    expect_amounts(&delta, 0, 0);
    cr_expect_eq(delta.session.address6.family, 6);
    cr_expect_eq(delta.session.uploaded, 5000);
}

Test(privtrak, lower_counter_after_a_minute_is_a_restart)
{
    say(EVENT_STARTED, 5000, 700, 10);
    fixture.context.now_ms += MINUTE * 1000 + 1;
    struct delta delta = say(EVENT_NONE, 100, 800, 10);
    expect_amounts(&delta, 0, 0);
    cr_expect(delta.flags & DELTA_RESET);
    cr_expect_eq(delta.session.uploaded, 100);
    cr_expect_eq(fixture.counters.resets, 1);
    wait_s(INTERVAL);
    delta = say(EVENT_NONE, 150, 800, 10);
    expect_amounts(&delta, 50, 0);
}

Test(privtrak, started_after_stopped_restarts_at_once)
{
    say(EVENT_STARTED, 5000, 700, 10);
    say(EVENT_STOPPED, 5000, 700, 10);
    struct delta delta = say(EVENT_STARTED, 0, 0, 10);
    expect_amounts(&delta, 0, 0);
    cr_expect(delta.flags & DELTA_RESET);
    cr_expect(delta.active);
    cr_expect_eq(delta.session.uploaded, 0);
}

Test(privtrak, announce_within_a_minute_after_stopped_is_counted_and_stays_out)
{
    say_as(2, 2, EVENT_STARTED, 0, 0, 0);
    say(EVENT_STARTED, 5000, 700, 10);
    say(EVENT_STOPPED, 5000, 700, 10);
    wait_s(MINUTE);
    struct delta delta = say(EVENT_NONE, 5100, 700, 10);
    expect_amounts(&delta, 100, 0);
    cr_expect_not(delta.active);
    cr_expect_eq(test.announce.incomplete, 0);
    cr_expect_eq(test.announce.peer4_count, 0);
}

Test(privtrak, announce_later_than_a_minute_after_stopped_comes_back)
{
    say(EVENT_STARTED, 5000, 700, 10);
    say(EVENT_STOPPED, 5000, 700, 10);
    wait_s(MINUTE + 1);
    struct delta delta = say(EVENT_NONE, 5100, 700, 10);
    expect_amounts(&delta, 100, 0);
    cr_expect(delta.active);
}

/* --- rule 4 --- */

static struct delta say_with_key(int peer, uint32_t key, uint64_t uploaded)
{
    fixture_fill(&test, 1, TORRENT, peer, EVENT_NONE, uploaded, 0, 10);
    test.announce.key = key;
    test.announce.source.port = 6881;
    return run();
}

Test(privtrak, same_key_under_two_peer_ids_is_credited_once)
{
    say_with_key(1, 77, 0);
    say_with_key(2, 77, 0);
    wait_s(INTERVAL);
    struct delta delta = say_with_key(1, 77, 1000);
    expect_amounts(&delta, 1000, 0);
    wait_s(5);
    delta = say_with_key(2, 77, 1000);
    expect_amounts(&delta, 0, 0);
    cr_expect(delta.flags & DELTA_DUPLICATE);
    cr_expect_eq(delta.session.uploaded, 1000, "its baseline moves along");
    cr_expect_eq(test.announce.incomplete, 2, "a session of its own");
    cr_expect_gt(fixture.counters.duplicates, 0);
}

Test(privtrak, same_key_after_five_seconds_is_credited)
{
    say_with_key(1, 77, 0);
    say_with_key(2, 77, 0);
    wait_s(INTERVAL);
    say_with_key(1, 77, 1000);
    wait_s(6);
    struct delta delta = say_with_key(2, 77, 1000);
    expect_amounts(&delta, 1000, 0);
}

Test(privtrak, absent_keys_are_credited_each)
{
    say_with_key(1, 0, 0);
    say_with_key(2, 0, 0);
    wait_s(INTERVAL);
    say_with_key(1, 0, 1000);
    struct delta delta = say_with_key(2, 0, 1000);
    expect_amounts(&delta, 1000, 0);
}

/* --- rule 5 --- */

Test(privtrak, stopped_credits_the_last_difference_and_leaves_the_swarm)
{
    say(EVENT_STARTED, 5000, 700, 10);
    wait_s(INTERVAL);
    struct delta delta = say(EVENT_STOPPED, 5300, 750, 10);
    expect_amounts(&delta, 300, 50);
    cr_expect_not(delta.active);
    cr_expect_eq(the_torrent()->tombstones, 1);
}

Test(privtrak, session_that_returns_after_stopped_is_credited_from_its_baseline)
{
    say(EVENT_STARTED, 5000, 700, 10);
    say(EVENT_STOPPED, 5000, 700, 10);
    wait_s(20 * 86400);
    struct delta delta = say(EVENT_STARTED, 5400, 700, 10);
    expect_amounts(&delta, 400, 0);
    cr_expect_not(delta.flags & DELTA_FIRST);
}

Test(privtrak, stopped_from_an_unknown_session_is_an_empty_success)
{
    say_as(2, 2, EVENT_STARTED, 0, 0, 10);
    fixture_fill(&test, 1, TORRENT, 1, EVENT_STOPPED, 5000, 700, 10);
    struct delta delta = run();
    cr_expect_eq(test.announce.verdict, VERDICT_EMPTY);
    cr_expect_eq(delta.time_ms, 0);
    cr_expect_eq(test.announce.peer4_count, 0);
    cr_expect_eq(swarm_total(the_torrent()), 1);
}

/* --- rule 6 --- */

Test(privtrak, download_that_reaches_zero_left_is_a_snatch)
{
    say(EVENT_STARTED, 0, 0, 10);
    wait_s(INTERVAL);
    struct delta delta = say(EVENT_NONE, 0, 10, 0);
    cr_expect(delta.flags & DELTA_SNATCHED);
    cr_expect_eq(the_torrent()->snatches, 1);
}

Test(privtrak, completed_with_something_left_is_a_snatch)
{
    say(EVENT_STARTED, 0, 0, 10);
    wait_s(INTERVAL);
    cr_expect(say(EVENT_COMPLETED, 0, 5, 5).flags & DELTA_SNATCHED);
}

Test(privtrak, zero_left_first_shown_in_stopped_is_a_snatch)
{
    say(EVENT_STARTED, 0, 0, 10);
    wait_s(INTERVAL);
    cr_expect(say(EVENT_STOPPED, 0, 10, 0).flags & DELTA_SNATCHED);
}

Test(privtrak, repeated_completed_changes_nothing)
{
    say(EVENT_STARTED, 0, 0, 10);
    say(EVENT_COMPLETED, 0, 10, 0);
    cr_expect_not(say(EVENT_COMPLETED, 0, 10, 0).flags & DELTA_SNATCHED);
    cr_expect_not(say(EVENT_NONE, 0, 10, 0).flags & DELTA_SNATCHED);
    cr_expect_eq(the_torrent()->snatches, 1);
}

Test(privtrak, second_download_by_the_same_user_is_no_second_snatch)
{
    say_as(1, 1, EVENT_STARTED, 0, 0, 10);
    say_as(1, 1, EVENT_COMPLETED, 0, 10, 0);
    say_as(1, 1, EVENT_STOPPED, 0, 10, 0);
    say_as(1, 2, EVENT_STARTED, 0, 0, 10);
    cr_expect_not(say_as(1, 2, EVENT_COMPLETED, 0, 10, 0).flags & DELTA_SNATCHED);
    cr_expect_eq(the_torrent()->snatches, 1);
}

Test(privtrak, session_first_seen_complete_makes_no_snatch)
{
    say(EVENT_STARTED, 0, 0, 0);
    cr_expect_not(say(EVENT_COMPLETED, 0, 0, 0).flags & DELTA_SNATCHED);
    wait_s(INTERVAL);
    say(EVENT_NONE, 0, 0, 10); /* a re-check */
    wait_s(INTERVAL);
    cr_expect_not(say(EVENT_NONE, 0, 10, 0).flags & DELTA_SNATCHED);
    cr_expect_eq(the_torrent()->snatches, 0);
}

Test(privtrak, change_from_seeder_to_leecher_moves_the_session)
{
    say(EVENT_STARTED, 0, 0, 0);
    cr_expect_eq(test.announce.complete, 1);
    wait_s(INTERVAL);
    say(EVENT_NONE, 0, 0, 10);
    cr_expect_eq(test.announce.complete, 0);
    cr_expect_eq(test.announce.incomplete, 1);
}

/* --- rule 8 --- */

Test(privtrak, difference_above_the_rate_is_cut_off_and_quarantined)
{
    const uint64_t mib = 1048576;
    say(EVENT_STARTED, 0, 0, 10);
    fixture.context.now_ms += 2500;
    struct delta delta = say(EVENT_NONE, 10 * mib, 3 * mib, 10);
    cr_expect_eq(delta.uploaded, 10 * mib);
    cr_expect_eq(delta.downloaded, 3 * mib);
    cr_expect_eq(delta.credited_uploaded, 5 * mib / 2);
    cr_expect_eq(delta.credited_downloaded, 5 * mib / 2);
    cr_expect_eq(delta.quarantined, 8 * mib);
    cr_expect(delta.flags & DELTA_CLAMPED);
    cr_expect_eq(fixture.counters.clamps, 1);
    cr_expect_eq(delta.session.uploaded, 10 * mib, "what was cut off does not come back");
}

Test(privtrak, time_as_a_tombstone_counts_for_the_rate)
{
    say(EVENT_STARTED, 0, 0, 10);
    say(EVENT_STOPPED, 0, 0, 10);
    wait_s(86400);
    struct delta delta = say(EVENT_STARTED, UINT64_C(86400) << 20, 0, 10);
    expect_amounts(&delta, UINT64_C(86400) << 20, 0);
}

/* --- rule 9 --- */

static void set_user_percents(uint32_t up, uint32_t down)
{
    const struct user_facts facts = {.id = 1,
                                     .passkey = "passkey-1",
                                     .enabled = true,
                                     .can_leech = true,
                                     .upload_percent = up,
                                     .download_percent = down};
    cr_assert_eq(users_put(fixture.context.users, &facts), 0);
}

static void set_torrent_percents(uint32_t up, uint32_t down)
{
    struct torrent_extra *extra = torrent_make_extra((struct torrent *)the_torrent());
    cr_assert_not_null(extra);
    extra->upload_percent = up;
    extra->download_percent = down;
}

Test(privtrak, upload_percent_is_the_largest_and_download_percent_the_smallest)
{
    say(EVENT_STARTED, 0, 0, 10);
    set_user_percents(150, 80);
    set_torrent_percents(130, 50);
    fixture.multipliers.upload_percent = 200;
    fixture.multipliers.download_percent = 90;
    wait_s(INTERVAL);
    struct delta delta = say(EVENT_NONE, 1001, 1001, 10);
    cr_expect_eq(delta.credited_uploaded, 2002);
    cr_expect_eq(delta.credited_downloaded, 500, "rounded down");
    cr_expect_eq(delta.uploaded, 1001, "raw is kept");
    cr_expect_eq(delta.downloaded, 1001);
}

Test(privtrak, percentages_of_the_user_count_alone)
{
    say(EVENT_STARTED, 0, 0, 10);
    set_user_percents(150, 0);
    wait_s(INTERVAL);
    struct delta delta = say(EVENT_NONE, 1001, 1001, 10);
    cr_expect_eq(delta.credited_uploaded, 1501);
    cr_expect_eq(delta.credited_downloaded, 0);
}

Test(privtrak, free_torrent_credits_no_download)
{
    say(EVENT_STARTED, 0, 0, 10);
    set_torrent_percents(100, 0);
    wait_s(INTERVAL);
    struct delta delta = say(EVENT_NONE, 1000, 1000, 10);
    cr_expect_eq(delta.credited_uploaded, 1000);
    cr_expect_eq(delta.credited_downloaded, 0);
    cr_expect_eq(delta.downloaded, 1000);
}

Test(privtrak, global_percentages_end_at_their_time)
{
    say(EVENT_STARTED, 0, 0, 10);
    fixture.multipliers =
        (struct multipliers){.upload_percent = 200, .download_percent = 0, .until_s = START_MS / 1000 + INTERVAL};
    wait_s(INTERVAL - 1);
    struct delta delta = say(EVENT_NONE, 1000, 1000, 10);
    cr_expect_eq(delta.credited_uploaded, 2000);
    cr_expect_eq(delta.credited_downloaded, 0);
    wait_s(1);
    delta = say(EVENT_NONE, 2000, 2000, 10);
    expect_amounts(&delta, 1000, 1000);
}

/* --- rule 10 --- */

Test(privtrak, gaps_between_seeding_announces_are_seed_time)
{
    say(EVENT_STARTED, 0, 0, 0);
    wait_s(INTERVAL);
    struct delta delta = say(EVENT_NONE, 0, 0, 0);
    cr_expect_eq(delta.seed_time_s, INTERVAL);
    cr_expect_eq(delta.leech_time_s, 0);
}

Test(privtrak, gap_counts_for_what_the_session_was_at_its_start)
{
    say(EVENT_STARTED, 0, 0, 10);
    wait_s(INTERVAL);
    struct delta delta = say(EVENT_COMPLETED, 0, 10, 0);
    cr_expect_eq(delta.leech_time_s, INTERVAL);
    cr_expect_eq(delta.seed_time_s, 0);
}

Test(privtrak, gap_that_ends_in_stopped_counts_and_the_one_after_does_not)
{
    say(EVENT_STARTED, 0, 0, 0);
    wait_s(INTERVAL);
    cr_expect_eq(say(EVENT_STOPPED, 0, 0, 0).seed_time_s, INTERVAL);
    wait_s(INTERVAL);
    cr_expect_eq(say(EVENT_STARTED, 0, 0, 0).seed_time_s, 0);
}

Test(privtrak, seed_time_of_two_sessions_is_their_union)
{
    uint32_t sum = 0;
    say_as(1, 1, EVENT_STARTED, 0, 0, 0); /* at 0 */
    wait_s(600);
    say_as(1, 2, EVENT_STARTED, 0, 0, 0); /* at 600 */
    wait_s(1200);
    sum += say_as(1, 1, EVENT_NONE, 0, 0, 0).seed_time_s; /* at 1800 */
    wait_s(600);
    sum += say_as(1, 2, EVENT_NONE, 0, 0, 0).seed_time_s; /* at 2400 */
    cr_expect_eq(sum, 2400);
    wait_s(1200);
    sum += say_as(1, 1, EVENT_STOPPED, 0, 0, 0).seed_time_s; /* at 3600 */
    wait_s(600);
    sum += say_as(1, 2, EVENT_NONE, 0, 0, 0).seed_time_s; /* at 4200 */
    wait_s(1800);
    sum += say_as(1, 2, EVENT_STOPPED, 0, 0, 0).seed_time_s; /* at 6000 */
    cr_expect_eq(sum, 6000, "%u", sum);
}

Test(privtrak, leech_time_of_two_sessions_is_their_union)
{
    say_as(1, 1, EVENT_STARTED, 0, 0, 10);
    say_as(1, 2, EVENT_STARTED, 0, 0, 10);
    wait_s(INTERVAL);
    cr_expect_eq(say_as(1, 1, EVENT_NONE, 0, 0, 10).leech_time_s, INTERVAL);
    cr_expect_eq(say_as(1, 2, EVENT_NONE, 0, 0, 10).leech_time_s, 0);
}

Test(privtrak, seed_time_of_two_users_is_counted_each)
{
    say_as(1, 1, EVENT_STARTED, 0, 0, 0);
    say_as(2, 2, EVENT_STARTED, 0, 0, 0);
    wait_s(INTERVAL);
    cr_expect_eq(say_as(1, 1, EVENT_NONE, 0, 0, 0).seed_time_s, INTERVAL);
    cr_expect_eq(say_as(2, 2, EVENT_NONE, 0, 0, 0).seed_time_s, INTERVAL);
}

Test(privtrak, paused_is_told_as_none_and_gets_no_seeders)
{
    say_as(2, 2, EVENT_STARTED, 0, 0, 0);
    struct delta delta = say(EVENT_PAUSED, 0, 0, 10);
    cr_expect_str_eq(delta_event_name(delta.event), "none");
    cr_expect_eq(test.announce.peer4_count, 0);
    cr_expect_eq(test.announce.incomplete, 1);
}

/* --- a client that restarts in a loop, each time under a new peer id --- */

enum { RESTARTS = 300, KEPT_MAX = 256 };

static void restart_over_and_over(int first_peer)
{
    for (int peer = first_peer; peer < first_peer + RESTARTS; peer++) {
        say_as(1, peer, EVENT_STARTED, 0, 0, 100);
        say_as(1, peer, EVENT_STOPPED, 0, 0, 100);
        wait_s(1);
    }
}

Test(privtrak, restart_loop_leaves_a_bounded_number_of_sessions)
{
    say_as(2, 1, EVENT_STARTED, 0, 0, 100);
    say_as(2, 1, EVENT_STOPPED, 0, 0, 100);
    restart_over_and_over(1);
    cr_expect_eq(swarm_total(the_torrent()), KEPT_MAX + 1, "%u sessions are kept", swarm_total(the_torrent()));
    struct delta delta = say_as(2, 1, EVENT_NONE, 500, 0, 100);
    cr_expect_not(delta.flags & DELTA_FIRST); /* another user's session is not the one that goes */
}

Test(privtrak, restart_loop_drops_the_oldest_first)
{
    restart_over_and_over(1);
    wait_s(MINUTE);
    struct delta delta = say_as(1, RESTARTS, EVENT_NONE, 700, 0, 100);
    expect_amounts(&delta, 700, 0); /* it is known still */
    delta = say_as(1, 1, EVENT_NONE, 700, 0, 100);
    cr_expect(delta.flags & DELTA_FIRST);
    expect_amounts(&delta, 0, 0);
}

Test(privtrak, restart_loop_gives_no_second_snatch)
{
    say_as(1, 1, EVENT_STARTED, 0, 0, 100);
    struct delta delta = say_as(1, 1, EVENT_COMPLETED, 0, 100, 0);
    cr_expect(delta.flags & DELTA_SNATCHED);
    say_as(1, 1, EVENT_STOPPED, 0, 100, 0);
    wait_s(1);
    restart_over_and_over(2);
    restart_over_and_over(2 + RESTARTS);
    say_as(1, 1, EVENT_STARTED, 0, 0, 100);
    delta = say_as(1, 1, EVENT_COMPLETED, 0, 100, 0);
    cr_expect_not(delta.flags & DELTA_SNATCHED);
    cr_expect_eq(the_torrent()->snatches, 1);
}
