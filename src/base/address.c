/* address: see address.h. */
#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { MAPPED_BITS = 96 }; /* the bits of ::ffff:0:0/96 */

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static struct address from_ip4(const void *ip, uint16_t port)
{
    struct address address = {.family = 4, .port = port};
    memcpy(address.ip, ip, 4);
    return address;
}

static struct address from_ip6(const uint8_t ip[static 16], uint16_t port)
{
    if (memcmp(ip, mapped_prefix, sizeof mapped_prefix) == 0)
        return from_ip4(ip + sizeof mapped_prefix, port);
    struct address address = {.family = 6, .port = port};
    memcpy(address.ip, ip, 16);
    return address;
}

struct address address_from_sockaddr(const struct sockaddr *sockaddr)
{
    if (sockaddr->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sockaddr, sizeof in);
        return from_ip4(&in.sin_addr, ntohs(in.sin_port));
    }
    if (sockaddr->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sockaddr, sizeof in6);
        return from_ip6(in6.sin6_addr.s6_addr, ntohs(in6.sin6_port));
    }
    return (struct address){.family = 0};
}

socklen_t address_to_sockaddr(const struct address *address, struct sockaddr_storage *storage)
{
    memset(storage, 0, sizeof *storage);
    if (address->family == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)storage;
        in->sin_family = AF_INET;
        in->sin_port = htons(address->port);
        memcpy(&in->sin_addr, address->ip, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address->port);
    memcpy(&in6->sin6_addr, address->ip, 16);
    return sizeof *in6;
}

/* As address_parse_ip; `*mapped` tells whether the text was IPv6 that stands for IPv4. */
static bool parse_ip(struct address *address, const char *text, size_t length, bool *mapped)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    *mapped = false;
    if (length == 0 || length >= sizeof copy || memchr(text, '\0', length) != NULL)
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (inet_pton(AF_INET, copy, ip) == 1) {
        *address = from_ip4(ip, 0);
        return true;
    }
    if (inet_pton(AF_INET6, copy, ip) != 1)
        return false;
    *address = from_ip6(ip, 0);
    *mapped = address->family == 4;
    return true;
}

bool address_parse_ip(struct address *address, const char *text, size_t length)
{
    bool mapped;
    return parse_ip(address, text, length, &mapped);
}

/* Reads a whole decimal of `length` digits, at most `limit`. */
static bool parse_decimal(uint32_t *value, const char *text, size_t length, uint32_t limit)
{
    if (length == 0 || length > 5)
        return false;
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        sum = sum * 10 + (uint32_t)(text[i] - '0');
    }
    *value = sum;
    return sum <= limit;
}

bool address_parse(struct address *address, const char *text, size_t length)
{
    const char *colon = memrchr(text, ':', length);
    if (colon == NULL)
        return false;
    size_t host_length = (size_t)(colon - text);
    uint32_t port;
    if (!parse_decimal(&port, colon + 1, length - host_length - 1, UINT16_MAX))
        return false;
    bool brackets = host_length >= 2 && text[0] == '[' && colon[-1] == ']';
    if (brackets) {
        text++;
        host_length -= 2;
    }
    /* Only IPv6 stands in brackets, and only there: ::1:80 would be ambiguous. */
    if (brackets != (memchr(text, ':', host_length) != NULL) || !address_parse_ip(address, text, host_length))
        return false;
    address->port = (uint16_t)port;
    return true;
}

/* inet_ntop would go through snprintf, which the sink pays for with every session. */
static void format_ip4(const uint8_t ip[static 4], char *text)
{
    for (size_t i = 0; i < 4; i++) {
        if (i > 0)
            *text++ = '.';
        if (ip[i] >= 100)
            *text++ = (char)('0' + ip[i] / 100);
        if (ip[i] >= 10)
            *text++ = (char)('0' + ip[i] / 10 % 10);
        *text++ = (char)('0' + ip[i] % 10);
    }
    *text = '\0';
}

const char *address_format_ip(const struct address *address, char text[static ADDRESS_TEXT_BYTES])
{
    text[0] = '-';
    text[1] = '\0';
    if (address->family == 4)
        format_ip4(address->ip, text);
    else if (address->family != 0)
        (void)inet_ntop(AF_INET6, address->ip, text, ADDRESS_TEXT_BYTES);
    return text;
}

const char *address_format(const struct address *address, char text[static ADDRESS_TEXT_BYTES])
{
    char ip[ADDRESS_TEXT_BYTES];
    (void)address_format_ip(address, ip);
    const char *open = address->family == 6 ? "[" : "";
    const char *close = address->family == 6 ? "]" : "";
    (void)snprintf(text, ADDRESS_TEXT_BYTES, "%s%.*s%s:%u", open, INET6_ADDRSTRLEN, ip, close, (unsigned)address->port);
    return text;
}

bool address_same_ip(const struct address *a, const struct address *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

/* Clears the bits behind the prefix, so that equal networks are equal bytes. */
static void clear_host_bits(struct network *network)
{
    for (size_t i = 0; i < sizeof network->address.ip; i++) {
        size_t bits = network->prefix > 8 * i ? network->prefix - 8 * i : 0;
        if (bits < 8)
            network->address.ip[i] &= (uint8_t)(0xff00 >> bits);
    }
}

bool network_parse(struct network *network, const char *text, size_t length)
{
    const char *slash = memchr(text, '/', length);
    size_t ip_length = slash == NULL ? length : (size_t)(slash - text);
    bool mapped;
    if (!parse_ip(&network->address, text, ip_length, &mapped))
        return false;
    uint32_t bits = network->address.family == 4 && !mapped ? 32 : 128;
    uint32_t prefix = bits;
    if (slash != NULL && !parse_decimal(&prefix, slash + 1, length - ip_length - 1, bits))
        return false;
    if (mapped) {
        if (prefix < MAPPED_BITS)
            return false;
        prefix -= MAPPED_BITS;
    }
    network->prefix = (uint8_t)prefix;
    clear_host_bits(network);
    return true;
}

bool network_contains(const struct network *network, const struct address *address)
{
    if (network->address.family != address->family)
        return false;
    size_t whole = network->prefix / 8;
    if (memcmp(network->address.ip, address->ip, whole) != 0)
        return false;
    unsigned rest = network->prefix % 8;
    return rest == 0 || ((network->address.ip[whole] ^ address->ip[whole]) & (0xff00U >> rest) & 0xff) == 0;
}
