/*
 * url: the pieces of a URL's query, and its %-escapes. Pure functions over
 * slices; nothing behind a slice's end is read.
 */
#ifndef PRIVTRAK_TRACKER_URL_H
#define PRIVTRAK_TRACKER_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Walks over a query string: each call gives the next name and value as slices
 * of it. Returns false at the end. Empty pieces (&&) are passed over; a name
 * without `=` has an empty value.
 */
struct query_pair {
    const char *name;
    size_t name_length;
    const char *value;
    size_t value_length;
};
bool query_next(const char **cursor, const char *end, struct query_pair *pair);

/*
 * Decodes %-escapes (`+` stays a plus sign) from `text` into at most `size`
 * bytes. Returns how many, -1 for a bad escape, -2 where it does not fit.
 */
int query_decode(uint8_t *bytes, size_t size, const char *text, size_t length);

/* Compares a still %-encoded name with a lower-case word, letter case and escapes aside. */
bool query_name_is(const struct query_pair *pair, const char *word);

#endif
