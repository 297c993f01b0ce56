/* scalars: the types of numbers and words; see values.h. */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "config/values.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Smallest first. In milliseconds. */
static const struct unit duration_units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

static const struct unit size_units[] = {
    {"B", 1},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
};

static const struct unit rate_units[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};

enum { QUANTITY_BYTES = 40 };

#define UNITS(list) (list), sizeof(list) / sizeof *(list)

/* The text of a number or boolean: in quotes it would be a text, which is another type. */
static const char *bare_text(const struct slot *slot)
{
    return slot->node->plain ? slot_text(slot) : NULL;
}

static const char *unless_quoted(const struct slot *slot)
{
    return slot->node->kind == NODE_SCALAR && !slot->node->plain ? ", without quotes" : "";
}

static bool same_bytes(const struct key *key, const char *a, const char *b, size_t size)
{
    return memcmp(a + key->offset, b + key->offset, size) == 0;
}

static bool same_u32(const struct key *key, const char *a, const char *b)
{
    return same_bytes(key, a, b, sizeof(uint32_t));
}

static bool same_u64(const struct key *key, const char *a, const char *b)
{
    return same_bytes(key, a, b, sizeof(uint64_t));
}

static bool same_bool(const struct key *key, const char *a, const char *b)
{
    return same_bytes(key, a, b, sizeof(bool));
}

static bool same_rate(const struct key *key, const char *a, const char *b)
{
    return same_bytes(key, a, b, sizeof(struct rate));
}

static void store_u32(const struct slot *slot, uint64_t value)
{
    uint32_t narrow = (uint32_t)value;
    memcpy(slot->base + slot->key->offset, &narrow, sizeof narrow);
}

bool config_parse_whole(uint64_t *value, const char *text, size_t length)
{
    if (length == 0 || length > 18)
        return false;
    uint64_t sum = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        sum = sum * 10 + (uint64_t)(text[i] - '0');
    }
    *value = sum;
    return true;
}

/* Reads `DIGITS UNIT` without a space; the value in the smallest unit. False where it is no such thing or too large. */
static bool parse_quantity(uint64_t *value, const char *text, const struct unit *units, size_t count)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number;
    if (!config_parse_whole(&number, text, digits))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text + digits, units[i].name) == 0)
            return !__builtin_mul_overflow(number, units[i].factor, value);
    }
    return false;
}

/* Writes the quantity with the largest unit of which it is a whole number. */
static const char *format_quantity(char text[static QUANTITY_BYTES], uint64_t value, const struct unit *units,
                                   size_t count)
{
    while (count > 1 && value % units[count - 1].factor != 0)
        count--;
    (void)snprintf(text, QUANTITY_BYTES, "%" PRIu64 "%s", value / units[count - 1].factor, units[count - 1].name);
    return text;
}

/* Tells what a duration or size may be; the key's limits times `scale` are in the smallest unit. */
static void refuse_quantity(const struct slot *slot, const char *what, uint64_t scale, const struct unit *units,
                            size_t count)
{
    char low[QUANTITY_BYTES];
    char high[QUANTITY_BYTES];
    slot_refuse(slot, "%s%s, from %s to %s", slot->key->zero ? "0s or " : "", what,
                format_quantity(low, slot->key->min * scale, units, count),
                format_quantity(high, slot->key->max * scale, units, count));
}

static bool in_range(const struct key *key, uint64_t value)
{
    return (value >= key->min && value <= key->max) || (value == 0 && key->zero);
}

/* Durations: `scale` milliseconds are one of what the key counts in. */
static void read_duration(const struct slot *slot, uint64_t scale, const char *what)
{
    const char *text = slot_text(slot);
    uint64_t ms;
    if (text != NULL && parse_quantity(&ms, text, UNITS(duration_units)) && ms % scale == 0 &&
        in_range(slot->key, ms / scale))
        store_u32(slot, ms / scale);
    else
        refuse_quantity(slot, what, scale, UNITS(duration_units));
}

static void read_seconds(const struct slot *slot)
{
    read_duration(slot, 1000, "a whole number of seconds with a unit (s, m, h, d)");
}

static void read_milliseconds(const struct slot *slot)
{
    read_duration(slot, 1, "a whole number with a unit (ms, s, m, h, d)");
}

static bool read_bytes(const struct slot *slot, uint64_t *bytes)
{
    const char *text = slot_text(slot);
    if (text != NULL && parse_quantity(bytes, text, UNITS(size_units)) && in_range(slot->key, *bytes))
        return true;
    refuse_quantity(slot, "a whole number with a unit (B, KiB, MiB, GiB, TiB)", 1, UNITS(size_units));
    return false;
}

