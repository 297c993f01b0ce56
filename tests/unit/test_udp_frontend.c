/* The UDP frontend over real sockets, with a worker that does what the test says. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "udp/frontend.h"
#include "udp_fake_worker.h"
#include "udp_packets.h"

#define KEY "00112233445566778899aabbccddeeff"
#define URL "/" KEY "/announce"

enum { REPLY_MAX = 4096 };

static char folder[64];
static struct address addresses[2]; /* 0.0.0.0 and [::], then as bound */
static struct config config;
static struct udp_listeners *listeners;
static struct tracker *tracker;
static struct worker *worker; /* the first */
static int client[FAMILY_COUNT];

struct reply {
    ssize_t length; /* -1: none came */
    struct sockaddr_storage from;
    uint8_t bytes[REPLY_MAX];
};

static void start(unsigned workers)
{
    struct error error = {""};
    (void)snprintf(folder, sizeof folder, "/tmp/privtrak-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    addresses[FAMILY4].family = 4;
    addresses[FAMILY6].family = 6;
    config.tracker.state_dir = folder;
    config.tracker.default_numwant = 50;
    config.tracker.max_scrape = 74;
    config.udp.listen = (struct listen_list){.addresses = addresses, .count = 2};
    config.udp.connection_lifetime_s = 120;
    config.udp.scrape = true;
    listeners = udp_listen(&config, workers, &error);
    cr_assert_not_null(listeners, "%s", error.text);
    tracker = fake_tracker(&config, workers);
    worker = &tracker->workers[0];
    udp_add_to(tracker, listeners);
    fake_tracker_start(tracker);
    for (int family = FAMILY4; family <= FAMILY6; family++) {
        addresses[family] = udp_listener_address(listeners, (size_t)family);
        client[family] = socket(family == FAMILY4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        cr_assert_geq(client[family], 0);
        int size = 4 << 20;
        (void)setsockopt(client[family], SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    addresses[FAMILY4].ip[0] = 127;
    addresses[FAMILY4].ip[3] = 1;
    addresses[FAMILY6].ip[15] = 1;
}

static void start_one(void)
{
    start(1);
}

static void end(void)
{
    (void)close(client[FAMILY4]);
    (void)close(client[FAMILY6]);
    fake_tracker_free(tracker);
    udp_close(listeners);
    char path[96];
    (void)snprintf(path, sizeof path, "%s/udp.key", folder);
    (void)unlink(path);
    (void)rmdir(folder);
}

TestSuite(udp_frontend, .init = start_one, .fini = end);

static void send_to(int family, const struct address *to, const struct packet *packet)
{
    struct sockaddr_storage name;
    socklen_t length = address_to_sockaddr(to, &name);
    ssize_t sent = sendto(client[family], packet->bytes, packet->length, 0, (struct sockaddr *)&name, length);
    cr_assert_eq(sent, (ssize_t)packet->length, "%s", strerror(errno));
}

static void send_packet(int family, const struct packet *packet)
{
    send_to(family, &addresses[family], packet);
}

static void turn_all(void)
{
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < tracker->worker_count; i++)
            fake_turn(&tracker->workers[i]);
    }
}

static struct reply receive(int family)
{
    struct reply reply;
    socklen_t length = sizeof reply.from;
    reply.length = recvfrom(client[family], reply.bytes, sizeof reply.bytes, MSG_DONTWAIT,
                            (struct sockaddr *)&reply.from, &length);
    return reply;
}

static struct reply ask(int family, const struct packet *packet)
{
    send_packet(family, packet);
    turn_all();
    struct reply reply = receive(family);
    cr_assert_eq(receive(family).length, -1, "a second reply");
    return reply;
}

static uint64_t new_id(int family)
{
    struct packet packet = packet_of(PACKET_MAGIC, PACKET_CONNECT, 77);
    struct reply reply = ask(family, &packet);
    cr_assert_eq(reply.length, 16);
    cr_assert_eq(packet_u32(reply.bytes), PACKET_CONNECT);
    cr_assert_eq(packet_u32(reply.bytes + 4), 77);
    return packet_u64(reply.bytes + 8);
}

static void expect_error(const struct reply *reply, uint32_t transaction, const char *text)
{
    cr_assert_gt(reply->length, 8);
    cr_assert_eq(packet_u32(reply->bytes), PACKET_ERROR);
    cr_assert_eq(packet_u32(reply->bytes + 4), transaction);
    cr_assert_geq((size_t)reply->length - 8, strlen(text));
    cr_assert_eq(memcmp(reply->bytes + 8, text, strlen(text)), 0, "%.*s", (int)reply->length - 8, reply->bytes + 8);
}

static void expect_peers(const struct reply *reply, int family, uint32_t transaction, unsigned count)
{
    const struct announce answer = {.interval_s = 1800, .incomplete = 2, .complete = 3};
    uint8_t expected[PACKET_REPLY_MAX];
    size_t size = family == FAMILY4 ? 6 : 18;
    packet_write_announce(expected, transaction, &answer);
    for (unsigned i = 0; i < count; i++)
        memset(expected + PACKET_ANNOUNCE_REPLY_BYTES + i * size, (int)i, size);
    cr_assert_eq(reply->length, (ssize_t)(20 + count * size), "%zd bytes", reply->length);
    cr_assert_arr_eq(reply->bytes, expected, 20 + count * size);
}

static uint64_t counted(int family, enum request_action action, enum request_result result)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < tracker->worker_count; i++)
        sum += tracker->workers[i].counters.requests[PROTOCOL_UDP][family][action][result];
    return sum;
}

