/* texts: the types of words, paths and URLs, and what all types share to tell a fault; see values.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/values.h"

enum { HEADER_NAME_MAX = 64 };

const char *node_describe(const struct node *node, char found[static FOUND_BYTES])
{
    enum { SHOWN = FOUND_BYTES - 8 };
    if (node->kind != NODE_SCALAR)
        return node->kind == NODE_LIST ? "a list" : "a section";
    if (node_is_nothing(node))
        return "nothing";
    if (node->length == 0)
        return "\"\"";
    size_t length = node->length < SHOWN ? node->length : SHOWN;
    if (length < node->length) {
        while (length > 0 && ((unsigned char)node->text[length] & 0xc0) == 0x80) /* not within a UTF-8 character */
            length--;
    }
    memcpy(found, node->text, length);
    (void)strlcpy(found + length, length < node->length ? "..." : "", FOUND_BYTES - length);
    /* A URL may hold a password, and what is told here ends up in logs. */
    char *colon = strchr(found, ':');
    if (colon != NULL && (strchr(node->text, '@') != NULL || strcasestr(node->text, "pass") != NULL))
        (void)strlcpy(colon + 1, "...", FOUND_BYTES - (size_t)(colon + 1 - found));
    return found;
}

void slot_refuse(const struct slot *slot, const char *format, ...)
{
    char found[FOUND_BYTES];
    char allowed[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(allowed, sizeof allowed, format, arguments);
    va_end(arguments);
    faults_add(reading_faults(slot->reading), slot->node->line, slot->path, "found %s, allowed %s",
               node_describe(slot->node, found), allowed);
    reading_distrust(slot->reading, slot->key);
}

void slot_out_of_memory(const struct slot *slot)
{
    reading_faults(slot->reading)->out_of_memory = true;
}

const char *slot_text(const struct slot *slot)
{
    return slot->node->kind == NODE_SCALAR && !node_is_nothing(slot->node) ? slot->node->text : NULL;
}

void slot_keep_text(const struct slot *slot)
{
    char **place = (char **)(void *)(slot->base + slot->key->offset);
    *place = strdup(slot->node->text);
    if (*place == NULL)
        slot_out_of_memory(slot);
}

const char *schema_list_words(char *list, size_t size, const char *const *words)
{
    size_t used = 0;
    list[0] = '\0';
    for (size_t i = 0; words[i] != NULL && used < size; i++) {
        const char *separator = i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ";
        int written = snprintf(list + used, size - used, "%s%s", separator, words[i]);
        used += written < 0 ? 0 : (size_t)written;
    }
    return list;
}

static char *text_at(const struct key *key, const char *base)
{
    char *text;
    memcpy(&text, base + key->offset, sizeof text);
    return text;
}

static bool same_text(const struct key *key, const char *a, const char *b)
{
    return strcmp(text_at(key, a), text_at(key, b)) == 0;
}

static void clear_text(const struct key *key, char *base)
{
    free(text_at(key, base));
}

/* What YAML reads as a number or boolean where it has no quotes. */
static bool is_no_text(const struct node *node)
{
    return node->plain && node->length > 0 &&
           (strspn(node->text, "0123456789") == node->length || strcmp(node->text, "true") == 0 ||
            strcmp(node->text, "false") == 0);
}

static void read_text(const struct slot *slot)
{
    if (slot_text(slot) != NULL && !is_no_text(slot->node))
        slot_keep_text(slot);
    else
        slot_refuse(slot, "a text, \"\" for none%s", is_no_text(slot->node) ? "; in quotes it would be one" : "");
}

static void read_file(const struct slot *slot)
{
    const char *text = slot_text(slot);
    if (text != NULL && text[0] != '\0' && !is_no_text(slot->node))
        slot_keep_text(slot);
    else
        slot_refuse(slot, "a path%s", is_no_text(slot->node) ? "; in quotes it would be one" : "");
}

static void read_word(const struct slot *slot)
{
    const char *text = slot_text(slot);
    char allowed[200];
    for (size_t i = 0; text != NULL && slot->key->words[i] != NULL; i++) {
        if (strcmp(text, slot->key->words[i]) == 0) {
            slot_keep_text(slot);
            return;
        }
    }
    slot_refuse(slot, "%s", schema_list_words(allowed, sizeof allowed, slot->key->words));
}

static void read_header(const struct slot *slot)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const char *text = slot_text(slot);
    size_t length = text == NULL ? 0 : strspn(text, token);
    if (length > 0 && length <= HEADER_NAME_MAX && text[length] == '\0')
        slot_keep_text(slot);
    else
        slot_refuse(slot, "the name of an HTTP header, such as X-Forwarded-For");
}

static bool has_prefix(const char *text, const char *prefix)
{
    return text != NULL && strncmp(text, prefix, strlen(prefix)) == 0;
}

static void read_database_url(const struct slot *slot)
{
    const char *text = slot_text(slot);
    bool sqlite = has_prefix(text, "sqlite:") && text[strlen("sqlite:")] != '\0';
    if (sqlite || has_prefix(text, "postgresql://") || has_prefix(text, "mariadb://"))
        slot_keep_text(slot);
    else
        slot_refuse(slot, "sqlite:PATH, postgresql://USER@HOST/DATABASE or mariadb://USER@HOST/DATABASE");
}

/* The host and what follows it are for libcurl to judge; here only that there is one, and nothing that ends a line. */
static void read_web_url(const struct slot *slot)
{
    const char *text = slot_text(slot);
    size_t scheme = has_prefix(text, "http://") ? 7 : has_prefix(text, "https://") ? 8 : 0;
    bool good = scheme > 0 && strchr("/:?#@", text[scheme]) == NULL;
    for (const char *c = text; good && *c != '\0'; c++)
        good = (unsigned char)*c > ' ' && *c != 0x7f;
    if (good)
        slot_keep_text(slot);
    else
        slot_refuse(slot, "http://HOST/PATH or https://HOST/PATH");
}

const struct value_type type_word = {.read = read_word, .same = same_text, .clear = clear_text};
const struct value_type type_text = {.read = read_text, .same = same_text, .clear = clear_text};
const struct value_type type_file = {.read = read_file, .same = same_text, .clear = clear_text};
const struct value_type type_header = {.read = read_header, .same = same_text, .clear = clear_text};
const struct value_type type_database_url = {.read = read_database_url, .same = same_text, .clear = clear_text};
const struct value_type type_web_url = {.read = read_web_url, .same = same_text, .clear = clear_text};
