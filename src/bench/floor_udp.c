/*
 * floor over UDP: recvmmsg and sendmmsg, 64 datagrams a call. A reply is patched
 * with its transaction id, and nothing else is looked at but the action.
 */
#include "bench/floor.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "udp/merge.h"

enum { BATCH = 64, REQUEST_BYTES = 2048, CONNECT_BYTES = 16, SOCKET_BUFFER = 8 << 20 };
enum { ACTION_CONNECT, ACTION_ANNOUNCE, ACTION_SCRAPE };

struct batch {
    struct mmsghdr in[BATCH];
    struct mmsghdr out[BATCH];
    struct iovec in_data[BATCH];
    struct iovec out_data[BATCH];
    struct udp_merged merged;
    struct sockaddr_in6 addresses[BATCH];
    uint8_t requests[BATCH][REQUEST_BYTES];
    uint8_t replies[BATCH][1472];
    uint8_t connects[BATCH][CONNECT_BYTES];
    size_t reply_bytes[ENDPOINTS_MAX]; /* by socket: a whole number of endpoints of its family */
};

int floor_udp_open(struct floor_thread *thread, struct error *error)
{
    const struct endpoint_list *listen = &thread->settings->listen;
    for (size_t i = 0; i < listen->count; i++) {
        int fd = floor_socket(&listen->items[i], SOCK_DGRAM, error);
        if (fd < 0)
            return -1;
        thread->sockets[thread->socket_count++] = fd;
        if (thread->settings->merge && !udp_merge_is_supported(fd))
            return error_set(error, "--merge: this kernel does not cut datagrams apart");
        int bytes = SOCKET_BUFFER;
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0)
            (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    }
    return 0;
}

static uint32_t read_u32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return ntohl(value);
}

static void write_u32(uint8_t *bytes, uint32_t value)
{
    value = htonl(value);
    memcpy(bytes, &value, sizeof value);
}

/* Interval, 1 leecher, 1 seeder, and endpoints that a generator can count. */
static void fill_reply(uint8_t *reply, size_t bytes)
{
    write_u32(reply, ACTION_ANNOUNCE);
    write_u32(reply + 8, 1800);
    write_u32(reply + 12, 1);
    write_u32(reply + 16, 1);
    memset(reply + 20, 0x7f, bytes - 20);
}

static struct batch *batch_new(const struct floor_settings *settings)
{
    struct batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        return NULL;
    for (size_t i = 0; i < BATCH; i++) {
        batch->in_data[i] = (struct iovec){batch->requests[i], REQUEST_BYTES};
        batch->in[i].msg_hdr =
            (struct msghdr){.msg_iov = &batch->in_data[i], .msg_iovlen = 1, .msg_name = &batch->addresses[i]};
        batch->out[i].msg_hdr = (struct msghdr){.msg_iov = &batch->out_data[i], .msg_iovlen = 1};
        fill_reply(batch->replies[i], settings->reply_bytes);
        memset(batch->connects[i], 0x5a, CONNECT_BYTES);
        write_u32(batch->connects[i], ACTION_CONNECT);
    }
    for (size_t i = 0; i < settings->listen.count; i++) {
        size_t each = settings->listen.items[i].address.ss_family == AF_INET6 ? 18 : 6;
        batch->reply_bytes[i] = 20 + (settings->reply_bytes - 20) / each * each;
    }
    return batch;
}

/*
 * Prepares the answer to request `from`, of `bytes` to an announce, as the batch's number `to`. Returns false
 * where it deserves none.
 */
static bool answer(struct floor_thread *thread, struct batch *batch, size_t bytes, size_t from, size_t to)
{
    const uint8_t *request = batch->requests[from];
    size_t length = batch->in[from].msg_len;
    if (length < 16)
        return false;
    uint32_t action = read_u32(request + 8);
    uint8_t *reply = batch->replies[to];
    if (action == ACTION_CONNECT) {
        reply = batch->connects[to];
        bytes = CONNECT_BYTES;
        thread->connects++;
    } else if (action == ACTION_SCRAPE) {
        bytes = 8 + (length - 16) / 20 * 12;
        bytes = bytes > 1472 ? 1472 : bytes;
        thread->replies++;
    } else {
        thread->replies++;
    }
    if (action != ACTION_CONNECT)
        write_u32(reply, action);
    memcpy(reply + 4, request + 12, 4);
    batch->out_data[to] = (struct iovec){reply, bytes};
    batch->out[to].msg_hdr.msg_name = &batch->addresses[from];
    batch->out[to].msg_hdr.msg_namelen = batch->in[from].msg_hdr.msg_namelen;
    return true;
}

/* One batch from one socket. Returns how many datagrams came. */
static int serve_once(struct floor_thread *thread, struct batch *batch, size_t socket)
{
    int fd = thread->sockets[socket];
    for (size_t i = 0; i < BATCH; i++)
        batch->in[i].msg_hdr.msg_namelen = sizeof batch->addresses[i];
    int received = recvmmsg(fd, batch->in, BATCH, MSG_DONTWAIT, NULL);
    unsigned count = 0;
    for (int i = 0; i < received; i++)
        count += answer(thread, batch, batch->reply_bytes[socket], (size_t)i, count);
    struct mmsghdr *out = batch->out;
    if (thread->settings->merge && count > 0) {
        udp_merge(&batch->merged, batch->out, count);
        out = batch->merged.messages;
        count = batch->merged.count;
    }
    for (unsigned sent = 0; sent < count;) {
        int code = sendmmsg(fd, out + sent, count - sent, 0);
        /* What the kernel does not take is lost, as datagrams are: the one at the front is passed over. */
        sent += code > 0 ? (unsigned)code : 1;
    }
    return received;
}

void floor_udp_serve(struct floor_thread *thread)
{
    struct pollfd polls[ENDPOINTS_MAX];
    struct batch *batch = batch_new(thread->settings);
    if (batch == NULL) {
        error_set(&thread->error, "out of memory");
        return;
    }
    for (size_t i = 0; i < thread->socket_count; i++)
        polls[i] = (struct pollfd){.fd = thread->sockets[i], .events = POLLIN};
    while (!atomic_load_explicit(thread->stop, memory_order_relaxed)) {
        /* Under load a socket has a next batch already, and no poll is needed between two. */
        int received = 0;
        for (size_t i = 0; i < thread->socket_count; i++) {
            int count = serve_once(thread, batch, i);
            received += count > 0 ? count : 0;
        }
        if (received == 0)
            (void)poll(polls, thread->socket_count, FLOOR_WAIT_MS);
    }
    free(batch);
}
