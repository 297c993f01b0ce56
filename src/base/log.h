/*
 * log: one line an event, with a level, a subject and key=value pairs.
 * Any thread may call it. Nothing on the hot path logs without a rate limit
 * (LOG_LIMITED below).
 */
#ifndef PRIVTRAK_BASE_LOG_H
#define PRIVTRAK_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/*
 * Sends all later lines to `file` ("" is stderr) in `format`, dropping those
 * below `level`. May be called again, for a reload. Returns 0, or -1 with a
 * reason where the file cannot be opened; then the old settings stay.
 */
int log_configure(enum log_level level, enum log_format format, const char *file, struct error *error);

/* Opens the log file anew, after it was moved away (SIGUSR1). */
void log_reopen(void);

bool log_wants(enum log_level level);

/*
 * Writes one line. `subject` is the module ("http", "journal", …). Values that
 * come from outside are to be passed through log_safe or be known printable.
 */
void log_write(enum log_level level, const char *subject, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Writes `length` bytes from outside into `buffer` as printable ASCII: spaces,
 * quotes, backslashes and everything that is not printable become \xNN, so that
 * they can neither end a line nor a key=value pair. Cuts what does not fit, with
 * "..." at the end. `size` is at least 8. Returns `buffer`.
 */
const char *log_safe(char *buffer, size_t size, const void *bytes, size_t length);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* One line a second at most from this place in the code, for each thread. */
#define LOG_LIMITED(level, ...)                            \
    do {                                                   \
        static _Thread_local long long log_limited_next_s; \
        if (log_limit_passed(&log_limited_next_s))         \
            log_write((level), __VA_ARGS__);               \
    } while (0)

bool log_limit_passed(long long *next_s);

/*
 * The last errors and warnings, newest first, for the dashboard: copies up to
 * `size` lines of LOG_LINE_BYTES each into `lines`. Returns how many.
 */
enum { LOG_LINE_BYTES = 512, LOG_KEPT_LINES = 50 };
size_t log_recent(char (*lines)[LOG_LINE_BYTES], size_t size);

#endif
