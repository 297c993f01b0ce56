/* announce_urls: tells a newcomer what to paste into a client. */
#ifndef PRIVTRAK_DAEMON_ANNOUNCE_URLS_H
#define PRIVTRAK_DAEMON_ANNOUNCE_URLS_H

#include "http/http.h"
#include "udp/udp.h"

/* Logs what is listened on, and, where `passkey` is not "", the announce URLs of the user `owner`, once. */
void announce_urls_log(const struct http_listeners *http, const struct udp_listeners *udp, const char *passkey);

#endif
