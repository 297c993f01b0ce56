/* routes_torrents: /api/v1/torrents and the peers of each. Fields are the columns of the table. */
#include <stdlib.h>
#include <string.h>

#include "admin/call.h"
#include "admin/fields.h"
#include "admin/text.h"
#include "base/hex.h"

enum { TORRENT_FIELD_HASH = 1 << 30 };

/* How far into a swarm the list of its peers can be followed. */
enum { PEERS_MAX = 100000 };

static const char *take_hash(const json_t *value, void *member, size_t size)
{
    const char *text = json_string_value(value);
    if (text == NULL || !hex_decode(member, size, text, strlen(text)))
        return "an info hash of 40 hex digits";
    return NULL;
}

static const char *take_state(const json_t *value, void *member, size_t size)
{
    enum torrent_state state;
    const char *text = json_string_value(value);
    if (text == NULL || size != sizeof state || !torrent_state_parse(&state, text))
        return "approved, pending or deleted";
    memcpy(member, &state, sizeof state);
    return NULL;
}

#define SETTABLE_FIELDS                                                                                            \
    {"name", FIELD_TEXT, TORRENT_FIELD_NAME, FIELD_MEMBER(struct torrent_row, name)},                              \
        {"size", FIELD_NUMBER, TORRENT_FIELD_SIZE, FIELD_MEMBER(struct torrent_row, size), .most = INT64_MAX},     \
        {"state", FIELD_CUSTOM, TORRENT_FIELD_STATE, FIELD_MEMBER(struct torrent_row, state), .take = take_state}, \
        {"reason", FIELD_TEXT, TORRENT_FIELD_REASON, FIELD_MEMBER(struct torrent_row, reason)},                    \
        {"upload_percent", FIELD_NUMBER, TORRENT_FIELD_UPLOAD_PERCENT,                                             \
         FIELD_MEMBER(struct torrent_row, upload_percent), .most = DATABASE_PERCENT_MAX},                          \
        {"download_percent", FIELD_NUMBER, TORRENT_FIELD_DOWNLOAD_PERCENT,                                         \
         FIELD_MEMBER(struct torrent_row, download_percent), .most = DATABASE_PERCENT_MAX},                        \
        {.name = "id", .kind = FIELD_FIXED}, {.name = "seeders", .kind = FIELD_FIXED},                             \
        {.name = "leechers", .kind = FIELD_FIXED}, {.name = "snatches", .kind = FIELD_FIXED},                      \
        {.name = "created_at", .kind = FIELD_FIXED},                                                               \
    {                                                                                                              \
        .name = "updated_at", .kind = FIELD_FIXED                                                                  \
    }

static const struct field create_fields[] = {
    {"info_hash", FIELD_CUSTOM, TORRENT_FIELD_HASH, FIELD_MEMBER(struct torrent_row, info_hash), .take = take_hash},
    SETTABLE_FIELDS,
    {.name = NULL},
};

static const struct field change_fields[] = {
    {.name = "info_hash", .kind = FIELD_FIXED},
    SETTABLE_FIELDS,
    {.name = NULL},
};

static const struct field delete_fields[] = {
    {"reason", FIELD_TEXT, TORRENT_FIELD_REASON, FIELD_MEMBER(struct torrent_row, reason)},
    {.name = NULL},
};

static json_t *torrent_json(const struct torrent_row *row)
{
    char hash[2 * INFO_HASH_BYTES + 1];
    hex_encode(hash, row->info_hash, INFO_HASH_BYTES);
    return json_pack("{s:I, s:s, s:o, s:I, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "id", (json_int_t)row->id,
                     "info_hash", hash, "name", text_json(row->name), "size", (json_int_t)row->size, "state",
                     torrent_state_name(row->state), "reason", text_json(row->reason), "upload_percent",
                     (json_int_t)row->upload_percent, "download_percent", (json_int_t)row->download_percent, "seeders",
                     (json_int_t)row->seeders, "leechers", (json_int_t)row->leechers, "snatches",
                     (json_int_t)row->snatches, "created_at", (json_int_t)row->created_at, "updated_at",
                     (json_int_t)row->updated_at);
}

static bool take_path_hash(struct call *call, uint8_t hash[static INFO_HASH_BYTES])
{
    if (hex_decode(hash, INFO_HASH_BYTES, call->argument, strlen(call->argument)))
        return true;
    call_fail(call, 404, "not_found", "there is no torrent with that info hash");
    return false;
}

