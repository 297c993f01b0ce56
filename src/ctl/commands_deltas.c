/* commands_deltas: how far the accounts have been delivered. */
#include <stdio.h>
#include <stdlib.h>

#include "ctl/ctl.h"
#include "ctl/output.h"

static const struct column journal_columns[] = {
    {"last seq", "last_seq", COLUMN_TEXT},
    {"synced seq", "synced_seq", COLUMN_TEXT},
    {"covered seq", "covered_seq", COLUMN_TEXT},
    {"journal", "bytes", COLUMN_BYTES},
    {"at most", "max_bytes", COLUMN_BYTES},
    {"full", "full", COLUMN_YES},
    {NULL, NULL, COLUMN_TEXT},
};

static const struct column sink_columns[] = {
    {"SINK", "name", COLUMN_TEXT},
    {"DELIVERED", "delivered", COLUMN_NUMBER},
    {"PENDING", "pending", COLUMN_NUMBER},
    {"OLDEST (S)", "oldest_pending_age", COLUMN_NUMBER},
    {"PARKED", "parked", COLUMN_NUMBER},
    {"LAST ERROR", "last_error", COLUMN_TEXT},
    {NULL, NULL, COLUMN_TEXT},
};

static const struct column parked_columns[] = {
    {"SEQ", "seq", COLUMN_NUMBER},
    {"REASON", "reason", COLUMN_TEXT},
    {NULL, NULL, COLUMN_TEXT},
};

static enum exit_code status(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    json_t *answer = call_api(ctl, "GET", "/api/v1/deltas/status", NULL);
    if (answer == NULL)
        return EXIT_FAILED;
    if (ctl->wants_json) {
        print_json(answer);
    } else {
        print_object(journal_columns, json_object_get(answer, "journal"));
        (void)putchar('\n');
        print_table(sink_columns, json_object_get(answer, "sinks"));
    }
    json_decref(answer);
    return EXIT_GOOD;
}

static enum exit_code parked(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    json_t *answer = call_list(ctl, "/api/v1/deltas/parked", "", "parked");
    if (answer == NULL)
        return EXIT_FAILED;
    if (ctl->wants_json)
        print_json(answer);
    else
        print_table(parked_columns, json_object_get(answer, "parked"));
    json_decref(answer);
    return EXIT_GOOD;
}

const struct command commands_deltas[] = {
    {"deltas status", "", "show how far the journal and the sinks are", 0, 0, status},
    {"deltas parked", "", "list what the database could not take, with reasons (records: --json)", 0, 0, parked},
    {.name = NULL},
};
