/* clients: the longest rule that a peer id begins with, and its effect in the chain. */
#include "storage/clients.h"

#include "chain_fixture.h"

static struct clients *clients;

static void set_up(void)
{
    users_thread_register();
    clients = clients_new();
}

static void tear_down(void)
{
    clients_free(clients);
    users_thread_unregister();
}

TestSuite(clients, .init = set_up, .fini = tear_down, .timeout = 60);

static struct client_rule rule(const char *prefix, bool allowed)
{
    struct client_rule made = {.length = (uint8_t)strlen(prefix), .allowed = allowed};
    memcpy(made.prefix, prefix, strlen(prefix));
    return made;
}

/* The length of the rule that matches; 0: none. */
static int match(const char *peer_id)
{
    uint8_t whole[PEER_ID_BYTES] = {0};
    memcpy(whole, peer_id, strlen(peer_id));
    users_read_begin();
    const struct client_rule *found = clients_match(clients, whole);
    int length = found == NULL ? 0 : found->length;
    users_read_end();
    return length;
}

Test(clients, empty_set_matches_nobody)
{
    cr_expect_eq(match("-qB4630-"), 0);
}

Test(clients, rule_matches_what_begins_with_it)
{
    const struct client_rule rules[] = {rule("-qB46", true)};
    cr_assert_eq(clients_replace(clients, rules, 1), 0);
    cr_expect_eq(match("-qB4630-abcdefghijkl"), 5);
    cr_expect_eq(match("-qB4530-abcdefghijkl"), 0);
    cr_expect_eq(match("x-qB46"), 0);
}

Test(clients, longest_rule_wins_in_any_order)
{
    const struct client_rule rules[] = {rule("-qB", true), rule("-qB4630-", false), rule("-", true),
                                        rule("-qB46", true)};
    cr_assert_eq(clients_replace(clients, rules, 4), 0);
    cr_expect_eq(match("-qB4630-abc"), 8);
    cr_expect_eq(match("-qB4620-abc"), 5);
    cr_expect_eq(match("-qB3000-abc"), 3);
    cr_expect_eq(match("-TR4000-abc"), 1);
}

Test(clients, whole_peer_id_may_be_a_rule)
{
    const struct client_rule rules[] = {rule("-qB4630-abcdefghijkl", false)};
    cr_assert_eq(clients_replace(clients, rules, 1), 0);
    cr_expect_eq(match("-qB4630-abcdefghijkl"), 20);
    cr_expect_eq(match("-qB4630-abcdefghijkm"), 0);
}

Test(clients, new_set_replaces_the_old_one_whole)
{
    const struct client_rule first[] = {rule("-qB", true), rule("-TR", true)};
    const struct client_rule second[] = {rule("-DE", true)};
    cr_assert_eq(clients_replace(clients, first, 2), 0);
    cr_assert_eq(clients_replace(clients, second, 1), 0);
    cr_expect_eq(match("-qB4630-"), 0);
    cr_expect_eq(match("-DE1234-"), 3);
    cr_assert_eq(clients_replace(clients, NULL, 0), 0);
    cr_expect_eq(match("-DE1234-"), 0);
}

/* --- in the chain; the fixture's clients are "-TT0001-" --- */

static enum verdict verdict_with(const char *mode, const char *prefix, bool allowed)
{
    static struct tracker_fixture fixture;
    static struct test_announce test;
    char yaml[128];
    snprintf(yaml, sizeof yaml, "middleware: {client_approval: {mode: %s}}\n", mode);
    fixture_open(&fixture, yaml);
    const struct client_rule rules[] = {rule(prefix, allowed)};
    cr_assert_eq(clients_replace(fixture.context.clients, rules, 1), 0);
    fixture_fill(&test, 1, 3, 1, EVENT_STARTED, 0, 0, 10);
    fixture_run(&fixture, &test);
    struct delta delta;
    cr_expect_eq(fixture_delta(&fixture, &delta), test.announce.verdict == VERDICT_ACCEPTED, "refused changes nothing");
    fixture_close(&fixture);
    return (enum verdict)test.announce.verdict;
}

Test(client_approval, off_lets_everybody_in)
{
    cr_expect_eq(verdict_with("off", "-TT", false), VERDICT_ACCEPTED);
}

Test(client_approval, allow_lets_only_the_listed_in)
{
    cr_expect_eq(verdict_with("allow", "-TT", true), VERDICT_ACCEPTED);
    cr_expect_eq(verdict_with("allow", "-TT", false), VERDICT_REFUSED);
    cr_expect_eq(verdict_with("allow", "-qB", true), VERDICT_REFUSED);
}

Test(client_approval, deny_refuses_only_the_listed)
{
    cr_expect_eq(verdict_with("deny", "-TT", false), VERDICT_REFUSED);
    cr_expect_eq(verdict_with("deny", "-TT", true), VERDICT_ACCEPTED);
    cr_expect_eq(verdict_with("deny", "-qB", false), VERDICT_ACCEPTED);
}
