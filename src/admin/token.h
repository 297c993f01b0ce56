/* token: what a caller of the API over TCP has to present; a file that only its owner reads. */
#ifndef PRIVTRAK_ADMIN_TOKEN_H
#define PRIVTRAK_ADMIN_TOKEN_H

#include "admin/backend.h"

/*
 * Reads the token of `path`, or makes a random one there (0600) where there is no
 * such file. Returns 0, or -1 with a reason.
 */
int token_load(const char *path, char token[static TOKEN_MAX + 1], struct error *error);

#endif
