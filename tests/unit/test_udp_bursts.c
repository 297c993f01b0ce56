/* Many requests at once over UDP: batches, turns, answers that come late, and replies that leave together. */
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "udp_frontend_fixture.h"

TestSuite(udp_bursts, .init = start_one, .fini = end);

Test(udp_bursts, every_request_of_many_gets_its_own_reply_however_the_batches_fall)
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

Test(udp_bursts, a_turn_is_bounded_and_leaves_nobody_out)
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

Test(udp_bursts, answers_that_come_later_than_their_batch_find_their_clients)
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

Test(udp_bursts, too_many_requests_without_an_answer_lose_the_oldest_places_and_nothing_else)
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

Test(udp_bursts, burst_of_one_client_is_answered_in_one_datagram_each)
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
