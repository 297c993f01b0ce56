/* The database sink as the runner sees it: taken, to be tried again, refused, parked. */
#include "deltas/sink.h"
#include "test_database.h"

static struct sink *sink;
static struct config config;
static struct error error;

static void sink_open(void)
{
    place_open();
    add_user(1);
    add_torrent(1);
    config.database.url = place.url;
    config.deltas.include_address = true;
    struct sink_settings settings = {.config = &config, .instance = INSTANCE};
    sink = sink_database_type.open(&settings, &error);
    cr_assert(sink, "%s", error.text);
}

static void sink_close(void)
{
    sink_database_type.close(sink);
    place_close();
}

TestSuite(sink_database, .init = sink_open, .fini = sink_close, .timeout = 60);

static uint64_t position(void)
{
    uint64_t seq = 999;
    cr_assert_eq(sink_database_type.position(sink, &seq, &error), SINK_TAKEN, "%s", error.text);
    return seq;
}

Test(sink_database, begins_at_nothing_and_moves_with_each_batch)
{
    struct delta deltas[] = {delta_of(1, 1, 1), delta_of(2, 1, 1)};
    cr_assert_eq(position(), 0);
    cr_assert_eq(sink_database_type.deliver(sink, deltas, 2, &error), SINK_TAKEN);
    cr_assert_eq(position(), 2);
    cr_assert_eq(site_number("SELECT uploaded FROM users"), 200);
}

Test(sink_database, passes_over_what_it_has)
{
    struct delta deltas[] = {delta_of(1, 1, 1), delta_of(2, 1, 1)};
    cr_assert_eq(sink_database_type.deliver(sink, deltas, 1, &error), SINK_TAKEN);
    cr_assert_eq(sink_database_type.deliver(sink, deltas, 2, &error), SINK_TAKEN);
    cr_assert_eq(site_number("SELECT uploaded FROM users"), 200);
}

Test(sink_database, wants_a_locked_table_tried_again, .timeout = 30)
{
    struct delta delta = delta_of(1, 1, 1);
    site_lock();
    cr_assert_eq(sink_database_type.deliver(sink, &delta, 1, &error), SINK_RETRY);
    cr_assert_eq(sink_database_type.park(sink, &delta, "why", &error), SINK_RETRY);
    site("COMMIT");
    cr_assert_eq(position(), 0);
}

Test(sink_database, refuses_what_the_tables_cannot_hold_and_parks_it)
{
    struct delta delta = delta_of(1, 1, 1);
    site("UPDATE users SET downloaded = 9223372036854775807");
    cr_assert_eq(sink_database_type.deliver(sink, &delta, 1, &error), SINK_REJECTED);
    cr_assert_eq(position(), 0);
    cr_assert_eq(sink_database_type.park(sink, &delta, error.text, &error), SINK_TAKEN);
    cr_assert_eq(position(), 1);
    cr_assert_eq(site_number("SELECT count(*) FROM parked_deltas WHERE seq = 1 AND length(reason) > 0"), 1);
}

Test(sink_database, a_table_that_is_not_there_is_tried_again_not_parked)
{
    struct delta delta = delta_of(1, 1, 1);
    cr_assert_eq(position(), 0);
    site("ALTER TABLE users RENAME TO users_away");
    cr_assert_eq(sink_database_type.deliver(sink, &delta, 1, &error), SINK_RETRY);
    site("ALTER TABLE users_away RENAME TO users");
    cr_assert_eq(sink_database_type.deliver(sink, &delta, 1, &error), SINK_TAKEN);
}

Test(sink_database, opens_while_the_database_cannot_be)
{
    config.database.url = (char *)"sqlite:/nowhere/at/all.db";
    struct sink_settings settings = {.config = &config, .instance = INSTANCE};
    struct sink *other = sink_database_type.open(&settings, &error);
    cr_assert(other);
    uint64_t seq;
    cr_assert_eq(sink_database_type.position(other, &seq, &error), SINK_RETRY);
    sink_database_type.close(other);
}

Test(sink_database, an_interrupt_makes_it_give_up)
{
    struct delta delta = delta_of(1, 1, 1);
    sink_database_type.interrupt(sink);
    cr_assert_eq(sink_database_type.deliver(sink, &delta, 1, &error), SINK_RETRY);
}
