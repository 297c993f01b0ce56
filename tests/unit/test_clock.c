/* Tests of the tracker's time. The machine's clock is not touched: the tests' own clock_gettime shifts it. */
#include "base/clock.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t wall_shift_s;      /* what the wall clock is set to, less what it is */
static _Atomic int64_t monotonic_shift_s; /* as if so much time had passed, for both clocks */

int clock_gettime(clockid_t id, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, id, now);
    now->tv_sec += atomic_load(&monotonic_shift_s) + (id == CLOCK_REALTIME ? atomic_load(&wall_shift_s) : 0);
    return result;
}

static int64_t wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

Test(clock, now_is_unix_time)
{
    int64_t before = wall_ms();
    int64_t now = clock_now_ms();
    int64_t after = wall_ms();
    cr_expect_geq(now, before - 1);
    cr_expect_leq(now, after + 1);
}

Test(clock, advances_with_the_monotonic_clock)
{
    static const struct timespec pause = {.tv_nsec = 30000000};
    int64_t start = clock_now_ms();
    int64_t start_ns = clock_monotonic_ns();
    (void)nanosleep(&pause, NULL);
    int64_t passed = clock_now_ms() - start;
    int64_t passed_ns = clock_monotonic_ns() - start_ns;
    cr_expect_geq(passed_ns, 30000000);
    cr_expect_geq(passed, 29);
    cr_expect_leq(passed, passed_ns / 1000000 + 1);
}

Test(clock, goes_on_from_the_newest_time_known)
{
    static const struct timespec pause = {.tv_nsec = 20000000};
    int64_t future = wall_ms() + 3600000;
    clock_advance_to_ms(future);
    int64_t now = clock_now_ms();
    cr_expect_geq(now, future);
    cr_expect_lt(now, future + 1000);
    (void)nanosleep(&pause, NULL);
    cr_expect_geq(clock_now_ms(), now + 19, "it runs on from there, though the wall clock is an hour behind");
}

Test(clock, does_not_notice_that_the_wall_clock_is_set_forward)
{
    int64_t before = clock_now_ms();
    atomic_store(&wall_shift_s, 3600);
    for (int i = 0; i < 1000; i++)
        cr_assert_leq(clock_now_ms(), before + 1000);
}

Test(clock, follows_a_wall_clock_that_was_set_forward_within_a_day)
{
    (void)clock_now_ms();
    atomic_store(&wall_shift_s, 3600);
    for (int second = 0; second < 86400; second++) {
        int64_t before = clock_now_ms();
        atomic_fetch_add(&monotonic_shift_s, 1);
        int64_t passed = clock_now_ms() - before;
        cr_assert_geq(passed, 1000);
        cr_assert_leq(passed, 1200, "%ld ms in a second", (long)passed);
    }
    cr_expect_geq(clock_now_ms(), wall_ms() - 1);
    cr_expect_leq(clock_now_ms(), wall_ms() + 1);
}

Test(clock, does_not_jump_after_long_silence)
{
    (void)clock_now_ms();
    atomic_fetch_add(&monotonic_shift_s, 1000000);
    atomic_store(&wall_shift_s, 3600);
    int64_t now = clock_now_ms();
    cr_expect_leq(now, wall_ms() - 3590000);
}

Test(clock, goes_on_where_the_wall_clock_is_set_back)
{
    int64_t before = clock_now_ms();
    atomic_store(&wall_shift_s, -3600);
    atomic_fetch_add(&monotonic_shift_s, 10);
    int64_t passed = clock_now_ms() - before;
    cr_expect_geq(passed, 10000);
    cr_expect_leq(passed, 11000);
}

Test(clock, follows_at_once_where_it_had_never_been_set)
{
    atomic_store(&wall_shift_s, -wall_ms() / 1000);
    cr_assert_lt(clock_now_ms(), 1000000);
    atomic_store(&wall_shift_s, 0);
    cr_expect_geq(clock_now_ms(), wall_ms() - 1);
}

Test(clock, is_never_set_back)
{
    int64_t now = clock_now_ms();
    clock_advance_to_ms(now - 3600000);
    clock_advance_to_ms(0);
    clock_advance_to_ms(-1);
    clock_advance_to_ms(INT64_MIN);
    cr_expect_geq(clock_now_ms(), now);
    cr_expect_leq(clock_now_ms(), wall_ms() + 1);
}

Test(clock, absurd_times_do_not_overflow)
{
    clock_advance_to_ms(INT64_MAX);
    int64_t now = clock_now_ms();
    cr_expect_gt(now, wall_ms());
    cr_expect_geq(clock_now_ms(), now);
}

enum { THREADS = 4, CALLS = 100000 };

static _Atomic int64_t newest;
static atomic_int went_back;

/* Whatever any thread has seen before the call must not be later than what the call returns. */
static void *watch(void *context)
{
    (void)context;
    for (int i = 0; i < CALLS; i++) {
        int64_t seen = atomic_load(&newest);
        int64_t now = clock_now_ms();
        if (now < seen)
            atomic_fetch_add(&went_back, 1);
        while (seen < now && !atomic_compare_exchange_weak(&newest, &seen, now))
            ;
        if (i % 1000 == 0)
            clock_advance_to_ms(now + 5);
    }
    return NULL;
}

Test(clock, no_thread_sees_time_run_backwards)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, watch, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    cr_expect_eq(atomic_load(&went_back), 0);
}
