/* call: see call.h. */
#include "admin/call.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/text.h"
#include "database/registry.h"
#include "tracker/route.h"

static const char *const method_names[] = {
    [METHOD_GET] = "GET",     [METHOD_POST] = "POST",     [METHOD_PUT] = "PUT",
    [METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE",
};

const struct admin_route *const admin_routes[] = {
    routes_users,   routes_torrents, routes_clients, routes_multipliers, routes_deltas, routes_stats,
    routes_control, routes_pages,    NULL,
};

const char *method_name(enum admin_method method)
{
    return method < METHOD_COUNT ? method_names[method] : "?";
}

/* Answers. */

void call_answer(struct call *call, int status, json_t *answer)
{
    if (answer == NULL) {
        call_fail(call, 500, "out_of_memory", "out of memory");
        return;
    }
    json_decref(call->answer);
    call->status = status;
    call->answer = answer;
}

void call_answer_empty(struct call *call, int status)
{
    json_decref(call->answer);
    call->answer = NULL;
    call->status = status;
}

void call_fail(struct call *call, int status, const char *code, const char *format, ...)
{
    char message[ERROR_TEXT_BYTES + 256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    json_decref(call->answer);
    call->status = status;
    call->answer = json_pack("{s:{s:s, s:o}}", "error", "code", code, "message", text_json(message));
}

void call_fail_database(struct call *call, enum database_result result, const struct error *error)
{
    switch (result) {
    case DATABASE_NOT_FOUND:
        call_fail(call, 404, "not_found", "%s", error->text[0] != '\0' ? error->text : "there is no such thing");
        break;
    case DATABASE_CONFLICT:
        call_fail(call, 409, "conflict", "%s", error->text[0] != '\0' ? error->text : "it is there already");
        break;
    case DATABASE_INVALID:
        call_fail(call, 422, "bad_value", "%s", error->text);
        break;
    case DATABASE_OK:
    case DATABASE_UNAVAILABLE:
    case DATABASE_STOPPED:
        call_fail(call, 503, "database_unavailable", "the database does not answer: %s", error->text);
        break;
    }
}

int call_put_in_force(struct call *call)
{
    struct error error = {""};
    if (registry_refresh(call->backend->parts.registry, &error) == 0)
        return 0;
    call_fail(call, 503, "not_in_force", "it stands in the database, but the tracker could not read it yet: %s",
              error.text);
    return -1;
}

/* Query parameters. */

bool parse_number(const char *text, size_t length, uint64_t most, uint64_t *number)
{
    uint64_t value = 0;
    if (length == 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (value > (most - digit) / 10 || digit > most)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

static bool query_is_good(struct call *call, const struct query_pair *pair, const char *const *names, uint64_t *seen)
{
    char text[64];
    int length = query_decode((uint8_t *)text, sizeof text - 1, pair->name, pair->name_length);
    text[length > 0 ? length : 0] = '\0';
    for (size_t i = 0; names[i] != NULL; i++) {
        if (!query_name_is(pair, names[i]))
            continue;
        if (*seen & UINT64_C(1) << i) {
            call_fail(call, 422, "bad_value", "%s: given twice", names[i]);
            return false;
        }
        *seen |= UINT64_C(1) << i;
        return true;
    }
    call_fail(call, 422, "unknown_field", "%s: there is no such parameter here", text);
    return false;
}

bool call_query_known(struct call *call, const char *const *names)
{
    if (call->query == NULL)
        return true;
    uint64_t seen = 0;
    struct query_pair pair;
    const char *cursor = call->query;
    const char *end = cursor + strlen(cursor);
    while (query_next(&cursor, end, &pair)) {
        if (!query_is_good(call, &pair, names, &seen))
            return false;
    }
    return true;
}

bool call_query_text(struct call *call, const char *name, char *text, size_t size, bool *found)
{
    text[0] = '\0';
    if (found != NULL)
        *found = false;
    if (call->query == NULL)
        return true;
    struct query_pair pair;
    const char *cursor = call->query;
    const char *end = cursor + strlen(cursor);
    while (query_next(&cursor, end, &pair)) {
        if (!query_name_is(&pair, name))
            continue;
        int length = query_decode((uint8_t *)text, size - 1, pair.value, pair.value_length);
        if (length < 0) {
            call_fail(call, 422, "bad_value", length == -2 ? "%s: too long" : "%s: a bad escape", name);
            return false;
        }
        text[length] = '\0';
        if (memchr(text, '\0', (size_t)length) != NULL || !text_is_plain(text)) {
            call_fail(call, 422, "bad_value", "%s: allowed is UTF-8 without control characters", name);
            return false;
        }
        if (found != NULL)
            *found = true;
        return true;
    }
    return true;
}

bool call_query_number(struct call *call, const char *name, uint64_t least, uint64_t most, uint64_t *number)
{
    char text[32];
    bool found;
    if (!call_query_text(call, name, text, sizeof text, &found))
        return false;
    uint64_t value = 0;
    if (found && (!parse_number(text, strlen(text), most, &value) || value < least)) {
        call_fail(call, 422, "bad_value", "%s: found %s, allowed %llu to %llu", name, text, (unsigned long long)least,
                  (unsigned long long)most);
        return false;
    }
    if (found)
        *number = value;
    return true;
}

/* Finding the route. */

/* Decodes one path segment into the call's argument; false where it cannot stand for anything. */
static bool take_argument(struct call *call, const char *segment, size_t length)
{
    int decoded = query_decode((uint8_t *)call->argument, sizeof call->argument - 1, segment, length);
    if (decoded <= 0 || memchr(call->argument, '\0', (size_t)decoded) != NULL)
        return false;
    call->argument[decoded] = '\0';
    return true;
}

bool call_path_matches(struct call *call, const char *pattern)
{
    const char *path = call->path;
    for (;;) {
        size_t wanted = strcspn(pattern + 1, "/");
        size_t found = strcspn(path + 1, "/");
        if (path[0] != '/')
            return false;
        if (pattern[1] == '{') {
            if (!take_argument(call, path + 1, found))
                return false;
        } else if (wanted != found || strncmp(pattern + 1, path + 1, wanted) != 0) {
            return false;
        }
        pattern += 1 + wanted;
        path += 1 + found;
        if (*pattern == '\0' || *path == '\0')
            return *pattern == *path;
    }
}

static const struct admin_route *find_route(struct call *call)
{
    call->allowed = 0;
    for (size_t i = 0; admin_routes[i] != NULL; i++) {
        for (const struct admin_route *route = admin_routes[i]; route->pattern != NULL; route++) {
            if ((route->flags & ROUTE_LOCAL) != 0 && !call->is_local)
                continue;
            if (!call_path_matches(call, route->pattern))
                continue;
            if (route->method == call->method)
                return route;
            call->allowed |= 1U << route->method;
        }
    }
    return NULL;
}

static bool has_token(const struct call *call)
{
    const char *token = call->backend->token;
    if (call->is_local)
        return true;
    if (call->bearer == NULL || strlen(call->bearer) != strlen(token))
        return false;
    return sodium_memcmp(call->bearer, token, strlen(token)) == 0;
}

static bool needs_token(const struct call *call, const struct admin_route *route)
{
    /* A stranger does not even learn which paths there are under /api. */
    if (route == NULL)
        return strncmp(call->path, "/api/", 5) == 0;
    if ((route->flags & ROUTE_METRICS) != 0)
        return atomic_load_explicit(&call->backend->metrics_need_token, memory_order_relaxed);
    return (route->flags & ROUTE_OPEN) == 0;
}

static bool read_body(struct call *call, const struct admin_route *route)
{
    if ((route->flags & (ROUTE_BODY | ROUTE_MAYBE_BODY)) == 0)
        return true;
    if (call->body_length == 0 && (route->flags & ROUTE_MAYBE_BODY) != 0)
        return true;
    json_error_t error;
    call->json = json_loadb(call->body != NULL ? call->body : "", call->body_length,
                            JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (call->json == NULL) {
        enum json_error_code code = json_error_code(&error);
        bool is_json = code == json_error_duplicate_key || code == json_error_numeric_overflow ||
                       code == json_error_null_character;
        call_fail(call, is_json ? 422 : 400, is_json ? "bad_value" : "bad_json", "%s (line %d, column %d)", error.text,
                  error.line, error.column);
        return false;
    }
    if (!json_is_object(call->json)) {
        call_fail(call, 422, "bad_value", "the body has to be a JSON object");
        return false;
    }
    return true;
}

void call_run(struct call *call)
{
    const struct admin_route *route = find_route(call);
    if (needs_token(call, route) && !has_token(call)) {
        call_fail(call, 401, "unauthorized", "Authorization: Bearer with the token of token_file is needed");
        return;
    }
    if (route == NULL && call->allowed != 0) {
        call_fail(call, 405, "method_not_allowed", "this path does not take that method");
        return;
    }
    if (route == NULL) {
        call_fail(call, 404, "not_found", "there is no such path");
        return;
    }
    if ((route->flags & (ROUTE_OPEN | ROUTE_METRICS)) == 0 && atomic_load(&call->backend->is_draining)) {
        call_fail(call, 503, "stopping", "the tracker is stopping");
        return;
    }
    if (call->body_length > CALL_BODY_MAX) {
        call_fail(call, 413, "too_large", "a body may have at most %d bytes", CALL_BODY_MAX);
        return;
    }
    if (read_body(call, route))
        route->run(call);
}

void call_clear(struct call *call)
{
    json_decref(call->json);
    json_decref(call->answer);
    free(call->text);
    call->json = NULL;
    call->answer = NULL;
    call->text = NULL;
}

size_t route_own_statuses(const struct admin_route *route, int statuses[static ROUTE_STATUSES_MAX])
{
    size_t count = 0;
    if ((route->flags & (ROUTE_OPEN | ROUTE_LOCAL)) == 0)
        statuses[count++] = 401;
    if ((route->flags & ROUTE_LOCAL) != 0)
        statuses[count++] = 404;
    if ((route->flags & (ROUTE_BODY | ROUTE_MAYBE_BODY)) != 0) {
        statuses[count++] = 400;
        statuses[count++] = 413;
        statuses[count++] = 422;
    }
    if ((route->flags & (ROUTE_OPEN | ROUTE_METRICS)) == 0)
        statuses[count++] = 503;
    statuses[count] = 0;
    return count;
}
