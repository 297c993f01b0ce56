/*
 * deltas: sends what the announce changed on its way to the ledger: into the worker's ring, which the chain's
 * caller has checked for room. Last of the stages that work on swarms.
 */
#include "middleware/record.h"
#include "middleware/stages.h"

static void deltas_run(struct stage *stage, struct batch *batch)
{
    (void)stage;
    for (unsigned i = 0; i < batch->count; i++) {
        struct announce *announce = batch->announces[i];
        if (announce->verdict != VERDICT_ACCEPTED)
            continue;
        if (announce->changes_session)
            record_delta(batch->context, announce->torrent, announce->slot, announce->event, &announce->credit,
                         &announce->source, announce->left);
        if (announce->ends_with_failure) /* counted; now it is told */
            announce_refuse(announce, VERDICT_REFUSED, announce->failure, 0);
    }
}

const struct stage_type stage_deltas = {
    .name = "deltas",
    .works_on_swarms = true,
    .run = deltas_run,
};
