/*
 * registry: brings the lists of the database (users, torrents, clients, multipliers) into
 * the tracker: all of them at start, then what changed in them, read from the
 * log of changes every refresh_interval, when the database notifies, and when asked. A set of changes is put in
 * force only when it was read to its end; a database that is down leaves the
 * lists as they are.
 */
#ifndef PRIVTRAK_DATABASE_REGISTRY_H
#define PRIVTRAK_DATABASE_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "config/config.h"
#include "database/database.h"
#include "storage/clients.h"
#include "storage/multipliers.h"
#include "storage/users.h"
#include "tracker/tracker.h"

struct registry;

/* Where the lists go. All outlive the registry. `multipliers` is written with relaxed atomic stores. */
struct registry_parts {
    struct users *users;
    struct clients *clients;
    struct multipliers *multipliers;
    struct tracker *tracker;
};

/* Opens a handle; the database itself is not touched. What is needed of `config` is copied. NULL with a reason. */
struct registry *registry_new(const struct config *config, const struct registry_parts *parts, struct error *error);

/*
 * Makes the schema where it is missing and brings in all lists; before tracker_start. On an empty
 * database the user `owner` is made, once, and its passkey is told in `owner_passkey`; else that becomes "".
 * Returns 0, or -1 with a reason for which the start must stop.
 */
int registry_load(struct registry *registry, char owner_passkey[static DATABASE_PASSKEY_BYTES], struct error *error);

/* Whether registry_load failed because the database is away: nobody answers, it is starting, it is locked. */
bool registry_is_away(const struct registry *registry);

/*
 * Brings in lists from elsewhere, as whole as the tables were, where the database is away; before tracker_start. `source` tells the
 * reader users, torrents, clients and multipliers (not begin), and returns 0, or -1 with a reason. The thread then looks
 * for the database at once and with back-off. `reason`: why it is away, for the status. Returns 0, or -1 with a reason.
 */
typedef int registry_source_fn(void *context, const struct database_reader *reader, struct error *error);
int registry_load_from(struct registry *registry, registry_source_fn *source, void *context, const struct error *reason,
                       struct error *error);

/* Any thread: the rules of the table `clients` as they are in force; the caller frees `*rows`. 0 or -ENOMEM. */
int registry_clients(struct registry *registry, struct client_row **rows, size_t *count);

/* Starts the thread `registry`. */
int registry_start(struct registry *registry, struct error *error);

/*
 * Any thread but the workers' and the registry's: looks now, and returns when what the tables held at the call is in
 * force. Returns 0, or -1 with a reason: the lists stay as they were.
 */
int registry_refresh(struct registry *registry, struct error *error);

/* Takes over refresh_interval and the client rules of a new configuration, and refreshes as above. */
int registry_reload(struct registry *registry, const struct config *config, struct error *error);

struct registry_status {
    bool up;              /* the last look succeeded */
    uint64_t looks;       /* that succeeded */
    uint64_t changes;     /* of these, how many changed anything in the lists */
    int64_t last_look_ms; /* clock_now_ms of the last one that succeeded */
    char last_error[256]; /* "" where up */
};
void registry_status(struct registry *registry, struct registry_status *status);

/* Ends the thread, also out of a call that waits for the database. */
void registry_stop(struct registry *registry);
void registry_free(struct registry *registry);

#endif
