/* call: runs functions on the workers' threads for threads that are no workers, and waits for them. */
#include <semaphore.h>

#include "tracker/worker_private.h"

struct call_mail {
    struct mail mail; /* first: it is cast from it */
    worker_call_fn *function;
    void *argument;
    sem_t *done;
};

static void run_call(struct worker *worker, struct mail *mail)
{
    struct call_mail *call = (struct call_mail *)mail;
    call->function(worker, call->argument);
    sem_post(call->done);
}

static void wait_for(sem_t *done)
{
    while (sem_wait(done) != 0) {
        /* a signal came between */
    }
}

void tracker_call(struct tracker *tracker, unsigned number, worker_call_fn *function, void *argument)
{
    if (!tracker->is_running) {
        function(tracker->workers[number], argument);
        return;
    }
    sem_t done;
    sem_init(&done, 0, 0);
    struct call_mail call = {.mail.deliver = run_call, .function = function, .argument = argument, .done = &done};
    tracker_post(tracker, number, &call.mail);
    wait_for(&done);
    sem_destroy(&done);
}

void tracker_call_all(struct tracker *tracker, worker_call_fn *function, void *arguments, size_t size)
{
    struct call_mail calls[256];
    sem_t done;
    sem_init(&done, 0, 0);
    for (unsigned i = 0; i < tracker->count; i++) {
        void *argument = (char *)arguments + i * size;
        if (!tracker->is_running) {
            function(tracker->workers[i], argument);
            continue;
        }
        calls[i] =
            (struct call_mail){.mail.deliver = run_call, .function = function, .argument = argument, .done = &done};
        tracker_post(tracker, i, &calls[i].mail);
    }
    for (unsigned i = 0; i < tracker->count && tracker->is_running; i++)
        wait_for(&done);
    sem_destroy(&done);
}
