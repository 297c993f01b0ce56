/* request: what a datagram asks for, and the way of its answer back. */
#include "udp/frontend.h"

#include <string.h>

static const char overloaded[] = "overloaded, try again later";

/*
 * Takes over what the kernel said of a datagram. The control message is made ready
 * for the reply: it leaves from the address that the packet came to, by whichever
 * interface the route says. Returns false for what cannot be answered.
 */
static bool take_envelope(struct udp_envelope *envelope, struct msghdr *header)
{
    /* The port stands at the same place for both families. */
    if (envelope->peer.ipv4.sin_port == 0)
        return false;
    envelope->peer_length = (uint8_t)header->msg_namelen;
    envelope->control_length = 0;

    struct cmsghdr *control = CMSG_FIRSTHDR(header);
    if (control == NULL)
        return true;
    if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(control);
        info->ipi_ifindex = 0;
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo *info = (struct in6_pktinfo *)CMSG_DATA(control);
        if (IN6_IS_ADDR_MULTICAST(&info->ipi6_addr))
            return false;
        if (!IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
            info->ipi6_ifindex = 0;
    } else {
        return true;
    }
    envelope->control_length = (uint8_t)header->msg_controllen;
    return true;
}

/* A client's burst has the same id in every packet, which is checked once a second then. */
static bool id_is_good(struct udp_frontend *frontend, const uint8_t *bytes, const struct address *source)
{
    struct udp_good_id *good = &frontend->good_id;
    uint64_t id = packet_connection_id(bytes);
    if (id == good->id && frontend->now_s == good->checked_s && source->family == good->source.family &&
        memcmp(source->ip, good->source.ip, sizeof source->ip) == 0)
        return true;
    if (!connection_id_check(frontend->key, source, id, frontend->now_s, frontend->settings.connection_lifetime_s))
        return false;
    *good = (struct udp_good_id){.id = id, .checked_s = frontend->now_s, .source = *source};
    return true;
}

static void handle_connect(struct udp_frontend *frontend, struct udp_request *request, const uint8_t *bytes)
{
    if (packet_connection_id(bytes) != PACKET_MAGIC) {
        udp_count(frontend, request, ACTION_CONNECT, RESULT_MALFORMED);
        return;
    }
    struct address source = address_from_sockaddr(&request->envelope.peer.generic);
    uint64_t id = connection_id_make(frontend->key, &source, frontend->now_s);
    udp_reply_end(frontend, packet_write_connect(udp_reply_begin(frontend, request), request->transaction, id));
    udp_count(frontend, request, ACTION_CONNECT, RESULT_OK);
}

static void announce_answered(struct worker *worker, struct announce *announce)
{
    struct udp_frontend *frontend = worker_frontend(worker, FRONTEND_UDP);
    if (frontend == NULL)
        return; /* stopped, and the request is gone with it */
    struct udp_request *request = announce->origin_data;
    if (request->generation != announce->origin_tag) {
        counter_add(&frontend->counters->udp_send_failures, 1);
        return;
    }
    udp_count(frontend, request, ACTION_ANNOUNCE, result_of_verdict(announce->verdict));
    if (announce->verdict == VERDICT_REFUSED || announce->verdict == VERDICT_OVERLOAD)
        udp_reply_error(frontend, request, announce->failure != NULL ? announce->failure : overloaded);
    else
        udp_reply_announce(frontend, request, announce);
    udp_request_finish(frontend, request);
}

static const struct announce_origin origin = {.reply = announce_answered};

/* What does not fit into a reply is not asked for. The chain applies the configured limit, which may be smaller. */
static int32_t limit_numwant(const struct udp_frontend *frontend, const struct udp_request *request, int32_t numwant)
{
    int32_t most = request->socket->family == FAMILY4 ? PACKET_PEERS4_MAX : PACKET_PEERS6_MAX;
    if (numwant == NUMWANT_DEFAULT)
        return frontend->settings.default_numwant > (uint32_t)most ? most : NUMWANT_DEFAULT;
    return numwant < most ? numwant : most;
}

/* The announce is for this worker. */
static void submit_announce(struct udp_frontend *frontend, struct udp_request *request, const struct address *source,
                            const uint8_t *bytes, size_t length)
{
    struct announce *announce = worker_announce(frontend->worker);
    if (frontend->outbox.borrowed_count > 0) {
        /* The batch was full and has run. The next one will use the memory that its replies stand in. */
        udp_outbox_send(frontend);
    }
    announce->source = *source;
    const char *failure = packet_read_announce(announce, bytes, length);
    if (failure != NULL) {
        worker_discard(frontend->worker, announce);
        udp_count(frontend, request, ACTION_ANNOUNCE, RESULT_MALFORMED);
        udp_reply_error(frontend, request, failure);
        return;
    }
    announce->numwant = limit_numwant(frontend, request, announce->numwant);
    announce->origin = &origin;
    announce->origin_data = request;
    announce->origin_tag = udp_request_submitted(frontend, request);
    worker_submit(frontend->worker, announce);
}

