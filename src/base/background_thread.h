/*
 * background_thread: a thread with much to do that nobody waits for. It gives way, and as long as it gets something
 * done it also stands back: the kernel then takes its core for a free one (SCHED_IDLE), so that workers are not put
 * together on another core beside it, and is preempted at once. Where others leave it hardly anything, it comes forward for a while.
 */
#ifndef PRIVTRAK_BASE_BACKGROUND_THREAD_H
#define PRIVTRAK_BASE_BACKGROUND_THREAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct background_thread {
    pid_t thread;
    clockid_t clock;
    bool may_stand_back; /* the kernel would let it come forward again */
    bool stands_back;
    int64_t looked_ns;
    int64_t cpu_ns; /* when it was looked at */
    int64_t forward_until_ns;
};

/* Before threads and before root is given up: has the kernel let threads come forward again later, where it does not anyway. */
void background_allow_return(void);

/* By the thread itself. */
void background_thread_begin(struct background_thread *self);

/*
 * By another thread, and by no two at once, about once a second while the thread lives: decides where it is to stand.
 * `is_busy`: it has had something to do ever since the call before. Times are of the monotonic clock.
 */
void background_thread_watch(struct background_thread *watched, bool is_busy, int64_t now_ns);

/* By whoever may watch it, while it lives: it comes forward and stays there. */
void background_thread_come_forward(struct background_thread *watched);

#endif
