/* privileges: giving up root after the sockets are open. */
#ifndef PRIVTRAK_BASE_PRIVILEGES_H
#define PRIVTRAK_BASE_PRIVILEGES_H

#include "base/error.h"

/*
 * Becomes `user` for good, with that user's groups, and makes `state_dir` and what the tracker has
 * made directly in it that user's own. `user` "" changes nothing. Returns 0, or -1 with a reason.
 */
int privileges_drop(const char *user, const char *state_dir, struct error *error);

/*
 * The same, and locks the process into `state_dir` first (chroot). Paths that begin with `state_dir` go on to lead to
 * the same files: directories and a link in it stand for the way to it. What name service and TLS need
 * (resolv.conf, hosts, the machine's authorities) is copied into its etc/, anew at each start.
 */
int privileges_confine(const char *user, const char *state_dir, struct error *error);

#endif