void udp_handle_announce(struct udp_frontend *frontend, struct udp_request *request, const uint8_t *bytes,
                         size_t length)
{
    struct address source = address_from_sockaddr(&request->envelope.peer.generic);
    if (length < PACKET_ANNOUNCE_BYTES || !id_is_good(frontend, bytes, &source)) {
        udp_count(frontend, request, ACTION_ANNOUNCE, RESULT_MALFORMED);
        return;
    }
    if (frontend->workers > 1) {
        unsigned owner = torrent_owner(bytes + PACKET_OWNER_OFFSET, frontend->workers);
        if (owner != frontend->number) {
            udp_forward(frontend, request, bytes, length, owner);
            return;
        }
    }
    submit_announce(frontend, request, &source, bytes, length);
}

static void scrape_answered(struct worker *worker, struct scrape *scrape)
{
    struct udp_frontend *frontend = worker_frontend(worker, FRONTEND_UDP);
    if (frontend == NULL)
        return;
    struct udp_scrape *own = scrape->origin_data;
    struct udp_request *request = own->request;
    if (request->generation != scrape->origin_tag) {
        counter_add(&frontend->counters->udp_send_failures, 1);
    } else {
        udp_count(frontend, request, ACTION_SCRAPE, result_of_verdict(scrape->verdict));
        if (scrape->verdict == VERDICT_ACCEPTED) {
            uint8_t *bytes = udp_reply_begin(frontend, request);
            udp_reply_end(frontend, packet_write_scrape(bytes, request->transaction, scrape->results, scrape->count));
        } else {
            udp_reply_error(frontend, request, scrape->failure != NULL ? scrape->failure : overloaded);
        }
        udp_request_finish(frontend, request);
    }
    udp_scrape_release(frontend, own);
}

static void submit_scrape(struct udp_frontend *frontend, struct udp_request *request, const struct address *source,
                          const uint8_t *info_hashes, uint32_t count)
{
    struct udp_scrape *own = udp_scrape_take(frontend);
    if (own == NULL) {
        udp_count(frontend, request, ACTION_SCRAPE, RESULT_OVERLOAD);
        udp_reply_error(frontend, request, overloaded);
        return;
    }
    memcpy(own->info_hashes, info_hashes, count * sizeof own->info_hashes[0]);
    memset(own->results, 0, count * sizeof own->results[0]);
    own->request = request;
    own->scrape = (struct scrape){
        .source = *source,
        .protocol = PROTOCOL_UDP,
        .count = count,
        .info_hashes = own->info_hashes,
        .results = own->results,
        .reply = scrape_answered,
        .origin_data = own,
        .origin_tag = udp_request_submitted(frontend, request),
    };
    worker_scrape(frontend->worker, &own->scrape);
}

void udp_handle_scrape(struct udp_frontend *frontend, unsigned place)
{
    struct udp_request *request = frontend->inbox.requests[place];
    const uint8_t *bytes = frontend->inbox.datagrams[place];
    struct address source = address_from_sockaddr(&request->envelope.peer.generic);
    if (!id_is_good(frontend, bytes, &source)) {
        udp_count(frontend, request, ACTION_SCRAPE, RESULT_MALFORMED);
        return;
    }
    if (frontend->settings.max_scrape == 0) {
        udp_count(frontend, request, ACTION_SCRAPE, RESULT_REFUSED);
        udp_reply_error(frontend, request, "scrapes over UDP are switched off");
        return;
    }
    const char *failure = NULL;
    size_t length = frontend->inbox.messages[place].msg_len;
    uint32_t count = packet_scrape_count(length, frontend->settings.max_scrape, &failure);
    if (count == 0) {
        udp_count(frontend, request, ACTION_SCRAPE, RESULT_MALFORMED);
        udp_reply_error(frontend, request, failure);
        return;
    }
    submit_scrape(frontend, request, &source, bytes + PACKET_HEAD_BYTES, count);
}

void udp_handle_datagram(struct udp_frontend *frontend, unsigned place)
{
    struct udp_request *request = frontend->inbox.requests[place];
    const uint8_t *bytes = frontend->inbox.datagrams[place];
    struct mmsghdr *message = &frontend->inbox.messages[place];
    bool is_truncated = (message->msg_hdr.msg_flags & MSG_TRUNC) != 0;
    if (is_truncated || message->msg_len < PACKET_HEAD_BYTES || !take_envelope(&request->envelope, &message->msg_hdr)) {
        /* What names no action counts among the connects. */
        udp_count(frontend, request, ACTION_CONNECT, RESULT_MALFORMED);
        return;
    }
    request->transaction = packet_transaction(bytes);
    switch (packet_action(bytes)) {
    case PACKET_CONNECT:
        handle_connect(frontend, request, bytes);
        break;
    case PACKET_ANNOUNCE:
        udp_handle_announce(frontend, request, bytes, message->msg_len);
        break;
    case PACKET_SCRAPE:
        frontend->scrapes[frontend->scrape_count++] = (uint8_t)place;
        break;
    default:
        udp_count(frontend, request, ACTION_CONNECT, RESULT_MALFORMED);
        break;
    }
}
