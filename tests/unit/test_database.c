/* What the operator's tools ask of the database: users, torrents, clients, multipliers, and what the registry reads. */
#include "test_database.h"

TestSuite(database, .init = place_open, .fini = place_close, .timeout = 60);

static struct error error;

#define OK(call) cr_assert_eq((call), DATABASE_OK, "%s", error.text)

Test(database, unknown_kinds_are_refused_without_telling_the_url)
{
    cr_assert_null(database_open("mysql://user:secret@host/db", &error));
    cr_assert(strstr(error.text, "mysql") && !strstr(error.text, "secret"), "%s", error.text);
    cr_assert_null(database_open("sqlite:", &error));
    cr_assert_null(database_open("", &error));
}

#if !defined(PRIVTRAK_TEST_POSTGRESQL) && !defined(PRIVTRAK_TEST_MARIADB)
Test(database, a_file_that_cannot_be_made_is_unavailable)
{
    struct database *database = database_open("sqlite:/nowhere/at/all.db", &error);
    cr_assert(database);
    cr_assert_eq(database_connect(database, &error), DATABASE_UNAVAILABLE);
    cr_assert(strstr(error.text, "/nowhere/at/all.db"), "%s", error.text);
    database_close(database);
}

Test(database, a_file_that_is_no_database_is_unavailable)
{
    char path[128], url[160];
    snprintf(path, sizeof(path), "%s-other", place.path);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database\n", file);
    fclose(file);
    snprintf(url, sizeof(url), "sqlite:%s", path);
    struct database *database = database_open(url, &error);
    cr_assert_eq(database_connect(database, &error), DATABASE_UNAVAILABLE);
    database_close(database);
    unlink(path);
}

Test(database, the_file_is_not_readable_for_everybody)
{
    cr_assert_eq(site_number("SELECT 1"), 1);
    char command[160];
    snprintf(command, sizeof(command), "test -z \"$(find %s -perm /007)\"", place.path);
    cr_assert_eq(system(command), 0);
}

#endif

Test(database, a_user_gets_a_random_passkey_of_32_hex_digits)
{
    struct user_row one = {.name = "alice"}, other = {.name = "bob", .can_leech = false};
    OK(database_user_create(place.database, USER_FIELD_NAME, &one, &error));
    OK(database_user_create(place.database, USER_FIELD_NAME | USER_FIELD_CAN_LEECH, &other, &error));
    cr_assert_eq(strlen(one.passkey), 32);
    cr_assert_eq(strspn(one.passkey, "0123456789abcdef"), 32);
    cr_assert_str_neq(one.passkey, other.passkey);
    cr_assert(one.enabled && one.can_leech && !one.hide_address && !other.can_leech);
    cr_assert_eq(one.upload_percent, 100);
    cr_assert_gt(one.created_at, 1700000000);
}

Test(database, a_user_is_found_by_id_and_passkey)
{
    struct user_row made = {.name = "alice", .passkey = "Key-1_x"}, row;
    OK(database_user_create(place.database, USER_FIELD_NAME | USER_FIELD_PASSKEY, &made, &error));
    OK(database_user_get(place.database, made.id, &row, &error));
    cr_assert_str_eq(row.name, "alice");
    OK(database_user_by_passkey(place.database, "Key-1_x", &row, &error));
    cr_assert_eq(row.id, made.id);
    cr_assert_eq(database_user_by_passkey(place.database, "key-1_x", &row, &error), DATABASE_NOT_FOUND);
    cr_assert_eq(database_user_get(place.database, 77, &row, &error), DATABASE_NOT_FOUND);
}

Test(database, a_passkey_belongs_to_one_user)
{
    struct user_row one = {.passkey = "same"}, other = {.passkey = "same"};
    OK(database_user_create(place.database, USER_FIELD_PASSKEY, &one, &error));
    cr_assert_eq(database_user_create(place.database, USER_FIELD_PASSKEY, &other, &error), DATABASE_CONFLICT);
    OK(database_user_create(place.database, 0, &other, &error));
    struct user_row patch = {.passkey = "same"};
    cr_assert_eq(database_user_update(place.database, other.id, USER_FIELD_PASSKEY, &patch, &error), DATABASE_CONFLICT);
}

