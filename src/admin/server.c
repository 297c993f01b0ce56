/* server: see server.h. */
#include "admin/server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "admin/call.h"
#include "base/clock.h"
#include "base/log.h"

enum {
    CONNECTIONS_MAX = 128,
    LISTENERS_MAX = 256, /* as many as tracker.yaml may name */
    HEADERS_MAX = 8 * 1024,
    BODY_READ_MAX = 256 * 1024, /* what is between CALL_BODY_MAX and this gets a proper answer */
    SWEEP_MS = 250,
};

/* A connection that got no answer for so long is closed: idle, or sending or reading drop by drop. */
#define PATIENCE_NS INT64_C(30000000000)

/*
 * evhttp bounds neither how many connections there are nor how long one may take
 * for its request. So each connection's bufferevent is made here, and a second
 * reference is kept: evhttp takes its callbacks off when it lets go of one.
 */
struct connection {
    TAILQ_ENTRY(connection)
    entry;
    struct bufferevent *stream;
    int64_t active_ns;
};

struct server {
    struct evhttp *http;
    struct backend *backend;
    bool is_local;
    struct event *sweep;
    struct evconnlistener *listeners[LISTENERS_MAX];
    size_t listener_count;
    bool is_paused; /* the listeners are off until connections have gone */
    TAILQ_HEAD(connection_list, connection) connections;
    size_t connection_count;
};

static void set_paused(struct server *server, bool pause)
{
    if (server->is_paused == pause)
        return;
    server->is_paused = pause;
    for (size_t i = 0; i < server->listener_count; i++) {
        if (pause)
            (void)evconnlistener_disable(server->listeners[i]);
        else
            (void)evconnlistener_enable(server->listeners[i]);
    }
}

static struct bufferevent *make_stream(struct event_base *base, void *context)
{
    struct server *server = context;
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL; /* evhttp makes one of its own: it is only not watched over */
    connection->stream = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (connection->stream == NULL) {
        free(connection);
        return NULL;
    }
    bufferevent_incref(connection->stream);
    connection->active_ns = clock_monotonic_ns();
    TAILQ_INSERT_TAIL(&server->connections, connection, entry);
    server->connection_count++;
    if (server->connection_count >= CONNECTIONS_MAX)
        set_paused(server, true);
    return connection->stream;
}

static void forget(struct server *server, struct connection *connection)
{
    TAILQ_REMOVE(&server->connections, connection, entry);
    server->connection_count--;
    (void)bufferevent_decref(connection->stream);
    free(connection);
}

static bool is_abandoned(const struct connection *connection)
{
    bufferevent_data_cb read, write;
    bufferevent_event_cb event;
    void *context;
    bufferevent_getcb(connection->stream, &read, &write, &event, &context);
    return read == NULL && write == NULL && event == NULL;
}

static void sweep(evutil_socket_t file, short what, void *context)
{
    struct server *server = context;
    struct connection *connection = TAILQ_FIRST(&server->connections);
    int64_t now = clock_monotonic_ns();
    (void)file;
    (void)what;
    while (connection != NULL) {
        struct connection *next = TAILQ_NEXT(connection, entry);
        if (is_abandoned(connection))
            forget(server, connection);
        else if (now - connection->active_ns > PATIENCE_NS)
            (void)shutdown(bufferevent_getfd(connection->stream), SHUT_RDWR); /* evhttp sees the end and lets go */
        connection = next;
    }
    if (server->connection_count < CONNECTIONS_MAX)
        set_paused(server, false);
}

static void note_activity(struct server *server, struct evhttp_request *request)
{
    struct evhttp_connection *carrier = evhttp_request_get_connection(request);
    struct bufferevent *stream = carrier != NULL ? evhttp_connection_get_bufferevent(carrier) : NULL;
    struct connection *connection = NULL;
    TAILQ_FOREACH (connection, &server->connections, entry) {
        if (connection->stream == stream)
            connection->active_ns = clock_monotonic_ns();
    }
}

