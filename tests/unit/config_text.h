/* config_text: what the tests of the configuration share: text in, configuration or faults out. */
#ifndef PRIVTRAK_TESTS_CONFIG_TEXT_H
#define PRIVTRAK_TESTS_CONFIG_TEXT_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"

enum { TOLD_LINES = 48, TOLD_BYTES = 700 };

struct told {
    size_t count; /* of all, also of those that do not fit */
    char lines[TOLD_LINES][TOLD_BYTES];
};

static void tell(void *context, const char *message)
{
    struct told *told = context;
    if (told->count < TOLD_LINES)
        (void)snprintf(told->lines[told->count], TOLD_BYTES, "%s", message);
    told->count++;
}

static inline struct config *parse_as(const char *file, const char *text, struct told *told)
{
    told->count = 0;
    return config_parse(file, text, strlen(text), tell, told);
}

/* A text that must be good. */
static inline struct config *parse_good(const char *text)
{
    struct told told;
    struct config *config = parse_as("t.yaml", text, &told);
    cr_assert_not_null(config, "%s\nis refused: %s", text, told.lines[0]);
    cr_expect_eq(told.count, 0);
    return config;
}

/* A text that must have exactly one fault, and that one. */
static inline void expect_fault(const char *text, const char *fault)
{
    struct told told;
    struct config *config = parse_as("t.yaml", text, &told);
    cr_expect_null(config, "%s\nis taken", text);
    cr_expect_eq(told.count, 1, "%s\nhas %zu faults", text, told.count);
    if (told.count > 0)
        cr_expect_str_eq(told.lines[0], fault, "%s\n      is: %s\nexpected: %s", text, told.lines[0], fault);
    config_free(config);
}

/* A text whose only fault begins with `start`. */
static inline void expect_fault_start(const char *text, const char *start)
{
    struct told told;
    struct config *config = parse_as("t.yaml", text, &told);
    cr_expect_null(config, "%s\nis taken", text);
    cr_expect_eq(told.count, 1, "%s\nhas %zu faults", text, told.count);
    if (told.count > 0)
        cr_expect_eq(strncmp(told.lines[0], start, strlen(start)), 0, "%s\n      is: %s\nexpected: %s…", text,
                     told.lines[0], start);
    config_free(config);
}

#endif