Test(database, bad_values_are_told_by_name)
{
    struct user_row row = {.passkey = "not good!"};
    cr_assert_eq(database_user_create(place.database, USER_FIELD_PASSKEY, &row, &error), DATABASE_INVALID);
    cr_assert(strstr(error.text, "passkey"));
    row.upload_percent = 1000001;
    cr_assert_eq(database_user_create(place.database, USER_FIELD_UPLOAD_PERCENT, &row, &error), DATABASE_INVALID);
    cr_assert(strstr(error.text, "upload_percent"));
    memset(row.name, 'n', sizeof(row.name));
    cr_assert_eq(database_user_create(place.database, USER_FIELD_NAME, &row, &error), DATABASE_INVALID);
    cr_assert(strstr(error.text, "name"));
}

Test(database, a_patch_changes_what_it_names_and_nothing_else)
{
    struct user_row row = {.name = "alice"};
    OK(database_user_create(place.database, USER_FIELD_NAME, &row, &error));
    struct user_row patch = {.enabled = false, .download_percent = 0, .name = "ignored"};
    OK(database_user_update(place.database, row.id, USER_FIELD_ENABLED | USER_FIELD_DOWNLOAD_PERCENT, &patch, &error));
    cr_assert_str_eq(patch.name, "alice");
    cr_assert(!patch.enabled && patch.can_leech);
    cr_assert_eq(patch.download_percent, 0);
    cr_assert_eq(patch.upload_percent, 100);
    cr_assert_eq(database_user_update(place.database, 99, USER_FIELD_ENABLED, &patch, &error), DATABASE_NOT_FOUND);
}

Test(database, a_reset_passkey_is_another)
{
    struct user_row row = {.name = "alice"}, after;
    OK(database_user_create(place.database, USER_FIELD_NAME, &row, &error));
    OK(database_user_reset_passkey(place.database, row.id, &after, &error));
    cr_assert_str_neq(after.passkey, row.passkey);
    cr_assert_eq(strlen(after.passkey), 32);
    cr_assert_eq(database_user_reset_passkey(place.database, 99, &after, &error), DATABASE_NOT_FOUND);
}

Test(database, a_deleted_user_is_not_found)
{
    struct user_row row = {.name = "alice"};
    OK(database_user_create(place.database, USER_FIELD_NAME, &row, &error));
    OK(database_user_delete(place.database, row.id, &error));
    cr_assert_eq(database_user_delete(place.database, row.id, &error), DATABASE_NOT_FOUND);
    cr_assert_eq(database_user_get(place.database, row.id, &row, &error), DATABASE_NOT_FOUND);
}

Test(database, users_are_listed_in_pages_and_searched)
{
    for (int i = 1; i <= 5; i++)
        add_user(i);
    site("UPDATE users SET name = '50%_Off' WHERE id = 2");
    struct user_row rows[5];
    size_t count;
    OK(database_user_list(place.database, 0, 2, NULL, rows, &count, &error));
    cr_assert_eq(count, 2);
    OK(database_user_list(place.database, rows[1].id, 5, NULL, rows, &count, &error));
    cr_assert_eq(count, 3);
    cr_assert_eq(rows[0].id, 3);
    OK(database_user_list(place.database, 0, 5, "USER", rows, &count, &error));
    cr_assert_eq(count, 4);
    OK(database_user_list(place.database, 0, 5, "%_o", rows, &count, &error));
    cr_assert_eq(count, 1);
    OK(database_user_list(place.database, 0, 5, "00000000000000000000000000000004", rows, &count, &error));
    cr_assert_eq(count, 1);
    cr_assert_eq(rows[0].id, 4);
    OK(database_user_list(place.database, 0, 5, "'; DROP TABLE users", rows, &count, &error));
    cr_assert_eq(count, 0);
}

Test(database, a_long_name_is_cut_between_characters)
{
    char sql[2048] = "INSERT INTO users (name) VALUES ('x";
    for (int i = 0; i < 600; i++)
        strlcat(sql, "ä", sizeof sql);
    strlcat(sql, "')", sizeof sql);
    site(sql);
    struct user_row row;
    OK(database_user_get(place.database, site_number("SELECT id FROM users"), &row, &error));
    size_t length = strlen(row.name);
    cr_assert(length == DATABASE_NAME_BYTES - 1 || length == DATABASE_NAME_BYTES - 2);
    cr_assert_eq((unsigned char)row.name[length - 1] & 0xc0, 0x80);
}

