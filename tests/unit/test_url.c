/* Tests of a query's pairs and of %-escapes. */
#include "tracker/url.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(url, walk_gives_each_pair_and_passes_over_empty_pieces)
{
    static const char text[] = "&&a=1&b&=x&c==&&d=&";
    static const char *expected[][2] = {{"a", "1"}, {"b", ""}, {"", "x"}, {"c", "="}, {"d", ""}};
    const char *cursor = text;
    struct query_pair pair;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        cr_assert(query_next(&cursor, text + sizeof text - 1, &pair));
        cr_expect_eq(pair.name_length, strlen(expected[i][0]), "%zu", i);
        cr_expect_eq(memcmp(pair.name, expected[i][0], pair.name_length), 0, "%zu", i);
        cr_expect_eq(pair.value_length, strlen(expected[i][1]), "%zu", i);
        cr_expect_eq(memcmp(pair.value, expected[i][1], pair.value_length), 0, "%zu", i);
    }
    cr_expect_not(query_next(&cursor, text + sizeof text - 1, &pair));
    cr_expect_not(query_next(&cursor, text + sizeof text - 1, &pair));
}

Test(url, decode_takes_raw_bytes_escapes_and_plus)
{
    uint8_t bytes[8];
    cr_expect_eq(query_decode(bytes, sizeof bytes, "a%00%fF+\xe9", 9), 5);
    cr_expect_eq(memcmp(bytes, "a\0\xff+\xe9", 5), 0);
    cr_expect_eq(query_decode(bytes, sizeof bytes, "", 0), 0);
}

Test(url, decode_tells_bad_escapes_from_what_does_not_fit)
{
    uint8_t bytes[2];
    cr_expect_eq(query_decode(bytes, 2, "%41%42", 6), 2);
    cr_expect_eq(query_decode(bytes, 2, "abc", 3), -2);
    cr_expect_eq(query_decode(bytes, 2, "abc%4", 5), -1, "a bad escape counts even behind the end");
    cr_expect_eq(query_decode(bytes, 2, "%", 1), -1);
    cr_expect_eq(query_decode(bytes, 2, "%4", 2), -1);
    cr_expect_eq(query_decode(bytes, 2, "%4g", 3), -1);
    cr_expect_eq(query_decode(bytes, 2, "%-1", 3), -1);
}

Test(url, names_are_compared_without_case_and_escapes)
{
    static const struct {
        const char *name;
        bool same;
    } cases[] = {{"passkey", true}, {"PassKey", true},   {"%70%41sskey", true},
                 {"passke", false}, {"passkeys", false}, {"passkey%00", false},
                 {"%", false},      {"passke%7", false}, {"", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct query_pair pair = {.name = cases[i].name, .name_length = strlen(cases[i].name)};
        cr_expect_eq(query_name_is(&pair, "passkey"), cases[i].same, "%s", cases[i].name);
    }
}

/* Info hashes as clients write them, and all that is a byte shorter or longer, or broken somewhere. */
Test(url, decode_finds_each_byte_whatever_is_escaped)
{
    enum { BYTES = 24 };
    for (unsigned seed = 0; seed < 20000; seed++) {
        uint8_t expected[BYTES], bytes[BYTES + 1];
        char text[3 * BYTES + 1] = "";
        unsigned random = seed * 2654435761U + 1;
        size_t length = 0, count = seed % (BYTES + 1);
        for (size_t i = 0; i < count; i++) {
            random = random * 1664525 + 1013904223;
            expected[i] = (uint8_t)(random >> 24);
            bool is_plain = (random >> 16 & 3) == 0 && expected[i] != '%';
            if (is_plain)
                text[length++] = (char)expected[i];
            else
                length += (size_t)sprintf(text + length, (random >> 18 & 1) != 0 ? "%%%02x" : "%%%02X", expected[i]);
        }
        cr_assert_eq(query_decode(bytes, BYTES, text, length), (int)count, "%u", seed);
        cr_assert(count == 0 || memcmp(bytes, expected, count) == 0, "%u", seed);
        cr_assert_eq(query_decode(bytes, count, text, length), (int)count, "%u", seed);
        cr_assert(count == 0 || query_decode(bytes, count - 1, text, length) == -2, "%u", seed);
        const char *escape = memchr(text, '%', length);
        if (escape == NULL)
            continue;
        text[escape - text + 1 + seed % 2] = 'g';
        cr_assert_eq(query_decode(bytes, BYTES, text, length), -1, "%u", seed);
    }
}
