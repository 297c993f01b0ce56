/* lists: the types of lists of addresses, networks, ports and prefixes; see values.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/values.h"

enum {
    LISTEN_MAX = 256,
    PREFIX_MAX = 20, /* a peer id has no more bytes (BEP 3) */
};

bool slot_open_list(const struct slot *slot, size_t *count)
{
    *count = 0;
    if (slot->node->kind != NODE_LIST) {
        slot_refuse(slot, "a list, [] for an empty one");
        return false;
    }
    for (const struct node *node = slot->node->first; node != NULL; node = node->next)
        ++*count;
    return true;
}

void *slot_new_list(const struct slot *slot, size_t count, size_t size)
{
    void *list = calloc(count, size);
    if (list == NULL)
        slot_out_of_memory(slot);
    return list;
}

struct slot slot_element(const struct slot *slot, const struct node *node, size_t index,
                         char path[static KEY_PATH_BYTES])
{
    struct slot element = *slot;
    (void)snprintf(path, KEY_PATH_BYTES, "%s[%zu]", slot->path, index);
    element.node = node;
    element.path = path;
    return element;
}

/* Opens a list of `size` bytes an element; NULL with `*count` 0 where it is empty or none. */
static char *new_list(const struct slot *slot, size_t *count, size_t size)
{
    char *list = NULL;
    if (slot_open_list(slot, count) && *count > 0)
        list = slot_new_list(slot, *count, size);
    if (list == NULL)
        *count = 0;
    return list;
}

/*
 * Reads every element as a scalar with `parse` into an array of `size` bytes an
 * element; `allowed` is told where it is none.
 */
static char *read_elements(const struct slot *slot, size_t *count, size_t size,
                           bool (*parse)(void *place, const char *text, size_t length), const char *allowed)
{
    char *list = new_list(slot, count, size);
    size_t i = 0;
    for (const struct node *node = slot->node->first; list != NULL && node != NULL; node = node->next, i++) {
        char path[KEY_PATH_BYTES];
        struct slot element = slot_element(slot, node, i, path);
        const char *text = slot_text(&element);
        if (text == NULL || !parse(list + i * size, text, node->length))
            slot_refuse(&element, "%s", allowed);
    }
    return list;
}

static void *pointer_at(const struct key *key, const char *base)
{
    void *pointer;
    memcpy(&pointer, base + key->offset, sizeof pointer);
    return pointer;
}

static size_t count_at(const struct key *key, const char *base)
{
    size_t count;
    memcpy(&count, base + key->count_offset, sizeof count);
    return count;
}

static void store_counted(const struct slot *slot, void *list, size_t count)
{
    memcpy(slot->base + slot->key->offset, &list, sizeof list);
    memcpy(slot->base + slot->key->count_offset, &count, sizeof count);
}

static void clear_pointer(const struct key *key, char *base)
{
    free(pointer_at(key, base));
}

static bool parse_listen(void *place, const char *text, size_t length)
{
    return address_parse(place, text, length);
}

/* Port 0 is another port each time. */
static void refuse_twice(const struct slot *slot, const struct listen_list *list)
{
    size_t i = 0;
    for (const struct node *node = slot->node->first; node != NULL && i < list->count; node = node->next, i++) {
        const struct address *address = &list->addresses[i];
        for (size_t j = 0; j < i; j++) {
            if (address->port != 0 && address_same_ip(address, &list->addresses[j]) &&
                address->port == list->addresses[j].port) {
                char path[KEY_PATH_BYTES];
                struct slot element = slot_element(slot, node, i, path);
                slot_refuse(&element, "each address once");
                break;
            }
        }
    }
}

/* True where the list is just what it would be if nobody had written it: as in the tracker.yaml that is shipped. */
static bool is_standard(const struct key *key, const struct listen_list *list)
{
    char text[512] = "[";
    char address[ADDRESS_TEXT_BYTES];
    for (size_t i = 0; i < list->count; i++) {
        strlcat(text, i == 0 ? "\"" : ", \"", sizeof text);
        strlcat(text, address_format(&list->addresses[i], address), sizeof text);
        strlcat(text, "\"", sizeof text);
    }
    strlcat(text, "]", sizeof text);
    return strcmp(text, key->standard) == 0;
}

static void read_listen(const struct slot *slot)
{
    struct listen_list list = {.by_default = slot->by_default};
    size_t count = 0;
    if (slot->node->kind == NODE_LIST && slot_open_list(slot, &count) && count > LISTEN_MAX) {
        slot_refuse(slot, "at most %d addresses", LISTEN_MAX);
        return;
    }
    list.addresses = (struct address *)read_elements(
        slot, &list.count, sizeof *list.addresses, parse_listen,
        "IPV4:PORT or [IPV6]:PORT with a numeric address, such as 0.0.0.0:6969; port 0 for any free one");
    refuse_twice(slot, &list);
    list.by_default = list.by_default || is_standard(slot->key, &list);
    memcpy(slot->base + slot->key->offset, &list, sizeof list);
}

