/* privtrakctl's commands against the operator's side over its unix socket. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <time.h>

#include "ctl/ctl.h"
#include "test_admin.h"

static struct config config;
static struct admin *admin;
static struct ctl ctl;
static char socket_path[128];
static char token_path[128];

static void note_shutdown(void *context)
{
    (void)context;
}

static void start(void)
{
    struct error error = {""};
    struct admin_parts parts = {.shutdown = note_shutdown};
    site_open();
    (void)snprintf(socket_path, sizeof socket_path, "%s/admin.sock", site.directory);
    (void)snprintf(token_path, sizeof token_path, "%s/admin.token", site.directory);
    memset(&config, 0, sizeof config);
    config.admin.socket = socket_path;
    config.admin.token_file = token_path;
    config.database.url = site.url;
    parts.users = site.backend.parts.users;
    admin = admin_open(&config, &parts, &error);
    cr_assert(admin != NULL && admin_start(admin, &error) == 0, "%s", error.text);
    ctl = (struct ctl){.client = client_new(socket_path, &error), .wants_json = true};
    cr_assert(ctl.client != NULL, "%s", error.text);
    cr_redirect_stdout();
    cr_redirect_stderr();
}

static void stop(void)
{
    client_free(ctl.client);
    admin_stop(admin);
    site_close();
}

TestSuite(ctl_commands, .init = start, .fini = stop);

static const struct command *find(const char *name)
{
    static const struct command *const tables[] = {commands_user,        commands_torrent, commands_client,
                                                   commands_multipliers, commands_deltas,  commands_tracker};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        for (const struct command *command = tables[i]; command->name != NULL; command++) {
            if (strcmp(command->name, name) == 0)
                return command;
        }
    }
    cr_assert_fail("there is no command %s", name);
    return NULL;
}

/* Runs a command of up to four arguments; the last ones may be NULL. */
static enum exit_code run(const char *name, const char *first, const char *second, const char *third)
{
    static char texts[3][200];
    const char *given[] = {first, second, third};
    char *arguments[4] = {NULL};
    int count = 0;
    for (; count < 3 && given[count] != NULL; count++) {
        (void)snprintf(texts[count], sizeof texts[count], "%s", given[count]);
        arguments[count] = texts[count];
    }
    enum exit_code result = find(name)->run(&ctl, count, arguments);
    (void)fflush(stdout);
    return result;
}

/* What the API says now. */
static json_t *shown(const char *path)
{
    json_t *answer = call_api(&ctl, "GET", path, NULL);
    cr_assert(answer != NULL, "%s", path);
    return answer;
}

Test(ctl_commands, user_is_added_found_by_name_changed_and_removed)
{
    cr_assert_eq(run("user add", "mia", "passkey=abc", "can_leech=false"), EXIT_GOOD);
    cr_assert_eq(run("user set", "mia", "upload_percent=200", "name=7"), EXIT_GOOD);
    json_t *user = shown("/api/v1/users/1");
    cr_assert_str_eq(text(user, "name"), "7", "a name of digits is a name");
    cr_assert(json_is_false(json_object_get(user, "can_leech")));
    cr_assert_eq(number(user, "upload_percent"), 200);
    json_decref(user);
    cr_assert_eq(run("user reset-passkey", "abc", NULL, NULL), EXIT_GOOD, "by its passkey");
    cr_assert_eq(run("user show", "abc", NULL, NULL), EXIT_FAILED);
    cr_assert_eq(run("user remove", "1", NULL, NULL), EXIT_GOOD, "by its id");
    cr_assert_eq(run("user remove", "1", NULL, NULL), EXIT_FAILED);
}

Test(ctl_commands, a_name_that_several_have_names_nobody)
{
    cr_assert_eq(run("user add", "mia", NULL, NULL), EXIT_GOOD);
    cr_assert_eq(run("user add", "mia", NULL, NULL), EXIT_GOOD);
    cr_assert_eq(run("user add", "mia too", NULL, NULL), EXIT_GOOD);
    cr_assert_eq(run("user show", "mia", NULL, NULL), EXIT_FAILED);
    cr_assert_eq(run("user show", "mia too", NULL, NULL), EXIT_GOOD);
}

Test(ctl_commands, lists_are_read_to_their_last_page)
{
    for (int i = 0; i < 1001; i++) {
        json_t *answer = call_api(&ctl, "POST", "/api/v1/users", json_object());
        cr_assert(answer != NULL);
        json_decref(answer);
    }
    json_t *all = call_list(&ctl, "/api/v1/users", "", "users");
    cr_assert_eq(json_array_size(json_object_get(all, "users")), 1001);
    json_decref(all);
}

Test(ctl_commands, fields_that_are_malformed_are_told_before_anything_is_sent)
{
    cr_assert_eq(run("user add", "mia", "enabled", NULL), EXIT_USAGE);
    cr_assert_eq(run("user add", "mia", "=x", NULL), EXIT_USAGE);
    cr_assert_eq(run("user add", "mia", "name=x", NULL), EXIT_USAGE, "given twice");
    cr_assert_eq(run("user add", "mia", "nick=x", NULL), EXIT_FAILED, "the API knows the fields");
    cr_assert_eq(run("user add", "mia", "enabled=maybe", NULL), EXIT_FAILED);
    cr_assert_eq(fake.refreshes, 0);
}

