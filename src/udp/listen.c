/* listen: opens the sockets. Runs on the main thread, before the workers start. */
#include "udp/listen.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* Room for some 20,000 small datagrams: what arrives while a worker is busy for some milliseconds. */
enum { SOCKET_BUFFER_BYTES = 8 * 1024 * 1024 };

/* Descriptors spent on the machine's own addresses behind a wildcard. */
enum { OWN_SOCKETS_MAX = 256, OWN_ADDRESSES_MAX = 16 };

static bool is_wildcard(const struct address *address)
{
    static const uint8_t zeros[sizeof address->ip];
    return memcmp(address->ip, zeros, sizeof zeros) == 0;
}

static int switch_on(int fd, int level, int option)
{
    int on = 1;
    return setsockopt(fd, level, option, &on, sizeof on);
}

static void enlarge_buffer(int fd, int option, int privileged_option)
{
    int size = SOCKET_BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, privileged_option, &size, sizeof size) != 0)
        (void)setsockopt(fd, SOL_SOCKET, option, &size, sizeof size);
}

static int open_socket(const struct address *address)
{
    int family = address->family == 4 ? AF_INET : AF_INET6;
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd >= 0 && family == AF_INET6 && switch_on(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0) {
        int reason = errno;
        (void)close(fd);
        errno = reason;
        return -1;
    }
    return fd;
}

static int bind_to(int fd, const struct address *address)
{
    struct sockaddr_storage name;
    socklen_t length = address_to_sockaddr(address, &name);
    return bind(fd, (const struct sockaddr *)&name, length);
}

/*
 * With SO_REUSEPORT the kernel lets a second tracker of the same user have the
 * same port and gives it half of the datagrams. Without it the port has to be free.
 */
static int probe(const struct address *address)
{
    int fd = open_socket(address);
    if (fd < 0)
        return -1;
    int result = bind_to(fd, address);
    int reason = errno;
    (void)close(fd);
    errno = reason;
    return result;
}

static int set_options(int fd, const struct address *address)
{
    bool is_ipv4 = address->family == 4;
    if (switch_on(fd, SOL_SOCKET, SO_REUSEPORT) != 0)
        return -1;
    if (is_wildcard(address) &&
        (is_ipv4 ? switch_on(fd, IPPROTO_IP, IP_PKTINFO) : switch_on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO)) != 0)
        return -1;

    /* Replies fit nearly every path; where one does not, fragments are better than a reply refused by the socket. */
    int omit = IP_PMTUDISC_OMIT;
    if (is_ipv4)
        (void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &omit, sizeof omit);
    else
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &omit, sizeof omit);
    enlarge_buffer(fd, SO_RCVBUF, SO_RCVBUFFORCE);
    enlarge_buffer(fd, SO_SNDBUF, SO_SNDBUFFORCE);
    return 0;
}

/* Learns which port a socket bound to port 0 got. */
static int learn_port(int fd, struct address *address)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    if (getsockname(fd, (struct sockaddr *)&name, &length) != 0)
        return -1;
    address->port = address_from_sockaddr((const struct sockaddr *)&name).port;
    return 0;
}

/* The sockets of one address. The filter counts them in the order in which they are bound. 0, or -1 with errno. */
static int open_listener(struct udp_listener *listener, unsigned workers)
{
    for (unsigned i = 0; i < workers; i++) {
        int fd = open_socket(&listener->address);
        listener->sockets[i] = fd;
        if (fd < 0 || set_options(fd, &listener->address) != 0 || bind_to(fd, &listener->address) != 0 ||
            learn_port(fd, &listener->address) != 0)
            return -1;
    }
    if (workers > 1 && udp_steer(listener->sockets[0], workers) != 0) {
        /* Slower, not wrong: what arrives at the wrong worker is sent on. */
        log_warning("udp", "the kernel takes no steering filter: %s", strerror(errno));
    }
    return 0;
}

static void close_listener(struct udp_listener *listener, unsigned workers)
{
    for (unsigned i = 0; listener->sockets != NULL && i < workers; i++) {
        if (listener->sockets[i] >= 0)
            (void)close(listener->sockets[i]);
    }
    free(listener->sockets);
    listener->sockets = NULL;
}