static bool same_listen(const struct key *key, const char *a, const char *b)
{
    struct listen_list left;
    struct listen_list right;
    memcpy(&left, a + key->offset, sizeof left);
    memcpy(&right, b + key->offset, sizeof right);
    if (left.count != right.count)
        return false;
    for (size_t i = 0; i < left.count; i++) {
        if (!address_same_ip(&left.addresses[i], &right.addresses[i]) ||
            left.addresses[i].port != right.addresses[i].port)
            return false;
    }
    return true;
}

static void clear_listen(const struct key *key, char *base)
{
    struct listen_list list;
    memcpy(&list, base + key->offset, sizeof list);
    free(list.addresses);
}

static bool parse_network(void *place, const char *text, size_t length)
{
    return network_parse(place, text, length);
}

static void read_networks(const struct slot *slot)
{
    size_t count;
    char *list = read_elements(slot, &count, sizeof(struct network), parse_network,
                               "an address or a network, such as 192.0.2.1 or 2001:db8::/32");
    store_counted(slot, list, count);
}

static bool same_networks(const struct key *key, const char *a, const char *b)
{
    const struct network *left = pointer_at(key, a);
    const struct network *right = pointer_at(key, b);
    bool same = count_at(key, a) == count_at(key, b);
    for (size_t i = 0; same && i < count_at(key, a); i++)
        same = left[i].prefix == right[i].prefix && address_same_ip(&left[i].address, &right[i].address);
    return same;
}

static bool parse_port(void *place, const char *text, size_t length)
{
    uint64_t value;
    if (!config_parse_whole(&value, text, length) || value > UINT16_MAX)
        return false;
    uint16_t port = (uint16_t)value;
    memcpy(place, &port, sizeof port);
    return true;
}

/* A port in quotes is a text. */
static void refuse_quoted(const struct slot *slot)
{
    size_t i = 0;
    for (const struct node *node = slot->node->first; node != NULL; node = node->next, i++) {
        char path[KEY_PATH_BYTES];
        struct slot element = slot_element(slot, node, i, path);
        uint16_t port;
        if (slot_text(&element) != NULL && !node->plain && parse_port(&port, node->text, node->length))
            slot_refuse(&element, "a port from 0 to 65535, without quotes");
    }
}

static void read_ports(const struct slot *slot)
{
    size_t count;
    char *list = read_elements(slot, &count, sizeof(uint16_t), parse_port, "a port from 0 to 65535");
    refuse_quoted(slot);
    store_counted(slot, list, count);
}

static bool same_ports(const struct key *key, const char *a, const char *b)
{
    size_t count = count_at(key, a);
    return count == count_at(key, b) &&
           (count == 0 || memcmp(pointer_at(key, a), pointer_at(key, b), count * sizeof(uint16_t)) == 0);
}

static bool parse_prefix(void *place, const char *text, size_t length)
{
    if (length == 0 || length > PREFIX_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= ' ' || text[i] >= 0x7f)
            return false;
    }
    char **string = place;
    *string = strdup(text);
    return *string != NULL;
}

static void read_prefixes(const struct slot *slot)
{
    struct string_list list = {0};
    list.strings = (char **)read_elements(slot, &list.count, sizeof *list.strings, parse_prefix,
                                          "1 to 20 printable characters without spaces, such as -qB46");
    memcpy(slot->base + slot->key->offset, &list, sizeof list);
}

static bool same_prefixes(const struct key *key, const char *a, const char *b)
{
    struct string_list left;
    struct string_list right;
    memcpy(&left, a + key->offset, sizeof left);
    memcpy(&right, b + key->offset, sizeof right);
    bool same = left.count == right.count;
    for (size_t i = 0; same && i < left.count; i++)
        same = strcmp(left.strings[i], right.strings[i]) == 0;
    return same;
}

static void clear_prefixes(const struct key *key, char *base)
{
    struct string_list list;
    memcpy(&list, base + key->offset, sizeof list);
    for (size_t i = 0; i < list.count; i++)
        free(list.strings[i]);
    free(list.strings);
}

const struct value_type type_listen = {.read = read_listen, .same = same_listen, .clear = clear_listen};
const struct value_type type_networks = {.read = read_networks, .same = same_networks, .clear = clear_pointer};
const struct value_type type_ports = {.read = read_ports, .same = same_ports, .clear = clear_pointer};
const struct value_type type_prefixes = {.read = read_prefixes, .same = same_prefixes, .clear = clear_prefixes};
