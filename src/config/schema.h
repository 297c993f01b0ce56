/*
 * schema: every key of tracker.yaml with its type, its place in struct config,
 * its default and its range. Private to config/; a key is added by one line in
 * schema.c, a type by one struct value_type.
 */
#ifndef PRIVTRAK_CONFIG_SCHEMA_H
#define PRIVTRAK_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/document.h"
#include "config/faults.h"

enum {
    KEY_PATH_BYTES = 160,
    SCHEMA_LIMIT = 128, /* keys at most */
};

struct reading;
struct key;

/* A value that is to be read: where it comes from and where it goes. */
struct slot {
    struct reading *reading;
    const struct key *key;
    const char *path;        /* the key as messages name it: `deltas.sinks[1].path` */
    const struct node *node; /* the value */
    char *base;              /* the struct that the key's offset counts from */
    bool by_default;         /* nobody wrote it */
};

struct value_type {
    /* Tells a fault with slot_refuse, and then leaves the place as it was: zero. */
    void (*read)(const struct slot *slot);
    bool (*same)(const struct key *key, const char *a, const char *b);
    void (*clear)(const struct key *key, char *base); /* NULL: owns no memory */
};

struct key {
    const char *name;              /* dotted, from the root; `[]` stands for any element of a list */
    const struct value_type *type; /* NULL: a section */
    size_t offset;                 /* in struct config, or in the list's element */
    const char *standard;          /* the default as YAML; NULL: a key of a list's element that may be absent */
    uint64_t min;
    uint64_t max;
    const char *const *words; /* that are allowed, ended by NULL */
    size_t count_offset;      /* of a list's count */
    bool zero;                /* 0 is allowed below `min` too */
    bool fixed;               /* a running tracker cannot take it over */
};

extern const struct key schema[];
extern const size_t schema_size;

/* The key of that name; NULL where there is none. */
const struct key *schema_find(const char *name);

/* Whether the key stands directly in that section ("" is the root); its own name in it is `*own`. */
bool schema_is_in(const struct key *key, const char *section, const char **own);

#endif
