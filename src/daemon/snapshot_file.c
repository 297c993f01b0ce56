/* snapshot_file: see snapshot_file.h. */
#include "daemon/snapshot_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"

static const char magic[] = "privtrak-snapshot";

enum {
    PATH_BYTES = 4096,
    HEADER_BYTES = sizeof magic + 4 + 8 + 8,
    BLOCK_HEADER_BYTES = 4 + 8,
    END_BYTES = 4 + 8 + 8,
    BLOCK_MAX = 64 * 1024 * 1024, /* none that is written comes near: a longer one is damage */
    LISTED_MAX = 64,
};

struct snapshot_file {
    FILE *stream;
    uint8_t header[HEADER_BYTES];
    char folder[PATH_BYTES];
    char path[PATH_BYTES];
    char temporary[PATH_BYTES];
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

static int path_of(char path[static PATH_BYTES], const char *folder, uint64_t seq, const char *ending)
{
    int length = snprintf(path, PATH_BYTES, "%s/%020" PRIu64 ".snapshot%s", folder, seq, ending);
    return length < PATH_BYTES ? 0 : -ENAMETOOLONG;
}

/* --- writing --- */

static int write_header(struct snapshot_file *file, uint64_t seq, int64_t now_ms)
{
    uint8_t *header = file->header;
    memcpy(header, magic, sizeof magic);
    put_u32(header + sizeof magic, SNAPSHOT_VERSION);
    put_u64(header + sizeof magic + 4, seq);
    put_u64(header + sizeof magic + 12, (uint64_t)now_ms);
    return fwrite(header, HEADER_BYTES, 1, file->stream) == 1 ? 0 : -EIO;
}

struct snapshot_file *snapshot_file_begin(const char *folder, uint64_t seq, int64_t now_ms, struct error *error)
{
    struct snapshot_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    bool named = snprintf(file->folder, sizeof file->folder, "%s", folder) < PATH_BYTES &&
                 path_of(file->path, folder, seq, "") == 0 && path_of(file->temporary, folder, seq, ".new") == 0;
    if (!named || (mkdir(folder, 0700) != 0 && errno != EEXIST)) {
        error_set(error, "cannot make %s: %s", folder, named ? strerror(errno) : "the path is too long");
        free(file);
        return NULL;
    }
    int fd = open(file->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    file->stream = fd < 0 ? NULL : fdopen(fd, "wb");
    if (file->stream == NULL || write_header(file, seq, now_ms) != 0) {
        error_set(error, "cannot write %s: %s", file->temporary, strerror(errno));
        if (file->stream == NULL && fd >= 0)
            close(fd);
        snapshot_file_cancel(file);
        return NULL;
    }
    return file;
}

int snapshot_file_add(struct snapshot_file *file, const uint8_t *data, size_t size)
{
    uint8_t header[BLOCK_HEADER_BYTES];
    if (size > BLOCK_MAX)
        return -EFBIG;
    put_u32(header, (uint32_t)size);
    put_u64(header + 4, XXH3_64bits(data, size));
    errno = EIO;
    if (fwrite(header, sizeof header, 1, file->stream) != 1 || fwrite(data, size, 1, file->stream) != 1)
        return -errno;
    return 0;
}

static int sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = fsync(fd);
    close(fd);
    return result;
}

int snapshot_file_finish(struct snapshot_file *file, uint64_t sessions, struct error *error)
{
    uint8_t end[END_BYTES];
    put_u32(end, 0);
    put_u64(end + 4, sessions);
    put_u64(end + 12, XXH3_64bits_withSeed(file->header, HEADER_BYTES, sessions));
    bool whole =
        fwrite(end, sizeof end, 1, file->stream) == 1 && fflush(file->stream) == 0 && fsync(fileno(file->stream)) == 0;
    int result = whole ? 0 : -1;
    if (fclose(file->stream) != 0)
        result = -1;
    file->stream = NULL;
    if (result == 0)
        result = rename(file->temporary, file->path) == 0 ? sync_folder(file->folder) : -1;
    if (result != 0)
        error_set(error, "cannot write %s: %s", file->path, strerror(errno));
    snapshot_file_cancel(file);
    return result;
}

void snapshot_file_cancel(struct snapshot_file *file)
{
    if (file->stream != NULL)
        fclose(file->stream);
    unlink(file->temporary); /* gone already where it was renamed */
    free(file);
}

/* --- the folder --- */

static int newer_first(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
    return one < other ? 1 : one > other ? -1 : 0;
}

size_t snapshot_file_list(const char *folder, uint64_t *seqs, size_t max)
{
    uint64_t found[LISTED_MAX];
    size_t count = 0;
    DIR *directory = opendir(folder);
    if (directory == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL && count < LISTED_MAX;) {
        uint64_t seq;
        int end = 0;
        if (sscanf(entry->d_name, "%20" SCNu64 ".snapshot%n", &seq, &end) == 1 && end > 0 && entry->d_name[end] == '\0')
            found[count++] = seq;
    }
    closedir(directory);
    qsort(found, count, sizeof *found, newer_first);
    count = count < max ? count : max;
    memcpy(seqs, found, count * sizeof *seqs);
    return count;
}

void snapshot_file_trim(const char *folder)
{
    uint64_t seqs[LISTED_MAX];
    size_t count = snapshot_file_list(folder, seqs, LISTED_MAX);
    char path[PATH_BYTES];
    for (size_t i = SNAPSHOTS_KEPT; i < count; i++)
        if (path_of(path, folder, seqs[i], "") == 0)
            unlink(path);
    DIR *directory = opendir(folder);
    if (directory == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        size_t length = strlen(entry->d_name);
        bool is_half = length > 4 && strcmp(entry->d_name + length - 4, ".new") == 0;
        if (is_half && snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < PATH_BYTES)
            unlink(path);
    }
    closedir(directory);
}

/* --- reading --- */

struct reading {
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

static int read_header(const struct reading *reading, uint64_t seq, uint8_t header[static HEADER_BYTES])
{
    if (fread(header, HEADER_BYTES, 1, reading->stream) != 1 || memcmp(header, magic, sizeof magic) != 0)
        return damaged(reading, "no snapshot of this tracker");
    uint64_t version = get(header + sizeof magic, 4);
    if (version != SNAPSHOT_VERSION)
        return error_set(reading->error, "%s: version %" PRIu64 ", this tracker reads version %d", reading->path,
                         version, SNAPSHOT_VERSION);
    if (get(header + sizeof magic + 4, 8) != seq)
        return damaged(reading, "it covers another number than its name says");
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
    if (*size > BLOCK_MAX || fread(header + 4, 8, 1, reading->stream) != 1)
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

static int read_all(struct reading *reading, uint64_t seq, snapshot_block_fn *block, void *context, int64_t *made_at_ms,
                    uint64_t *sessions)
{
    uint8_t header[HEADER_BYTES];
    if (read_header(reading, seq, header) != 0)
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
    *sessions = get(end, 8);
    if (get(end + 8, 8) != XXH3_64bits_withSeed(header, sizeof header, *sessions) || fgetc(reading->stream) != EOF)
        return damaged(reading, "damaged");
    *made_at_ms = (int64_t)get(header + sizeof magic + 12, 8);
    return 0;
}

int snapshot_file_read(const char *folder, uint64_t seq, snapshot_block_fn *block, void *context, int64_t *made_at_ms,
                       uint64_t *sessions, struct error *error)
{
    char path[PATH_BYTES];
    if (path_of(path, folder, seq, "") != 0)
        return error_set(error, "%s: the path is too long", folder);
    struct reading reading = {.stream = fopen(path, "rbe"), .path = path, .error = error};
    if (reading.stream == NULL)
        return error_set(error, "%s: %s", path, strerror(errno));
    int result = read_all(&reading, seq, block, context, made_at_ms, sessions);
    free(reading.block);
    fclose(reading.stream);
    return result;
}