Test(udp_frontend, announce_gets_peers_of_its_family)
{
    for (int family = FAMILY4; family <= FAMILY6; family++) {
        struct packet packet = packet_of_announce(new_id(family), 4711, 9, URL);
        struct reply reply = ask(family, &packet);
        expect_peers(&reply, family, 4711, 50);
        cr_assert_eq(counted(family, ACTION_CONNECT, RESULT_OK), 1);
        cr_assert_eq(counted(family, ACTION_ANNOUNCE, RESULT_OK), 1);
    }
    cr_assert_eq(worker->counters.latency[PROTOCOL_UDP].buckets[0], 4);
}

Test(udp_frontend, announce_says_where_it_came_from_and_which_port_it_listens_on)
{
    struct packet packet = packet_of_announce(new_id(FAMILY6), 1, 9, URL);
    (void)ask(FAMILY6, &packet);
    cr_assert_eq(worker->last.source.family, 6);
    cr_assert_eq(worker->last.source.ip[15], 1);
    cr_assert_eq(worker->last.source.port, 51413);
    packet_set_u32(&packet, 84, 0x01020304); /* the IP field is ignored */
    packet_set_u64(&packet, 0, new_id(FAMILY4));
    (void)ask(FAMILY4, &packet);
    cr_assert_eq(worker->last.source.family, 4);
    cr_assert_arr_eq(worker->last.source.ip, "\177\0\0\1", 4);
    cr_assert_eq(worker->last.passkey_length, 32);
}

Test(udp_frontend, reply_leaves_from_the_address_that_the_packet_came_to)
{
    /* 127.0.0.1 has a socket of its own, the others come to the wildcard. */
    for (uint8_t last = 1; last <= 3; last++) {
        struct address target = addresses[FAMILY4];
        target.ip[3] = last;
        struct packet packet = packet_of(PACKET_MAGIC, PACKET_CONNECT, 1);
        send_to(FAMILY4, &target, &packet);
        turn_all();
        struct reply reply = receive(FAMILY4);
        cr_assert_eq(reply.length, 16);
        struct address from = address_from_sockaddr((struct sockaddr *)&reply.from);
        cr_assert(address_same_ip(&from, &target), "%u", from.ip[3]);
        cr_assert_eq(from.port, target.port);
    }
}

