/* error: see error.h. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *error, const char *format, ...)
{
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    return -1;
}

int error_prefix(struct error *error, const char *prefix)
{
    if (error != NULL) {
        char reason[ERROR_TEXT_BYTES];
        memcpy(reason, error->text, sizeof reason);
        size_t length = strlen(prefix), most = sizeof error->text - 3;
        length = length < most ? length : most;
        memcpy(error->text, prefix, length);
        size_t room = sizeof error->text - length;
        (void)snprintf(error->text + length, room, ": %.*s", (int)(room - 3), reason);
    }
    return -1;
}
