/* compare: holds a row of a ledger against what the database has for that user and torrent. */
#ifndef PRIVTRAK_BENCH_COMPARE_H
#define PRIVTRAK_BENCH_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/ledger_file.h"
#include "database/database.h"

/* The percentages that were in force for the row. */
struct compare_rules {
    uint32_t upload_percent;
    uint32_t download_percent;
    int64_t time_tolerance_s; /* negative: times are not compared */
};

enum { COMPARE_TEXT_BYTES = 512 };

/*
 * Returns whether they agree; else `text` tells every column that differs. With 100 % the amounts
 * have to be equal to the byte. Else each credit may have been rounded down by less than a byte.
 */
bool compare_rows(const struct ledger_row *expected, const struct user_torrent_row *found,
                  const struct compare_rules *rules, char text[static COMPARE_TEXT_BYTES]);

#endif
