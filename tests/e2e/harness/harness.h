/*
 * harness: the real daemon as a child of a test, small clients that speak to it
 * over sockets as BitTorrent clients do, and a look at its database.
 *
 * Every function that meets something that cannot go on fails the test with
 * cr_assert, so that tests read as a list of what is expected.
 */
#ifndef PRIVTRAK_TESTS_E2E_HARNESS_H
#define PRIVTRAK_TESTS_E2E_HARNESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { HARNESS_PATH_BYTES = 128, HARNESS_REPLY_BYTES = 65536, TOLD_PEERS = 1024, PASSKEY_TEXT_BYTES = 65 };

/* ------------------------------------------------------------- daemon.c */

/* What a test sets in tracker.yaml: the lines of a section, which replace the harness's own for it. NULL: its own. */
struct daemon_options {
    unsigned workers;    /* 0: two */
    const char *tracker; /* own: min_announce_interval 0s, so that tests need not wait */
    const char *http;    /* own: 127.0.0.0/8 and ::1 are trusted proxies */
    const char *udp;
    const char *middleware; /* own: unknown passkeys are hardly limited */
    const char *database;   /* own: refresh_interval 1s */
    const char *deltas;     /* own: flush_interval 1s */
    const char *more;       /* further sections, whole */
    bool every_address;     /* listen on 0.0.0.0 and [::] instead of loopback */
};

struct daemon {
    pid_t pid;
    uint16_t port; /* HTTP and UDP */
    uint16_t admin_port;
    char directory[HARNESS_PATH_BYTES]; /* tracker.yaml, log, state/ */
    char log_file[64];                  /* below it */
    char owner[PASSKEY_TEXT_BYTES];     /* from the URLs logged at the first start */
};

/* Makes the directory and tracker.yaml, but starts nothing. */
void daemon_prepare(struct daemon *daemon, const struct daemon_options *options);

/* Starts it on what daemon_prepare made, waits until it says that it is ready. */
void daemon_launch(struct daemon *daemon);

/* The same where the log goes to a file, below the daemon's directory. */
void daemon_launch_logging_to(struct daemon *daemon, const char *file);

/* Both. */
void daemon_start(struct daemon *daemon, const struct daemon_options *options);

/* Writes tracker.yaml anew, for a reload; ports and directory stay. */
void daemon_configure(struct daemon *daemon, const struct daemon_options *options);

/* SIGTERM; it has to exit with 0 within 10 seconds. The directory stays, so that daemon_launch can follow. */
void daemon_terminate(struct daemon *daemon);

/* The same with another signal. */
void daemon_end(struct daemon *daemon, int signal);

/* Waits for an end that something else has asked for; it has to exit with 0 within 10 seconds. */
void daemon_wait(struct daemon *daemon);

/* SIGKILL. The directory stays. */
void daemon_kill(struct daemon *daemon);

/* daemon_terminate, and the directory goes. The end of nearly every test. */
void daemon_stop(struct daemon *daemon);

/* For daemons that were never launched, or have ended. */
void daemon_forget(struct daemon *daemon);

/* Waits for up to `seconds` until the log of this start holds `text`. */
bool daemon_logs(const struct daemon *daemon, const char *text, double seconds);

/* The whole log since the first start; valid until the next call. */
const char *daemon_log(const struct daemon *daemon);

/* For TestSuite's .fini: kills what a failed test left, and shows the end of its log. */
void harness_finish(void);

/*
 * Runs a program of the build ("privtrakd", "privtrakctl", …) to its end, its
 * working directory being the daemon's (NULL: as ours). Returns its exit
 * status, 128 + N after signal N. `output` gets stdout and stderr.
 */
int run_program(const struct daemon *daemon, char *output, size_t size, const char *program, ...)
    __attribute__((sentinel));

/* Where the build's programs are. */
const char *build_path(const char *program);

void sleep_s(double seconds);
double now_s(void);
bool have_ipv6(void);

/* Reads a whole file into `text`, cut to its size; false where there is none. */
bool read_file(const char *path, char *text, size_t size);
void write_file(const char *path, const char *text);

/* ----------------------------------------------------------- database.c */

/* Runs SQL on the daemon's database, as a site would. */
void database_run(const struct daemon *daemon, const char *sql, ...) __attribute__((format(printf, 2, 3)));

/* The first column of the first row; fails the test where there is none. */
int64_t database_int(const struct daemon *daemon, const char *sql, ...) __attribute__((format(printf, 2, 3)));
void database_text(const struct daemon *daemon, char *text, size_t size, const char *sql, ...)
    __attribute__((format(printf, 4, 5)));