Test(database, the_owner_is_made_once_on_an_empty_table)
{
    struct user_row row;
    bool made;
    OK(database_owner_create(place.database, &row, &made, &error));
    cr_assert(made);
    cr_assert_str_eq(row.name, "owner");
    cr_assert_eq(strlen(row.passkey), 32);
    OK(database_owner_create(place.database, &row, &made, &error));
    cr_assert_not(made);
    site("DELETE FROM users");
    OK(database_owner_create(place.database, &row, &made, &error));
    cr_assert_not(made);
}

Test(database, no_owner_is_made_beside_other_users)
{
    struct user_row row;
    bool made;
    add_user(1);
    OK(database_owner_create(place.database, &row, &made, &error));
    cr_assert_not(made);
}

Test(database, a_torrent_is_made_changed_found_and_removed)
{
    struct torrent_row row = {.name = "a film", .size = 12345, .info_hash = {1, 2, 3}}, patch = {0};
    OK(database_torrent_create(place.database, TORRENT_FIELD_NAME | TORRENT_FIELD_SIZE, &row, &error));
    cr_assert_eq(row.state, TORRENT_APPROVED);
    cr_assert_eq(row.download_percent, 100);
    struct torrent_row again = row;
    cr_assert_eq(database_torrent_create(place.database, 0, &again, &error), DATABASE_CONFLICT);
    patch.state = TORRENT_DELETED;
    snprintf(patch.reason, sizeof(patch.reason), "trumped");
    OK(database_torrent_update(place.database, row.info_hash, TORRENT_FIELD_STATE | TORRENT_FIELD_REASON, &patch,
                               &error));
    cr_assert_eq(patch.size, 12345);
    OK(database_torrent_get(place.database, row.info_hash, &again, &error));
    cr_assert_eq(again.state, TORRENT_DELETED);
    cr_assert_str_eq(again.reason, "trumped");
    OK(database_torrent_get_id(place.database, row.id, &again, &error));
    cr_assert_eq(memcmp(again.info_hash, row.info_hash, INFO_HASH_BYTES), 0);
    OK(database_torrent_delete(place.database, row.info_hash, &error));
    cr_assert_eq(database_torrent_get(place.database, row.info_hash, &again, &error), DATABASE_NOT_FOUND);
    cr_assert_eq(database_torrent_delete(place.database, row.info_hash, &error), DATABASE_NOT_FOUND);
}

Test(database, torrents_are_listed_and_searched)
{
    for (int i = 1; i <= 5; i++)
        add_torrent(i);
    struct torrent_row rows[5];
    size_t count;
    OK(database_torrent_list(place.database, 3, 5, NULL, rows, &count, &error));
    cr_assert_eq(count, 2);
    OK(database_torrent_list(place.database, 0, 5, "Torrent 3", rows, &count, &error));
    cr_assert_eq(count, 1);
    OK(database_torrent_list(place.database, 0, 5, "0404040404040404040404040404040404040404", rows, &count, &error));
    cr_assert_eq(count, 1);
    cr_assert_eq(rows[0].id, 4);
}

Test(database, client_rules_are_put_listed_and_removed)
{
    struct client_row row = {.prefix = "-qB46", .allowed = true}, rows[3];
    bool made;
    size_t count;
    OK(database_client_put(place.database, &row, &made, &error));
    cr_assert(made);
    row.allowed = false;
    OK(database_client_put(place.database, &row, &made, &error));
    cr_assert_not(made);
    OK(database_client_get(place.database, "-qB46", &row, &error));
    cr_assert_not(row.allowed);
    struct client_row other = {.prefix = "-TR", .allowed = true};
    OK(database_client_put(place.database, &other, &made, &error));
    OK(database_client_list(place.database, NULL, 3, rows, &count, &error));
    cr_assert_eq(count, 2);
    cr_assert_str_eq(rows[0].prefix, "-TR");
    OK(database_client_list(place.database, "-TR", 3, rows, &count, &error));
    cr_assert_eq(count, 1);
    OK(database_client_delete(place.database, "-TR", &error));
    cr_assert_eq(database_client_delete(place.database, "-TR", &error), DATABASE_NOT_FOUND);
    struct client_row bad = {.prefix = ""};
    cr_assert_eq(database_client_put(place.database, &bad, &made, &error), DATABASE_INVALID);
}

