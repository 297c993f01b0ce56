#include "deltas/thread.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct start {
    char name[16];
    void *(*run)(void *);
    void *argument;
};

/* The thread names itself, so that its first log line has the name already. */
static void *run_named(void *argument)
{
    struct start start = *(struct start *)argument;
    free(argument);
    pthread_setname_np(pthread_self(), start.name);
    return start.run(start.argument);
}

int thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument, struct error *error)
{
    struct start *start = calloc(1, sizeof(*start));
    if (start == NULL)
        return error_set(error, "cannot start the thread %s: out of memory", name);
    strlcpy(start->name, name, sizeof(start->name));
    start->run = run;
    start->argument = argument;

    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(thread, NULL, run_named, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0) {
        free(start);
        return error_set(error, "cannot start the thread %s: %s", name, strerror(failure));
    }
    return 0;
}
