/*
 * text: what people and sites wrote, on its way in and out as JSON. A site
 * may have put anything into the tables; one bad byte must not make a whole
 * answer fail.
 */
#ifndef PRIVTRAK_ADMIN_TEXT_H
#define PRIVTRAK_ADMIN_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* UTF-8 without control characters (ASCII, C1 and DEL). */
bool text_is_plain(const char *text);

/* A JSON string of `text`, with U+FFFD in the place of each byte that is no UTF-8. NULL: out of memory. */
json_t *text_json(const char *text);

#endif
