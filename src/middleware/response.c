/*
 * response: the counts of the swarm, as they are after the announce. What is encoded how is the frontends' matter.
 */
#include "middleware/stages.h"

static void response_run(struct stage *stage, struct batch *batch)
{
    (void)stage;
    for (unsigned i = 0; i < batch->count; i++) {
        struct announce *announce = batch->announces[i];
        if (announce->verdict > VERDICT_EMPTY)
            continue;
        if (announce->verdict == VERDICT_EMPTY) {
            announce->has_ipv4 = announce->source.family == 4;
            announce->has_ipv6 = announce->source.family == 6;
        }
        if (announce->torrent != NULL) {
            announce->complete = announce->torrent->seeders;
            announce->incomplete = announce->torrent->leechers;
            announce->snatches = announce->torrent->snatches;
        }
    }
}

const struct stage_type stage_response = {
    .name = "response",
    .works_on_swarms = true,
    .run = response_run,
};
