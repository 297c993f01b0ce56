/*
 * ndjson: the sink that appends each delta as a line of JSON to a file. What is in
 * the file is what was taken: its last line tells the position. A file that has its size
 * is kept under the next free number, path.1, path.2, …, and a new one is begun.
 * Runs on the thread sink-ndjson.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "deltas/sink.h"
#include "deltas/sinks/position.h"
#include "deltas/state_file.h"

enum { BUFFER_BYTES = 256 << 10, TAIL_BYTES = 64 << 10 };

struct sink {
    char *path;
    uint64_t rotate_bytes;
    bool include_address;
    struct position kept; /* where the file's lines do not tell: after a rotation, or past parked records */
    uint64_t seq;         /* taken for good */
    int fd;
    uint64_t size;
    unsigned next_number;
    char buffer[BUFFER_BYTES];
    size_t held;
};

/* The seq of a line, or 0 where it is no delta. */
static uint64_t seq_of_line(const char *line, size_t length)
{
    static const char prefix[] = "{\"seq\":";
    char digits[24] = "";
    if (length < sizeof(prefix) + 1 || memcmp(line, prefix, sizeof(prefix) - 1) != 0 || line[length - 1] != '}')
        return 0;
    size_t count = 0;
    for (size_t at = sizeof(prefix) - 1; at < length && count < 20 && line[at] >= '0' && line[at] <= '9'; at++)
        digits[count++] = line[at];
    return strtoull(digits, NULL, 10);
}

/* Finds the last whole line at the end of `fd`: its seq (0: no line at all) and where it ends. */
static int read_tail(const char *path, int fd, uint64_t *seq, uint64_t *end, struct error *error)
{
    struct stat status;
    *seq = 0;
    *end = 0;
    if (fstat(fd, &status) != 0)
        return error_set(error, "%s: %s", path, strerror(errno));
    off_t from = status.st_size > TAIL_BYTES ? status.st_size - TAIL_BYTES : 0;
    char *tail = malloc(TAIL_BYTES);
    if (tail == NULL)
        return error_set(error, "out of memory");
    ssize_t length = pread(fd, tail, TAIL_BYTES, from);
    int result = length < 0 ? error_set(error, "%s: %s", path, strerror(errno)) : 0;
    const char *last = result == 0 ? memrchr(tail, '\n', (size_t)length) : NULL;
    if (last != NULL) {
        const char *before = memrchr(tail, '\n', (size_t)(last - tail));
        const char *line = before != NULL ? before + 1 : tail;
        *seq = seq_of_line(line, (size_t)(last - line));
        *end = (uint64_t)from + (uint64_t)(last + 1 - tail);
    }
    if (result == 0 && ((last != NULL && *seq == 0) || (last == NULL && from > 0)))
        result = error_set(error, "%s: its last line is no delta; move the file away", path);
    free(tail);
    return result;
}

/* The highest N of the files path.N; 0: none. */
static unsigned highest_number(const char *path)
{
    char folder[4096];
    char name[4096];
    unsigned highest = 0;
    (void)snprintf(folder, sizeof(folder), "%s", path);
    (void)snprintf(name, sizeof(name), "%s", path);
    const char *base = basename(name);
    size_t length = strlen(base);
    DIR *directory = opendir(dirname(folder));
    if (directory == NULL)
        return 0;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (strncmp(entry->d_name, base, length) != 0 || entry->d_name[length] != '.')
            continue;
        const char *digits = entry->d_name + length + 1;
        if (*digits == '\0' || strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 9)
            continue;
        unsigned number = (unsigned)strtoul(digits, NULL, 10);
        highest = number > highest ? number : highest;
    }
    closedir(directory);
    return highest;
}

/* Opens the current file, cuts a torn line off, and takes its last line for the position. */
static int open_current(struct sink *sink, struct error *error)
{
    uint64_t seq;
    sink->fd = open(sink->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (sink->fd < 0)
        return error_set(error, "%s: %s", sink->path, strerror(errno));
    if (read_tail(sink->path, sink->fd, &seq, &sink->size, error) != 0)
        return -1;
    struct stat status;
    if (fstat(sink->fd, &status) == 0 && (uint64_t)status.st_size > sink->size)
        log_warning("ndjson", "file=%s: cut off %" PRIu64 " bytes of a torn line", sink->path,
                    (uint64_t)status.st_size - sink->size);
    /* What the lines say was taken has to be on disk before anybody acts on it. */
    if (ftruncate(sink->fd, (off_t)sink->size) != 0 || fsync(sink->fd) != 0)
        return error_set(error, "%s: %s", sink->path, strerror(errno));
    sink->seq = seq > sink->seq ? seq : sink->seq;
    return state_file_sync_folder(sink->path, error);
}

/* The newest numbered file tells the position where the current one is empty. */
static int look_at_numbered(struct sink *sink, struct error *error)
{
    unsigned number = highest_number(sink->path);
    sink->next_number = number + 1;
    if (number == 0 || sink->size > 0)
        return 0;
    char name[4096];
    uint64_t seq, end;
    (void)snprintf(name, sizeof(name), "%s.%u", sink->path, number);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, "%s: %s", name, strerror(errno));
    int result = read_tail(name, fd, &seq, &end, error);
    close(fd);
    if (result == 0 && seq > sink->seq)
        sink->seq = seq;
    return result;
}

