#include "udp/merge.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

enum { SLOTS = 2 * UDP_MERGE_MAX };

#define NONE UINT8_MAX
_Static_assert(UDP_MERGE_MAX < NONE, "places are bytes");

/* The replies by where they go: of each destination a list, the longest reply first, equal ones as they came. */
struct sorting {
    const struct mmsghdr *replies;
    unsigned destination_count;
    uint8_t first[UDP_MERGE_MAX]; /* by destination: the list's ends */
    uint8_t last[UDP_MERGE_MAX];
    uint8_t next[UDP_MERGE_MAX];  /* by reply */
    uint8_t slots[SLOTS];         /* a hash table of destinations, by the reply that came first */
    uint8_t owner[UDP_MERGE_MAX]; /* by that reply: its destination */
};

bool udp_merge_is_supported(int fd)
{
    int none = 0;
    return setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof none) == 0;
}

static size_t size_of(const struct mmsghdr *reply)
{
    return reply->msg_hdr.msg_iov[0].iov_len;
}

static bool may_merge(const struct mmsghdr *reply)
{
    return reply->msg_hdr.msg_controllen == 0 && size_of(reply) <= UDP_MERGE_SEGMENT_MAX;
}

/* The kernel fills names whole, so that equal addresses are equal bytes. */
static bool is_same_destination(const struct mmsghdr *a, const struct mmsghdr *b)
{
    return a->msg_hdr.msg_namelen == b->msg_hdr.msg_namelen &&
           memcmp(a->msg_hdr.msg_name, b->msg_hdr.msg_name, a->msg_hdr.msg_namelen) == 0;
}

static unsigned slot_of(const struct mmsghdr *reply)
{
    const struct sockaddr *name = reply->msg_hdr.msg_name;
    uint64_t word; /* family, port and, over IPv4, the address */
    memcpy(&word, name, sizeof word);
    if (name->sa_family == AF_INET6) {
        const struct sockaddr_in6 *ipv6 = reply->msg_hdr.msg_name;
        uint64_t halves[2];
        memcpy(halves, &ipv6->sin6_addr, sizeof halves);
        word ^= halves[0] * UINT64_C(0xd6e8feb86659fd93) ^ halves[1];
    }
    return (unsigned)((word * UINT64_C(0x9e3779b97f4a7c15)) >> 32) % SLOTS;
}

static unsigned add_destination(struct sorting *sorting, unsigned place)
{
    unsigned destination = sorting->destination_count++;
    sorting->first[destination] = NONE;
    sorting->owner[place] = (uint8_t)destination;
    return destination;
}

static unsigned find_destination(struct sorting *sorting, unsigned place)
{
    const struct mmsghdr *reply = &sorting->replies[place];
    for (unsigned slot = slot_of(reply);; slot = (slot + 1) % SLOTS) {
        unsigned known = sorting->slots[slot];
        if (known == NONE) {
            sorting->slots[slot] = (uint8_t)place;
            return add_destination(sorting, place);
        }
        if (is_same_destination(&sorting->replies[known], reply))
            return sorting->owner[known];
    }
}

static void insert(struct sorting *sorting, unsigned destination, unsigned place)
{
    size_t size = size_of(&sorting->replies[place]);
    uint8_t *link = &sorting->first[destination];
    if (*link != NONE && size_of(&sorting->replies[sorting->last[destination]]) >= size)
        link = &sorting->next[sorting->last[destination]];
    while (*link != NONE && size_of(&sorting->replies[*link]) >= size)
        link = &sorting->next[*link];
    sorting->next[place] = *link;
    if (*link == NONE)
        sorting->last[destination] = (uint8_t)place;
    *link = (uint8_t)place;
}

static void sort_replies(struct sorting *sorting, const struct mmsghdr *replies, unsigned count)
{
    sorting->replies = replies;
    sorting->destination_count = 0;
    memset(sorting->slots, NONE, sizeof sorting->slots);
    unsigned destination = NONE;
    for (unsigned i = 0; i < count; i++) {
        if (!may_merge(&replies[i])) {
            insert(sorting, add_destination(sorting, i), i);
            destination = NONE;
            continue;
        }
        /* What one client sent came in a row. */
        if (destination == NONE || !is_same_destination(&replies[i - 1], &replies[i]))
            destination = find_destination(sorting, i);
        insert(sorting, destination, i);
    }
}

static void mark_segments(struct udp_merged *merged, struct msghdr *message)
{
    struct cmsghdr *header = (struct cmsghdr *)merged->controls[merged->count - 1];
    message->msg_control = header;
    message->msg_controllen = sizeof merged->controls[0];
    header->cmsg_level = IPPROTO_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    uint16_t size = (uint16_t)message->msg_iov[0].iov_len;
    memcpy(CMSG_DATA(header), &size, sizeof size);
}

/* One message out of the list's head and those behind it that fit. Returns what is left of the list. */
static uint8_t take_message(struct udp_merged *merged, const struct sorting *sorting, uint8_t place, unsigned *used)
{
    struct msghdr *message = &merged->messages[merged->count++].msg_hdr;
    *message = sorting->replies[place].msg_hdr;
    message->msg_iov = &merged->vectors[*used];
    message->msg_iovlen = 0;
    size_t segment = size_of(&sorting->replies[place]);
    size_t total = 0;
    size_t size;
    do {
        size = size_of(&sorting->replies[place]);
        total += size;
        message->msg_iov[message->msg_iovlen++] = sorting->replies[place].msg_hdr.msg_iov[0];
        place = sorting->next[place];
    } while (size == segment && place != NONE && total + size_of(&sorting->replies[place]) <= UDP_MERGE_BYTES_MAX);
    *used += (unsigned)message->msg_iovlen;
    if (message->msg_iovlen > 1)
        mark_segments(merged, message);
    return place;
}

void udp_merge(struct udp_merged *merged, const struct mmsghdr *replies, unsigned count)
{
    struct sorting sorting;
    sort_replies(&sorting, replies, count);
    merged->count = 0;
    unsigned used = 0;
    for (unsigned i = 0; i < sorting.destination_count; i++) {
        uint8_t place = sorting.first[i];
        while (place != NONE)
            place = take_message(merged, &sorting, place, &used);
    }
}
