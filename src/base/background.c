/* background: see background.h. */
#include "base/background.h"

#include <errno.h>
#include <linux/sched/types.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

enum { NICER_BY = 10, NICEST = 19, SLICE_NS = 200000 };

static void be_nicer(int nicer_by)
{
    /* Linux has a nice value a thread. */
    id_t thread = (id_t)gettid();
    errno = 0;
    int nice_value = getpriority(PRIO_PROCESS, thread);
    if (errno != 0)
        nice_value = 0;
    int wanted = nice_value + nicer_by < NICEST ? nice_value + nicer_by : NICEST;
    /* Since Linux 6.12 the runtime says how long it may go on when another wants the core; before that it is ignored. */
    struct sched_attr attributes = {
        .size = sizeof attributes, .sched_policy = 0, .sched_nice = wanted, .sched_runtime = SLICE_NS};
    if (syscall(SYS_sched_setattr, 0, &attributes, 0) == 0)
        return;
    if (setpriority(PRIO_PROCESS, thread, wanted) != 0)
        log_debug("background", "a thread stays as it is: %s", strerror(errno));
}

void background_short_turns(void)
{
    be_nicer(0);
}

void background_give_way(void)
{
    be_nicer(NICER_BY);
}
