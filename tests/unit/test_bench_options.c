/* Tests of the command line of privtrak-bench's commands. */
#include "bench/options.h"

#include <criterion/criterion.h>
#include <string.h>

Test(bench_options, numbers_are_read_whole_and_within_their_range)
{
    uint64_t value;
    cr_expect(option_read_number("42", 0, 100, &value) == 0 && value == 42);
    cr_expect(option_read_number("18446744073709551615", 0, UINT64_MAX, &value) == 0 && value == UINT64_MAX);
    static const char *const bad[] = {"", " 1", "1 ", "-1", "+1", "1k", "0x1", "101", "18446744073709551616", "1.0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_lt(option_read_number(bad[i], 0, 100, &value), 0, "'%s'", bad[i]);
}

Test(bench_options, integers_may_be_negative)
{
    int64_t value;
    cr_expect(option_read_integer("-1", -1, 1000, &value) == 0 && value == -1);
    cr_expect(option_read_integer("1000", -1, 1000, &value) == 0 && value == 1000);
    cr_expect_lt(option_read_integer("-2", -1, 1000, &value), 0);
    cr_expect_lt(option_read_integer("--1", -1, 1000, &value), 0);
    cr_expect_lt(option_read_integer("-", -1, 1000, &value), 0);
}

Test(bench_options, lists_of_numbers_are_read_whole)
{
    struct number_list list;
    cr_expect(option_read_numbers("8", 1, 64, &list) == 0 && list.count == 1 && list.items[0] == 8);
    cr_expect(option_read_numbers("1,8,64", 1, 64, &list) == 0 && list.count == 3 && list.items[2] == 64);
    static const char *const bad[] = {
        "", ",", "1,", ",1", "0", "65", "1,65", "1 2", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_lt(option_read_numbers(bad[i], 1, 64, &list), 0, "'%s'", bad[i]);
}

Test(bench_options, percentages_go_from_0_to_100)
{
    double value;
    cr_expect(option_read_percent("2.5", &value) == 0 && value == 2.5);
    cr_expect(option_read_percent("100", &value) == 0 && value == 100);
    static const char *const bad[] = {"", "100.1", "-1", "inf", "nan", "1e1", "0x5", "5%", "1.2.3", "."};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_lt(option_read_percent(bad[i], &value), 0, "'%s'", bad[i]);
}

Test(bench_options, durations_have_a_unit)
{
    int64_t value;
    cr_expect(option_read_duration("200ms", &value) == 0 && value == INT64_C(200000000));
    cr_expect(option_read_duration("10s", &value) == 0 && value == INT64_C(10000000000));
    cr_expect(option_read_duration("2m", &value) == 0 && value == INT64_C(120000000000));
    cr_expect(option_read_duration("0s", &value) == 0 && value == 0);
    static const char *const bad[] = {"", "10", "s", "10 s", "1.5s", "-1s", "10S", "99999999999999999h", "10sec"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_lt(option_read_duration(bad[i], &value), 0, "'%s'", bad[i]);
}

Test(bench_options, choices_are_whole_words)
{
    int value;
    cr_expect(option_read_choice("4", "4|6|both", &value) == 0 && value == 0);
    cr_expect(option_read_choice("both", "4|6|both", &value) == 0 && value == 2);
    cr_expect_lt(option_read_choice("bot", "4|6|both", &value), 0);
    cr_expect_lt(option_read_choice("", "4|6|both", &value), 0);
    cr_expect_lt(option_read_choice("4|6", "4|6|both", &value), 0);
}

Test(bench_options, endpoints_have_host_and_port)
{
    struct endpoint endpoint;
    cr_expect_eq(option_read_endpoint("127.0.0.1:6969", &endpoint), 0);
    cr_expect_eq(endpoint.address.ss_family, AF_INET);
    cr_expect(endpoint_is_loopback(&endpoint));
    cr_expect_eq(option_read_endpoint("[::1]:6969", &endpoint), 0);
    cr_expect_eq(endpoint.address.ss_family, AF_INET6);
    cr_expect(endpoint_is_loopback(&endpoint));
    cr_expect_eq(option_read_endpoint("192.0.2.1:80", &endpoint), 0);
    cr_expect_not(endpoint_is_loopback(&endpoint));
    cr_expect_eq(option_read_endpoint("[2001:db8::1]:80", &endpoint), 0);
    cr_expect_not(endpoint_is_loopback(&endpoint));
    static const char *const bad[] = {
        "",       ":80",   "127.0.0.1",      "127.0.0.1:", "127.0.0.1:0",  "127.0.0.1:65536",
        "::1:80", "[::1]", "[127.0.0.1]:80", "[]:80",      "127.0.0.1:80x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_lt(option_read_endpoint(bad[i], &endpoint), 0, "'%s'", bad[i]);
}

Test(bench_options, cpu_lists_take_numbers_and_ranges)
{
    struct cpu_list list;
    cr_expect_eq(option_read_cpus("0,2-4,7", &list), 0);
    cr_expect_eq(list.count, 5);
    cr_expect_eq(list.items[3], 4);
    static const char *const bad[] = {"", ",", "1,", "3-2", "a", "1-", "-1", "0-9999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_lt(option_read_cpus(bad[i], &list), 0, "'%s'", bad[i]);
}

static struct {
    uint64_t users;
    bool quiet;
    struct text_list files;
} given;

static const struct option_entry entries[] = {
    {"users", OPTION_NUMBER, &given.users, 1, 10, NULL, "N", "users"},
    {"quiet", OPTION_FLAG, &given.quiet, 0, 0, NULL, NULL, "quiet"},
    {"file", OPTION_TEXTS, &given.files, 0, 0, NULL, "FILE", "files"},
    {.name = NULL},
};

static enum options_result parse(char **argv, struct error *error)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    return options_parse(entries, argc, argv, error);
}

Test(bench_options, values_are_taken_in_both_ways_of_writing)
{
    struct error error;
    char *argv[] = {"x", "--users=3", "--quiet", "--file", "a", "--file", "b", NULL};
    cr_assert_eq(parse(argv, &error), OPTIONS_GOOD);
    cr_expect_eq(given.users, 3);
    cr_expect(given.quiet);
    cr_expect_eq(given.files.count, 2);
    cr_expect_str_eq(given.files.items[1], "b");
}

static void expect_fault(char **argv, const char *part)
{
    struct error error = {""};
    cr_expect_eq(parse(argv, &error), OPTIONS_BAD);
    cr_expect_not_null(strstr(error.text, part), "'%s' does not hold '%s'", error.text, part);
    cr_expect_null(strchr(error.text, '\n'));
}

Test(bench_options, faults_name_the_option)
{
    expect_fault((char *[]){"x", "--users", "11", NULL}, "--users: found 11, allowed 1 to 10");
    expect_fault((char *[]){"x", "--users", NULL}, "--users: a value is missing");
    expect_fault((char *[]){"x", "--bogus", NULL}, "--bogus: no such option");
    expect_fault((char *[]){"x", "--quiet", "word", NULL}, "word: not expected here");
    expect_fault((char *[]){"x", "--file", "", NULL}, "--file");
}

Test(bench_options, help_is_recognised)
{
    struct error error;
    cr_expect_eq(parse((char *[]){"x", "--help", NULL}, &error), OPTIONS_HELP);
}
