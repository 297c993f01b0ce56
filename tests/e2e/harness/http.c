/* http: a client that sends what it is told, byte for byte. See harness.h. */
#include "harness.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECEIVE_MS = 5000 };

void info_hash_of(const char *torrent, unsigned char info_hash[20])
{
    /* Spread over all bytes, so that torrents fall to different workers. */
    uint32_t hash = 2166136261u;
    for (const char *c = torrent; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    for (int i = 0; i < 20; i++) {
        hash = (hash ^ (uint32_t)i) * 16777619u;
        info_hash[i] = (unsigned char)(hash >> 13);
    }
}

const char *info_hash_hex(const char *torrent)
{
    static char texts[64][41];
    static unsigned turn;
    char *text = texts[turn++ % 64];
    unsigned char info_hash[20];
    info_hash_of(torrent, info_hash);
    for (int i = 0; i < 20; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", info_hash[i]);
    return text;
}

void peer_id_of(const char *peer, unsigned char peer_id[20])
{
    size_t length = strlen(peer);
    if (length == 20) {
        memcpy(peer_id, peer, 20);
        return;
    }
    cr_assert(length <= 12, "peer %s", peer);
    memcpy(peer_id, "-PT0001-............", 20);
    memcpy(peer_id + 8, peer, length);
}

bool told_peer(const struct told *told, const char *ip, uint16_t port)
{
    for (size_t i = 0; i < told->peer_count; i++)
        if (strcmp(told->peers[i].ip, ip) == 0 && told->peers[i].port == port)
            return true;
    return false;
}

void http_open_port(struct http_connection *connection, uint16_t port, const char *from)
{
    struct sockaddr_in source4 = {.sin_family = AF_INET}, to4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 source6 = {.sin6_family = AF_INET6}, to6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (from == NULL)
        from = "127.0.0.1";
    bool v6 = strchr(from, ':') != NULL;
    connection->length = 0;
    connection->fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(connection->fd >= 0);
    int connected;
    if (v6) {
        cr_assert_eq(inet_pton(AF_INET6, from, &source6.sin6_addr), 1);
        to6.sin6_addr = in6addr_loopback;
        cr_assert_eq(bind(connection->fd, (struct sockaddr *)&source6, sizeof source6), 0, "cannot be %s", from);
        connected = connect(connection->fd, (struct sockaddr *)&to6, sizeof to6);
    } else {
        cr_assert_eq(inet_pton(AF_INET, from, &source4.sin_addr), 1);
        to4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        cr_assert_eq(bind(connection->fd, (struct sockaddr *)&source4, sizeof source4), 0, "cannot be %s", from);
        connected = connect(connection->fd, (struct sockaddr *)&to4, sizeof to4);
    }
    cr_assert_eq(connected, 0, "cannot connect to port %u: %s", port, strerror(errno));
}

void http_open(struct http_connection *connection, const struct daemon *daemon, const char *from)
{
    http_open_port(connection, daemon->port, from);
}

void http_send(struct http_connection *connection, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(connection->fd, bytes, length, MSG_NOSIGNAL);
        /* A server that closes early has said why: the reply tells. */
        if (sent < 0)
            return;
        bytes += sent;
        length -= (size_t)sent;
    }
}

/* Returns how many bytes came: 0 at the end, -1 where nothing came in time. */
static ssize_t receive_more(struct http_connection *connection, int milliseconds)
{
    struct pollfd wait = {.fd = connection->fd, .events = POLLIN};
    if (connection->length == sizeof connection->bytes || poll(&wait, 1, milliseconds) <= 0)
        return -1;
    ssize_t got =
        recv(connection->fd, connection->bytes + connection->length, sizeof connection->bytes - connection->length, 0);
    if (got <= 0)
        return 0;
    connection->length += (size_t)got;
    return got;
}

const char *http_header(const struct http_reply *reply, const char *name, char *value, size_t size)
{
    size_t length = strlen(name);
    for (const char *line = strchr(reply->head, '\n'); line != NULL; line = strchr(line, '\n')) {
        line++;
        if (strncasecmp(line, name, length) != 0 || line[length] != ':')
            continue;
        const char *start = line + length + 1 + strspn(line + length + 1, " ");
        (void)snprintf(value, size, "%.*s", (int)strcspn(start, "\r\n"), start);
        return value;
    }
    return NULL;
}

/* Takes the body that the head announces, or all until the end. */
static void receive_body(struct http_connection *connection, struct http_reply *reply, size_t head)
{
    char text[32];
    bool told = http_header(reply, "Content-Length", text, sizeof text) != NULL;
    size_t wanted = told ? strtoul(text, NULL, 10) : sizeof reply->body;
    while (connection->length - head < wanted)
        if (receive_more(connection, RECEIVE_MS) <= 0)
            break;
    size_t length = connection->length - head;
    if (length > wanted)
        length = wanted;
    cr_assert(!told || length == wanted, "the body has %zu of %zu bytes", length, wanted);
    memcpy(reply->body, connection->bytes + head, length);
    reply->length = length;
    connection->length -= head + length;
    memmove(connection->bytes, connection->bytes + head + length, connection->length);
}

bool http_receive(struct http_connection *connection, struct http_reply *reply, bool head)
{
    *reply = (struct http_reply){0};
    char *end;
    while ((end = memmem(connection->bytes, connection->length, "\r\n\r\n", 4)) == NULL)
        if (receive_more(connection, RECEIVE_MS) <= 0)
            return false;
    size_t length = (size_t)(end - connection->bytes) + 4;
    cr_assert(length < sizeof reply->head, "the head has %zu bytes", length);
    memcpy(reply->head, connection->bytes, length);
    cr_assert_eq(sscanf(reply->head, "HTTP/1.%*1[01] %d", &reply->status), 1, "no status line: %s", reply->head);
    if (!head) {
        receive_body(connection, reply, length);
        return true;
    }
    connection->length -= length;
    memmove(connection->bytes, connection->bytes + length, connection->length);
    return true;
}

bool http_closes(struct http_connection *connection, double seconds)
{
    size_t before = connection->length;
    return receive_more(connection, (int)(seconds * 1000)) == 0 && connection->length == before;
}

void http_close(struct http_connection *connection)
{
    close(connection->fd);
    connection->fd = -1;
}

void http_raw(const struct daemon *daemon, struct http_reply *reply, const char *request, size_t length)
{
    struct http_connection connection;
    http_open(&connection, daemon, NULL);
    http_send(&connection, request, length);
    (void)http_receive(&connection, reply, strncmp(request, "HEAD ", 5) == 0);
    reply->closed = reply->status != 0 && http_closes(&connection, 0.2);
    http_close(&connection);
}

void http_rawf(const struct daemon *daemon, struct http_reply *reply, const char *format, ...)
{
    char request[16384];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(request, sizeof request, format, arguments);
    va_end(arguments);
    cr_assert(length >= 0 && (size_t)length < sizeof request);
    http_raw(daemon, reply, request, (size_t)length);
}

const char *escape20(const unsigned char bytes[20], char text[61])
{
    for (int i = 0; i < 20; i++)
        (void)snprintf(text + 3 * i, 4, "%%%02x", bytes[i]);
    return text;
}

void ask_query(const struct ask *ask, char *query, size_t size)
{
    unsigned char info_hash[20], peer_id[20];
    char hash_text[61], peer_text[61], event[32] = "", numwant[32] = "", key[32] = "";
    info_hash_of(ask->torrent, info_hash);
    peer_id_of(ask->peer, peer_id);
    if (ask->event != NULL)
        (void)snprintf(event, sizeof event, "&event=%s", ask->event);
    if (ask->numwant != NULL)
        (void)snprintf(numwant, sizeof numwant, "&numwant=%s", ask->numwant);
    if (ask->key != 0)
        (void)snprintf(key, sizeof key, "&key=%08" PRIx32, ask->key);
    int length =
        snprintf(query, size,
                 "info_hash=%s&peer_id=%s&port=%u&uploaded=%" PRIu64 "&downloaded=%" PRIu64 "&left=%" PRIu64 "%s%s%s%s",
                 escape20(info_hash, hash_text), escape20(peer_id, peer_text), ask->port != 0 ? ask->port : 6881,
                 ask->up, ask->down, ask->left, event, numwant, key, ask->more != NULL ? ask->more : "");
    cr_assert(length > 0 && (size_t)length < size);
}

static void take_int(struct bvalue reply, const char *key, int64_t *number)
{
    struct bvalue value = bencode_get(reply, key);
    *number = -1;
    if (value.length > 0)
        cr_assert(bencode_int(value, number), "%s is no number", key);
}

static void take_text(struct bvalue reply, const char *key, char *text, size_t size)
{
    const char *bytes;
    size_t length;
    text[0] = '\0';
    struct bvalue value = bencode_get(reply, key);
    if (value.length == 0)
        return;
    cr_assert(bencode_string(value, &bytes, &length) && length > 0 && length < size, "%s is no text", key);
    memcpy(text, bytes, length);
    text[length] = '\0';
}

static void add_packed(struct told *told, struct bvalue value, int family, size_t size)
{
    const char *bytes;
    size_t length;
    cr_assert(bencode_string(value, &bytes, &length) && length % size == 0, "packed peers of %zu bytes", length);
    for (size_t at = 0; at < length; at += size) {
        cr_assert(told->peer_count < TOLD_PEERS);
        struct told_peer *peer = &told->peers[told->peer_count++];
        inet_ntop(family, bytes + at, peer->ip, sizeof peer->ip);
        peer->port = (uint16_t)((unsigned char)bytes[at + size - 2] << 8 | (unsigned char)bytes[at + size - 1]);
        told->peer6_count += family == AF_INET6;
    }
}

static void add_listed(struct told *told, struct bvalue list)
{
    const char *cursor = NULL, *bytes;
    size_t length;
    int64_t port;
    struct bvalue item;
    told->peers_are_list = true;
    while (bencode_next(list, &cursor, &item)) {
        cr_assert(told->peer_count < TOLD_PEERS);
        struct told_peer *peer = &told->peers[told->peer_count++];
        take_text(item, "ip", peer->ip, sizeof peer->ip);
        cr_assert(bencode_int(bencode_get(item, "port"), &port) && port > 0 && port < 65536);
        peer->port = (uint16_t)port;
        told->peer6_count += strchr(peer->ip, ':') != NULL;
        if (!bencode_string(bencode_get(item, "peer id"), &bytes, &length))
            continue;
        cr_assert_eq(length, 20u);
        peer->has_peer_id = true;
        memcpy(peer->peer_id, bytes, 20);
    }
}

/* Section 3 of the protocol's description names all keys; "no others". */
static void check_keys(struct bvalue reply)
{
    static const char *const success =
        "|complete|downloaded|external ip|incomplete|interval|min interval|peers|peers6|warning message|";
    static const char *const failure = "|failure reason|interval|retry in|";
    const char *known = bencode_get(reply, "failure reason").length > 0 ? failure : success;
    const char *cursor = NULL, *bytes;
    struct bvalue key, value;
    size_t length;
    while (bencode_next(reply, &cursor, &key) && bencode_next(reply, &cursor, &value)) {
        char name[64];
        cr_assert(bencode_string(key, &bytes, &length) && length < sizeof name - 3);
        (void)snprintf(name, sizeof name, "|%.*s|", (int)length, bytes);
        cr_assert_not_null(strstr(known, name), "key %s is not expected", name);
    }
}

void told_from_bencode(const char *body, size_t length, struct told *told)
{
    const char *reason, *bytes;
    size_t size;
    struct bvalue reply = {.start = body, .length = length};
    *told = (struct told){.answered = true};
    cr_assert(bencode_check(body, length, &reason) && *body == 'd', "%s: %.*s", reason, (int)length, body);
    check_keys(reply);
    take_text(reply, "failure reason", told->failure, sizeof told->failure);
    take_text(reply, "warning message", told->warning, sizeof told->warning);
    take_int(reply, "complete", &told->complete);
    take_int(reply, "incomplete", &told->incomplete);
    take_int(reply, "downloaded", &told->downloaded);
    take_int(reply, "interval", &told->interval);
    take_int(reply, "min interval", &told->min_interval);
    take_int(reply, "retry in", &told->retry_in);
    if (bencode_string(bencode_get(reply, "external ip"), &bytes, &size)) {
        cr_assert(size == 4 || size == 16, "external ip has %zu bytes", size);
        inet_ntop(size == 4 ? AF_INET : AF_INET6, bytes, told->external_ip, sizeof told->external_ip);
    }
    struct bvalue peers = bencode_get(reply, "peers"), peers6 = bencode_get(reply, "peers6");
    told->has_peers = peers.length > 0;
    told->has_peers6 = peers6.length > 0;
    if (told->has_peers && *peers.start == 'l')
        add_listed(told, peers);
    else if (told->has_peers)
        add_packed(told, peers, AF_INET, 6);
    if (told->has_peers6)
        add_packed(told, peers6, AF_INET6, 18);
}

void http_announce_on(struct http_connection *connection, const struct ask *ask, struct told *told)
{
    char route[256], query[1024], forwarded[256] = "", request[2048];
    struct http_reply reply;
    ask_query(ask, query, sizeof query);
    const char *format = ask->route != NULL ? ask->route : "/announce/%s?";
    cr_assert(strlen(format) + PASSKEY_TEXT_BYTES < sizeof route);
    const char *hole = strstr(format, "%s");
    if (hole != NULL)
        (void)snprintf(route, sizeof route, "%.*s%s%s", (int)(hole - format), format, ask->passkey, hole + 2);
    else
        (void)snprintf(route, sizeof route, "%s", format);
    if (ask->forwarded != NULL)
        (void)snprintf(forwarded, sizeof forwarded, "X-Forwarded-For: %s\r\n", ask->forwarded);
    int length = snprintf(request, sizeof request, "GET %s%s HTTP/1.1\r\nHost: tracker.example\r\n%s\r\n", route, query,
                          forwarded);
    cr_assert(length > 0 && (size_t)length < sizeof request);
    http_send(connection, request, (size_t)length);
    cr_assert(http_receive(connection, &reply, false), "no reply to %s", request);
    cr_assert_eq(reply.status, 200, "status %d for %s", reply.status, request);
    told_from_bencode(reply.body, reply.length, told);
}

void http_announce(const struct daemon *daemon, const struct ask *ask, struct told *told)
{
    struct http_connection connection;
    http_open(&connection, daemon, ask->from);
    http_announce_on(&connection, ask, told);
    http_close(&connection);
}

void http_scrape(const struct daemon *daemon, const char *passkey, const char *const *torrents, size_t count,
                 struct scraped *scraped, char failure[static 256])
{
    char request[16384], text[61];
    unsigned char info_hash[20];
    size_t length = (size_t)snprintf(request, sizeof request, "GET /scrape/%s?", passkey);
    for (size_t i = 0; i < count; i++) {
        info_hash_of(torrents[i], info_hash);
        length +=
            (size_t)snprintf(request + length, sizeof request - length, "&info_hash=%s", escape20(info_hash, text));
        cr_assert(length < sizeof request);
    }
    length += (size_t)snprintf(request + length, sizeof request - length, " HTTP/1.1\r\nHost: tracker.example\r\n\r\n");
    cr_assert(length < sizeof request);
    struct http_reply reply;
    const char *reason;
    http_raw(daemon, &reply, request, length);
    cr_assert_eq(reply.status, 200);
    cr_assert(bencode_check(reply.body, reply.length, &reason), "%s", reason);
    struct bvalue all = {.start = reply.body, .length = reply.length};
    take_text(all, "failure reason", failure, 256);
    struct bvalue files = bencode_get(all, "files");
    cr_assert((files.length > 0) != (failure[0] != '\0'), "a scrape has files or a failure");
    for (size_t i = 0; i < count; i++) {
        scraped[i] = (struct scraped){.complete = -1, .downloaded = -1, .incomplete = -1};
        info_hash_of(torrents[i], info_hash);
        const char *cursor = NULL, *bytes;
        struct bvalue key, value;
        while (bencode_next(files, &cursor, &key) && bencode_next(files, &cursor, &value)) {
            size_t size;
            if (!bencode_string(key, &bytes, &size) || size != 20 || memcmp(bytes, info_hash, 20) != 0)
                continue;
            scraped[i].known = true;
            take_int(value, "complete", &scraped[i].complete);
            take_int(value, "downloaded", &scraped[i].downloaded);
            take_int(value, "incomplete", &scraped[i].incomplete);
        }
    }
}
