/*
 * interval: when the client is to come back. The jitter spreads clients that started together and is fixed for
 * a peer, so that nobody's interval wobbles.
 */
#include <string.h>

#include "middleware/stages.h"

static uint32_t jitter_of(const struct announce *announce, uint32_t most_s)
{
    uint64_t bits; /* the random part of the peer id */
    memcpy(&bits, announce->peer_id + PEER_ID_BYTES - sizeof bits, sizeof bits);
    bits = (bits ^ bits >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)((bits >> 32) * ((uint64_t)most_s + 1) >> 32);
}

static void interval_run(struct context *context, struct announce *announce)
{
    const struct config_tracker *config = &context->config->tracker;
    announce->interval_s = config->announce_interval_s + jitter_of(announce, config->announce_jitter_s);
    announce->min_interval_s = config->min_announce_interval_s;
}

const struct stage_type stage_interval = {
    .name = "interval",
    .run_one = interval_run,
};
