/* Replies to one client as one send: what goes together, and what the kernel makes of it. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "udp/merge.h"

static uint8_t bytes[65536];
static struct mmsghdr replies[UDP_MERGE_MAX];
static struct iovec vectors[UDP_MERGE_MAX];
static struct sockaddr_in6 names[UDP_MERGE_MAX];
static unsigned count;
static struct udp_merged merged;

static void add_reply(size_t size, const void *name, socklen_t name_length)
{
    memcpy(&names[count], name, name_length);
    vectors[count] = (struct iovec){bytes + count, size};
    replies[count].msg_hdr = (struct msghdr){
        .msg_name = &names[count], .msg_namelen = name_length, .msg_iov = &vectors[count], .msg_iovlen = 1};
    count++;
}

/* A reply of `size` bytes to the client of that number. */
static void add4(size_t size, uint16_t client)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(client)};
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    add_reply(size, &name, sizeof name);
}

static void add6(size_t size, uint8_t client)
{
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(6881), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    name.sin6_addr.s6_addr[7] = client;
    add_reply(size, &name, sizeof name);
}

static size_t segment_of(const struct msghdr *message)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    if (header == NULL)
        return 0;
    cr_assert_eq(header->cmsg_level, IPPROTO_UDP);
    cr_assert_eq(header->cmsg_type, UDP_SEGMENT);
    uint16_t size;
    memcpy(&size, CMSG_DATA(header), sizeof size);
    return size;
}

/* Holds whatever the replies are: each stands in one message to its own client, and the kernel can cut all of them. */
static void merge(void)
{
    unsigned seen[UDP_MERGE_MAX] = {0};
    udp_merge(&merged, replies, count);
    for (unsigned i = 0; i < merged.count; i++) {
        const struct msghdr *message = &merged.messages[i].msg_hdr;
        size_t segment = segment_of(message);
        size_t total = 0;
        cr_assert_geq(message->msg_iovlen, 1);
        cr_assert_eq(segment, message->msg_iovlen > 1 ? message->msg_iov[0].iov_len : 0);
        for (size_t k = 0; k < message->msg_iovlen; k++) {
            size_t place = (size_t)((uint8_t *)message->msg_iov[k].iov_base - bytes);
            cr_assert_lt(place, count);
            seen[place]++;
            cr_assert_eq(message->msg_iov[k].iov_len, vectors[place].iov_len);
            cr_assert_eq(message->msg_namelen, replies[place].msg_hdr.msg_namelen);
            cr_assert_eq(memcmp(message->msg_name, &names[place], message->msg_namelen), 0);
            bool is_last = k + 1 == message->msg_iovlen;
            cr_assert(segment == 0 || vectors[place].iov_len == segment ||
                      (is_last && vectors[place].iov_len < segment));
            total += vectors[place].iov_len;
        }
        cr_assert_leq(total, message->msg_iovlen > 1 ? UDP_MERGE_BYTES_MAX : 2048);
    }
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(seen[i], 1, "reply %u stands in %u messages", i, seen[i]);
}

Test(udp_merge, replies_to_one_client_are_one_message)
{
    for (unsigned i = 0; i < UDP_MERGE_MAX; i++)
        add4(320, 6881);
    merge();
    cr_assert_eq(merged.count, 1);
    for (unsigned i = 0; i < UDP_MERGE_MAX; i++)
        cr_assert_eq(merged.vectors[i].iov_base, bytes + i, "not in the order in which they came");
}

Test(udp_merge, replies_to_different_clients_stay_apart)
{
    for (uint16_t i = 0; i < UDP_MERGE_MAX; i++)
        add4(320, i);
    merge();
    cr_assert_eq(merged.count, UDP_MERGE_MAX);
}

Test(udp_merge, clients_that_take_turns_get_a_message_each)
{
    for (uint16_t i = 0; i < UDP_MERGE_MAX; i++)
        add4(320, i % 8);
    merge();
    cr_assert_eq(merged.count, 8);
}

Test(udp_merge, clients_over_ipv6_are_told_apart_by_every_part_of_the_address)
{
    for (unsigned i = 0; i < UDP_MERGE_MAX; i++)
        add6(920, (uint8_t)(i % 4));
    merge();
    cr_assert_eq(merged.count, 4);

    names[0].sin6_scope_id = 7;
    names[1].sin6_port = htons(1);
    merge();
    cr_assert_eq(merged.count, 6);
}

