/* routes_deltas: /api/v1/deltas: how far the journal and the sinks are, and what was set aside. */
#include <stdlib.h>
#include <string.h>

#include "admin/call.h"
#include "admin/status.h"
#include "admin/text.h"

static void show_status(struct call *call)
{
    struct ledger_status *status = calloc(1, sizeof *status);
    if (status == NULL) {
        call_answer(call, 500, NULL);
        return;
    }
    ledger_status(call->backend->parts.ledger, status);
    call_answer(call, 200, json_pack("{s:o, s:o}", "journal", status_journal(status), "sinks", status_sinks(status)));
    free(status);
}

static json_t *parked_json(const struct parked_row *row)
{
    json_t *record = json_loads(row->record, 0, NULL);
    if (record == NULL)
        record = text_json(row->record);
    return json_pack("{s:I, s:I, s:o, s:o}", "id", (json_int_t)row->id, "seq", (json_int_t)row->seq, "reason",
                     text_json(row->reason), "record", record);
}

static void list_parked(struct call *call)
{
    static const char *const names[] = {"limit", "after", NULL};
    uint64_t limit = LIST_LIMIT_DEFAULT;
    uint64_t after = 0;
    if (!call_query_known(call, names) || !call_query_number(call, "limit", 1, LIST_LIMIT_MAX, &limit) ||
        !call_query_number(call, "after", 0, INT64_MAX, &after))
        return;
    struct parked_row *rows = calloc(limit, sizeof *rows);
    size_t count = 0;
    struct error error = {""};
    if (rows == NULL) {
        call_answer(call, 500, NULL);
        return;
    }
    struct database *database = call->backend->database;
    enum database_result result = database_parked_list(database, (int64_t)after, limit, rows, &count, &error);
    if (result != DATABASE_OK) {
        call_fail_database(call, result, &error);
    } else {
        json_t *list = json_array();
        int64_t last = 0;
        for (size_t i = 0; i < count; i++) {
            (void)json_array_append_new(list, parked_json(&rows[i]));
            last = rows[i].id;
        }
        size_t more = 0;
        if (count == limit)
            (void)database_parked_list(database, last, 1, rows, &more, &error);
        call_answer(call, 200,
                    json_pack("{s:o, s:o}", "parked", list, "next", more > 0 ? json_integer(last) : json_null()));
    }
    free(rows);
}

const struct admin_route routes_deltas[] = {
    {METHOD_GET, 0, "/api/v1/deltas/status", show_status, {200}},
    {METHOD_GET, 0, "/api/v1/deltas/parked", list_parked, {200, 422}},
    {.pattern = NULL},
};
