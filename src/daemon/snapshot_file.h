/*
 * snapshot_file: the snapshots of a state directory, snapshot/<seq>.snapshot: block files (block_file.h) whose number is
 * the covered seq, whose blocks are those of storage/snapshot.h, and whose count is that of the sessions.
 */
#ifndef PRIVTRAK_DAEMON_SNAPSHOT_FILE_H
#define PRIVTRAK_DAEMON_SNAPSHOT_FILE_H

#include "daemon/block_file.h"

enum { SNAPSHOT_VERSION = 1, SNAPSHOTS_KEPT = 2 };

/*
 * Begins one that covers all records up to `seq`, in `folder`, which is made where it is missing. NULL with a reason.
 * It goes on with block_file_add and block_file_finish.
 */
struct block_file *snapshot_file_begin(const char *folder, uint64_t seq, int64_t now_ms, struct error *error);

/* The covered seqs of the snapshots in `folder`, newest first, at most `max`. Returns how many. */
size_t snapshot_file_list(const char *folder, uint64_t *seqs, size_t max);

/* Removes all but the newest `SNAPSHOTS_KEPT`, and what was left half written. */
void snapshot_file_trim(const char *folder);

/* Reads the one of that seq, as block_file_read does. Returns 0, or -1 with a reason. */
int snapshot_file_read(const char *folder, uint64_t seq, block_file_fn *block, void *context, int64_t *made_at_ms,
                       uint64_t *sessions, struct error *error);

#endif
