#include "deltas/thread.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

struct start {
    struct thread *thread;
    char name[16];
    void *(*run)(void *);
    void *argument;
};

void thread_condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

void thread_wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t deadline_ns)
{
    struct timespec at = {.tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000};
    (void)pthread_cond_timedwait(condition, mutex, &at);
}

/* The thread names itself, so that its first log line has the name already. */
static void *run_named(void *argument)
{
    struct start start = *(struct start *)argument;
    free(argument);
    pthread_setname_np(pthread_self(), start.name);
    void *result = start.run(start.argument);
    pthread_mutex_lock(&start.thread->mutex);
    start.thread->ended = true;
    pthread_cond_signal(&start.thread->changed);
    pthread_mutex_unlock(&start.thread->mutex);
    return result;
}

int thread_start(struct thread *thread, const char *name, void *(*run)(void *), void *argument, struct error *error)
{
    struct start *start = calloc(1, sizeof(*start));
    if (start == NULL)
        return error_set(error, "cannot start the thread %s: out of memory", name);
    strlcpy(start->name, name, sizeof(start->name));
    start->thread = thread;
    start->run = run;
    start->argument = argument;
    thread->ended = false;
    pthread_mutex_init(&thread->mutex, NULL);
    thread_condition_init(&thread->changed);

    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&thread->thread, NULL, run_named, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0) {
        free(start);
        return error_set(error, "cannot start the thread %s: %s", name, strerror(failure));
    }
    return 0;
}

bool thread_join(struct thread *thread, int64_t deadline_ns)
{
    pthread_mutex_lock(&thread->mutex);
    while (!thread->ended && clock_monotonic_ns() < deadline_ns)
        thread_wait_until(&thread->changed, &thread->mutex, deadline_ns);
    bool ended = thread->ended;
    pthread_mutex_unlock(&thread->mutex);
    if (!ended)
        return false;
    pthread_join(thread->thread, NULL);
    pthread_mutex_destroy(&thread->mutex);
    pthread_cond_destroy(&thread->changed);
    return true;
}
