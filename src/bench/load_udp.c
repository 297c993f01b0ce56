/*
 * Generator transport over UDP (BEP 15, BEP 41). A lane is a connected socket; over IPv4
 * loopback each is bound to an address of its own in 127.0.0.0/8. Requests are
 * written into a batch of packets and go out 64 a call, answers come in 64 a call.
 */
#include "bench/load.h"

#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/udp_packet.h"

enum { BATCH = 64, EVENTS = 256, REPLY_HEAD_BYTES = 256, SOCKET_BUFFER = 8 << 20 };

#define MILLISECOND_NS INT64_C(1000000)
#define HOUSEKEEPING_NS (5 * MILLISECOND_NS)
#define REFRESH_NS (INT64_C(50) * 1000 * MILLISECOND_NS) /* BEP 15: a client uses an id for a minute */
#define USABLE_NS (INT64_C(110) * 1000 * MILLISECOND_NS) /* a tracker takes it for two */
#define CONNECT_AGAIN_NS (500 * MILLISECOND_NS)

struct udp_lane {
    int fd;
    uint64_t connection_id;
    int64_t connected_ns;  /* when the id came; 0: there is none */
    int64_t connecting_ns; /* when the handshake was last sent; 0: none is on its way */
    uint32_t connect_transaction;
};

struct udp {
    struct load_thread *thread;
    int epoll;
    struct udp_lane *lanes;
    int64_t housekeeping_ns;

    /* The packets that wait to be sent, all of one lane. */
    unsigned queued;
    uint16_t queue_lane;
    struct mmsghdr out[BATCH];
    struct iovec out_data[BATCH];
    uint8_t packets[BATCH][UDP_PACKET_MAX];
    struct mmsghdr segmented[BATCH]; /* with --segments: runs of packets of one length */
    uint8_t control[BATCH][CMSG_SPACE(sizeof(uint16_t))] __attribute__((aligned(16)));

    struct mmsghdr in[BATCH];
    struct iovec in_data[BATCH];
    uint8_t replies[BATCH][REPLY_HEAD_BYTES];
};

