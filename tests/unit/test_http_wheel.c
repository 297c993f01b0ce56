/* Tests of the connections' deadlines and buffers. */
#include "http/wheel.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "http/buffer.h"

enum { ENTRIES = 3 };
static struct wheel wheel;
static struct wheel_entry entries[ENTRIES];
static int64_t now;
static int64_t passed_at[ENTRIES];

static void passed(struct wheel_entry *entry)
{
    passed_at[entry - entries] = now;
}

static void reset(int64_t at)
{
    now = at;
    wheel_init(&wheel, now);
    for (size_t i = 0; i < ENTRIES; i++) {
        wheel_entry_init(&entries[i]);
        passed_at[i] = 0;
    }
}

static void advance_to(int64_t ms, int64_t step)
{
    while (now < ms) {
        now += step;
        wheel_advance(&wheel, now, passed);
    }
}

Test(http_wheel, deadline_passes_within_a_tick_after_it)
{
    for (int64_t after = 1; after < 200000; after = after * 3 + 7) {
        reset(1000003);
        wheel_set(&wheel, &entries[0], now + after);
        int64_t deadline = now + after;
        advance_to(deadline + 1000, 50);
        cr_expect(passed_at[0] >= deadline && passed_at[0] <= deadline + WHEEL_TICK_MS + 50, "%ld: %ld late",
                  (long)after, (long)(passed_at[0] - deadline));
    }
}

Test(http_wheel, deadline_that_moves_away_is_kept)
{
    reset(5000);
    for (int i = 0; i < 100; i++) {
        wheel_set(&wheel, &entries[0], now + 1000);
        advance_to(now + 500, 50);
    }
    cr_expect_eq(passed_at[0], 0);
    int64_t deadline = entries[0].deadline_ms;
    advance_to(deadline + 500, 50);
    cr_expect_geq(passed_at[0], deadline);
}

Test(http_wheel, deadline_that_comes_nearer_is_kept)
{
    reset(5000);
    wheel_set(&wheel, &entries[0], WHEEL_NEVER);
    advance_to(30000, 50);
    wheel_set(&wheel, &entries[0], now + 1000);
    int64_t deadline = now + 1000;
    advance_to(deadline + 500, 50);
    cr_expect(passed_at[0] >= deadline && passed_at[0] <= deadline + 300);
}

Test(http_wheel, never_and_removed_do_not_pass)
{
    reset(5000);
    wheel_set(&wheel, &entries[0], WHEEL_NEVER);
    wheel_set(&wheel, &entries[1], now + 1000);
    wheel_remove(&entries[1]);
    wheel_remove(&entries[2]);
    advance_to(500000, 250);
    cr_expect_eq(passed_at[0], 0);
    cr_expect_eq(passed_at[1], 0);
}

Test(http_wheel, standing_still_for_long_loses_nothing)
{
    reset(5000);
    wheel_set(&wheel, &entries[0], now + 1000);
    wheel_set(&wheel, &entries[1], now + 10000000);
    now += 5000000;
    wheel_advance(&wheel, now, passed);
    cr_expect_eq(passed_at[0], now);
    cr_expect_eq(passed_at[1], 0);
    now += 5000300;
    wheel_advance(&wheel, now, passed);
    cr_expect_eq(passed_at[1], now);
}

Test(http_wheel, deadline_in_the_past_passes_next)
{
    reset(5000);
    wheel_set(&wheel, &entries[0], 10);
    advance_to(now + 500, 50);
    cr_expect_gt(passed_at[0], 0);
}

Test(http_buffer, bytes_come_out_as_they_went_in)
{
    struct buffer buffer = {0};
    uint8_t next_in = 0;
    uint8_t next_out = 0;
    srandom(7);
    for (int i = 0; i < 20000; i++) {
        char bytes[3000];
        size_t length = (size_t)random() % sizeof bytes;
        for (size_t j = 0; j < length; j++)
            bytes[j] = (char)next_in++;
        cr_assert(buffer_append(&buffer, bytes, length));
        size_t out = (size_t)random() % (buffer.length + 1);
        for (size_t j = 0; j < out; j++)
            cr_assert_eq((uint8_t)buffer_bytes(&buffer)[j], next_out++);
        buffer_consume(&buffer, out);
    }
    buffer_clear(&buffer);
}

Test(http_buffer, empty_one_holds_no_memory)
{
    struct buffer buffer = {0};
    cr_assert(buffer_append(&buffer, "abc", 3));
    buffer_consume(&buffer, 1);
    cr_expect_not_null(buffer.memory);
    buffer_consume(&buffer, 2);
    cr_expect_null(buffer.memory);
    buffer_consume(&buffer, 0);
    cr_expect_eq(buffer.capacity, 0);
}
