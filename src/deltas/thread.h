/* thread: starts a thread of this room. */
#ifndef PRIVTRAK_DELTAS_THREAD_H
#define PRIVTRAK_DELTAS_THREAD_H

#include <pthread.h>

#include "base/error.h"

/* The thread carries `name` (15 characters at most) and takes no signal: those are for the main thread. 0, or -1 with a reason. */
int thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument, struct error *error);

#endif
