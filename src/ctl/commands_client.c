/* commands_client: which clients may announce, by the beginning of their peer ids. */
#include <stdlib.h>

#include "ctl/ctl.h"
#include "ctl/output.h"

static const struct column columns[] = {
    {"PREFIX", "prefix", COLUMN_TEXT},
    {"ALLOWED", "allowed", COLUMN_YES},
    {"NAME", "name", COLUMN_TEXT},
    {NULL, NULL, COLUMN_TEXT},
};

static enum exit_code list(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    json_t *answer = call_list(ctl, "/api/v1/clients", "", "clients");
    if (answer == NULL)
        return EXIT_FAILED;
    if (ctl->wants_json)
        print_json(answer);
    else
        print_table(columns, json_object_get(answer, "clients"));
    json_decref(answer);
    return EXIT_GOOD;
}

static enum exit_code call_client(struct ctl *ctl, const char *method, const char *prefix, json_t *body)
{
    char *encoded = encode(prefix);
    char *path = form("/api/v1/clients/%s", encoded);
    json_t *answer = call_api(ctl, method, path, body);
    free(path);
    free(encoded);
    if (answer == NULL)
        return EXIT_FAILED;
    if (ctl->wants_json && json_object_size(answer) > 0)
        print_json(answer);
    json_decref(answer);
    return EXIT_GOOD;
}

static enum exit_code allow(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    return call_client(ctl, "PUT", argv[0], json_pack("{s:b}", "allowed", 1));
}

static enum exit_code deny(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    return call_client(ctl, "PUT", argv[0], json_pack("{s:b}", "allowed", 0));
}

static enum exit_code remove_client(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    return call_client(ctl, "DELETE", argv[0], NULL);
}

const struct command commands_client[] = {
    {"client list", "", "list the rules for clients", 0, 0, list},
    {"client allow", "PREFIX", "allow clients whose peer id begins with PREFIX, such as -qB46", 1, 1, allow},
    {"client deny", "PREFIX", "refuse them", 1, 1, deny},
    {"client remove", "PREFIX", "remove the rule", 1, 1, remove_client},
    {.name = NULL},
};
