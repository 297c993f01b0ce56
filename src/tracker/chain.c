/* chain: see chain.h. */
#include "tracker/chain.h"

#include <stdlib.h>

#include "base/clock.h"
#include "middleware/stages.h"

enum {
    STAGES_MAX = 16,
    TORRENTS_MARKED = 1024, /* two that share a mark only end a run early */
};

struct chain {
    struct context *context;
    struct stage stages[STAGES_MAX];
    unsigned count;
    uint32_t run;                  /* number of the present run */
    uint32_t met[TORRENTS_MARKED]; /* by a few bits of a torrent's address: the run that met it last */
    bool measures;
    uint64_t spent_ns[STAGES_MAX];
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
        if (stage->type->start != NULL && stage->type->start(stage, context->config) != 0) {
            chain_free(chain);
            return NULL;
        }
    }
    return chain;
}

static void run_stage(struct chain *chain, unsigned number, struct batch *batch)
{
    struct stage *stage = &chain->stages[number];
    if (!chain->measures) {
        stage->type->run(stage, batch);
        return;
    }
    int64_t begin = clock_monotonic_ns();
    stage->type->run(stage, batch);
    chain->spent_ns[number] += (uint64_t)(clock_monotonic_ns() - begin);
}

/* Fills `run` with announces from `from` on until one meets a torrent that the run has already. Returns the next `from`. */
static unsigned next_run(struct chain *chain, const struct batch *batch, unsigned from, struct batch *run)
{
    run->count = 0;
    chain->run++;
    for (; from < batch->count; from++) {
        struct announce *announce = batch->announces[from];
        if (announce->verdict > VERDICT_EMPTY)
            continue;
        if (announce->torrent != NULL) {
            uint32_t *met = &chain->met[(uintptr_t)announce->torrent / sizeof(struct torrent) % TORRENTS_MARKED];
            if (*met == chain->run)
                break;
            *met = chain->run;
        }
        run->announces[run->count++] = announce;
    }
    return from;
}

/* Runs stages [first, end), which work on swarms, over the batch in runs of distinct torrents. */
static void run_on_swarms(struct chain *chain, unsigned first, unsigned end, const struct batch *batch)
{
    struct batch run = {.context = chain->context};
    for (unsigned from = 0; from < batch->count;) {
        from = next_run(chain, batch, from, &run);
        for (unsigned i = first; i < end; i++)
            run_stage(chain, i, &run);
    }
}

void chain_run(struct chain *chain, struct announce *const *announces, unsigned count)
{
    struct batch batch = {.context = chain->context, .count = count};
    for (unsigned i = 0; i < count; i++)
        batch.announces[i] = announces[i];
    users_read_begin();
    for (unsigned i = 0; i < chain->count;) {
        unsigned end = i;
        while (end < chain->count && chain->stages[end].type->works_on_swarms)
            end++;
        if (end > i) {
            run_on_swarms(chain, i, end, &batch);
            i = end;
        } else {
            run_stage(chain, i++, &batch);
        }
    }
    users_read_end();
    ring_publish(chain->context->ring);
}

void chain_measure(struct chain *chain, bool on)
{
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
    return chain->spent_ns[stage];
}
