/* routes_users: /api/v1/users. Fields are the columns of the table. */
#include <stdlib.h>
#include <string.h>

#include "admin/call.h"
#include "admin/fields.h"
#include "admin/text.h"
#include "tracker/route.h"

static const char *take_passkey(const json_t *value, void *member, size_t size)
{
    const char *text = json_string_value(value);
    if (text == NULL || strlen(text) >= size || !route_passkey_is_well_formed(text, strlen(text)))
        return "1 to 64 of A-Z a-z 0-9 - _";
    memcpy(member, text, strlen(text) + 1);
    return NULL;
}

static const struct field fields[] = {
    {"name", FIELD_TEXT, USER_FIELD_NAME, FIELD_MEMBER(struct user_row, name)},
    {"passkey", FIELD_CUSTOM, USER_FIELD_PASSKEY, FIELD_MEMBER(struct user_row, passkey), .take = take_passkey},
    {"enabled", FIELD_BOOLEAN, USER_FIELD_ENABLED, FIELD_MEMBER(struct user_row, enabled)},
    {"can_leech", FIELD_BOOLEAN, USER_FIELD_CAN_LEECH, FIELD_MEMBER(struct user_row, can_leech)},
    {"hide_address", FIELD_BOOLEAN, USER_FIELD_HIDE_ADDRESS, FIELD_MEMBER(struct user_row, hide_address)},
    {"upload_percent", FIELD_NUMBER, USER_FIELD_UPLOAD_PERCENT, FIELD_MEMBER(struct user_row, upload_percent),
     .most = DATABASE_PERCENT_MAX},
    {"download_percent", FIELD_NUMBER, USER_FIELD_DOWNLOAD_PERCENT, FIELD_MEMBER(struct user_row, download_percent),
     .most = DATABASE_PERCENT_MAX},
    {.name = "id", .kind = FIELD_FIXED},
    {.name = "uploaded", .kind = FIELD_FIXED},
    {.name = "downloaded", .kind = FIELD_FIXED},
    {.name = "raw_uploaded", .kind = FIELD_FIXED},
    {.name = "raw_downloaded", .kind = FIELD_FIXED},
    {.name = "quarantined", .kind = FIELD_FIXED},
    {.name = "created_at", .kind = FIELD_FIXED},
    {.name = "updated_at", .kind = FIELD_FIXED},
    {.name = NULL},
};

static json_t *user_json(const struct user_row *row)
{
    return json_pack("{s:I, s:o, s:o, s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "id",
                     (json_int_t)row->id, "name", text_json(row->name), "passkey", text_json(row->passkey), "enabled",
                     row->enabled, "can_leech", row->can_leech, "hide_address", row->hide_address, "upload_percent",
                     (json_int_t)row->upload_percent, "download_percent", (json_int_t)row->download_percent, "uploaded",
                     (json_int_t)row->uploaded, "downloaded", (json_int_t)row->downloaded, "raw_uploaded",
                     (json_int_t)row->raw_uploaded, "raw_downloaded", (json_int_t)row->raw_downloaded, "quarantined",
                     (json_int_t)row->quarantined, "created_at", (json_int_t)row->created_at, "updated_at",
                     (json_int_t)row->updated_at);
}

/* The id in the path; what cannot be one names nobody. */
static bool take_id(struct call *call, int64_t *id)
{
    uint64_t number;
    if (parse_number(call->argument, strlen(call->argument), INT64_MAX, &number) && number > 0) {
        *id = (int64_t)number;
        return true;
    }
    call_fail(call, 404, "not_found", "there is no user with that id");
    return false;
}

static void finish(struct call *call, enum database_result result, const struct error *error, int status,
                   const struct user_row *row)
{
    if (result != DATABASE_OK) {
        call_fail_database(call, result, error);
        return;
    }
    if (call_put_in_force(call) == 0)
        call_answer(call, status, user_json(row));
}

/* The `next` of a list that came out full: NULL where nothing follows. */
static json_t *next_after(struct call *call, int64_t last, const char *search)
{
    struct user_row *row = malloc(sizeof *row);
    size_t count = 0;
    struct error error = {""};
    bool follows = row != NULL &&
                   database_user_list(call->backend->database, last, 1, search, row, &count, &error) == DATABASE_OK &&
                   count > 0;
    free(row);
    return follows ? json_integer(last) : json_null();
}

