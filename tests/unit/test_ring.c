/* The ring between a worker and the ledger. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>

#include "deltas/ring.h"

static void push(struct ring *ring, uint64_t number)
{
    struct delta *delta = ring_next(ring);
    delta->uploaded = number;
    delta->seeders = (uint32_t)number;
    ring_commit(ring);
}

Test(ring, has_the_room_it_was_made_with_rounded_up)
{
    struct ring *ring = ring_new(100);
    cr_assert_eq(ring_room(ring), 128);
    ring_free(ring);
}

Test(ring, refuses_a_size_that_cannot_be)
{
    cr_assert_null(ring_new(0));
    cr_assert_null(ring_new(SIZE_MAX));
}

Test(ring, shows_nothing_before_it_is_published)
{
    struct ring *ring = ring_new(8);
    size_t count = 9;
    push(ring, 1);
    ring_peek(ring, 8, &count);
    cr_assert_eq(count, 0);
    ring_publish(ring);
    cr_assert_eq(ring_peek(ring, 8, &count)->uploaded, 1);
    cr_assert_eq(count, 1);
    cr_assert_eq(ring_published(ring), 1);
    ring_free(ring);
}

Test(ring, has_no_room_when_full_and_some_after_a_release)
{
    struct ring *ring = ring_new(4);
    size_t count;
    for (uint64_t i = 0; i < 4; i++) {
        cr_assert_eq(ring_room(ring), 4 - i);
        push(ring, i);
    }
    ring_publish(ring);
    cr_assert_eq(ring_room(ring), 0);
    ring_peek(ring, 2, &count);
    ring_release(ring, count);
    cr_assert_eq(ring_room(ring), 2);
    ring_free(ring);
}

Test(ring, peek_gives_a_row_that_does_not_wrap)
{
    struct ring *ring = ring_new(4);
    size_t count;
    for (uint64_t i = 0; i < 3; i++)
        push(ring, i);
    ring_publish(ring);
    ring_peek(ring, 3, &count);
    ring_release(ring, 3);
    for (uint64_t i = 3; i < 7; i++)
        push(ring, i);
    ring_publish(ring);
    cr_assert_eq(ring_peek(ring, 10, &count)->uploaded, 3);
    cr_assert_eq(count, 1);
    ring_release(ring, 1);
    cr_assert_eq(ring_peek(ring, 10, &count)->uploaded, 4);
    cr_assert_eq(count, 3);
    ring_free(ring);
}

/* Takes and releases up to `most`, which have to be numbered from `*next` on. */
static void take(struct ring *ring, size_t most, uint64_t *next)
{
    size_t count;
    while (most > 0) {
        const struct delta *deltas = ring_peek(ring, most, &count);
        if (count == 0)
            return;
        for (size_t i = 0; i < count; i++)
            cr_assert_eq(deltas[i].uploaded, (*next)++);
        ring_release(ring, count);
        most -= count;
    }
}

/* The oldest chunk is half released, the newest half filled: there has to be one more than the room takes. */
Test(ring, is_filled_again_and_again_from_the_middle_of_a_chunk)
{
    struct ring *ring = ring_new(256);
    uint64_t pushed = 0, next = 0;
    for (size_t released = 1; released < 600; released += 7) {
        while (ring_room(ring) > 0)
            push(ring, pushed++);
        ring_publish(ring);
        cr_assert_eq(pushed - next, 256);
        take(ring, released % 256, &next);
    }
    take(ring, 256, &next);
    cr_assert_eq(next, pushed);
    ring_free(ring);
}

Test(ring, goes_around_in_little_memory_where_the_consumer_keeps_up)
{
    struct ring *ring = ring_new(32768);
    uint64_t pushed = 0, next = 0;
    const char *first = (const char *)ring_next(ring);
    for (int round = 0; round < 5000; round++) {
        for (int i = 0; i < 50; i++) {
            cr_assert_lt((size_t)((const char *)ring_next(ring) - first), 256 * sizeof(struct delta));
            push(ring, pushed++);
        }
        ring_publish(ring);
        take(ring, 50, &next);
    }
    ring_free(ring);
}

Test(ring, a_record_may_be_asked_for_twice)
{
    struct ring *ring = ring_new(64);
    for (uint64_t i = 0; i < 64; i++) {
        struct delta *delta = ring_next(ring);
        cr_assert_eq(ring_next(ring), delta);
        push(ring, i);
    }
    uint64_t next = 0;
    ring_publish(ring);
    take(ring, 64, &next);
    cr_assert_eq(next, 64);
    ring_free(ring);
}

enum { TRAVELLERS = 300000 };

static void *consume(void *argument)
{
    struct ring *ring = argument;
    for (uint64_t expected = 0; expected < TRAVELLERS;) {
        size_t count;
        struct delta *deltas = ring_peek(ring, 100, &count);
        for (size_t i = 0; i < count; i++, expected++)
            if (deltas[i].uploaded != expected || deltas[i].seeders != (uint32_t)expected)
                return argument;
        ring_release(ring, count);
        if (count == 0)
            sched_yield();
    }
    return NULL;
}

Test(ring, carries_all_in_order_from_thread_to_thread, .timeout = 60)
{
    struct ring *ring = ring_new(256);
    pthread_t consumer;
    void *result;
    pthread_create(&consumer, NULL, consume, ring);
    for (uint64_t i = 0; i < TRAVELLERS;) {
        size_t room = ring_room(ring);
        for (size_t in_batch = 0; in_batch < room && in_batch < 64 && i < TRAVELLERS; in_batch++)
            push(ring, i++);
        ring_publish(ring);
        if (room == 0)
            sched_yield();
    }
    pthread_join(consumer, &result);
    cr_assert_null(result);
    ring_free(ring);
}
