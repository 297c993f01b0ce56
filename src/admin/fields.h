/*
 * fields: reads the members of a JSON object into a struct by a table, and
 * refuses, by name, what is unknown, of a wrong type or out of range.
 */
#ifndef PRIVTRAK_ADMIN_FIELDS_H
#define PRIVTRAK_ADMIN_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/call.h"

enum field_kind {
    FIELD_TEXT,           /* char[size], no control characters */
    FIELD_BOOLEAN,        /* bool */
    FIELD_NUMBER,         /* uint32_t or uint64_t by size, least to most, a whole number */
    FIELD_NUMBER_OR_NULL, /* int64_t, 0 for null; never 0 otherwise */
    FIELD_CUSTOM,         /* read by `take` */
    FIELD_FIXED,          /* a column that is shown but not to be set */
};

struct field {
    const char *name;
    enum field_kind kind;
    unsigned bit;  /* set in the result where the field was there */
    size_t offset; /* in the struct */
    size_t size;   /* of the member */
    uint64_t least;
    uint64_t most;
    /* Takes the value; NULL where it is good, else what is allowed. */
    const char *(*take)(const json_t *value, void *member, size_t size);
};

#define FIELD_MEMBER(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)NULL)->member)

/*
 * Reads all members of the object into `target`; `*present` gets the bits of those
 * that were there. Returns false with the failure told. `fields` is ended by a NULL name.
 */
bool fields_read(struct call *call, const struct field *fields, void *target, unsigned *present);

#endif
