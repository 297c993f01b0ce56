/* chain: a batch of announces gives what its announces one at a time would give, in their order. */
#include "chain_fixture.h"
#include "middleware/stages.h"

static const char yaml[] = "tracker: {announce_interval: 20s, min_announce_interval: 5s, announce_jitter: 1s, "
                           "peer_lifetime: 40s, tombstone_lifetime: 300s}\n"
                           "middleware: {limits: {sessions_per_torrent: 2, new_torrents_per_user: 3/h}, "
                           "privtrak: {max_rate: 4KiB, seed_time_gap: 30s}}\n";

enum { ROUNDS = 3000, DELTAS_MAX = 1024 };

static struct tracker_fixture together, apart;
static struct test_announce batch_tests[BATCH_MAX], single_tests[BATCH_MAX];

static uint64_t random_state = 88172645463325252u;

static uint64_t pick_number(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 16) % below;
}

/* Few users, torrents and peers, so that a batch often has several announces of one session. */
static void fill_randomly(struct test_announce *test)
{
    static const enum announce_event events[] = {EVENT_NONE, EVENT_NONE,    EVENT_NONE,      EVENT_STARTED,
                                                 EVENT_NONE, EVENT_STOPPED, EVENT_COMPLETED, EVENT_PAUSED};
    int user = (int)pick_number(FIXTURE_USERS + 1) + 1; /* the last one is unknown */
    fixture_fill(test, user, (int)pick_number(5), (int)pick_number(4), events[pick_number(8)], pick_number(100000),
                 pick_number(100000), pick_number(3) * 100);
    struct announce *announce = &test->announce;
    announce->key = (uint32_t)pick_number(2) * 77;
    announce->numwant = (int32_t)pick_number(12) - 1;
    announce->protocol = (uint8_t)pick_number(PROTOCOL_COUNT);
    announce->compact = announce->protocol == PROTOCOL_UDP || pick_number(4) > 0;
    if (pick_number(3) == 0) {
        announce->source.family = 6;
        announce->source.ip[15] = announce->source.ip[3];
    }
    if (pick_number(20) == 0)
        announce->source.port = 0;
}

static void copy_request(struct test_announce *to, const struct test_announce *from)
{
    memset(&to->announce, 0, sizeof to->announce);
    memcpy(&to->announce, &from->announce, ANNOUNCE_FOUND_OFFSET);
    to->announce.peers4 = to->buffer4 + ANNOUNCE_HEADROOM;
    to->announce.peers6 = to->buffer6 + ANNOUNCE_HEADROOM;
    to->announce.entries = to->entries;
    to->announce.peers_max = FIXTURE_PEERS_MAX;
}

/* What differs between two answers, or NULL. */
static const char *difference(const struct announce *a, const struct announce *b)
{
    if (a->verdict != b->verdict)
        return "verdict";
    if (a->complete != b->complete || a->incomplete != b->incomplete || a->snatches != b->snatches)
        return "numbers of the torrent";
    if (a->interval_s != b->interval_s)
        return "interval";
    if (a->failure != b->failure || a->warning != b->warning)
        return "reason";
    if (a->peer4_count != b->peer4_count || a->peer6_count != b->peer6_count)
        return "number of peers";
    for (int i = 0; !a->compact && i < a->peer4_count + a->peer6_count; i++)
        if (memcmp(a->entries[i].peer_id, b->entries[i].peer_id, PEER_ID_BYTES) != 0)
            return "peers of a list";
    if (a->compact && (memcmp(a->peers4, b->peers4, (size_t)a->peer4_count * ENDPOINT4_BYTES) != 0 ||
                       memcmp(a->peers6, b->peers6, (size_t)a->peer6_count * ENDPOINT6_BYTES) != 0))
        return "peers";
    return NULL;
}

/* The deltas of a round, those of one torrent in their order: between torrents a batch may order them otherwise. */
static size_t take_deltas(struct tracker_fixture *fixture, struct delta *deltas)
{
    size_t count = 0;
    while (count < DELTAS_MAX && fixture_delta(fixture, &deltas[count])) {
        size_t at = count++;
        for (; at > 0 && memcmp(deltas[at - 1].info_hash, deltas[at].info_hash, INFO_HASH_BYTES) > 0; at--) {
            struct delta kept = deltas[at];
            deltas[at] = deltas[at - 1];
            deltas[at - 1] = kept;
        }
    }
    return count;
}

