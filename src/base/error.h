/*
 * error: a reason for people, filled in by whatever failed at start-up, in
 * configuration or in an operator's command. Never used on the hot path.
 */
#ifndef PRIVTRAK_BASE_ERROR_H
#define PRIVTRAK_BASE_ERROR_H

enum { ERROR_TEXT_BYTES = 512 };

struct error {
    char text[ERROR_TEXT_BYTES]; /* one line, no newline at its end */
};

/*
 * Writes a formatted reason into `error` (NULL is allowed and ignored),
 * cutting it where it does not fit. Always returns -1, so that a failing
 * function can end with `return error_set(...)`.
 */
int error_set(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before the reason that is already there. Returns -1. */
int error_prefix(struct error *error, const char *prefix);

#endif
