/*
 * mariadb_changes: where a reader of the log of changes stands. Entries are numbered when they are
 * written and become visible when they are committed, which may be in another order, and MariaDB does not tell
 * what a read saw. So a cursor is the last number seen and the gaps below it: numbers that were not
 * there, and may come yet. A gap is given up once it has been there for a while and no transaction has a row in it.
 *
 *   low;last;first-last@since,first-last@since,…     low: all up to it has been seen; since: seconds
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "database/mariadb.h"

/* A number is taken a moment before its row is there, or some more where the row has to wait for a lock. */
enum { GAP_KEPT_S = 120, CURSOR_BYTES = 64 + GAPS_MAX * 72 };

struct gap {
    int64_t first;
    int64_t last;
    int64_t since_s;
};

struct gaps {
    struct gap list[2 * GAPS_MAX];
    size_t count;
};

static int64_t now_s(void)
{
    return clock_monotonic_ns() / INT64_C(1000000000);
}

/* Two neighbours become one, with what lies between them: an entry that is told twice does no harm. */
static void join_pairs(struct gaps *gaps)
{
    size_t count = 0;
    for (size_t i = 0; i < gaps->count; i += 2) {
        struct gap gap = gaps->list[i];
        if (i + 1 < gaps->count) {
            gap.last = gaps->list[i + 1].last;
            if (gaps->list[i + 1].since_s > gap.since_s)
                gap.since_s = gaps->list[i + 1].since_s;
        }
        gaps->list[count++] = gap;
    }
    gaps->count = count;
}

static void add_gap(struct gaps *gaps, int64_t first, int64_t last, int64_t since_s)
{
    if (first > last)
        return;
    if (gaps->count == 2 * GAPS_MAX)
        join_pairs(gaps);
    gaps->list[gaps->count++] = (struct gap){.first = first, .last = last, .since_s = since_s};
}

/* Returns the last number seen. A cursor is always one that write_cursor wrote. */
static int64_t read_cursor(const char *cursor, struct gaps *gaps)
{
    int64_t low, last;
    int length = 0;
    gaps->count = 0;
    if (sscanf(cursor, "%" SCNd64 ";%" SCNd64 ";%n", &low, &last, &length) != 2)
        return 0;
    struct gap gap;
    const char *at = cursor + length;
    while (gaps->count < GAPS_MAX &&
           sscanf(at, "%" SCNd64 "-%" SCNd64 "@%" SCNd64 ",%n", &gap.first, &gap.last, &gap.since_s, &length) == 3) {
        gaps->list[gaps->count++] = gap;
        at += length;
    }
    return last;
}

static char *write_cursor(int64_t last, struct gaps *gaps)
{
    while (gaps->count > GAPS_MAX)
        join_pairs(gaps);
    char text[CURSOR_BYTES];
    int64_t low = gaps->count > 0 ? gaps->list[0].first - 1 : last;
    int length = snprintf(text, sizeof(text), "%" PRId64 ";%" PRId64 ";", low, last);
    for (size_t i = 0; i < gaps->count; i++)
        length += snprintf(text + length, sizeof(text) - (size_t)length, "%" PRId64 "-%" PRId64 "@%" PRId64 ",",
                           gaps->list[i].first, gaps->list[i].last, gaps->list[i].since_s);
    return strdup(text);
}

void mariadb_changed_since(const char *cursor, char *condition, size_t size)
{
    struct gaps gaps;
    int64_t last = read_cursor(cursor, &gaps);
    int length = snprintf(condition, size, "(c.id > %" PRId64, last);
    for (size_t i = 0; i < gaps.count && length >= 0 && (size_t)length < size; i++)
        length += snprintf(condition + length, size - (size_t)length, " OR c.id BETWEEN %" PRId64 " AND %" PRId64,
                           gaps.list[i].first, gaps.list[i].last);
    strlcat(condition, ")", size);
}

static int take_presence(void *context, const struct sql_value *columns)
{
    struct mariadb *mariadb = context;
    struct gaps gaps;
    (void)read_cursor(mariadb->database->cursor, &gaps);
    for (size_t i = 0; i < gaps.count; i++)
        mariadb->gap_has_rows[i] = sql_as_integer(&columns[i]) != 0;
    return 0;
}

