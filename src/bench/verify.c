/*
 * privtrak-bench verify: holds ledgers against the table user_torrents. Every row of
 * either side that the other lacks, or tells otherwise, is printed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hex.h"
#include "bench/command.h"
#include "bench/compare.h"
#include "bench/options.h"

enum { PAGE = 500, RETRY_MS = 500 };

struct torrent_percent {
    uint8_t info_hash[INFO_HASH_BYTES];
    uint32_t upload;
    uint32_t download;
};

struct user_percent {
    int64_t id;
    uint32_t upload;
    uint32_t download;
};

struct verify {
    struct text_list ledgers;
    const char *url;
    int64_t wait_ns;
    int64_t time_tolerance_ns; /* negative: times are not compared */
    bool subset;

    struct ledger_row *rows;
    size_t row_count;
    bool *seen; /* by row */
    struct database *database;
    struct multipliers multipliers;
    /* Only those that differ from 100, by id and info hash: most tables have none. */
    struct user_percent *users;
    size_t user_count;
    struct torrent_percent *torrents;
    size_t torrent_count;

    bool prints;
    size_t differences;
};

static int read_ledgers(struct verify *verify, struct error *error)
{
    for (size_t i = 0; i < verify->ledgers.count; i++) {
        struct ledger_row *more;
        size_t count;
        if (ledger_file_read(verify->ledgers.items[i], &more, &count, error) < 0)
            return -1;
        int code = ledger_add(&verify->rows, &verify->row_count, more, count);
        free(more);
        if (code < 0)
            return error_set(error, "out of memory");
    }
    verify->seen = calloc(verify->row_count + 1, sizeof *verify->seen);
    return verify->seen == NULL ? error_set(error, "out of memory") : 0;
}

static int add_user(struct verify *verify, const struct user_row *row)
{
    if (row->upload_percent == 100 && row->download_percent == 100)
        return 0;
    struct user_percent *moved = reallocarray(verify->users, verify->user_count + 1, sizeof *moved);
    if (moved == NULL)
        return -ENOMEM;
    verify->users = moved;
    moved[verify->user_count++] = (struct user_percent){row->id, row->upload_percent, row->download_percent};
    return 0;
}

static int add_torrent(struct verify *verify, const struct torrent_row *row)
{
    if (row->upload_percent == 100 && row->download_percent == 100)
        return 0;
    struct torrent_percent *moved = reallocarray(verify->torrents, verify->torrent_count + 1, sizeof *moved);
    if (moved == NULL)
        return -ENOMEM;
    verify->torrents = moved;
    struct torrent_percent *torrent = &moved[verify->torrent_count++];
    *torrent = (struct torrent_percent){.upload = row->upload_percent, .download = row->download_percent};
    memcpy(torrent->info_hash, row->info_hash, INFO_HASH_BYTES);
    return 0;
}

static enum database_result read_users(struct verify *verify, struct error *error)
{
    struct user_row *rows = calloc(PAGE, sizeof *rows);
    enum database_result result = rows == NULL ? DATABASE_UNAVAILABLE : DATABASE_OK;
    size_t count = PAGE;
    int64_t after = 0;
    while (result == DATABASE_OK && count == PAGE) {
        result = database_user_list(verify->database, after, PAGE, NULL, rows, &count, error);
        for (size_t i = 0; result == DATABASE_OK && i < count; i++) {
            after = rows[i].id;
            if (add_user(verify, &rows[i]) < 0)
                result = DATABASE_UNAVAILABLE;
        }
    }
    free(rows);
    return result;
}

static enum database_result read_torrents(struct verify *verify, struct error *error)
{
    struct torrent_row *rows = calloc(PAGE, sizeof *rows);
    enum database_result result = rows == NULL ? DATABASE_UNAVAILABLE : DATABASE_OK;
    size_t count = PAGE;
    int64_t after = 0;
    while (result == DATABASE_OK && count == PAGE) {
        result = database_torrent_list(verify->database, after, PAGE, NULL, rows, &count, error);
        for (size_t i = 0; result == DATABASE_OK && i < count; i++) {
            after = rows[i].id;
            if (add_torrent(verify, &rows[i]) < 0)
                result = DATABASE_UNAVAILABLE;
        }
    }
    free(rows);
    return result;
}

