/* query: see query.h. Pure functions; any thread may call them. */
#include "http/query.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "http/names.h"

/* What take functions say. Each parameter has a text for both kinds of fault. */
enum fault { FAULT_NONE, FAULT_VALUE, FAULT_ESCAPE };

struct parameter {
    enum fault (*take)(struct announce *announce, const char *value, size_t length);
    const char *missing;
    const char *bad_escape;
    const char *bad_value;
};

static enum fault fault_of(int decoded)
{
    if (decoded >= 0)
        return FAULT_NONE;
    return decoded == -1 ? FAULT_ESCAPE : FAULT_VALUE;
}

/* Exactly `size` bytes. */
static enum fault take_bytes(uint8_t *bytes, size_t size, const char *value, size_t length)
{
    int decoded = query_decode(bytes, size, value, length);
    if (decoded < 0)
        return fault_of(decoded);
    return (size_t)decoded == size ? FAULT_NONE : FAULT_VALUE;
}

/*
 * Where digits are %-encoded, which no client does, decodes them into `buffer` first.
 * Leading zeros count as digits, so a number longer than the buffer is taken for none.
 */
enum { NUMBER_BYTES = 40 };

static enum fault plain_digits(char buffer[static NUMBER_BYTES], const char **value, size_t *length)
{
    if (memchr(*value, '%', *length) == NULL)
        return FAULT_NONE;
    int decoded = query_decode((uint8_t *)buffer, NUMBER_BYTES, *value, *length);
    *value = buffer;
    *length = decoded >= 0 ? (size_t)decoded : 0;
    return fault_of(decoded);
}

/* So many decimal digits are less than 2^64 whatever they are. */
enum { DIGITS_SAFE = 19 };

/* Whole decimals up to `max`, which is at most COUNTER_MAX. */
static bool parse_digits(uint64_t *number, const char *text, size_t length, uint64_t max)
{
    const char *end = text + length;
    while (end - text > DIGITS_SAFE && *text == '0')
        text++;
    if (length == 0 || end - text > DIGITS_SAFE)
        return false;
    uint64_t value = 0;
    for (; text < end; text++) {
        unsigned digit = (unsigned)(unsigned char)*text - '0';
        if (digit > 9)
            return false;
        value = value * 10 + digit;
    }
    if (value > max)
        return false;
    *number = value;
    return true;
}

static enum fault take_number(uint64_t *number, const char *value, size_t length, uint64_t max)
{
    if (parse_digits(number, value, length, max))
        return FAULT_NONE; /* as nearly always */
    char buffer[NUMBER_BYTES];
    enum fault fault = plain_digits(buffer, &value, &length);
    if (fault != FAULT_NONE)
        return fault;
    return parse_digits(number, value, length, max) ? FAULT_NONE : FAULT_VALUE;
}

static enum fault take_info_hash(struct announce *announce, const char *value, size_t length)
{
    return take_bytes(announce->info_hash, INFO_HASH_BYTES, value, length);
}

static enum fault take_peer_id(struct announce *announce, const char *value, size_t length)
{
    return take_bytes(announce->peer_id, PEER_ID_BYTES, value, length);
}

static enum fault take_port(struct announce *announce, const char *value, size_t length)
{
    uint64_t port = 0;
    enum fault fault = take_number(&port, value, length, UINT16_MAX);
    announce->source.port = (uint16_t)port;
    return fault;
}

static enum fault take_uploaded(struct announce *announce, const char *value, size_t length)
{
    return take_number(&announce->uploaded, value, length, COUNTER_MAX);
}

static enum fault take_downloaded(struct announce *announce, const char *value, size_t length)
{
    return take_number(&announce->downloaded, value, length, COUNTER_MAX);
}

static enum fault take_left(struct announce *announce, const char *value, size_t length)
{
    return take_number(&announce->left, value, length, COUNTER_MAX);
}

/* A byte count like the others; nothing is done with it. */
static enum fault take_corrupt(struct announce *announce, const char *value, size_t length)
{
    (void)announce;
    uint64_t ignored;
    return take_number(&ignored, value, length, COUNTER_MAX);
}

