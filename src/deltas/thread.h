/* thread: a thread of this room that can be waited for up to a moment. */
#ifndef PRIVTRAK_DELTAS_THREAD_H
#define PRIVTRAK_DELTAS_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct thread {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool ended;
};

/* The thread carries `name` (15 characters at most) and takes no signal: those are for the main thread. 0, or -1 with a reason. */
int thread_start(struct thread *thread, const char *name, void *(*run)(void *), void *argument, struct error *error);

/* Waits for its end until `deadline_ns` of the monotonic clock. False: it still runs, and `thread` must stay where it is. */
bool thread_join(struct thread *thread, int64_t deadline_ns);

/* A condition variable whose timed waits go by the monotonic clock. */
void thread_condition_init(pthread_cond_t *condition);
/* Waits on it until `deadline_ns`; may return sooner. */
void thread_wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t deadline_ns);

#endif