/* READ UNCOMMITTED shows what is not committed yet; what is not even there was taken back, or is not written yet. */
enum database_result mariadb_look_at_gaps(struct mariadb *mariadb, struct error *error)
{
    struct gaps gaps = {.count = 0};
    if (mariadb->database->cursor)
        (void)read_cursor(mariadb->database->cursor, &gaps);
    if (gaps.count == 0)
        return DATABASE_OK;
    char text[SQL_TEXT_BYTES];
    int length = snprintf(text, sizeof(text), "SELECT ");
    for (size_t i = 0; i < gaps.count; i++)
        length += snprintf(text + length, sizeof(text) - (size_t)length,
                           "%sEXISTS (SELECT 1 FROM changes WHERE id BETWEEN %" PRId64 " AND %" PRId64 ")",
                           i > 0 ? ", " : "", gaps.list[i].first, gaps.list[i].last);
    enum database_result result = mariadb_script(mariadb, "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED", error);
    struct sql_query query = {.text = text, .row = take_presence, .context = mariadb};
    return result == DATABASE_OK ? mariadb_query(mariadb, &query, error) : result;
}

/* Collects the numbers that are missing between those that are seen. */
struct hole_finder {
    struct gaps *gaps;
    int64_t next; /* the number that would be no hole */
    int64_t since_s;
};

static int take_id(void *context, const struct sql_value *columns)
{
    struct hole_finder *finder = context;
    int64_t id = sql_as_integer(&columns[0]);
    add_gap(finder->gaps, finder->next, id - 1, finder->since_s);
    finder->next = id + 1;
    return 0;
}

static enum database_result find_holes(struct mariadb *mariadb, const struct gap *within, struct gaps *gaps,
                                       struct error *error)
{
    struct hole_finder finder = {.gaps = gaps, .next = within->first, .since_s = within->since_s};
    struct sql_value values[] = {sql_integer(within->first), sql_integer(within->last)};
    struct sql_query query = {.text = "SELECT id FROM changes WHERE id BETWEEN $1 AND $2 ORDER BY id",
                              .values = values,
                              .value_count = 2,
                              .row = take_id,
                              .context = &finder};
    enum database_result result = mariadb_query(mariadb, &query, error);
    add_gap(gaps, finder.next, within->last, within->since_s);
    return result;
}

static int take_bounds(void *context, const struct sql_value *columns)
{
    int64_t *bounds = context;
    bounds[0] = sql_as_integer(&columns[0]);
    bounds[1] = sql_as_integer(&columns[1]);
    return 0;
}

enum database_result mariadb_cursor(void *state, const char *last, char **cursor, struct error *error)
{
    struct mariadb *mariadb = state;
    int64_t bounds[2] = {0};
    struct sql_query ask = {.text = "SELECT " PRUNED ", " NEWEST, .row = take_bounds, .context = bounds};
    enum database_result result = mariadb_query(mariadb, &ask, error);
    int64_t seen = bounds[0], newest = bounds[1], now = now_s();
    struct gaps old = {.count = 0}, gaps = {.count = 0};
    if (last)
        seen = read_cursor(last, &old);
    /* What is told anew whole (mariadb_backend.pruned_beyond) has no gaps from before. */
    if (seen > newest || bounds[0] > (old.count > 0 ? old.list[0].first - 1 : seen)) {
        seen = bounds[0];
        old.count = 0;
    }
    for (size_t i = 0; i < old.count && result == DATABASE_OK; i++) {
        if (mariadb->gap_has_rows[i] || now - old.list[i].since_s < GAP_KEPT_S)
            result = find_holes(mariadb, &old.list[i], &gaps, error);
    }
    struct gap fresh = {.first = seen + 1, .last = newest, .since_s = now};
    if (result == DATABASE_OK && newest > seen)
        result = find_holes(mariadb, &fresh, &gaps, error);
    if (result != DATABASE_OK)
        return result;
    *cursor = write_cursor(newest, &gaps);
    return *cursor ? DATABASE_OK : database_fail(DATABASE_UNAVAILABLE, error, "out of memory");
}
