/*
 * waiter: waiting for a server's socket in a way that an interrupt from another thread ends,
 * and that has an end of its own: a far end which falls silent cannot hold a thread for ever.
 */
#ifndef PRIVTRAK_DATABASE_WAITER_H
#define PRIVTRAK_DATABASE_WAITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct waiter {
    atomic_bool *interrupted; /* the handle's */
    int wake_fd;
};

/* Returns 0 or a negative errno code. */
int waiter_open(struct waiter *waiter, atomic_bool *interrupted);
void waiter_close(struct waiter *waiter);

/* Any thread, once the handle's flag is set. */
void waiter_wake(struct waiter *waiter);
bool waiter_is_interrupted(const struct waiter *waiter);

/* Waits for poll's `events` on `fd` until `end_ns` of the monotonic clock. Returns what came; 0: interrupted, or too late. */
short waiter_wait(const struct waiter *waiter, int fd, short events, int64_t end_ns);

#endif
