/* Reading .torrent files. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "ctl/torrent_file.h"

static struct torrent_file torrent;
static struct error error;

static int parse(const char *text)
{
    return torrent_file_parse(&torrent, (const uint8_t *)text, strlen(text), &error);
}

static const char *digits(const uint8_t *bytes)
{
    static char text[41];
    hex_encode(text, bytes, 20);
    return text;
}

Test(torrent_file, single_file_gives_hash_name_and_size)
{
    cr_assert_eq(parse("d8:announce3:foo4:infod6:lengthi5e4:name4:disc12:piece lengthi16384e"
                       "6:pieces20:aaaaaaaaaaaaaaaaaaaa7:privatei1eee"),
                 0, "%s", error.text);
    cr_assert_str_eq(torrent.name, "disc");
    cr_assert_eq(torrent.size, 5);
    cr_assert(torrent.is_private);
    cr_assert_not(torrent.is_v2_only || torrent.is_hybrid);
    cr_assert_str_eq(digits(torrent.info_hash), "311c4fa60f736ae36bffc4bde65976aba025b458");
}

Test(torrent_file, sizes_of_several_files_are_added_up)
{
    cr_assert_eq(parse("d4:infod5:filesld6:lengthi5e4:pathl1:aeed6:lengthi7e4:pathl1:b1:ceee4:name1:n"
                       "6:pieces0:ee"),
                 0, "%s", error.text);
    cr_assert_eq(torrent.size, 12);
    cr_assert_not(torrent.is_private);
}

Test(torrent_file, v2_only_is_told_and_hashed_with_sha256)
{
    cr_assert_eq(parse("d4:infod9:file treed1:ad0:d6:lengthi5e11:pieces root0:eee12:meta versioni2e4:name1:aee"), 0,
                 "%s", error.text);
    cr_assert(torrent.is_v2_only);
    cr_assert_eq(torrent.size, 5);
    cr_assert_str_eq(digits(torrent.info_hash), "ecc6c3526f8c791eee65740aa1fdf90c3a631bd4");
}

Test(torrent_file, hybrid_is_hashed_as_v1)
{
    cr_assert_eq(parse("d4:infod9:file treed1:ad0:d6:lengthi5eeee6:lengthi5e12:meta versioni2e4:name1:a6:pieces0:ee"),
                 0, "%s", error.text);
    cr_assert(torrent.is_hybrid);
    cr_assert_not(torrent.is_v2_only);
    cr_assert_neq(memcmp(torrent.info_hash, torrent.v2_hash, 20), 0);
}

Test(torrent_file, control_characters_and_bad_utf8_do_not_get_into_the_name)
{
    cr_assert_eq(parse("d4:infod6:lengthi5e4:name9:a\n\xc3\xa4\xff\xc2\x9b"
                       "b\x7f"
                       "6:pieces0:ee"),
                 0, "%s", error.text);
    cr_assert_str_eq(torrent.name, "a?\xc3\xa4??b?");
}

Test(torrent_file, an_endless_name_is_cut_at_a_character)
{
    char text[2000] = "d4:infod6:lengthi5e4:name1000:";
    size_t length = strlen(text);
    for (int i = 0; i < 500; i++)
        (void)snprintf(text + length + 2 * (size_t)i, 3, "\xc3\xa4");
    (void)snprintf(text + length + 1000, sizeof text - length - 1000, "6:pieces0:ee");
    cr_assert_eq(parse(text), 0, "%s", error.text);
    cr_assert_eq(strlen(torrent.name), 510);
}

Test(torrent_file, what_is_not_well_formed_is_refused)
{
    static const char *const bad[] = {
        "",
        "x",
        "i5e",
        "le",
        "de",
        "d",
        "d4:info",
        "d4:infoe",
        "d4:infod",
        "d4:infodee",
        "d4:infoi5ee",
        "d4:infod6:lengthi5e6:pieces0:e",
        "d4:infod6:lengthi5e6:pieces0:eex",
        "d4:infod6:lengthi05e6:pieces0:eee",
        "d4:infod6:lengthi-0e6:pieces0:eee",
        "d4:infod6:lengthie6:pieces0:eee",
        "d4:infod6:lengthi99999999999999999999e6:pieces0:eee",
        "d4:infod06:lengthi5e6:pieces0:eee",
        "d4:infod6:lengthi5e6:pieces99999:eee",
        "d4:infod6:pieces0:ee",
        "d4:infod5:filesd1:ai1ee6:pieces0:eee",
        "d4:infod5:filesli5ee6:pieces0:ee",
        "d4:infod6:lengthi5e6:pieces0:e4:infod6:lengthi5e6:pieces0:ee",
        "d4:infod5:filesld6:lengthi9223372036854775807eed6:lengthi1eee6:pieces0:ee",
        "di5ei6ee",
        "d4:infod12:meta versioni2e4:name1:aee",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_neq(parse(bad[i]), 0, "%s", bad[i]);
}

Test(torrent_file, every_cut_of_a_good_file_is_refused)
{
    const char good[] = "d8:announce3:foo4:infod5:filesld6:lengthi5e4:pathl1:aeee4:name1:n6:pieces3:abcee";
    cr_assert_eq(parse(good), 0);
    for (size_t length = 0; length + 1 < sizeof good; length++)
        cr_assert_neq(torrent_file_parse(&torrent, (const uint8_t *)good, length, &error), 0, "%zu", length);
}

Test(torrent_file, endless_nesting_is_refused)
{
    static char text[200001];
    memset(text, 'l', sizeof text - 1);
    text[0] = 'd';
    cr_assert_neq(parse(text), 0);
}

Test(torrent_file, a_file_that_is_not_there_is_told_by_name)
{
    cr_assert_neq(torrent_file_read(&torrent, "/nonexistent/x.torrent", &error), 0);
    cr_assert(strstr(error.text, "/nonexistent/x.torrent: No such file") != NULL, "%s", error.text);
}
