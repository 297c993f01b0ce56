/* block_file: see block_file.h. */
#include "daemon/block_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    VERSION_AT = BLOCK_FILE_MAGIC_BYTES,
    NUMBER_AT = VERSION_AT + 4,
    MADE_AT = NUMBER_AT + 8,
    HEADER_BYTES = MADE_AT + 8,
    BLOCK_HEADER_BYTES = 4 + 8,
    END_BYTES = 4 + 8 + 8,
    BUFFER_BYTES = 64 * 1024,
};

struct block_file {
    int fd;
    size_t held; /* in the buffer */
    uint8_t header[HEADER_BYTES];
    char path[BLOCK_FILE_PATH_BYTES];
    char temporary[BLOCK_FILE_PATH_BYTES];
    uint8_t buffer[BUFFER_BYTES];
};

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void put_u64(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

/* --- writing --- */

/* To the kernel. 0, or a negative errno. */
static int write_out(struct block_file *file, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write(file->fd, data, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return wrote < 0 ? -errno : -EIO;
        data += wrote;
        size -= (size_t)wrote;
    }
    return 0;
}

static int flush(struct block_file *file)
{
    int result = write_out(file, file->buffer, file->held);
    file->held = 0;
    return result;
}

static int put(struct block_file *file, const uint8_t *data, size_t size)
{
    if (file->held + size > sizeof file->buffer) {
        int result = flush(file);
        if (result != 0)
            return result;
    }
    if (size > sizeof file->buffer)
        return write_out(file, data, size);
    memcpy(file->buffer + file->held, data, size);
    file->held += size;
    return 0;
}

static void put_header(struct block_file *file, const struct block_file_kind *kind, uint64_t number, int64_t now_ms)
{
    uint8_t *header = file->header;
    memcpy(header, kind->magic, BLOCK_FILE_MAGIC_BYTES);
    put_u32(header + VERSION_AT, kind->version);
    put_u64(header + NUMBER_AT, number);
    put_u64(header + MADE_AT, (uint64_t)now_ms);
    (void)put(file, header, HEADER_BYTES); /* fits the empty buffer */
}

struct block_file *block_file_begin(const struct block_file_kind *kind, const char *path, uint64_t number,
                                    int64_t now_ms, struct error *error)
{
    struct block_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    int length = snprintf(file->temporary, sizeof file->temporary, "%s.new", path);
    if (length >= (int)sizeof file->temporary) {
        error_set(error, "cannot write %.64s…: the path is too long", path);
        free(file);
        return NULL;
    }
    snprintf(file->path, sizeof file->path, "%s", path);
    file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file->fd < 0) {
        error_set(error, "cannot write %s: %s", file->temporary, strerror(errno));
        free(file);
        return NULL;
    }
    put_header(file, kind, number, now_ms);
    return file;
}

int block_file_add(struct block_file *file, const uint8_t *data, size_t size)
{
    uint8_t header[BLOCK_HEADER_BYTES];
    if (size == 0 || size > BLOCK_FILE_BLOCK_MAX)
        return -EFBIG;
    put_u32(header, (uint32_t)size);
    put_u64(header + 4, XXH3_64bits(data, size));
    int result = put(file, header, sizeof header);
    return result == 0 ? put(file, data, size) : result;
}

/* The name itself is on disk only when its folder is. */
static int sync_folder(const char *path)
{
    char folder[BLOCK_FILE_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - path) : 1, slash != NULL ? path : ".");
    int fd = open(folder[0] != '\0' ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = fsync(fd);
    int reason = errno;
    close(fd);
    errno = reason;
    return result;
}

int block_file_finish(struct block_file *file, uint64_t count, struct error *error)
{
    uint8_t end[END_BYTES];
    put_u32(end, 0);
    put_u64(end + 4, count);
    put_u64(end + 12, XXH3_64bits_withSeed(file->header, HEADER_BYTES, count));
    int failure = -put(file, end, sizeof end);
    if (failure == 0)
        failure = -flush(file);
    if (failure == 0 && fsync(file->fd) != 0)
        failure = errno;
    if (failure == 0 && (rename(file->temporary, file->path) != 0 || sync_folder(file->path) != 0))
        failure = errno;
    if (failure != 0)
        error_set(error, "cannot write %s: %s", file->path, strerror(failure));
    block_file_cancel(file);
    return failure != 0 ? -1 : 0;
}

