/*
 * histogram: counts of durations in buckets whose width grows with the value, so
 * that every value from 0 ns to over an hour is kept to within 1 % (as HDR histograms do).
 */
#ifndef PRIVTRAK_BENCH_HISTOGRAM_H
#define PRIVTRAK_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 7, /* 128 buckets for each doubling */
    HISTOGRAM_TOP_BIT = 42, /* values at or above 2^42 ns count as the last bucket */
    HISTOGRAM_BUCKETS = (HISTOGRAM_TOP_BIT - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

struct histogram {
    uint64_t count;
    uint64_t max;
    uint64_t sum;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The highest value that the bucket of that quantile (0 to 1) holds, never above the maximum; 0 for an empty one. */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

#endif
