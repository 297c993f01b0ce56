/* The sockets, and the kernel's steering between them, over real loopback. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tracker/worker.h"
#include "udp/listen.h"
#include "udp_packets.h"

enum { WORKERS = 3, DATAGRAMS = 3000, IN_FLIGHT = 100 };

static char folder[64];
static struct config config;
static struct error error;

static void make_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/privtrak-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    config.tracker.state_dir = folder;
}

static void remove_folder(void)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/udp.key", folder);
    (void)unlink(path);
    (void)rmdir(folder);
}

TestSuite(udp_listen, .init = make_folder, .fini = remove_folder);

static struct udp_listeners *listen_on(const char *text, unsigned workers)
{
    static struct address addresses[2];
    cr_assert(address_parse(&addresses[0], text, strlen(text)));
    config.udp.listen = (struct listen_list){.addresses = addresses, .count = 1};
    return udp_listen(&config, workers, &error);
}

static int connect_to(const struct address *address)
{
    struct sockaddr_storage name;
    socklen_t length = address_to_sockaddr(address, &name);
    int fd = socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&name, length), 0);
    return fd;
}

/* Reads all that waits at the sockets; counts what is there and what of it should be there. */
static void collect(const struct udp_listener *listener, unsigned arrived[WORKERS], unsigned *misdirected)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        uint8_t bytes[PACKET_REQUEST_MAX];
        ssize_t length;
        while ((length = recv(listener->sockets[i], bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
            arrived[i]++;
            if (length >= 36 && torrent_owner(bytes + 16, WORKERS) != i)
                (*misdirected)++;
        }
    }
}

static void send_and_collect(const struct udp_listener *listener, const struct packet *kind, unsigned arrived[WORKERS],
                             unsigned *misdirected)
{
    int fd = connect_to(&listener->address);
    for (unsigned i = 0; i < DATAGRAMS; i++) {
        struct packet packet = *kind;
        arc4random_buf(packet.bytes + 16, packet.length < 36 ? 0 : 20);
        cr_assert_eq(send(fd, packet.bytes, packet.length, 0), (ssize_t)packet.length);
        if (i % IN_FLIGHT == IN_FLIGHT - 1)
            collect(listener, arrived, misdirected);
    }
    collect(listener, arrived, misdirected);
    (void)close(fd);
}

static void expect_all_at_their_owners(const char *address, const struct packet *kind)
{
    struct udp_listeners *listeners = listen_on(address, WORKERS);
    cr_assert_not_null(listeners, "%s", error.text);
    unsigned arrived[WORKERS] = {0};
    unsigned misdirected = 0;
    send_and_collect(&listeners->items[0], kind, arrived, &misdirected);
    cr_assert_eq(misdirected, 0, "%u of %u", misdirected, DATAGRAMS);
    cr_assert_eq(arrived[0] + arrived[1] + arrived[2], DATAGRAMS);
    for (unsigned i = 0; i < WORKERS; i++)
        cr_assert_gt(arrived[i], DATAGRAMS / WORKERS / 2, "worker %u got %u", i, arrived[i]);
    udp_close(listeners);
}

Test(udp_listen, announces_arrive_at_the_owner_of_their_torrent)
{
    struct packet announce = packet_of_announce(0x1234567890abcdef, 1, 0, "/key/announce");
    expect_all_at_their_owners("127.0.0.1:0", &announce);
    expect_all_at_their_owners("[::1]:0", &announce);
}

Test(udp_listen, scrapes_arrive_at_the_owner_of_their_first_torrent)
{
    struct packet scrape = packet_of(0x1234567890abcdef, PACKET_SCRAPE, 1);
    scrape.length = 16 + 2 * 20;
    expect_all_at_their_owners("127.0.0.1:0", &scrape);
    expect_all_at_their_owners("[::1]:0", &scrape);
}

