/*
 * forward: datagrams that came to a worker that does not own their torrent. The
 * kernel's filter makes that rare, but nothing rests on it. The owner handles such
 * a datagram as if it had come there, and answers from its own socket.
 */
#include "udp/frontend.h"

#include <stdlib.h>
#include <string.h>

struct forwarded {
    struct mail mail;
    struct udp_envelope envelope;
    int64_t received_ns;
    uint16_t listener;
    uint16_t length;
    uint8_t bytes[];
};

static struct udp_socket *socket_of(struct udp_frontend *frontend, uint16_t listener)
{
    for (size_t i = 0; i < frontend->socket_count; i++) {
        if (frontend->sockets[i].listener == listener)
            return &frontend->sockets[i];
    }
    return NULL;
}

static void handle_forwarded(struct udp_frontend *frontend, const struct forwarded *forwarded)
{
    struct udp_socket *socket = socket_of(frontend, forwarded->listener);
    struct udp_request *request = socket != NULL ? udp_request_take(frontend) : NULL;
    if (request == NULL) {
        counter_add(&frontend->counters->udp_send_failures, 1);
        return;
    }
    request->is_late = true;
    request->received_ns = forwarded->received_ns;
    request->envelope = forwarded->envelope;
    request->socket = socket;
    request->transaction = packet_transaction(forwarded->bytes);
    frontend->now_s = worker_now_ms(frontend->worker) / 1000;

    uint64_t generation = request->generation;
    udp_handle_announce(frontend, request, forwarded->bytes, forwarded->length);
    /* It may have been answered, and so be free already. */
    if (request->generation == generation && !request->is_pending)
        udp_request_finish(frontend, request);
}

static void deliver(struct worker *worker, struct mail *mail)
{
    struct forwarded *forwarded = (struct forwarded *)mail;
    struct udp_frontend *frontend = worker_frontend(worker, FRONTEND_UDP);
    if (frontend != NULL)
        handle_forwarded(frontend, forwarded);
    free(forwarded);
}

void udp_forward(struct udp_frontend *frontend, struct udp_request *request, const uint8_t *bytes, size_t length,
                 unsigned owner)
{
    struct forwarded *forwarded = malloc(sizeof *forwarded + length);
    if (forwarded != NULL) {
        forwarded->mail.deliver = deliver;
        forwarded->envelope = request->envelope;
        forwarded->received_ns = frontend->batch_ns;
        forwarded->listener = request->socket->listener;
        forwarded->length = (uint16_t)length;
        memcpy(forwarded->bytes, bytes, length);
        if (worker_post(frontend->worker, owner, &forwarded->mail)) {
            counter_add(&frontend->counters->mailed, 1);
            return;
        }
        free(forwarded);
    }
    udp_count(frontend, request, ACTION_ANNOUNCE, RESULT_OVERLOAD);
    udp_reply_error(frontend, request, "overloaded, try again later");
}
