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
        inbox->vectors[i].iov_len = sizeof inbox->datagrams[i];
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

void udp_socket_readable(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct udp_socket *socket = context;
    for (unsigned batch = 0; batch < UDP_TURN_BATCHES && !socket->frontend->is_draining; batch++) {
        unsigned count = receive_batch(socket);
        if (count > 0)
            handle_batch(socket, count);
        if (count < UDP_BATCH)
            return;
    }
}
