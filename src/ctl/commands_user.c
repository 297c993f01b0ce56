/* commands_user: accounts. A USER is an id, or a name or passkey that only one user has. */
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/output.h"

static const struct column list_columns[] = {
    {"ID", "id", COLUMN_NUMBER},
    {"NAME", "name", COLUMN_TEXT},
    {"PASSKEY", "passkey", COLUMN_TEXT},
    {"ENABLED", "enabled", COLUMN_YES},
    {"LEECH", "can_leech", COLUMN_YES},
    {"UPLOADED", "uploaded", COLUMN_BYTES},
    {"DOWNLOADED", "downloaded", COLUMN_BYTES},
    {NULL, NULL, COLUMN_TEXT},
};

static const struct column columns[] = {
    {"id", "id", COLUMN_TEXT},
    {"name", "name", COLUMN_TEXT},
    {"passkey", "passkey", COLUMN_TEXT},
    {"enabled", "enabled", COLUMN_YES},
    {"can_leech", "can_leech", COLUMN_YES},
    {"hide_address", "hide_address", COLUMN_YES},
    {"upload_percent", "upload_percent", COLUMN_NUMBER},
    {"download_percent", "download_percent", COLUMN_NUMBER},
    {"uploaded", "uploaded", COLUMN_BYTES},
    {"downloaded", "downloaded", COLUMN_BYTES},
    {"raw_uploaded", "raw_uploaded", COLUMN_BYTES},
    {"raw_downloaded", "raw_downloaded", COLUMN_BYTES},
    {"quarantined", "quarantined", COLUMN_BYTES},
    {"created_at", "created_at", COLUMN_TIME},
    {"updated_at", "updated_at", COLUMN_TIME},
    {NULL, NULL, COLUMN_TEXT},
};

static enum exit_code print_user(struct ctl *ctl, json_t *user)
{
    if (user == NULL)
        return EXIT_FAILED;
    if (ctl->wants_json)
        print_json(user);
    else
        print_object(columns, user);
    json_decref(user);
    return EXIT_GOOD;
}

/* The path of the one user meant, malloc'd; NULL where that has been told to be nobody, or several. */
static char *user_path(struct ctl *ctl, const char *wanted, const char *behind)
{
    if (wanted[0] != '\0' && strspn(wanted, "0123456789") == strlen(wanted) && strlen(wanted) < 20)
        return form("/api/v1/users/%s%s", wanted, behind);
    char *encoded = encode(wanted);
    char *query = form("search=%s", encoded);
    json_t *answer = call_list(ctl, "/api/v1/users", query, "users");
    free(query);
    free(encoded);
    if (answer == NULL)
        return NULL;
    size_t index;
    size_t found = 0;
    json_int_t id = 0;
    const json_t *user;
    json_array_foreach (json_object_get(answer, "users"), index, user) {
        const char *name = json_string_value(json_object_get(user, "name"));
        const char *passkey = json_string_value(json_object_get(user, "passkey"));
        if ((name == NULL || strcmp(name, wanted) != 0) && (passkey == NULL || strcmp(passkey, wanted) != 0))
            continue;
        id = json_integer_value(json_object_get(user, "id"));
        found++;
    }
    json_decref(answer);
    if (found == 1)
        return form("/api/v1/users/%lld%s", (long long)id, behind);
    if (found == 0)
        complain("there is no user \"%s\"", wanted);
    else
        complain("%zu users are called \"%s\": say which by the id", found, wanted);
    return NULL;
}

static enum exit_code call_user(struct ctl *ctl, const char *method, const char *user, const char *behind, json_t *body)
{
    char *path = user_path(ctl, user, behind);
    if (path == NULL) {
        json_decref(body);
        return EXIT_FAILED;
    }
    enum exit_code result = print_user(ctl, call_api(ctl, method, path, body));
    free(path);
    return result;
}

static enum exit_code add(struct ctl *ctl, int argc, char **argv)
{
    json_t *body = json_pack("{s:s}", "name", argv[0]);
    if (body == NULL)
        return fail_usage("the name is no UTF-8");
    if (!read_fields(body, argc - 1, argv + 1)) {
        json_decref(body);
        return EXIT_USAGE;
    }
    return print_user(ctl, call_api(ctl, "POST", "/api/v1/users", body));
}

static enum exit_code list(struct ctl *ctl, int argc, char **argv)
{
    char *encoded = encode(argc > 0 ? argv[0] : "");
    char *query = argc > 0 ? form("search=%s", encoded) : form("%s", "");
    json_t *answer = call_list(ctl, "/api/v1/users", query, "users");
    free(query);
    free(encoded);
    if (answer == NULL)
        return EXIT_FAILED;
    if (ctl->wants_json)
        print_json(answer);
    else
        print_table(list_columns, json_object_get(answer, "users"));
    json_decref(answer);
    return EXIT_GOOD;
}

static enum exit_code show(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    return call_user(ctl, "GET", argv[0], "", NULL);
}

static enum exit_code set(struct ctl *ctl, int argc, char **argv)
{
    json_t *body = json_object();
    if (!read_fields(body, argc - 1, argv + 1)) {
        json_decref(body);
        return EXIT_USAGE;
    }
    return call_user(ctl, "PATCH", argv[0], "", body);
}

static enum exit_code reset_passkey(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    return call_user(ctl, "POST", argv[0], "/passkey", NULL);
}

static enum exit_code remove_user(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    char *path = user_path(ctl, argv[0], "");
    json_t *answer = path != NULL ? call_api(ctl, "DELETE", path, NULL) : NULL;
    free(path);
    json_decref(answer);
    return answer != NULL ? EXIT_GOOD : EXIT_FAILED;
}

const struct command commands_user[] = {
    {"user add", "NAME [FIELD=VALUE…]", "make a user; a passkey is made where none is given", 1, -1, add},
    {"user list", "[SEARCH]", "list users, or those whose name holds SEARCH", 0, 1, list},
    {"user show", "USER", "show one user: an id, a name or a passkey", 1, 1, show},
    {"user set", "USER FIELD=VALUE…",
     "change name, passkey, enabled, can_leech, hide_address, upload_percent, download_percent", 2, -1, set},
    {"user reset-passkey", "USER", "give a new passkey; the old one is refused from now on", 1, 1, reset_passkey},
    {"user remove", "USER", "remove a user with the account", 1, 1, remove_user},
    {.name = NULL},
};
