/* reading: tracker.yaml to struct config, by the schema; see config.h and reading.h. */
#include "config/reading.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/document.h"
#include "config/values.h"

enum { STANDARD_BYTES = 64 }; /* longer than any default that is no list */

struct faults *reading_faults(struct reading *reading)
{
    return &reading->faults;
}

void reading_distrust(struct reading *reading, const struct key *key)
{
    reading->distrusted[key - schema] = true;
}

/* A section that is no mapping: the defaults in its place say nothing about what the operator wanted. */
static void distrust_section(struct reading *reading, const char *section)
{
    size_t length = strlen(section);
    for (size_t i = 0; i < schema_size; i++) {
        if (length == 0 || (strncmp(schema[i].name, section, length) == 0 && schema[i].name[length] == '.'))
            reading->distrusted[i] = true;
    }
}

static const char *join_path(char joined[static KEY_PATH_BYTES], const char *path, const char *own)
{
    (void)snprintf(joined, KEY_PATH_BYTES, "%s%s%s", path, path[0] == '\0' ? "" : ".", own);
    return joined;
}

/* A default goes through the same code as what an operator writes. */
static void read_standard(struct slot *slot)
{
    const char *standard = slot->key->standard;
    char text[STANDARD_BYTES];
    struct node scalar = {.kind = NODE_SCALAR, .plain = standard[0] != '\0', .text = text};
    scalar.length = strlcpy(text, standard, sizeof text);
    struct node empty = {.kind = NODE_LIST};
    if (standard[0] != '[' || standard[1] == ']') {
        slot->node = standard[0] == '[' ? &empty : &scalar;
        slot->key->type->read(slot);
        return;
    }
    struct node *root;
    uint32_t line;
    struct error error;
    if (document_parse(standard, strlen(standard), &root, &line, &error) != 0) {
        slot_out_of_memory(slot); /* our own text has no other fault */
        return;
    }
    slot->node = root;
    slot->key->type->read(slot);
    document_free(root);
}

static void read_key(struct reading *reading, const struct key *key, const struct node *node, const char *path,
                     char *base)
{
    struct slot slot = {
        .reading = reading, .key = key, .path = path, .node = node, .base = base, .by_default = node == NULL};
    if (key->type == NULL)
        reading_take_section(reading, node, key->name, path, base);
    else if (node == NULL && key->standard != NULL)
        read_standard(&slot);
    else if (node != NULL)
        key->type->read(&slot);
}

static const struct key *find_in(const char *section, const char *name)
{
    const char *own;
    for (size_t i = 0; i < schema_size; i++) {
        if (schema_is_in(&schema[i], section, &own) && strcmp(own, name) == 0)
            return &schema[i];
    }
    return NULL;
}

static void refuse_unknown(struct reading *reading, const char *section, const char *path, const struct node *key)
{
    const char *names[SCHEMA_LIMIT + 1];
    size_t count = 0;
    for (size_t i = 0; i < schema_size; i++) {
        if (schema_is_in(&schema[i], section, &names[count]))
            count++;
    }
    names[count] = NULL;
    char list[400];
    char found[FOUND_BYTES];
    char joined[KEY_PATH_BYTES];
    faults_add(&reading->faults, key->line, join_path(joined, path, node_describe(key, found)),
               "found an unknown key, allowed %s", schema_list_words(list, sizeof list, names));
}

/* Reads what is written in the section, noting the lines of its keys by their place in the schema. */
static void read_written(struct reading *reading, const struct node *node, const char *section, const char *path,
                         char *base, uint32_t lines[static SCHEMA_LIMIT])
{
    for (const struct node *child = node->first; child != NULL; child = child->next) {
        const struct key *key = find_in(section, child->key->text);
        char joined[KEY_PATH_BYTES];
        if (key == NULL) {
            refuse_unknown(reading, section, path, child->key);
            continue;
        }
        (void)join_path(joined, path, child->key->text);
        size_t place = (size_t)(key - schema);
        if (lines[place] != 0) {
            faults_add(&reading->faults, child->key->line, joined, "found a second time, allowed once (line %u has it)",
                       lines[place]);
            reading_distrust(reading, key);
            continue;
        }
        lines[place] = child->key->line;
        if (base == (char *)reading->config)
            reading->config->lines[place] = child->key->line;
        read_key(reading, key, child, joined, base);
    }
}

