/*
 * clock: the tracker's time. It is Unix time, but never runs backwards and never jumps: it advances with the monotonic
 * clock, goes on where the machine's wall clock is set back, and follows slowly where that is set forward (at once only
 * where it had never been set). Accounting rests on differences of this time, and so does not notice a stepped clock.
 */
#ifndef PRIVTRAK_BASE_CLOCK_H
#define PRIVTRAK_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since 1970, never less than in an earlier call by any thread. */
int64_t clock_now_ms(void);

/* Nanoseconds of the monotonic clock, for measuring. */
int64_t clock_monotonic_ns(void);

/*
 * Moves the time forward to at least `ms`: called at start with the newest time
 * that the state on disk knows, so that time goes on where it stopped even if
 * the wall clock was set back while the tracker was down.
 */
void clock_advance_to_ms(int64_t ms);

#endif
