/* bencode: a strict reader, so that a reply that only lenient clients take fails the test. See harness.h. */
#include "harness.h"

#include <string.h>

enum { MOST_DEPTH = 8 };

struct reader {
    const char *at;
    const char *end;
    const char *reason;
};

static bool fail(struct reader *reader, const char *reason)
{
    if (reader->reason == NULL)
        reader->reason = reason;
    return false;
}

static bool skip_string(struct reader *reader, struct bvalue *string)
{
    const char *digits = reader->at;
    size_t length = 0;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9') {
        length = length * 10 + (size_t)(*reader->at++ - '0');
        if (length > (size_t)(reader->end - digits))
            return fail(reader, "a string runs past the end");
    }
    if (reader->at == digits || (reader->at - digits > 1 && *digits == '0'))
        return fail(reader, "a string's length is not canonical");
    if (reader->at == reader->end || *reader->at != ':')
        return fail(reader, "a string without a colon");
    reader->at++;
    if ((size_t)(reader->end - reader->at) < length)
        return fail(reader, "a string runs past the end");
    *string = (struct bvalue){.start = reader->at, .length = length};
    reader->at += length;
    return true;
}

static bool skip_number(struct reader *reader)
{
    const char *start = ++reader->at;
    if (reader->at < reader->end && *reader->at == '-')
        reader->at++;
    const char *digits = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9')
        reader->at++;
    bool zero_first = reader->at > digits && *digits == '0' && (reader->at - digits > 1 || digits > start);
    if (reader->at == digits || zero_first || reader->at == reader->end || *reader->at != 'e')
        return fail(reader, "a number is not canonical");
    reader->at++;
    return true;
}

static int compare(struct bvalue a, struct bvalue b)
{
    size_t shorter = a.length < b.length ? a.length : b.length;
    int order = memcmp(a.start, b.start, shorter);
    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

/* Recursive: lists and dictionaries hold values. The depth is bounded. */
static bool skip_value(struct reader *reader, int depth) /* NOLINT(misc-no-recursion) */
{
    struct bvalue key = {0};
    struct bvalue last = {0};
    if (reader->at == reader->end || depth > MOST_DEPTH)
        return fail(reader, "cut off, or too deep");
    char kind = *reader->at;
    if (kind == 'i')
        return skip_number(reader);
    if (kind != 'l' && kind != 'd')
        return skip_string(reader, &key);
    reader->at++;
    while (reader->at < reader->end && *reader->at != 'e') {
        if (kind == 'd') {
            if (!skip_string(reader, &key))
                return false;
            if (last.start != NULL && compare(last, key) >= 0)
                return fail(reader, "a dictionary's keys are not sorted");
            last = key;
        }
        if (!skip_value(reader, depth + 1))
            return false;
    }
    if (reader->at == reader->end)
        return fail(reader, "cut off");
    reader->at++;
    return true;
}

bool bencode_check(const char *text, size_t length, const char **reason)
{
    struct reader reader = {.at = text, .end = text + length};
    bool good = skip_value(&reader, 0);
    if (good && reader.at != reader.end)
        good = fail(&reader, "something follows the value");
    *reason = reader.reason;
    return good;
}

bool bencode_next(struct bvalue list, const char **cursor, struct bvalue *item)
{
    if (list.length < 2 || (*list.start != 'l' && *list.start != 'd'))
        return false;
    struct reader reader = {.at = *cursor != NULL ? *cursor : list.start + 1, .end = list.start + list.length};
    if (*reader.at == 'e')
        return false;
    const char *start = reader.at;
    if (!skip_value(&reader, 0))
        return false;
    *item = (struct bvalue){.start = start, .length = (size_t)(reader.at - start)};
    *cursor = reader.at;
    return true;
}

struct bvalue bencode_get(struct bvalue dictionary, const char *key)
{
    const char *cursor = NULL;
    struct bvalue name, value;
    while (bencode_next(dictionary, &cursor, &name) && bencode_next(dictionary, &cursor, &value)) {
        const char *bytes;
        size_t length;
        if (bencode_string(name, &bytes, &length) && length == strlen(key) && memcmp(bytes, key, length) == 0)
            return value;
    }
    return (struct bvalue){0};
}

bool bencode_string(struct bvalue value, const char **bytes, size_t *length)
{
    struct reader reader = {.at = value.start, .end = value.start + value.length};
    struct bvalue string;
    if (value.length == 0 || *value.start < '0' || *value.start > '9' || !skip_string(&reader, &string))
        return false;
    *bytes = string.start;
    *length = string.length;
    return true;
}

bool bencode_int(struct bvalue value, int64_t *number)
{
    if (value.length < 3 || *value.start != 'i')
        return false;
    bool negative = value.start[1] == '-';
    int64_t sum = 0;
    for (const char *c = value.start + 1 + negative; *c != 'e'; c++)
        sum = sum * 10 + (*c - '0');
    *number = negative ? -sum : sum;
    return true;
}
