/* Tests of the route parser, which HTTP targets and BEP 41 URL data share. */
#include "tracker/route.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct route parse(const char *path, bool lone_passkey)
{
    struct route route;
    route_parse_path(&route, path, strlen(path), lone_passkey);
    return route;
}

static void expect(const char *path, bool lone, enum route_action action, enum route_passkey state, const char *passkey)
{
    struct route route = parse(path, lone);
    cr_expect_eq(route.action, action, "%s: action %d", path, route.action);
    cr_expect_eq(route.passkey_state, state, "%s: passkey state %d", path, route.passkey_state);
    cr_expect_not(route.bad_escape, "%s", path);
    if (state == ROUTE_PASSKEY_GOOD) {
        cr_expect_eq(route.passkey_length, strlen(passkey), "%s", path);
        cr_expect_eq(memcmp(route.passkey, passkey, strlen(passkey)), 0, "%s", path);
    }
}

Test(route, path_takes_the_three_forms_with_and_without_last_slash)
{
    expect("/key/announce", false, ROUTE_ANNOUNCE, ROUTE_PASSKEY_GOOD, "key");
    expect("/key/announce/", false, ROUTE_ANNOUNCE, ROUTE_PASSKEY_GOOD, "key");
    expect("/announce/key", false, ROUTE_ANNOUNCE, ROUTE_PASSKEY_GOOD, "key");
    expect("/announce/key/", false, ROUTE_ANNOUNCE, ROUTE_PASSKEY_GOOD, "key");
    expect("/announce", false, ROUTE_ANNOUNCE, ROUTE_PASSKEY_MISSING, NULL);
    expect("/announce/", false, ROUTE_ANNOUNCE, ROUTE_PASSKEY_MISSING, NULL);
    expect("/key/scrape", false, ROUTE_SCRAPE, ROUTE_PASSKEY_GOOD, "key");
    expect("/scrape/key/", false, ROUTE_SCRAPE, ROUTE_PASSKEY_GOOD, "key");
    expect("/scrape", false, ROUTE_SCRAPE, ROUTE_PASSKEY_MISSING, NULL);
}