void reading_take_section(struct reading *reading, const struct node *node, const char *section, const char *path,
                          char *base)
{
    uint32_t lines[SCHEMA_LIMIT] = {0};
    if (node != NULL && node->kind == NODE_MAPPING) {
        read_written(reading, node, section, path, base, lines);
    } else if (node != NULL && !node_is_nothing(node)) {
        char found[FOUND_BYTES];
        faults_add(&reading->faults, node->line, path[0] == '\0' ? NULL : path, "found %s, allowed %s",
                   node_describe(node, found),
                   path[0] == '\0' ? "sections such as tracker: or http:" : "a section of keys");
        distrust_section(reading, section);
    }
    const char *own;
    for (size_t i = 0; i < schema_size; i++) {
        char joined[KEY_PATH_BYTES];
        if (lines[i] == 0 && schema_is_in(&schema[i], section, &own))
            read_key(reading, &schema[i], NULL, join_path(joined, path, own), base);
    }
}

bool config_wrote(const struct config *config, const char *name)
{
    return config->lines[schema_find(name) - schema] != 0;
}

uint32_t config_line(const struct config *config, const char *name)
{
    char section[KEY_PATH_BYTES];
    (void)snprintf(section, sizeof section, "%s", name);
    for (;;) {
        uint32_t line = config->lines[schema_find(section) - schema];
        char *dot = strrchr(section, '.');
        if (line != 0 || dot == NULL)
            return line == 0 ? 1 : line;
        *dot = '\0';
    }
}

/* Puts `folder` before the path, where that is neither absolute nor "". `prefix_length` bytes before the path stay. */
static bool resolve(char **text, size_t prefix_length, const char *folder)
{
    const char *path = *text + prefix_length;
    char *whole = NULL;
    if (path[0] == '\0' || path[0] == '/' || folder[0] == '\0')
        return true;
    const char *slash = folder[strlen(folder) - 1] == '/' ? "" : "/";
    if (asprintf(&whole, "%.*s%s%s%s", (int)prefix_length, *text, folder, slash, path) < 0)
        return false;
    free(*text);
    *text = whole;
    return true;
}

static bool resolve_paths(struct config *config)
{
    static const char sqlite[] = "sqlite:";
    char *folder = strdup(config->file);
    if (folder == NULL)
        return false;
    char *slash = strrchr(folder, '/');
    *(slash == NULL ? folder : slash + 1) = '\0';
    bool done = resolve(&config->tracker.state_dir, 0, folder);
    free(folder);
    const char *state_dir = config->tracker.state_dir;
    char **paths[] = {&config->http.tls_certificate, &config->http.tls_key, &config->admin.socket,
                      &config->admin.token_file, &config->log.file};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        done = done && resolve(paths[i], 0, state_dir);
    for (size_t i = 0; i < config->deltas.sink_count; i++)
        done = done && resolve(&config->deltas.sinks[i].path, 0, state_dir);
    if (strncmp(config->database.url, sqlite, strlen(sqlite)) == 0)
        done = done && resolve(&config->database.url, strlen(sqlite), state_dir);
    return done;
}

static bool start_config(struct reading *reading, const char *file)
{
    struct config *config = calloc(1, sizeof *config);
    reading->config = config;
    if (config == NULL)
        return false;
    config->file = strdup(file);
    config->lines = calloc(schema_size, sizeof *config->lines);
    return config->file != NULL && config->lines != NULL;
}

enum { MAX_CONNECTIONS_STANDARD = 65536 };

/* Values that depend on others where they are left out. */
static void finish_defaults(struct config *config)
{
    struct config_tracker *tracker = &config->tracker;
    if (!config_wrote(config, "tracker.min_announce_interval") &&
        tracker->min_announce_interval_s > tracker->announce_interval_s)
        tracker->min_announce_interval_s = tracker->announce_interval_s;
    /* Written as it is by default, as in the tracker.yaml that is shipped, it still only means the default. */
    config->http.max_connections_by_default =
        !config_wrote(config, "http.max_connections") || config->http.max_connections == MAX_CONNECTIONS_STANDARD;
}

