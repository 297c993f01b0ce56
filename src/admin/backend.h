/*
 * backend: what the routes work on. Used by the thread `admin` alone, but for
 * the atomics.
 */
#ifndef PRIVTRAK_ADMIN_BACKEND_H
#define PRIVTRAK_ADMIN_BACKEND_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "admin/admin.h"
#include "database/database.h"

enum { TOKEN_MAX = 256, TOP_TORRENTS_MAX = 10 };

/* The largest swarms, looked up every few seconds at most, however many watch the dashboard. */
struct top_torrents {
    int64_t taken_ns; /* 0: never */
    size_t count;
    struct torrent_view views[TOP_TORRENTS_MAX];
    char names[TOP_TORRENTS_MAX][DATABASE_NAME_BYTES];
};

struct backend {
    struct admin_parts parts;
    struct database *database;
    int64_t started_ns; /* of the monotonic clock */
    char token[TOKEN_MAX + 1];
    atomic_bool metrics_need_token;
    atomic_bool is_draining; /* nothing of the API any more */
    pthread_mutex_t busy;    /* held during a call: admin_drain waits for it */
    struct top_torrents top;
};

#endif
