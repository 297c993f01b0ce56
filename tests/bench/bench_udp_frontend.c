/*
 * What the UDP frontend costs over a bare responder, with real sockets over loopback and
 * a chain that does nothing: CPU nanoseconds a reply, kernel included. Requests are
 * sent, and replies read, by the same thread outside of what is measured, so all
 * responders find full batches and the machine's other load matters little.
 *
 *     bench_udp_frontend [ROUNDS]
 *
 * "bare, watched" is the bare responder while epoll watches its socket; "by wildcard" is
 * the frontend with a control message at each datagram and each reply.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "../unit/udp_fake_worker.h"
#include "../unit/udp_packets.h"
#include "udp/listen.h"

enum { BATCH = 64, BATCHES = 8, CLIENTS = 64, PEERS = 50, REPLY_BYTES = 20 + PEERS * 6 };

static struct udp_listeners *bare;
static struct udp_listeners *served;
static struct tracker *tracker;

/* The same clients for all responders: sockets differ in what it costs to find them. */
static int clients[CLIENTS];
static struct packet packets[CLIENTS];

static struct mmsghdr messages[BATCH];
static struct mmsghdr answers[BATCH];
static struct iovec vectors[BATCH];
static struct iovec answer_vectors[BATCH];
static struct sockaddr_in6 peers[BATCH];
static uint8_t buffers[BATCH][2048];
static uint8_t reply_bytes[BATCH][1472];

static int64_t thread_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* The bare responder: what the sockets allow. */
static void respond(void)
{
    int fd = bare->items[0].sockets[0];
    for (int batch = 0; batch < BATCHES; batch++) {
        for (int i = 0; i < BATCH; i++)
            messages[i].msg_hdr.msg_namelen = sizeof peers[i];
        int count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < count; i++) {
            memcpy(reply_bytes[i] + 4, buffers[i] + 12, 4);
            answers[i].msg_hdr.msg_namelen = messages[i].msg_hdr.msg_namelen;
        }
        if (count > 0)
            (void)sendmmsg(fd, answers, (unsigned)count, MSG_DONTWAIT);
        if (count < BATCH)
            return;
    }
}

static void prepare_responder(void)
{
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){buffers[i], sizeof buffers[i]};
        answer_vectors[i] = (struct iovec){reply_bytes[i], REPLY_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
        answers[i].msg_hdr = (struct msghdr){.msg_name = &peers[i], .msg_iov = &answer_vectors[i], .msg_iovlen = 1};
        packet_put_u32(reply_bytes[i], PACKET_ANNOUNCE);
    }
}

static void make_clients(const struct address *address, const struct connection_key *key)
{
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = socket(AF_INET, SOCK_DGRAM, 0);
        if (clients[i] < 0)
            abort();
        uint64_t id = connection_id_make(key, address, clock_now_ms() / 1000);
        packets[i] = packet_of_announce(id, (uint32_t)i, (uint8_t)i, "/00112233445566778899aabbccddeeff/announce");
    }
}

static void send_requests(const struct address *address)
{
    struct sockaddr_storage name;
    socklen_t length = address_to_sockaddr(address, &name);
    for (int i = 0; i < CLIENTS; i++) {
        for (int k = 0; k < BATCH * BATCHES / CLIENTS; k++)
            (void)sendto(clients[i], packets[i].bytes, packets[i].length, 0, (struct sockaddr *)&name, length);
    }
}

static unsigned read_replies(void)
{
    static uint8_t reply[2048];
    unsigned count = 0;
    for (int i = 0; i < CLIENTS; i++) {
        ssize_t length;
        while ((length = recv(clients[i], reply, sizeof reply, MSG_DONTWAIT)) > 0)
            count += length == REPLY_BYTES;
    }
    return count;
}

static void serve(void)
{
    (void)event_base_loop(tracker->workers[0].base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
}

static void respond_watched(void)
{
    static int epoll = -1;
    struct epoll_event event = {.events = EPOLLIN};
    int fd = bare->items[0].sockets[0];
    if (epoll < 0)
        epoll = epoll_create1(EPOLL_CLOEXEC);
    (void)epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    respond();
    (void)epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &event);
}

struct contender {
    const char *name;
    void (*work)(void);
    struct address target;
    double *costs;
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run(struct contender *contenders, unsigned count, unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < count; i++) {
            send_requests(&contenders[i].target);
            int64_t start = thread_ns();
            contenders[i].work();
            int64_t took = thread_ns() - start;
            unsigned replies = read_replies();
            if (replies != BATCH * BATCHES)
                printf("%s: %u of %d lost\n", contenders[i].name, BATCH * BATCHES - replies, BATCH * BATCHES);
            contenders[i].costs[round] = (double)took / replies;
        }
    }
    double floor_ns = 0;
    for (unsigned i = 0; i < count; i++) {
        qsort(contenders[i].costs, rounds, sizeof(double), compare);
        double cost = contenders[i].costs[rounds / 2];
        if (i == 0)
            floor_ns = cost;
        printf("%-24s %5.0f ns a reply, %+5.0f, ratio %.3f\n", contenders[i].name, cost, cost - floor_ns,
               floor_ns / cost);
    }
}

static struct address loopback(uint8_t last, uint16_t port)
{
    return (struct address){.family = 4, .ip = {127, 0, 0, last}, .port = port};
}

int main(int count, char **arguments)
{
    unsigned rounds = count > 1 ? (unsigned)strtonum(arguments[1], 1, 10000000, NULL) : 2000;
    char folder[] = "/tmp/privtrak-bench-XXXXXX";
    struct address any = {.family = 4};
    struct address one = loopback(1, 0);
    struct config config = {.tracker = {.state_dir = mkdtemp(folder), .default_numwant = PEERS},
                            .udp = {.listen = {.addresses = &one, .count = 1}, .connection_lifetime_s = 3600}};
    struct error error;
    bare = udp_listen(&config, 1, &error);
    config.udp.listen.addresses = &any;
    served = udp_listen(&config, 1, &error);
    if (bare == NULL || served == NULL) {
        (void)fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    tracker = fake_tracker(&config, 1);
    tracker->keeps_memory = true;
    udp_add_to(tracker, served);
    fake_tracker_start(tracker);
    make_clients(&one, &served->key);
    prepare_responder();

    uint16_t bare_port = bare->items[0].address.port;
    uint16_t port = served->items[0].address.port;
    struct contender contenders[] = {
        {"bare", respond, loopback(1, bare_port), calloc(rounds, sizeof(double))},
        {"bare, watched", respond_watched, loopback(1, bare_port), calloc(rounds, sizeof(double))},
        {"frontend", serve, loopback(1, port), calloc(rounds, sizeof(double))},
        {"frontend, by wildcard", serve, loopback(2, port), calloc(rounds, sizeof(double))},
    };
    run(contenders, sizeof contenders / sizeof contenders[0], rounds);

    fake_tracker_free(tracker);
    udp_close(bare);
    udp_close(served);
    char path[64];
    (void)snprintf(path, sizeof path, "%s/udp.key", folder);
    (void)unlink(path);
    return rmdir(folder);
}