Test(database, multipliers_are_100_until_they_are_set)
{
    struct multipliers multipliers;
    OK(database_multipliers_get(place.database, &multipliers, &error));
    cr_assert(multipliers.upload_percent == 100 && multipliers.download_percent == 100 && multipliers.until_s == 0);
    multipliers = (struct multipliers){.upload_percent = 200, .download_percent = 0, .until_s = 1800000000};
    OK(database_multipliers_set(place.database, &multipliers, &error));
    multipliers = (struct multipliers){0};
    OK(database_multipliers_get(place.database, &multipliers, &error));
    cr_assert(multipliers.upload_percent == 200 && multipliers.download_percent == 0 &&
              multipliers.until_s == 1800000000);
    multipliers.upload_percent = 1000001;
    cr_assert_eq(database_multipliers_set(place.database, &multipliers, &error), DATABASE_INVALID);
    site("UPDATE privtrak SET value = 'nonsense' WHERE \"key\" = 'upload_percent'");
    OK(database_multipliers_get(place.database, &multipliers, &error));
    cr_assert_eq(multipliers.upload_percent, 0);
}

/* A reader that writes down what it is told. */
static char told[4096];
static int stop_at_user;

static int tell(const char *what, long long value)
{
    size_t length = strlen(told);
    snprintf(told + length, sizeof(told) - length, " %s%lld", what, value);
    return 0;
}

static int tell_begin(void *context, bool whole)
{
    (void)context;
    snprintf(told, sizeof(told), "%s", whole ? "whole" : "changes");
    return 0;
}

static int tell_user(void *context, const struct user_row *row)
{
    (void)context;
    return row->id == stop_at_user ? -1 : tell("u", row->id);
}

static int tell_user_gone(void *context, int64_t id)
{
    (void)context;
    return tell("-u", id);
}

static int tell_torrent(void *context, const struct torrent_row *row)
{
    (void)context;
    return tell("t", row->id);
}

static int tell_torrent_gone(void *context, const uint8_t *info_hash)
{
    (void)context;
    return tell("-t", info_hash[0]);
}

static int tell_clients(void *context, const struct client_row *rows, size_t count)
{
    (void)context;
    (void)rows;
    return tell("c", (long long)count);
}

static int tell_multipliers(void *context, const struct multipliers *multipliers)
{
    (void)context;
    return tell("m", multipliers->download_percent);
}

static const struct database_reader teller = {.begin = tell_begin,
                                              .user = tell_user,
                                              .user_gone = tell_user_gone,
                                              .torrent = tell_torrent,
                                              .torrent_gone = tell_torrent_gone,
                                              .clients = tell_clients,
                                              .multipliers = tell_multipliers};

static const char *read_now(void)
{
    OK(database_read(place.database, &teller, &error));
    return told;
}

Test(database, the_first_read_tells_everything_and_the_next_only_changes)
{
    add_user(1);
    add_user(2);
    add_torrent(1);
    cr_assert_str_eq(read_now(), "whole u1 u2 t1 c0 m100");
    cr_assert_str_eq(read_now(), "changes");
    site("UPDATE users SET enabled = 0 WHERE id = 2");
    add_torrent(3);
    cr_assert_str_eq(read_now(), "changes u2 t3");
    site("INSERT INTO clients (prefix, allowed) VALUES ('-qB', 1)");
    site("INSERT INTO privtrak VALUES ('download_percent', '0')");
    cr_assert_str_eq(read_now(), "changes c1 m0");
    cr_assert_str_eq(read_now(), "changes");
}

Test(database, deleted_rows_are_told_as_gone)
{
    add_user(1);
    add_torrent(1);
    add_torrent(2);
    read_now();
    site("DELETE FROM users");
    site("DELETE FROM torrents WHERE id = 2");
    add_user(3);
    site("DELETE FROM users WHERE id = 3");
    cr_assert_str_eq(read_now(), "changes -u1 -u3 -t2");
}

