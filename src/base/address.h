/*
 * address: an IP address with a port, of either family, and CIDR networks.
 * An IPv4 address in IPv6 (::ffff:a.b.c.d) is always turned into IPv4, so that
 * a peer has one address whichever socket it came through.
 */
#ifndef PRIVTRAK_BASE_ADDRESS_H
#define PRIVTRAK_BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
    uint8_t family; /* 4, 6, or 0 where there is none */
    uint8_t ip[16]; /* network order; IPv4 uses the first four, the rest is zero */
    uint16_t port;  /* host order */
};

struct network {
    struct address address;
    uint8_t prefix; /* leading bits that count */
};

enum { ADDRESS_TEXT_BYTES = 64 }; /* "[ipv6]:port" and its NUL */

/* Turns a sockaddr_in or sockaddr_in6 into an address; family 0 for others. */
struct address address_from_sockaddr(const struct sockaddr *sockaddr);

/* Fills `storage`, returns its length. `address->family` is 4 or 6. */
socklen_t address_to_sockaddr(const struct address *address, struct sockaddr_storage *storage);

/*
 * Reads "192.0.2.1" or "2001:db8::1", no brackets, no port, of `length` bytes.
 * The port becomes 0. Returns false where it is not an address whole.
 */
bool address_parse_ip(struct address *address, const char *text, size_t length);

/* Reads "192.0.2.1:80" or "[2001:db8::1]:80"; port 0 to 65535. */
bool address_parse(struct address *address, const char *text, size_t length);

/* Writes "192.0.2.1" / "2001:db8::1"; returns `text`. */
const char *address_format_ip(const struct address *address, char text[static ADDRESS_TEXT_BYTES]);

/* Writes "192.0.2.1:80" / "[2001:db8::1]:80"; returns `text`. */
const char *address_format(const struct address *address, char text[static ADDRESS_TEXT_BYTES]);

/* Same family and IP; the ports are not looked at. */
bool address_same_ip(const struct address *a, const struct address *b);

/* Reads "10.0.0.0/8", "2001:db8::/32" or a bare address (all its bits). */
bool network_parse(struct network *network, const char *text, size_t length);
bool network_contains(const struct network *network, const struct address *address);

#endif
