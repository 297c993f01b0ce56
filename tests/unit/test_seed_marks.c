/* seed_marks: a mark for each (user, torrent) that needs one, and its place used again. */
#include "storage/seed_marks.h"

#include <criterion/criterion.h>

enum { MANY = 5000 };

static struct seed_marks *marks;

static void set_up(void)
{
    marks = seed_marks_new();
    cr_assert_not_null(marks);
}

static void tear_down(void)
{
    seed_marks_free(marks);
}

TestSuite(seed_marks, .init = set_up, .fini = tear_down, .timeout = 60);

Test(seed_marks, unknown_pair_has_none)
{
    cr_expect_null(seed_marks_find(marks, 1, 2));
    seed_marks_drop(marks, 1, 2);
}

Test(seed_marks, made_mark_is_empty_and_found)
{
    struct seed_mark *mark = seed_marks_make(marks, 1, 2);
    cr_assert_not_null(mark);
    cr_expect_eq(mark->seed_s, 0);
    cr_expect_eq(mark->leech_s, 0);
    mark->seed_s = 77;
    cr_expect_eq(seed_marks_find(marks, 1, 2)->seed_s, 77);
    cr_expect_eq(seed_marks_make(marks, 1, 2)->seed_s, 77, "the same one");
    cr_expect_null(seed_marks_find(marks, 2, 1));
}

Test(seed_marks, dropped_mark_is_gone_and_begins_empty)
{
    seed_marks_make(marks, 1, 2)->seed_s = 77;
    seed_marks_drop(marks, 1, 2);
    cr_expect_null(seed_marks_find(marks, 1, 2));
    cr_expect_eq(seed_marks_make(marks, 1, 2)->seed_s, 0);
}

Test(seed_marks, many_are_found_while_others_come_and_go)
{
    for (uint32_t i = 0; i < MANY; i++)
        seed_marks_make(marks, i % 70, i)->seed_s = i + 1;
    for (uint32_t i = 0; i < MANY; i += 2)
        seed_marks_drop(marks, i % 70, i);
    for (uint32_t i = 0; i < MANY / 2; i++)
        seed_marks_make(marks, 100, i)->seed_s = 1000000 + i;
    for (uint32_t i = 0; i < MANY; i++) {
        const struct seed_mark *mark = seed_marks_find(marks, i % 70, i);
        cr_assert_eq(mark != NULL, i % 2 == 1);
        cr_assert(mark == NULL || mark->seed_s == i + 1);
    }
    for (uint32_t i = 0; i < MANY / 2; i++)
        cr_assert_eq(seed_marks_find(marks, 100, i)->seed_s, 1000000 + i);
}
