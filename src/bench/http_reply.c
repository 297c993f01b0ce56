/* http_reply: see http_reply.h. */
#include "bench/http_reply.h"

#include <string.h>
#include <strings.h>

enum { DEPTH_MAX = 16 };

static bool name_is(const char *line, size_t length, const char *name)
{
    size_t name_length = strlen(name);
    return length > name_length && line[name_length] == ':' && strncasecmp(line, name, name_length) == 0;
}

/* The value of "Name: value", spaces around it cut off. */
static void value_of(const char *line, size_t length, const char **value, size_t *value_length)
{
    const char *end = line + length;
    const char *at = memchr(line, ':', length);
    at++;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    *value = at;
    *value_length = (size_t)(end - at);
}

static int read_length(const char *text, size_t length, size_t *value)
{
    size_t number = 0;
    if (length == 0 || length > 12)
        return -1;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        number = number * 10 + (size_t)(text[i] - '0');
    }
    *value = number;
    return 0;
}

/* Reads the headers between the status line and `end`. */
static int read_headers(struct http_reply *reply, const char *at, const char *end, bool *has_length)
{
    *has_length = false;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((line_end == NULL ? end : line_end) - at);
        const char *value;
        size_t value_length;
        if (name_is(at, length, "content-length")) {
            value_of(at, length, &value, &value_length);
            if (read_length(value, value_length, &reply->body_length) < 0)
                return -1;
            *has_length = true;
        } else if (name_is(at, length, "connection")) {
            value_of(at, length, &value, &value_length);
            if (value_length == 5 && strncasecmp(value, "close", 5) == 0)
                reply->closes = true;
            else if (value_length == 10 && strncasecmp(value, "keep-alive", 10) == 0)
                reply->closes = false;
        } else if (name_is(at, length, "transfer-encoding")) {
            return -1; /* no tracker has a reason for it */
        }
        at += length + 1;
    }
    return 0;
}

enum http_result http_reply_parse(struct http_reply *reply, const char *bytes, size_t length, bool ended)
{
    const char *head_end = memmem(bytes, length, "\r\n\r\n", 4);
    if (head_end == NULL)
        return ended ? HTTP_BROKEN : HTTP_PARTIAL;
    const char *line_end = memchr(bytes, '\n', length);
    /* "HTTP/1.1 200" */
    if (head_end - bytes < 12 || memcmp(bytes, "HTTP/1.", 7) != 0 || bytes[8] != ' ')
        return HTTP_BROKEN;
    *reply = (struct http_reply){.closes = bytes[7] == '0'};
    for (int i = 9; i < 12; i++) {
        if (bytes[i] < '0' || bytes[i] > '9')
            return HTTP_BROKEN;
        reply->status = reply->status * 10 + (unsigned)(bytes[i] - '0');
    }
    bool has_length;
    if (read_headers(reply, line_end + 1, head_end, &has_length) < 0)
        return HTTP_BROKEN;
    reply->body = head_end + 4;
    size_t held = length - (size_t)(reply->body - bytes);
    if (!has_length) {
        reply->closes = true;
        reply->body_length = held;
        if (!ended)
            return HTTP_PARTIAL;
    }
    if (held < reply->body_length)
        return ended ? HTTP_BROKEN : HTTP_PARTIAL;
    reply->length = (size_t)(reply->body - bytes) + reply->body_length;
    return HTTP_WHOLE;
}

/* Reads "4:text" at *at and moves behind it. */
static int read_string(const char **at, const char *end, const char **text, size_t *length)
{
    const char *colon = memchr(*at, ':', (size_t)(end - *at) < 13 ? (size_t)(end - *at) : 13);
    if (colon == NULL || read_length(*at, (size_t)(colon - *at), length) < 0 || (size_t)(end - colon - 1) < *length)
        return -1;
    *text = colon + 1;
    *at = *text + *length;
    return 0;
}

/* Moves *at behind one value, counting the elements of an outermost list. */
static int skip_value(const char **at, const char *end, uint32_t *elements)
{
    int depth = 0;
    *elements = 0;
    do {
        if (*at == end)
            return -1;
        if (depth == 1 && **at != 'e')
            (*elements)++;
        if (**at == 'l' || **at == 'd') {
            if (++depth > DEPTH_MAX)
                return -1;
            (*at)++;
        } else if (**at == 'e') {
            if (depth-- == 0)
                return -1;
            (*at)++;
        } else if (**at == 'i') {
            const char *stop = memchr(*at, 'e', (size_t)(end - *at));
            if (stop == NULL)
                return -1;
            *at = stop + 1;
        } else {
            const char *text;
            size_t length;
            if (read_string(at, end, &text, &length) < 0)
                return -1;
        }
    } while (depth > 0);
    return 0;
}

static int read_value(struct tracker_reply *reply, const char *key, size_t key_length, const char **at, const char *end)
{
    bool is_peers = key_length == 5 && memcmp(key, "peers", 5) == 0;
    bool is_peers6 = key_length == 6 && memcmp(key, "peers6", 6) == 0;
    bool is_failure = key_length == 14 && memcmp(key, "failure reason", 14) == 0;
    const char *text;
    size_t length;
    uint32_t elements;
    if (*at == end || **at < '0' || **at > '9' || !(is_peers || is_peers6 || is_failure)) {
        if (skip_value(at, end, &elements) < 0)
            return -1;
        reply->peers += is_peers ? elements : 0;
        return 0;
    }
    if (read_string(at, end, &text, &length) < 0)
        return -1;
    if (is_failure) {
        reply->failure = text;
        reply->failure_length = length;
    } else {
        reply->peers += (uint32_t)(length / (is_peers ? 6 : 18));
    }
    return 0;
}

int tracker_reply_parse(struct tracker_reply *reply, const char *body, size_t length)
{
    const char *at = body;
    const char *end = body + length;
    *reply = (struct tracker_reply){0};
    if (length < 2 || *at++ != 'd')
        return -1;
    while (at < end && *at != 'e') {
        const char *key;
        size_t key_length;
        if (read_string(&at, end, &key, &key_length) < 0 || read_value(reply, key, key_length, &at, end) < 0)
            return -1;
    }
    return at == end - 1 ? 0 : -1;
}
