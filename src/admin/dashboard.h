/* dashboard: the page at /, compiled into the program. */
#ifndef PRIVTRAK_ADMIN_DASHBOARD_H
#define PRIVTRAK_ADMIN_DASHBOARD_H

#include <stddef.h>

/* The page, ended by a NUL that `length` does not count. */
const char *dashboard_page(size_t *length);

/*
 * The Content-Security-Policy that goes with the page: nothing runs in it but its own script and style,
 * known by their hashes, and it talks to nobody but this tracker. Worked out once; for one thread.
 */
const char *dashboard_policy(void);

#endif
