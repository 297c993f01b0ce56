/* memory: chunks do not overlap, are used again, and their pages go back. */
#include "storage/memory.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES = 3, MANY = 6000 };

static const size_t sizes[CLASSES] = {20, 1000, 16384};
static struct memory *memory;
static uint8_t *chunks[MANY];
static unsigned classes[MANY];

static void set_up(void)
{
    memory = memory_new(sizes, CLASSES);
    cr_assert_not_null(memory);
}

static void tear_down(void)
{
    memory_free(memory);
}

TestSuite(memory, .init = set_up, .fini = tear_down, .timeout = 60);

static void take(int number, unsigned class)
{
    classes[number] = class;
    chunks[number] = memory_take(memory, class);
    cr_assert_not_null(chunks[number]);
    memset(chunks[number], number & 0xff, sizes[class]);
}

static void give(int number)
{
    const uint8_t *chunk = chunks[number];
    for (size_t i = 0; i < sizes[classes[number]]; i++)
        cr_assert_eq(chunk[i], number & 0xff, "chunk %d was written by another", number);
    memory_give(memory, classes[number], chunks[number]);
    chunks[number] = NULL;
}

Test(memory, chunks_keep_their_contents_while_others_come_and_go)
{
    srand(5);
    for (int step = 0; step < 60000; step++) {
        int number = rand() % MANY;
        if (chunks[number] == NULL)
            take(number, rand() % 20 ? (unsigned)rand() % 2 : 2);
        else
            give(number);
    }
    for (int i = 0; i < MANY; i++)
        if (chunks[i] != NULL)
            give(i);
    cr_expect_eq(memory_used(memory), 0);
}

Test(memory, chunks_are_aligned)
{
    for (int i = 0; i < 100; i++) {
        take(i, (unsigned)i % CLASSES);
        cr_expect_eq((uintptr_t)chunks[i] % 8, 0);
    }
}

Test(memory, few_empty_pages_stay_with_us)
{
    take(7, 2);
    const uint8_t *chunk = chunks[7];
    give(7);
    cr_assert_eq(memory_take(memory, 2), chunk);
    cr_expect_eq(chunk[sizes[2] - 1], 7, "the kernel would have given it back empty");
}

Test(memory, use_grows_by_pages_and_falls_back_to_nothing)
{
    cr_expect_eq(memory_used(memory), 0);
    take(0, 0);
    size_t page = memory_used(memory);
    cr_expect_gt(page, 0);
    take(1, 0);
    cr_expect_eq(memory_used(memory), page, "the same page serves");
    give(0);
    give(1);
    cr_expect_eq(memory_used(memory), 0);
}

Test(memory, given_chunk_is_taken_again)
{
    take(0, 1);
    take(1, 1);
    const uint8_t *first = chunks[0];
    give(0);
    take(2, 1);
    cr_expect_eq(chunks[2], first);
}

Test(memory, pages_that_went_back_to_the_kernel_serve_again)
{
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2000; i++)
            take(i, 2); /* far more than the pool keeps */
        for (int i = 0; i < 2000; i++)
            give(i);
        cr_assert_eq(memory_used(memory), 0);
    }
}