/* Nothing is done with it either. */
static enum fault take_trackerid(struct announce *announce, const char *value, size_t length)
{
    (void)announce;
    uint8_t nothing[1];
    return query_decode(nothing, 0, value, length) == -1 ? FAULT_ESCAPE : FAULT_NONE;
}

static enum fault take_event(struct announce *announce, const char *value, size_t length)
{
    static const struct {
        const char *name;
        size_t length;
        enum announce_event event;
    } events[] = {
        {"started", 7, EVENT_STARTED},
        {"completed", 9, EVENT_COMPLETED},
        {"stopped", 7, EVENT_STOPPED},
        {"paused", 6, EVENT_PAUSED},
    };
    uint8_t word[16];
    int decoded = query_decode(word, sizeof word, value, length);
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (decoded == (int)events[i].length && memcmp(word, events[i].name, events[i].length) == 0)
            announce->event = (uint8_t)events[i].event;
    }
    return decoded == -1 ? FAULT_ESCAPE : FAULT_NONE;
}

/* The first two bytes tell what a flag is to know. */
static enum fault take_flag(bool *is_zero, bool *is_empty, const char *value, size_t length)
{
    uint8_t text[2] = {0, 0};
    int decoded = query_decode(text, sizeof text, value, length);
    *is_empty = decoded == 0;
    *is_zero = decoded == 1 && text[0] == '0';
    return decoded == -1 ? FAULT_ESCAPE : FAULT_NONE;
}

static enum fault take_compact(struct announce *announce, const char *value, size_t length)
{
    bool is_zero;
    bool is_empty;
    enum fault fault = take_flag(&is_zero, &is_empty, value, length);
    announce->compact = !is_zero;
    return fault;
}

static enum fault take_no_peer_id(struct announce *announce, const char *value, size_t length)
{
    bool is_zero;
    bool is_empty;
    enum fault fault = take_flag(&is_zero, &is_empty, value, length);
    announce->no_peer_id = !is_zero && !is_empty;
    return fault;
}

/* Any whole number: negative ones mean the default, and too large ones the largest. */
static enum fault take_numwant(struct announce *announce, const char *value, size_t length)
{
    uint64_t number = INT32_MAX;
    if (parse_digits(&number, value, length, INT32_MAX)) {
        announce->numwant = (int32_t)number;
        return FAULT_NONE;
    }
    char buffer[NUMBER_BYTES];
    enum fault fault = plain_digits(buffer, &value, &length);
    if (fault != FAULT_NONE || length == 0)
        return fault;
    bool is_negative = value[0] == '-';
    if (is_negative) {
        value++;
        length--;
    }
    if (length == 0)
        return FAULT_VALUE;
    for (size_t i = 0; i < length; i++) {
        if (value[i] < '0' || value[i] > '9')
            return FAULT_VALUE;
    }
    (void)parse_digits(&number, value, length, INT32_MAX);
    announce->numwant = is_negative ? NUMWANT_DEFAULT : (int32_t)number;
    return FAULT_NONE;
}

/* Without a branch that hangs on a digit: nobody could predict whether it is a letter. */
static bool parse_hex32(uint32_t *number, const uint8_t *text, size_t length)
{
    uint32_t value = 0;
    unsigned strangers = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned c = text[i];
        unsigned is_digit = c - '0' < 10, is_letter = (c | 0x20) - 'a' < 6;
        strangers |= !(is_digit | is_letter);
        value = value << 4 | ((c & 15) + 9 * is_letter);
    }
    if (strangers != 0)
        return false;
    *number = value;
    return length <= 8;
}

/*
 * Up to 8 hex digits are a number, so that Transmission's unpadded ones and rTorrent's
 * padded ones compare; of all else (aria2's 8 raw bytes, any of which may be zero) a hash.
 * What no client sends, a key of more than 64 bytes, is hashed as it was written.
 */
