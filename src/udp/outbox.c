/*
 * outbox: replies on their way to sendmmsg. A reply's addresses, and where it can
 * be its bytes too, are left where they stand until the batch is sent.
 */
#include "udp/frontend.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

void udp_outbox_init(struct udp_frontend *frontend)
{
    struct udp_outbox *outbox = &frontend->outbox;
    for (unsigned i = 0; i < UDP_BATCH; i++) {
        outbox->messages[i].msg_hdr.msg_iov = &outbox->vectors[i];
        outbox->messages[i].msg_hdr.msg_iovlen = 1;
    }
}

/* Where the kernel cannot cut a merged message after all, its replies leave one by one. Returns how many did not. */
static unsigned send_apart(int fd, const struct msghdr *merged)
{
    unsigned failures = 0;
    for (size_t i = 0; i < merged->msg_iovlen; i++) {
        struct msghdr single = {.msg_name = merged->msg_name, .msg_namelen = merged->msg_namelen};
        single.msg_iov = &merged->msg_iov[i];
        single.msg_iovlen = 1;
        failures += sendmsg(fd, &single, MSG_DONTWAIT) < 0;
    }
    return failures;
}

static unsigned count_replies(const struct mmsghdr *messages, unsigned count)
{
    size_t replies = 0;
    for (unsigned i = 0; i < count; i++)
        replies += messages[i].msg_hdr.msg_iovlen;
    return (unsigned)replies;
}

static bool is_no_room(int reason)
{
    return reason == EAGAIN || reason == EWOULDBLOCK || reason == ENOBUFS || reason == ENOMEM;
}

/*
 * Sends all, or drops what the socket does not take: a client asks again. Waiting
 * for room would make the requests behind it wait too. Returns how many replies were dropped.
 */
static unsigned send_all(int fd, struct mmsghdr *messages, unsigned count)
{
    unsigned failures = 0;
    bool is_second_try = false;
    for (unsigned done = 0; done < count;) {
        int sent = sendmmsg(fd, messages + done, count - done, MSG_DONTWAIT);
        if (sent > 0) {
            done += (unsigned)sent;
            is_second_try = false;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == ECONNREFUSED && !is_second_try) {
            /* That was about an earlier datagram; this one has not been tried. */
            is_second_try = true;
            continue;
        }
        is_second_try = false;
        const struct msghdr *refused = &messages[done].msg_hdr;
        if (refused->msg_iovlen > 1 && !is_no_room(errno)) {
            failures += send_apart(fd, refused);
            done++;
            continue;
        }
        LOG_LIMITED(LOG_LEVEL_DEBUG, "udp", "a reply cannot be sent: %s", strerror(errno));
        unsigned dropped = is_no_room(errno) ? count - done : 1;
        failures += count_replies(messages + done, dropped);
        done += dropped;
    }
    return failures;
}

static unsigned send_replies(struct udp_outbox *outbox)
{
    int fd = outbox->socket->fd;
    if (!outbox->socket->can_merge || outbox->count == 1)
        return send_all(fd, outbox->messages, outbox->count);
    udp_merge(&outbox->merged, outbox->messages, outbox->count);
    return send_all(fd, outbox->merged.messages, outbox->merged.count);
}

void udp_outbox_send(struct udp_frontend *frontend)
{
    struct udp_outbox *outbox = &frontend->outbox;
    if (outbox->count == 0)
        return;
    unsigned failures = send_replies(outbox);
    if (failures > 0)
        counter_add(&frontend->counters->udp_send_failures, failures);

    struct latency *latency = &frontend->counters->latency[PROTOCOL_UDP];
    int64_t now_ns = clock_monotonic_ns();
    if (outbox->count > outbox->late_count)
        latency_add(latency, now_ns - frontend->batch_ns, outbox->count - outbox->late_count);
    for (unsigned i = 0; i < outbox->late_count; i++)
        latency_add(latency, now_ns - outbox->late_since_ns[i], 1);
    outbox->count = 0;
    outbox->late_count = 0;
    outbox->borrowed_count = 0;
}

/* A late request may be used again before the batch is sent, so its envelope is copied. */
static const struct udp_envelope *keep_envelope(struct udp_frontend *frontend, const struct udp_request *request,
                                                unsigned place)
{
    struct udp_outbox *outbox = &frontend->outbox;
    if (!request->is_late)
        return &request->envelope;
    outbox->late_since_ns[outbox->late_count++] = request->received_ns;
    outbox->envelopes[place] = request->envelope;
    if (!frontend->is_receiving)
        event_active(frontend->send_event, 0, 0);
    return &outbox->envelopes[place];
}

/* Adds a reply without its bytes; returns its place. */
static unsigned add_reply(struct udp_frontend *frontend, struct udp_request *request)
{
    struct udp_outbox *outbox = &frontend->outbox;
    if (outbox->count == UDP_BATCH || (outbox->count > 0 && outbox->socket != request->socket))
        udp_outbox_send(frontend);
    outbox->socket = request->socket;

    unsigned place = outbox->count++;
    const struct udp_envelope *envelope = keep_envelope(frontend, request, place);
    struct msghdr *header = &outbox->messages[place].msg_hdr;
    header->msg_name = (void *)&envelope->peer;
    header->msg_namelen = envelope->peer_length;
    header->msg_control = envelope->control_length > 0 ? (void *)envelope->control : NULL;
    header->msg_controllen = envelope->control_length;
    return place;
}

uint8_t *udp_reply_begin(struct udp_frontend *frontend, struct udp_request *request)
{
    unsigned place = add_reply(frontend, request);
    frontend->outbox.vectors[place].iov_base = frontend->outbox.replies[place];
    return frontend->outbox.replies[place];
}

void udp_reply_end(struct udp_frontend *frontend, size_t size)
{
    frontend->outbox.vectors[frontend->outbox.count - 1].iov_len = size;
}

void udp_reply_error(struct udp_frontend *frontend, struct udp_request *request, const char *text)
{
    uint8_t *bytes = udp_reply_begin(frontend, request);
    udp_reply_end(frontend, packet_write_error(bytes, request->transaction, text));
}

void udp_reply_announce(struct udp_frontend *frontend, struct udp_request *request, const struct announce *announce)
{
    bool is_ipv4 = request->socket->family == FAMILY4;
    uint8_t *peers = is_ipv4 ? announce->peers4 : announce->peers6;
    size_t count = is_ipv4 ? announce->peer4_count : announce->peer6_count;
    size_t most = is_ipv4 ? PACKET_PEERS4_MAX : PACKET_PEERS6_MAX;
    size_t peer_bytes = (count < most ? count : most) * (is_ipv4 ? ENDPOINT4_BYTES : ENDPOINT6_BYTES);

    unsigned place = add_reply(frontend, request);
    uint8_t *bytes = frontend->outbox.replies[place];
    if (peer_bytes > 0 && !request->is_late) {
        bytes = peers - PACKET_ANNOUNCE_REPLY_BYTES;
        frontend->outbox.borrowed_count++;
    } else if (peer_bytes > 0) {
        memcpy(bytes + PACKET_ANNOUNCE_REPLY_BYTES, peers, peer_bytes);
    }
    packet_write_announce(bytes, request->transaction, announce);
    frontend->outbox.vectors[place].iov_base = bytes;
    frontend->outbox.vectors[place].iov_len = PACKET_ANNOUNCE_REPLY_BYTES + peer_bytes;
}