Test(udp_frontend, packets_of_no_worth_get_silence)
{
    uint64_t id = new_id(FAMILY4);
    struct packet packets[10];
    packets[0] = packet_of(PACKET_MAGIC + 1, PACKET_CONNECT, 1);
    packets[1] = packet_of(id, PACKET_CONNECT, 1);
    packets[2] = packet_of(id, PACKET_ERROR, 1);
    packets[3] = packet_of(id, 0x01000001, 1);
    packets[4] = packet_of_announce(id ^ 1, 1, 9, URL);
    packets[5] = packet_of_announce(id, 1, 9, NULL);
    packets[5].length = 97;
    packets[6] = packet_of_announce(id, 1, 9, URL);
    packets[6].length = 2049;
    packets[7] = packet_of(id ^ (UINT64_C(1) << 63), PACKET_SCRAPE, 1);
    packets[7].length = 36;
    packets[8] = packet_of(PACKET_MAGIC, PACKET_CONNECT, 1);
    packets[8].length = 15;
    packets[9] = packets[8];
    packets[9].length = 0;
    for (size_t i = 0; i < 10; i++)
        cr_assert_eq(ask(FAMILY4, &packets[i]).length, -1, "packet %zu", i);
    cr_assert_eq(counted(FAMILY4, ACTION_CONNECT, RESULT_MALFORMED), 7);
    cr_assert_eq(counted(FAMILY4, ACTION_ANNOUNCE, RESULT_MALFORMED), 2);
    cr_assert_eq(counted(FAMILY4, ACTION_SCRAPE, RESULT_MALFORMED), 1);

    struct packet good = packet_of_announce(id, 5, 9, URL);
    struct reply reply = ask(FAMILY4, &good);
    expect_peers(&reply, FAMILY4, 5, 50);
}

Test(udp_frontend, id_of_the_other_family_is_bad)
{
    struct packet packet = packet_of_announce(new_id(FAMILY4), 1, 9, URL);
    cr_assert_eq(ask(FAMILY6, &packet).length, -1);
}

Test(udp_frontend, faulty_announce_is_told_what_is_wrong)
{
    struct packet packet = packet_of_announce(new_id(FAMILY4), 4711, 9, NULL);
    struct reply reply = ask(FAMILY4, &packet);
    expect_error(&reply, 4711, "passkey missing: your client sends none over UDP, use the HTTP");
    packet_append(&packet, "\2\7", 2);
    reply = ask(FAMILY4, &packet);
    expect_error(&reply, 4711, "bad option");
    cr_assert_eq(counted(FAMILY4, ACTION_ANNOUNCE, RESULT_MALFORMED), 2);
    cr_assert_eq(worker->announced, 0);
}

Test(udp_frontend, refused_announce_gets_the_reason)
{
    struct packet packet = packet_of_announce(new_id(FAMILY4), 4711, 9, URL);
    tracker->verdict = VERDICT_REFUSED;
    tracker->failure = "unknown passkey";
    struct reply reply = ask(FAMILY4, &packet);
    expect_error(&reply, 4711, "unknown passkey");
    tracker->verdict = VERDICT_OVERLOAD;
    tracker->failure = NULL;
    reply = ask(FAMILY4, &packet);
    expect_error(&reply, 4711, "overloaded");
    cr_assert_eq(counted(FAMILY4, ACTION_ANNOUNCE, RESULT_REFUSED), 1);
    cr_assert_eq(counted(FAMILY4, ACTION_ANNOUNCE, RESULT_OVERLOAD), 1);
}

Test(udp_frontend, numwant_is_limited_to_what_fits)
{
    static const struct {
        int32_t said;
        int32_t taken[FAMILY_COUNT];
    } cases[] = {
        {-1, {NUMWANT_DEFAULT, NUMWANT_DEFAULT}}, {0, {0, 0}}, {79, {79, 79}}, {80, {80, 79}}, {1000, {238, 79}}};
    for (int family = FAMILY4; family <= FAMILY6; family++) {
        struct packet packet = packet_of_announce(new_id(family), 1, 9, URL);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            packet_set_u32(&packet, 92, (uint32_t)cases[i].said);
            (void)ask(family, &packet);
            cr_assert_eq(worker->last.numwant, cases[i].taken[family], "%d", cases[i].said);
        }
    }
}