/* From evhttp's request to a call. */

static enum admin_method method_of(struct evhttp_request *request, bool *is_head)
{
    *is_head = false;
    switch ((unsigned)evhttp_request_get_command(request)) {
    case EVHTTP_REQ_HEAD:
        *is_head = true;
        return METHOD_GET;
    case EVHTTP_REQ_GET:
        return METHOD_GET;
    case EVHTTP_REQ_POST:
        return METHOD_POST;
    case EVHTTP_REQ_PUT:
        return METHOD_PUT;
    case EVHTTP_REQ_PATCH:
        return METHOD_PATCH;
    case EVHTTP_REQ_DELETE:
        return METHOD_DELETE;
    default:
        return METHOD_OTHER;
    }
}

static const char *bearer_of(struct evhttp_request *request)
{
    const char *value = evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization");
    if (value == NULL || strncasecmp(value, "Bearer ", 7) != 0)
        return NULL;
    return value + 7 + strspn(value + 7, " ");
}

static void take_request(struct call *call, struct evhttp_request *request)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    struct evbuffer *body = evhttp_request_get_input_buffer(request);
    const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
    call->path = path != NULL && path[0] != '\0' ? path : "/";
    call->query = uri != NULL ? evhttp_uri_get_query(uri) : NULL;
    call->bearer = bearer_of(request);
    call->body_length = evbuffer_get_length(body);
    if (call->body_length > 0 && call->body_length <= CALL_BODY_MAX)
        call->body = (const char *)evbuffer_pullup(body, -1);
}

/* From the call's answer to evhttp's reply. */

static const char *phrase(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 204:
        return "No Content";
    case 413:
        return "Content Too Large";
    case 422:
        return "Unprocessable Content";
    default:
        return NULL; /* evhttp knows */
    }
}

static void add_allow(struct evkeyvalq *headers, unsigned allowed)
{
    char list[64] = "";
    for (unsigned i = 0; i < METHOD_COUNT; i++) {
        if ((allowed & 1U << i) == 0)
            continue;
        size_t length = strlen(list);
        (void)snprintf(list + length, sizeof list - length, "%s%s%s", length > 0 ? ", " : "", method_name(i),
                       i == METHOD_GET ? ", HEAD" : "");
    }
    (void)evhttp_add_header(headers, "Allow", list);
}

static void add_headers(struct evhttp_request *request, const struct call *call)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    (void)evhttp_add_header(headers, "Cache-Control", "no-store");
    (void)evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    if (call->policy != NULL) {
        (void)evhttp_add_header(headers, "Content-Security-Policy", call->policy);
        (void)evhttp_add_header(headers, "Referrer-Policy", "no-referrer");
        (void)evhttp_add_header(headers, "X-Frame-Options", "DENY");
    }
    if (call->status == 401)
        (void)evhttp_add_header(headers, "WWW-Authenticate", "Bearer realm=\"privtrak\"");
    if (call->status == 405)
        add_allow(headers, call->allowed);
    if (call->status != 204)
        (void)evhttp_add_header(headers, "Content-Type",
                                call->content_type != NULL ? call->content_type : "application/json");
}

static void fill_body(struct evbuffer *body, struct call *call)
{
    if (call->answer != NULL) {
        char *text = json_dumps(call->answer, JSON_COMPACT);
        if (text != NULL)
            (void)evbuffer_add_printf(body, "%s\n", text);
        free(text);
    } else if (call->text != NULL) {
        (void)evbuffer_add(body, call->text, call->text_length);
    } else if (call->page != NULL) {
        (void)evbuffer_add(body, call->page, call->text_length);
    }
}

static void run_afterwards(struct evhttp_request *request, void *context)
{
    struct call *call = context;
    (void)request;
    call->afterwards(call->backend);
    free(call);
}

