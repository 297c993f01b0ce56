/* proxy: see proxy.h. The protocol is HAProxy's doc/proxy-protocol.txt. */
#include "http/proxy.h"

#include <stdbool.h>
#include <string.h>

static const char signature1[] = "PROXY ";
static const uint8_t signature2[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

enum { SIGNATURE1_BYTES = 6, LINE1_MAX = 107, HEAD2_BYTES = 16 };

/* Version 2: the high half of byte 13 is the address family, the low half the transport. */
enum { FAMILY2_UNSPEC = 0, FAMILY2_INET = 1, FAMILY2_INET6 = 2, FAMILY2_UNIX = 3 };
enum { TRANSPORT2_UNSPEC = 0, TRANSPORT2_DGRAM = 2 };
enum { COMMAND2_LOCAL = 0, COMMAND2_PROXY = 1 };

/* Takes the next word, up to a single space or the end. False where it is empty. */
static bool next_word(const char **at, const char *end, const char **word, size_t *length)
{
    if (*at >= end)
        return false;
    const char *space = memchr(*at, ' ', (size_t)(end - *at));
    const char *stop = space != NULL ? space : end;
    *word = *at;
    *length = (size_t)(stop - *at);
    *at = space != NULL ? space + 1 : end;
    return *length > 0;
}

static bool parse_port(uint16_t *port, const char *text, size_t length)
{
    if (length < 1 || length > 5 || (length > 1 && text[0] == '0'))
        return false;
    unsigned value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

/* "TCP4 source destination source-port destination-port", or "UNKNOWN" and whatever follows. */
static bool parse_line1(struct address *source, const char *text, const char *end)
{
    const char *word;
    size_t length;
    if (!next_word(&text, end, &word, &length))
        return false;
    if (length == 7 && memcmp(word, "UNKNOWN", 7) == 0)
        return true;
    if (length != 4 || memcmp(word, "TCP", 3) != 0 || (word[3] != '4' && word[3] != '6'))
        return false;
    bool is_ipv6 = word[3] == '6';
    struct address addresses[2];
    for (int i = 0; i < 2; i++) {
        if (!next_word(&text, end, &word, &length) || (memchr(word, ':', length) != NULL) != is_ipv6 ||
            !address_parse_ip(&addresses[i], word, length))
            return false;
    }
    for (int i = 0; i < 2; i++) {
        if (!next_word(&text, end, &word, &length) || !parse_port(&addresses[i].port, word, length))
            return false;
    }
    if (text != end || end[-1] == ' ')
        return false;
    *source = addresses[0];
    return true;
}

static enum proxy_state parse1(struct address *source, size_t *length_used, const char *data, size_t length)
{
    size_t limit = length < LINE1_MAX ? length : LINE1_MAX;
    const char *line_end = memchr(data, '\n', limit);
    if (line_end == NULL)
        return length < LINE1_MAX ? PROXY_INCOMPLETE : PROXY_BAD;
    if (line_end[-1] != '\r' || !parse_line1(source, data + SIGNATURE1_BYTES, line_end - 1))
        return PROXY_BAD;
    *length_used = (size_t)(line_end + 1 - data);
    return PROXY_COMPLETE;
}

/* The address block of version 2, of `length` bytes. Extensions (TLVs) behind it are passed over. */
static bool parse_addresses2(struct address *source, uint8_t kind, const uint8_t *block, size_t length)
{
    unsigned family = kind >> 4;
    unsigned transport = kind & 15;
    static const size_t sizes[] = {
        [FAMILY2_UNSPEC] = 0, [FAMILY2_INET] = 12, [FAMILY2_INET6] = 36, [FAMILY2_UNIX] = 216};
    if (family > FAMILY2_UNIX || transport > TRANSPORT2_DGRAM || length < sizes[family])
        return false;
    if (transport == TRANSPORT2_UNSPEC || family == FAMILY2_UNSPEC || family == FAMILY2_UNIX)
        return true;
    size_t ip_bytes = family == FAMILY2_INET ? 4 : 16;
    struct sockaddr_storage storage;
    struct address raw = {.family = family == FAMILY2_INET ? 4 : 6};
    memcpy(raw.ip, block, ip_bytes);
    raw.port = (uint16_t)(block[2 * ip_bytes] << 8 | block[2 * ip_bytes + 1]);
    (void)address_to_sockaddr(&raw, &storage);
    *source = address_from_sockaddr((const struct sockaddr *)&storage); /* IPv4 in IPv6 becomes IPv4 */
    return true;
}

static enum proxy_state parse2(struct address *source, size_t *length_used, const char *data, size_t length,
                               size_t max_bytes)
{
    const uint8_t *head = (const uint8_t *)data;
    if (length < HEAD2_BYTES)
        return PROXY_INCOMPLETE;
    unsigned command = head[12] & 15;
    size_t block_length = (size_t)(head[14] << 8 | head[15]);
    if (head[12] >> 4 != 2 || command > COMMAND2_PROXY || HEAD2_BYTES + block_length > max_bytes)
        return PROXY_BAD;
    if (length < HEAD2_BYTES + block_length)
        return PROXY_INCOMPLETE;
    if (command == COMMAND2_PROXY && !parse_addresses2(source, head[13], head + HEAD2_BYTES, block_length))
        return PROXY_BAD;
    *length_used = HEAD2_BYTES + block_length;
    return PROXY_COMPLETE;
}

enum proxy_state proxy_parse(struct address *source, size_t *length_used, const char *data, size_t length,
                             size_t max_bytes)
{
    size_t known1 = length < SIGNATURE1_BYTES ? length : SIGNATURE1_BYTES;
    size_t known2 = length < sizeof signature2 ? length : sizeof signature2;
    if (memcmp(data, signature1, known1) == 0)
        return known1 < SIGNATURE1_BYTES ? PROXY_INCOMPLETE : parse1(source, length_used, data, length);
    if (memcmp(data, signature2, known2) == 0)
        return parse2(source, length_used, data, length, max_bytes);
    return PROXY_BAD;
}
