/*
 * lists_cache: the lists of the database as they were last in force (users, torrents, clients, multipliers), in
 * state_dir/lists.cache, for a start while the database is away. It holds passkeys, and is readable by its owner alone.
 *
 * A block file (block_file.h) whose number tells the database by a hash of its URL, and whose count is that of the
 * items. A block is a sequence of items, each with a letter before it; integers are varints:
 *
 *   's'  seq: the torrents' snatches up to this record of the journal are in here
 *   'c'  length u8, prefix, allowed u8
 *   'm'  upload percent, download percent, until
 *   'u'  id, flags u8 (1 enabled, 2 may leech, 4 hides its address), upload percent, download percent, length u8, passkey
 *   't'  id, info hash, state u8, upload percent, download percent, snatches, length, reason
 */
#ifndef PRIVTRAK_DAEMON_LISTS_CACHE_H
#define PRIVTRAK_DAEMON_LISTS_CACHE_H

#include "base/error.h"
#include "config/config.h"
#include "database/registry.h"

enum { LISTS_CACHE_VERSION = 1 };

struct lists_cache;

/* `parts` are those of the registry; all outlive the cache. NULL with a reason. */
struct lists_cache *lists_cache_open(const struct config *config, const struct registry_parts *parts,
                                     struct registry *registry, struct error *error);
void lists_cache_free(struct lists_cache *cache);

/*
 * Brings the lists of the file into the registry: after registry_load failed with `reason` because the database is away. Returns 0,
 * or -1 with a reason for which the start must stop.
 */
int lists_cache_load(struct lists_cache *cache, const struct error *reason, struct error *error);

/* Whether the lists came from the file, and then `*seq`: its torrents have the snatches up to there. */
bool lists_cache_was_used(const struct lists_cache *cache, uint64_t *seq);

/*
 * Writes the file where the lists have changed since it was last written, `seq` being a record that all workers are past. No
 * worker's thread, but one that is registered as a reader of the users; also after tracker_stop. A failure is logged.
 */
void lists_cache_save(struct lists_cache *cache, uint64_t seq);

/* The same, where it was not written a short while ago: how short, depends on its size. */
void lists_cache_keep_up(struct lists_cache *cache, uint64_t seq);

#endif
