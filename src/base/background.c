/* background: see background.h. */
#include "base/background.h"

#include <errno.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

enum { NICEST = 19, SLICE_NS = 200000 };

static int nicer(int nice_value, int by)
{
    return nice_value + by < NICEST ? nice_value + by : NICEST;
}

/* Linux has a policy, a nice value and a slice a thread. */
static int set_attributes(int nicer_by)
{
    struct sched_attr attributes;
    if (syscall(SYS_sched_getattr, 0, &attributes, (unsigned)sizeof attributes, 0U) != 0)
        return -1;
    /* A policy that gives way to others stays; one for real time is the workers' alone. */
    if (attributes.sched_policy != SCHED_BATCH && attributes.sched_policy != SCHED_IDLE)
        attributes.sched_policy = SCHED_NORMAL;
    attributes.sched_priority = 0;
    attributes.sched_nice = nicer(attributes.sched_nice, nicer_by);
    /* Since Linux 6.12 the runtime says how long it may go on when another wants the core; before that it is ignored. */
    attributes.sched_runtime = SLICE_NS;
    attributes.sched_deadline = 0;
    attributes.sched_period = 0;
    return (int)syscall(SYS_sched_setattr, 0, &attributes, 0U);
}

static void be_nicer(int nicer_by)
{
    if (set_attributes(nicer_by) == 0)
        return;
    id_t thread = (id_t)gettid();
    errno = 0;
    int nice_value = getpriority(PRIO_PROCESS, thread);
    if (errno != 0 || setpriority(PRIO_PROCESS, thread, nicer(nice_value, nicer_by)) != 0)
        log_debug("background", "a thread stays as it is: %s", strerror(errno));
}

void background_short_turns(void)
{
    be_nicer(0);
}

void background_give_way(void)
{
    be_nicer(BACKGROUND_NICER_BY);
}