Test(udp_frontend, default_numwant_above_what_fits_is_limited_too)
{
    struct config changed = config;
    changed.tracker.default_numwant = 100;
    tracker->hooks.reload(worker, tracker->hooks.context, &changed);
    struct packet packet = packet_of_announce(new_id(FAMILY6), 1, 9, URL);
    (void)ask(FAMILY6, &packet);
    cr_assert_eq(worker->last.numwant, 79);
    packet_set_u64(&packet, 0, new_id(FAMILY4));
    (void)ask(FAMILY4, &packet);
    cr_assert_eq(worker->last.numwant, NUMWANT_DEFAULT);
}

Test(udp_frontend, reply_never_exceeds_1452_bytes)
{
    tracker->peer_count = 300; /* more than asked for */
    struct packet packet = packet_of_announce(new_id(FAMILY4), 1, 9, URL);
    struct reply reply = ask(FAMILY4, &packet);
    expect_peers(&reply, FAMILY4, 1, 238);
    tracker->peer_count = 100;
    packet_set_u64(&packet, 0, new_id(FAMILY6));
    reply = ask(FAMILY6, &packet);
    expect_peers(&reply, FAMILY6, 1, 79);
}

Test(udp_frontend, announce_without_peers_gets_twenty_bytes)
{
    tracker->peer_count = 0;
    struct packet packet = packet_of_announce(new_id(FAMILY4), 1, 9, URL);
    struct reply reply = ask(FAMILY4, &packet);
    expect_peers(&reply, FAMILY4, 1, 0);
}

Test(udp_frontend, every_request_of_many_gets_its_own_reply_however_the_batches_fall)
{
    enum { REQUESTS = 300 };
    uint64_t id = new_id(FAMILY4);
    const unsigned batch_sizes[] = {1, 7, 63, 64};
    for (size_t size = 0; size < 4; size++) {
        tracker->batch_max = batch_sizes[size]; /* the fake writes over a batch's peers when the next one runs */
        for (uint32_t i = 0; i < REQUESTS; i++) {
            struct packet packet = packet_of_announce(id, i, 9, i % 5 == 3 ? NULL : URL);
            packet_set_u32(&packet, 92, i % 60);
            if (i % 7 == 6) {
                packet = packet_of(id, PACKET_SCRAPE, i);
                packet.length = 36;
            }
            send_packet(FAMILY4, &packet);
        }
        turn_all();
        bool seen[REQUESTS] = {false};
        for (uint32_t i = 0; i < REQUESTS; i++) {
            struct reply reply = receive(FAMILY4);
            cr_assert_geq(reply.length, 8, "only %u came", i);
            uint32_t transaction = packet_u32(reply.bytes + 4);
            cr_assert_lt(transaction, REQUESTS);
            cr_assert_not(seen[transaction]);
            seen[transaction] = true;
            if (transaction % 7 == 6)
                cr_assert_eq(packet_u32(reply.bytes), PACKET_SCRAPE);
            else if (transaction % 5 == 3)
                expect_error(&reply, transaction, "passkey missing");
            else
                expect_peers(&reply, FAMILY4, transaction, transaction % 60 < 50 ? transaction % 60 : 50);
        }
    }
}

