/*
 * clock: the tracker's time. It is Unix time, but never runs backwards: it
 * advances with the monotonic clock, is moved forward where the machine's wall
 * clock is set forward, and goes on where that is set back. Accounting rests on
 * differences of this time, and so does not notice a stepped clock.
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
