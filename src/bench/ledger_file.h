/* ledger_file: the CSV file that --ledger writes and verify reads. */
#ifndef PRIVTRAK_BENCH_LEDGER_FILE_H
#define PRIVTRAK_BENCH_LEDGER_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tracker/announce.h"

/* credits: how many announces brought bytes; it bounds what percentages may have rounded off. */
#define LEDGER_HEADER \
    "passkey,info_hash,uploaded,downloaded,raw_uploaded,raw_downloaded,seed_time,leech_time,snatched,credits"

struct ledger_row {
    char passkey[PASSKEY_MAX + 1];
    uint8_t info_hash[INFO_HASH_BYTES];
    uint64_t uploaded;
    uint64_t downloaded;
    uint64_t raw_uploaded;
    uint64_t raw_downloaded;
    int64_t seed_time;
    int64_t leech_time;
    bool snatched;
    uint64_t credits;
};

/* Reads a line without its newline. Returns 0, or -1 where it is not wholly such a row. */
int ledger_row_parse(struct ledger_row *row, const char *line);

/*
 * Reads the whole file, sorted by passkey and info hash. The caller frees `*rows`. Returns 0, or
 * -1 with a reason: no such file, another header, a broken line, the same user and torrent twice.
 */
int ledger_file_read(const char *name, struct ledger_row **rows, size_t *count, struct error *error);

/*
 * Adds the sorted rows of another ledger, of other sessions at the same tracker: a row that both have
 * becomes one, with the sums. Returns 0 or -ENOMEM (then nothing has changed).
 */
int ledger_add(struct ledger_row **rows, size_t *count, const struct ledger_row *more, size_t more_count);

/* The order in which they are sorted; for bsearch. */
int ledger_row_compare(const void *a, const void *b);

#endif
