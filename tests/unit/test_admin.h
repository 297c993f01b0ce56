/*
 * What the tests of the operator's side share: a real database in a directory of
 * its own, real users, and fakes for the tracker, the ledger and the registry,
 * which stand in for those of the library.
 */
#ifndef PRIVTRAK_TESTS_TEST_ADMIN_H
#define PRIVTRAK_TESTS_TEST_ADMIN_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/backend.h"
#include "admin/call.h"
#include "base/hex.h"
#include "database/registry.h"

#define TEST_TOKEN "0123456789abcdef0123456789abcdef"
#define HASH_A "00112233445566778899aabbccddeeff00112233"
#define HASH_B "ffeeddccbbaa99887766554433221100ffeeddcc"

/* What the fakes answer, and what they were asked. */
static struct {
    struct counters counters;
    struct ledger_status ledger;
    struct torrent_view view; /* of every torrent; peers are copied */
    unsigned refreshes;
    bool refresh_fails;
    bool flush_fails;
    unsigned top_lookups;
} fake;

void tracker_counters(struct tracker *tracker, struct counters *sum)
{
    (void)tracker;
    *sum = fake.counters;
}

int tracker_view_torrent(struct tracker *tracker, const uint8_t *info_hash, size_t max_peers, struct torrent_view *view)
{
    (void)tracker;
    *view = fake.view;
    memcpy(view->info_hash, info_hash, INFO_HASH_BYTES);
    view->peer_count = fake.view.peer_count < max_peers ? fake.view.peer_count : max_peers;
    view->peers = calloc(view->peer_count + 1, sizeof *view->peers);
    if (view->peer_count > 0)
        memcpy(view->peers, fake.view.peers, view->peer_count * sizeof *view->peers);
    return 0;
}

size_t tracker_top_torrents(struct tracker *tracker, struct torrent_view *views, size_t max)
{
    (void)tracker;
    fake.top_lookups++;
    if (!fake.view.known || max == 0)
        return 0;
    views[0] = fake.view;
    return 1;
}

void ledger_status(struct ledger *ledger, struct ledger_status *status)
{
    (void)ledger;
    *status = fake.ledger;
}

uint64_t ledger_barrier(struct ledger *ledger)
{
    (void)ledger;
    return fake.ledger.last_seq;
}

bool ledger_flush(struct ledger *ledger, int64_t timeout_ms)
{
    (void)ledger;
    (void)timeout_ms;
    return !fake.flush_fails;
}

int registry_refresh(struct registry *registry, struct error *error)
{
    (void)registry;
    fake.refreshes++;
    return fake.refresh_fails ? error_set(error, "the table is on fire") : 0;
}

void registry_status(struct registry *registry, struct registry_status *status)
{
    (void)registry;
    *status = (struct registry_status){.up = true, .looks = 3, .last_look_ms = 1763885000000};
}

/* The state directory, and what the routes work on. */
static struct {
    char directory[64];
    char url[128];
    struct backend backend;
} site;

__attribute__((unused)) static void site_open(void)
{
    struct error error = {""};
    memset(&fake, 0, sizeof fake);
    memset(&site, 0, sizeof site);
    (void)snprintf(site.directory, sizeof site.directory, "/tmp/privtrak-admin-XXXXXX");
    cr_assert(mkdtemp(site.directory) != NULL);
    (void)snprintf(site.url, sizeof site.url, "sqlite:%s/privtrak.db", site.directory);
    users_thread_register();
    site.backend.parts.users = users_new();
    site.backend.database = database_open(site.url, &error);
    cr_assert(site.backend.database != NULL, "%s", error.text);
    memcpy(site.backend.token, TEST_TOKEN, sizeof TEST_TOKEN);
}

__attribute__((unused)) static void site_close(void)
{
    static const char *const names[] = {"privtrak.db", "privtrak.db-wal", "privtrak.db-shm",
                                        "admin.sock",  "admin.token",     "admin.token.new"};
    if (site.backend.database != NULL)
        database_close(site.backend.database);
    users_thread_unregister();
    users_free(site.backend.parts.users);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", site.directory, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(site.directory);
}

/* Whether the route that answered says that it may answer so; see the table. */
__attribute__((unused)) static bool status_is_declared(const struct call *call)
{
    int own[ROUTE_STATUSES_MAX];
    struct call probe = *call;
    for (size_t i = 0; admin_routes[i] != NULL; i++) {
        for (const struct admin_route *route = admin_routes[i]; route->pattern != NULL; route++) {
            if (route->method != probe.method || !call_path_matches(&probe, route->pattern))
                continue;
            for (size_t j = 0; j < ROUTE_STATUSES_MAX && route->statuses[j] != 0; j++) {
                if (route->statuses[j] == call->status)
                    return true;
            }
            (void)route_own_statuses(route, own);
            for (size_t j = 0; own[j] != 0; j++) {
                if (own[j] == call->status)
                    return true;
            }
            return false;
        }
    }
    return true; /* no route: 404 and 405 belong to none */
}

/* One call with the token; the target may hold a query. The answer is owned by the caller. */
__attribute__((unused)) static json_t *ask(enum admin_method method, const char *target, const char *body, int status)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s", target);
    char *mark = strchr(path, '?');
    if (mark != NULL)
        *mark = '\0';
    struct call call = {.backend = &site.backend, .method = method, .bearer = TEST_TOKEN, .path = path};
    call.query = mark != NULL ? mark + 1 : NULL;
    call.body = body;
    call.body_length = body != NULL ? strlen(body) : 0;
    call_run(&call);
    char *text = call.answer != NULL ? json_dumps(call.answer, JSON_COMPACT) : NULL;
    cr_assert_eq(call.status, status, "%s %s: status %d: %s", method_name(method), target, call.status,
                 text != NULL ? text : "");
    cr_assert(status_is_declared(&call), "%s %s: status %d is not in the table", method_name(method), target,
              call.status);
    free(text);
    json_t *answer = json_incref(call.answer);
    call_clear(&call);
    return answer;
}

__attribute__((unused)) static void ask_only(enum admin_method method, const char *target, const char *body, int status)
{
    json_decref(ask(method, target, body, status));
}

/* The error code that the call is refused with. */
__attribute__((unused)) static void ask_refused(enum admin_method method, const char *target, const char *body,
                                                int status, const char *in_message)
{
    json_t *answer = ask(method, target, body, status);
    const char *message = json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
    const char *code = json_string_value(json_object_get(json_object_get(answer, "error"), "code"));
    cr_assert(code != NULL && message != NULL);
    cr_assert(strstr(message, in_message) != NULL, "%s: found \"%s\", wanted \"%s\" in it", target, message,
              in_message);
    json_decref(answer);
}

__attribute__((unused)) static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

__attribute__((unused)) static const char *text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

#endif
