/* receive: reads datagrams in batches and sees each batch through to its replies. */
#include "udp/frontend.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

void udp_inbox_arm(struct udp_inbox *inbox, unsigned place)
{
    struct msghdr *header = &inbox->messages[place].msg_hdr;
    struct udp_envelope *envelope = &inbox->requests[place]->envelope;
    header->msg_name = &envelope->peer;
    header->msg_namelen = UDP_PEER_BYTES;
    header->msg_control = envelope->control;
    header->msg_controllen = UDP_CONTROL_BYTES;
}

void udp_inbox_init(struct udp_frontend *frontend)
{
    struct udp_inbox *inbox = &frontend->inbox;
    for (unsigned i = 0; i < UDP_BATCH; i++) {
        inbox->requests[i] = &frontend->own_requests[i];
        inbox->vectors[i].iov_base = inbox->datagrams[i];
        inbox->vectors[i].iov_len = PACKET_REQUEST_MAX;
        inbox->messages[i].msg_hdr.msg_iov = &inbox->vectors[i];
        inbox->messages[i].msg_hdr.msg_iovlen = 1;
        udp_inbox_arm(inbox, i);
    }
}

/* Returns how many datagrams there are now, 0 for none. */
static unsigned receive_batch(struct udp_socket *socket)
{
    int count = recvmmsg(socket->fd, socket->frontend->inbox.messages, UDP_BATCH, MSG_DONTWAIT, NULL);
    if (count >= 0)
        return (unsigned)count;
    /* The socket stays readable where there is more: the next turn comes back to it. */
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != ECONNREFUSED)
        LOG_LIMITED(LOG_LEVEL_WARNING, "udp", "cannot receive: %s", strerror(errno));
    return 0;
}

/* Scrapes come after the batch's announces, and so see all that came before them. */
static void handle_scrapes(struct udp_frontend *frontend)
{
    /* The worker may run other announces first, in the memory that the replies still stand in. */
    udp_outbox_send(frontend);
    for (unsigned i = 0; i < frontend->scrape_count; i++)
        udp_handle_scrape(frontend, frontend->scrapes[i]);
    frontend->scrape_count = 0;
}

static void handle_batch(struct udp_socket *socket, unsigned count)
{
    struct udp_frontend *frontend = socket->frontend;
    struct udp_inbox *inbox = &frontend->inbox;
    frontend->batch_ns = clock_monotonic_ns();
    frontend->now_s = worker_tick(frontend->worker) / 1000;
    frontend->is_receiving = true;
    for (unsigned i = 0; i < count; i++) {
        inbox->requests[i]->socket = socket;
        udp_handle_datagram(frontend, i);
    }
    if (frontend->pending_count > 0)
        worker_flush(frontend->worker);
    if (frontend->scrape_count > 0)
        handle_scrapes(frontend);
    udp_outbox_send(frontend);
    frontend->is_receiving = false;
    udp_detach_pending(frontend, count);
    for (unsigned i = 0; i < count; i++)
        udp_inbox_arm(inbox, i);
}

int udp_socket_watch(struct udp_socket *socket)
{
    if (event_add(socket->readable, NULL) != 0)
        return -1;
    (void)event_del(socket->next_turn);
    socket->is_polled = false;
    return 0;
}

void udp_socket_ignore(struct udp_socket *socket)
{
    (void)event_del(socket->readable);
    (void)event_del(socket->next_turn);
}

/*
 * A socket that epoll watches wakes it up for each datagram, and for each reply too: some 140 ns
 * of kernel time a reply (bench_udp_frontend, with the bare responder's socket watched or not). A
 * socket that fills a batch is therefore no longer watched, but read in each turn until it is empty.
 */
static void poll_next_turn(struct udp_socket *socket)
{
    static const struct timeval at_once = {0, 0};
    if (event_add(socket->next_turn, &at_once) == 0 && !socket->is_polled) {
        (void)event_del(socket->readable);
        socket->is_polled = true;
    }
}

void udp_socket_readable(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct udp_socket *socket = context;
    unsigned count = UDP_BATCH;
    for (unsigned batch = 0; count == UDP_BATCH && batch < UDP_TURN_BATCHES; batch++) {
        if (socket->frontend->is_draining)
            return;
        count = receive_batch(socket);
        if (count == UDP_BATCH && !socket->is_polled)
            poll_next_turn(socket);
        if (count > 0)
            handle_batch(socket, count);
    }
    if (!socket->is_polled || socket->frontend->is_draining)
        return;
    if (count > 0 || udp_socket_watch(socket) != 0)
        poll_next_turn(socket);
}