static int open_lane(struct load_thread *thread, uint16_t index, struct error *error)
{
    struct udp *udp = thread->transport;
    const struct lane *lane = &thread->lanes[index];
    const struct endpoint *target = &thread->load->settings.targets[lane->family == 6];
    int fd = socket(target->address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(error, "socket: %s", strerror(errno));
    udp->lanes[index].fd = fd;
    int bytes = SOCKET_BUFFER;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    struct sockaddr_storage source;
    socklen_t length = load_source_address(thread, index, &source);
    if (length > 0 && bind(fd, (const void *)&source, length) < 0)
        return error_set(error, "bind to a loopback address: %s", strerror(errno));
    if (connect(fd, (const void *)&target->address, target->length) < 0)
        return error_set(error, "connect: %s", strerror(errno));
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    if (epoll_ctl(udp->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        return error_set(error, "epoll: %s", strerror(errno));
    return 0;
}

static void udp_close(struct load_thread *thread)
{
    struct udp *udp = thread->transport;
    for (uint16_t i = 0; i < thread->lane_count; i++) {
        if (udp->lanes[i].fd >= 0)
            (void)close(udp->lanes[i].fd);
    }
    if (udp->epoll >= 0)
        (void)close(udp->epoll);
    free(udp->lanes);
    free(udp);
    thread->transport = NULL;
}

static int udp_open(struct load_thread *thread, struct error *error)
{
    struct udp *udp = calloc(1, sizeof *udp);
    if (udp == NULL)
        return error_set(error, "out of memory");
    udp->lanes = calloc(thread->lane_count, sizeof *udp->lanes);
    if (udp->lanes == NULL) {
        free(udp);
        return error_set(error, "out of memory");
    }
    for (uint16_t i = 0; i < thread->lane_count; i++)
        udp->lanes[i].fd = -1;
    thread->transport = udp;
    udp->thread = thread;
    udp->epoll = epoll_create1(EPOLL_CLOEXEC);
    int code = udp->epoll < 0 ? error_set(error, "epoll: %s", strerror(errno)) : 0;
    for (uint16_t i = 0; code == 0 && i < thread->lane_count; i++)
        code = open_lane(thread, i, error);
    for (size_t i = 0; i < BATCH; i++) {
        udp->out_data[i].iov_base = udp->packets[i];
        udp->out[i].msg_hdr = (struct msghdr){.msg_iov = &udp->out_data[i], .msg_iovlen = 1};
        udp->in_data[i] = (struct iovec){udp->replies[i], REPLY_HEAD_BYTES};
        udp->in[i].msg_hdr = (struct msghdr){.msg_iov = &udp->in_data[i], .msg_iovlen = 1};
    }
    if (code < 0)
        udp_close(thread);
    return code;
}

/*
 * Makes messages of the queued packets: one each, or with --segments one for each run of packets of one length, which
 * the kernel cuts up again. Returns their number.
 */
static unsigned make_messages(struct udp *udp)
{
    unsigned count = 0;
    if (!udp->thread->load->settings.segments)
        return udp->queued;
    for (unsigned from = 0, end; from < udp->queued; from = end) {
        end = from + 1;
        while (end < udp->queued && udp->out_data[end].iov_len == udp->out_data[from].iov_len)
            end++;
        struct msghdr *header = &udp->segmented[count++].msg_hdr;
        struct cmsghdr *control = (void *)udp->control[from];
        uint16_t length = (uint16_t)udp->out_data[from].iov_len;
        *control =
            (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof length), .cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT};
        memcpy(CMSG_DATA(control), &length, sizeof length);
        *header = (struct msghdr){.msg_iov = &udp->out_data[from], .msg_iovlen = end - from};
        if (end - from > 1) {
            header->msg_control = control;
            header->msg_controllen = CMSG_SPACE(sizeof length);
        }
    }
    return count;
}

/* Sends what is queued. What the kernel does not take is lost, and its time-out brings it back. */
static void flush(struct udp *udp)
{
    static const char refused[] = "port unreachable";
    int fd = udp->lanes[udp->queue_lane].fd;
    unsigned count = make_messages(udp);
    struct mmsghdr *messages = udp->thread->load->settings.segments ? udp->segmented : udp->out;
    for (unsigned sent = 0; sent < count;) {
        int code = sendmmsg(fd, messages + sent, count - sent, 0);
        if (code > 0) {
            sent += (unsigned)code;
        } else if (errno == ECONNREFUSED) {
            load_note(udp->thread, refused, sizeof refused - 1); /* of an earlier packet; this one is tried again */
        } else {
            if (errno != EAGAIN && errno != ENOBUFS)
                load_note(udp->thread, strerror(errno), strlen(strerror(errno)));
            sent++;
        }
    }
    udp->queued = 0;
}

/* A packet to be written; `length` bytes of it are sent with the next flush. */
static uint8_t *next_packet(struct udp *udp, uint16_t lane)
{
    if (udp->queued == BATCH || (udp->queued > 0 && udp->queue_lane != lane))
        flush(udp);
    udp->queue_lane = lane;
    return udp->packets[udp->queued];
}

static void queue_packet(struct udp *udp, size_t length)
{
    udp->out_data[udp->queued++].iov_len = length;
}

static uint32_t transaction_of(const struct load_thread *thread, uint32_t request)
{
    return (uint32_t)thread->requests[request].generation << 16 | request;
}

static void queue_announce(struct udp *udp, uint32_t index)
{
    const struct load_thread *thread = udp->thread;
    struct peer_announce announce;
    load_describe(thread, index, &announce);
    int64_t numwant = announce.event == EVENT_STOPPED ? 0 : thread->load->settings.numwant;
    struct udp_announce_facts facts = {
        .connection_id = udp->lanes[thread->requests[index].lane].connection_id,
        .transaction = transaction_of(thread, index),
        .announce = &announce,
        .numwant = (int32_t)numwant,
        .form = load_passkey_form(thread, index),
    };
    queue_packet(udp, udp_write_announce(next_packet(udp, thread->requests[index].lane), &facts));
}

static void queue_scrape(struct udp *udp, uint32_t index)
{
    const struct load_thread *thread = udp->thread;
    const struct request *request = &thread->requests[index];
    uint8_t *packet = next_packet(udp, request->lane);
    size_t length =
        udp_write_head(packet, udp->lanes[request->lane].connection_id, ACTION_SCRAPE, transaction_of(thread, index));
    for (uint32_t i = 0; i < request->hashes; i++) {
        load_scrape_hash(thread, index, i, packet + length);
        length += INFO_HASH_BYTES;
    }
    queue_packet(udp, length);
}

static void queue_request(struct udp *udp, uint32_t index)
{
    if (udp->thread->requests[index].action == ACTION_SCRAPE)
        queue_scrape(udp, index);
    else
        queue_announce(udp, index);
}

static bool is_connected(const struct udp *udp, uint16_t lane)
{
    const struct udp_lane *udp_lane = &udp->lanes[lane];
    return udp_lane->connected_ns != 0 && udp->thread->now_ns - udp_lane->connected_ns < USABLE_NS;
}

/* Sends a handshake where the lane needs one and none is on its way. */
static void keep_connected(struct udp *udp, uint16_t index)
{
    struct udp_lane *lane = &udp->lanes[index];
    int64_t now_ns = udp->thread->now_ns;
    /* Lanes differ a little, so that their handshakes do not come all at once. */
    int64_t refresh_ns = REFRESH_NS + index % 64 * 100 * MILLISECOND_NS;
    if (lane->connected_ns != 0 && now_ns - lane->connected_ns < refresh_ns)
        return;
    if (lane->connecting_ns != 0 && now_ns - lane->connecting_ns < CONNECT_AGAIN_NS)
        return;
    lane->connecting_ns = now_ns;
    lane->connect_transaction = (uint32_t)random_next(&udp->thread->random);
    queue_packet(udp,
                 udp_write_head(next_packet(udp, index), UDP_PROTOCOL_ID, ACTION_CONNECT, lane->connect_transaction));
    count_add(&udp->thread->counts.connects, 1);
}

/* Fills the lane up to its window. */
static void send_more(struct udp *udp, uint16_t index)
{
    struct load_thread *thread = udp->thread;
    const struct lane *lane = &thread->lanes[index];
    if (!is_connected(udp, index) || lane->in_flight >= lane->window)
        return;
    uint32_t count = load_due(thread, lane->window - lane->in_flight);
    while (count-- > 0) {
        uint32_t request = load_take(thread, index);
        if (request == REQUEST_NONE)
            return;
        queue_request(udp, request);
    }
}

/* Open loop: what is due now, a batch a lane. */
static void send_due(struct udp *udp)
{
    struct load_thread *thread = udp->thread;
    for (uint16_t tried = 0; tried < thread->lane_count; tried++) {
        uint32_t count = load_due(thread, BATCH);
        if (count == 0)
            break;
        uint16_t index = thread->next_lane;
        thread->next_lane = (uint16_t)((index + 1) % thread->lane_count);
        const struct lane *lane = &thread->lanes[index];
        while (count-- > 0 && lane->in_flight < lane->window && is_connected(udp, index)) {
            uint32_t request = load_take(thread, index);
            if (request == REQUEST_NONE)
                break;
            queue_request(udp, request);
        }
    }
    flush(udp);
}

static void keep_house(struct udp *udp)
{
    struct load_thread *thread = udp->thread;
    udp->housekeeping_ns = thread->now_ns;
    for (uint16_t i = 0; i < thread->lane_count; i++)
        keep_connected(udp, i);
    for (uint32_t i = load_expired(thread); i != REQUEST_NONE; i = load_expired(thread)) {
        if (load_again(thread, i) && is_connected(udp, thread->requests[i].lane))
            queue_request(udp, i);
    }
    flush(udp);
}

/* The tracker has another key than the one that the lane's id was made with, or the id is too old. */
static void connection_refused(struct udp *udp, uint32_t index, const char *text, size_t length)
{
    const struct request *request = &udp->thread->requests[index];
    struct udp_lane *lane = &udp->lanes[request->lane];
    if (lane->connected_ns != 0 && request->sent_ns >= lane->connected_ns) {
        lane->connected_ns = 0;
        lane->connecting_ns = 0;
    }
    /* It stays in flight: its time-out sends it again, with the id of a new handshake. */
    load_note(udp->thread, text, length);
}

static void take_connect(struct udp *udp, uint16_t index, const uint8_t *reply, size_t length)
{
    struct udp_lane *lane = &udp->lanes[index];
    if (length < 16 || udp_read_u32(reply + 4) != lane->connect_transaction || lane->connecting_ns == 0) {
        count_add(&udp->thread->counts.stray, 1);
        return;
    }
    memcpy(&lane->connection_id, reply + 8, sizeof lane->connection_id);
    lane->connected_ns = udp->thread->now_ns;
    lane->connecting_ns = 0;
}

static void take_announce(struct udp *udp, uint32_t request, size_t length)
{
    static const char broken[] = "announce reply of a broken length";
    size_t each =
        udp->thread->lanes[udp->thread->requests[request].lane].family == 6 ? ENDPOINT6_BYTES : ENDPOINT4_BYTES;
    if (length < 20 || (length - 20) % each != 0)
        load_failed(udp->thread, request, broken, sizeof broken - 1);
    else
        load_succeeded(udp->thread, request, (uint32_t)((length - 20) / each), length);
}

static void take_scrape(struct udp *udp, uint32_t request, size_t length)
{
    static const char broken[] = "scrape reply of a broken length";
    if (length != 8 + (size_t)udp->thread->requests[request].hashes * 12)
        load_failed(udp->thread, request, broken, sizeof broken - 1);
    else
        load_succeeded(udp->thread, request, 0, length);
}

static void take_error(struct udp *udp, uint32_t request, const uint8_t *reply, size_t length)
{
    const char *text = (const char *)reply + 8;
    size_t text_length = length > REPLY_HEAD_BYTES ? REPLY_HEAD_BYTES - 8 : length - 8;
    if (memmem(text, text_length, "onnection", 9) != NULL)
        connection_refused(udp, request, text, text_length);
    else
        load_failed(udp->thread, request, text, text_length);
}

static void take_reply(struct udp *udp, uint16_t lane, const uint8_t *reply, size_t length)
{
    static const char other[] = "reply of another action";
    struct load_thread *thread = udp->thread;
    uint32_t action = length >= 8 ? udp_read_u32(reply) : UINT32_MAX;
    if (action == ACTION_CONNECT) {
        take_connect(udp, lane, reply, length);
        return;
    }
    uint32_t transaction = length >= 8 ? udp_read_u32(reply + 4) : 0;
    uint32_t index = transaction & 0xffff;
    if (action == UINT32_MAX || index >= thread->request_room || thread->requests[index].attempts == 0 ||
        thread->requests[index].lane != lane || transaction_of(thread, index) != transaction) {
        count_add(&thread->counts.stray, 1);
        return;
    }
    if (action == ACTION_ERROR)
        take_error(udp, index, reply, length);
    else if (action != thread->requests[index].action)
        load_failed(thread, index, other, sizeof other - 1);
    else if (action == ACTION_ANNOUNCE)
        take_announce(udp, index, length);
    else
        take_scrape(udp, index, length);
}

/* One call for up to 64 answers. MSG_TRUNC tells their whole length although only the head is copied. */
static void receive(struct udp *udp, uint16_t lane)
{
    static const char refused[] = "port unreachable";
    int count = recvmmsg(udp->lanes[lane].fd, udp->in, BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
    if (count < 0 && errno == ECONNREFUSED)
        load_note(udp->thread, refused, sizeof refused - 1);
    udp->thread->now_ns = clock_monotonic_ns();
    for (int i = 0; i < count; i++)
        take_reply(udp, lane, udp->replies[i], udp->in[i].msg_len);
}

static void udp_turn(struct load_thread *thread)
{
    struct udp *udp = thread->transport;
    struct epoll_event events[EVENTS];
    bool open_loop = thread->load->settings.rate > 0 && (thread->phase == PHASE_RUN || thread->phase == PHASE_WARM_UP);
    thread->now_ns = clock_monotonic_ns();
    if (thread->now_ns - udp->housekeeping_ns >= HOUSEKEEPING_NS)
        keep_house(udp);
    if (open_loop) {
        send_due(udp);
    } else {
        for (uint16_t i = 0; i < thread->lane_count; i++)
            send_more(udp, i);
        flush(udp);
    }
    int64_t wait_ns = load_wait_ns(thread);
    wait_ns = wait_ns > HOUSEKEEPING_NS ? HOUSEKEEPING_NS : wait_ns;
    struct timespec wait = {.tv_nsec = wait_ns};
    int count = epoll_pwait2(udp->epoll, events, EVENTS, &wait, NULL);
    for (int i = 0; i < count; i++) {
        uint16_t lane = (uint16_t)events[i].data.u32;
        receive(udp, lane);
        /* At once, so that the lane's next batch is as large as the one that was answered. */
        if (!open_loop)
            send_more(udp, lane);
        flush(udp);
    }
}

const struct transport transport_udp = {
    .name = "udp",
    .open = udp_open,
    .turn = udp_turn,
    .close = udp_close,
};
