/* commands_multipliers: what all uploads and downloads count, in percent. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/output.h"

static const struct column columns[] = {
    {"upload_percent", "upload_percent", COLUMN_NUMBER},
    {"download_percent", "download_percent", COLUMN_NUMBER},
    {"until", "until", COLUMN_TIME},
    {NULL, NULL, COLUMN_TEXT},
};

static enum exit_code print_multipliers(struct ctl *ctl, json_t *answer)
{
    if (answer == NULL)
        return EXIT_FAILED;
    if (ctl->wants_json)
        print_json(answer);
    else
        print_object(columns, answer);
    json_decref(answer);
    return EXIT_GOOD;
}

static enum exit_code show(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return print_multipliers(ctl, call_api(ctl, "GET", "/api/v1/multipliers", NULL));
}

/* "+36h" is so long from now; what is neither that nor a number, the API refuses. */
static void resolve_until(json_t *body)
{
    static const struct {
        char unit;
        long long seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    const char *text = json_string_value(json_object_get(body, "until"));
    char *end;
    if (text == NULL || text[0] != '+' || text[1] < '0' || text[1] > '9')
        return;
    long long amount = strtoll(text + 1, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (end[0] == units[i].unit && end[1] == '\0' && amount <= 1000000000) {
            (void)json_object_set_new(body, "until", json_integer(time(NULL) + amount * units[i].seconds));
            return;
        }
    }
}

static enum exit_code set(struct ctl *ctl, int argc, char **argv)
{
    json_t *body = json_object();
    if (!read_fields(body, argc, argv)) {
        json_decref(body);
        return EXIT_USAGE;
    }
    resolve_until(body);
    return print_multipliers(ctl, call_api(ctl, "PATCH", "/api/v1/multipliers", body));
}

const struct command commands_multipliers[] = {
    {"multipliers show", "", "show what all uploads and downloads count, in percent", 0, 0, show},
    {"multipliers set", "FIELD=VALUE…",
     "change upload_percent, download_percent, until (Unix seconds, +36h, +7d, or null)", 1, -1, set},
    {.name = NULL},
};
