/* background: how a thread stands with the kernel's scheduler before and after, and where it may not change that. */
#include "base/background.h"
#include "base/background_thread.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { MINE = 3, NICER_BY = 10, SLICE_NS = 200000, SLICES_MAJOR = 6, SLICES_MINOR = 12 };

TestSuite(background, .timeout = 60);

/* The kernel's struct sched_attr: its header and the one of threads do not go together. */
struct attributes {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice_value;
    uint32_t priority;
    uint64_t runtime;
    uint64_t deadline;
    uint64_t period;
};

/* What a thread of its own does, and how it stands afterwards. */
struct trial {
    void (*prepare)(void); /* NULL: nothing */
    void (*become)(void);
    struct attributes after;
    int nice_value;
};

static void *try(void *argument)
{
    struct trial *trial = argument;
    if (trial->prepare != NULL)
        trial->prepare();
    trial->become();
    cr_assert_eq(syscall(SYS_sched_getattr, 0, &trial->after, (unsigned)sizeof trial->after, 0U), 0);
    trial->nice_value = getpriority(PRIO_PROCESS, (id_t)gettid());
    return NULL;
}

/* Nothing else of the process changes with the thread. */
static struct trial run(void (*prepare)(void), void (*become)(void))
{
    struct trial trial = {.prepare = prepare, .become = become};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, try, &trial), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    return trial;
}

static int process_nice(void)
{
    return getpriority(PRIO_PROCESS, (id_t)getpid());
}

static int at_most_nicest(int nice_value)
{
    return nice_value < 19 ? nice_value : 19;
}

static bool kernel_has_slices(void)
{
    struct utsname name;
    int major = 0, minor = 0;
    cr_assert_eq(uname(&name), 0);
    cr_assert_eq(sscanf(name.release, "%d.%d", &major, &minor), 2);
    return major > SLICES_MAJOR || (major == SLICES_MAJOR && minor >= SLICES_MINOR);
}

static void expect_short_turns(const struct trial *trial)
{
    if (kernel_has_slices())
        cr_expect_eq(trial->after.runtime, SLICE_NS);
}

Test(background, giving_way_is_ten_nicer_and_takes_short_turns)
{
    int before = process_nice();
    struct trial trial = run(NULL, background_give_way);
    cr_expect_eq(trial.nice_value, at_most_nicest(before + NICER_BY));
    cr_expect_eq(trial.after.nice_value, trial.nice_value);
    cr_expect_eq(trial.after.policy, SCHED_OTHER);
    expect_short_turns(&trial);
    cr_expect_eq(process_nice(), before, "the process stays as it was");
}

Test(background, short_turns_are_no_nicer)
{
    struct trial trial = run(NULL, background_short_turns);
    cr_expect_eq(trial.nice_value, process_nice());
    expect_short_turns(&trial);
}

static void begin_nice(void)
{
    cr_assert_eq(setpriority(PRIO_PROCESS, (id_t)gettid(), 13), 0);
}

Test(background, nicest_is_the_end)
{
    cr_expect_eq(run(begin_nice, background_give_way).nice_value, 19);
    cr_expect_eq(run(begin_nice, background_short_turns).nice_value, 13);
}

static void begin_as(int policy, int priority)
{
    struct sched_param parameters = {.sched_priority = priority};
    cr_assert_eq(sched_setscheduler(0, policy, &parameters), 0);
}

static void begin_in_batch(void)
{
    begin_as(SCHED_BATCH, 0);
}

static void begin_idle(void)
{
    begin_as(SCHED_IDLE, 0);
}

Test(background, policy_that_gives_way_already_stays)
{
    struct trial trial = run(begin_in_batch, background_give_way);
    cr_expect_eq(trial.after.policy, SCHED_BATCH);
    cr_expect_eq(trial.nice_value, at_most_nicest(process_nice() + NICER_BY));
    cr_expect_eq(run(begin_idle, background_give_way).after.policy, SCHED_IDLE);
}

static void begin_in_real_time(void)
{
    begin_as(SCHED_RR, 2);
}

Test(background, real_time_is_left_to_the_workers)
{
    if (sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = 1}) != 0)
        cr_skip_test("only root may run in real time: %s", strerror(errno));
    begin_as(SCHED_OTHER, 0);
    struct trial trial = run(begin_in_real_time, background_give_way);
    cr_expect_eq(trial.after.policy, SCHED_OTHER);
    cr_expect_geq(trial.nice_value, NICER_BY);
}

/* From now on the kernel refuses the calling thread `count` system calls, as it does in some containers. */
static void refuse(const unsigned *calls, size_t count)
{
    struct sock_filter filter[8] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    };
    unsigned short length = 1;
    for (size_t i = 0; i < count; i++) {
        filter[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
        filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    }
    filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = length, .filter = filter};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0, "%s", strerror(errno));
}

static void refuse_attributes(void)
{
    refuse((const unsigned[]){SYS_sched_setattr}, 1);
}

