/*
 * document: the text of a YAML file as a tree of nodes that know their lines.
 * Private to config/. Only what a configuration needs is taken: one document of
 * scalars, lists and mappings; no anchors, aliases or tags, and bounded depth
 * and size, so that no file can make the tracker busy.
 */
#ifndef PRIVTRAK_CONFIG_DOCUMENT_H
#define PRIVTRAK_CONFIG_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    DOCUMENT_BYTES = 1024 * 1024,
    DOCUMENT_DEPTH = 16,
    DOCUMENT_NODES = 100000,
};

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAPPING };

struct node {
    enum node_kind kind;
    bool plain;         /* a scalar without quotes */
    uint32_t line;      /* of its first character, from 1 */
    char *text;         /* a scalar's, with a NUL behind it */
    size_t length;      /* of the text */
    struct node *key;   /* in a mapping: the scalar that this is the value of */
    struct node *first; /* of a list or mapping */
    struct node *last;
    struct node *next; /* in the list or mapping that this stands in */
};

/*
 * Reads `text`. Returns 0 with the tree in `*root` (NULL where there is no
 * content), to be freed by the caller; or -1 with the line and what is wrong
 * there: "found …, allowed …".
 */
int document_parse(const char *text, size_t length, struct node **root, uint32_t *line, struct error *error);

void document_free(struct node *root);

/* No value at all: `key:`, `key: ~` or `key: null`. */
bool node_is_nothing(const struct node *node);

#endif