Test(udp_frontend, a_turn_is_bounded_and_leaves_nobody_out)
{
    struct packet packet = packet_of_announce(new_id(FAMILY4), 1, 9, URL);
    struct packet other = packet_of_announce(new_id(FAMILY6), 1, 9, URL);
    for (int i = 0; i < 2000; i++)
        send_packet(FAMILY4, &packet);
    send_packet(FAMILY6, &other);
    (void)event_base_loop(worker->base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
    cr_assert_eq(counted(FAMILY4, ACTION_ANNOUNCE, RESULT_OK), UDP_TURN_BATCHES * UDP_BATCH);
    cr_assert_eq(counted(FAMILY6, ACTION_ANNOUNCE, RESULT_OK), 1);
    for (int i = 0; i < 20; i++)
        turn_all();
    cr_assert_eq(counted(FAMILY4, ACTION_ANNOUNCE, RESULT_OK), 2000);

    /* And when the flood is over, the sockets are watched again. */
    struct pollfd pollable = {.fd = listeners->items[0].sockets[0]};
    cr_assert_eq(poll(&pollable, 1, 0), 0);
    send_packet(FAMILY4, &packet);
    (void)event_base_loop(worker->base, EVLOOP_ONCE);
    cr_assert_eq(counted(FAMILY4, ACTION_ANNOUNCE, RESULT_OK), 2001);
}

Test(udp_frontend, answers_that_come_later_than_their_batch_find_their_clients)
{
    enum { REQUESTS = 500 };
    uint64_t id = new_id(FAMILY4);
    uint64_t id6 = new_id(FAMILY6);
    tracker->holds_answers = true;
    for (uint32_t i = 0; i < REQUESTS; i++) {
        struct packet packet = packet_of_announce(i % 2 ? id6 : id, i, 9, URL);
        send_packet(i % 2 ? FAMILY6 : FAMILY4, &packet);
    }
    struct packet scrape = packet_of(id, PACKET_SCRAPE, 1000);
    scrape.length = 36;
    send_packet(FAMILY4, &scrape);
    turn_all();
    cr_assert_eq(receive(FAMILY4).length, -1);
    tracker->holds_answers = false;
    fake_release(worker);
    turn_all();
    for (uint32_t i = 0; i < REQUESTS; i++) {
        int family = i % 2 ? FAMILY6 : FAMILY4;
        struct reply reply = receive(family);
        expect_peers(&reply, family, i, 50);
    }
    struct reply reply = receive(FAMILY4);
    cr_assert_eq(reply.length, 20);
    cr_assert_eq(packet_u32(reply.bytes + 4), 1000);
}

Test(udp_frontend, too_many_requests_without_an_answer_lose_the_oldest_places_and_nothing_else)
{
    enum { REQUESTS = UDP_LATE_MAX + 1000 };
    struct packet packet = packet_of_announce(new_id(FAMILY4), 1, 9, URL);
    tracker->holds_answers = true;
    for (uint32_t i = 0; i < REQUESTS; i++) {
        send_packet(FAMILY4, &packet);
        if (i % 500 == 499)
            turn_all();
    }
    turn_all();
    cr_assert_eq(worker->held_count, REQUESTS);
    tracker->holds_answers = false;
    fake_release(worker);
    turn_all();
    cr_assert_eq(worker->counters.udp_send_failures + counted(FAMILY4, ACTION_ANNOUNCE, RESULT_OK), REQUESTS);
    cr_assert_leq(worker->counters.udp_send_failures, 1000);
    while (receive(FAMILY4).length > 0)
        continue;
    struct reply reply = ask(FAMILY4, &packet);
    expect_peers(&reply, FAMILY4, 1, 50);
}

Test(udp_frontend, scrape_tells_what_is_known)
{
    for (int family = FAMILY4; family <= FAMILY6; family++) {
        struct packet packet = packet_of(new_id(family), PACKET_SCRAPE, 4711);
        packet.length = 16 + 74 * 20;
        for (uint8_t i = 0; i < 74; i++)
            packet.bytes[16 + i * 20] = i;
        struct reply reply = ask(family, &packet);
        cr_assert_eq(reply.length, 8 + 74 * 12);
        cr_assert_eq(packet_u32(reply.bytes), PACKET_SCRAPE);
        cr_assert_eq(packet_u32(reply.bytes + 4), 4711);
        for (uint32_t i = 0; i < 74; i++) { /* the fake knows all but number 0 */
            cr_assert_eq(packet_u32(reply.bytes + 8 + i * 12), i);
            cr_assert_eq(packet_u32(reply.bytes + 8 + i * 12 + 4), i == 0 ? 0 : i + 2);
            cr_assert_eq(packet_u32(reply.bytes + 8 + i * 12 + 8), i == 0 ? 0 : i + 1);
        }
        cr_assert_eq(counted(family, ACTION_SCRAPE, RESULT_OK), 1);
    }
}

Test(udp_frontend, scrape_sees_the_announces_of_its_batch)
{
    uint64_t id = new_id(FAMILY4);
    struct packet scrape = packet_of(id, PACKET_SCRAPE, 1);
    scrape.length = 36;
    struct packet announce = packet_of_announce(id, 2, 9, URL);
    tracker->holds_answers = true;
    send_packet(FAMILY4, &scrape);
    send_packet(FAMILY4, &announce);
    (void)event_base_loop(worker->base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
    cr_assert_eq(worker->announced, 1);
    cr_assert_eq(worker->held_scrape_count, 1);
}

Test(udp_frontend, faulty_scrapes_are_told_what_is_wrong)
{
    struct packet packet = packet_of(new_id(FAMILY4), PACKET_SCRAPE, 4711);
    struct reply reply = ask(FAMILY4, &packet);
    expect_error(&reply, 4711, "info_hash missing");
    packet.length = 37;
    reply = ask(FAMILY4, &packet);
    expect_error(&reply, 4711, "bad info_hash");
    packet.length = 16 + 75 * 20;
    reply = ask(FAMILY4, &packet);
    expect_error(&reply, 4711, "too many info_hash");
}

Test(udp_frontend, scrapes_are_switched_and_limited_by_a_reload)
{
    struct packet packet = packet_of(new_id(FAMILY4), PACKET_SCRAPE, 4711);
    packet.length = 16 + 3 * 20;
    struct config changed = config;
    changed.tracker.max_scrape = 2;
    tracker->hooks.reload(worker, tracker->hooks.context, &changed);
    struct reply reply = ask(FAMILY4, &packet);
    expect_error(&reply, 4711, "too many info_hash");
    changed.udp.scrape = false;
    tracker->hooks.reload(worker, tracker->hooks.context, &changed);
    reply = ask(FAMILY4, &packet);
    expect_error(&reply, 4711, "scrapes over UDP are switched off");
    tracker->hooks.reload(worker, tracker->hooks.context, &config);
    cr_assert_eq(ask(FAMILY4, &packet).length, 8 + 3 * 12);
}

Test(udp_frontend, too_many_scrapes_under_way_are_refused_for_overload)
{
    struct packet packet = packet_of(new_id(FAMILY4), PACKET_SCRAPE, 4711);
    packet.length = 36;
    tracker->holds_answers = true;
    for (int i = 0; i < UDP_SCRAPES_MAX; i++)
        cr_assert_eq(ask(FAMILY4, &packet).length, -1);
    struct reply reply = ask(FAMILY4, &packet);
    expect_error(&reply, 4711, "overloaded");
    tracker->holds_answers = false;
    fake_release(worker);
    turn_all();
    for (int i = 0; i < UDP_SCRAPES_MAX; i++)
        cr_assert_eq(receive(FAMILY4).length, 20);
    cr_assert_eq(ask(FAMILY4, &packet).length, 20);
}

Test(udp_frontend, ids_follow_a_reload_of_their_lifetime)
{
    struct packet packet = packet_of_announce(0, 1, 9, URL);
    packet_set_u64(&packet, 0, connection_id_make(&listeners->key, &addresses[FAMILY4], clock_now_ms() / 1000 - 300));
    cr_assert_eq(ask(FAMILY4, &packet).length, -1);
    struct config changed = config;
    changed.udp.connection_lifetime_s = 600;
    tracker->hooks.reload(worker, tracker->hooks.context, &changed);
    cr_assert_gt(ask(FAMILY4, &packet).length, 0);
}

Test(udp_frontend, nothing_new_is_taken_while_draining)
{
    struct packet packet = packet_of_announce(new_id(FAMILY4), 1, 9, URL);
    tracker->hooks.drain(worker, tracker->hooks.context);
    cr_assert_eq(ask(FAMILY4, &packet).length, -1);
    cr_assert_eq(worker->announced, 0);
}

Test(udp_frontend, what_is_in_hand_when_draining_begins_is_answered)
{
    struct packet packet = packet_of_announce(new_id(FAMILY4), 1, 9, URL);
    tracker->holds_answers = true;
    cr_assert_eq(ask(FAMILY4, &packet).length, -1);
    tracker->hooks.drain(worker, tracker->hooks.context);
    tracker->holds_answers = false;
    fake_release(worker);
    turn_all();
    struct reply reply = receive(FAMILY4);
    expect_peers(&reply, FAMILY4, 1, 50);
}

Test(udp_frontend, packet_from_port_0_is_passed_over)
{
    int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP);
    if (raw < 0)
        cr_skip_test("no right to send a packet from port 0");
    struct packet packet = packet_of(PACKET_MAGIC, PACKET_CONNECT, 1);
    uint8_t bytes[sizeof(struct udphdr) + 16];
    struct udphdr head = {.dest = htons(addresses[FAMILY4].port), .len = htons(sizeof bytes)};
    memcpy(bytes, &head, sizeof head);
    memcpy(bytes + sizeof head, packet.bytes, 16);
    struct sockaddr_storage name;
    struct address target = addresses[FAMILY4];
    target.port = 0;
    socklen_t length = address_to_sockaddr(&target, &name);
    cr_assert_eq(sendto(raw, bytes, sizeof bytes, 0, (struct sockaddr *)&name, length), sizeof bytes);
    (void)close(raw);
    turn_all();
    cr_assert_eq(counted(FAMILY4, ACTION_CONNECT, RESULT_MALFORMED), 1);
    cr_assert_eq(worker->counters.udp_send_failures, 0);
}

/* --- replies to one client as one send --- */

static unsigned receive_all(int family, uint32_t from, uint32_t until)
{
    unsigned count = 0;
    for (struct reply reply = receive(family); reply.length > 0; reply = receive(family), count++) {
        uint32_t transaction = packet_u32(reply.bytes + 4);
        cr_assert(transaction >= from && transaction < until);
        expect_peers(&reply, family, transaction, 50);
    }
    return count;
}

Test(udp_frontend, burst_of_one_client_is_answered_in_one_datagram_each)
{
    for (int family = FAMILY4; family <= FAMILY6; family++) {
        uint64_t id = new_id(family);
        for (uint32_t i = 0; i < 100; i++) {
            struct packet packet = packet_of_announce(id, i, 9, URL);
            send_packet(family, &packet);
        }
        turn_all();
        cr_assert_eq(receive_all(family, 0, 100), 100);
    }
}

/* A network of our own whose loopback carries `mtu` bytes. False where the test may not have one. */
static bool enter_network(int mtu)
{
    if (unshare(CLONE_NEWNET) != 0)
        return false;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_mtu = mtu};
    bool is_good = ioctl(fd, SIOCSIFMTU, &request) == 0;
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    is_good = is_good && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    (void)close(fd);
    return is_good;
}

