/* routes_multipliers: /api/v1/multipliers: the site-wide percentages. */
#include "admin/call.h"
#include "admin/fields.h"
#include "base/clock.h"

enum { MULTIPLIER_UPLOAD = 1 << 0, MULTIPLIER_DOWNLOAD = 1 << 1, MULTIPLIER_UNTIL = 1 << 2 };

static const struct field fields[] = {
    {"upload_percent", FIELD_NUMBER, MULTIPLIER_UPLOAD, FIELD_MEMBER(struct multipliers, upload_percent),
     .most = DATABASE_PERCENT_MAX},
    {"download_percent", FIELD_NUMBER, MULTIPLIER_DOWNLOAD, FIELD_MEMBER(struct multipliers, download_percent),
     .most = DATABASE_PERCENT_MAX},
    {"until", FIELD_NUMBER_OR_NULL, MULTIPLIER_UNTIL, FIELD_MEMBER(struct multipliers, until_s)},
    {.name = NULL},
};

static json_t *multipliers_json(const struct multipliers *multipliers)
{
    return json_pack("{s:I, s:I, s:o}", "upload_percent", (json_int_t)multipliers->upload_percent, "download_percent",
                     (json_int_t)multipliers->download_percent, "until",
                     multipliers->until_s != 0 ? json_integer(multipliers->until_s) : json_null());
}

/* What is in force: percentages whose time is over are 100 and 100 again. */
static enum database_result multipliers_now(struct call *call, struct multipliers *multipliers, struct error *error)
{
    enum database_result result = database_multipliers_get(call->backend->database, multipliers, error);
    if (result == DATABASE_OK && multipliers->until_s != 0 && multipliers->until_s <= clock_now_ms() / 1000)
        *multipliers = (struct multipliers){.upload_percent = 100, .download_percent = 100};
    return result;
}

static void show_multipliers(struct call *call)
{
    struct multipliers multipliers = {.until_s = 0};
    struct error error = {""};
    enum database_result result = multipliers_now(call, &multipliers, &error);
    if (result == DATABASE_OK)
        call_answer(call, 200, multipliers_json(&multipliers));
    else
        call_fail_database(call, result, &error);
}

static void change_multipliers(struct call *call)
{
    struct multipliers multipliers = {.until_s = 0};
    struct error error = {""};
    unsigned present;
    enum database_result result = multipliers_now(call, &multipliers, &error);
    if (result == DATABASE_OK && !fields_read(call, fields, &multipliers, &present))
        return;
    if (result == DATABASE_OK && present != 0)
        result = database_multipliers_set(call->backend->database, &multipliers, &error);
    if (result != DATABASE_OK)
        call_fail_database(call, result, &error);
    else if (call_put_in_force(call) == 0)
        call_answer(call, 200, multipliers_json(&multipliers));
}

const struct admin_route routes_multipliers[] = {
    {METHOD_GET, 0, "/api/v1/multipliers", show_multipliers, {200}},
    {METHOD_PATCH, ROUTE_BODY, "/api/v1/multipliers", change_multipliers, {200}},
    {.pattern = NULL},
};
