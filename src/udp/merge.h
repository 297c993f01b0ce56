/*
 * merge: replies to one client as one send. A seedbox announces thousands of torrents
 * from one socket, and so does a generator: the kernel takes what goes to one address as one
 * datagram with marks where to cut (UDP_SEGMENT), and walks routing, the queue and the receiver's lookup once. What
 * arrives is the same datagrams as without. Private to src/udp.
 */
#ifndef PRIVTRAK_UDP_MERGE_H
#define PRIVTRAK_UDP_MERGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    UDP_MERGE_MAX = 64, /* replies; also the most segments that any kernel cuts */
    /* The kernel cuts only what fits the path. All IPv6 paths carry this much, and so does nearly every other. */
    UDP_MERGE_SEGMENT_MAX = 1280 - 40 - 8,
    UDP_MERGE_BYTES_MAX = 65535 - 40 - 8, /* of one send */
};

struct udp_merged {
    unsigned count;
    struct mmsghdr messages[UDP_MERGE_MAX];
    struct iovec vectors[UDP_MERGE_MAX]; /* of the messages, one after the other: a vector a reply */
    _Alignas(struct cmsghdr) uint8_t controls[UDP_MERGE_MAX][CMSG_SPACE(sizeof(uint16_t))];
};

/* True where the socket's kernel cuts segments. One that does not would send them as one long datagram. */
bool udp_merge_is_supported(int fd);

/*
 * Puts `count` replies, of one vector each and at most UDP_MERGE_MAX, into as few messages as may be:
 * those to one address whose sizes the kernel can cut, equal but for a smaller last one. Replies
 * with control messages of their own stay alone. The vectors' bytes and the names stay where they are.
 */
void udp_merge(struct udp_merged *merged, const struct mmsghdr *replies, unsigned count);

#endif