Test(database, a_torrent_that_came_back_under_another_id_is_not_gone)
{
    add_torrent(5);
    read_now();
    site("DELETE FROM torrents");
    site("INSERT INTO torrents (id, info_hash) VALUES (50, '0505050505050505050505050505050505050505')");
    cr_assert_str_eq(read_now(), "changes t50");
}

Test(database, another_info_hash_is_a_torrent_gone_and_one_come)
{
    add_torrent(5);
    read_now();
    site("UPDATE torrents SET info_hash = '0909090909090909090909090909090909090909'");
    cr_assert_str_eq(read_now(), "changes -t5 t5");
}

Test(database, what_the_sink_writes_is_no_change)
{
    add_user(1);
    add_torrent(1);
    read_now();
    apply_one(delta_of(1, 1, 1));
    cr_assert_str_eq(read_now(), "changes");
}

Test(database, what_registers_itself_comes_back_as_a_change)
{
    read_now();
    struct delta delta = delta_of(1, 4, 4);
    delta.user_id = delta.torrent_id = 0;
    delta.flags = DELTA_REGISTERS_TORRENT | DELTA_REGISTERS_USER;
    apply_one(delta);
    cr_assert_str_eq(read_now(), "changes u1 t1");
}

Test(database, a_read_that_broke_off_is_told_again)
{
    read_now();
    add_user(1);
    add_user(2);
    stop_at_user = 2;
    cr_assert_eq(database_read(place.database, &teller, &error), DATABASE_STOPPED);
    stop_at_user = 0;
    cr_assert_str_eq(read_now(), "changes u1 u2");
}

Test(database, forgetting_reads_everything)
{
    add_user(1);
    read_now();
    database_forget(place.database);
    cr_assert_str_eq(read_now(), "whole u1 c0 m100");
}

Test(database, a_row_that_cannot_be_used_is_left_out)
{
    add_user(1);
    add_torrent(1);
    read_now();
#ifdef PRIVTRAK_TEST_POSTGRESQL
    site("DROP TRIGGER users_check ON users; DROP TRIGGER torrents_check ON torrents; "
         "ALTER TABLE torrents DROP CONSTRAINT torrents_state_check");
#elif defined(PRIVTRAK_TEST_MARIADB)
    site("SET check_constraint_checks = 0; DROP TRIGGER users_change; DROP TRIGGER torrents_check; "
         "INSERT INTO changes (kind, row_id) VALUES ('user', 1)"); /* what else the trigger does */
#else
    site("PRAGMA ignore_check_constraints = ON");
#endif
    site("UPDATE users SET passkey = 'no good' WHERE id = 1");
    site("UPDATE torrents SET state = 'odd' WHERE id = 1");
    site("INSERT INTO torrents (id, info_hash) VALUES (2, 'short')");
    add_user(2);
    cr_assert_str_eq(read_now(), "changes -u1 u2");
    database_forget(place.database);
    cr_assert_str_eq(read_now(), "whole u2 c0 m100");
}

Test(database, old_changes_are_pruned_and_who_missed_them_reads_everything)
{
    struct database *late = database_open(place.url, &error);
    add_user(1);
    OK(database_read(late, &teller, &error));
    prune_to(1);
    add_user(2);
    read_now();
    site("UPDATE changes SET at = at - 4000");
    add_user(3);
    prune_to(1);
#ifndef PRIVTRAK_TEST_POSTGRESQL /* there other tests' transactions can make the log look pruned too far */
    cr_assert_str_eq(read_now(), "changes u3");
#endif
    OK(database_read(late, &teller, &error));
    cr_assert_str_eq(told, "whole u1 u2 u3 c0 m100");
    OK(database_read(late, &teller, &error));
    cr_assert_str_eq(told, "changes");
    database_close(late);
}

Test(database, a_handle_that_is_interrupted_does_nothing_more)
{
    struct user_row row;
    database_interrupt(place.database);
    cr_assert_eq(database_user_get(place.database, 1, &row, &error), DATABASE_STOPPED);
}
