/* index: finds what was added, whatever came and went meanwhile, also while it grows. */
#include "storage/index.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>

static struct index fixture;
static struct memory *memory;

static void set_up(void)
{
    memory = index_memory_new();
    cr_assert_not_null(memory);
    index_init(&fixture, memory);
}

static void tear_down(void)
{
    index_clear(&fixture);
    memory_free(memory);
}

TestSuite(index, .init = set_up, .fini = tear_down, .timeout = 60);

/* Few different upper halves, so that many references share one. */
static uint64_t hash_of(uint32_t reference)
{
    return (uint64_t)(reference * UINT32_C(0x9e3779b1) % 5003) << 32 | reference;
}

static uint64_t hash_again(const void *owner, uint32_t reference)
{
    (void)owner;
    return hash_of(reference);
}

static uint64_t forty_two(const void *owner, uint32_t reference)
{
    (void)owner;
    (void)reference;
    return UINT64_C(42) << 32;
}

static bool has(uint32_t reference)
{
    struct index_walk walk;
    uint32_t found = index_first(&fixture, hash_of(reference), &walk);
    while (found != INDEX_NONE && found != reference)
        found = index_next(&walk);
    return found == reference;
}

Test(index, empty_index_finds_nothing)
{
    cr_expect_not(has(7));
    cr_expect_eq(fixture.count, 0);
}

Test(index, finds_every_reference_while_growing)
{
    for (uint32_t i = 0; i < 20000; i++) {
        cr_assert_eq(index_add(&fixture, hash_of(i), i, hash_again, NULL), 0);
        if (i % 97 == 0)
            for (uint32_t j = 0; j <= i; j += 61)
                cr_assert(has(j), "lost %u after adding %u", j, i);
    }
    cr_expect_eq(fixture.count, 20000);
}

Test(index, walk_gives_each_reference_of_a_hash_once)
{
    for (uint32_t i = 0; i < 1000; i++)
        cr_assert_eq(index_add(&fixture, UINT64_C(42) << 32, i, forty_two, NULL), 0);
    bool seen[1000] = {false};
    struct index_walk walk;
    for (uint32_t r = index_first(&fixture, UINT64_C(42) << 32, &walk); r != INDEX_NONE; r = index_next(&walk)) {
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
            index_remove(&fixture, hash_of(reference), reference);
        else
            cr_assert_eq(index_add(&fixture, hash_of(reference), reference, hash_again, NULL), 0);
        there[reference] = !there[reference];
        count = there[reference] ? count + 1 : count - 1;
        uint32_t other = (uint32_t)rand() % REFERENCES;
        cr_assert_eq(has(other), there[other], "reference %u at step %d", other, step);
    }
    cr_expect_eq(fixture.count, count);
}

Test(index, additions_and_removals_do_not_make_it_grow)
{
    for (uint32_t i = 0; i < 200000; i++) {
        cr_assert_eq(index_add(&fixture, hash_of(i), i, hash_again, NULL), 0);
        if (i >= 100)
            index_remove(&fixture, hash_of(i - 100), i - 100);
    }
    cr_expect_leq(fixture.lines, 128);
    cr_expect_leq(fixture.segment_room, 256);
}

Test(index, references_above_the_largest_are_refused)
{
    cr_expect_eq(index_add(&fixture, 1, INDEX_REFERENCE_MAX + 1u, hash_again, NULL), -1);
    cr_expect_eq(fixture.count, 0);
    cr_expect_eq(index_add(&fixture, hash_of(INDEX_REFERENCE_MAX), INDEX_REFERENCE_MAX, hash_again, NULL), 0);
    cr_expect(has(INDEX_REFERENCE_MAX));
}

Test(index, every_reference_is_in_one_segment)
{
    enum { REFERENCES = 5000 };
    static uint8_t seen[REFERENCES];
    for (uint32_t i = 0; i < REFERENCES; i++)
        cr_assert_eq(index_add(&fixture, hash_of(i), i, hash_again, NULL), 0);
    for (uint32_t segment = 0; segment < fixture.segment_count; segment++) {
        uint32_t at = 0, reference;
        while ((reference = index_in_segment(&fixture, segment, &at)) != INDEX_NONE)
            seen[reference]++;
    }
    for (uint32_t i = 0; i < REFERENCES; i++)
        cr_assert_eq(seen[i], 1);
}

/* Objects 0 … COUNT - 1 keep their hashes while their references are exchanged, as the slots of a swarm are. */
enum { COUNT = 3000 };
static uint32_t reference_of[COUNT], object_at[COUNT];

static uint64_t hash_of_object_at(const void *owner, uint32_t reference)
{
    (void)owner;
    return hash_of(object_at[reference]);
}

static void exchange(uint32_t a, uint32_t b)
{
    index_renumber(&fixture, hash_of(object_at[a]), a, b);
    index_renumber(&fixture, hash_of(object_at[b]), b, a);
    uint32_t object = object_at[a];
    object_at[a] = object_at[b];
    object_at[b] = object;
    reference_of[object_at[a]] = a;
    reference_of[object_at[b]] = b;
}

Test(index, references_may_be_exchanged_while_it_grows)
{
    srand(5);
    for (uint32_t i = 0; i < COUNT; i++) {
        reference_of[i] = object_at[i] = i;
        cr_assert_eq(index_add(&fixture, hash_of(i), i, hash_of_object_at, NULL), 0);
        for (int j = 0; j < 3; j++)
            exchange((uint32_t)rand() % (i + 1), (uint32_t)rand() % (i + 1));
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        struct index_walk walk;
        uint32_t found = index_first(&fixture, hash_of(i), &walk);
        while (found != INDEX_NONE && found != reference_of[i])
            found = index_next(&walk);
        cr_assert_eq(found, reference_of[i], "lost object %u", i);
    }
    for (uint32_t i = 0; i < COUNT; i++)
        index_remove(&fixture, hash_of(i), reference_of[i]);
    cr_expect_eq(fixture.count, 0);
    cr_expect_eq(fixture.lines, 0);
}
