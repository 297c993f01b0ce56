/*
 * admin: the operator's side: JSON API, metrics, health and dashboard over TCP,
 * and the same over a unix socket for privtrakctl. One thread, `admin`, serves
 * it all; a slow database holds up nobody but the operator.
 */
#ifndef PRIVTRAK_ADMIN_ADMIN_H
#define PRIVTRAK_ADMIN_ADMIN_H

#include <stdint.h>

#include "base/error.h"
#include "config/config.h"
#include "deltas/ledger.h"
#include "storage/users.h"
#include "tracker/tracker.h"

struct admin;
struct registry;

/* What the operator looks at and works with. All of it outlives the admin side. */
struct admin_parts {
    struct tracker *tracker;
    struct ledger *ledger;
    struct users *users;
    struct registry *registry;

    /* Called on the thread `admin`; NULL: this tracker has no such thing, and the operator is told so. */
    void *context;
    int (*reload)(void *context, struct error *error);                  /* 0, or -1 with a reason: the old one stays */
    int (*snapshot)(void *context, uint64_t *seq, struct error *error); /* *seq: all up to it is covered */
    void (*shutdown)(void *context);                                    /* asks for it, and returns at once */
};

/*
 * Makes the token where there is none, opens the sockets and a handle on the
 * database. To be called before privileges are dropped. NULL with a reason.
 */
struct admin *admin_open(const struct config *config, const struct admin_parts *parts, struct error *error);

int admin_start(struct admin *admin, struct error *error);

/* Any thread, its own too: takes over metrics_need_token. `config` need not outlive the call. */
void admin_reload(struct admin *admin, const struct config *config);

/*
 * Any thread but its own: the tracker is about to stop. /readyz says so from now on, the API refuses every
 * call, and the one in hand has ended when this returns (unless it takes more than two seconds): workers,
 * registry and ledger may then be stopped.
 */
void admin_drain(struct admin *admin);

/* Ends and joins the thread where it runs, removes the socket, frees all. NULL is allowed. */
void admin_stop(struct admin *admin);

#endif