static void start_nothing(void)
{
}

TestSuite(udp_narrow, .init = start_nothing);

Test(udp_narrow, what_the_kernel_does_not_cut_for_a_narrow_path_is_sent_one_by_one)
{
    /* Replies of 320 bytes: fragments of a datagram can carry them, segments cannot. */
    if (!enter_network(300))
        cr_skip_test("no right to make a network");
    addresses[FAMILY6].port = 0;
    start(1);
    uint64_t id = new_id(FAMILY4);
    for (uint32_t i = 0; i < 100; i++) {
        struct packet packet = packet_of_announce(id, i, 9, URL);
        send_packet(FAMILY4, &packet);
    }
    turn_all();
    cr_assert_eq(receive_all(FAMILY4, 0, 100), 100);
    cr_assert_eq(worker->counters.udp_send_failures, 0);
    end();
}

/* --- more than one worker --- */

static void start_three(void)
{
    start(3);
}

TestSuite(udp_workers, .init = start_three, .fini = end);

/* Without the filter the kernel picks a worker by the client's address alone. */
static void remove_steering(void)
{
    int none = 0;
    for (size_t i = 0; i < listeners->count; i++)
        cr_assert_eq(
            setsockopt(listeners->items[i].sockets[0], SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &none, sizeof none), 0);
}