static void finish(struct call *call, enum database_result result, const struct error *error, int status,
                   const struct torrent_row *row)
{
    if (result != DATABASE_OK) {
        call_fail_database(call, result, error);
        return;
    }
    if (call_put_in_force(call) == 0)
        call_answer(call, status, torrent_json(row));
}

/* The `next` of a list that came out full: NULL where nothing follows. */
static json_t *next_after(struct call *call, int64_t last, const char *search)
{
    struct torrent_row *row = malloc(sizeof *row);
    size_t count = 0;
    struct error error = {""};
    bool follows =
        row != NULL &&
        database_torrent_list(call->backend->database, last, 1, search, row, &count, &error) == DATABASE_OK &&
        count > 0;
    free(row);
    return follows ? json_integer(last) : json_null();
}

static void list_torrents(struct call *call)
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
    struct torrent_row *rows = calloc(limit, sizeof *rows);
    size_t count = 0;
    struct error error = {""};
    if (rows == NULL) {
        call_answer(call, 500, NULL);
        return;
    }
    enum database_result result =
        database_torrent_list(call->backend->database, (int64_t)after, limit, wanted, rows, &count, &error);
    if (result != DATABASE_OK) {
        call_fail_database(call, result, &error);
    } else {
        json_t *list = json_array();
        for (size_t i = 0; i < count; i++)
            (void)json_array_append_new(list, torrent_json(&rows[i]));
        json_t *next = count == limit ? next_after(call, rows[count - 1].id, wanted) : json_null();
        call_answer(call, 200, json_pack("{s:o, s:o}", "torrents", list, "next", next));
    }
    free(rows);
}

static void create_torrent(struct call *call)
{
    struct torrent_row row = {.id = 0};
    struct error error = {""};
    unsigned present;
    if (!fields_read(call, create_fields, &row, &present))
        return;
    if ((present & TORRENT_FIELD_HASH) == 0) {
        call_fail(call, 422, "bad_value", "info_hash: is needed");
        return;
    }
    enum database_result result =
        database_torrent_create(call->backend->database, present & ~(unsigned)TORRENT_FIELD_HASH, &row, &error);
    finish(call, result, &error, 201, &row);
}

/* The tables lag behind by a flush; the swarm itself knows better. */
static void take_live_counts(struct call *call, struct torrent_row *row)
{
    struct torrent_view view = {.known = false};
    if (tracker_view_torrent(call->backend->parts.tracker, row->info_hash, 0, &view) == 0 && view.known) {
        row->seeders = view.seeders;
        row->leechers = view.leechers;
        if (view.snatches > row->snatches)
            row->snatches = view.snatches;
    }
    free(view.peers);
}

static void show_torrent(struct call *call)
{
    struct torrent_row row = {.id = 0};
    struct error error = {""};
    uint8_t hash[INFO_HASH_BYTES];
    if (!take_path_hash(call, hash))
        return;
    enum database_result result = database_torrent_get(call->backend->database, hash, &row, &error);
    if (result != DATABASE_OK) {
        call_fail_database(call, result, &error);
        return;
    }
    take_live_counts(call, &row);
    call_answer(call, 200, torrent_json(&row));
}

static void change_torrent(struct call *call)
{
    struct torrent_row row = {.id = 0};
    struct error error = {""};
    uint8_t hash[INFO_HASH_BYTES];
    unsigned present;
    if (!take_path_hash(call, hash) || !fields_read(call, change_fields, &row, &present))
        return;
    /* A reason belongs to the state that it was given for. */
    if ((present & TORRENT_FIELD_STATE) != 0)
        present |= TORRENT_FIELD_REASON;
    enum database_result result = present != 0
                                      ? database_torrent_update(call->backend->database, hash, present, &row, &error)
                                      : database_torrent_get(call->backend->database, hash, &row, &error);
    finish(call, result, &error, 200, &row);
}

static void delete_torrent(struct call *call)
{
    static const char *const names[] = {"reason", NULL};
    struct torrent_row row = {.id = 0};
    struct error error = {""};
    uint8_t hash[INFO_HASH_BYTES];
    unsigned present = 0;
    if (!take_path_hash(call, hash) || !call_query_known(call, names) ||
        !call_query_text(call, "reason", row.reason, sizeof row.reason, NULL))
        return;
    if (call->json != NULL && !fields_read(call, delete_fields, &row, &present))
        return;
    row.state = TORRENT_DELETED;
    enum database_result result = database_torrent_update(call->backend->database, hash,
                                                          TORRENT_FIELD_STATE | TORRENT_FIELD_REASON, &row, &error);
    if (result != DATABASE_OK)
        call_fail_database(call, result, &error);
    else if (call_put_in_force(call) == 0)
        call_answer_empty(call, 204);
}

