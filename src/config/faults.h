/*
 * faults: what is wrong in a configuration, collected while it is read and then
 * told in the order of the file. Private to config/.
 */
#ifndef PRIVTRAK_CONFIG_FAULTS_H
#define PRIVTRAK_CONFIG_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct fault;

struct faults {
    const char *file;
    struct fault *list;
    size_t count;
    size_t room;
    bool out_of_memory; /* the list is not whole, or a value could not be kept */
};

/*
 * Adds `FILE:LINE: KEY: TEXT`, or `FILE:LINE: TEXT` where `key` is NULL. Control
 * characters are made visible, so that a fault is always one line.
 */
void faults_add(struct faults *faults, uint32_t line, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Tells all, sorted by line, frees them, and returns how many there were. */
size_t faults_tell(struct faults *faults, config_fault_fn *tell, void *context);

#endif