static uint64_t mailed(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < tracker->worker_count; i++)
        sum += tracker->workers[i].counters.mailed;
    return sum;
}

/* Sends one announce for each first byte of an info hash but the last, and expects its own reply to each. */
static void announce_all(int family)
{
    uint64_t id = new_id(family);
    for (uint32_t i = 0; i < 255; i++) {
        struct packet packet = packet_of_announce(id, i, 0, i % 5 == 3 ? NULL : URL);
        packet.bytes[19] = (uint8_t)i; /* whose it is: i modulo 3 */
        send_packet(family, &packet);
    }
    turn_all();
    bool seen[255] = {false};
    for (uint32_t i = 0; i < 255; i++) {
        struct reply reply = receive(family);
        cr_assert_gt(reply.length, 8, "only %u came", i);
        uint32_t transaction = packet_u32(reply.bytes + 4);
        cr_assert_not(seen[transaction]);
        seen[transaction] = true;
        if (transaction % 5 == 3)
            expect_error(&reply, transaction, "passkey missing");
        else
            expect_peers(&reply, family, transaction, 50);
        struct address from = address_from_sockaddr((struct sockaddr *)&reply.from);
        cr_assert(address_same_ip(&from, &addresses[family]));
    }
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(tracker->workers[i].announced, 68); /* a third of the four fifths */
        tracker->workers[i].announced = 0;
    }
}