/* Peers. */

/* What a peer id says of its client: the Azureus style's eight characters, as in the deltas. */
static void client_of(char text[static 9], const uint8_t *peer_id)
{
    size_t length = 0;
    while (length < 8 && peer_id[length] > 0x20 && peer_id[length] < 0x7f) {
        text[length] = (char)peer_id[length];
        length++;
    }
    text[length] = '\0';
}

static int set_endpoint(json_t *object, const char *ip_name, const char *port_name, const struct address *address,
                        bool hide)
{
    char ip[ADDRESS_TEXT_BYTES];
    if (address->family == 0 || hide)
        return json_object_set_new(object, ip_name, json_null()) | json_object_set_new(object, port_name, json_null());
    return json_object_set_new(object, ip_name, json_string(address_format_ip(address, ip))) |
           json_object_set_new(object, port_name, json_integer(address->port));
}

static json_t *peer_json(struct backend *backend, const struct torrent_view *view, const struct peer_view *peer)
{
    char id[2 * PEER_ID_BYTES + 1];
    char client[9];
    hex_encode(id, peer->peer_id, PEER_ID_BYTES);
    client_of(client, peer->peer_id);
    const struct user *user = users_at(backend->parts.users, peer->user_index);
    bool hide = user != NULL && (user->flags & USER_HIDE_ADDRESS) != 0;
    json_t *object =
        json_pack("{s:I, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:b}", "user_id",
                  (json_int_t)(user != NULL ? user->id : peer->user_id), "torrent_id", (json_int_t)view->id, "peer_id",
                  id, "client", client, "uploaded", (json_int_t)peer->uploaded, "downloaded",
                  (json_int_t)peer->downloaded, "left_bytes", (json_int_t)peer->left, "last_announce",
                  (json_int_t)(peer->last_announce_ms / 1000), "seeding", peer->seeding);
    if (object != NULL) {
        (void)set_endpoint(object, "ip4", "port4", &peer->address4, hide);
        (void)set_endpoint(object, "ip6", "port6", &peer->address6, hide);
    }
    return object;
}

static json_t *peers_json(struct call *call, const struct torrent_view *view, size_t after, size_t limit)
{
    json_t *list = json_array();
    size_t end = view->peer_count < after + limit ? view->peer_count : after + limit;
    users_read_begin();
    for (size_t i = after; i < end; i++)
        (void)json_array_append_new(list, peer_json(call->backend, view, &view->peers[i]));
    users_read_end();
    json_int_t next = (json_int_t)after + (json_int_t)limit;
    bool follows = view->peer_count > after + limit && next <= PEERS_MAX;
    return json_pack("{s:o, s:o}", "peers", list, "next", follows ? json_integer(next) : json_null());
}

static void list_peers(struct call *call)
{
    static const char *const names[] = {"limit", "after", NULL};
    uint8_t hash[INFO_HASH_BYTES];
    uint64_t limit = LIST_LIMIT_DEFAULT;
    uint64_t after = 0;
    if (!take_path_hash(call, hash) || !call_query_known(call, names) ||
        !call_query_number(call, "limit", 1, LIST_LIMIT_MAX, &limit) ||
        !call_query_number(call, "after", 0, PEERS_MAX, &after))
        return;
    struct torrent_view view = {.known = false};
    if (tracker_view_torrent(call->backend->parts.tracker, hash, after + limit + 1, &view) != 0)
        call_answer(call, 500, NULL);
    else if (!view.known)
        call_fail(call, 404, "not_found", "there is no torrent with that info hash");
    else
        call_answer(call, 200, peers_json(call, &view, after, limit));
    free(view.peers);
}

const struct admin_route routes_torrents[] = {
    {METHOD_GET, 0, "/api/v1/torrents", list_torrents, {200, 422}},
    {METHOD_POST, ROUTE_BODY, "/api/v1/torrents", create_torrent, {201, 409}},
    {METHOD_GET, 0, "/api/v1/torrents/{info_hash}", show_torrent, {200, 404}},
    {METHOD_PATCH, ROUTE_BODY, "/api/v1/torrents/{info_hash}", change_torrent, {200, 404}},
    {METHOD_DELETE, ROUTE_MAYBE_BODY, "/api/v1/torrents/{info_hash}", delete_torrent, {204, 404}},
    {METHOD_GET, 0, "/api/v1/torrents/{info_hash}/peers", list_peers, {200, 404, 422}},
    {.pattern = NULL},
};