static int compare_user(const void *key, const void *element)
{
    int64_t id = *(const int64_t *)key;
    const struct user_percent *user = element;
    return (id > user->id) - (id < user->id);
}

static int compare_torrent(const void *a, const void *b)
{
    return memcmp(a, ((const struct torrent_percent *)b)->info_hash, INFO_HASH_BYTES);
}

static int order_torrents(const void *a, const void *b)
{
    return compare_torrent(((const struct torrent_percent *)a)->info_hash, b);
}

/* As bsearch, which may not be given an array that is not there. */
static const void *find(const void *key, const void *items, size_t count, size_t size,
                        int (*compare)(const void *, const void *))
{
    return count == 0 ? NULL : bsearch(key, items, count, size, compare);
}

/* Upload: the largest of global, user and torrent; download: the smallest. */
static struct compare_rules rules_for(const struct verify *verify, const struct user_torrent_row *found)
{
    const struct user_percent *user =
        find(&found->user_id, verify->users, verify->user_count, sizeof *verify->users, compare_user);
    const struct torrent_percent *torrent =
        find(found->info_hash, verify->torrents, verify->torrent_count, sizeof *verify->torrents, compare_torrent);
    uint32_t upload[3] = {verify->multipliers.upload_percent, user == NULL ? 100 : user->upload,
                          torrent == NULL ? 100 : torrent->upload};
    uint32_t download[3] = {verify->multipliers.download_percent, user == NULL ? 100 : user->download,
                            torrent == NULL ? 100 : torrent->download};
    struct compare_rules rules = {.upload_percent = upload[0], .download_percent = download[0], .time_tolerance_s = -1};
    for (size_t i = 1; i < 3; i++) {
        rules.upload_percent = upload[i] > rules.upload_percent ? upload[i] : rules.upload_percent;
        rules.download_percent = download[i] < rules.download_percent ? download[i] : rules.download_percent;
    }
    if (verify->time_tolerance_ns >= 0)
        rules.time_tolerance_s = verify->time_tolerance_ns / 1000000000;
    return rules;
}

static void print_difference(struct verify *verify, const char *passkey, const uint8_t *info_hash, const char *text)
{
    char digits[2 * INFO_HASH_BYTES + 1];
    verify->differences++;
    if (!verify->prints)
        return;
    hex_encode(digits, info_hash, INFO_HASH_BYTES);
    printf("%s %s  %s\n", passkey, digits, text);
}

static int take_row(void *context, const struct user_torrent_row *found)
{
    struct verify *verify = context;
    struct ledger_row key = {0};
    char text[COMPARE_TEXT_BYTES];
    memcpy(key.passkey, found->passkey, strnlen(found->passkey, PASSKEY_MAX));
    memcpy(key.info_hash, found->info_hash, INFO_HASH_BYTES);
    const struct ledger_row *row =
        find(&key, verify->rows, verify->row_count, sizeof *verify->rows, ledger_row_compare);
    if (row == NULL) {
        if (!verify->subset)
            print_difference(verify, key.passkey, key.info_hash, "only in the database");
        return 0;
    }
    verify->seen[row - verify->rows] = true;
    struct compare_rules rules = rules_for(verify, found);
    if (!compare_rows(row, found, &rules, text))
        print_difference(verify, key.passkey, key.info_hash, text);
    return 0;
}

/* One whole comparison. Leaves the number of differing rows in verify->differences. */
static enum database_result compare_all(struct verify *verify, struct error *error)
{
    verify->differences = 0;
    memset(verify->seen, 0, verify->row_count * sizeof *verify->seen);
    enum database_result result = database_user_torrent_each(verify->database, take_row, verify, error);
    for (size_t i = 0; result == DATABASE_OK && i < verify->row_count; i++) {
        if (!verify->seen[i])
            print_difference(verify, verify->rows[i].passkey, verify->rows[i].info_hash, "missing in the database");
    }
    return result;
}

