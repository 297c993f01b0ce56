/*
 * hot path: an announce of a known session takes no memory from the heap or the kernel and gives none back, neither in
 * the chain nor on its way from a datagram to the reply. The allocator's functions are this program's own here, and count.
 */
#include "chain_fixture.h"
#include "udp_packets.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/chain_load.h"
#include "tracker/worker_private.h"
#include "udp/udp.h"

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || \
    __has_feature(thread_sanitizer)
enum { CAN_COUNT = 0 }; /* the allocator is the sanitizer's */
#else
enum { CAN_COUNT = 1 };
#define COUNTS_ALLOCATIONS
#endif

static atomic_bool counting;
static atomic_uint allocations, releases, mappings;
static _Thread_local bool is_bystander; /* what this thread does is the test's business, not the tracker's */

#ifdef COUNTS_ALLOCATIONS
static void count(atomic_uint *events)
{
    if (atomic_load_explicit(&counting, memory_order_relaxed) && !is_bystander)
        atomic_fetch_add(events, 1);
}

/* glibc's own names for its functions. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t number, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *old);

void *malloc(size_t size)
{
    count(&allocations);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    count(&allocations);
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size)
{
    count(&allocations);
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count(&allocations);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    count(&allocations);
    *memory = __libc_memalign(alignment, size);
    return *memory == NULL ? ENOMEM : 0;
}

void free(void *old)
{
    if (old != NULL)
        count(&releases);
    __libc_free(old);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    count(&mappings);
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

int munmap(void *address, size_t length)
{
    count(&mappings);
    return (int)syscall(SYS_munmap, address, length);
}

int madvise(void *address, size_t length, int advice)
{
    count(&mappings);
    return (int)syscall(SYS_madvise, address, length, advice);
}
#endif

static void expect_none(void)
{
    atomic_store(&counting, false);
    cr_expect_eq(atomic_load(&allocations), 0, "%u allocations", atomic_load(&allocations));
    cr_expect_eq(atomic_load(&releases), 0, "%u releases", atomic_load(&releases));
    cr_expect_eq(atomic_load(&mappings), 0, "%u mappings", atomic_load(&mappings));
}

Test(hot_path, counts_what_is_allocated)
{
    if (!CAN_COUNT)
        cr_skip_test("the allocator is the sanitizer's");
    atomic_store(&counting, true);
    void *volatile memory = malloc(100);
    free(memory);
    memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)munmap(memory, 4096);
    atomic_store(&counting, false);
    cr_expect_eq(atomic_load(&allocations), 1);
    cr_expect_eq(atomic_load(&releases), 1);
    cr_expect_eq(atomic_load(&mappings), 2);
}

/* --- the chain alone --- */

/* Small swarms and large ones: popularity has a long tail. */
static void announce_known_sessions(unsigned batch)
{
    enum { USERS = 500, TORRENTS = 2000, SESSIONS = 20000, BATCHES = 4000 };
    const char *yaml = "tracker: {workers: 1, min_announce_interval: 0s}\n"
                       "middleware: {limits: {sessions_per_torrent: 10000, new_torrents_per_user: 100000/d}}\n";
    const struct chain_load_settings settings = {
        .torrents = TORRENTS, .sessions = SESSIONS, .users = USERS, .numwant = 50, .seed = 7};
    struct chain_load_spent spent;
    if (!CAN_COUNT)
        cr_skip_test("the allocator is the sanitizer's");
    users_thread_register();
    struct config *config = config_parse("test.yaml", yaml, strlen(yaml), fixture_fault, NULL);
    struct users *users = users_new();
    cr_assert_eq(chain_load_add_users(users, USERS), 0);
    struct chain_load *load = chain_load_new(&settings, config, users);
    cr_assert_not_null(load);
    /* Twice: the marks of users with several sessions in a swarm are made when these announce again. */
    for (int i = 0; i < 2; i++) {
        chain_load_fill(load, &spent);
        chain_load_pass_time(load);
    }

    atomic_store(&counting, true);
    chain_load_announce(load, (uint64_t)BATCHES * batch, batch, &spent);
    expect_none();
    cr_expect_geq(spent.announces, (uint64_t)BATCHES * batch);
    cr_expect_gt(spent.peers, spent.announces, "swarms have peers to tell");

    chain_load_free(load);
    users_free(users);
    config_free(config);
    users_thread_unregister();
}

Test(hot_path, chain_allocates_nothing_for_known_sessions, .timeout = 60)
{
    announce_known_sessions(64);
}

Test(hot_path, chain_allocates_nothing_for_known_sessions_one_at_a_time, .timeout = 60)
{
    announce_known_sessions(1);
}

/* --- from the datagram to the reply --- */

enum { CLIENTS = 256, SWARMS = 15, BURST = 64, BURSTS = 2000, WARM_BURSTS = 200 };