static const char *difference_of_deltas(const struct delta *a, const struct delta *b)
{
    if (memcmp(a->peer_id, b->peer_id, PEER_ID_BYTES) != 0)
        return "peer id";
    if (a->event != b->event || a->flags != b->flags)
        return "event or flags";
    if (a->credited_uploaded != b->credited_uploaded || a->credited_downloaded != b->credited_downloaded ||
        a->quarantined != b->quarantined)
        return "credit";
    if (a->seed_time_s != b->seed_time_s || a->leech_time_s != b->leech_time_s)
        return "time";
    if (a->session.uploaded != b->session.uploaded || a->session.flags != b->session.flags)
        return "session";
    if (a->seeders != b->seeders || a->user_active != b->user_active || a->user_left != b->user_left)
        return "the user's sessions";
    return NULL;
}

static void expect_same_deltas(int round)
{
    static struct delta one[DELTAS_MAX], other[DELTAS_MAX];
    size_t count = take_deltas(&together, one);
    cr_assert_eq(count, take_deltas(&apart, other), "round %d: number of deltas", round);
    for (size_t i = 0; i < count; i++) {
        const char *what = difference_of_deltas(&one[i], &other[i]);
        cr_assert_null(what, "round %d, delta %zu: %s", round, i, what);
    }
}

Test(chain, batch_equals_its_announces_one_at_a_time, .timeout = 120)
{
    fixture_open(&together, yaml);
    fixture_open(&apart, yaml);
    for (int round = 0; round < ROUNDS; round++) {
        unsigned count = 1 + (unsigned)pick_number(BATCH_MAX);
        struct announce *announces[BATCH_MAX];
        for (unsigned i = 0; i < count; i++) {
            fill_randomly(&batch_tests[i]);
            copy_request(&single_tests[i], &batch_tests[i]);
            announces[i] = &batch_tests[i].announce;
        }
        chain_run(together.chain, announces, count);
        for (unsigned i = 0; i < count; i++)
            fixture_run(&apart, &single_tests[i]);
        for (unsigned i = 0; i < count; i++) {
            const char *what = difference(&batch_tests[i].announce, &single_tests[i].announce);
            cr_assert_null(what, "round %d, announce %u: %s", round, i, what);
        }
        expect_same_deltas(round);
        int64_t pause_s = (int64_t)pick_number(12);
        fixture_pass_time(&together, pause_s);
        fixture_pass_time(&apart, pause_s);
    }
    cr_expect_gt(together.counters.resets, 0);
    cr_expect_gt(together.counters.clamps, 0);
    fixture_close(&together);
    fixture_close(&apart);
}

static uint64_t spent_ns(const struct chain *chain)
{
    uint64_t sum = 0;
    for (unsigned stage = 0; stage < chain_stage_count(); stage++)
        sum += chain_stage_ns(chain, stage);
    return sum;
}

Test(chain, time_of_each_stage_is_measured_where_it_is_switched_on, .timeout = 60)
{
    fixture_open(&together, yaml);
    fixture_fill(&batch_tests[0], 1, 1, 1, EVENT_NONE, 0, 0, 0);
    fixture_run(&together, &batch_tests[0]);
    cr_expect_eq(spent_ns(together.chain), 0);
    chain_measure(together.chain, true);
    for (int i = 0; i < 100; i++)
        fixture_run(&together, &batch_tests[0]);
    cr_expect_gt(spent_ns(together.chain), 0);
    chain_measure(together.chain, false);
    uint64_t before = spent_ns(together.chain);
    fixture_run(&together, &batch_tests[0]);
    cr_expect_eq(spent_ns(together.chain), before);
    fixture_close(&together);
}

Test(chain, those_over_a_batch_stand_before_those_over_one_announce)
{
    bool is_over_one = false;
    for (unsigned i = 0; stages[i] != NULL; i++) {
        cr_expect((stages[i]->run != NULL) != (stages[i]->run_one != NULL), "%s", stages[i]->name);
        cr_expect_not(is_over_one && stages[i]->run != NULL, "%s", stages[i]->name);
        is_over_one |= stages[i]->run_one != NULL;
    }
}

Test(chain, stages_have_names_of_their_own)
{
    cr_expect_gt(chain_stage_count(), 1);
    for (unsigned i = 0; i < chain_stage_count(); i++)
        for (unsigned j = 0; j < i; j++)
            cr_expect_str_neq(chain_stage_name(i), chain_stage_name(j));
}
