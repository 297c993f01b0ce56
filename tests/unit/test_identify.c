/* identify: whose passkey it is; who is refused, and how trying many is ended. */
#include "chain_fixture.h"

enum { UNKNOWN = FIXTURE_USERS + 1 };

static struct tracker_fixture fixture;
static struct test_announce test;

static void open_with(const char *identify)
{
    char yaml[160];
    snprintf(yaml, sizeof yaml, "middleware: {identify: {%s}}\n", identify);
    fixture_open(&fixture, yaml);
}

static void tear_down(void)
{
    fixture_close(&fixture);
}

TestSuite(identify, .fini = tear_down, .timeout = 60);

static const struct announce *say(int user, int from)
{
    fixture_fill(&test, user, 3, from, EVENT_STARTED, 0, 0, 10);
    fixture_run(&fixture, &test);
    return &test.announce;
}

Test(identify, known_passkey_is_let_in)
{
    open_with("users: registered");
    cr_expect_eq(say(1, 1)->verdict, VERDICT_ACCEPTED);
}

Test(identify, unknown_passkey_is_refused_and_changes_nothing)
{
    open_with("users: registered");
    cr_expect_eq(say(UNKNOWN, 1)->verdict, VERDICT_REFUSED);
    cr_expect_not_null(test.announce.failure);
    struct delta delta;
    cr_expect_not(fixture_delta(&fixture, &delta));
    cr_expect_eq(torrents_count(fixture.context.torrents), 0);
}

Test(identify, disabled_user_is_refused_with_another_reason)
{
    open_with("users: registered");
    const char *unknown = say(UNKNOWN, 1)->failure;
    const struct user_facts facts = {.id = 2, .passkey = "passkey-2", .enabled = false};
    cr_assert_eq(users_put(fixture.context.users, &facts), 0);
    cr_expect_eq(say(2, 1)->verdict, VERDICT_REFUSED);
    cr_expect_str_neq(test.announce.failure, unknown);
}

Test(identify, gone_user_is_unknown)
{
    open_with("users: registered");
    users_remove(fixture.context.users, 2);
    cr_expect_eq(say(2, 1)->verdict, VERDICT_REFUSED);
}

Test(identify, many_unknown_passkeys_of_one_address_get_one_fixed_failure)
{
    open_with("rate_limit: 3/m");
    const char *first = say(UNKNOWN, 1)->failure;
    say(UNKNOWN, 1);
    cr_expect_str_eq(say(UNKNOWN, 1)->failure, first);
    cr_expect_str_neq(say(UNKNOWN, 1)->failure, first);
    cr_expect_str_eq(say(UNKNOWN, 2)->failure, first, "another address has its own number");
}

Test(identify, an_address_may_go_on_as_time_gives_it_more)
{
    open_with("rate_limit: 3/m");
    const char *first = say(UNKNOWN, 1)->failure;
    for (int i = 0; i < 5; i++)
        say(UNKNOWN, 1);
    fixture.context.now_ms += 19000;
    cr_expect_str_neq(say(UNKNOWN, 1)->failure, first);
    fixture.context.now_ms += 1000;
    cr_expect_str_eq(say(UNKNOWN, 1)->failure, first, "one in 20 s");
    cr_expect_str_neq(say(UNKNOWN, 1)->failure, first);
    fixture.context.now_ms += 3600000;
    for (int i = 0; i < 3; i++)
        cr_expect_str_eq(say(UNKNOWN, 1)->failure, first);
    cr_expect_str_neq(say(UNKNOWN, 1)->failure, first, "never more than the limit at once");
}

Test(identify, known_passkey_of_an_address_beyond_the_limit_is_let_in)
{
    open_with("rate_limit: 1/m");
    for (int i = 0; i < 5; i++)
        say(UNKNOWN, 1);
    cr_expect_eq(say(1, 1)->verdict, VERDICT_ACCEPTED);
}

Test(identify, any_takes_unknown_passkeys_up_to_the_most)
{
    char identify[64];
    snprintf(identify, sizeof identify, "users: any, max_users: %d", FIXTURE_USERS + 1);
    open_with(identify);
    cr_expect_eq(say(UNKNOWN, 1)->verdict, VERDICT_ACCEPTED);
    struct delta delta = {.seq = 0};
    cr_assert(fixture_delta(&fixture, &delta));
    cr_expect(delta.flags & DELTA_REGISTERS_USER);
    cr_expect_eq(delta.passkey_length, strlen("passkey-9"));
    cr_expect_arr_eq(delta.passkey, "passkey-9", strlen("passkey-9"));
    cr_expect_eq(say(UNKNOWN + 1, 2)->verdict, VERDICT_REFUSED);
    cr_expect_eq(say(UNKNOWN, 1)->verdict, VERDICT_ACCEPTED);
}
