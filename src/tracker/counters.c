/* counters: see counters.h. */
#include "tracker/counters.h"

void latency_add(struct latency *latency, int64_t ns, uint64_t count)
{
    uint64_t tens_of_us = ns > 0 ? (uint64_t)ns / 10000 : 0;
    unsigned bucket = tens_of_us == 0 ? 0 : 64 - (unsigned)__builtin_clzll(tens_of_us);
    if (bucket >= LATENCY_BUCKETS)
        bucket = LATENCY_BUCKETS - 1;
    counter_add(&latency->buckets[bucket], count);
    counter_add(&latency->sum_ns, (ns > 0 ? (uint64_t)ns : 0) * count);
}

enum request_result result_of_verdict(uint8_t verdict)
{
    switch (verdict) {
    case VERDICT_ACCEPTED:
    case VERDICT_EMPTY:
        return RESULT_OK;
    case VERDICT_OVERLOAD:
        return RESULT_OVERLOAD;
    default:
        return RESULT_REFUSED;
    }
}
