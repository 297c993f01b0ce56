/* ledger_file: see ledger_file.h. */
#include "bench/ledger_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "bench/options.h"

enum { FIELDS = 10, LINE_BYTES = 512 };

static int read_u64(const char *text, uint64_t *value)
{
    return option_read_number(text, 0, UINT64_MAX, value);
}

static int read_seconds(const char *text, int64_t *value)
{
    return option_read_integer(text, 0, INT64_MAX, value);
}

/* Cuts the line at its commas; there must be FIELDS parts. */
static int split(char *line, char *fields[FIELDS])
{
    for (size_t i = 0; i < FIELDS; i++) {
        char *comma = strchr(line, ',');
        if ((comma == NULL) != (i == FIELDS - 1))
            return -1;
        fields[i] = line;
        if (comma != NULL) {
            *comma = '\0';
            line = comma + 1;
        }
    }
    return 0;
}

int ledger_row_parse(struct ledger_row *row, const char *line)
{
    char copy[LINE_BYTES];
    char *fields[FIELDS];
    uint64_t snatched;
    size_t length = strlen(line);
    if (length >= sizeof copy)
        return -1;
    memcpy(copy, line, length + 1);
    if (split(copy, fields) < 0)
        return -1;
    size_t passkey = strlen(fields[0]);
    if (passkey < 1 || passkey > PASSKEY_MAX)
        return -1;
    *row = (struct ledger_row){0};
    memcpy(row->passkey, fields[0], passkey + 1);
    if (!hex_decode(row->info_hash, sizeof row->info_hash, fields[1], strlen(fields[1])) ||
        read_u64(fields[2], &row->uploaded) < 0 || read_u64(fields[3], &row->downloaded) < 0 ||
        read_u64(fields[4], &row->raw_uploaded) < 0 || read_u64(fields[5], &row->raw_downloaded) < 0 ||
        read_seconds(fields[6], &row->seed_time) < 0 || read_seconds(fields[7], &row->leech_time) < 0 ||
        option_read_number(fields[8], 0, 1, &snatched) < 0 || read_u64(fields[9], &row->credits) < 0)
        return -1;
    row->snatched = snatched == 1;
    return 0;
}

int ledger_row_compare(const void *a, const void *b)
{
    const struct ledger_row *left = a, *right = b;
    int order = strcmp(left->passkey, right->passkey);
    return order != 0 ? order : memcmp(left->info_hash, right->info_hash, INFO_HASH_BYTES);
}

struct ledger_rows {
    struct ledger_row *rows;
    size_t count, room;
};

static int add_line(struct ledger_rows *rows, const char *line)
{
    if (rows->count == rows->room) {
        size_t larger = rows->room == 0 ? 4096 : rows->room * 2;
        struct ledger_row *moved = reallocarray(rows->rows, larger, sizeof *moved);
        if (moved == NULL)
            return -ENOMEM;
        rows->rows = moved;
        rows->room = larger;
    }
    if (ledger_row_parse(&rows->rows[rows->count], line) < 0)
        return -EINVAL;
    rows->count++;
    return 0;
}

static int read_lines(FILE *file, const char *name, struct ledger_rows *rows, struct error *error)
{
    char line[LINE_BYTES];
    for (size_t number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        size_t length = strcspn(line, "\n");
        if (line[length] != '\n')
            return error_set(error, "%s:%zu: the line has no end", name, number);
        line[length] = '\0';
        if (number == 1 && strcmp(line, LEDGER_HEADER) != 0)
            return error_set(error, "%s: not a ledger: its first line is not %s", name, LEDGER_HEADER);
        int code = number == 1 ? 0 : add_line(rows, line);
        if (code == -ENOMEM)
            return error_set(error, "out of memory for %s", name);
        if (code < 0)
            return error_set(error, "%s:%zu: not a row of a ledger", name, number);
    }
    if (ferror(file) != 0 || (rows->count == 0 && ftell(file) == 0))
        return error_set(error, "%s: it could not be read, or is empty", name);
    return 0;
}

int ledger_file_read(const char *name, struct ledger_row **rows, size_t *count, struct error *error)
{
    struct ledger_rows read = {0};
    FILE *file = fopen(name, "re");
    if (file == NULL)
        return error_set(error, "%s: %s", name, strerror(errno));
    int code = read_lines(file, name, &read, error);
    (void)fclose(file);
    if (code == 0 && read.count > 0)
        qsort(read.rows, read.count, sizeof *read.rows, ledger_row_compare);
    for (size_t i = 1; code == 0 && i < read.count; i++) {
        if (ledger_row_compare(&read.rows[i - 1], &read.rows[i]) == 0)
            code = error_set(error, "%s: the user %s has one torrent twice", name, read.rows[i].passkey);
    }
    if (code < 0) {
        free(read.rows);
        return -1;
    }
    *rows = read.rows;
    *count = read.count;
    return 0;
}

int ledger_add(struct ledger_row **rows, size_t *count, const struct ledger_row *more, size_t more_count)
{
    struct ledger_row *all = calloc(*count + more_count + 1, sizeof *all);
    size_t a = 0, b = 0, length = 0;
    if (all == NULL)
        return -ENOMEM;
    while (a < *count || b < more_count) {
        int order = a == *count ? 1 : (b == more_count ? -1 : ledger_row_compare(&(*rows)[a], &more[b]));
        all[length] = order <= 0 ? (*rows)[a] : more[b];
        if (order == 0) {
            all[length].uploaded += more[b].uploaded;
            all[length].downloaded += more[b].downloaded;
            all[length].raw_uploaded += more[b].raw_uploaded;
            all[length].raw_downloaded += more[b].raw_downloaded;
            all[length].seed_time += more[b].seed_time;
            all[length].leech_time += more[b].leech_time;
            all[length].credits += more[b].credits;
            all[length].snatched = all[length].snatched || more[b].snatched;
        }
        a += order <= 0;
        b += order >= 0;
        length++;
    }
    free(*rows);
    *rows = all;
    *count = length;
    return 0;
}
