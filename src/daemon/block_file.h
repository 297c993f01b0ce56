/*
 * block_file: a file of the state directory that is written whole or not at all:
 *
 *   header   magic (17 letters and a NUL), version u32, number u64 (what the kind says), made at (Unix ms) u64
 *   blocks   length u32 (not 0), XXH3 of the payload u64, payload
 *   end      0 u32, count u64 (what the kind says), XXH3 of the header with that count as its seed u64
 *
 * All integers little endian. It is written under a temporary name, synced, and renamed: what has the right
 * name is whole, unless the disk is at fault, which the checksums tell.
 */
#ifndef PRIVTRAK_DAEMON_BLOCK_FILE_H
#define PRIVTRAK_DAEMON_BLOCK_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { BLOCK_FILE_MAGIC_BYTES = 18, BLOCK_FILE_BLOCK_MAX = 64 * 1024 * 1024, BLOCK_FILE_PATH_BYTES = 4096 };

/* What tells the kinds of such files apart. */
struct block_file_kind {
    char magic[BLOCK_FILE_MAGIC_BYTES];
    uint32_t version; /* the one that is written, and the only one that is read */
    const char *name; /* for people: "snapshot" */
};

struct block_file;

/* Begins the file `path` as `path`.new, readable by its owner alone. NULL with a reason. */
struct block_file *block_file_begin(const struct block_file_kind *kind, const char *path, uint64_t number,
                                    int64_t now_ms, struct error *error);

/* Appends a block. 0, or a negative errno. */
int block_file_add(struct block_file *file, const uint8_t *data, size_t size);

/* Syncs it and gives it its name. Frees `file` in any case. 0, or -1 with a reason: the name stands for what it did before. */
int block_file_finish(struct block_file *file, uint64_t count, struct error *error);

/* Throws it away. */
void block_file_cancel(struct block_file *file);

/* What a file says of itself, known when it was read to its end. */
struct block_file_facts {
    uint64_t number;
    int64_t made_at_ms;
    uint64_t count;
};

/*
 * Reads a file and gives each block to `block` (0, -ENOMEM, or negative where it is not what it should be). Returns 0, or -1 with a
 * reason: what the blocks have brought by then is not to be relied on.
 */
typedef int block_file_fn(void *context, const uint8_t *data, size_t size);
int block_file_read(const struct block_file_kind *kind, const char *path, block_file_fn *block, void *context,
                    struct block_file_facts *facts, struct error *error);

#endif