static enum fault take_key(struct announce *announce, const char *value, size_t length)
{
    uint8_t bytes[64];
    int decoded = query_decode(bytes, sizeof bytes, value, length);
    if (decoded == -1)
        return FAULT_ESCAPE;
    if (decoded == -2)
        announce->key = XXH32(value, length, 0);
    else if (!parse_hex32(&announce->key, bytes, decoded > 8 ? 9 : (size_t)decoded))
        announce->key = XXH32(bytes, (size_t)decoded, 0);
    return FAULT_NONE;
}

/*
 * An address of the family that the request did not come from. One that cannot
 * be read is no fault: it is a hint that would have to be proven anyway.
 */
static enum fault take_claimed(struct announce *announce, const char *value, size_t length, uint8_t family)
{
    char text[ADDRESS_TEXT_BYTES];
    int decoded = query_decode((uint8_t *)text, sizeof text, value, length);
    if (decoded == -1)
        return FAULT_ESCAPE;
    struct address address;
    if (decoded <= 0 || announce->source.family == family ||
        (!address_parse_ip(&address, text, (size_t)decoded) && !address_parse(&address, text, (size_t)decoded)))
        return FAULT_NONE;
    if (address.family == family)
        announce->claimed = address;
    return FAULT_NONE;
}

static enum fault take_ipv4(struct announce *announce, const char *value, size_t length)
{
    return take_claimed(announce, value, length, 4);
}

static enum fault take_ipv6(struct announce *announce, const char *value, size_t length)
{
    return take_claimed(announce, value, length, 6);
}

#define COUNT_RANGE " is not a whole number from 0 to 9223372036854775807"
#define PARAMETER(word, problem)                                                                     \
    {                                                                                                \
        .take = take_##word, .missing = #word " missing", .bad_escape = #word " has a bad % escape", \
        .bad_value = #word problem,                                                                  \
    }

/* All but the passkey, which belongs to the route. */
static const struct parameter parameters[] = {
    [PARAMETER_INFO_HASH] = PARAMETER(info_hash, " is not 20 bytes long"),
    [PARAMETER_PEER_ID] = PARAMETER(peer_id, " is not 20 bytes long"),
    [PARAMETER_PORT] = PARAMETER(port, " is not a whole number from 0 to 65535"),
    [PARAMETER_UPLOADED] = PARAMETER(uploaded, COUNT_RANGE),
    [PARAMETER_DOWNLOADED] = PARAMETER(downloaded, COUNT_RANGE),
    [PARAMETER_LEFT] = PARAMETER(left, COUNT_RANGE),
    [PARAMETER_EVENT] = PARAMETER(event, " is malformed"),
    [PARAMETER_COMPACT] = PARAMETER(compact, " is malformed"),
    [PARAMETER_NO_PEER_ID] = PARAMETER(no_peer_id, " is malformed"),
    [PARAMETER_NUMWANT] = PARAMETER(numwant, " is not a whole number"),
    [PARAMETER_KEY] = PARAMETER(key, " is malformed"),
    [PARAMETER_TRACKERID] = PARAMETER(trackerid, " is malformed"),
    [PARAMETER_CORRUPT] = PARAMETER(corrupt, COUNT_RANGE),
    [PARAMETER_IPV4] = PARAMETER(ipv4, " is malformed"),
    [PARAMETER_IPV6] = PARAMETER(ipv6, " is malformed"),
};

static const char *passkey_fault(const struct route *route)
{
    if (route->passkey_state == ROUTE_PASSKEY_MISSING)
        return "passkey missing";
    if (route->passkey_state == ROUTE_PASSKEY_MALFORMED)
        return "passkey malformed: it has 1 to 64 letters, digits, - or _";
    return NULL;
}

