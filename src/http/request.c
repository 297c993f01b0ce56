/* request: see request.h. */
#include "http/request.h"

#include <string.h>
#include <strings.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "http/forwarded.h"

/* The characters of RFC 9110's `token`, of which methods and header names are made. */
static bool is_token_character(unsigned char c)
{
    static const uint64_t tokens[4] = {0x03ff6cfa00000000, 0x57ffffffc7fffffe};
    return (tokens[c / 64] >> (c % 64) & 1) != 0;
}

#ifdef __SSE2__
/* Which of 16 bytes are letters, digits or minus: what nearly all header names are made of. */
static unsigned find_usual(const char *text)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)text);
    __m128i letter = _mm_sub_epi8(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i digit = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));
    __m128i usual = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-'));
    usual = _mm_or_si128(usual, _mm_cmpeq_epi8(letter, _mm_min_epu8(letter, _mm_set1_epi8(25))));
    usual = _mm_or_si128(usual, _mm_cmpeq_epi8(digit, _mm_min_epu8(digit, _mm_set1_epi8(9))));
    return (unsigned)_mm_movemask_epi8(usual);
}
#endif

/* How many characters of a token the text begins with. */
static size_t token_length(const char *text, size_t length)
{
    size_t at = 0;
#ifdef __SSE2__
    if (length >= 16)
        at = (size_t)__builtin_ctz(~find_usual(text));
#endif
    while (at < length && is_token_character((unsigned char)text[at]))
        at++;
    return at;
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

/* HTTP/1.x */
enum { VERSION_LENGTH = 8 };

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
    size_t method_length = token_length(line, length);
    if (method_length == 0 || length < method_length + 1 + 1 + 1 + VERSION_LENGTH || line[method_length] != ' ')
        return 400;
    const char *target = line + method_length + 1;
    const char *version = line + length - VERSION_LENGTH;
    const char *target_end = version - 1;
    if (memchr(target, ' ', (size_t)(version - target)) != target_end)
        return 400;
    if (memcmp(version, "HTTP/", 5) != 0 || !is_digit(version[5]) || version[6] != '.' || !is_digit(version[7]))
        return 400;
    if (version[5] != '1')
        return 505;
    request->is_http10 = version[7] == '0';
    take_method(request, line, method_length);
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
    size_t name_length = token_length(line, length);
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

static bool stops_line(char c)
{
    return c == '\n' || c == '\r' || c == '\0';
}

/* The first line feed, carriage return or zero byte; `end`: there is none. */
static const char *find_stop(const char *at, const char *end)
{
#ifdef __SSE2__
    const __m128i highest = _mm_set1_epi8('\r'); /* few bytes are as low as the three are */
    while (end - at >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        unsigned low = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_min_epu8(bytes, highest)));
        if (low == 0) {
            at += 16;
            continue;
        }
        at += __builtin_ctz(low);
        if (stops_line(*at))
            return at;
        at++;
    }
#endif
    while (at < end && !stops_line(*at))
        at++;
    return at;
}

enum request_state request_parse(struct request *request, const char *data, size_t length,
                                 const struct request_rules *rules)
{
    size_t limit = length < rules->max_bytes ? length : rules->max_bytes;
    if (limit < request->scanned) /* a reload made max_request smaller meanwhile */
        limit = request->scanned;
    const char *end = data + limit;
    for (;;) {
        const char *line = data + request->line_at;
        if (begins_wrongly(request, line, (size_t)(end - line)))
            return bad(request, 400);
        const char *stop = find_stop(data + request->scanned, end);
        const char *feed = stop < end && *stop == '\r' ? stop + 1 : stop;
        if (feed == end) {
            request->scanned = (uint32_t)(stop - data);
            if (limit >= rules->max_bytes)
                return bad(request, request->has_line ? 431 : 414);
            return REQUEST_INCOMPLETE;
        }
        if (*feed != '\n') /* a zero byte, or a carriage return within the line */
            return bad(request, 400);
        enum request_state state = take_line(request, data, line, (size_t)(stop - line), rules);
        request->line_at = request->scanned = request->length = (uint32_t)(feed + 1 - data);
        if (state != REQUEST_INCOMPLETE)
            return state;
    }
}
