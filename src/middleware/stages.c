/* stages: the order of the chain. A new stage is a file of its own and a line here. */
#include "middleware/stages.h"

#include <stddef.h>

const struct stage_type *const stages[] = {
    &stage_identify,         /* whose passkey it is */
    &stage_client_approval,  /* whether the client program is welcome */
    &stage_torrent_approval, /* which torrent, and whether it is one of the site's */
    &stage_limits,           /* who has to leave: the silent, and the stalest of too many */
    &stage_privtrak,         /* the account: differences, time, snatch, and what the session becomes */
    &stage_peers,            /* the swarm after it, and the peers to hand out */
    &stage_deltas,           /* what changed, on its way to the ledger */
    &stage_interval,         /* when to come back */
    &stage_response,         /* the counts of the swarm */
    NULL,
};
