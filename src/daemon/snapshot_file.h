/*
 * snapshot_file: a snapshot on disk, state_dir/snapshot/<seq>.snapshot:
 *
 *   header   magic "privtrak-snapshot" and a NUL, version u32, covered seq u64, made at (Unix ms) u64
 *   blocks   length u32 (not 0), XXH3 of the payload u64, payload (storage/snapshot.h)
 *   end      0 u32, number of sessions u64, XXH3 of the header with that number as its seed u64
 *
 * All integers little endian. It is written under a temporary name, synced, and renamed: what has the right
 * name is whole, unless the disk is at fault, which the checksums tell.
 */
#ifndef PRIVTRAK_DAEMON_SNAPSHOT_FILE_H
#define PRIVTRAK_DAEMON_SNAPSHOT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { SNAPSHOT_VERSION = 1, SNAPSHOTS_KEPT = 2 };

struct snapshot_file;

/* Begins one that covers all records up to `seq`, in `folder`, which is made where it is missing. NULL with a reason. */
struct snapshot_file *snapshot_file_begin(const char *folder, uint64_t seq, int64_t now_ms, struct error *error);

/* Appends a block. 0, or a negative errno. */
int snapshot_file_add(struct snapshot_file *file, const uint8_t *data, size_t size);

/* Syncs it and gives it its name. Frees `file` in any case. 0, or -1 with a reason: there is no such snapshot then. */
int snapshot_file_finish(struct snapshot_file *file, uint64_t sessions, struct error *error);

/* Throws it away. */
void snapshot_file_cancel(struct snapshot_file *file);

/* The covered seqs of the snapshots in `folder`, newest first, at most `max`. Returns how many. */
size_t snapshot_file_list(const char *folder, uint64_t *seqs, size_t max);

/* Removes all but the newest `SNAPSHOTS_KEPT`, and what was left half written. */
void snapshot_file_trim(const char *folder);

/*
 * Reads the one of that seq and gives each block to `block` (0, or negative to stop). Returns 0, or -1 with a reason.
 */
typedef int snapshot_block_fn(void *context, const uint8_t *data, size_t size);
int snapshot_file_read(const char *folder, uint64_t seq, snapshot_block_fn *block, void *context, int64_t *made_at_ms,
                       uint64_t *sessions, struct error *error);

#endif
