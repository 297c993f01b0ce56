/* chain: see chain.h. */
#include "tracker/chain.h"

#include <stdlib.h>

#include "base/clock.h"
#include "middleware/stages.h"
#include "tracker/fetch.h"

enum {
    STAGES_MAX = 16,
    CLOCK_LOOKS = 1000,
    DISTANCE = 8, /* announces between an announce's steps: some 2 µs, and what they fetch fits the nearest cache */
};

struct chain {
    struct context *context;
    struct stage stages[STAGES_MAX];
    void (*run_one[STAGES_MAX])(struct context *context, struct announce *announce); /* of those stages that have one */
    unsigned count;
    unsigned on_batches; /* as many of them, the first, run over batches, the others over one announce */
    bool measures;
    int64_t look_ps; /* what a look at the clock takes */
    int64_t spent_ns[STAGES_MAX];
    uint64_t looks[STAGES_MAX];
};

void chain_free(struct chain *chain)
{
    if (chain == NULL)
        return;
    for (unsigned i = 0; i < chain->count; i++)
        if (chain->stages[i].type->stop != NULL)
            chain->stages[i].type->stop(&chain->stages[i]);
    free(chain);
}

struct chain *chain_new(struct context *context)
{
    struct chain *chain = calloc(1, sizeof *chain);
    if (chain == NULL)
        return NULL;
    chain->context = context;
    for (; stages[chain->count] != NULL; chain->count++) {
        struct stage *stage = &chain->stages[chain->count];
        stage->type = stages[chain->count];
        chain->run_one[chain->count] = stage->type->run_one;
        if (stage->type->run != NULL)
            chain->on_batches = chain->count + 1;
        if (stage->type->start != NULL && stage->type->start(stage, context->config) != 0) {
            chain_free(chain);
            return NULL;
        }
    }
    return chain;
}

/* Counts the time since `*since_ns` for the stage, and sets it to now. */
static void count_time(struct chain *chain, unsigned stage, int64_t *since_ns)
{
    int64_t now_ns = clock_monotonic_ns();
    chain->spent_ns[stage] += now_ns - *since_ns;
    chain->looks[stage]++;
    *since_ns = now_ns;
}

static void run_on_one(struct chain *chain, struct announce *announce, int64_t *since_ns)
{
    for (unsigned i = chain->on_batches; i < chain->count; i++) {
        if (announce->verdict <= VERDICT_EMPTY)
            chain->run_one[i](chain->context, announce);
        if (chain->measures)
            count_time(chain, i, since_ns);
    }
}

/*
 * The announces go one after the other, each through fetching and stages, with some distance between its steps: while
 * one is worked on, memory brings what those behind it will need.
 */
static void run_on_swarms(struct chain *chain, struct announce *const *announces, unsigned count, int64_t *since_ns)
{
    struct pick_plan plans[BATCH_MAX];
    unsigned distance = count < 4 * DISTANCE ? 1 : DISTANCE; /* few would mostly wait for the last */
    for (unsigned head = 0; head < count + 4 * distance; head++) {
        unsigned at = head; /* before the first one it is far above the count */
        if (at < count)
            fetch_segment(&plans[at], chain->context, announces[at]);
        if ((at -= distance) < count)
            fetch_line(announces[at]);
        if ((at -= distance) < count)
            fetch_slot(&plans[at], announces[at]);
        if ((at -= distance) < count)
            fetch_session(announces[at]);
        if ((at -= distance) < count)
            run_on_one(chain, announces[at], since_ns);
    }
}

void chain_run(struct chain *chain, struct announce *const *announces, unsigned count)
{
    struct batch batch = {.context = chain->context, .count = count};
    for (unsigned i = 0; i < count; i++)
        batch.announces[i] = announces[i];
    int64_t since_ns = chain->measures ? clock_monotonic_ns() : 0;
    users_read_begin();
    for (unsigned i = 0; i < chain->on_batches; i++) {
        chain->stages[i].type->run(&chain->stages[i], &batch);
        if (chain->measures)
            count_time(chain, i, &since_ns);
    }
    struct announce *accepted[BATCH_MAX];
    unsigned accepted_count = 0;
    for (unsigned i = 0; i < count; i++) {
        if (announces[i]->verdict == VERDICT_ACCEPTED)
            accepted[accepted_count++] = announces[i];
        else
            run_on_one(chain, announces[i], &since_ns);
    }
    run_on_swarms(chain, accepted, accepted_count, &since_ns);
    users_read_end();
    ring_publish(chain->context->ring);
}

void chain_measure(struct chain *chain, bool on)
{
    int64_t begin_ns = clock_monotonic_ns();
    for (int i = 0; i < CLOCK_LOOKS; i++)
        (void)clock_monotonic_ns();
    chain->look_ps = (clock_monotonic_ns() - begin_ns) * 1000 / CLOCK_LOOKS;
    chain->measures = on;
}

unsigned chain_stage_count(void)
{
    unsigned count = 0;
    while (stages[count] != NULL)
        count++;
    return count;
}

const char *chain_stage_name(unsigned stage)
{
    return stages[stage]->name;
}

uint64_t chain_stage_ns(const struct chain *chain, unsigned stage)
{
    int64_t ns = chain->spent_ns[stage] - (int64_t)chain->looks[stage] * chain->look_ps / 1000;
    return ns < 0 ? 0 : (uint64_t)ns;
}
