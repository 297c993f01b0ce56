/* Tests of addresses and networks. */
#include "base/address.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>

static struct address ip(const char *text)
{
    struct address address;
    cr_assert(address_parse_ip(&address, text, strlen(text)), "%s", text);
    return address;
}

static struct network net(const char *text)
{
    struct network network;
    cr_assert(network_parse(&network, text, strlen(text)), "%s", text);
    return network;
}

Test(address, ip_comes_back_as_it_was_written)
{
    static const char *const good[] = {
        "0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1:0:0:1", "fe80::1", "1:2:3:4:5:6:7:8"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char text[ADDRESS_TEXT_BYTES];
        struct address address = ip(good[i]);
        cr_expect_str_eq(address_format_ip(&address, text), good[i]);
        cr_expect_eq(address.port, 0);
        cr_expect_eq(address.family, strchr(good[i], ':') == NULL ? 4 : 6);
    }
}

Test(address, ip_refuses_what_is_no_address_whole)
{
    static const char *const bad[] = {"",
                                      "1.2.3",
                                      "1.2.3.4.5",
                                      "256.0.0.1",
                                      "1.2.3.04",
                                      "1.2.3.4 ",
                                      " 1.2.3.4",
                                      "0x1.2.3.4",
                                      "1.2.3.4:80",
                                      ":::",
                                      "1:2:3",
                                      "[::1]",
                                      "::1%lo",
                                      "fe80::1%1",
                                      "::g",
                                      "localhost",
                                      "1.2.3.4/8",
                                      "12345::",
                                      "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"};
    struct address address;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not(address_parse_ip(&address, bad[i], strlen(bad[i])), "%s", bad[i]);
    cr_expect_not(address_parse_ip(&address, "1.2.3.4\0", 8), "a zero byte does not end it");
}

Test(address, ip_reads_no_further_than_its_length)
{
    struct address address;
    char text[ADDRESS_TEXT_BYTES];
    cr_expect(address_parse_ip(&address, "192.0.2.123", 10));
    cr_expect_str_eq(address_format_ip(&address, text), "192.0.2.12");
}

Test(address, ipv4_in_ipv6_is_ipv4)
{
    char text[ADDRESS_TEXT_BYTES];
    struct address address = ip("::ffff:192.0.2.1");
    cr_expect_eq(address.family, 4);
    cr_expect_str_eq(address_format_ip(&address, text), "192.0.2.1");
    struct address plain = ip("192.0.2.1");
    cr_expect(address_same_ip(&address, &plain));
    cr_expect_eq(ip("::192.0.2.1").family, 6, "the deprecated form is IPv6");
    cr_expect_eq(ip("::fffe:192.0.2.1").family, 6);
}

Test(address, with_port_comes_back_as_it_was_written)
{
    static const char *const good[] = {"192.0.2.1:80", "0.0.0.0:0", "[2001:db8::1]:65535", "[::]:1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct address address;
        char text[ADDRESS_TEXT_BYTES];
        cr_expect(address_parse(&address, good[i], strlen(good[i])), "%s", good[i]);
        cr_expect_str_eq(address_format(&address, text), good[i]);
    }
}

Test(address, with_port_refuses_all_else)
{
    static const char *const bad[] = {"",      "192.0.2.1",      "192.0.2.1:",    "192.0.2.1:65536",  "192.0.2.1:-1",
                                      ":80",   "192.0.2.1:8 0",  "192.0.2.1:+80", "192.0.2.1:000080", "::1:80",
                                      "[::1]", "[::1]:",         "[::1]80",       "[::1:80",          "::1]:80",
                                      "[]:80", "[192.0.2.1]:80", "[[::1]]:80",    "host:80",          "[::1]]:80",
                                      ":",     "[:80",           "]:80",          "192.0.2.1:80:80"};
    struct address address;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not(address_parse(&address, bad[i], strlen(bad[i])), "%s", bad[i]);
}

