/* Tests of the ledger file, and of holding its rows against the database's. */
#include "bench/compare.h"
#include "bench/ledger_file.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HASH "00112233445566778899aabbccddeeff00112233"
#define HASH2 "10112233445566778899aabbccddeeff00112233"

Test(bench_ledger, row_is_read_whole)
{
    struct ledger_row row;
    cr_assert_eq(ledger_row_parse(&row, "key," HASH ",1,2,3,4,5,6,1,7"), 0);
    cr_expect_str_eq(row.passkey, "key");
    cr_expect_eq(row.info_hash[1], 0x11);
    cr_expect_eq(row.uploaded, 1);
    cr_expect_eq(row.downloaded, 2);
    cr_expect_eq(row.raw_uploaded, 3);
    cr_expect_eq(row.raw_downloaded, 4);
    cr_expect_eq(row.seed_time, 5);
    cr_expect_eq(row.leech_time, 6);
    cr_expect(row.snatched);
    cr_expect_eq(row.credits, 7);
}

Test(bench_ledger, broken_rows_are_refused)
{
    static const char *const bad[] = {
        "",
        "key," HASH ",1,2,3,4,5,6,1",
        "key," HASH ",1,2,3,4,5,6,1,7,8",
        "," HASH ",1,2,3,4,5,6,1,7",
        "key,abc,1,2,3,4,5,6,1,7",
        "key," HASH ",-1,2,3,4,5,6,1,7",
        "key," HASH ",1,2,3,4,5,6,2,7",
        "key," HASH ",1,,3,4,5,6,1,7",
        "0123456789012345678901234567890123456789012345678901234567890123x," HASH ",1,2,3,4,5,6,1,7",
    };
    struct ledger_row row;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_lt(ledger_row_parse(&row, bad[i]), 0, "'%s'", bad[i]);
}

/* Reads a file of this text; `rows` is NULL where it was refused, and `error` tells why. */
static struct ledger_row *read_text(const char *text, size_t *count, struct error *error)
{
    char name[] = "/tmp/bench-ledger-XXXXXX";
    struct ledger_row *rows = NULL;
    int fd = mkstemp(name);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    if (ledger_file_read(name, &rows, count, error) < 0)
        rows = NULL;
    unlink(name);
    return rows;
}

Test(bench_ledger, file_is_sorted)
{
    size_t count;
    struct error error;
    struct ledger_row *rows = read_text(LEDGER_HEADER "\nb," HASH ",1,2,3,4,5,6,1,7\na," HASH2
                                                      ",1,2,3,4,5,6,1,7\na," HASH ",9,2,3,4,5,6,1,7\n",
                                        &count, &error);
    cr_assert_not_null(rows);
    cr_assert_eq(count, 3);
    cr_expect_str_eq(rows[0].passkey, "a");
    cr_expect_eq(rows[0].uploaded, 9);
    cr_expect_str_eq(rows[2].passkey, "b");
    free(rows);
}

static void expect_refused(const char *text, const char *part)
{
    size_t count;
    struct error error = {""};
    cr_expect_null(read_text(text, &count, &error));
    cr_expect_not_null(strstr(error.text, part), "'%s' does not hold '%s'", error.text, part);
}

Test(bench_ledger, torn_foreign_and_repeated_files_are_refused)
{
    expect_refused("", "empty");
    expect_refused("a,b,c\n", "not a ledger");
    expect_refused(LEDGER_HEADER "\nkey," HASH ",1,2,3,4,5,6,1,7", "no end");
    expect_refused(LEDGER_HEADER "\nkey," HASH ",1,2,3\n", ":2: not a row");
    expect_refused(LEDGER_HEADER "\nkey," HASH ",1,2,3,4,5,6,1,7\nkey," HASH ",1,2,3,4,5,6,1,7\n", "twice");
}

Test(bench_ledger, ledgers_of_several_runs_add_up)
{
    size_t count = 0;
    struct ledger_row *all = NULL;
    struct ledger_row first[2], second[2];
    ledger_row_parse(&first[0], "a," HASH ",1,2,3,4,5,6,0,1");
    ledger_row_parse(&first[1], "c," HASH ",1,2,3,4,5,6,0,1");
    ledger_row_parse(&second[0], "a," HASH ",10,20,30,40,50,60,1,2");
    ledger_row_parse(&second[1], "b," HASH ",1,2,3,4,5,6,0,1");
    cr_assert_eq(ledger_add(&all, &count, first, 2), 0);
    cr_assert_eq(ledger_add(&all, &count, second, 2), 0);
    cr_assert_eq(count, 3);
    cr_expect_eq(all[0].uploaded, 11);
    cr_expect_eq(all[0].raw_downloaded, 44);
    cr_expect_eq(all[0].credits, 3);
    cr_expect(all[0].snatched);
    cr_expect_str_eq(all[1].passkey, "b");
    cr_expect_str_eq(all[2].passkey, "c");
    free(all);
}

static const struct ledger_row expected = {
    .uploaded = 1001, .downloaded = 501, .raw_uploaded = 1001, .raw_downloaded = 501, .seed_time = 100, .credits = 3};
static struct user_torrent_row found = {
    .uploaded = 1001, .downloaded = 501, .raw_uploaded = 1001, .raw_downloaded = 501, .seed_time = 90};
static struct compare_rules rules = {.upload_percent = 100, .download_percent = 100, .time_tolerance_s = -1};
static char text[COMPARE_TEXT_BYTES];

Test(bench_compare, equal_rows_agree)
{
    cr_expect(compare_rows(&expected, &found, &rules, text));
    cr_expect_str_eq(text, "");
}

Test(bench_compare, one_byte_is_a_difference_and_is_told)
{
    found.uploaded++;
    found.raw_downloaded--;
    cr_expect_not(compare_rows(&expected, &found, &rules, text));
    cr_expect_str_eq(text, "uploaded: 1001 expected, 1002 found; raw_downloaded: 501 expected, 500 found");
}

Test(bench_compare, snatch_is_compared)
{
    found.snatched_at = 5;
    cr_expect_not(compare_rows(&expected, &found, &rules, text));
    cr_expect_str_eq(text, "snatched: 0 expected, 1 found");
}

Test(bench_compare, percentages_allow_less_than_a_byte_for_each_credit)
{
    rules.upload_percent = 150;
    rules.download_percent = 0;
    found.downloaded = 0;
    found.uploaded = 1501;
    cr_expect(compare_rows(&expected, &found, &rules, text));
    found.uploaded = 1498;
    cr_expect(compare_rows(&expected, &found, &rules, text));
    found.uploaded = 1497;
    cr_expect_not(compare_rows(&expected, &found, &rules, text));
    cr_expect_str_eq(text, "uploaded: 1498 to 1501 expected, 1497 found");
    found.uploaded = 1502;
    cr_expect_not(compare_rows(&expected, &found, &rules, text));
}

Test(bench_compare, whole_multiples_are_exact)
{
    rules.upload_percent = 200;
    found.uploaded = 2002;
    cr_expect(compare_rows(&expected, &found, &rules, text));
    found.uploaded = 2001;
    cr_expect_not(compare_rows(&expected, &found, &rules, text));
}

Test(bench_compare, times_are_compared_only_where_asked_for)
{
    found.seed_time = 50;
    cr_expect(compare_rows(&expected, &found, &rules, text));
    rules.time_tolerance_s = 50;
    cr_expect(compare_rows(&expected, &found, &rules, text));
    rules.time_tolerance_s = 49;
    cr_expect_not(compare_rows(&expected, &found, &rules, text));
}