static void arrange_afterwards(struct evhttp_request *request, const struct call *call)
{
    struct call *kept = calloc(1, sizeof *kept);
    if (kept == NULL) {
        call->afterwards(call->backend);
        return;
    }
    kept->backend = call->backend;
    kept->afterwards = call->afterwards;
    evhttp_request_set_on_complete_cb(request, run_afterwards, kept);
}

static void reply(struct evhttp_request *request, struct call *call, bool is_head)
{
    struct evbuffer *body = evbuffer_new();
    add_headers(request, call);
    if (body != NULL)
        fill_body(body, call);
    if (is_head && body != NULL) {
        char length[32];
        (void)snprintf(length, sizeof length, "%zu", evbuffer_get_length(body));
        (void)evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Length", length);
        (void)evbuffer_drain(body, evbuffer_get_length(body));
    }
    if (call->afterwards != NULL)
        arrange_afterwards(request, call);
    evhttp_send_reply(request, call->status, phrase(call->status), body);
    if (body != NULL)
        evbuffer_free(body);
}

static void serve(struct evhttp_request *request, void *context)
{
    struct server *server = context;
    struct call call = {.backend = server->backend, .is_local = server->is_local};
    bool is_head;
    call.method = method_of(request, &is_head);
    take_request(&call, request);
    (void)pthread_mutex_lock(&server->backend->busy);
    call_run(&call);
    (void)pthread_mutex_unlock(&server->backend->busy);
    if (call.method != METHOD_GET && call.method != METHOD_OTHER)
        log_info("admin", "method=%s path=%s via=%s status=%d", method_name(call.method), call.path,
                 server->is_local ? "socket" : "tcp", call.status);
    note_activity(server, request);
    reply(request, &call, is_head);
    call_clear(&call);
}

static void accept_failed(struct evconnlistener *listener, void *context)
{
    (void)listener;
    LOG_LIMITED(LOG_LEVEL_WARNING, "admin", "cannot take a connection: %s",
                evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
    set_paused(context, true); /* until the next sweep: out of descriptors, it would fail again at once */
}

int server_add(struct server *server, int file)
{
    if (server->listener_count == LISTENERS_MAX)
        return -1;
    struct event_base *base = event_get_base(server->sweep);
    struct evconnlistener *listener = evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, file);
    if (listener == NULL)
        return -1;
    if (evhttp_bind_listener(server->http, listener) == NULL) {
        evconnlistener_free(listener);
        return -1;
    }
    evconnlistener_set_error_cb(listener, accept_failed);
    server->listeners[server->listener_count++] = listener;
    return 0;
}

struct server *server_new(struct event_base *base, struct backend *backend, bool is_local)
{
    struct server *server = calloc(1, sizeof *server);
    struct timeval pause = {.tv_usec = SWEEP_MS * 1000};
    if (server == NULL)
        return NULL;
    TAILQ_INIT(&server->connections);
    server->backend = backend;
    server->is_local = is_local;
    server->http = evhttp_new(base);
    server->sweep = event_new(base, -1, EV_PERSIST, sweep, server);
    if (server->http == NULL || server->sweep == NULL || event_add(server->sweep, &pause) != 0) {
        server_free(server);
        return NULL;
    }
    evhttp_set_bevcb(server->http, make_stream, server);
    evhttp_set_gencb(server->http, serve, server);
    evhttp_set_max_headers_size(server->http, HEADERS_MAX);
    evhttp_set_max_body_size(server->http, BODY_READ_MAX);
    (void)evhttp_set_flags(server->http, EVHTTP_SERVER_LINGERING_CLOSE);
    evhttp_set_allowed_methods(server->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
                                                 EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
                                                 EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    return server;
}

void server_free(struct server *server)
{
    if (server == NULL)
        return;
    if (server->http != NULL)
        evhttp_free(server->http);
    struct connection *connection = TAILQ_FIRST(&server->connections);
    while (connection != NULL) {
        struct connection *next = TAILQ_NEXT(connection, entry);
        forget(server, connection);
        connection = next;
    }
    if (server->sweep != NULL)
        event_free(server->sweep);
    free(server);
}
