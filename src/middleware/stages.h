/* stages: the middleware, one file a stage; stages.c holds their order. */
#ifndef PRIVTRAK_MIDDLEWARE_STAGES_H
#define PRIVTRAK_MIDDLEWARE_STAGES_H

#include "tracker/stage.h"

/* The chain, in order, ended by NULL. */
extern const struct stage_type *const stages[];

extern const struct stage_type stage_identify;
extern const struct stage_type stage_client_approval;
extern const struct stage_type stage_torrent_approval;
extern const struct stage_type stage_limits;
extern const struct stage_type stage_privtrak;
extern const struct stage_type stage_peers;
extern const struct stage_type stage_deltas;
extern const struct stage_type stage_interval;
extern const struct stage_type stage_response;

#endif