static struct config *config;
static struct tracker_fixture fixture;
static char folder[] = "/tmp/privtrak-test-XXXXXX";

/* A port of 0 is listened at, and the one that it became is connected to. */
static int connect_to(const struct udp_listeners *listeners)
{
    struct address address = udp_listener_address(listeners, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(address.port)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    (void)inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static uint64_t shake_hands(int fd)
{
    struct packet packet = packet_of(UINT64_C(0x41727101980), 0, 99);
    uint8_t reply[16];
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    uint64_t id = 0;
    (void)send(fd, packet.bytes, packet.length, 0);
    cr_assert_eq(poll(&wait, 1, 10000), 1, "no answer to a handshake");
    cr_assert_eq(recv(fd, reply, sizeof reply, 0), 16);
    for (int i = 8; i < 16; i++)
        id = id << 8 | reply[i];
    return id;
}

static struct packet announce_of(uint64_t id, uint32_t client, uint64_t uploaded)
{
    char url[64];
    (void)snprintf(url, sizeof url, "/announce?passkey=passkey-%u", client % FIXTURE_USERS + 1);
    struct packet packet = packet_of_announce(id, client, (uint8_t)(client % SWARMS), url);
    (void)memcpy(packet.bytes + 44, &client, sizeof client); /* a peer id of its own */
    packet_set_u64(&packet, 64, client % 4 == 0 ? 1000 : 0); /* left: some leech */
    packet_set_u64(&packet, 72, uploaded);
    packet_set_u32(&packet, 88, client); /* key */
    packet.bytes[97] = (uint8_t)client;
    return packet;
}

/* Sends a burst and waits for as many replies; returns how many came that were answers. */
static unsigned exchange(int fd, uint64_t id, uint32_t from, uint64_t uploaded)
{
    uint8_t reply[2048];
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    unsigned answers = 0;
    for (uint32_t i = 0; i < BURST; i++) {
        struct packet packet = announce_of(id, (from + i) % CLIENTS, uploaded);
        (void)send(fd, packet.bytes, packet.length, 0);
    }
    for (unsigned got = 0; got < BURST && poll(&wait, 1, 10000) == 1; got++) {
        ssize_t length = recv(fd, reply, sizeof reply, 0);
        answers += length > 20 && reply[3] == PACKET_ANNOUNCE; /* with a peer at least */
    }
    return answers;
}

static void drop_deltas(struct tracker *tracker)
{
    struct ring *ring = tracker_ring(tracker, 0);
    size_t deltas;
    while (ring_peek(ring, BURST, &deltas), deltas > 0)
        ring_release(ring, deltas);
}

static unsigned exchange_bursts(struct tracker *tracker, int fd, unsigned bursts, uint64_t *uploaded)
{
    uint64_t id = shake_hands(fd);
    unsigned answers = 0;
    for (uint32_t i = 0; i < bursts; i++) {
        answers += exchange(fd, id, i * BURST, *uploaded += 1000);
        drop_deltas(tracker);
    }
    return answers;
}

Test(hot_path, datagram_is_answered_without_an_allocation, .timeout = 120)
{
    struct error error;
    char yaml[256];
    uint64_t uploaded = 0;
    if (!CAN_COUNT)
        cr_skip_test("the allocator is the sanitizer's");
    is_bystander = true;
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(yaml, sizeof yaml,
                   "tracker: {workers: 1, min_announce_interval: 0s, state_dir: %s}\nudp: {listen: [\"127.0.0.1:0\"]}\n"
                   "middleware: {limits: {sessions_per_torrent: 100}}\n",
                   folder);
    fixture_open(&fixture, "{}");
    config = config_parse("test.yaml", yaml, strlen(yaml), fixture_fault, NULL);
    const struct tracker_parts parts = {
        .users = fixture.context.users, .clients = fixture.context.clients, .multipliers = &fixture.multipliers};
    struct tracker *tracker = tracker_new(config, &parts, &error);
    cr_assert_not_null(tracker, "%s", error.text);
    struct udp_listeners *listeners = udp_listen(config, 1, &error);
    cr_assert_not_null(listeners, "%s", error.text);
    udp_add_to(tracker, listeners);
    cr_assert_eq(tracker_start(tracker, &error), 0, "%s", error.text);

    int fd = connect_to(listeners);
    (void)exchange_bursts(tracker, fd, WARM_BURSTS, &uploaded);
    atomic_store(&counting, true);
    unsigned answers = exchange_bursts(tracker, fd, BURSTS, &uploaded);
    expect_none();
    cr_expect_gt(answers, BURSTS * BURST * 9 / 10);

    (void)close(fd);
    tracker_stop(tracker);
    udp_close(listeners);
    tracker_free(tracker);
    config_free(config);
    fixture_close(&fixture);
    char path[64];
    (void)snprintf(path, sizeof path, "%s/udp.key", folder);
    (void)unlink(path);
    (void)rmdir(folder);
}
