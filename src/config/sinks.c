/* sinks: the type of the list deltas.sinks; see values.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/values.h"

enum { SINKS_MAX = 64 };

static const char section[] = "deltas.sinks[]";

/* Which type a key belongs to, and whether that type cannot do without it. */
static const struct {
    const char *key;
    const char *type;
    bool needed;
} owners[] = {
    {"path", "ndjson", true},
    {"rotate", "ndjson", false},
    {"url", "webhook", true},
    {"timeout", "webhook", false},
};

static const struct node *find_child(const struct node *node, const char *name)
{
    for (const struct node *child = node->first; child != NULL; child = child->next) {
        if (child->key != NULL && strcmp(child->key->text, name) == 0)
            return child;
    }
    return NULL;
}

static void refuse_key(const struct slot *element, uint32_t line, const char *key, const char *text)
{
    char path[KEY_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s.%s", element->path, key);
    faults_add(reading_faults(element->reading), line, path, "%s", text);
}

/* Does every key that is there belong to the type, and is every key there that the type needs? */
static void check_owners(const struct slot *element, const char *type)
{
    for (size_t i = 0; i < sizeof owners / sizeof *owners; i++) {
        const struct node *child = find_child(element->node, owners[i].key);
        bool owned = strcmp(owners[i].type, type) == 0;
        char text[100];
        if (child != NULL && !owned) {
            (void)snprintf(text, sizeof text, "found with type %s, allowed only with type %s", type, owners[i].type);
            refuse_key(element, child->key->line, owners[i].key, text);
        } else if (child == NULL && owned && owners[i].needed) {
            (void)snprintf(text, sizeof text, "found nothing, allowed a %s: type %s needs it", owners[i].key, type);
            refuse_key(element, element->node->line, owners[i].key, text);
        }
    }
}

/* Two sinks of one target would deliver everything there twice. */
static void check_twice(const struct slot *element, const struct config_sink *sinks, size_t index)
{
    const struct config_sink *sink = &sinks[index];
    for (size_t i = 0; i < index; i++) {
        if (sinks[i].type == NULL || strcmp(sinks[i].type, sink->type) != 0)
            continue;
        if (strcmp(sink->type, "database") == 0)
            refuse_key(element, element->node->line, "type", "found database a second time, allowed once");
        else if (sink->path[0] != '\0' && strcmp(sinks[i].path, sink->path) == 0)
            refuse_key(element, element->node->line, "path", "found the path of another sink, allowed one of its own");
        else if (sink->url[0] != '\0' && strcmp(sinks[i].url, sink->url) == 0)
            refuse_key(element, element->node->line, "url", "found the url of another sink, allowed one of its own");
        else
            continue;
        return;
    }
}

static bool fill_in(char **text)
{
    if (*text == NULL)
        *text = strdup("");
    return *text != NULL;
}

static void read_sink(const struct slot *element, struct config_sink *sinks, size_t index)
{
    struct config_sink *sink = &sinks[index];
    sink->line = element->node->line;
    if (element->node->kind != NODE_MAPPING) {
        slot_refuse(element, "a sink, such as {type: database}");
        return;
    }
    reading_take_section(element->reading, element->node, section, element->path, (char *)sink);
    if (!fill_in(&sink->path) || !fill_in(&sink->url)) {
        slot_out_of_memory(element);
        return;
    }
    if (sink->type != NULL) {
        check_owners(element, sink->type);
        check_twice(element, sinks, index);
    } else if (find_child(element->node, "type") == NULL) {
        refuse_key(element, element->node->line, "type", "found nothing, allowed database, ndjson or webhook");
    }
}

static void store(const struct slot *slot, void *sinks, size_t count)
{
    memcpy(slot->base + slot->key->offset, &sinks, sizeof sinks);
    memcpy(slot->base + slot->key->count_offset, &count, sizeof count);
}

static void read_sinks(const struct slot *slot)
{
    size_t count;
    if (!slot_open_list(slot, &count) || count == 0)
        return;
    if (count > SINKS_MAX) {
        slot_refuse(slot, "at most %d sinks", SINKS_MAX);
        return;
    }
    struct config_sink *sinks = slot_new_list(slot, count, sizeof *sinks);
    if (sinks == NULL)
        return;
    store(slot, sinks, count);
    size_t i = 0;
    for (const struct node *node = slot->node->first; node != NULL; node = node->next, i++) {
        char path[KEY_PATH_BYTES];
        struct slot element = slot_element(slot, node, i, path);
        read_sink(&element, sinks, i);
    }
}

static struct config_sink *load(const struct key *key, const char *base, size_t *count)
{
    void *sinks;
    memcpy(&sinks, base + key->offset, sizeof sinks);
    memcpy(count, base + key->count_offset, sizeof *count);
    return sinks;
}

static bool same_sink(const struct config_sink *a, const struct config_sink *b)
{
    return strcmp(a->type, b->type) == 0 && strcmp(a->path, b->path) == 0 && strcmp(a->url, b->url) == 0 &&
           a->rotate_bytes == b->rotate_bytes && a->timeout_s == b->timeout_s;
}

static bool same_sinks(const struct key *key, const char *a, const char *b)
{
    size_t count;
    size_t other_count;
    const struct config_sink *sinks = load(key, a, &count);
    const struct config_sink *others = load(key, b, &other_count);
    bool same = count == other_count;
    for (size_t i = 0; same && i < count; i++)
        same = same_sink(&sinks[i], &others[i]);
    return same;
}

static void clear_sinks(const struct key *key, char *base)
{
    size_t count;
    struct config_sink *sinks = load(key, base, &count);
    for (size_t i = 0; i < count; i++) {
        free(sinks[i].type);
        free(sinks[i].path);
        free(sinks[i].url);
    }
    free(sinks);
}

const struct value_type type_sinks = {.read = read_sinks, .same = same_sinks, .clear = clear_sinks};
