/* The UDP frontend of several workers: which of them gets an announce, and how it comes to its owner. */
#include <linux/filter.h>

#include "udp_frontend_fixture.h"

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
