/* The cache of the lists: what was in force comes back; what is not whole, byte for byte, is refused. */
#include "daemon/lists_cache.h"

#include "tracker/worker_private.h"

#include <stdio.h>
#include <sys/stat.h>

#include "test_database.h"

enum { CACHE_MAX = 8192, VERSION_AT = 18 };

/* A tracker that stands still, with lists from a database. */
struct side {
    struct registry_parts parts;
    struct multipliers multipliers;
    struct registry *registry;
    struct lists_cache *cache;
};

static struct config *config;
static struct side first, second;
static char cache_path[160];
static char owner[DATABASE_PASSKEY_BYTES];
static uint8_t original[CACHE_MAX];
static size_t original_size;
static struct error error;
static const struct error away = {.text = "nobody answers"};

static void fault(void *context, const char *message)
{
    (void)context;
    cr_assert_fail("%s", message);
}

static void open_side(struct side *side)
{
    side->multipliers = (struct multipliers){.upload_percent = 100, .download_percent = 100};
    side->parts =
        (struct registry_parts){.users = users_new(), .clients = clients_new(), .multipliers = &side->multipliers};
    const struct tracker_parts parts = {
        .users = side->parts.users, .clients = side->parts.clients, .multipliers = &side->multipliers};
    side->parts.tracker = tracker_new(config, &parts, &error);
    cr_assert(side->parts.tracker, "%s", error.text);
    side->registry = registry_new(config, &side->parts, &error);
    cr_assert(side->registry, "%s", error.text);
    side->cache = lists_cache_open(config, &side->parts, side->registry, &error);
    cr_assert(side->cache, "%s", error.text);
}

static void close_side(struct side *side)
{
    lists_cache_free(side->cache);
    registry_free(side->registry);
    tracker_free(side->parts.tracker);
    clients_free(side->parts.clients);
    users_free(side->parts.users);
}

static void set_up(void)
{
    place_open();
    users_thread_register();
    char yaml[512];
    snprintf(yaml, sizeof yaml, "tracker: {workers: 3, state_dir: \"%s\"}\ndatabase: {url: \"%s\"}\n", place.directory,
             place.url);
    config = config_parse("test.yaml", yaml, strlen(yaml), fault, NULL);
    snprintf(cache_path, sizeof cache_path, "%s/lists.cache", place.directory);
    open_side(&first);
    open_side(&second);
}

static void tear_down(void)
{
    close_side(&second);
    close_side(&first);
    config_free(config);
    users_thread_unregister();
    unlink(cache_path);
    place_close();
}

TestSuite(lists_cache, .init = set_up, .fini = tear_down, .timeout = 60);

static void fill_tables(void)
{
    add_user(7);
    add_user(8);
    site("UPDATE users SET enabled = 0, can_leech = 0, hide_address = 1, upload_percent = 300 WHERE id = 8");
    add_torrent(1);
    add_torrent(2);
    add_torrent(3);
    site("UPDATE torrents SET state = 'deleted', reason = 'trumped by another', snatches = 5 WHERE id = 2");
    site("UPDATE torrents SET state = 'pending', download_percent = 0 WHERE id = 3");
    site("INSERT INTO clients (prefix, allowed) VALUES ('-XX', 0)");
    site("INSERT INTO privtrak (key, value) VALUES ('upload_percent', '200')");
}

static void save(void)
{
    cr_assert_eq(registry_load(first.registry, owner, &error), 0, "%s", error.text);
    lists_cache_save(first.cache, 4711);
    FILE *file = fopen(cache_path, "rb");
    cr_assert(file, "no file is written");
    original_size = fread(original, 1, sizeof original, file);
    fclose(file);
    cr_assert_lt(original_size, (size_t)CACHE_MAX);
}

static void write_cache(const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(cache_path, "wb");
    cr_assert(file && fwrite(bytes, 1, size, file) == size);
    fclose(file);
}

static int load(void)
{
    return lists_cache_load(second.cache, &away, &error);
}

static struct torrent *torrent(int id)
{
    uint8_t info_hash[INFO_HASH_BYTES];
    memset(info_hash, id, sizeof info_hash);
    struct tracker *tracker = second.parts.tracker;
    struct torrents *torrents = tracker->workers[torrent_owner(info_hash, tracker->count)]->context.torrents;
    struct torrent *found = torrents_find(torrents, info_hash);
    cr_assert(found, "torrent %d is not there", id);
    return found;
}