static void list_users(struct call *call)
{
    static const char *const names[] = {"limit", "after", "search", NULL};
    uint64_t limit = LIST_LIMIT_DEFAULT;
    uint64_t after = 0;
    char search[DATABASE_NAME_BYTES];
    bool searches;
    if (!call_query_known(call, names) || !call_query_number(call, "limit", 1, LIST_LIMIT_MAX, &limit) ||
        !call_query_number(call, "after", 0, INT64_MAX, &after) ||
        !call_query_text(call, "search", search, sizeof search, &searches))
        return;
    const char *wanted = searches && search[0] != '\0' ? search : NULL;
    struct user_row *rows = calloc(limit, sizeof *rows);
    size_t count = 0;
    struct error error = {""};
    if (rows == NULL) {
        call_answer(call, 500, NULL);
        return;
    }
    enum database_result result =
        database_user_list(call->backend->database, (int64_t)after, limit, wanted, rows, &count, &error);
    if (result != DATABASE_OK) {
        call_fail_database(call, result, &error);
    } else {
        json_t *list = json_array();
        for (size_t i = 0; i < count; i++)
            (void)json_array_append_new(list, user_json(&rows[i]));
        json_t *next = count == limit ? next_after(call, rows[count - 1].id, wanted) : json_null();
        call_answer(call, 200, json_pack("{s:o, s:o}", "users", list, "next", next));
    }
    free(rows);
}

static void create_user(struct call *call)
{
    struct user_row row = {.id = 0};
    struct error error = {""};
    unsigned present;
    if (!fields_read(call, fields, &row, &present))
        return;
    enum database_result result = database_user_create(call->backend->database, present, &row, &error);
    finish(call, result, &error, 201, &row);
}

static void show_user(struct call *call)
{
    struct user_row row = {.id = 0};
    struct error error = {""};
    int64_t id;
    if (!take_id(call, &id))
        return;
    enum database_result result = database_user_get(call->backend->database, id, &row, &error);
    if (result == DATABASE_OK)
        call_answer(call, 200, user_json(&row));
    else
        call_fail_database(call, result, &error);
}

static void change_user(struct call *call)
{
    struct user_row row = {.id = 0};
    struct error error = {""};
    unsigned present;
    int64_t id;
    if (!take_id(call, &id) || !fields_read(call, fields, &row, &present))
        return;
    enum database_result result = present != 0
                                      ? database_user_update(call->backend->database, id, present, &row, &error)
                                      : database_user_get(call->backend->database, id, &row, &error);
    finish(call, result, &error, 200, &row);
}

static void reset_passkey(struct call *call)
{
    struct user_row row = {.id = 0};
    struct error error = {""};
    int64_t id;
    if (!take_id(call, &id))
        return;
    enum database_result result = database_user_reset_passkey(call->backend->database, id, &row, &error);
    finish(call, result, &error, 200, &row);
}

static void delete_user(struct call *call)
{
    struct error error = {""};
    int64_t id;
    if (!take_id(call, &id))
        return;
    enum database_result result = database_user_delete(call->backend->database, id, &error);
    if (result != DATABASE_OK)
        call_fail_database(call, result, &error);
    else if (call_put_in_force(call) == 0)
        call_answer_empty(call, 204);
}

const struct admin_route routes_users[] = {
    {METHOD_GET, 0, "/api/v1/users", list_users, {200, 422}},
    {METHOD_POST, ROUTE_BODY, "/api/v1/users", create_user, {201, 409}},
    {METHOD_GET, 0, "/api/v1/users/{id}", show_user, {200, 404}},
    {METHOD_PATCH, ROUTE_BODY, "/api/v1/users/{id}", change_user, {200, 404, 409}},
    {METHOD_DELETE, 0, "/api/v1/users/{id}", delete_user, {204, 404}},
    {METHOD_POST, 0, "/api/v1/users/{id}/passkey", reset_passkey, {200, 404}},
    {.pattern = NULL},
};
