/* torrent_file: what `torrent add` needs to know of a .torrent file. */
#ifndef PRIVTRAK_CTL_TORRENT_FILE_H
#define PRIVTRAK_CTL_TORRENT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct torrent_file {
    uint8_t info_hash[20]; /* as clients announce it */
    char name[512];        /* UTF-8 without control characters, cut where it is longer */
    uint64_t size;
    bool is_private;     /* private=1 */
    bool is_v2_only;     /* info_hash is the first 20 bytes of its SHA-256 (BEP 52) */
    bool is_hybrid;      /* v1 and v2: info_hash is v1's… */
    uint8_t v2_hash[20]; /* …and this is what v2 clients announce */
};

/* Reads a torrent file's bytes. Returns 0, or -1 with a reason. */
int torrent_file_parse(struct torrent_file *torrent, const uint8_t *bytes, size_t length, struct error *error);
int torrent_file_read(struct torrent_file *torrent, const char *path, struct error *error);

#endif
