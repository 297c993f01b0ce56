#include "database/waiter.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

int waiter_open(struct waiter *waiter, atomic_bool *interrupted)
{
    waiter->interrupted = interrupted;
    waiter->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return waiter->wake_fd >= 0 ? 0 : -errno;
}

void waiter_close(struct waiter *waiter)
{
    close(waiter->wake_fd);
}

void waiter_wake(struct waiter *waiter)
{
    uint64_t one = 1;
    ssize_t written = write(waiter->wake_fd, &one, sizeof(one));
    (void)written; /* the handle's flag is what counts */
}

bool waiter_is_interrupted(const struct waiter *waiter)
{
    return atomic_load(waiter->interrupted);
}

short waiter_wait(const struct waiter *waiter, int fd, short events, int64_t end_ns)
{
    for (;;) {
        int64_t left_ms = (end_ns - clock_monotonic_ns()) / 1000000;
        if (left_ms <= 0 || waiter_is_interrupted(waiter))
            return 0;
        struct pollfd fds[] = {{.fd = fd, .events = events}, {.fd = waiter->wake_fd, .events = POLLIN}};
        int ready = poll(fds, 2, (int)left_ms);
        if (ready < 0 && errno != EINTR)
            return 0;
        if (ready > 0 && fds[0].revents)
            return fds[0].revents;
    }
}
