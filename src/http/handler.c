/* handler: see handler.h. Runs on the worker's thread. */
#include "http/handler.h"

#include <stdlib.h>
#include <string.h>

#include "http/connection.h"
#include "http/output.h"
#include "http/query.h"
#include "tracker/route.h"

/* A scrape that is on its way, with the room for its hashes and results behind it. */
struct http_scrape {
    struct scrape scrape;
    struct scrape_result results[];
};

static void count(struct http_worker *home, const struct address *source, enum request_action action,
                  enum request_result result)
{
    counter_add(&worker_counters(home->worker)
                     ->requests[PROTOCOL_HTTP][source->family == 6 ? FAMILY6 : FAMILY4][action][result],
                1);
}

static const struct address *request_source(const struct connection *connection)
{
    const struct address *forwarded = &connection->request.forwarded;
    return forwarded->family != 0 ? forwarded : &connection->peer;
}

void handle_malformed(struct connection *connection, unsigned status)
{
    connection->head.closes = true;
    connection->head.no_body = connection->request.method == METHOD_HEAD;
    connection->lingers = true;
    connection->state = CONNECTION_FINISHING;
    count(connection->home, &connection->peer, ACTION_ANNOUNCE, RESULT_MALFORMED);
    output_add(connection, reply_status(output_room(connection), &connection->head, status));
}

static void answer_status(struct connection *connection, unsigned status)
{
    count(connection->home, request_source(connection), ACTION_ANNOUNCE, RESULT_MALFORMED);
    output_add(connection, reply_status(output_room(connection), &connection->head, status));
}

static void answer_failure(struct connection *connection, enum request_action action, const char *reason)
{
    count(connection->home, request_source(connection), action, RESULT_MALFORMED);
    output_add(connection, reply_failure(output_room(connection), &connection->head, reason, 0));
}

/* One more request is away; `hurries`: those that are answered already are not to wait for it. */
static void send_away(struct connection *connection, bool hurries)
{
    connection->away++;
    connection->hurries = hurries;
    connection->must_wait = hurries || connection->away == AWAY_MAX;
}

/* The connection that an answer is for, which has one less away now; NULL: it closed meanwhile. */
static struct connection *take_back(void *data, uint64_t tag)
{
    struct connection *connection = data;
    if (connection->generation != tag || connection->away == 0)
        return NULL;
    if (--connection->away > 0)
        return connection;
    connection->must_wait = false;
    if (connection->home->is_draining && !connection->has_more) {
        connection->head.closes = true;
        connection->state = CONNECTION_FINISHING;
    }
    return connection;
}

static void announce_answered(struct worker *worker, struct announce *announce)
{
    struct http_worker *home = worker_frontend(worker, FRONTEND_HTTP);
    if (home == NULL)
        return; /* stopped meanwhile: no connection is left */
    count(home, &announce->source, ACTION_ANNOUNCE, result_of_verdict(announce->verdict));
    struct connection *connection = take_back(announce->origin_data, announce->origin_tag);
    if (connection == NULL)
        return;
    output_add(connection, reply_announce(output_room(connection), &connection->head, announce));
    connection_continue(connection);
}

static void scrape_answered(struct worker *worker, struct scrape *scrape)
{
    struct http_worker *home = worker_frontend(worker, FRONTEND_HTTP);
    struct connection *connection = NULL;
    if (home != NULL) {
        count(home, &scrape->source, ACTION_SCRAPE, result_of_verdict(scrape->verdict));
        connection = take_back(scrape->origin_data, scrape->origin_tag);
    }
    if (connection != NULL) {
        output_add(connection, reply_scrape(output_room(connection), &connection->head, scrape));
        connection_continue(connection);
    }
    free(scrape); /* the first member of its http_scrape */
}

/*
 * An announce of this worker's own batch is answered within this turn of the event
 * loop, and behind those that joined the batch before it; one that waits for
 * another worker or for the disk is not.
 */
static bool comes_late(const struct http_worker *home, const uint8_t *info_hash)
{
    return torrent_owner(info_hash, worker_total(home->worker)) != worker_number(home->worker) ||
           home->config->deltas.durability == DURABILITY_STRICT;
}

static bool handle_announce(struct connection *connection, struct route *route, const char *query, size_t length)
{
    static const struct announce_origin origin = {.reply = announce_answered};
    struct http_worker *home = connection->home;
    struct announce *announce = worker_announce(home->worker); /* may run the batch, and so answer what is away */
    announce->source = *request_source(connection);
    const char *fault = query_read_announce(announce, route, query, length);
    bool is_late = fault == NULL && comes_late(home, announce->info_hash);
    if (connection->away > 0 && (fault != NULL || is_late)) {
        worker_discard(home->worker, announce);
        return false;
    }
    if (fault != NULL) {
        worker_discard(home->worker, announce);
        answer_failure(connection, ACTION_ANNOUNCE, fault);
        return true;
    }
    announce->protocol = PROTOCOL_HTTP;
    announce->origin = &origin;
    announce->origin_data = connection;
    announce->origin_tag = connection->generation;
    send_away(connection, is_late);
    worker_submit(home->worker, announce);
    return true;
}

