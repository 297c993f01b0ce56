/* Tests of what proxies say: real_ip_header, and the PROXY protocol cut at every byte. */
#include "http/proxy.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "http/forwarded.h"

static struct address parse_address(const char *text)
{
    struct address address = {0};
    if (text[0] != '\0')
        cr_assert(address_parse_ip(&address, text, strlen(text)), "%s", text);
    return address;
}

Test(http_forwarded, last_address_that_is_no_trusted_proxy_counts)
{
    static const struct {
        const char *lines[4];
        const char *found;
    } cases[] = {
        {{"192.0.2.1"}, "192.0.2.1"},
        {{"192.0.2.1, 192.0.2.2"}, "192.0.2.2"},
        {{"192.0.2.1, 10.0.0.1"}, "192.0.2.1"},
        {{"192.0.2.1,10.0.0.1 ,\t10.0.0.2"}, "192.0.2.1"},
        {{"192.0.2.1", "10.0.0.1", "10.0.0.2"}, "192.0.2.1"},
        {{"192.0.2.1", "192.0.2.2, 10.0.0.1"}, "192.0.2.2"},
        {{"10.0.0.1"}, ""},
        {{"", " ", ",,"}, ""},
        {{"192.0.2.1,, ,"}, "192.0.2.1"},
        {{"192.0.2.1", ""}, "192.0.2.1"},
        {{"192.0.2.1, unknown"}, ""},
        {{"192.0.2.1, unknown, 10.0.0.1"}, ""},
        {{"unknown, 192.0.2.1"}, "192.0.2.1"},
        {{"192.0.2.1", "nonsense"}, ""},
        {{"192.0.2.1:1234"}, "192.0.2.1"},
        {{"[2001:db8::1]:1234"}, "2001:db8::1"},
        {{"[2001:db8::1]"}, "2001:db8::1"},
        {{"2001:db8::1"}, "2001:db8::1"},
        {{"::ffff:192.0.2.9"}, "192.0.2.9"},
        {{"192.0.2.9, ::ffff:10.0.0.1"}, "192.0.2.9"},
        {{"[192.0.2.1]"}, ""},
        {{"[]"}, ""},
        {{"["}, ""},
        {{"192.0.2.1:99999"}, ""},
        {{"192.0.2.256"}, ""},
        {{"192.0.2.1 192.0.2.2"}, ""},
    };
    static const struct network trusted = {.address = {.family = 4, .ip = {10}}, .prefix = 8};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address found = {0};
        for (size_t line = 0; line < 4 && cases[i].lines[line] != NULL; line++)
            forwarded_fold(&found, cases[i].lines[line], strlen(cases[i].lines[line]), &trusted, 1);
        struct address expected = parse_address(cases[i].found);
        cr_expect_eq(found.family, expected.family, "%zu", i);
        cr_expect(memcmp(found.ip, expected.ip, sizeof found.ip) == 0, "%zu", i);
        cr_expect_eq(found.port, 0, "%zu", i);
    }
}

static const struct address own = {.family = 4, .ip = {203, 0, 113, 9}, .port = 9};

/* Parses what lies in memory of just its size. */
static enum proxy_state parse_exactly(struct address *source, size_t *used, const void *header, size_t length)
{
    char *copy = malloc(length);
    cr_assert_not_null(copy);
    memcpy(copy, header, length);
    *source = own;
    enum proxy_state state = proxy_parse(source, used, copy, length, 1024);
    free(copy);
    return state;
}

/* The header cut at every byte, which tells nothing yet, and with something behind it. */
static enum proxy_state parse_all_ways(struct address *source, const void *header, size_t length)
{
    static char more[4096];
    memcpy(more, header, length);
    more[length] = 'G';
    size_t used = 0;
    enum proxy_state whole = parse_exactly(source, &used, more, length + 1);
    cr_expect(whole != PROXY_COMPLETE || used == length);
    for (size_t cut = 1; cut < length; cut++) {
        struct address part;
        enum proxy_state state = parse_exactly(&part, &used, header, cut);
        bool as_expected = whole == PROXY_COMPLETE ? state == PROXY_INCOMPLETE : state != PROXY_COMPLETE;
        cr_expect(as_expected && address_same_ip(&part, &own), "cut at %zu", cut);
    }
    return whole;
}

static void line_gives(const char *line, enum proxy_state state, const char *ip)
{
    struct address source;
    cr_expect_eq(parse_all_ways(&source, line, strlen(line)), state, "%s", line);
    struct address expected = parse_address(state == PROXY_COMPLETE ? ip : "203.0.113.9");
    cr_expect(address_same_ip(&source, &expected), "%s", line);
}

