/* index: finds what was added, whatever came and went meanwhile, also while it grows. */
#include "storage/index.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>

static struct index *fixture;

static void set_up(void)
{
    fixture = index_new();
    cr_assert_not_null(fixture);
}

static void tear_down(void)
{
    index_free(fixture);
}

TestSuite(index, .init = set_up, .fini = tear_down, .timeout = 60);

/* Few different upper halves, so that many references share one. */
static uint64_t hash_of(uint32_t reference)
{
    return (uint64_t)(reference * UINT32_C(0x9e3779b1) % 5003) << 32 | reference;
}

static bool has(uint32_t reference)
{
    struct index_walk walk;
    uint32_t found = index_first(fixture, hash_of(reference), &walk);
    while (found != INDEX_NONE && found != reference)
        found = index_next(&walk);
    return found == reference;
}

Test(index, empty_index_finds_nothing)
{
    cr_expect_not(has(7));
    cr_expect_eq(index_count(fixture), 0);
}

Test(index, finds_every_reference_while_growing)
{
    for (uint32_t i = 0; i < 20000; i++) {
        cr_assert_eq(index_add(fixture, hash_of(i), i), 0);
        if (i % 97 == 0)
            for (uint32_t j = 0; j <= i; j += 61)
                cr_assert(has(j), "lost %u after adding %u", j, i);
    }
    cr_expect_eq(index_count(fixture), 20000);
}

Test(index, walk_gives_each_reference_of_a_hash_once)
{
    for (uint32_t i = 0; i < 1000; i++)
        index_add(fixture, UINT64_C(42) << 32, i);
    bool seen[1000] = {false};
    struct index_walk walk;
    for (uint32_t r = index_first(fixture, UINT64_C(42) << 32, &walk); r != INDEX_NONE; r = index_next(&walk)) {
        cr_assert_lt(r, 1000);
        cr_assert_not(seen[r]);
        seen[r] = true;
    }
    for (uint32_t i = 0; i < 1000; i++)
        cr_expect(seen[i]);
}

Test(index, random_adds_and_removes_match_a_plain_array)
{
    enum { REFERENCES = 4000, STEPS = 400000 };
    static bool there[REFERENCES];
    srand(3);
    size_t count = 0;
    for (int step = 0; step < STEPS; step++) {
        uint32_t reference = (uint32_t)rand() % REFERENCES;
        if (there[reference])
            index_remove(fixture, hash_of(reference), reference);
        else
            cr_assert_eq(index_add(fixture, hash_of(reference), reference), 0);
        there[reference] = !there[reference];
        count = there[reference] ? count + 1 : count - 1;
        uint32_t other = (uint32_t)rand() % REFERENCES;
        cr_assert_eq(has(other), there[other], "reference %u at step %d", other, step);
    }
    cr_expect_eq(index_count(fixture), count);
}

Test(index, additions_and_removals_do_not_make_it_grow)
{
    for (uint32_t i = 0; i < 200000; i++) {
        cr_assert_eq(index_add(fixture, hash_of(i), i), 0);
        if (i >= 100)
            index_remove(fixture, hash_of(i - 100), i - 100);
    }
    cr_expect_leq(index_bytes(fixture), 16384);
}
