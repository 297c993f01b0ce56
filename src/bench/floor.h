/*
 * floor: the bare responders. They answer with as many bytes as a tracker would
 * and do no work, so that their CPU time a reply is what the machine's sockets cost.
 * Private to floor*.c.
 */
#ifndef PRIVTRAK_BENCH_FLOOR_H
#define PRIVTRAK_BENCH_FLOOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/options.h"

struct floor_settings {
    struct endpoint_list listen;
    struct cpu_list cpus;
    uint64_t reply_bytes;    /* of an announce's reply: the UDP payload, or the whole HTTP answer */
    bool merge;              /* UDP: replies to one address as one send, as the tracker does */
    bool close;              /* HTTP: a connection for each request */
    const char *certificate; /* HTTPS: files in PEM */
    const char *key;
};

/* One responder. Written by its own thread, read by the main thread after the join. */
struct floor_thread {
    const struct floor_settings *settings;
    const atomic_bool *stop;
    void (*serve)(struct floor_thread *thread);
    size_t index;
    pthread_t thread;
    int sockets[ENDPOINTS_MAX]; /* opened by the main thread, so that a port in use is told before anything runs */
    size_t socket_count;
    uint64_t replies;  /* to announces and scrapes */
    uint64_t connects; /* UDP: handshakes, answered as well */
    int64_t cpu_ns;
    struct error error; /* "" where all went well */
};

/* How long a thread sleeps at most before it looks at `stop`. */
enum { FLOOR_WAIT_MS = 100 };

/* Open sockets[] (each returns 0 or -1 with a reason), and serve until *stop (the thread's body). */
int floor_udp_open(struct floor_thread *thread, struct error *error);
void floor_udp_serve(struct floor_thread *thread);
int floor_http_open(struct floor_thread *thread, struct error *error);
void floor_http_serve(struct floor_thread *thread);
int floor_https_open(struct floor_thread *thread, struct error *error);
void floor_https_serve(struct floor_thread *thread);

/*
 * An HTTP answer of `wanted` bytes, or the fewest above where lengths change their number of digits. `size`: wanted +
 * FLOOR_HTTP_ROOM. Returns its length.
 */
enum { FLOOR_HTTP_ROOM = 512 };
size_t floor_http_reply(char *reply, size_t size, size_t wanted, bool close_after);

/* A socket of `type` with SO_REUSEPORT, bound to `endpoint`; -1 with a reason. */
int floor_socket(const struct endpoint *endpoint, int type, struct error *error);

#endif
