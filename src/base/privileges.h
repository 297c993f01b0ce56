/* privileges: giving up root after the sockets are open. */
#ifndef PRIVTRAK_BASE_PRIVILEGES_H
#define PRIVTRAK_BASE_PRIVILEGES_H

#include "base/error.h"

/*
 * Becomes `user` for good, with that user's groups, and makes `state_dir` and what the tracker has
 * made directly in it that user's own. `user` "" changes nothing. Returns 0, or -1 with a reason.
 */
int privileges_drop(const char *user, const char *state_dir, struct error *error);

#endif
