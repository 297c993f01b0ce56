/* ownership: the state directory, opened and given away by root in spite of what others may do to it meanwhile. */
#ifndef PRIVTRAK_BASE_OWNERSHIP_H
#define PRIVTRAK_BASE_OWNERSHIP_H

#include <sys/types.h>

#include "base/error.h"

/*
 * Opens a directory that root relies on. Its own name may be a link where root made that: anybody else's could be led
 * elsewhere. Returns its descriptor, or -1 with a reason.
 */
int ownership_open(const char *path, struct error *error);

/*
 * Makes the directory and all that is in it the user's own. Links are given away themselves, and never followed. Left
 * as they are, with a warning: other file systems; devices; files that have a further name, which may be one of
 * outside. It goes by descriptors, so that what a process of the user renames meanwhile changes nothing of this.
 * `path` is for messages. Returns 0, or -1 with a reason.
 */
int ownership_give(int directory, const char *path, uid_t user, gid_t group, struct error *error);

#endif
