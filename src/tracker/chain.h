/*
 * chain: runs a batch of announces through all stages.
 */
#ifndef PRIVTRAK_TRACKER_CHAIN_H
#define PRIVTRAK_TRACKER_CHAIN_H

#include "tracker/stage.h"

struct chain;

/* Makes the chain of all stages for one worker. Returns NULL out of memory. */
struct chain *chain_new(struct context *context);
void chain_free(struct chain *chain);

/*
 * Takes every announce of the batch to its verdict and answer. The caller has set
 * context->now_ms, and calls the replies. Gives the same results as the announces one at a time, in order.
 * Must run outside an RCU read section: it makes its own.
 */
void chain_run(struct chain *chain, struct announce *const *announces, unsigned count);

/* For the chain benchmark: nanoseconds spent in each stage since the start, where measuring was switched on. */
void chain_measure(struct chain *chain, bool on);
unsigned chain_stage_count(void);
const char *chain_stage_name(unsigned stage);
uint64_t chain_stage_ns(const struct chain *chain, unsigned stage);

#endif
