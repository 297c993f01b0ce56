/*
 * sql: values and texts of statements: columns into C, fields into SET lists.
 */
#include <stdio.h>
#include <stdlib.h>

#include "database/backend.h"

int64_t sql_as_integer(const struct sql_value *value)
{
    if (value->type == SQL_INTEGER)
        return value->integer;
    if (value->type != SQL_TEXT || value->length == 0 || value->length > 20)
        return 0;
    char digits[24];
    memcpy(digits, value->text, value->length);
    digits[value->length] = '\0';
    char *end;
    long long number = strtoll(digits, &end, 10);
    return *end == '\0' ? number : 0;
}

void sql_copy_text(char *to, size_t size, const struct sql_value *value)
{
    size_t length = value->type == SQL_TEXT ? value->length : 0;
    if (length >= size) {
        length = size - 1;
        /* Not into the middle of a UTF-8 sequence: its later bytes are 10xxxxxx. */
        while (length > 0 && ((unsigned char)value->text[length] & 0xc0) == 0x80)
            length--;
    }
    if (length > 0)
        memcpy(to, value->text, length);
    to[length] = '\0';
}

void sql_one_line(struct error *error, const char *reason)
{
    if (!error)
        return;
    size_t at = 0;
    for (; *reason != '\0' && at + 1 < sizeof(error->text); reason++) {
        if (*reason != '\n' && *reason != '\t')
            error->text[at++] = *reason;
        else if (at > 0 && error->text[at - 1] != ' ')
            error->text[at++] = ' ';
    }
    while (at > 0 && error->text[at - 1] == ' ')
        at--;
    error->text[at] = '\0';
}

void sql_buffer_put(struct sql_buffer *buffer, const char *bytes, size_t length)
{
    if (buffer->length + length + 1 > buffer->room && !buffer->failed) {
        size_t room = buffer->room ? buffer->room : 4096;
        while (room < buffer->length + length + 1)
            room *= 2;
        char *grown = realloc(buffer->bytes, room);
        buffer->failed = grown == NULL;
        if (grown) {
            buffer->bytes = grown;
            buffer->room = room;
        }
    }
    if (buffer->failed)
        return;
    memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
    buffer->bytes[buffer->length] = '\0';
}

void sql_buffer_put_integer(struct sql_buffer *buffer, int64_t number)
{
    char digits[24];
    size_t at = sizeof(digits);
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0)
        digits[--at] = '-';
    sql_buffer_put(buffer, digits + at, sizeof(digits) - at);
}

bool passkey_is_wellformed(const char *passkey, size_t length)
{
    if (length < 1 || length > PASSKEY_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = passkey[i];
        bool is_good =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!is_good)
            return false;
    }
    return true;
}

enum database_result check_text(const char *field, const char *text, size_t size, struct error *error)
{
    if (strnlen(text, size) >= size)
        return database_fail(DATABASE_INVALID, error, "%s is longer than %zu bytes", field, size - 1);
    return DATABASE_OK;
}

enum database_result check_percent(const char *field, uint32_t percent, struct error *error)
{
    if (percent > DATABASE_PERCENT_MAX)
        return database_fail(DATABASE_INVALID, error, "%s is above %d", field, DATABASE_PERCENT_MAX);
    return DATABASE_OK;
}

static void append(char *list, size_t size, const char *piece)
{
    size_t length = strlen(list);
    snprintf(list + length, size - length, "%s%s", length > 0 ? ", " : "", piece);
}

void sql_fields_add(struct sql_fields *fields, const char *name, struct sql_value value)
{
    char piece[64];
    fields->values[fields->count++] = value;
    append(fields->names, sizeof(fields->names), name);
    snprintf(piece, sizeof(piece), "$%zu", fields->count);
    append(fields->holes, sizeof(fields->holes), piece);
    snprintf(piece, sizeof(piece), "%s = $%zu", name, fields->count);
    append(fields->assigns, sizeof(fields->assigns), piece);
}

void sql_like_pattern(char *pattern, size_t size, const char *text)
{
    size_t at = 0;
    pattern[at++] = '%';
    for (; *text != '\0' && at + 4 < size; text++) {
        if (*text == '%' || *text == '_' || *text == '\\')
            pattern[at++] = '\\';
        pattern[at++] = *text;
    }
    pattern[at++] = '%';
    pattern[at] = '\0';
}
