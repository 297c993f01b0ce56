/* listen: the sockets of the UDP frontend and the kernel's steering between them. Private to src/udp. */
#ifndef PRIVTRAK_UDP_LISTEN_H
#define PRIVTRAK_UDP_LISTEN_H

#include "udp/connection_id.h"
#include "udp/udp.h"

/*
 * Sockets of one address. Behind those of the configured addresses stand some that no one asked for:
 * for 0.0.0.0 and [::] one group for each address that the machine has. A socket bound to an
 * address answers from it by itself; only what comes to the wildcard, which is
 * then an address that the machine got later, needs a control message at each datagram
 * and each reply, and that costs 170 ns of kernel time a reply (bench_udp_frontend).
 */
struct udp_listener {
    struct address address; /* as bound */
    int *sockets;           /* one a worker, in the workers' order; -1: none */
};

struct udp_listeners {
    struct connection_key key;
    unsigned workers;
    size_t configured_count;
    size_t count; /* with those behind */
    struct udp_listener *items;
    struct worker_hooks hooks;
};

/*
 * Has the kernel give each datagram that comes to the group of SO_REUSEPORT
 * sockets of which `fd` is one to the socket of the worker that owns the torrent
 * (torrent_owner), and what names no torrent to any. Returns 0 or -1 with errno.
 */
int udp_steer(int fd, unsigned workers);

#endif