/* Takes a parameter that comes for the first time. */
static const char *take_parameter(struct announce *announce, unsigned number, uint32_t *seen,
                                  const struct query_pair *pair)
{
    const struct parameter *parameter = &parameters[number];
    if ((*seen & 1U << number) != 0)
        return number == PARAMETER_INFO_HASH ? "info_hash given twice" : NULL;
    *seen |= 1U << number;
    switch (parameter->take(announce, pair->value, pair->value_length)) {
    case FAULT_NONE:
        return NULL;
    case FAULT_ESCAPE:
        return parameter->bad_escape;
    case FAULT_VALUE:
        break;
    }
    return parameter->bad_value;
}

static void announce_defaults(struct announce *announce)
{
    announce->key = 0;
    announce->numwant = NUMWANT_DEFAULT;
    announce->event = EVENT_NONE;
    announce->compact = true;
    announce->no_peer_id = false;
    announce->claimed = (struct address){0};
}

const char *query_read_announce(struct announce *announce, struct route *route, const char *query, size_t length)
{
    const char *end = query + length;
    const char *fault = NULL;
    uint32_t seen = 0;
    struct query_pair pair;
    enum parameter_number number;
    announce_defaults(announce);
    while ((number = names_next(&query, end, &pair)) != PARAMETER_COUNT) {
        if (number == PARAMETER_PASSKEY)
            route_take_query_passkey(route, pair.value, pair.value_length);
        else if (fault == NULL) /* the passkey, whose own fault goes before, may still follow */
            fault = take_parameter(announce, number, &seen, &pair);
    }
    const char *bad_passkey = passkey_fault(route);
    if (bad_passkey != NULL)
        return bad_passkey;
    if (fault != NULL)
        return fault;
    uint32_t required = (1U << PARAMETERS_REQUIRED) - 1;
    if ((seen & required) != required)
        return parameters[__builtin_ctz(~seen & required)].missing;
    announce->passkey_length = route->passkey_length;
    memcpy(announce->passkey, route->passkey, route->passkey_length);
    if (announce->claimed.family != 0)
        announce->claimed.port = announce->source.port;
    return NULL;
}

static int compare_hashes(const void *a, const void *b)
{
    return memcmp(a, b, INFO_HASH_BYTES);
}

/* Sorts them, as the reply's dictionary has to be, and drops repeats. */
static uint32_t sort_hashes(uint8_t (*info_hashes)[INFO_HASH_BYTES], uint32_t count)
{
    if (count < 2)
        return count;
    qsort(info_hashes, count, sizeof info_hashes[0], compare_hashes);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < count; i++) {
        if (memcmp(info_hashes[i], info_hashes[kept - 1], INFO_HASH_BYTES) != 0)
            memmove(info_hashes[kept++], info_hashes[i], INFO_HASH_BYTES);
    }
    return kept;
}

const char *query_read_scrape(uint8_t (*info_hashes)[INFO_HASH_BYTES], uint32_t *count, uint32_t max,
                              struct route *route, const char *query, size_t length)
{
    const struct parameter *info_hash = &parameters[PARAMETER_INFO_HASH];
    const char *end = query + length;
    const char *fault = NULL;
    uint32_t found = 0;
    struct query_pair pair;
    enum parameter_number number;
    while ((number = names_next(&query, end, &pair)) != PARAMETER_COUNT) {
        if (number == PARAMETER_PASSKEY) {
            route_take_query_passkey(route, pair.value, pair.value_length);
        } else if (fault == NULL && number == PARAMETER_INFO_HASH) {
            enum fault kind = found < max
                                  ? take_bytes(info_hashes[found], INFO_HASH_BYTES, pair.value, pair.value_length)
                                  : FAULT_NONE;
            if (found == max)
                fault = "too many info_hash in one scrape";
            else if (kind != FAULT_NONE)
                fault = kind == FAULT_ESCAPE ? info_hash->bad_escape : info_hash->bad_value;
            found++;
        }
    }
    const char *bad_passkey = passkey_fault(route);
    if (bad_passkey != NULL)
        return bad_passkey;
    if (fault != NULL)
        return fault;
    if (found == 0)
        return "info_hash missing: there is no scrape of all torrents";
    *count = sort_hashes(info_hashes, found);
    return NULL;
}
