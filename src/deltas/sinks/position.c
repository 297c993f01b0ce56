#include "deltas/sinks/position.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deltas/state_file.h"

int position_init(struct position *position, const struct sink_settings *settings, struct error *error)
{
    const char *state_dir = settings->config->tracker.state_dir;
    *position = (struct position){0};
    (void)snprintf(position->instance, sizeof(position->instance), "%s", settings->instance);
    if (asprintf(&position->path, "%s/position-%s", state_dir, settings->name) < 0)
        position->path = NULL;
    if (asprintf(&position->parked_path, "%s/parked-%s.ndjson", state_dir, settings->name) < 0)
        position->parked_path = NULL;
    if (position->path == NULL || position->parked_path == NULL)
        return error_set(error, "out of memory");
    return 0;
}

void position_clear(struct position *position)
{
    free(position->path);
    free(position->parked_path);
    *position = (struct position){0};
}

int position_read(const struct position *position, uint64_t *seq, struct error *error)
{
    char text[128];
    *seq = 0;
    ssize_t length = state_file_read(position->path, text, sizeof(text), error);
    if (length == -ENOENT)
        return 0;
    if (length < 0)
        return -1;
    char *end = NULL;
    errno = 0;
    bool good = length > 33 && text[32] == ' ' && text[33] >= '0' && text[33] <= '9';
    uint64_t value = good ? strtoull(text + 33, &end, 10) : 0;
    if (!good || errno != 0 || strcmp(end, "\n") != 0)
        return error_set(
            error, "%s: found no journal's name and number; remove it, and deltas that were taken will come again",
            position->path);
    if (strncmp(text, position->instance, 32) == 0)
        *seq = value;
    return 0;
}

int position_write(const struct position *position, uint64_t seq, struct error *error)
{
    char text[128];
    int length = snprintf(text, sizeof(text), "%s %" PRIu64 "\n", position->instance, seq);
    return state_file_write(position->path, text, (size_t)length, error);
}

/* Quotes and backslashes escaped, what is not printable as '?'; cut where it does not fit. */
static void quote(char *to, size_t size, const char *text)
{
    size_t length = 0;
    for (; *text != '\0' && length + 3 < size; text++) {
        if (*text == '"' || *text == '\\')
            to[length++] = '\\';
        to[length++] = *text >= 0x20 && *text < 0x7f ? *text : '?';
    }
    to[length] = '\0';
}

/* A line that a crash tore stays, ended, so that the next one stands alone. */
static int append_line(int fd, const char *line, size_t length)
{
    struct stat status;
    char last = '\n';
    if (fstat(fd, &status) != 0 || (status.st_size > 0 && pread(fd, &last, 1, status.st_size - 1) != 1))
        return -1;
    if (last != '\n' && pwrite(fd, "\n", 1, status.st_size) != 1)
        return -1;
    off_t at = status.st_size + (last != '\n');
    while (length > 0) {
        ssize_t wrote = pwrite(fd, line, length, at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return -1;
        line += wrote;
        at += wrote;
        length -= (size_t)wrote;
    }
    return fdatasync(fd);
}

int position_park(const struct position *position, const struct delta *delta, const char *reason, bool include_address,
                  struct error *error)
{
    char record[DELTA_JSON_BYTES];
    char quoted[600];
    char line[DELTA_JSON_BYTES + 700];
    delta_json(delta, include_address, record, sizeof(record));
    quote(quoted, sizeof(quoted), reason);
    int length = snprintf(line, sizeof(line), "{\"seq\":%" PRIu64 ",\"reason\":\"%s\",\"record\":%s}\n", delta->seq,
                          quoted, record);
    int fd = open(position->parked_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(error, "%s: %s", position->parked_path, strerror(errno));
    int result = append_line(fd, line, (size_t)length);
    if (result != 0)
        error_set(error, "%s: %s", position->parked_path, strerror(errno));
    close(fd);
    return result != 0 ? -1 : state_file_sync_folder(position->parked_path, error);
}
