/* frontend: start, reload, drain and stop of a worker's part of the UDP frontend. */
#include "udp/frontend.h"

#include <stdlib.h>

static void take_settings(struct udp_frontend *frontend, const struct config *config)
{
    uint32_t max_scrape = config->tracker.max_scrape;
    if (max_scrape > PACKET_SCRAPE_MAX)
        max_scrape = PACKET_SCRAPE_MAX;
    frontend->settings = (struct udp_settings){
        .connection_lifetime_s = config->udp.connection_lifetime_s,
        .default_numwant = config->tracker.default_numwant,
        .max_scrape = config->udp.scrape ? max_scrape : 0,
    };
    frontend->good_id = (struct udp_good_id){0};
}

static void send_late(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    udp_outbox_send(context);
}

static int start_socket(struct udp_frontend *frontend, struct udp_socket *socket, const struct udp_listener *listener,
                        size_t number)
{
    socket->frontend = frontend;
    socket->fd = listener->sockets[frontend->number];
    socket->listener = (uint16_t)number;
    socket->family = listener->address.family == 4 ? FAMILY4 : FAMILY6;
    socket->can_merge = udp_merge_is_supported(socket->fd);
    socket->readable =
        event_new(worker_base(frontend->worker), socket->fd, EV_READ | EV_PERSIST, udp_socket_readable, socket);
    socket->next_turn = event_new(worker_base(frontend->worker), -1, 0, udp_socket_readable, socket);
    return socket->readable != NULL && socket->next_turn != NULL ? udp_socket_watch(socket) : -1;
}

static void free_frontend(struct udp_frontend *frontend)
{
    for (size_t i = 0; i < frontend->socket_count; i++) {
        if (frontend->sockets[i].readable != NULL)
            event_free(frontend->sockets[i].readable);
        if (frontend->sockets[i].next_turn != NULL)
            event_free(frontend->sockets[i].next_turn);
    }
    if (frontend->send_event != NULL)
        event_free(frontend->send_event);
    udp_pools_free(frontend);
    free(frontend);
}

static int start(struct worker *worker, void *context)
{
    const struct udp_listeners *listeners = context;
    struct udp_frontend *frontend = calloc(1, sizeof *frontend + listeners->count * sizeof frontend->sockets[0]);
    if (frontend == NULL || worker_number(worker) >= listeners->workers) {
        free(frontend);
        return -1;
    }
    frontend->worker = worker;
    frontend->counters = worker_counters(worker);
    frontend->key = &listeners->key;
    frontend->number = worker_number(worker);
    frontend->workers = worker_total(worker);
    take_settings(frontend, worker_config(worker));
    udp_inbox_init(frontend);
    udp_outbox_init(frontend);

    frontend->send_event = event_new(worker_base(worker), -1, 0, send_late, frontend);
    bool is_good = frontend->send_event != NULL;
    frontend->socket_count = listeners->count;
    for (size_t i = 0; is_good && i < listeners->count; i++)
        is_good = start_socket(frontend, &frontend->sockets[i], &listeners->items[i], i) == 0;
    if (!is_good) {
        free_frontend(frontend);
        return -1;
    }
    worker_set_frontend(worker, FRONTEND_UDP, frontend);
    return 0;
}

static void reload(struct worker *worker, void *context, const struct config *config)
{
    (void)context;
    struct udp_frontend *frontend = worker_frontend(worker, FRONTEND_UDP);
    if (frontend != NULL)
        take_settings(frontend, config);
}

/* The sockets stay open: were one closed, the kernel would count the others anew. */
static void drain(struct worker *worker, void *context)
{
    (void)context;
    struct udp_frontend *frontend = worker_frontend(worker, FRONTEND_UDP);
    if (frontend == NULL)
        return;
    frontend->is_draining = true;
    for (size_t i = 0; i < frontend->socket_count; i++)
        udp_socket_ignore(&frontend->sockets[i]);
}

static void stop(struct worker *worker, void *context)
{
    (void)context;
    struct udp_frontend *frontend = worker_frontend(worker, FRONTEND_UDP);
    if (frontend == NULL)
        return;
    udp_outbox_send(frontend);
    worker_set_frontend(worker, FRONTEND_UDP, NULL);
    free_frontend(frontend);
}

void udp_add_to(struct tracker *tracker, struct udp_listeners *listeners)
{
    listeners->hooks =
        (struct worker_hooks){.start = start, .reload = reload, .drain = drain, .stop = stop, .context = listeners};
    tracker_add_hooks(tracker, &listeners->hooks);
}