static struct http_scrape *scrape_new(const struct connection *connection, const struct route *route,
                                      uint8_t (*info_hashes)[INFO_HASH_BYTES], uint32_t hash_count)
{
    size_t results_bytes = hash_count * sizeof(struct scrape_result);
    struct http_scrape *made = calloc(1, sizeof *made + results_bytes + (size_t)hash_count * INFO_HASH_BYTES);
    if (made == NULL)
        return NULL;
    struct scrape *scrape = &made->scrape;
    scrape->passkey_length = route->passkey_length;
    memcpy(scrape->passkey, route->passkey, route->passkey_length);
    scrape->source = *request_source(connection);
    scrape->protocol = PROTOCOL_HTTP;
    scrape->count = hash_count;
    scrape->results = made->results;
    scrape->info_hashes = (uint8_t(*)[INFO_HASH_BYTES])(void *)((char *)made->results + results_bytes);
    memcpy(scrape->info_hashes, info_hashes, (size_t)hash_count * INFO_HASH_BYTES);
    return made;
}

static void handle_scrape(struct connection *connection, struct route *route, const char *query, size_t length)
{
    struct http_worker *home = connection->home;
    uint8_t info_hashes[SCRAPE_MAX][INFO_HASH_BYTES];
    uint32_t hash_count = 0;
    uint32_t max = home->config->tracker.max_scrape < SCRAPE_MAX ? home->config->tracker.max_scrape : SCRAPE_MAX;
    const char *fault = query_read_scrape(info_hashes, &hash_count, max, route, query, length);
    if (fault != NULL) {
        answer_failure(connection, ACTION_SCRAPE, fault);
        return;
    }
    struct http_scrape *made = scrape_new(connection, route, info_hashes, hash_count);
    if (made == NULL) {
        count(home, request_source(connection), ACTION_SCRAPE, RESULT_OVERLOAD);
        output_add(connection, reply_failure(output_room(connection), &connection->head, "tracker out of memory", 60));
        return;
    }
    made->scrape.reply = scrape_answered;
    made->scrape.origin_data = connection;
    made->scrape.origin_tag = connection->generation;
    send_away(connection, true);
    worker_scrape(home->worker, &made->scrape);
}

/* HEAD gets the headers and changes nothing. */
static void answer_head(struct connection *connection, enum request_action action)
{
    count(connection->home, request_source(connection), action, RESULT_OK);
    output_add(connection, reply_headers_only(output_room(connection), &connection->head));
}

/* All that may be said of a request at once, whatever it asks for. */
static struct reply_head head_of(const struct connection *connection)
{
    const struct request *request = &connection->request;
    const struct http_worker *home = connection->home;
    return (struct reply_head){
        .closes = !request_keeps_alive(request) || !home->config->http.keepalive ||
                  (home->is_draining && !connection->has_more),
        .is_http10 = request->is_http10,
        .no_body = request->method == METHOD_HEAD,
    };
}

/* Behind requests that are away only an announce can be handled, and where its reply gets the same head. */
static bool may_join(const struct connection *connection, const struct reply_head *head, const struct route *route)
{
    return connection->away == 0 || (route->action == ROUTE_ANNOUNCE && connection->request.method == METHOD_GET &&
                                     memcmp(head, &connection->head, sizeof *head) == 0);
}

bool handle_request(struct connection *connection, const char *data)
{
    const struct request *request = &connection->request;
    struct reply_head head = head_of(connection);
    struct route route = {.action = ROUTE_NONE};
    if (request->method != METHOD_OTHER)
        route_parse_path(&route, data + request->path_at, request->path_length, false);
    if (!may_join(connection, &head, &route))
        return false;
    connection->head = head;
    if (head.closes)
        connection->state = CONNECTION_FINISHING;
    connection->lingers = request->has_body;
    const char *query = data + request->query_at;
    if (request->method == METHOD_OTHER)
        answer_status(connection, 405);
    else if (route.bad_escape)
        answer_status(connection, 400);
    else if (route.action == ROUTE_NONE)
        answer_status(connection, 404);
    else if (request->method == METHOD_HEAD)
        answer_head(connection, route.action == ROUTE_ANNOUNCE ? ACTION_ANNOUNCE : ACTION_SCRAPE);
    else if (route.action == ROUTE_ANNOUNCE)
        return handle_announce(connection, &route, query, request->query_length);
    else
        handle_scrape(connection, &route, query, request->query_length);
    return true;
}