Test(udp_workers, each_announce_comes_to_its_owner_without_mail)
{
    announce_all(FAMILY4);
    announce_all(FAMILY6);
    cr_assert_eq(mailed(), 0);
}

Test(udp_workers, announces_at_the_wrong_worker_are_sent_on_to_their_owner)
{
    remove_steering();
    announce_all(FAMILY4);
    cr_assert_eq(mailed(), 170); /* all come to one worker, which owns a third */
    announce_all(FAMILY6);
    cr_assert_eq(counted(FAMILY4, ACTION_ANNOUNCE, RESULT_OK), 204);
    cr_assert_eq(counted(FAMILY6, ACTION_ANNOUNCE, RESULT_MALFORMED), 51);
}

Test(udp_workers, announce_for_an_owner_who_takes_no_mail_is_refused_for_overload)
{
    remove_steering();
    uint64_t id = new_id(FAMILY4);
    tracker->refuses_mail = true;
    unsigned refused = 0;
    for (uint8_t i = 0; i < 3; i++) {
        struct packet packet = packet_of_announce(id, i, 0, URL);
        packet.bytes[19] = i;
        struct reply reply = ask(FAMILY4, &packet);
        if (packet_u32(reply.bytes) == PACKET_ERROR) {
            expect_error(&reply, i, "overloaded");
            refused++;
        }
    }
    cr_assert_eq(refused, 2);
    cr_assert_eq(counted(FAMILY4, ACTION_ANNOUNCE, RESULT_OVERLOAD), 2);
}

Test(udp_workers, bad_ids_are_never_sent_on)
{
    remove_steering();
    uint64_t id = new_id(FAMILY4);
    for (uint8_t i = 0; i < 3; i++) {
        struct packet packet = packet_of_announce(id ^ 1, i, 0, URL);
        packet.bytes[19] = i;
        cr_assert_eq(ask(FAMILY4, &packet).length, -1);
    }
    cr_assert_eq(mailed(), 0);
}
