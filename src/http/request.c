/* request: see request.h. */
#include "http/request.h"

#include <string.h>
#include <strings.h>

#include "http/forwarded.h"

/* The characters of RFC 9110's `token`, of which methods and header names are made. */
static bool is_token_character(unsigned char c)
{
    static const uint32_t others[4] = {0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff};
    return c < 128 && (others[c / 32] >> (c % 32) & 1) != 0;
}

static bool is_token(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!is_token_character((unsigned char)text[i]))
            return false;
    }
    return length > 0;
}

static enum request_state bad(struct request *request, uint16_t status)
{
    request->status = status;
    return REQUEST_BAD;
}

void request_begin(struct request *request)
{
    memset(request, 0, sizeof *request);
    request->method = METHOD_OTHER;
}

bool request_keeps_alive(const struct request *request)
{
    if (request->says_close || request->has_body)
        return false;
    return !request->is_http10 || request->says_keep_alive;
}

static bool text_is(const char *text, size_t length, const char *lower, size_t lower_length)
{
    return length == lower_length && strncasecmp(text, lower, length) == 0;
}

/* The length of "http://authority" before an absolute target's path; 0: it is none. */
static size_t absolute_prefix(const char *target, size_t length)
{
    size_t scheme;
    if (length > 7 && strncasecmp(target, "http://", 7) == 0)
        scheme = 7;
    else if (length > 8 && strncasecmp(target, "https://", 8) == 0)
        scheme = 8;
    else
        return 0;
    size_t at = scheme;
    while (at < length && target[at] != '/' && target[at] != '?')
        at++;
    return at > scheme ? at : 0;
}

static bool take_target(struct request *request, const char *data, const char *target, size_t length)
{
    if (length == 0)
        return false;
    if (target[0] != '/') {
        size_t prefix = absolute_prefix(target, length);
        if (prefix == 0)
            return false;
        target += prefix;
        length -= prefix;
    }
    const char *mark = length > 0 ? memchr(target, '?', length) : NULL;
    size_t path_length = mark != NULL ? (size_t)(mark - target) : length;
    request->path_at = (uint32_t)(target - data);
    request->path_length = (uint32_t)path_length;
    request->query_at = request->path_at + request->path_length;
    if (mark != NULL) {
        request->query_at++;
        request->query_length = (uint32_t)(length - path_length - 1);
    }
    return true;
}

