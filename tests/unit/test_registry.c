/* The registry: what comes into the tracker's lists, when, and that a failure changes nothing. */
#include "database/registry.h"

#include "test_database.h"

/* A tracker that only remembers. */
enum { TORRENTS_MAX = 64 };

struct known_torrent {
    struct torrent_facts facts;
    char reason[64];
    bool gone;
    bool marked;
};

static struct known_torrent torrents[TORRENTS_MAX];
static size_t torrent_count;

static struct known_torrent *known(const uint8_t *info_hash)
{
    for (size_t i = 0; i < torrent_count; i++) {
        if (memcmp(torrents[i].facts.info_hash, info_hash, INFO_HASH_BYTES) == 0)
            return &torrents[i];
    }
    return NULL;
}

int tracker_put_torrents(struct tracker *tracker, const struct torrent_facts *facts, size_t count)
{
    (void)tracker;
    for (size_t i = 0; i < count; i++) {
        struct known_torrent *torrent = known(facts[i].info_hash);
        if (!torrent)
            torrent = &torrents[torrent_count++];
        *torrent = (struct known_torrent){.facts = facts[i]};
        snprintf(torrent->reason, sizeof(torrent->reason), "%s", facts[i].reason ? facts[i].reason : "");
        torrent->facts.reason = torrent->reason;
    }
    return 0;
}

int tracker_remove_torrents(struct tracker *tracker, const uint8_t (*info_hashes)[INFO_HASH_BYTES], size_t count)
{
    (void)tracker;
    for (size_t i = 0; i < count; i++) {
        struct known_torrent *torrent = known(info_hashes[i]);
        if (torrent)
            torrent->gone = true;
    }
    return 0;
}

void tracker_mark_torrents(struct tracker *tracker)
{
    (void)tracker;
    for (size_t i = 0; i < torrent_count; i++)
        torrents[i].marked = true;
}

void tracker_sweep_torrents(struct tracker *tracker)
{
    (void)tracker;
    for (size_t i = 0; i < torrent_count; i++)
        torrents[i].gone |= torrents[i].marked;
}

static struct config config;
static struct registry_parts parts;
static struct multipliers multipliers;
static struct registry *registry;
static char owner[DATABASE_PASSKEY_BYTES];
static struct error error;

static void parts_open(void)
{
    place_open();
    config.database.url = place.url;
    config.database.refresh_interval_s = 3600;
    config.middleware.client_mode = CLIENTS_ALLOW;
    parts = (struct registry_parts){.users = users_new(), .clients = clients_new(), .multipliers = &multipliers};
    registry = registry_new(&config, &parts, &error);
    cr_assert(registry, "%s", error.text);
}

static void parts_close(void)
{
    registry_free(registry);
    users_free(parts.users);
    clients_free(parts.clients);
    place_close();
}

static void start(void)
{
    cr_assert_eq(registry_load(registry, owner, &error), 0, "%s", error.text);
    cr_assert_eq(registry_start(registry, &error), 0, "%s", error.text);
    users_thread_register();
}

static void refresh(void)
{
    cr_assert_eq(registry_refresh(registry, &error), 0, "%s", error.text);
}

TestSuite(registry, .init = parts_open, .fini = parts_close, .timeout = 60);

/* The id of the user with that passkey (of one number); 0: none. */
static int64_t who(const char *passkey)
{
    users_read_begin();
    const struct user *user = users_find(parts.users, passkey, strlen(passkey));
    int64_t id = user ? user->id : 0;
    users_read_end();
    return id;
}

static int64_t number(int passkey)
{
    char text[40];
    snprintf(text, sizeof(text), "%032d", passkey);
    return who(text);
}

static uint8_t flags(int passkey)
{
    char text[40];
    snprintf(text, sizeof(text), "%032d", passkey);
    users_read_begin();
    const struct user *user = users_find(parts.users, text, strlen(text));
    uint8_t result = user ? user->flags : 0;
    users_read_end();
    return result;
}

static struct known_torrent *torrent(int id)
{
    uint8_t info_hash[INFO_HASH_BYTES];
    memset(info_hash, id, sizeof(info_hash));
    struct known_torrent *found = known(info_hash);
    cr_assert(found, "torrent %d is not known", id);
    return found;
}

