/*
 * call: one request to the operator's side, free of sockets and HTTP syntax, so
 * that TCP, the unix socket and the unit tests go through the same door.
 * A room's file of routes fills the second half of the struct.
 */
#ifndef PRIVTRAK_ADMIN_CALL_H
#define PRIVTRAK_ADMIN_CALL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/backend.h"
#include "base/error.h"

enum admin_method { METHOD_GET, METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHOD_COUNT, METHOD_OTHER };

enum {
    CALL_ARGUMENT_BYTES = 128,
    CALL_BODY_MAX = 64 * 1024,
    LIST_LIMIT_DEFAULT = 100,
    LIST_LIMIT_MAX = 1000,
};

struct call {
    /* What was asked. Written by the caller of call_run, then read-only. */
    struct backend *backend;
    enum admin_method method;
    bool is_local;      /* came over the unix socket: needs no token, may stop the tracker */
    const char *bearer; /* what the Authorization header held after "Bearer "; NULL: nothing */
    const char *path;   /* still %-encoded */
    const char *query;  /* still %-encoded; NULL: none */
    const char *body;   /* not NUL-terminated */
    size_t body_length;

    /* Found on the way to the route. */
    char argument[CALL_ARGUMENT_BYTES]; /* what stands for the pattern's {…}, decoded */
    json_t *json;                       /* the body, where the route takes one and there is one */

    /* The answer. */
    int status;
    json_t *answer;   /* else… */
    char *text;       /* malloc'd; else… */
    const char *page; /* static */
    size_t text_length;
    const char *content_type;                    /* of text or page */
    const char *policy;                          /* the page's Content-Security-Policy */
    unsigned allowed;                            /* 405: 1 << enum admin_method of those that the path knows */
    void (*afterwards)(struct backend *backend); /* called once the answer is on its way */
};

enum route_flags {
    ROUTE_OPEN = 1 << 0,       /* no token needed */
    ROUTE_METRICS = 1 << 1,    /* a token needed only with metrics_need_token */
    ROUTE_LOCAL = 1 << 2,      /* over the unix socket only */
    ROUTE_BODY = 1 << 3,       /* a JSON object has to come with it */
    ROUTE_MAYBE_BODY = 1 << 4, /* a JSON object may come with it */
};

enum { ROUTE_STATUSES_MAX = 8 };

struct admin_route {
    enum admin_method method;
    unsigned flags;
    const char *pattern; /* with at most one {…}, which stands for one whole segment */
    void (*run)(struct call *call);
    int statuses[ROUTE_STATUSES_MAX]; /* what run may answer, ended by 0; those of call_run itself come on top */
};

/* One table a file of routes, each ended by a NULL pattern. */
extern const struct admin_route routes_users[], routes_torrents[], routes_clients[], routes_multipliers[],
    routes_deltas[], routes_stats[], routes_control[], routes_pages[];

/* All of these tables, ended by NULL. */
extern const struct admin_route *const admin_routes[];

/*
 * Finds the route and runs it; what it answers, or why it did not come so far,
 * stands in the call, which call_clear then empties. Writes nothing to sockets.
 */
void call_run(struct call *call);
void call_clear(struct call *call);

/* Whether the call's path is of that pattern; then what stands for its {…} is in the call's argument. */
bool call_path_matches(struct call *call, const char *pattern);

/* The statuses that call_run itself may answer for the route, ended by 0. */
size_t route_own_statuses(const struct admin_route *route, int statuses[static ROUTE_STATUSES_MAX]);

const char *method_name(enum admin_method method);

/* For routes. All take ownership of `answer`; NULL is told as out of memory. */
void call_answer(struct call *call, int status, json_t *answer);
void call_answer_empty(struct call *call, int status);
void call_fail(struct call *call, int status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Tells a database's refusal; DATABASE_OK is no failure and not to be passed. */
void call_fail_database(struct call *call, enum database_result result, const struct error *error);

/* Makes a change that is in the database known to the workers. Returns 0, or -1 with the failure told. */
int call_put_in_force(struct call *call);

/*
 * Query parameters. Each call_query_… looks for its own; call_query_known first makes
 * sure that there is no other and none twice or with a bad escape. `names` is ended by NULL.
 * They return false where the failure is already told.
 */
bool call_query_known(struct call *call, const char *const *names);
/* Text of less than `size` bytes, `""` where absent; `*found` (may be NULL) tells. */
bool call_query_text(struct call *call, const char *name, char *text, size_t size, bool *found);
bool call_query_number(struct call *call, const char *name, uint64_t least, uint64_t most, uint64_t *number);

/* A whole decimal number, digits only. */
bool parse_number(const char *text, size_t length, uint64_t most, uint64_t *number);

#endif