Test(ctl_commands, notes_on_a_torrent_file_come_only_with_success_so_that_a_failure_is_one_line)
{
    char path[128];
    char told[4000];
    (void)snprintf(path, sizeof path, "%s/open.torrent", site.directory);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL);
    (void)fputs("d4:infod6:lengthi5e4:name4:disc6:pieces0:ee", file);
    (void)fclose(file);
    cr_assert_eq(run("torrent add", path, NULL, NULL), EXIT_GOOD);
    cr_assert_eq(run("torrent add", path, NULL, NULL), EXIT_FAILED);
    (void)unlink(path);
    (void)fflush(stderr);
    FILE *errors = cr_get_redirected_stderr();
    (void)fcntl(fileno(errors), F_SETFL, O_NONBLOCK); /* what there is; the log of the server stands in it, too */
    size_t length = fread(told, 1, sizeof told - 1, errors);
    told[length] = '\0';
    const char *note = strstr(told, ": note: not marked private");
    cr_assert_not_null(note, "%s", told);
    cr_expect_null(strstr(note + 1, ": note: "), "%s", told);
    cr_expect_not_null(strstr(note, "privtrakctl: the torrent is there already\n"), "%s", told);
}

Test(ctl_commands, torrent_is_added_from_its_file)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/x.torrent", site.directory);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL);
    (void)fputs("d4:infod6:lengthi5e4:name4:disc6:pieces0:7:privatei1eee", file);
    (void)fclose(file);
    cr_assert_eq(run("torrent add", path, "state=pending", NULL), EXIT_GOOD);
    cr_assert_eq(run("torrent remove", path, "a better one is here", NULL), EXIT_GOOD);
    json_t *list = shown("/api/v1/torrents");
    const json_t *torrent = json_array_get(json_object_get(list, "torrents"), 0);
    cr_assert_str_eq(text(torrent, "name"), "disc");
    cr_assert_eq(number(torrent, "size"), 5);
    cr_assert_str_eq(text(torrent, "state"), "deleted");
    cr_assert_str_eq(text(torrent, "reason"), "a better one is here");
    json_decref(list);
    (void)unlink(path);
    cr_assert_eq(run("torrent show", path, NULL, NULL), EXIT_FAILED);
}

Test(ctl_commands, torrent_is_added_by_its_hash)
{
    cr_assert_eq(run("torrent add", HASH_A, "name=disc", "size=10"), EXIT_GOOD);
    cr_assert_eq(run("torrent set", HASH_A, "download_percent=0", NULL), EXIT_GOOD);
    cr_assert_eq(run("torrent show", HASH_A, NULL, NULL), EXIT_GOOD);
    cr_assert_eq(run("torrent show", HASH_B, NULL, NULL), EXIT_FAILED);
    cr_assert_eq(run("peers", HASH_A, NULL, NULL), EXIT_FAILED, "no swarm knows it");
    fake.view = (struct torrent_view){.known = true};
    cr_assert_eq(run("peers", HASH_A, NULL, NULL), EXIT_GOOD);
}

Test(ctl_commands, client_rules_may_hold_any_character)
{
    cr_assert_eq(run("client deny", "a/b?c%d #", NULL, NULL), EXIT_GOOD);
    cr_assert_eq(run("client allow", "-qB46", NULL, NULL), EXIT_GOOD);
    json_t *list = shown("/api/v1/clients");
    cr_assert_eq(json_array_size(json_object_get(list, "clients")), 2);
    cr_assert_str_eq(text(json_array_get(json_object_get(list, "clients"), 1), "prefix"), "a/b?c%d #");
    json_decref(list);
    cr_assert_eq(run("client list", NULL, NULL, NULL), EXIT_GOOD);
    cr_assert_eq(run("client remove", "a/b?c%d #", NULL, NULL), EXIT_GOOD);
    cr_assert_eq(run("client remove", "a/b?c%d #", NULL, NULL), EXIT_FAILED);
}

Test(ctl_commands, multipliers_end_so_long_from_now)
{
    cr_assert_eq(run("multipliers set", "download_percent=0", "until=+2h", NULL), EXIT_GOOD);
    json_t *answer = shown("/api/v1/multipliers");
    json_int_t ahead = number(answer, "until") - (json_int_t)time(NULL);
    cr_assert(ahead > 7100 && ahead <= 7200);
    json_decref(answer);
    cr_assert_eq(run("multipliers set", "until=soon", NULL, NULL), EXIT_FAILED);
    cr_assert_eq(run("multipliers set", "until=null", NULL, NULL), EXIT_GOOD);
    cr_assert_eq(run("multipliers show", NULL, NULL, NULL), EXIT_GOOD);
}

Test(ctl_commands, the_tracker_is_watched_and_flushed)
{
    static const char *const names[] = {"stats", "deltas status", "deltas parked", "flush", "shutdown"};
    for (int json = 0; json < 2; json++) {
        ctl.wants_json = json == 1;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            cr_assert_eq(run(names[i], NULL, NULL, NULL), EXIT_GOOD, "%s", names[i]);
    }
    fake.flush_fails = true;
    cr_assert_eq(run("flush", NULL, NULL, NULL), EXIT_FAILED);
    cr_assert_eq(run("snapshot", NULL, NULL, NULL), EXIT_FAILED, "this one cannot");
}

Test(ctl_commands, nobody_on_the_socket_is_told_in_one_line)
{
    struct error error = {""};
    long status = 0;
    char *answer = NULL;
    struct client *lonely = client_new("/nonexistent/admin.sock", &error);
    cr_assert_eq(client_call(lonely, "GET", "/api/v1/stats", NULL, &status, &answer, &error), -1);
    cr_assert(strstr(error.text, "no tracker answers on /nonexistent/admin.sock") != NULL, "%s", error.text);
    client_free(lonely);
}
