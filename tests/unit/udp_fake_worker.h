/*
 * udp_fake_worker: as much of a tracker as the UDP frontend sees of it, in one thread,
 * so that a test decides when what happens. Included by one file of a program.
 */
#ifndef PRIVTRAK_TESTS_UDP_FAKE_WORKER_H
#define PRIVTRAK_TESTS_UDP_FAKE_WORKER_H

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tracker/tracker.h"
#include "udp/packet.h"

enum { FAKE_WORKERS_MAX = 4, FAKE_BATCH = 64, FAKE_HELD_MAX = 32768 };

struct worker {
    struct tracker *tracker;
    struct event_base *base;
    unsigned number;
    int64_t now_ms;
    void *frontends[FRONTEND_COUNT];
    struct counters counters;
    struct mail *mails;
    unsigned announced;   /* how many have been run */
    struct announce last; /* the one run last */
    unsigned batch_count;
    struct announce batch[FAKE_BATCH];
    uint8_t memory[FAKE_BATCH][ANNOUNCE_HEADROOM + PACKET_REPLY_MAX + 1000];
    unsigned held_count;
    struct announce *held[FAKE_HELD_MAX];
    unsigned held_scrape_count;
    struct scrape *held_scrapes[FAKE_HELD_MAX];
};

struct tracker {
    unsigned worker_count;
    const struct config *config;
    struct worker_hooks hooks;
    struct worker workers[FAKE_WORKERS_MAX];

    /* What is done with announces. */
    unsigned batch_max;
    unsigned peer_count;
    enum verdict verdict;
    const char *failure;
    bool holds_answers; /* until fake_release */
    bool refuses_mail;
    bool keeps_memory; /* does not overwrite the peers of the batch before */
};

struct event_base *worker_base(struct worker *worker)
{
    return worker->base;
}

unsigned worker_number(const struct worker *worker)
{
    return worker->number;
}

unsigned worker_total(const struct worker *worker)
{
    return worker->tracker->worker_count;
}

const struct config *worker_config(const struct worker *worker)
{
    return worker->tracker->config;
}

void worker_set_frontend(struct worker *worker, enum frontend frontend, void *state)
{
    worker->frontends[frontend] = state;
}

void *worker_frontend(struct worker *worker, enum frontend frontend)
{
    return worker->frontends[frontend];
}

struct counters *worker_counters(struct worker *worker)
{
    return &worker->counters;
}

int64_t worker_now_ms(const struct worker *worker)
{
    return worker->now_ms;
}

int64_t worker_tick(struct worker *worker)
{
    worker->now_ms = clock_now_ms();
    return worker->now_ms;
}

void latency_add(struct latency *latency, int64_t ns, uint64_t count)
{
    counter_add(&latency->sum_ns, (uint64_t)ns * count);
    counter_add(&latency->buckets[0], count);
}

enum request_result result_of_verdict(uint8_t verdict)
{
    return verdict == VERDICT_REFUSED ? RESULT_REFUSED : verdict == VERDICT_OVERLOAD ? RESULT_OVERLOAD : RESULT_OK;
}

void tracker_add_hooks(struct tracker *tracker, const struct worker_hooks *hooks)
{
    tracker->hooks = *hooks;
}

/* Peer number i has every byte i. */
static void fake_decide(struct worker *worker, struct announce *announce, uint8_t *memory)
{
    const struct tracker *tracker = worker->tracker;
    bool is_ipv4 = announce->source.family == 4;
    unsigned size = is_ipv4 ? ENDPOINT4_BYTES : ENDPOINT6_BYTES;
    unsigned count = tracker->peer_count;
    if (announce->numwant >= 0 && count > (unsigned)announce->numwant)
        count = (unsigned)announce->numwant;
    announce->verdict = (uint8_t)tracker->verdict;
    announce->failure = tracker->failure;
    announce->interval_s = 1800;
    announce->complete = 3;
    announce->incomplete = 2;
    announce->peers4 = memory + ANNOUNCE_HEADROOM;
    announce->peers6 = memory + ANNOUNCE_HEADROOM;
    announce->peer4_count = (uint16_t)(is_ipv4 ? count : 0);
    announce->peer6_count = (uint16_t)(is_ipv4 ? 0 : count);
    for (unsigned i = 0; i < count && !tracker->keeps_memory; i++)
        memset(memory + ANNOUNCE_HEADROOM + i * size, (int)i, size);
}

