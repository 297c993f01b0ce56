/*
 * reading: what is known while a configuration is read. Private to config/.
 * reading.c fills the struct from the tree, check.c looks for contradictions.
 */
#ifndef PRIVTRAK_CONFIG_READING_H
#define PRIVTRAK_CONFIG_READING_H

#include "config/config.h"
#include "config/schema.h"

struct reading {
    struct faults faults;
    struct config *config;
    bool with_files;               /* look at the files that it names, too */
    bool distrusted[SCHEMA_LIMIT]; /* by place in the schema: the value is wrong, conclude nothing from it */
};

/* The line of the key, or of the section that it would stand in, or 1. */
uint32_t config_line(const struct config *config, const char *name);

/* Whether the file holds the key. */
bool config_wrote(const struct config *config, const char *name);

/* Tells a fault for each two keys that contradict each other. */
void reading_check(struct reading *reading);

/* Tells a fault for each file, folder and user that is not as it has to be, but for keys that are at fault already. */
void reading_inspect(struct reading *reading);

#endif