Test(http_proxy, version_1_gives_the_source)
{
    line_gives("PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n", PROXY_COMPLETE, "192.0.2.1");
    line_gives("PROXY TCP4 192.0.2.1 192.0.2.2 0 65535\r\n", PROXY_COMPLETE, "192.0.2.1");
    line_gives("PROXY TCP6 2001:db8::1 2001:db8::2 1234 80\r\n", PROXY_COMPLETE, "2001:db8::1");
    line_gives("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1234 80\r\n", PROXY_COMPLETE, "192.0.2.1");
    line_gives("PROXY UNKNOWN\r\n", PROXY_COMPLETE, "203.0.113.9");
    line_gives("PROXY UNKNOWN 2001:db8::1 2001:db8::2 1234 80\r\n", PROXY_COMPLETE, "203.0.113.9");
}

Test(http_proxy, version_1_that_is_malformed_is_bad)
{
    static const char *lines[] = {
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "PROXY UNKNOWNS\r\n",
        "GET /announce HTTP/1.1\r\n",
        "PROXX TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n",
        "PROXY UNKNOWN 00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\r\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        line_gives(lines[i], PROXY_BAD, "");
}

enum { HEADER2 = 16 };

static size_t make2(uint8_t *header, uint8_t version_command, uint8_t kind, const void *block, uint16_t block_length)
{
    static const uint8_t signature[12] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};
    memcpy(header, signature, sizeof signature);
    header[12] = version_command;
    header[13] = kind;
    header[14] = (uint8_t)(block_length >> 8);
    header[15] = (uint8_t)block_length;
    if (block_length > 0)
        memcpy(header + HEADER2, block, block_length);
    return (size_t)HEADER2 + block_length;
}

static void header_gives(uint8_t version_command, uint8_t kind, const void *block, uint16_t block_length,
                         enum proxy_state state, const char *ip)
{
    uint8_t header[2048];
    struct address source;
    size_t length = make2(header, version_command, kind, block, block_length);
    cr_expect_eq(parse_all_ways(&source, header, length), state, "%02x %02x %u", version_command, kind, block_length);
    struct address expected = parse_address(ip);
    cr_expect(address_same_ip(&source, &expected), "%02x %02x %u", version_command, kind, block_length);
}

static const uint8_t block4[512] = {192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x34, 0, 80};
static const uint8_t block6[512] = {0x20, 0x01, 0x0d, 0xb8,     [15] = 1, [16] = 0x20,
                                    0x01, 0x0d, 0xb8, [31] = 2, 0x12,     0x34};
static const uint8_t mapped[36] = {[10] = 0xff, 0xff, 192, 0, 2, 1, [32] = 0x12, 0x34};

Test(http_proxy, version_2_gives_the_source)
{
    header_gives(0x21, 0x11, block4, 12, PROXY_COMPLETE, "192.0.2.1");
    header_gives(0x21, 0x11, block4, 300, PROXY_COMPLETE, "192.0.2.1"); /* with extensions */
    header_gives(0x21, 0x12, block4, 12, PROXY_COMPLETE, "192.0.2.1");
    header_gives(0x21, 0x21, block6, 36, PROXY_COMPLETE, "2001:db8::1");
    header_gives(0x21, 0x21, mapped, 36, PROXY_COMPLETE, "192.0.2.1");
}

Test(http_proxy, version_2_without_an_address_leaves_the_connections_own)
{
    header_gives(0x20, 0x00, NULL, 0, PROXY_COMPLETE, "203.0.113.9");
    header_gives(0x20, 0x11, block4, 12, PROXY_COMPLETE, "203.0.113.9");
    header_gives(0x20, 0xff, block4, 7, PROXY_COMPLETE, "203.0.113.9");
    header_gives(0x21, 0x00, NULL, 0, PROXY_COMPLETE, "203.0.113.9");
    header_gives(0x21, 0x00, block4, 50, PROXY_COMPLETE, "203.0.113.9");
    header_gives(0x21, 0x31, block4, 216, PROXY_COMPLETE, "203.0.113.9");
}

Test(http_proxy, version_2_that_is_malformed_is_bad)
{
    header_gives(0x11, 0x11, block4, 12, PROXY_BAD, "203.0.113.9");
    header_gives(0x31, 0x11, block4, 12, PROXY_BAD, "203.0.113.9");
    header_gives(0x22, 0x11, block4, 12, PROXY_BAD, "203.0.113.9");
    header_gives(0x21, 0x41, block4, 12, PROXY_BAD, "203.0.113.9");
    header_gives(0x21, 0x13, block4, 12, PROXY_BAD, "203.0.113.9");
    header_gives(0x21, 0x11, block4, 11, PROXY_BAD, "203.0.113.9");
    header_gives(0x21, 0x21, block6, 35, PROXY_BAD, "203.0.113.9");
    header_gives(0x21, 0x31, block4, 215, PROXY_BAD, "203.0.113.9");
    uint8_t header[2048] = {0};
    size_t used = 0;
    struct address source = {0};
    (void)make2(header, 0x21, 0x11, block4, 12);
    header[14] = 4; /* 1,036 bytes and the head are more than the 1,024 allowed: known from the head alone */
    cr_expect_eq(proxy_parse(&source, &used, (const char *)header, HEADER2, 1024), PROXY_BAD);
}