Test(route, path_that_is_no_route_is_none)
{
    static const char *paths[] = {
        "",
        "/",
        "announce",
        "key/announce",
        "/key",
        "/Announce",
        "/announce//",
        "//announce",
        "/announcer",
        "/announc",
        "/announce/key/x",
        "/x/key/announce",
        "/key/announce/x/y/z",
        "/key/announce//",
        "*",
        "//",
        "///",
        "/key/",
        "/a/b",
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        cr_expect_eq(parse(paths[i], false).action, ROUTE_NONE, "%s", paths[i]);
}

Test(route, path_escapes_are_decoded)
{
    expect("/%61nnounce/k%65y", false, ROUTE_ANNOUNCE, ROUTE_PASSKEY_GOOD, "key");
    expect("/%6b%65%79/%73crape", false, ROUTE_SCRAPE, ROUTE_PASSKEY_GOOD, "key");
    expect("/k%2Fy/announce", false, ROUTE_ANNOUNCE, ROUTE_PASSKEY_MALFORMED, NULL);
    expect("/k%00/announce", false, ROUTE_ANNOUNCE, ROUTE_PASSKEY_MALFORMED, NULL);
}

Test(route, path_with_a_bad_escape_is_told)
{
    static const char *paths[] = {"/%", "/%4", "/%zz/announce", "/announce/%6", "/announce/ab%g0", "/a/b/c/d/%"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        cr_expect(parse(paths[i], false).bad_escape, "%s", paths[i]);
}

Test(route, passkey_length_is_1_to_64)
{
    char key[PASSKEY_MAX + 2];
    memset(key, 'k', sizeof key);
    char path[128];
    (void)snprintf(path, sizeof path, "/%.64s/announce", key);
    struct route route = parse(path, false);
    cr_expect_eq(route.passkey_state, ROUTE_PASSKEY_GOOD);
    cr_expect_eq(route.passkey_length, PASSKEY_MAX);
    (void)snprintf(path, sizeof path, "/%.65s/announce", key);
    cr_expect_eq(parse(path, false).passkey_state, ROUTE_PASSKEY_MALFORMED);
    cr_expect_eq(parse(path, false).action, ROUTE_ANNOUNCE);
}

static bool is_of_the_alphabet(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* At each place of each length: many characters are looked at at once. */
Test(route, passkey_alphabet_is_letters_digits_minus_underscore)
{
    for (size_t length = 1; length <= PASSKEY_MAX; length++)
        for (size_t at = 0; at < length; at++)
            for (int c = 0; c < 256; c++) {
                char text[PASSKEY_MAX];
                memset(text, 'x', sizeof text);
                text[at] = (char)c;
                cr_assert_eq(route_passkey_is_well_formed(text, length), is_of_the_alphabet(c), "%d at %zu of %zu", c,
                             at, length);
            }
    cr_expect_not(route_passkey_is_well_formed("", 0));
}

Test(route, two_words_are_an_action_with_a_passkey)
{
    expect("/announce/announce", false, ROUTE_ANNOUNCE, ROUTE_PASSKEY_GOOD, "announce");
    expect("/announce/scrape", false, ROUTE_SCRAPE, ROUTE_PASSKEY_GOOD, "announce");
    expect("/scrape/announce", false, ROUTE_ANNOUNCE, ROUTE_PASSKEY_GOOD, "scrape");
}

Test(route, lone_segment_is_the_passkey_where_asked_for)
{
    expect("/key", true, ROUTE_ANNOUNCE, ROUTE_PASSKEY_GOOD, "key");
    expect("/key/", true, ROUTE_ANNOUNCE, ROUTE_PASSKEY_GOOD, "key");
    expect("/k~y", true, ROUTE_ANNOUNCE, ROUTE_PASSKEY_MALFORMED, NULL);
    expect("/announce", true, ROUTE_ANNOUNCE, ROUTE_PASSKEY_MISSING, NULL);
    expect("/scrape", true, ROUTE_SCRAPE, ROUTE_PASSKEY_MISSING, NULL);
    expect("", true, ROUTE_ANNOUNCE, ROUTE_PASSKEY_MISSING, NULL);
    expect("/", true, ROUTE_ANNOUNCE, ROUTE_PASSKEY_MISSING, NULL);
    expect("key", true, ROUTE_NONE, ROUTE_PASSKEY_MISSING, NULL);
    expect("/a/b", true, ROUTE_NONE, ROUTE_PASSKEY_MISSING, NULL);
}

Test(route, query_passkey_counts_where_the_path_has_none)
{
    struct route route = parse("/announce", false);
    route_take_query_passkey(&route, "%6bey", 5);
    cr_expect_eq(route.passkey_state, ROUTE_PASSKEY_GOOD);
    cr_expect_eq(route.passkey_length, 3);
    route_take_query_passkey(&route, "other", 5);
    cr_expect_eq(memcmp(route.passkey, "key", 3), 0, "the first of a repeated one counts");

    route = parse("/announce/path", false);
    route_take_query_passkey(&route, "query", 5);
    cr_expect_eq(memcmp(route.passkey, "path", 4), 0);

    route = parse("/announce/p~th", false);
    route_take_query_passkey(&route, "query", 5);
    cr_expect_eq(route.passkey_state, ROUTE_PASSKEY_MALFORMED);
}

Test(route, query_passkey_that_is_bad_is_malformed)
{
    static const char *values[] = {"", "%", "a b", "k%2", "k+y"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct route route = parse("/announce", false);
        route_take_query_passkey(&route, values[i], strlen(values[i]));
        cr_expect_eq(route.passkey_state, ROUTE_PASSKEY_MALFORMED, "%s", values[i]);
    }
}
