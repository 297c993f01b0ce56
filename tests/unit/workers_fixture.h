/* workers_fixture: a tracker whose workers have no threads; their loops turn when a test says so. */
#ifndef PRIVTRAK_TESTS_WORKERS_FIXTURE_H
#define PRIVTRAK_TESTS_WORKERS_FIXTURE_H

#include "chain_fixture.h"
#include "tracker/worker_private.h"

/* Over the users and clients of an open fixture. Only what `yaml` says of workers and deltas matters. */
static inline struct tracker *workers_open(struct tracker_fixture *fixture, const char *yaml, struct config **config)
{
    *config = config_parse("test.yaml", yaml, strlen(yaml), fixture_fault, NULL);
    const struct tracker_parts parts = {
        .users = fixture->context.users, .clients = fixture->context.clients, .multipliers = &fixture->multipliers};
    struct error error;
    struct tracker *tracker = tracker_new(*config, &parts, &error);
    cr_assert_not_null(tracker, "%s", error.text);
    return tracker;
}

static inline void workers_close(struct tracker *tracker, struct config *config, struct tracker_fixture *fixture)
{
    tracker_free(tracker);
    config_free(config);
    fixture_close(fixture);
}

/* A few turns of every worker's loop, so that mail goes there and back. */
static inline void workers_turn(struct tracker *tracker)
{
    for (int i = 0; i < 4; i++)
        for (unsigned number = 0; number < tracker->count; number++)
            event_base_loop(tracker->workers[number]->base, EVLOOP_NONBLOCK);
}

/* Hands what `test` says to worker `to`, whoever owns the torrent. */
static inline void workers_submit(struct tracker *tracker, unsigned to, const struct test_announce *test,
                                  const struct announce_origin *origin, uint64_t tag)
{
    struct worker *worker = tracker_worker(tracker, to);
    struct announce *announce = worker_announce(worker);
    memcpy(announce, &test->announce, ANNOUNCE_FOUND_OFFSET);
    announce->origin = origin;
    announce->origin_tag = tag;
    worker_submit(worker, announce);
    workers_turn(tracker);
}

static inline unsigned workers_owner(const struct tracker *tracker, int torrent)
{
    struct test_announce test;
    fixture_fill(&test, 1, torrent, 1, EVENT_NONE, 0, 0, 0);
    return torrent_owner(test.announce.info_hash, tracker->count);
}

#endif
