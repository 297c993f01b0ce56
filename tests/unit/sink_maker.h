/* sink_maker: one sink by itself, for the tests of the sinks that need no database. */
#ifndef PRIVTRAK_TESTS_SINK_MAKER_H
#define PRIVTRAK_TESTS_SINK_MAKER_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "delta_maker.h"
#include "deltas/sink.h"

static struct {
    struct config config;
    struct config_sink settings;
    const struct sink_type *type;
    const char *instance;
    struct sink *sink;
    struct error error;
    uint64_t random;
    struct delta deltas[1000];
} fix;

static inline void fix_begin(const struct sink_type *type)
{
    fix.type = type;
    fix.random = 11;
    fix.instance = "00112233445566778899aabbccddeeff";
    fix.config.tracker.state_dir = maker_folder();
    fix.config.deltas.include_address = true;
    fix.settings =
        (struct config_sink){.type = (char *)type->name, .path = (char *)"", .url = (char *)"", .timeout_s = 2};
}

static inline void fix_end(void)
{
    if (fix.sink != NULL)
        fix.type->close(fix.sink);
    maker_remove(fix.config.tracker.state_dir);
    if (fix.settings.path[0] != '\0')
        free(fix.settings.path);
}

static inline bool fix_try_open(void)
{
    struct sink_settings settings = {
        .config = &fix.config, .sink = &fix.settings, .name = fix.type->name, .instance = fix.instance};
    fix.sink = fix.type->open(&settings, &fix.error);
    return fix.sink != NULL;
}

static inline void fix_open(void)
{
    cr_assert(fix_try_open(), "%s", fix.error.text);
}

static inline void fix_close(void)
{
    fix.type->close(fix.sink);
    fix.sink = NULL;
}

static inline uint64_t fix_position(void)
{
    uint64_t seq = 12345678;
    cr_assert_eq(fix.type->position(fix.sink, &seq, &fix.error), SINK_TAKEN);
    return seq;
}

/* Typical deltas with the seqs `first` to `last` in fix.deltas. */
static inline size_t fix_make(uint64_t first, uint64_t last)
{
    size_t count = (size_t)(last + 1 - first);
    for (size_t i = 0; i < count; i++) {
        fix.deltas[i] = maker_typical(&fix.random, 1763885000000);
        fix.deltas[i].seq = first + i;
    }
    return count;
}

static inline enum sink_result fix_deliver(uint64_t first, uint64_t last)
{
    size_t count = fix_make(first, last);
    return fix.type->deliver(fix.sink, fix.deltas, count, &fix.error);
}

/* The whole file as text; the caller frees it. NULL: there is none. */
static inline char *fix_read(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return NULL;
    fstat(fd, &status);
    char *text = calloc(1, (size_t)status.st_size + 1);
    cr_assert_eq(read(fd, text, (size_t)status.st_size), status.st_size);
    close(fd);
    return text;
}

/* state_dir/name; valid until the next call. */
static inline const char *fix_path(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof(path), "%s/%s", fix.config.tracker.state_dir, name);
    return path;
}

#endif