static const struct user *user(int id)
{
    char passkey[40];
    snprintf(passkey, sizeof passkey, "%032d", id);
    return users_find(second.parts.users, passkey, strlen(passkey));
}

Test(lists_cache, users_come_back)
{
    fill_tables();
    save();
    cr_assert_eq(load(), 0, "%s", error.text);
    users_read_begin();
    cr_assert_not_null(user(7));
    cr_expect_eq(user(7)->id, 7);
    cr_expect_eq(user(7)->flags, USER_ENABLED | USER_CAN_LEECH);
    cr_expect_eq(user(8)->flags, USER_HIDE_ADDRESS);
    cr_expect_eq(user(8)->upload_percent, 300u);
    cr_expect_eq(users_count(second.parts.users), users_count(first.parts.users));
    users_read_end();
}

Test(lists_cache, torrents_come_back)
{
    fill_tables();
    save();
    cr_assert_eq(load(), 0, "%s", error.text);
    cr_expect_eq(torrent(1)->state, TORRENT_APPROVED);
    cr_expect_eq(torrent(1)->id, 1);
    cr_expect_eq(torrent(2)->state, TORRENT_DELETED);
    cr_expect_eq(torrent(2)->snatches, 5u);
    cr_expect_str_eq(torrent_extra(torrent(2))->reason, "trumped by another");
    cr_expect_eq(torrent(3)->state, TORRENT_PENDING);
    cr_expect_eq(torrent_download_percent(torrent(3)), 0u);
    uint64_t seq = 0;
    cr_expect(lists_cache_was_used(second.cache, &seq));
    cr_expect_eq(seq, 4711u);
}

Test(lists_cache, client_rules_and_multipliers_come_back)
{
    fill_tables();
    save();
    cr_assert_eq(load(), 0, "%s", error.text);
    cr_expect_eq(second.multipliers.upload_percent, 200u);
    cr_expect_eq(second.multipliers.download_percent, 100u);
    users_read_begin();
    const struct client_rule *rule = clients_match(second.parts.clients, (const uint8_t *)"-XX1234-123456789012");
    cr_assert_not_null(rule);
    cr_expect_not(rule->allowed);
    users_read_end();
}

Test(lists_cache, empty_lists_come_back)
{
    site("DELETE FROM users");
    site("INSERT INTO privtrak (key, value) VALUES ('owner', '1')");
    save();
    cr_assert_eq(load(), 0, "%s", error.text);
    cr_expect_eq(users_count(second.parts.users), 0u);
}

Test(lists_cache, many_rows_come_back)
{
    site("INSERT INTO users (passkey) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
         "SELECT printf('%032d', i) FROM n");
    site("INSERT INTO torrents (info_hash) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
         "20000) SELECT printf('%040d', i) FROM n");
    cr_assert_eq(registry_load(first.registry, owner, &error), 0, "%s", error.text);
    lists_cache_save(first.cache, 1);
    cr_assert_eq(load(), 0, "%s", error.text);
    cr_expect_eq(users_count(second.parts.users), 20000u);
    uint32_t torrents = 0;
    for (unsigned i = 0; i < tracker_workers(second.parts.tracker); i++)
        torrents += torrents_count(second.parts.tracker->workers[i]->context.torrents);
    cr_expect_eq(torrents, 20000u);
}

Test(lists_cache, users_whose_rows_are_gone_are_left_out)
{
    fill_tables();
    save();
    site("DELETE FROM users WHERE id = 7");
    cr_assert_eq(registry_start(first.registry, &error), 0);
    cr_assert_eq(registry_refresh(first.registry, &error), 0, "%s", error.text);
    lists_cache_save(first.cache, 1);
    cr_assert_eq(load(), 0, "%s", error.text);
    users_read_begin();
    cr_expect_null(user(7));
    cr_expect_not_null(user(8));
    users_read_end();
}

Test(lists_cache, is_for_its_owner_alone)
{
    save();
    struct stat status;
    cr_assert_eq(stat(cache_path, &status), 0);
    cr_expect_eq(status.st_mode & 0777, 0600u);
}

Test(lists_cache, is_written_only_where_the_lists_have_changed)
{
    save();
    cr_assert_eq(unlink(cache_path), 0);
    lists_cache_save(first.cache, 1);
    cr_expect_neq(access(cache_path, F_OK), 0);
}

