/* announce_urls: see announce_urls.h. */
#include "daemon/announce_urls.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* An address that everybody on this machine can use in the place of "all of them". */
static struct address reachable(struct address address)
{
    static const uint8_t any[16];
    if (memcmp(address.ip, any, sizeof any) == 0) {
        if (address.family == 4)
            memcpy(address.ip, (const uint8_t[]){127, 0, 0, 1}, 4);
        else
            address.ip[15] = 1;
    }
    return address;
}

static void log_listening(const char *protocol, const struct address *address)
{
    char text[ADDRESS_TEXT_BYTES];
    log_info("main", "listening protocol=%s address=%s", protocol, address_format(address, text));
}

/* The form with the passkey in the query goes first: clients on libtorrent take no other on loopback. */
static void log_url(const char *scheme, const struct address *address, const char *passkey)
{
    char text[ADDRESS_TEXT_BYTES];
    struct address shown = reachable(*address);
    log_info("main", "announce URL of the user owner: %s://%s/announce?passkey=%s", scheme,
             address_format(&shown, text), passkey);
}

void announce_urls_log(const struct http_listeners *http, const struct udp_listeners *udp, const char *passkey)
{
    struct http_address listening;
    for (size_t i = 0; http_listening(http, i, &listening); i++)
        log_listening(listening.is_tls ? "https" : "http", &listening.address);
    for (size_t i = 0; i < udp_listener_count(udp); i++) {
        struct address address = udp_listener_address(udp, i);
        log_listening("udp", &address);
    }
    if (passkey[0] == '\0')
        return;
    for (size_t i = 0; http_listening(http, i, &listening); i++)
        log_url(listening.is_tls ? "https" : "http", &listening.address, passkey);
    for (size_t i = 0; i < udp_listener_count(udp); i++) {
        struct address address = udp_listener_address(udp, i);
        log_url("udp", &address, passkey);
    }
}