/* Waits for up to 10 s until the query gives `expected`; fails the test with what it gave instead. */
void database_expect(const struct daemon *daemon, int64_t expected, const char *sql, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds a user by SQL and waits until the tracker knows it. Passkeys are 32 characters, made from the name. */
const char *add_user(const struct daemon *daemon, const char *name);
const char *passkey_of(const char *name);

/* Waits until the tracker answers this passkey without a failure (`known`) or with one. */
void wait_for_passkey(const struct daemon *daemon, const char *passkey, bool known);

/* ------------------------------------------------------------ bencode.c */

/* A value within a bencoded text that has been checked whole: keys sorted and unique, numbers canonical. */
struct bvalue {
    const char *start;
    size_t length;
};

/* Checks all of `text`; returns false with a reason where a strict reader would throw. */
bool bencode_check(const char *text, size_t length, const char **reason);

/* Looks a key up in a dictionary; a value of length 0 where it is not there. */
struct bvalue bencode_get(struct bvalue dictionary, const char *key);
bool bencode_string(struct bvalue value, const char **bytes, size_t *length);
bool bencode_int(struct bvalue value, int64_t *number);
/* Steps through a list (or a dictionary, whose keys and values take turns): start with *cursor = NULL. */
bool bencode_next(struct bvalue list, const char **cursor, struct bvalue *item);

/* ------------------------------------------------------- what is asked */

/* An announce as a client makes it. Zero values are the usual: no event, no key, nothing transferred. */
struct ask {
    const char *passkey;
    const char *torrent; /* any name; info_hash_of makes 20 bytes of it */
    const char *peer;    /* up to 12 characters: "-PT0001-" comes before; or a whole peer id of 20 */
    const char *event;
    uint64_t up, down, left;
    uint16_t port;       /* 0: 6881 */
    const char *numwant; /* NULL: not said */
    uint32_t key;
    const char *from;      /* the client's own address; NULL: 127.0.0.1 */
    const char *forwarded; /* HTTP: X-Forwarded-For */
    const char *more;      /* HTTP: more of the query, "&compact=0" */
    const char *route;     /* HTTP: a printf format with one %s for the passkey, that ends in ? or &; NULL: the usual.
                              UDP: the URL data, with at most one %s */
};

struct told_peer {
    char ip[INET6_ADDRSTRLEN];
    uint16_t port;
    bool has_peer_id;
    unsigned char peer_id[20];
};

struct told {
    bool answered;
    char failure[256]; /* "": none */
    char warning[256];
    int64_t complete, incomplete, downloaded, interval, min_interval; /* -1: not said */
    int64_t retry_in;                                                 /* -1: not said */
    bool has_peers, has_peers6, peers_are_list;
    char external_ip[INET6_ADDRSTRLEN];
    size_t peer_count, peer6_count; /* the second is a part of the first */
    struct told_peer peers[TOLD_PEERS];
};

void info_hash_of(const char *torrent, unsigned char info_hash[20]);
const char *info_hash_hex(const char *torrent);
void peer_id_of(const char *peer, unsigned char peer_id[20]);
bool told_peer(const struct told *told, const char *ip, uint16_t port);

/* ---------------------------------------------------------------- http.c */

struct http_connection {
    int fd;
    size_t length;
    char bytes[HARNESS_REPLY_BYTES];
};

struct http_reply {
    int status;  /* 0: none came */
    bool closed; /* the server closed afterwards, where that was waited for */
    char head[4096];
    size_t length;
    char body[HARNESS_REPLY_BYTES];
};

/* Connects from `from` (NULL: 127.0.0.1); an address with a colon goes to [::1]. */
void http_open(struct http_connection *connection, const struct daemon *daemon, const char *from);
void http_open_port(struct http_connection *connection, uint16_t port, const char *from);
void http_send(struct http_connection *connection, const char *bytes, size_t length);
/* Reads one reply; false where the connection ended, or nothing came for 5 s. A HEAD reply has no body. */
bool http_receive(struct http_connection *connection, struct http_reply *reply, bool head);
/* True where the server closes within `seconds` without sending more. */
bool http_closes(struct http_connection *connection, double seconds);
void http_close(struct http_connection *connection);

/* One request as written, on a connection of its own. */
void http_raw(const struct daemon *daemon, struct http_reply *reply, const char *request, size_t length);
void http_rawf(const struct daemon *daemon, struct http_reply *reply, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *http_header(const struct http_reply *reply, const char *name, char *value, size_t size);

/* Percent-encodes 20 bytes. */
const char *escape20(const unsigned char bytes[20], char text[61]);
/* The query of an announce, from info_hash= on. */
void ask_query(const struct ask *ask, char *query, size_t size);

void http_announce(const struct daemon *daemon, const struct ask *ask, struct told *told);
/* The same on an open connection. */
void http_announce_on(struct http_connection *connection, const struct ask *ask, struct told *told);
/* Reads an announce reply's body; fails the test where it is not strict bencode or has unknown keys. */
void told_from_bencode(const char *body, size_t length, struct told *told);

struct scraped {
    bool known;
    int64_t complete, downloaded, incomplete;
};
/* Scrapes `count` torrents by name; `failure` is "" where all is well. */
void http_scrape(const struct daemon *daemon, const char *passkey, const char *const *torrents, size_t count,
                 struct scraped *scraped, char failure[static 256]);

/* ----------------------------------------------------------------- udp.c */

struct udp_client {
    int fd;
    int family; /* 4 or 6 */
    uint64_t connection_id;
    uint32_t transaction;
};

/* Opens a socket at `from` (NULL: 127.0.0.1) to the daemon. */
void udp_open(struct udp_client *client, const struct daemon *daemon, const char *from);
void udp_close(struct udp_client *client);
/* Talks to another of the daemon's IPv4 addresses from now on. */
void udp_reconnect(struct udp_client *client, const struct daemon *daemon, const char *to);
/* Asks for a connection id. */
void udp_connect(struct udp_client *client);
/* Sends a packet and waits for an answer for up to `seconds`; returns its length, -1 where none came. */
ssize_t udp_exchange(struct udp_client *client, const void *packet, size_t length, unsigned char *reply, size_t size,
                     double seconds);
/* Makes an announce packet with the ask's route (or /announce/{passkey}) as one BEP 41 option; returns its length. */
size_t udp_announce_packet(struct udp_client *client, const struct ask *ask, unsigned char packet[static 2048]);
void udp_announce_on(struct udp_client *client, const struct ask *ask, struct told *told);
/* Opens, connects, announces, closes. */
void udp_announce(const struct daemon *daemon, const struct ask *ask, struct told *told);
void told_from_udp(const unsigned char *reply, size_t length, int family, struct told *told);

/* Both protocols behind one name, for tests that run over each. */
typedef void announce_fn(const struct daemon *daemon, const struct ask *ask, struct told *told);

#endif