static void read_small_size(const struct slot *slot)
{
    uint64_t bytes;
    if (read_bytes(slot, &bytes))
        store_u32(slot, bytes);
}

static void read_size(const struct slot *slot)
{
    uint64_t bytes;
    if (read_bytes(slot, &bytes))
        memcpy(slot->base + slot->key->offset, &bytes, sizeof bytes);
}

static void read_count(const struct slot *slot)
{
    const char *text = bare_text(slot);
    uint64_t value;
    if (text != NULL && config_parse_whole(&value, text, strlen(text)) && in_range(slot->key, value))
        store_u32(slot, value);
    else
        slot_refuse(slot, "a whole number from %" PRIu64 " to %" PRIu64 "%s", slot->key->min, slot->key->max,
                    unless_quoted(slot));
}

/* The processors that this process may run on: a container or taskset may give it fewer than there are. */
static uint64_t usable_processors(uint64_t limit)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    uint64_t usable = count < 1 ? 1 : (uint64_t)count;
    return usable < limit ? usable : limit;
}

static void read_workers(const struct slot *slot)
{
    const char *text = slot_text(slot);
    uint64_t value;
    if (text != NULL && strcmp(text, "auto") == 0)
        store_u32(slot, usable_processors(slot->key->max));
    else if (bare_text(slot) != NULL && config_parse_whole(&value, text, strlen(text)) && in_range(slot->key, value))
        store_u32(slot, value);
    else
        slot_refuse(slot, "auto, or a whole number from %" PRIu64 " to %" PRIu64 "%s", slot->key->min, slot->key->max,
                    unless_quoted(slot));
}

static bool parse_rate(struct rate *rate, const struct key *key, const char *text)
{
    const char *slash = strchr(text, '/');
    uint64_t count;
    if (slash == NULL || !config_parse_whole(&count, text, (size_t)(slash - text)) || !in_range(key, count))
        return false;
    for (size_t i = 0; i < sizeof rate_units / sizeof *rate_units; i++) {
        if (strcmp(slash + 1, rate_units[i].name) == 0) {
            *rate = (struct rate){.count = (uint32_t)count, .per_s = (uint32_t)rate_units[i].factor};
            return true;
        }
    }
    return false;
}

static void read_rate(const struct slot *slot)
{
    const char *text = slot_text(slot);
    struct rate rate;
    if (text != NULL && parse_rate(&rate, slot->key, text))
        memcpy(slot->base + slot->key->offset, &rate, sizeof rate);
    else
        slot_refuse(slot, "COUNT/s, COUNT/m, COUNT/h or COUNT/d, with a COUNT from %" PRIu64 " to %" PRIu64,
                    slot->key->min, slot->key->max);
}

static void read_boolean(const struct slot *slot)
{
    const char *text = bare_text(slot);
    bool value = text != NULL && strcmp(text, "true") == 0;
    if (value || (text != NULL && strcmp(text, "false") == 0))
        memcpy(slot->base + slot->key->offset, &value, sizeof value);
    else
        slot_refuse(slot, "true or false%s", unless_quoted(slot));
}

_Static_assert(sizeof(enum users_mode) == sizeof(unsigned) && sizeof(enum log_level) == sizeof(unsigned),
               "type_choice writes every enum as an unsigned");

static void read_choice(const struct slot *slot)
{
    const char *text = slot_text(slot);
    char allowed[200] = "";
    for (unsigned i = 0; slot->key->words[i] != NULL; i++) {
        if (text != NULL && strcmp(text, slot->key->words[i]) == 0) {
            memcpy(slot->base + slot->key->offset, &i, sizeof i);
            return;
        }
    }
    slot_refuse(slot, "%s", schema_list_words(allowed, sizeof allowed, slot->key->words));
}

const struct value_type type_workers = {.read = read_workers, .same = same_u32};
const struct value_type type_count = {.read = read_count, .same = same_u32};
const struct value_type type_seconds = {.read = read_seconds, .same = same_u32};
const struct value_type type_milliseconds = {.read = read_milliseconds, .same = same_u32};
const struct value_type type_small_size = {.read = read_small_size, .same = same_u32};
const struct value_type type_size = {.read = read_size, .same = same_u64};
const struct value_type type_rate = {.read = read_rate, .same = same_rate};
const struct value_type type_boolean = {.read = read_boolean, .same = same_bool};
const struct value_type type_choice = {.read = read_choice, .same = same_u32};