static void fake_run(struct worker *worker)
{
    unsigned count = worker->batch_count;
    worker->batch_count = 0;
    if (!worker->tracker->keeps_memory)
        memset(worker->memory, 0xee, sizeof worker->memory);
    for (unsigned i = 0; i < count; i++) {
        fake_decide(worker, &worker->batch[i], worker->memory[i]);
        worker->announced++;
    }
    if (count > 0)
        worker->last = worker->batch[count - 1];
    for (unsigned i = 0; i < count; i++) {
        if (worker->tracker->holds_answers) {
            struct announce *copy = malloc(sizeof *copy);
            *copy = worker->batch[i];
            worker->held[worker->held_count++] = copy;
        } else {
            worker->batch[i].origin->reply(worker, &worker->batch[i]);
        }
    }
}

struct announce *worker_announce(struct worker *worker)
{
    if (worker->batch_count == worker->tracker->batch_max)
        fake_run(worker);
    struct announce *announce = &worker->batch[worker->batch_count];
    if (!worker->tracker->keeps_memory)
        memset(announce, 0xa5, sizeof *announce);
    return announce;
}

void worker_discard(struct worker *worker, struct announce *announce)
{
    (void)worker;
    (void)announce;
}

void worker_submit(struct worker *worker, struct announce *announce)
{
    (void)announce;
    worker->batch_count++;
}

void worker_flush(struct worker *worker)
{
    fake_run(worker);
}

static void fake_answer_scrape(struct worker *worker, struct scrape *scrape)
{
    for (uint32_t i = 0; i < scrape->count; i++) {
        uint8_t number = scrape->info_hashes[i][0];
        scrape->results[i] = (struct scrape_result){number != 0, number, number + 1U, number + 2U};
    }
    scrape->verdict = (uint8_t)worker->tracker->verdict;
    scrape->failure = worker->tracker->failure;
    scrape->reply(worker, scrape);
}

void worker_scrape(struct worker *worker, struct scrape *scrape)
{
    fake_run(worker);
    if (worker->tracker->holds_answers)
        worker->held_scrapes[worker->held_scrape_count++] = scrape;
    else
        fake_answer_scrape(worker, scrape);
}

bool worker_post(struct worker *from, unsigned to, struct mail *mail)
{
    if (from->tracker->refuses_mail)
        return false;
    struct worker *receiver = &from->tracker->workers[to];
    mail->next = receiver->mails;
    receiver->mails = mail;
    return true;
}

/* Gives the answers that were held back, out of memory that is gone afterwards. */
static inline void fake_release(struct worker *worker)
{
    for (unsigned i = 0; i < worker->held_count; i++) {
        uint8_t memory[sizeof worker->memory[0]];
        fake_decide(worker, worker->held[i], memory);
        worker->held[i]->origin->reply(worker, worker->held[i]);
        memset(memory, 0xee, sizeof memory);
        free(worker->held[i]);
    }
    worker->held_count = 0;
    for (unsigned i = 0; i < worker->held_scrape_count; i++)
        fake_answer_scrape(worker, worker->held_scrapes[i]);
    worker->held_scrape_count = 0;
}

/* One turn of one worker: sockets, mail, what the mail brought, and what that made ready to be sent. */
static inline void fake_turn(struct worker *worker)
{
    (void)event_base_loop(worker->base, EVLOOP_NONBLOCK);
    while (worker->mails != NULL) {
        struct mail *mail = worker->mails;
        worker->mails = mail->next;
        mail->deliver(worker, mail);
    }
    fake_run(worker);
    (void)event_base_loop(worker->base, EVLOOP_NONBLOCK);
}

static inline struct tracker *fake_tracker(const struct config *config, unsigned workers)
{
    struct tracker *tracker = calloc(1, sizeof *tracker);
    tracker->worker_count = workers;
    tracker->config = config;
    tracker->batch_max = FAKE_BATCH;
    tracker->peer_count = 50;
    for (unsigned i = 0; i < workers; i++) {
        struct worker *worker = &tracker->workers[i];
        worker->tracker = tracker;
        worker->number = i;
        worker->base = event_base_new();
        (void)worker_tick(worker);
    }
    return tracker;
}

static inline void fake_tracker_start(struct tracker *tracker)
{
    for (unsigned i = 0; i < tracker->worker_count; i++) {
        if (tracker->hooks.start(&tracker->workers[i], tracker->hooks.context) != 0)
            abort();
    }
}

static inline void fake_tracker_free(struct tracker *tracker)
{
    for (unsigned i = 0; i < tracker->worker_count; i++) {
        struct worker *worker = &tracker->workers[i];
        tracker->hooks.drain(worker, tracker->hooks.context);
        fake_turn(worker);
        fake_release(worker);
        tracker->hooks.stop(worker, tracker->hooks.context);
        event_base_free(worker->base);
    }
    free(tracker);
}

#endif
