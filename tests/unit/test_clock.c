/* Tests of the tracker's time. The machine's clock is not touched: what a step would do is tried with clock_advance_to_ms. */
#include "base/clock.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

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
