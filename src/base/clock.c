/*
 * clock: see clock.h. The time is the monotonic clock plus an offset, which begins as the difference between wall clock and
 * monotonic clock and never shrinks. Where that difference grows, it follows slowly.
 */
#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

enum { NS_PER_MS = 1000000 };

/*
 * How fast the offset follows a wall clock that was set forward: a sixteenth of the time that passes, a tenth of a second at once. Slow
 * enough that no rule that rests on a minute is led astray, fast enough that an hour is made up within a day.
 */
enum { SLEW_PART = 16, SLEW_STEP_NS = 100 * NS_PER_MS };
static const int64_t unset_before_ms = INT64_C(1577836800000); /* 2020: no clock that was ever set says so */

static _Atomic int64_t offset_ns = INT64_MIN;
static _Atomic int64_t followed_ns; /* on the monotonic clock: up to when the offset has followed */

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

/* The offset now, where the clocks say that it should be `wanted_ns`. */
static int64_t follow(int64_t wanted_ns, int64_t monotonic_ns)
{
    int64_t known = atomic_load(&offset_ns);
    if (wanted_ns <= known)
        return known;
    if (known == INT64_MIN || monotonic_ns + known < unset_before_ms * NS_PER_MS) {
        atomic_store(&followed_ns, monotonic_ns);
        return raise_offset(wanted_ns);
    }
    int64_t since = atomic_load(&followed_ns);
    int64_t earned = (monotonic_ns - since) / SLEW_PART;
    if (earned < NS_PER_MS || !atomic_compare_exchange_strong(&followed_ns, &since, monotonic_ns))
        return known;
    earned = earned < SLEW_STEP_NS ? earned : SLEW_STEP_NS;
    return raise_offset(wanted_ns - known < earned ? wanted_ns : known + earned);
}

int64_t clock_now_ms(void)
{
    /* In this order a pause between the two makes the offset too small, which the larger known one mends. */
    int64_t wall = read_ns(CLOCK_REALTIME);
    int64_t monotonic = read_ns(CLOCK_MONOTONIC);
    return (monotonic + follow(wall - monotonic, monotonic)) / NS_PER_MS;
}

void clock_advance_to_ms(int64_t ms)
{
    if (ms < 0)
        return;
    if (ms > INT64_MAX / NS_PER_MS / 2) /* beyond the year 2116: no sane state on disk says so */
        ms = INT64_MAX / NS_PER_MS / 2;
    (void)raise_offset(ms * NS_PER_MS - clock_monotonic_ns());
}