void block_file_cancel(struct block_file *file)
{
    close(file->fd);
    unlink(file->temporary); /* gone already where it was renamed */
    free(file);
}

/* --- reading --- */

struct reading {
    const struct block_file_kind *kind;
    FILE *stream;
    const char *path;
    uint8_t *block;
    size_t capacity;
    struct error *error;
};

static int damaged(const struct reading *reading, const char *what)
{
    return error_set(reading->error, "%s: %s at byte %ld", reading->path, what, ftell(reading->stream));
}

static int read_header(const struct reading *reading, uint8_t header[static HEADER_BYTES])
{
    if (fread(header, HEADER_BYTES, 1, reading->stream) != 1 ||
        memcmp(header, reading->kind->magic, BLOCK_FILE_MAGIC_BYTES) != 0)
        return error_set(reading->error, "%s: no %s of this tracker", reading->path, reading->kind->name);
    uint64_t version = get(header + VERSION_AT, 4);
    if (version != reading->kind->version)
        return error_set(reading->error, "%s: version %" PRIu64 ", this tracker reads version %" PRIu32, reading->path,
                         version, reading->kind->version);
    return 0;
}

/* 1: a block was read; 0: the end; -1 with a reason. */
static int read_block(struct reading *reading, size_t *size)
{
    uint8_t header[BLOCK_HEADER_BYTES];
    if (fread(header, 4, 1, reading->stream) != 1)
        return damaged(reading, "cut off");
    *size = get(header, 4);
    if (*size == 0)
        return 0;
    if (*size > BLOCK_FILE_BLOCK_MAX || fread(header + 4, 8, 1, reading->stream) != 1)
        return damaged(reading, "damaged");
    if (*size > reading->capacity) {
        uint8_t *larger = realloc(reading->block, *size);
        if (larger == NULL)
            return error_set(reading->error, "out of memory");
        reading->block = larger;
        reading->capacity = *size;
    }
    if (fread(reading->block, *size, 1, reading->stream) != 1)
        return damaged(reading, "cut off");
    return XXH3_64bits(reading->block, *size) == get(header + 4, 8) ? 1 : damaged(reading, "damaged");
}

static int read_all(struct reading *reading, block_file_fn *block, void *context, struct block_file_facts *facts)
{
    uint8_t header[HEADER_BYTES];
    if (read_header(reading, header) != 0)
        return -1;
    size_t size = 0;
    int result;
    while ((result = read_block(reading, &size)) == 1) {
        int taken = block(context, reading->block, size);
        if (taken == -ENOMEM)
            return error_set(reading->error, "out of memory");
        if (taken != 0)
            return damaged(reading, "damaged");
    }
    uint8_t end[END_BYTES - 4];
    if (result != 0)
        return -1;
    if (fread(end, sizeof end, 1, reading->stream) != 1)
        return damaged(reading, "cut off");
    facts->count = get(end, 8);
    if (get(end + 8, 8) != XXH3_64bits_withSeed(header, sizeof header, facts->count) || fgetc(reading->stream) != EOF)
        return damaged(reading, "damaged");
    facts->number = get(header + NUMBER_AT, 8);
    facts->made_at_ms = (int64_t)get(header + MADE_AT, 8);
    return 0;
}

int block_file_read(const struct block_file_kind *kind, const char *path, block_file_fn *block, void *context,
                    struct block_file_facts *facts, struct error *error)
{
    struct reading reading = {.kind = kind, .stream = fopen(path, "rbe"), .path = path, .error = error};
    if (reading.stream == NULL)
        return error_set(error, "%s: %s", path, strerror(errno));
    int result = read_all(&reading, block, context, facts);
    free(reading.block);
    fclose(reading.stream);
    return result;
}
