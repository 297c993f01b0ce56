/* state_file: small files in state_dir that are there whole or not at all: an id, a key, a position. */
#ifndef PRIVTRAK_DELTAS_STATE_FILE_H
#define PRIVTRAK_DELTAS_STATE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/* Reads at most size - 1 bytes and puts a NUL behind them. Returns the length, or a negative errno with a reason. */
ssize_t state_file_read(const char *path, char *text, size_t size, struct error *error);

/* Puts `length` bytes in the file's place at once: it is never seen half written, also after a power cut. Mode 0600. 0, or -1 with a reason. */
int state_file_write(const char *path, const char *text, size_t length, struct error *error);

/* Makes the directory entries of the file's folder durable, after a rename or a new file. 0, or -1 with a reason. */
int state_file_sync_folder(const char *path, struct error *error);

#endif
