/* What privtrakctl prints for people. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "ctl/output.h"

static const struct column columns[] = {
    {"ID", "id", COLUMN_NUMBER}, {"NAME", "name", COLUMN_TEXT},  {"SIZE", "size", COLUMN_BYTES},
    {"ON", "on", COLUMN_YES},    {"IPV6", "6", COLUMN_ENDPOINT}, {NULL, NULL, COLUMN_TEXT},
};

static void check(const char *json, const char *wanted)
{
    json_t *rows = json_loads(json, 0, NULL);
    cr_redirect_stdout();
    print_table(columns, rows);
    (void)fflush(stdout);
    cr_assert_stdout_eq_str(wanted);
    json_decref(rows);
}

Test(output, table_is_aligned_by_characters_with_numbers_to_the_right)
{
    check("[{\"id\":7,\"name\":\"Zo\\u00eb\",\"size\":1536,\"on\":true,\"ip6\":\"2001:db8::1\",\"port6\":1},"
          "{\"id\":1234,\"name\":\"b\",\"size\":0,\"on\":false,\"ip6\":null,\"port6\":null}]",
          "  ID  NAME      SIZE  ON   IPV6\n"
          "   7  Zo\xc3\xab   1.50 KiB  yes  [2001:db8::1]:1\n"
          "1234  b          0 B  no   -\n");
}

Test(output, a_name_cannot_play_with_the_terminal)
{
    check("[{\"id\":1,\"name\":\"\\u001b[2J\\u009b1m\\n\",\"size\":1}]", "ID  NAME      SIZE  ON  IPV6\n"
                                                                         " 1  ?[2J?1m?   1 B  no  -\n");
}

Test(output, an_empty_list_shows_its_columns)
{
    check("[]", "ID  NAME  SIZE  ON  IPV6\n");
}

Test(output, byte_counts_have_a_unit)
{
    char text[32];
    cr_assert_str_eq(format_bytes(text, 1023), "1023 B");
    cr_assert_str_eq(format_bytes(text, 1024), "1.00 KiB");
    cr_assert_str_eq(format_bytes(text, UINT64_C(5) << 40), "5.00 TiB");
    cr_assert_str_eq(format_bytes(text, INT64_MAX), "8.00 EiB");
}

Test(output, durations_have_two_units)
{
    char text[32];
    cr_assert_str_eq(format_duration(text, 7.25), "7.2 s");
    cr_assert_str_eq(format_duration(text, 125), "2 min 5 s");
    cr_assert_str_eq(format_duration(text, 90000), "1 d 1 h");
}
