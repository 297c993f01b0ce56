#include "deltas/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static ssize_t read_some(int fd, char *text, size_t size)
{
    size_t length = 0;
    while (length < size) {
        ssize_t got = read(fd, text + length, size - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        length += (size_t)got;
    }
    return (ssize_t)length;
}

ssize_t state_file_read(const char *path, char *text, size_t size, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int failure = errno;
        error_set(error, "%s: %s", path, strerror(failure));
        return -failure;
    }
    ssize_t length = read_some(fd, text, size - 1);
    close(fd);
    if (length < 0) {
        error_set(error, "%s: %s", path, strerror((int)-length));
        return length;
    }
    text[length] = '\0';
    return length;
}

/* Returns 0 or an errno. */
static int write_whole(int fd, const char *text, size_t length)
{
    size_t done = 0;
    while (done < length) {
        ssize_t wrote = write(fd, text + done, length - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return wrote < 0 ? errno : ENOSPC;
        done += (size_t)wrote;
    }
    return fsync(fd) == 0 ? 0 : errno;
}

int state_file_write(const char *path, const char *text, size_t length, struct error *error)
{
    char temporary[4096];
    int size = snprintf(temporary, sizeof(temporary), "%s.new", path);
    if (size < 0 || (size_t)size >= sizeof(temporary))
        return error_set(error, "%s: the name is too long", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(error, "%s: %s", temporary, strerror(errno));
    int failure = write_whole(fd, text, length);
    if (close(fd) != 0 && failure == 0)
        failure = errno;
    if (failure == 0 && rename(temporary, path) != 0)
        failure = errno;
    if (failure != 0) {
        unlink(temporary);
        return error_set(error, "%s: %s", path, strerror(failure));
    }
    return state_file_sync_folder(path, error);
}

int state_file_sync_folder(const char *path, struct error *error)
{
    char folder[4096];
    int size = snprintf(folder, sizeof(folder), "%s", path);
    if (size < 0 || (size_t)size >= sizeof(folder))
        return error_set(error, "%s: the name is too long", path);
    char *slash = strrchr(folder, '/');
    if (slash == NULL)
        strcpy(folder, ".");
    else
        slash[slash == folder ? 1 : 0] = '\0';
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, "%s: %s", folder, strerror(errno));
    int failure = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return failure == 0 ? 0 : error_set(error, "%s: %s", folder, strerror(failure));
}
