/* status: the journal and the sinks as JSON, for /stats and /deltas/status, and whether they keep up. */
#ifndef PRIVTRAK_ADMIN_STATUS_H
#define PRIVTRAK_ADMIN_STATUS_H

#include <jansson.h>
#include <stdbool.h>

#include "admin/backend.h"

json_t *status_journal(const struct ledger_status *status);
json_t *status_sinks(const struct ledger_status *status);

/* How the lists of the database get into the tracker. */
json_t *status_lists(struct backend *backend);

/* Reasons, as an array of strings, why the tracker is not ready; empty where it is. */
json_t *status_faults(struct backend *backend);

#endif