static void ndjson_close(struct sink *sink)
{
    if (sink->fd >= 0) {
        struct error error;
        if (sink->seq > 0 && position_write(&sink->kept, sink->seq, &error) != 0)
            log_warning("ndjson", "%s", error.text);
        close(sink->fd);
    }
    position_clear(&sink->kept);
    free(sink->path);
    free(sink);
}

static struct sink *ndjson_open(const struct sink_settings *settings, struct error *error)
{
    struct sink *sink = calloc(1, sizeof(*sink));
    if (sink == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    sink->fd = -1;
    sink->rotate_bytes = settings->sink->rotate_bytes;
    sink->include_address = settings->config->deltas.include_address;
    sink->path = strdup(settings->sink->path);
    if (sink->path == NULL)
        error_set(error, "out of memory");
    if (sink->path == NULL || position_init(&sink->kept, settings, error) != 0 ||
        position_read(&sink->kept, &sink->seq, error) != 0 || open_current(sink, error) != 0 ||
        look_at_numbered(sink, error) != 0) {
        if (sink->fd >= 0)
            close(sink->fd);
        sink->fd = -1;
        ndjson_close(sink);
        return NULL;
    }
    return sink;
}

static enum sink_result ndjson_position(struct sink *sink, uint64_t *seq, struct error *error)
{
    (void)error;
    *seq = sink->seq;
    return SINK_TAKEN;
}

/* Keeps the current file under the next number and begins a new one. */
static int rotate(struct sink *sink, struct error *error)
{
    char name[4096];
    (void)snprintf(name, sizeof(name), "%s.%u", sink->path, sink->next_number);
    if (position_write(&sink->kept, sink->seq, error) != 0)
        return -1;
    if (rename(sink->path, name) != 0)
        return error_set(error, "%s: cannot be renamed to %s: %s", sink->path, name, strerror(errno));
    sink->next_number++;
    close(sink->fd);
    sink->fd = -1;
    sink->size = 0;
    return open_current(sink, error);
}

/* Somebody may have moved the file away (logrotate): what is written is to land under its name. */
static int follow_name(struct sink *sink, struct error *error)
{
    struct stat by_name, by_fd;
    if (sink->fd >= 0 && stat(sink->path, &by_name) == 0 && fstat(sink->fd, &by_fd) == 0 &&
        by_name.st_ino == by_fd.st_ino && by_name.st_dev == by_fd.st_dev)
        return 0;
    if (sink->fd >= 0)
        close(sink->fd);
    return open_current(sink, error);
}

static int write_out(struct sink *sink)
{
    size_t done = 0;
    while (done < sink->held) {
        ssize_t wrote = pwrite(sink->fd, sink->buffer + done, sink->held - done, (off_t)sink->size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            errno = wrote == 0 ? ENOSPC : errno;
            return -1;
        }
        done += (size_t)wrote;
        sink->size += (uint64_t)wrote;
    }
    sink->held = 0;
    return 0;
}

/* Puts all lines behind the file's end. */
static int append(struct sink *sink, const struct delta *deltas, size_t count)
{
    sink->held = 0;
    for (size_t i = 0; i < count; i++) {
        if (deltas[i].seq <= sink->seq)
            continue;
        if (sizeof(sink->buffer) - sink->held < DELTA_JSON_BYTES + 1 && write_out(sink) != 0)
            return -1;
        sink->held +=
            delta_json(&deltas[i], sink->include_address, sink->buffer + sink->held, sizeof(sink->buffer) - sink->held);
        sink->buffer[sink->held++] = '\n';
    }
    return write_out(sink) == 0 ? fdatasync(sink->fd) : -1;
}

static enum sink_result ndjson_deliver(struct sink *sink, const struct delta *deltas, size_t count, struct error *error)
{
    if (count == 0 || deltas[count - 1].seq <= sink->seq)
        return SINK_TAKEN;
    if (follow_name(sink, error) != 0)
        return SINK_RETRY;
    if (sink->rotate_bytes > 0 && sink->size >= sink->rotate_bytes && rotate(sink, error) != 0)
        return SINK_RETRY;
    uint64_t before = sink->size;
    if (append(sink, deltas, count) != 0) {
        error_set(error, "%s: %s", sink->path, strerror(errno));
        sink->size = before;
        /* A part of a batch must not stay: where it cannot be cut off now, opening the file anew will look at its end. */
        if (ftruncate(sink->fd, (off_t)before) != 0) {
            close(sink->fd);
            sink->fd = -1;
        }
        return SINK_RETRY;
    }
    sink->seq = deltas[count - 1].seq;
    return SINK_TAKEN;
}

static enum sink_result ndjson_park(struct sink *sink, const struct delta *delta, const char *reason,
                                    struct error *error)
{
    if (position_park(&sink->kept, delta, reason, sink->include_address, error) != 0 ||
        position_write(&sink->kept, delta->seq, error) != 0)
        return SINK_RETRY;
    sink->seq = delta->seq;
    return SINK_TAKEN;
}

static void ndjson_set_include_address(struct sink *sink, bool include)
{
    sink->include_address = include;
}

static void ndjson_interrupt(struct sink *sink)
{
    (void)sink; /* a local file keeps nobody waiting for long */
}

const struct sink_type sink_ndjson_type = {
    .name = "ndjson",
    .open = ndjson_open,
    .position = ndjson_position,
    .deliver = ndjson_deliver,
    .park = ndjson_park,
    .set_include_address = ndjson_set_include_address,
    .interrupt = ndjson_interrupt,
    .close = ndjson_close,
};
