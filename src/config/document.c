/* document: see document.h. Built from libyaml's events with a stack of its own, never by recursion. */
#include "config/document.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct builder {
    struct node *root;
    struct node *stack[DOCUMENT_DEPTH]; /* the lists and mappings that are open */
    size_t depth;
    struct node *key; /* of the innermost mapping, waiting for its value */
    size_t nodes;
    size_t documents;
    uint32_t line; /* of the event in hand */
    struct error *error;
};

static void free_node(struct node *node)
{
    if (node != NULL) {
        free(node->text);
        free(node);
    }
}

void document_free(struct node *root)
{
    /* Takes the tree apart from the top, hanging children in before what follows. */
    while (root != NULL) {
        struct node *next = root->next;
        if (root->first != NULL) {
            root->last->next = next;
            next = root->first;
        }
        free_node(root->key);
        free_node(root);
        root = next;
    }
}

bool node_is_nothing(const struct node *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    if (node->kind != NODE_SCALAR || !node->plain)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(node->text, words[i]) == 0)
            return true;
    }
    return false;
}

static const char *kind_name(enum node_kind kind)
{
    return kind == NODE_LIST ? "a list" : kind == NODE_MAPPING ? "a section" : "a value";
}

static struct node *new_node(struct builder *builder, enum node_kind kind, const yaml_event_t *event)
{
    if (++builder->nodes > DOCUMENT_NODES) {
        (void)error_set(builder->error, "found more than %d values, allowed fewer", DOCUMENT_NODES);
        return NULL;
    }
    struct node *node = calloc(1, sizeof *node);
    if (node != NULL && kind == NODE_SCALAR) {
        node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        node->length = event->data.scalar.length;
        node->text = malloc(node->length + 1);
        if (node->text == NULL) {
            free(node);
            node = NULL;
        } else {
            memcpy(node->text, event->data.scalar.value, node->length);
            node->text[node->length] = '\0';
        }
    }
    if (node == NULL) {
        (void)error_set(builder->error, "out of memory");
        return NULL;
    }
    node->kind = kind;
    node->line = builder->line;
    return node;
}

/* Puts `node`, now owned by the tree, where it belongs: as root, key, value or element. */
static int attach(struct builder *builder, struct node *node)
{
    struct node *parent = builder->depth == 0 ? NULL : builder->stack[builder->depth - 1];
    if (parent == NULL) {
        builder->root = node;
        return 0;
    }
    if (parent->kind == NODE_MAPPING && builder->key == NULL) {
        if (node->kind != NODE_SCALAR) {
            const char *kind = kind_name(node->kind);
            free_node(node);
            return error_set(builder->error, "found %s as a key, allowed a name", kind);
        }
        builder->key = node;
        return 0;
    }
    node->key = builder->key;
    builder->key = NULL;
    if (parent->last == NULL)
        parent->first = node;
    else
        parent->last->next = node;
    parent->last = node;
    return 0;
}

static int add_scalar(struct builder *builder, const yaml_event_t *event)
{
    if (memchr(event->data.scalar.value, '\0', event->data.scalar.length) != NULL)
        return error_set(builder->error, "found a zero byte in a text, allowed none");
    struct node *node = new_node(builder, NODE_SCALAR, event);
    return node == NULL ? -1 : attach(builder, node);
}

static int open_node(struct builder *builder, enum node_kind kind, const yaml_event_t *event)
{
    if (builder->depth == DOCUMENT_DEPTH)
        return error_set(builder->error, "found more than %d levels, allowed fewer", DOCUMENT_DEPTH);
    struct node *node = new_node(builder, kind, event);
    if (node == NULL || attach(builder, node) != 0)
        return -1;
    builder->stack[builder->depth++] = node;
    return 0;
}

static int refuse_decoration(struct builder *builder, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    const char *what = anchor != NULL ? "an anchor" : tag != NULL ? "a tag" : NULL;
    if (what == NULL)
        return 0;
    return error_set(builder->error, "found %s, allowed YAML without anchors, aliases and tags", what);
}

static int take_event(struct builder *builder, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (builder->documents++ > 0)
            return error_set(builder->error, "found a second document, allowed one");
        return 0;
    case YAML_ALIAS_EVENT:
        return error_set(builder->error, "found an alias, allowed YAML without anchors, aliases and tags");
    case YAML_SCALAR_EVENT:
        if (refuse_decoration(builder, event->data.scalar.anchor, event->data.scalar.tag) != 0)
            return -1;
        return add_scalar(builder, event);
    case YAML_SEQUENCE_START_EVENT:
        if (refuse_decoration(builder, event->data.sequence_start.anchor, event->data.sequence_start.tag) != 0)
            return -1;
        return open_node(builder, NODE_LIST, event);
    case YAML_MAPPING_START_EVENT:
        if (refuse_decoration(builder, event->data.mapping_start.anchor, event->data.mapping_start.tag) != 0)
            return -1;
        return open_node(builder, NODE_MAPPING, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        builder->depth--;
        return 0;
    default:
        return 0;
    }
}

/* libyaml tells the line of a fault in its grammar, but only the offset of a byte that is no text. */
static void tell_syntax(struct builder *builder, const yaml_parser_t *parser, const char *text, size_t length)
{
    size_t line = parser->problem_mark.line;
    if (parser->error == YAML_READER_ERROR) {
        line = 0;
        for (size_t i = 0; i < parser->problem_offset && i < length; i++)
            line += text[i] == '\n';
    }
    builder->line = (uint32_t)line + 1;
    const char *problem = parser->problem != NULL ? parser->problem : "out of memory";
    const char *context = parser->context != NULL ? parser->context : "";
    (void)error_set(builder->error, "found text that is no YAML (%s%s%s), allowed YAML", context,
                    context[0] == '\0' ? "" : ": ", problem);
}

static int run(struct builder *builder, yaml_parser_t *parser, const char *text, size_t length)
{
    bool ended = false;
    int result = 0;
    while (result == 0 && !ended) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            tell_syntax(builder, parser, text, length);
            return -1;
        }
        builder->line = (uint32_t)event.start_mark.line + 1;
        result = take_event(builder, &event);
        ended = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    return result;
}

int document_parse(const char *text, size_t length, struct node **root, uint32_t *line, struct error *error)
{
    struct builder builder = {.line = 1, .error = error};
    yaml_parser_t parser;
    int result = -1;
    *root = NULL;
    if (length > DOCUMENT_BYTES) {
        (void)error_set(error, "found more than %d bytes, allowed a smaller file", DOCUMENT_BYTES);
    } else if (!yaml_parser_initialize(&parser)) {
        (void)error_set(error, "out of memory");
    } else {
        yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
        result = run(&builder, &parser, text, length);
        yaml_parser_delete(&parser);
    }
    free_node(builder.key);
    *line = builder.line;
    if (result == 0)
        *root = builder.root;
    else
        document_free(builder.root);
    return result;
}
