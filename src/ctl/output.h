/*
 * output: tables and values for people. All that a user may have written is
 * printed without its control characters, so that no name can play with the
 * operator's terminal.
 */
#ifndef PRIVTRAK_CTL_OUTPUT_H
#define PRIVTRAK_CTL_OUTPUT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* A copy with "?" for each control character; malloc'd, never NULL. */
char *printable(const char *text);

enum column_kind {
    COLUMN_TEXT,
    COLUMN_NUMBER,
    COLUMN_BYTES,    /* 1.50 GiB */
    COLUMN_TIME,     /* Unix seconds as 2025-11-24 05:20 */
    COLUMN_YES,      /* a boolean */
    COLUMN_ENDPOINT, /* `key` is "4" or "6": the members ip4 and port4 */
};

struct column {
    const char *title;
    const char *key;
    enum column_kind kind;
};

/* Prints an array of objects, aligned, numbers to the right. `columns` is ended by a NULL title. */
void print_table(const struct column *columns, const json_t *rows);

/* Prints one object's columns, a line each. */
void print_object(const struct column *columns, const json_t *object);

/* "1.50 GiB"; returns `text`. */
const char *format_bytes(char text[static 32], uint64_t bytes);
/* "3 d 4 h", "12 min", "7 s"; returns `text`. */
const char *format_duration(char text[static 32], double seconds);

#endif
