/* compare: see compare.h. */
#include "bench/compare.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bench/random.h"

struct difference {
    char *text;
    size_t length;
};

static void tell(struct difference *difference, const char *column, const char *expected, int64_t found)
{
    size_t room = COMPARE_TEXT_BYTES - difference->length;
    int written = snprintf(difference->text + difference->length, room, "%s%s: %s expected, %" PRId64 " found",
                           difference->length == 0 ? "" : "; ", column, expected, found);
    difference->length += written < 0 || (size_t)written >= room ? room - 1 : (size_t)written;
}

/* A column that has to be in a range, mostly of one value. */
static void check(struct difference *difference, const char *column, uint64_t low, uint64_t high, uint64_t found)
{
    char expected[64];
    if (found >= low && found <= high)
        return;
    if (low == high)
        (void)snprintf(expected, sizeof expected, "%" PRIu64, low);
    else
        (void)snprintf(expected, sizeof expected, "%" PRIu64 " to %" PRIu64, low, high);
    tell(difference, column, expected, (int64_t)found);
}

static void check_credit(struct difference *difference, const char *column, uint64_t bytes, uint32_t percent,
                         uint64_t credits, uint64_t found)
{
    uint64_t most = (uint64_t)((random_product)bytes * percent / 100);
    uint64_t rounded = percent % 100 == 0 ? 0 : credits;
    check(difference, column, most > rounded ? most - rounded : 0, most, found);
}

static void check_time(struct difference *difference, const char *column, int64_t expected, int64_t tolerance,
                       int64_t found)
{
    int64_t low = expected > tolerance ? expected - tolerance : 0;
    check(difference, column, (uint64_t)low, (uint64_t)(expected + tolerance), (uint64_t)found);
}

bool compare_rows(const struct ledger_row *expected, const struct user_torrent_row *found,
                  const struct compare_rules *rules, char text[static COMPARE_TEXT_BYTES])
{
    struct difference difference = {.text = text};
    text[0] = '\0';
    check_credit(&difference, "uploaded", expected->uploaded, rules->upload_percent, expected->credits,
                 found->uploaded);
    check_credit(&difference, "downloaded", expected->downloaded, rules->download_percent, expected->credits,
                 found->downloaded);
    check(&difference, "raw_uploaded", expected->raw_uploaded, expected->raw_uploaded, found->raw_uploaded);
    check(&difference, "raw_downloaded", expected->raw_downloaded, expected->raw_downloaded, found->raw_downloaded);
    check(&difference, "snatched", expected->snatched, expected->snatched, found->snatched_at != 0);
    if (rules->time_tolerance_s >= 0) {
        check_time(&difference, "seed_time", expected->seed_time, rules->time_tolerance_s, found->seed_time);
        check_time(&difference, "leech_time", expected->leech_time, rules->time_tolerance_s, found->leech_time);
    }
    return difference.length == 0;
}
