/*
 * clock: see clock.h. The time is the monotonic clock plus an offset, and the
 * offset is the largest that was ever seen between wall clock and monotonic
 * clock: it grows where the wall clock is set forward and never shrinks.
 */
#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

enum { NS_PER_MS = 1000000 };

static _Atomic int64_t offset_ns = INT64_MIN;

static int64_t read_ns(clockid_t id)
{
    struct timespec now;
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t raise_offset(int64_t ns)
{
    int64_t known = atomic_load(&offset_ns);
    while (known < ns && !atomic_compare_exchange_weak(&offset_ns, &known, ns))
        ;
    return known < ns ? ns : known;
}

int64_t clock_monotonic_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_now_ms(void)
{
    /* In this order a pause between the two makes the offset too small, which the larger known one mends. */
    int64_t wall = read_ns(CLOCK_REALTIME);
    int64_t monotonic = read_ns(CLOCK_MONOTONIC);
    return (monotonic + raise_offset(wall - monotonic)) / NS_PER_MS;
}

void clock_advance_to_ms(int64_t ms)
{
    if (ms < 0)
        return;
    if (ms > INT64_MAX / NS_PER_MS / 2) /* beyond the year 2116: no sane state on disk says so */
        ms = INT64_MAX / NS_PER_MS / 2;
    (void)raise_offset(ms * NS_PER_MS - clock_monotonic_ns());
}
