/* routes_clients: /api/v1/clients: peer-id prefixes that are allowed or denied. */
#include <stdlib.h>
#include <string.h>

#include "admin/call.h"
#include "admin/fields.h"
#include "admin/text.h"

enum { CLIENT_FIELD_ALLOWED = 1 << 0, CLIENT_FIELD_NAME = 1 << 1 };

static const struct field fields[] = {
    {"name", FIELD_TEXT, CLIENT_FIELD_NAME, FIELD_MEMBER(struct client_row, name)},
    {"allowed", FIELD_BOOLEAN, CLIENT_FIELD_ALLOWED, FIELD_MEMBER(struct client_row, allowed)},
    {.name = "prefix", .kind = FIELD_FIXED},
    {.name = NULL},
};

static json_t *client_json(const struct client_row *row)
{
    return json_pack("{s:o, s:o, s:b}", "prefix", text_json(row->prefix), "name", text_json(row->name), "allowed",
                     row->allowed);
}

static bool prefix_is_good(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e)
            return false;
    }
    return length >= 1 && length <= PEER_ID_BYTES;
}

static void list_clients(struct call *call)
{
    static const char *const names[] = {"limit", "after", NULL};
    uint64_t limit = LIST_LIMIT_DEFAULT;
    char after[CALL_ARGUMENT_BYTES];
    if (!call_query_known(call, names) || !call_query_number(call, "limit", 1, LIST_LIMIT_MAX, &limit) ||
        !call_query_text(call, "after", after, sizeof after, NULL))
        return;
    struct client_row *rows = calloc(limit, sizeof *rows);
    size_t count = 0;
    struct error error = {""};
    if (rows == NULL) {
        call_answer(call, 500, NULL);
        return;
    }
    struct database *database = call->backend->database;
    enum database_result result = database_client_list(database, after, limit, rows, &count, &error);
    if (result != DATABASE_OK) {
        call_fail_database(call, result, &error);
    } else {
        json_t *list = json_array();
        for (size_t i = 0; i < count; i++)
            (void)json_array_append_new(list, client_json(&rows[i]));
        struct client_row one;
        size_t more = 0;
        if (count == limit)
            (void)database_client_list(database, rows[count - 1].prefix, 1, &one, &more, &error);
        json_t *next = more > 0 ? text_json(rows[count - 1].prefix) : json_null();
        call_answer(call, 200, json_pack("{s:o, s:o}", "clients", list, "next", next));
    }
    free(rows);
}

static void show_client(struct call *call)
{
    struct client_row row;
    struct error error = {""};
    enum database_result result = prefix_is_good(call->argument)
                                      ? database_client_get(call->backend->database, call->argument, &row, &error)
                                      : DATABASE_NOT_FOUND;
    if (result == DATABASE_OK)
        call_answer(call, 200, client_json(&row));
    else
        call_fail_database(call, result, &error);
}

static void put_client(struct call *call)
{
    struct client_row row = {.allowed = false};
    struct error error = {""};
    unsigned present;
    bool made = false;
    if (!prefix_is_good(call->argument)) {
        call_fail(call, 422, "bad_value", "prefix: allowed are 1 to %d printable ASCII characters", PEER_ID_BYTES);
        return;
    }
    /* What the body leaves out stays as it was. */
    enum database_result result = database_client_get(call->backend->database, call->argument, &row, &error);
    if (result != DATABASE_OK && result != DATABASE_NOT_FOUND) {
        call_fail_database(call, result, &error);
        return;
    }
    if (!fields_read(call, fields, &row, &present))
        return;
    if (result == DATABASE_NOT_FOUND && !(present & CLIENT_FIELD_ALLOWED)) {
        call_fail(call, 422, "bad_value", "allowed: is needed");
        return;
    }
    memcpy(row.prefix, call->argument, strlen(call->argument) + 1);
    result = database_client_put(call->backend->database, &row, &made, &error);
    if (result != DATABASE_OK)
        call_fail_database(call, result, &error);
    else if (call_put_in_force(call) == 0)
        call_answer(call, made ? 201 : 200, client_json(&row));
}

static void delete_client(struct call *call)
{
    struct error error = {""};
    enum database_result result = prefix_is_good(call->argument)
                                      ? database_client_delete(call->backend->database, call->argument, &error)
                                      : DATABASE_NOT_FOUND;
    if (result != DATABASE_OK)
        call_fail_database(call, result, &error);
    else if (call_put_in_force(call) == 0)
        call_answer_empty(call, 204);
}

const struct admin_route routes_clients[] = {
    {METHOD_GET, 0, "/api/v1/clients", list_clients, {200, 422}},
    {METHOD_GET, 0, "/api/v1/clients/{prefix}", show_client, {200, 404}},
    {METHOD_PUT, ROUTE_BODY, "/api/v1/clients/{prefix}", put_client, {200, 201}},
    {METHOD_DELETE, 0, "/api/v1/clients/{prefix}", delete_client, {204, 404}},
    {.pattern = NULL},
};
