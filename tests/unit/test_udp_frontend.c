/* What a request over UDP is answered with. */
#include <netinet/udp.h>

#include "udp_frontend_fixture.h"

TestSuite(udp_frontend, .init = start_one, .fini = end);

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

Test(udp_frontend, id_is_good_for_its_own_address_only_and_still_for_it_afterwards)
{
    struct packet packet = packet_of_announce(new_id(FAMILY4), 1, 9, URL);
    struct reply reply = ask(FAMILY4, &packet);
    expect_peers(&reply, FAMILY4, 1, 50);

    int first = client[FAMILY4];
    struct sockaddr_in name = {.sin_family = AF_INET};
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    client[FAMILY4] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(client[FAMILY4], (struct sockaddr *)&name, sizeof name), 0);
    cr_assert_eq(ask(FAMILY4, &packet).length, -1);
    (void)close(client[FAMILY4]);

    client[FAMILY4] = first;
    reply = ask(FAMILY4, &packet);
    expect_peers(&reply, FAMILY4, 1, 50);
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