static void expect_spread(const char *address, struct packet packet)
{
    struct udp_listeners *listeners = listen_on(address, WORKERS);
    cr_assert_not_null(listeners, "%s", error.text);
    unsigned arrived[WORKERS] = {0};
    int fd = connect_to(&listeners->items[0].address);
    for (unsigned i = 0; i < DATAGRAMS; i++) {
        cr_assert_eq(send(fd, packet.bytes, packet.length, 0), (ssize_t)packet.length);
        unsigned misdirected;
        if (i % IN_FLIGHT == IN_FLIGHT - 1)
            collect(&listeners->items[0], arrived, &misdirected);
    }
    (void)close(fd);
    cr_assert_eq(arrived[0] + arrived[1] + arrived[2], DATAGRAMS);
    for (unsigned i = 0; i < WORKERS; i++)
        cr_assert_gt(arrived[i], DATAGRAMS / WORKERS / 2, "worker %u got %u", i, arrived[i]);
    udp_close(listeners);
}

Test(udp_listen, what_names_no_torrent_is_spread_even_from_one_client)
{
    struct packet packet = packet_of(PACKET_MAGIC, PACKET_CONNECT, 1);
    expect_spread("127.0.0.1:0", packet);
    expect_spread("[::1]:0", packet);
    packet.length = 98; /* a connect with something behind it */
    expect_spread("127.0.0.1:0", packet);
    packet.length = 1;
    expect_spread("127.0.0.1:0", packet);
}

Test(udp_listen, one_worker_gets_all)
{
    struct udp_listeners *listeners = listen_on("127.0.0.1:0", 1);
    cr_assert_not_null(listeners, "%s", error.text);
    int fd = connect_to(&listeners->items[0].address);
    cr_assert_eq(send(fd, "x", 1, 0), 1);
    struct pollfd readable = {.fd = listeners->items[0].sockets[0], .events = POLLIN};
    cr_assert_eq(poll(&readable, 1, 1000), 1);
    (void)close(fd);
    udp_close(listeners);
}

Test(udp_listen, port_in_use_by_another_tracker_is_an_error)
{
    struct udp_listeners *first = listen_on("127.0.0.1:0", 2);
    cr_assert_not_null(first, "%s", error.text);
    struct address address = udp_listener_address(first, 0);
    cr_assert_neq(address.port, 0);
    char text[ADDRESS_TEXT_BYTES];
    cr_assert_null(listen_on(address_format(&address, text), 2));
    char expected[256];
    (void)snprintf(expected, sizeof expected, "udp.listen: cannot listen on %s: Address already in use", text);
    cr_assert_str_eq(error.text, expected);
    udp_close(first);

    struct udp_listeners *second = listen_on(text, 2);
    cr_assert_not_null(second, "the port should be free again: %s", error.text);
    udp_close(second);
}

Test(udp_listen, address_that_the_machine_lacks_is_an_error_where_it_was_written)
{
    cr_assert_null(listen_on("192.0.2.1:0", 2));
    cr_assert_eq(strncmp(error.text, "udp.listen: cannot listen on 192.0.2.1:0: ", 42), 0, "%s", error.text);
}

Test(udp_listen, default_address_that_the_machine_lacks_is_left_out)
{
    struct address addresses[2];
    cr_assert(address_parse(&addresses[0], "[2001:db8::1]:0", 15));
    cr_assert(address_parse(&addresses[1], "127.0.0.1:0", 11));
    config.udp.listen = (struct listen_list){.addresses = addresses, .count = 2, .by_default = true};
    struct udp_listeners *listeners = udp_listen(&config, 2, &error);
    cr_assert_not_null(listeners, "%s", error.text);
    cr_assert_eq(udp_listener_count(listeners), 1);
    cr_assert_eq(udp_listener_address(listeners, 0).family, 4);
    udp_close(listeners);
}

Test(udp_listen, both_families_share_a_port)
{
    struct udp_listeners *first = listen_on("0.0.0.0:0", 2);
    cr_assert_not_null(first, "%s", error.text);
    char text[ADDRESS_TEXT_BYTES];
    (void)snprintf(text, sizeof text, "[::]:%u", udp_listener_address(first, 0).port);
    struct udp_listeners *second = listen_on(text, 2);
    cr_assert_not_null(second, "%s", error.text);
    udp_close(first);
    udp_close(second);
}

Test(udp_listen, no_address_is_no_error)
{
    config.udp.listen = (struct listen_list){0};
    struct udp_listeners *listeners = udp_listen(&config, 2, &error);
    cr_assert_not_null(listeners, "%s", error.text);
    cr_assert_eq(udp_listener_count(listeners), 0);
    udp_close(listeners);
}
