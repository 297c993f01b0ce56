/* Tests of the reasons for people. */
#include "base/error.h"

#include <criterion/criterion.h>
#include <string.h>

Test(error, set_formats_and_returns_failure)
{
    struct error error;
    cr_expect_eq(error_set(&error, "port %d is in use", 80), -1);
    cr_expect_str_eq(error.text, "port 80 is in use");
}

Test(error, nowhere_to_write_is_allowed)
{
    cr_expect_eq(error_set(NULL, "x"), -1);
    cr_expect_eq(error_prefix(NULL, "x"), -1);
}

Test(error, prefix_stands_before_the_reason)
{
    struct error error;
    (void)error_set(&error, "no such file");
    cr_expect_eq(error_prefix(&error, "journal"), -1);
    cr_expect_eq(error_prefix(&error, "start"), -1);
    cr_expect_str_eq(error.text, "start: journal: no such file");
}

Test(error, too_long_reasons_are_cut)
{
    struct error error;
    char text[2 * ERROR_TEXT_BYTES];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    (void)error_set(&error, "%s", text);
    cr_expect_eq(strlen(error.text), ERROR_TEXT_BYTES - 1);
    (void)error_prefix(&error, "p");
    cr_expect_eq(strlen(error.text), ERROR_TEXT_BYTES - 1);
    cr_expect_eq(strncmp(error.text, "p: xxx", 6), 0);
    (void)error_prefix(&error, text);
    cr_expect_eq(strlen(error.text), ERROR_TEXT_BYTES - 1);
}
