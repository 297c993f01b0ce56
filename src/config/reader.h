/*
 * reader: what is known while a configuration is read. Private to config/.
 * reader.c fills the struct from the tree, check.c looks for contradictions.
 */
#ifndef PRIVTRAK_CONFIG_READER_H
#define PRIVTRAK_CONFIG_READER_H

#include "config/config.h"
#include "config/schema.h"

struct reader {
    struct faults faults;
    struct config *config;
    bool distrusted[SCHEMA_LIMIT]; /* by place in the schema: the value is wrong, conclude nothing from it */
};

/* The line of the key, or of the section that it would stand in, or 1. */
uint32_t config_line(const struct config *config, const char *name);

/* Whether the file holds the key. */
bool config_wrote(const struct config *config, const char *name);

/* Tells a fault for each two keys that contradict each other. */
void check_contradictions(struct reader *reader);

#endif