static void take_method(struct request *request, const char *text, size_t length)
{
    if (length == 3 && memcmp(text, "GET", 3) == 0)
        request->method = METHOD_GET;
    else if (length == 4 && memcmp(text, "HEAD", 4) == 0)
        request->method = METHOD_HEAD;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/*
 * METHOD SP target SP HTTP/1.x, with single spaces. The target of a method that
 * is refused anyway (OPTIONS *, CONNECT host:port) may be anything.
 */
static uint16_t take_request_line(struct request *request, const char *data, const char *line, size_t length)
{
    const char *end = line + length;
    const char *space = memchr(line, ' ', length);
    if (space == NULL || !is_token(line, (size_t)(space - line)))
        return 400;
    const char *target = space + 1;
    const char *target_end = memchr(target, ' ', (size_t)(end - target));
    if (target_end == NULL || target_end == target)
        return 400;
    const char *version = target_end + 1;
    if (end - version != 8 || memcmp(version, "HTTP/", 5) != 0 || !is_digit(version[5]) || version[6] != '.' ||
        !is_digit(version[7]))
        return 400;
    if (version[5] != '1')
        return 505;
    request->is_http10 = version[7] == '0';
    take_method(request, line, (size_t)(space - line));
    if (request->method != METHOD_OTHER && !take_target(request, data, target, (size_t)(target_end - target)))
        return 400;
    return 0;
}

/* Calls out each comma-separated option of a Connection header. */
static void take_connection(struct request *request, const char *value, size_t length)
{
    const char *end = value + length;
    while (value < end) {
        const char *comma = memchr(value, ',', (size_t)(end - value));
        const char *stop = comma != NULL ? comma : end;
        const char *last = stop;
        while (value < last && (*value == ' ' || *value == '\t'))
            value++;
        while (value < last && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        size_t option_length = (size_t)(last - value);
        if (text_is(value, option_length, "close", 5))
            request->says_close = true;
        else if (text_is(value, option_length, "keep-alive", 10))
            request->says_keep_alive = true;
        value = comma != NULL ? comma + 1 : end;
    }
}

/* A length of nothing but zeros is no body. */
static bool take_content_length(struct request *request, const char *value, size_t length)
{
    if (length == 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!is_digit(value[i]))
            return false;
        if (value[i] != '0')
            request->has_body = true;
    }
    return true;
}

static uint16_t take_header(struct request *request, const char *name, size_t name_length, const char *value,
                            size_t value_length, const struct request_rules *rules)
{
    if (text_is(name, name_length, "connection", 10)) {
        take_connection(request, value, value_length);
    } else if (text_is(name, name_length, "content-length", 14)) {
        if (!take_content_length(request, value, value_length))
            return 400;
    } else if (text_is(name, name_length, "transfer-encoding", 17)) {
        request->has_body = true;
    }
    if (rules->real_ip_header != NULL &&
        text_is(name, name_length, rules->real_ip_header, rules->real_ip_header_length))
        forwarded_fold(&request->forwarded, value, value_length, rules->trusted, rules->trusted_count);
    return 0;
}

/* Name: value. A name is followed by its colon at once, and a folded line is malformed (RFC 9112, section 5). */
static uint16_t take_header_line(struct request *request, const char *line, size_t length,
                                 const struct request_rules *rules)
{
    size_t name_length = 0;
    while (name_length < length && is_token_character((unsigned char)line[name_length]))
        name_length++;
    if (name_length == 0 || name_length == length || line[name_length] != ':')
        return 400;
    const char *value = line + name_length + 1;
    const char *end = line + length;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (value < end && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return take_header(request, line, name_length, value, (size_t)(end - value), rules);
}

/*
 * What can be told before the first line is whole: a first byte that begins no
 * method, as a TLS handshake's does, gets its answer without waiting for more.
 */
static bool begins_wrongly(const struct request *request, const char *data, size_t length)
{
    if (request->has_line || length == 0)
        return false;
    unsigned char first = (unsigned char)data[0];
    if (first == '\n')
        return request->skipped_empty_line;
    if (first == '\r')
        return request->skipped_empty_line || (length > 1 && data[1] != '\n');
    return !is_token_character(first);
}

/* One whole line, without its end. REQUEST_INCOMPLETE: go on with the next. */
static enum request_state take_line(struct request *request, const char *data, const char *line, size_t length,
                                    const struct request_rules *rules)
{
    if (length > 0 && line[length - 1] == '\r')
        length--;
    if (length > 0 && memchr(line, '\r', length) != NULL)
        return bad(request, 400);
    uint16_t status = 0;
    if (!request->has_line && length == 0) {
        request->skipped_empty_line = true; /* one is forgiven: RFC 9112, section 2.2 */
    } else if (!request->has_line) {
        status = take_request_line(request, data, line, length);
        request->has_line = true;
    } else if (length == 0) {
        return REQUEST_COMPLETE;
    } else {
        status = take_header_line(request, line, length, rules);
    }
    return status != 0 ? bad(request, status) : REQUEST_INCOMPLETE;
}

enum request_state request_parse(struct request *request, const char *data, size_t length,
                                 const struct request_rules *rules)
{
    size_t limit = length < rules->max_bytes ? length : rules->max_bytes;
    if (limit < request->scanned) /* a reload made max_request smaller meanwhile */
        limit = request->scanned;
    for (;;) {
        if (begins_wrongly(request, data + request->line_at, limit - request->line_at))
            return bad(request, 400);
        const char *from = data + request->scanned;
        size_t unscanned = limit - request->scanned;
        const char *line_end = unscanned > 0 ? memchr(from, '\n', unscanned) : NULL;
        size_t whole = line_end != NULL ? (size_t)(line_end - from) : unscanned;
        if (whole > 0 && memchr(from, '\0', whole) != NULL)
            return bad(request, 400);
        if (line_end == NULL) {
            request->scanned = (uint32_t)limit;
            if (limit >= rules->max_bytes)
                return bad(request, request->has_line ? 431 : 414);
            return REQUEST_INCOMPLETE;
        }
        const char *line = data + request->line_at;
        enum request_state state = take_line(request, data, line, (size_t)(line_end - line), rules);
        request->line_at = request->scanned = (uint32_t)(line_end + 1 - data);
        request->length = request->line_at;
        if (state != REQUEST_INCOMPLETE)
            return state;
    }
}
