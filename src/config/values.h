/* values: the types that a key of the schema can have. Private to config/. */
#ifndef PRIVTRAK_CONFIG_VALUES_H
#define PRIVTRAK_CONFIG_VALUES_H

#include "config/schema.h"

/* Numbers and words: scalars.c. */
extern const struct value_type type_workers;      /* uint32_t: auto or a count */
extern const struct value_type type_count;        /* uint32_t */
extern const struct value_type type_seconds;      /* uint32_t: a duration of whole seconds */
extern const struct value_type type_milliseconds; /* uint32_t: a duration */
extern const struct value_type type_small_size;   /* uint32_t: bytes */
extern const struct value_type type_size;         /* uint64_t: bytes */
extern const struct value_type type_rate;         /* struct rate */
extern const struct value_type type_boolean;      /* bool */
extern const struct value_type type_choice;       /* an enum whose values are numbered like `words` */

/* char *, never NULL once read: texts.c. */
extern const struct value_type type_word;   /* one of `words` */
extern const struct value_type type_text;   /* may be "" */
extern const struct value_type type_file;   /* a path, not "" */
extern const struct value_type type_header; /* the name of an HTTP header */
extern const struct value_type type_database_url;
extern const struct value_type type_web_url;

/* Lists: lists.c. */
extern const struct value_type type_listen;   /* struct listen_list */
extern const struct value_type type_networks; /* struct network * and a count */
extern const struct value_type type_ports;    /* uint16_t * and a count */
extern const struct value_type type_prefixes; /* struct string_list */
extern const struct value_type type_sinks;    /* sinks.c: struct config_sink * and a count */

/* What was found, for a message: the text itself, cut where it is long, or what it is instead. */
enum { FOUND_BYTES = 100 };
const char *node_describe(const struct node *node, char found[static FOUND_BYTES]);

/* Tells `found VALUE, allowed …`; the format is for what is allowed. */
void slot_refuse(const struct slot *slot, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Notes that a value could not be kept for want of memory. */
void slot_out_of_memory(const struct slot *slot);

/* The slot's text where it is a scalar that holds something, else NULL. */
const char *slot_text(const struct slot *slot);

/* Puts a copy of the text in the slot's place. */
void slot_keep_text(const struct slot *slot);

/* Writes "a, b or c"; returns `list`. `words` is ended by NULL. */
const char *schema_list_words(char *list, size_t size, const char *const *words);

/* Reads a whole decimal number of at most 18 digits. */
bool config_parse_whole(uint64_t *value, const char *text, size_t length);

/* Counts the elements; false, told as a fault, where the slot holds no list. */
bool slot_open_list(const struct slot *slot, size_t *count);

/* Zeroed memory for `count` > 0 elements; NULL is already noted. */
void *slot_new_list(const struct slot *slot, size_t count, size_t size);

/* The slot of one element, whose path is written into `path`. */
struct slot slot_element(const struct slot *slot, const struct node *node, size_t index,
                         char path[static KEY_PATH_BYTES]);

/* Reads the mapping `node` by the keys that stand in `section`, with defaults for those that are not written (reading.c). */
void reading_take_section(struct reading *reading, const struct node *node, const char *section, const char *path,
                          char *base);

struct faults *reading_faults(struct reading *reading);

/* Remembers that a key's value is not to be trusted, so that nothing is concluded from it. */
void reading_distrust(struct reading *reading, const struct key *key);

#endif