/* Opens the next listener. Returns 0, or -1 with errno and nothing left behind. */
static int add_listener(struct udp_listeners *listeners, const struct address *address)
{
    struct udp_listener *listener = &listeners->items[listeners->count];
    listener->address = *address;
    listener->sockets = malloc(listeners->workers * sizeof *listener->sockets);
    if (listener->sockets == NULL)
        return -1;
    for (unsigned i = 0; i < listeners->workers; i++)
        listener->sockets[i] = -1;
    if (open_listener(listener, listeners->workers) != 0) {
        int reason = errno;
        close_listener(listener, listeners->workers);
        errno = reason;
        return -1;
    }
    listeners->count++;
    return 0;
}

static int add_configured(struct udp_listeners *listeners, const struct listen_list *list, struct error *error)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct address *address = &list->addresses[i];
        if ((address->port == 0 || probe(address) == 0) && add_listener(listeners, address) == 0)
            continue;

        int reason = errno;
        char text[ADDRESS_TEXT_BYTES];
        (void)address_format(address, text);
        bool is_missing_family = reason == EAFNOSUPPORT || reason == EADDRNOTAVAIL;
        if (!list->by_default || !is_missing_family)
            return error_set(error, "udp.listen: cannot listen on %s: %s", text, strerror(reason));
        log_warning("udp", "not listening on %s, which is a default: %s", text, strerror(reason));
    }
    listeners->configured_count = listeners->count;
    return 0;
}

static bool is_usable(const struct ifaddrs *item, uint8_t family)
{
    if (item->ifa_addr == NULL || (item->ifa_flags & IFF_UP) == 0)
        return false;
    if (item->ifa_addr->sa_family == AF_INET)
        return family == 4;
    /* A link-local address is only one together with its interface: that is left to the wildcard. */
    return item->ifa_addr->sa_family == AF_INET6 && family == 6 &&
           !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)item->ifa_addr)->sin6_addr);
}

/* Groups for the machine's own addresses, as far as the bounds go. What cannot be opened is left to the wildcard. */
static void add_own_addresses(struct udp_listeners *listeners)
{
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0)
        return;
    size_t room = OWN_SOCKETS_MAX / listeners->workers;
    if (room > OWN_ADDRESSES_MAX)
        room = OWN_ADDRESSES_MAX;
    size_t most = listeners->configured_count + room;
    for (size_t i = 0; i < listeners->configured_count; i++) {
        const struct address *wildcard = &listeners->items[i].address;
        const struct ifaddrs *item = is_wildcard(wildcard) ? all : NULL;
        for (; item != NULL && listeners->count < most; item = item->ifa_next) {
            if (!is_usable(item, wildcard->family))
                continue;
            struct address address = address_from_sockaddr(item->ifa_addr);
            address.port = wildcard->port;
            if (address.family == wildcard->family)
                (void)add_listener(listeners, &address);
        }
    }
    freeifaddrs(all);
}

struct udp_listeners *udp_listen(const struct config *config, unsigned workers, struct error *error)
{
    const struct listen_list *list = &config->udp.listen;
    struct udp_listeners *listeners = calloc(1, sizeof *listeners);
    if (listeners == NULL) {
        (void)error_set(error, "out of memory");
        return NULL;
    }
    listeners->workers = workers;
    listeners->items = calloc(list->count + OWN_ADDRESSES_MAX, sizeof *listeners->items);
    if (listeners->items == NULL)
        (void)error_set(error, "out of memory");
    if (listeners->items == NULL || connection_key_load(&listeners->key, config->tracker.state_dir, error) != 0 ||
        add_configured(listeners, list, error) != 0) {
        udp_close(listeners);
        return NULL;
    }
    add_own_addresses(listeners);
    return listeners;
}

size_t udp_listener_count(const struct udp_listeners *listeners)
{
    return listeners->configured_count;
}

struct address udp_listener_address(const struct udp_listeners *listeners, size_t number)
{
    return listeners->items[number].address;
}

void udp_close(struct udp_listeners *listeners)
{
    if (listeners == NULL)
        return;
    for (size_t i = 0; i < listeners->count; i++)
        close_listener(&listeners->items[i], listeners->workers);
    free(listeners->items);
    explicit_bzero(&listeners->key, sizeof listeners->key);
    free(listeners);
}
