/* output: see output.h. */
#include "ctl/output.h"

#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

char *printable(const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        errx(1, "out of memory");
    size_t length = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        bool is_c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0;
        if (*c < 0x20 || *c == 0x7f || is_c1)
            copy[length++] = '?';
        else
            copy[length++] = (char)*c;
        c += is_c1 ? 1 : 0;
    }
    copy[length] = '\0';
    return copy;
}

const char *format_bytes(char text[static 32], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double amount = (double)bytes;
    size_t unit = 0;
    while (amount >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        amount /= 1024;
        unit++;
    }
    (void)snprintf(text, 32, unit == 0 ? "%.0f %s" : "%.2f %s", amount, units[unit]);
    return text;
}

const char *format_duration(char text[static 32], double seconds)
{
    unsigned long long whole = seconds > 0 ? (unsigned long long)seconds : 0;
    if (whole >= 86400)
        (void)snprintf(text, 32, "%llu d %llu h", whole / 86400, whole % 86400 / 3600);
    else if (whole >= 3600)
        (void)snprintf(text, 32, "%llu h %llu min", whole / 3600, whole % 3600 / 60);
    else if (whole >= 60)
        (void)snprintf(text, 32, "%llu min %llu s", whole / 60, whole % 60);
    else
        (void)snprintf(text, 32, "%.1f s", seconds > 0 ? seconds : 0);
    return text;
}

static char *format_time(json_int_t seconds)
{
    char text[32] = "-";
    time_t time = (time_t)seconds;
    struct tm fields;
    if (seconds > 0 && localtime_r(&time, &fields) != NULL)
        (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &fields);
    return strdup(text);
}

static char *format_endpoint(const json_t *row, const char *family)
{
    char key[16];
    char text[80];
    (void)snprintf(key, sizeof key, "ip%s", family);
    const char *ip = json_string_value(json_object_get(row, key));
    (void)snprintf(key, sizeof key, "port%s", family);
    json_int_t port = json_integer_value(json_object_get(row, key));
    if (ip == NULL)
        return strdup("-");
    (void)snprintf(text, sizeof text, strchr(ip, ':') != NULL ? "[%s]:%d" : "%s:%d", ip, (int)port);
    return strdup(text);
}

static char *format_number(const json_t *value)
{
    char text[64] = "-";
    if (json_is_integer(value))
        (void)snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        (void)snprintf(text, sizeof text, "%.1f", json_real_value(value));
    return strdup(text);
}

static char *format_cell(const struct column *column, const json_t *row)
{
    const json_t *value = json_object_get(row, column->key);
    char bytes[32];
    switch (column->kind) {
    case COLUMN_TEXT:
        if (json_is_string(value))
            return printable(json_string_value(value));
        return json_is_integer(value) ? format_number(value) : strdup("-");
    case COLUMN_NUMBER:
        return format_number(value);
    case COLUMN_BYTES:
        return strdup(json_is_integer(value) ? format_bytes(bytes, (uint64_t)json_integer_value(value)) : "-");
    case COLUMN_TIME:
        return format_time(json_integer_value(value));
    case COLUMN_YES:
        return strdup(json_is_true(value) ? "yes" : "no");
    case COLUMN_ENDPOINT:
        return format_endpoint(row, column->key);
    }
    return strdup("-");
}

/* Columns on a terminal: characters, not bytes. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text != '\0'; text++) {
        if (((unsigned char)*text & 0xc0) != 0x80)
            width++;
    }
    return width;
}

static bool is_right(enum column_kind kind)
{
    return kind == COLUMN_NUMBER || kind == COLUMN_BYTES;
}

static void print_cell(const struct column *column, const char *text, int width, bool is_last)
{
    int pad = width - width_of(text);
    if (is_right(column->kind))
        (void)printf("%*s%s", pad, "", text);
    else if (is_last)
        (void)fputs(text, stdout);
    else
        (void)printf("%s%*s", text, pad, "");
    (void)fputs(is_last ? "\n" : "  ", stdout);
}

void print_table(const struct column *columns, const json_t *rows)
{
    size_t column_count = 1;
    size_t row_count = json_array_size(rows);
    while (columns[column_count].title != NULL)
        column_count++;
    char **cells = calloc((row_count + 1) * column_count, sizeof *cells);
    int *widths = calloc(column_count, sizeof *widths);
    if (cells == NULL || widths == NULL)
        errx(1, "out of memory");
    for (size_t i = 0; i < (row_count + 1) * column_count; i++) {
        const struct column *column = &columns[i % column_count];
        size_t row = i / column_count;
        cells[i] = row == 0 ? strdup(column->title) : format_cell(column, json_array_get(rows, row - 1));
        if (cells[i] == NULL)
            errx(1, "out of memory");
        int width = width_of(cells[i]);
        if (width > widths[i % column_count])
            widths[i % column_count] = width;
    }
    for (size_t i = 0; i < (row_count + 1) * column_count; i++) {
        size_t number = i % column_count;
        print_cell(&columns[number], cells[i], widths[number], number + 1 == column_count);
        free(cells[i]);
    }
    free(cells);
    free(widths);
}

void print_object(const struct column *columns, const json_t *object)
{
    int width = 0;
    for (const struct column *column = columns; column->title != NULL; column++)
        width = width_of(column->title) > width ? width_of(column->title) : width;
    for (const struct column *column = columns; column->title != NULL; column++) {
        char *text = format_cell(column, object);
        (void)printf("%-*s  %s\n", width, column->title, text != NULL ? text : "");
        free(text);
    }
}