static enum database_result read_percentages(struct verify *verify, struct error *error)
{
    enum database_result result = database_multipliers_get(verify->database, &verify->multipliers, error);
    if (result == DATABASE_OK)
        result = read_users(verify, error);
    if (result == DATABASE_OK)
        result = read_torrents(verify, error);
    if (result == DATABASE_OK && verify->torrent_count > 0)
        qsort(verify->torrents, verify->torrent_count, sizeof *verify->torrents, order_torrents);
    return result;
}

/* Compares again and again while the sinks may still be at work; then once more to print. */
static int run_verify(struct verify *verify, struct error *error)
{
    int64_t deadline = clock_monotonic_ns() + verify->wait_ns;
    enum database_result result = read_percentages(verify, error);
    while (result == DATABASE_OK && verify->wait_ns > 0) {
        result = compare_all(verify, error);
        if (verify->differences == 0 || clock_monotonic_ns() >= deadline)
            break;
        struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
    verify->prints = true;
    if (result == DATABASE_OK)
        result = compare_all(verify, error);
    return result == DATABASE_OK ? 0 : -1;
}

/* Opening an SQLite database makes it where it is not there: a wrong path should be told instead. */
static int check_url(const char *url, struct error *error)
{
    if (strncmp(url, "sqlite:", 7) == 0 && access(url + 7, R_OK) < 0)
        return error_set(error, "--database %s: %s", url, strerror(errno));
    return 0;
}

static int verify_all(struct verify *verify)
{
    struct error error = {""};
    int code = read_ledgers(verify, &error);
    if (code == 0)
        code = check_url(verify->url, &error);
    if (code == 0) {
        verify->database = database_open(verify->url, &error);
        code = verify->database == NULL ? -1 : run_verify(verify, &error);
    }
    if (code < 0)
        fprintf(stderr, "privtrak-bench: %s\n", error.text[0] == '\0' ? "the database could not be read" : error.text);
    else
        printf("%zu rows in the ledger, %zu differing\n", verify->row_count, verify->differences);
    if (verify->database != NULL)
        database_close(verify->database);
    free(verify->rows);
    free(verify->seen);
    free(verify->users);
    free(verify->torrents);
    return code < 0 || verify->differences > 0 ? EXIT_FAILED : EXIT_GOOD;
}

static int verify_run_command(int argc, char **argv)
{
    struct verify verify = {.time_tolerance_ns = -1};
    const struct option_entry entries[] = {
        {"ledger", OPTION_TEXTS, &verify.ledgers, 0, 0, NULL, "FILE",
         "what a generator expects; may be repeated: the sums of several runs"},
        {"database", OPTION_TEXT, &verify.url, 0, 0, NULL, "URL", "sqlite:PATH, postgresql://... or mariadb://..."},
        {"wait", OPTION_DURATION, &verify.wait_ns, 0, 0, NULL, "TIME", "how long the sinks may still need (0s)"},
        {"times", OPTION_DURATION, &verify.time_tolerance_ns, 0, 0, NULL, "TOLERANCE",
         "compare seed and leech times, too (they cannot be told exactly from outside)"},
        {"subset", OPTION_FLAG, &verify.subset, 0, 0, NULL, NULL,
         "rows that are only in the database are no difference"},
        {.name = NULL},
    };
    int status = options_handle(entries, "verify --ledger FILE --database URL [OPTION]...", argc, argv);
    if (status >= 0)
        return status;
    if (verify.ledgers.count == 0 || verify.url == NULL) {
        fprintf(stderr, "privtrak-bench: %s is missing\n", verify.url == NULL ? "--database" : "--ledger");
        return EXIT_USAGE;
    }
    return verify_all(&verify);
}

const struct command command_verify = {
    .name = "verify",
    .summary = "compares a generator's ledger with what the tracker delivered",
    .run = verify_run_command,
};