static bool is_text(const struct value_type *type)
{
    return type == &type_text || type == &type_file || type == &type_header || type == &type_database_url;
}

/* Where a key is at fault its text is NULL: puts the default there, so that the rest can be looked at. */
static void fill_in_texts(struct reading *reading)
{
    char *base = (char *)reading->config;
    for (size_t i = 0; i < schema_size; i++) {
        const struct key *key = &schema[i];
        if (!is_text(key->type) || strchr(key->name, '[') != NULL || *(char **)(void *)(base + key->offset) != NULL)
            continue;
        struct slot slot = {.reading = reading, .key = key, .path = key->name, .base = base, .by_default = true};
        read_standard(&slot);
    }
}

/* Sinks that are at fault keep no path. */
static bool sinks_are_whole(const struct config *config)
{
    for (size_t i = 0; i < config->deltas.sink_count; i++) {
        if (config->deltas.sinks[i].path == NULL)
            return false;
    }
    return true;
}

/* Without these nothing can be said of any file. */
static bool knows_where(const struct reading *reading)
{
    static const char *const keys[] = {"tracker.state_dir", "privileges.user", "privileges.chroot"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (reading->distrusted[schema_find(keys[i]) - schema])
            return false;
    }
    return sinks_are_whole(reading->config);
}

static void look_at_files(struct reading *reading)
{
    if (!knows_where(reading))
        return;
    fill_in_texts(reading);
    if (reading->faults.out_of_memory)
        return;
    if (!resolve_paths(reading->config))
        reading->faults.out_of_memory = true;
    else if (reading->with_files)
        reading_inspect(reading);
}

static void read_document(struct reading *reading, const char *text, size_t length)
{
    struct node *root;
    uint32_t line;
    struct error error;
    if (document_parse(text, length, &root, &line, &error) != 0) {
        faults_add(&reading->faults, line, NULL, "%s", error.text);
        return;
    }
    reading_take_section(reading, root, "", "", (char *)reading->config);
    document_free(root);
    if (reading->faults.out_of_memory)
        return;
    finish_defaults(reading->config);
    reading_check(reading);
    look_at_files(reading);
}

static struct config *parse(const char *file, const char *text, size_t length, bool with_files, config_fault_fn *fault,
                            void *context)
{
    struct reading reading = {.faults = {.file = file}, .with_files = with_files};
    if (start_config(&reading, file))
        read_document(&reading, text, length);
    else
        reading.faults.out_of_memory = true;
    if (faults_tell(&reading.faults, fault, context) == 0)
        return reading.config;
    config_free(reading.config);
    return NULL;
}

struct config *config_parse(const char *file, const char *text, size_t length, config_fault_fn *fault, void *context)
{
    return parse(file, text, length, false, fault, context);
}

/* Reads at most `size` bytes. Returns how many, or -1 with errno. */
static ssize_t read_whole(int fd, char *buffer, size_t size)
{
    size_t used = 0;
    while (used < size) {
        ssize_t got = read(fd, buffer + used, size - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

static struct config *read_file(const char *file, bool with_files, config_fault_fn *fault, void *context)
{
    enum { ROOM = DOCUMENT_BYTES + 1 }; /* one more, so that what is too large is seen to be */
    struct config *config = NULL;
    char *buffer = malloc(ROOM);
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t length = fd < 0 || buffer == NULL ? -1 : read_whole(fd, buffer, ROOM);
    if (length >= 0) {
        config = parse(file, buffer, (size_t)length, with_files, fault, context);
    } else {
        struct error error;
        (void)error_set(&error, "%s: cannot be read: %s", file, strerror(errno));
        fault(context, error.text);
    }
    if (fd >= 0)
        (void)close(fd);
    free(buffer);
    return config;
}

struct config *config_read(const char *file, config_fault_fn *fault, void *context)
{
    return read_file(file, false, fault, context);
}

struct config *config_load(const char *file, config_fault_fn *fault, void *context)
{
    return read_file(file, true, fault, context);
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < schema_size; i++) {
        if (schema[i].type != NULL && schema[i].type->clear != NULL && strchr(schema[i].name, '[') == NULL)
            schema[i].type->clear(&schema[i], (char *)config);
    }
    free(config->file);
    free(config->lines);
    free(config);
}
