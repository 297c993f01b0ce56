/*
 * response: the counts of the swarm, as they are after the announce. What is encoded how is the frontends' matter.
 */
#include "middleware/stages.h"

static void response_run(struct context *context, struct announce *announce)
{
    (void)context;
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

const struct stage_type stage_response = {
    .name = "response",
    .run_one = response_run,
};