Test(udp_merge, only_the_last_of_a_message_may_be_smaller)
{
    static const size_t sizes[] = {100, 300, 200, 300, 100, 200, 300, 50};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        add4(sizes[i], 6881);
    merge();
    /* 300 300 300 200 | 200 100 | 100 50 */
    cr_assert_eq(merged.count, 3);
    cr_assert_eq(merged.messages[0].msg_hdr.msg_iovlen, 4);
    cr_assert_eq(merged.messages[1].msg_hdr.msg_iovlen, 2);
    cr_assert_eq(merged.messages[2].msg_hdr.msg_iovlen, 2);
}

Test(udp_merge, what_is_longer_than_any_path_carries_stays_alone)
{
    for (unsigned i = 0; i < 10; i++)
        add4(i % 2 == 0 ? UDP_MERGE_SEGMENT_MAX + 1 : UDP_MERGE_SEGMENT_MAX, 6881);
    merge();
    cr_assert_eq(merged.count, 6);
}

Test(udp_merge, message_never_exceeds_a_datagram)
{
    for (unsigned i = 0; i < UDP_MERGE_MAX; i++)
        add4(UDP_MERGE_SEGMENT_MAX, 6881);
    merge();
    cr_assert_eq(merged.count, 2);
}

Test(udp_merge, reply_with_a_control_message_stays_alone_and_keeps_it)
{
    static uint8_t control[CMSG_SPACE(sizeof(struct in_pktinfo))];
    for (unsigned i = 0; i < 4; i++)
        add4(320, 6881);
    replies[2].msg_hdr.msg_control = control;
    replies[2].msg_hdr.msg_controllen = sizeof control;
    udp_merge(&merged, replies, count);
    cr_assert_eq(merged.count, 2);
    unsigned kept = 0;
    for (unsigned i = 0; i < merged.count; i++)
        kept += merged.messages[i].msg_hdr.msg_control == control && merged.messages[i].msg_hdr.msg_iovlen == 1;
    cr_assert_eq(kept, 1);
}

Test(udp_merge, any_mixture_is_put_into_messages_that_the_kernel_can_cut)
{
    srand(5);
    for (unsigned round = 0; round < 2000; round++) {
        count = 0;
        unsigned wanted = 1 + (unsigned)rand() % UDP_MERGE_MAX;
        unsigned clients = 1 + (unsigned)rand() % 20;
        for (unsigned i = 0; i < wanted; i++) {
            size_t size = (size_t)(8 + rand() % (round % 2 == 0 ? 1445 : 40));
            if (rand() % 2 == 0)
                add4(size, (uint16_t)((unsigned)rand() % clients));
            else
                add6(size, (uint8_t)((unsigned)rand() % clients));
        }
        merge();
    }
}

static int bound_socket(struct sockaddr_in *name)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof *name;
    *name = (struct sockaddr_in){.sin_family = AF_INET};
    name->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_geq(fd, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)name, sizeof *name), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)name, &length), 0);
    return fd;
}

Test(udp_merge, the_kernel_delivers_them_one_by_one)
{
    struct sockaddr_in name;
    struct sockaddr_in from;
    int client = bound_socket(&name);
    int server = bound_socket(&from);
    if (!udp_merge_is_supported(server))
        cr_skip_test("this kernel cuts no segments");
    for (unsigned i = 0; i < 20; i++) {
        bytes[i] = (uint8_t)i;
        add_reply(100 + i % 3, &name, sizeof name);
    }
    merge();
    cr_assert_lt(merged.count, 10);
    cr_assert_eq(sendmmsg(server, merged.messages, merged.count, 0), (int)merged.count, "%s", strerror(errno));
    unsigned seen[20] = {0};
    for (unsigned i = 0; i < 20; i++) {
        uint8_t reply[256];
        ssize_t length = recv(client, reply, sizeof reply, MSG_DONTWAIT);
        cr_assert_geq(length, 100);
        cr_assert_lt(reply[0], 20);
        cr_assert_eq(length, 100 + reply[0] % 3);
        seen[reply[0]]++;
    }
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(seen[i], 1);
    (void)close(client);
    (void)close(server);
}
