#include "base/background_thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/background.h"
#include "base/log.h"

enum { NICEST = 19 };

/* A busy thread that gets less than a fifth of a core comes forward, for so long. */
enum { SHARE_LEAST = 5 };
static const int64_t forward_ns = INT64_C(10000000000);

/* The kernel takes coming forward for becoming less nice, which it allows up to a limit; to become nicer needs no right. */
void background_allow_return(void)
{
    errno = 0;
    int nice_value = getpriority(PRIO_PROCESS, 0) + BACKGROUND_NICER_BY;
    rlim_t needed = nice_value < NICEST ? (rlim_t)(NICEST + 1 - nice_value) : 1;
    struct rlimit limit;
    if (errno != 0 || getrlimit(RLIMIT_NICE, &limit) != 0 || limit.rlim_cur >= needed)
        return;
    limit.rlim_cur = needed;
    if (limit.rlim_max < needed)
        limit.rlim_max = needed;
    if (setrlimit(RLIMIT_NICE, &limit) != 0)
        log_debug("background", "threads that stand back could not come forward again: %s", strerror(errno));
}

/* Keeps nice value and slice. */
static int set_policy(pid_t thread, int policy)
{
    return sched_setscheduler(thread, policy, &(struct sched_param){.sched_priority = 0});
}

static void *try_to_return(void *result)
{
    *(bool *)result = set_policy(0, SCHED_IDLE) == 0 && set_policy(0, SCHED_OTHER) == 0;
    return NULL;
}

/* Tried by a thread that is as nice as the caller, and is nothing to anybody if it cannot return. */
static bool can_return(void)
{
    pthread_t thread;
    bool result = false;
    if (pthread_create(&thread, NULL, try_to_return, &result) != 0)
        return false;
    (void)pthread_join(thread, NULL);
    return result;
}

static void stand(struct background_thread *watched, bool back)
{
    if (!watched->may_stand_back || watched->stands_back == back)
        return;
    if (set_policy(watched->thread, back ? SCHED_IDLE : SCHED_OTHER) == 0) {
        watched->stands_back = back;
        return;
    }
    log_warning("background", "a thread cannot %s: %s", back ? "stand back" : "come forward", strerror(errno));
    watched->may_stand_back = false;
}

static int64_t cpu_time_ns(const struct background_thread *watched)
{
    struct timespec time = {0, 0};
    (void)clock_gettime(watched->clock, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

void background_thread_begin(struct background_thread *self)
{
    background_give_way();
    *self = (struct background_thread){.thread = gettid()};
    if (pthread_getcpuclockid(pthread_self(), &self->clock) != 0)
        return;
    /* An operator's own choice stays. */
    self->may_stand_back = sched_getscheduler(0) == SCHED_OTHER && can_return();
    stand(self, true);
}

void background_thread_watch(struct background_thread *watched, bool is_busy, int64_t now_ns)
{
    int64_t cpu_ns = cpu_time_ns(watched);
    int64_t used_ns = cpu_ns - watched->cpu_ns;
    int64_t passed_ns = now_ns - watched->looked_ns;
    bool is_first = watched->looked_ns == 0;
    watched->cpu_ns = cpu_ns;
    watched->looked_ns = now_ns;
    if (is_first)
        return;
    if (watched->stands_back && is_busy && used_ns < passed_ns / SHARE_LEAST) {
        watched->forward_until_ns = now_ns + forward_ns;
        stand(watched, false);
    } else if (now_ns >= watched->forward_until_ns) {
        stand(watched, true);
    }
}

void background_thread_come_forward(struct background_thread *watched)
{
    watched->forward_until_ns = INT64_MAX;
    stand(watched, false);
}