static void refuse_all(void)
{
    refuse((const unsigned[]){SYS_sched_setattr, SYS_setpriority}, 2);
}

static void need_filters(void)
{
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0)
        cr_skip_test("this kernel filters no system calls");
}

Test(background, nice_value_is_set_where_a_slice_is_refused)
{
    need_filters();
    cr_expect_eq(run(refuse_attributes, background_give_way).nice_value, at_most_nicest(process_nice() + NICER_BY));
}

Test(background, thread_that_may_change_nothing_goes_on)
{
    need_filters();
    cr_expect_eq(run(refuse_all, background_give_way).nice_value, process_nice());
    cr_expect_eq(run(refuse_all, background_short_turns).nice_value, process_nice());
}

/* --- a thread that stands back --- */

enum { STEP_MS = 100 };
static const int64_t step_ns = STEP_MS * INT64_C(1000000);

static int policy_of(pid_t thread)
{
    return (int)syscall(SYS_sched_getscheduler, thread);
}

/* Begins as a thread of its own would, on the test's one. */
static struct background_thread begin(void)
{
    struct background_thread self;
    background_thread_begin(&self);
    background_thread_watch(&self, true, step_ns);
    return self;
}

static void need_return(const struct background_thread *self)
{
    if (!self->may_stand_back)
        cr_skip_test("no right to come forward again");
}

static void work_for(int64_t ns)
{
    struct timespec time;
    int64_t end = 0;
    for (;;) {
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        int64_t now = time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
        if (end == 0)
            end = now + ns;
        if (now >= end)
            return;
    }
}

Test(background, busy_thread_without_a_core_comes_forward_for_a_while)
{
    int before = process_nice();
    struct background_thread self = begin();
    need_return(&self);
    cr_assert_eq(policy_of(0), SCHED_IDLE);
    cr_expect_eq(getpriority(PRIO_PROCESS, (id_t)gettid()), at_most_nicest(before + NICER_BY));

    int64_t now_ns = 2 * step_ns;
    background_thread_watch(&self, true, now_ns);
    cr_assert_eq(policy_of(0), SCHED_OTHER);
    cr_expect_eq(getpriority(PRIO_PROCESS, (id_t)gettid()), at_most_nicest(before + NICER_BY));
    for (; now_ns < 100 * step_ns; now_ns += step_ns)
        background_thread_watch(&self, true, now_ns);
    cr_expect_eq(policy_of(0), SCHED_OTHER);
    background_thread_watch(&self, true, now_ns + 3 * step_ns);
    cr_expect_eq(policy_of(0), SCHED_IDLE);
}

Test(background, thread_that_gets_something_done_stands_back)
{
    struct background_thread self = begin();
    need_return(&self);
    for (int64_t i = 2; i < 6; i++) {
        work_for(step_ns / 2);
        background_thread_watch(&self, true, i * step_ns);
        cr_assert_eq(policy_of(0), SCHED_IDLE);
    }
}

Test(background, thread_with_nothing_to_do_stands_back)
{
    struct background_thread self = begin();
    need_return(&self);
    for (int64_t i = 2; i < 6; i++) {
        background_thread_watch(&self, false, i * step_ns);
        cr_assert_eq(policy_of(0), SCHED_IDLE);
    }
}

Test(background, thread_that_is_called_forward_stays_there)
{
    struct background_thread self = begin();
    need_return(&self);
    background_thread_come_forward(&self);
    cr_assert_eq(policy_of(0), SCHED_OTHER);
    background_thread_watch(&self, false, INT64_MAX - 1);
    cr_expect_eq(policy_of(0), SCHED_OTHER);
}

Test(background, operators_policy_is_not_touched_by_standing_back)
{
    begin_in_batch();
    struct background_thread self = begin();
    cr_expect_eq(policy_of(0), SCHED_BATCH);
    background_thread_watch(&self, true, 2 * step_ns);
    background_thread_come_forward(&self);
    cr_expect_eq(policy_of(0), SCHED_BATCH);
}

static void become_nobody(bool with_right)
{
    struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    if (geteuid() != 0 || setrlimit(RLIMIT_NICE, &none) != 0)
        cr_skip_test("only root can become another user");
    if (with_right)
        background_allow_return();
    cr_assert_eq(setresuid(65534, 65534, 65534), 0);
}

Test(background, user_without_the_right_to_return_never_stands_back)
{
    become_nobody(false);
    struct background_thread self = begin();
    cr_expect_eq(policy_of(0), SCHED_OTHER);
    cr_expect_not(self.may_stand_back);
}

Test(background, right_to_return_outlives_root)
{
    become_nobody(true);
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NICE, &limit), 0);
    if (limit.rlim_cur == 0)
        cr_skip_test("this root may not raise limits");
    struct background_thread self = begin();
    cr_assert_eq(policy_of(0), SCHED_IDLE);
    background_thread_watch(&self, true, 2 * step_ns);
    cr_expect_eq(policy_of(0), SCHED_OTHER);
}