Test(registry, brings_in_all_lists_at_start)
{
    add_user(1);
    add_user(2);
    add_torrent(1);
    site("UPDATE torrents SET state = 'pending', reason = 'wait', download_percent = 0, snatches = 3");
    site("INSERT INTO clients (prefix, allowed) VALUES ('-TR', 1)");
    site("INSERT INTO privtrak VALUES ('upload_percent', '150'), ('until', '1900000000')");
    start();
    cr_assert_eq(number(1), 1);
    cr_assert_eq(number(2), 2);
    cr_assert_eq(flags(1), USER_ENABLED | USER_CAN_LEECH);
    cr_assert_eq(torrent(1)->facts.state, TORRENT_PENDING);
    cr_assert_str_eq(torrent(1)->reason, "wait");
    cr_assert_eq(torrent(1)->facts.download_percent, 0);
    cr_assert_eq(torrent(1)->facts.snatches, 3);
    cr_assert_eq(multipliers.upload_percent, 150);
    cr_assert_eq(multipliers.until_s, 1900000000);
    cr_assert(clients_match(parts.clients, (const uint8_t *)"-TR4000-aaaaaaaaaaaa"));
    cr_assert_str_empty(owner);
}

Test(registry, makes_the_owner_on_an_empty_database)
{
    start();
    cr_assert_eq(strlen(owner), 32);
    cr_assert_gt(who(owner), 0);
    cr_assert_str_eq(site_text("SELECT name FROM users"), "owner");
}

Test(registry, a_database_that_cannot_be_read_stops_the_start)
{
    config.database.url = (char *)"sqlite:/nowhere/at/all.db"; /* of whatever kind the others are */
    struct registry *other = registry_new(&config, &parts, &error);
    cr_assert_eq(registry_load(other, owner, &error), -1);
    cr_assert(strstr(error.text, "/nowhere/at/all.db"), "%s", error.text);
    registry_free(other);
}

Test(registry, a_refresh_puts_the_sites_changes_in_force)
{
    add_user(1);
    add_torrent(1);
    start();
    add_user(2);
    add_torrent(2);
    site("UPDATE users SET can_leech = 0, hide_address = 1 WHERE id = 1");
    site("UPDATE torrents SET state = 'deleted', reason = 'trumped' WHERE id = 1");
    site("INSERT INTO privtrak VALUES ('download_percent', '0')");
    refresh();
    cr_assert_eq(number(2), 2);
    cr_assert_eq(flags(1), USER_ENABLED | USER_HIDE_ADDRESS);
    cr_assert_eq(torrent(1)->facts.state, TORRENT_DELETED);
    cr_assert_str_eq(torrent(1)->reason, "trumped");
    cr_assert_eq(torrent(2)->facts.id, 2);
    cr_assert_eq(multipliers.download_percent, 0);
}

Test(registry, deleted_rows_are_gone)
{
    add_user(1);
    add_torrent(1);
    add_user(2);
    add_torrent(2);
    start();
    site("DELETE FROM users WHERE id = 1");
    site("DELETE FROM torrents WHERE id = 1");
    refresh();
    cr_assert_eq(number(1), 0);
    cr_assert(torrent(1)->gone);
    cr_assert_eq(number(2), 2);
    cr_assert_not(torrent(2)->gone);
}

Test(registry, changes_are_noticed_by_themselves_within_the_interval)
{
    config.database.refresh_interval_s = 1;
    registry_free(registry);
    registry = registry_new(&config, &parts, &error);
    start();
    add_user(2);
    for (int i = 0; i < 50 && number(2) == 0; i++)
        usleep(100000);
    cr_assert_eq(number(2), 2);
}

Test(registry, two_users_may_swap_their_passkeys)
{
    add_user(1);
    add_user(2);
    start();
    site("BEGIN");
    site("UPDATE users SET passkey = 'x' WHERE id = 1");
    site("UPDATE users SET passkey = '00000000000000000000000000000001' WHERE id = 2");
    site("UPDATE users SET passkey = '00000000000000000000000000000002' WHERE id = 1");
    site("COMMIT");
    refresh();
    cr_assert_eq(number(1), 2);
    cr_assert_eq(number(2), 1);
}

#ifndef PRIVTRAK_TEST_POSTGRESQL
Test(registry, a_row_replaced_by_another_id_takes_its_passkey_over)
{
    add_user(1);
    start();
    site("REPLACE INTO users (id, passkey) VALUES (9, '00000000000000000000000000000001')");
    refresh();
    cr_assert_eq(number(1), 9);
    cr_assert_eq(users_count(parts.users), 1);
}
#endif

Test(registry, a_passkey_that_moved_on_leaves_the_old_one_unknown)
{
    add_user(1);
    start();
    site("UPDATE users SET passkey = 'fresh' WHERE id = 1");
    refresh();
    cr_assert_eq(number(1), 0);
    cr_assert_eq(who("fresh"), 1);
}