Test(lists_cache, is_not_written_before_the_database_was_read)
{
    lists_cache_save(first.cache, 1);
    cr_expect_neq(access(cache_path, F_OK), 0);
}

Test(lists_cache, one_that_was_used_is_not_written_again)
{
    fill_tables();
    save();
    cr_assert_eq(load(), 0, "%s", error.text);
    cr_assert_eq(unlink(cache_path), 0);
    lists_cache_save(second.cache, 1);
    cr_expect_neq(access(cache_path, F_OK), 0);
}

Test(lists_cache, missing_one_is_told_together_with_the_reason)
{
    cr_assert_neq(load(), 0);
    cr_expect_not_null(strstr(error.text, "nobody answers"), "%s", error.text);
    cr_expect_not_null(strstr(error.text, "No such file"), "%s", error.text);
}

Test(lists_cache, empty_one_is_refused)
{
    write_cache(original, 0);
    cr_assert_neq(load(), 0);
    cr_expect_not_null(strstr(error.text, "no cache of the lists"), "%s", error.text);
}

Test(lists_cache, one_that_is_cut_off_is_refused_wherever_that_is)
{
    fill_tables();
    save();
    for (size_t size = 0; size < original_size; size++) {
        write_cache(original, size);
        cr_assert_neq(load(), 0, "cut off at byte %zu", size);
    }
    cr_expect_eq(users_count(second.parts.users), 0u, "a part of it was taken");
}

Test(lists_cache, one_with_a_wrong_bit_is_refused_wherever_that_is)
{
    fill_tables();
    save();
    for (size_t i = 0; i < original_size; i++) {
        original[i] ^= (uint8_t)(1 << i % 8);
        write_cache(original, original_size);
        cr_assert_neq(load(), 0, "byte %zu", i);
        original[i] ^= (uint8_t)(1 << i % 8);
    }
    cr_expect_eq(users_count(second.parts.users), 0u, "a part of it was taken");
}

Test(lists_cache, newer_version_is_told)
{
    save();
    original[VERSION_AT]++;
    write_cache(original, original_size);
    cr_assert_neq(load(), 0);
    cr_expect_not_null(strstr(error.text, "version 2, this tracker reads version 1"), "%s", error.text);
}

Test(lists_cache, more_behind_its_end_is_refused)
{
    save();
    original[original_size] = 0;
    write_cache(original, original_size + 1);
    cr_expect_neq(load(), 0);
}

Test(lists_cache, one_of_another_database_is_refused)
{
    save();
    char url[160];
    snprintf(url, sizeof url, "%s2", place.url);
    char *own = config->database.url;
    config->database.url = url;
    struct lists_cache *other = lists_cache_open(config, &second.parts, second.registry, &error);
    config->database.url = own;
    cr_expect_neq(lists_cache_load(other, &away, &error), 0);
    cr_expect_not_null(strstr(error.text, "another database"), "%s", error.text);
    lists_cache_free(other);
}

Test(lists_cache, another_password_makes_no_other_database)
{
    char *own = config->database.url;
    config->database.url = (char[]){"postgresql://me:secret@db.example/tracker"};
    struct lists_cache *before = lists_cache_open(config, &first.parts, first.registry, &error);
    config->database.url = (char[]){"postgresql://me:an@other@db.example/tracker"};
    struct lists_cache *after = lists_cache_open(config, &second.parts, second.registry, &error);
    config->database.url = own;
    cr_assert_eq(registry_load(first.registry, owner, &error), 0, "%s", error.text);
    lists_cache_save(before, 1);
    cr_expect_eq(lists_cache_load(after, &away, &error), 0, "%s", error.text);
    lists_cache_free(before);
    lists_cache_free(after);
}

Test(lists_cache, a_disk_that_takes_nothing_leaves_the_old_one)
{
    fill_tables();
    save();
    char blocker[200];
    snprintf(blocker, sizeof blocker, "%s.new", cache_path);
    cr_assert_eq(mkdir(blocker, 0700), 0);
    add_user(9);
    cr_assert_eq(registry_start(first.registry, &error), 0);
    cr_assert_eq(registry_refresh(first.registry, &error), 0, "%s", error.text);
    lists_cache_save(first.cache, 1);
    cr_assert_eq(rmdir(blocker), 0);
    cr_assert_eq(load(), 0, "%s", error.text);
    users_read_begin();
    cr_expect_not_null(user(8));
    cr_expect_null(user(9));
    users_read_end();
}