Test(address, sockaddr_and_back)
{
    static const char *const texts[] = {"192.0.2.1:6969", "[2001:db8::1]:6969"};
    for (size_t i = 0; i < 2; i++) {
        struct address address;
        struct sockaddr_storage storage;
        cr_assert(address_parse(&address, texts[i], strlen(texts[i])));
        socklen_t length = address_to_sockaddr(&address, &storage);
        cr_expect_eq(length, i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        cr_expect_eq(storage.ss_family, i == 0 ? AF_INET : AF_INET6);
        struct address back = address_from_sockaddr((const struct sockaddr *)&storage);
        cr_expect(address_same_ip(&back, &address));
        cr_expect_eq(back.port, address.port);
    }
}

Test(address, sockaddr_of_another_family_is_none)
{
    struct sockaddr_storage storage = {.ss_family = AF_UNIX};
    char text[ADDRESS_TEXT_BYTES];
    struct address address = address_from_sockaddr((const struct sockaddr *)&storage);
    cr_expect_eq(address.family, 0);
    cr_expect_str_eq(address_format_ip(&address, text), "-");
}

Test(address, sockaddr_with_ipv4_in_ipv6_is_ipv4)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
    char text[ADDRESS_TEXT_BYTES];
    cr_assert_eq(inet_pton(AF_INET6, "::ffff:198.51.100.7", &in6.sin6_addr), 1);
    struct address address = address_from_sockaddr((const struct sockaddr *)&in6);
    cr_expect_str_eq(address_format(&address, text), "198.51.100.7:7");
}

Test(address, same_ip_looks_at_family_and_bytes_only)
{
    struct address a = ip("192.0.2.1");
    struct address b = a;
    b.port = 80;
    cr_expect(address_same_ip(&a, &b));
    b.ip[3]++;
    cr_expect_not(address_same_ip(&a, &b));
    struct address four = ip("0.0.0.0");
    struct address six = ip("::");
    cr_expect_not(address_same_ip(&four, &six));
}

static bool contains(const char *network_text, const char *text)
{
    struct network network = net(network_text);
    struct address address = ip(text);
    return network_contains(&network, &address);
}

Test(network, contains_by_leading_bits)
{
    cr_expect(contains("10.0.0.0/8", "10.255.0.1"));
    cr_expect_not(contains("10.0.0.0/8", "11.0.0.1"));
    cr_expect(contains("192.0.2.128/25", "192.0.2.200"));
    cr_expect_not(contains("192.0.2.128/25", "192.0.2.127"));
    cr_expect(contains("192.0.2.1", "192.0.2.1"));
    cr_expect_not(contains("192.0.2.1", "192.0.2.0"));
    cr_expect(contains("192.0.2.4/31", "192.0.2.5"));
    cr_expect_not(contains("192.0.2.4/31", "192.0.2.6"));
    cr_expect(contains("0.0.0.0/0", "255.0.0.1"));
    cr_expect(contains("2001:db8::/33", "2001:db8:7fff::1"));
    cr_expect_not(contains("2001:db8::/33", "2001:db8:8000::1"));
    cr_expect(contains("::1", "::1"));
    cr_expect_not(contains("::1/128", "::2"));
    cr_expect(contains("::/0", "ffff::"));
}

Test(network, families_do_not_mix_but_for_ipv4_in_ipv6)
{
    cr_expect_not(contains("::/0", "192.0.2.1"));
    cr_expect_not(contains("0.0.0.0/0", "::1"));
    cr_expect(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
    cr_expect(contains("::ffff:10.0.0.0/104", "10.9.9.9"));
    cr_expect_not(contains("::ffff:10.0.0.0/104", "11.9.9.9"));
    cr_expect(contains("::ffff:0.0.0.0/96", "203.0.113.5"));
    cr_expect(contains("::ffff:10.0.0.1", "10.0.0.1"));
    struct network any = net("0.0.0.0/0");
    struct address none = {.family = 0};
    cr_expect_not(network_contains(&any, &none));
}

Test(network, bits_behind_the_prefix_do_not_matter)
{
    struct network written = net("10.1.2.3/8");
    struct network plain = net("10.0.0.0/8");
    cr_expect(address_same_ip(&written.address, &plain.address));
    cr_expect_eq(written.prefix, plain.prefix);
    cr_expect(contains("10.1.2.3/9", "10.127.0.0"));
    cr_expect_not(contains("10.1.2.3/9", "10.128.0.0"));
}

Test(network, refuses_what_is_none)
{
    static const char *const bad[] = {"",
                                      "/8",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/8/8",
                                      "10.0.0/8",
                                      "::/129",
                                      "10.0.0.0/ 8",
                                      "10.0.0.0/255.0.0.0",
                                      "host/8",
                                      "10.0.0.0/8x",
                                      "::ffff:10.0.0.0/95",
                                      "::ffff:10.0.0.0/129"};
    struct network network;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not(network_parse(&network, bad[i], strlen(bad[i])), "%s", bad[i]);
}