Test(registry, a_locked_or_broken_database_leaves_the_lists_as_they_are, .timeout = 40)
{
    add_user(1);
    add_torrent(1);
    start();
    site("ALTER TABLE torrents RENAME TO torrents_away");
    site("DELETE FROM users");
    cr_assert_eq(registry_refresh(registry, &error), -1);
    cr_assert_eq(number(1), 1);
    cr_assert_not(torrent(1)->gone);
    struct registry_status status;
    registry_status(registry, &status);
    cr_assert_not(status.up);
    cr_assert_str_not_empty(status.last_error);
    site("ALTER TABLE torrents_away RENAME TO torrents");
    refresh();
    cr_assert_eq(number(1), 0);
    cr_assert_not(torrent(1)->gone);
    registry_status(registry, &status);
    cr_assert(status.up);
}

Test(registry, a_database_that_came_back_is_noticed_without_being_asked, .timeout = 40)
{
    start();
    site("ALTER TABLE torrents RENAME TO torrents_away");
    cr_assert_eq(registry_refresh(registry, &error), -1);
    site("ALTER TABLE torrents_away RENAME TO torrents");
    add_user(2);
    for (int i = 0; i < 100 && number(2) == 0; i++)
        usleep(100000);
    cr_assert_eq(number(2), 2);
}

Test(registry, a_gap_in_the_log_means_a_complete_look)
{
    add_user(1);
    add_torrent(1);
    start();
    add_user(2);
    site("DELETE FROM users WHERE id = 1");
    site("DELETE FROM torrents");
    site("UPDATE changes SET at = at - 4000");
    prune_to(0);
    refresh();
    cr_assert_eq(number(1), 0);
    cr_assert_eq(number(2), 2);
    cr_assert(torrent(1)->gone);
}

Test(registry, rules_of_file_and_table_are_joined_and_the_table_wins)
{
    char *prefixes[] = {(char *)"-qB", (char *)"-DE"};
    config.middleware.client_prefixes = (struct string_list){.strings = prefixes, .count = 2};
    registry_free(registry);
    registry = registry_new(&config, &parts, &error);
    site("INSERT INTO clients (prefix, allowed) VALUES ('-qB', 0), ('-TR', 1)");
    start();
    cr_assert_not(clients_match(parts.clients, (const uint8_t *)"-qB4630-aaaaaaaaaaaa")->allowed);
    cr_assert(clients_match(parts.clients, (const uint8_t *)"-DE1300-aaaaaaaaaaaa")->allowed);
    cr_assert(clients_match(parts.clients, (const uint8_t *)"-TR4000-aaaaaaaaaaaa")->allowed);
    site("DELETE FROM clients");
    refresh();
    cr_assert(clients_match(parts.clients, (const uint8_t *)"-qB4630-aaaaaaaaaaaa")->allowed);
    config.middleware.client_mode = CLIENTS_DENY;
    config.middleware.client_prefixes.count = 1;
    cr_assert_eq(registry_reload(registry, &config, &error), 0);
    cr_assert_not(clients_match(parts.clients, (const uint8_t *)"-qB4630-aaaaaaaaaaaa")->allowed);
    cr_assert_null(clients_match(parts.clients, (const uint8_t *)"-DE1300-aaaaaaaaaaaa"));
}

Test(registry, what_registered_itself_gets_its_ids)
{
    start();
    users_read_begin();
    bool made;
    cr_assert(users_register(parts.users, "00000000000000000000000000000004", 32, 10, &made));
    users_read_end();
    struct delta delta = delta_of(1, 4, 4);
    delta.user_id = delta.torrent_id = 0;
    delta.flags = DELTA_REGISTERS_TORRENT | DELTA_REGISTERS_USER;
    apply_one(delta);
    refresh();
    cr_assert_eq(number(4), site_number("SELECT id FROM users WHERE name = ''"));
    cr_assert_eq(torrent(4)->facts.id, 1);
    cr_assert_eq(users_count(parts.users), 2);
}

/* Left alone, SQLite waits for 5 s, and PostgreSQL for longer. */
Test(registry, stops_while_it_waits_for_a_lock)
{
    start();
    site_lock();
    int64_t begin = clock_monotonic_ns();
    registry_stop(registry);
    cr_assert_eq(registry_refresh(registry, &error), -1);
    cr_expect_lt(clock_monotonic_ns() - begin, INT64_C(4000000000));
    site("COMMIT");
}
