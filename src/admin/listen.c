/* listen: see listen.h. */
#include "admin/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 64 };

int listen_tcp(const struct address *address, struct error *error)
{
    char text[ADDRESS_TEXT_BYTES];
    struct sockaddr_storage storage;
    socklen_t length = address_to_sockaddr(address, &storage);
    int on = 1;
    int file = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool made = file >= 0;
    if (made)
        made = setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    if (made && address->family == 6)
        made = setsockopt(file, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0;
    if (made && bind(file, (const struct sockaddr *)&storage, length) == 0 && listen(file, BACKLOG) == 0)
        return file;
    int reason = errno;
    if (file >= 0)
        (void)close(file);
    (void)error_set(error, "admin.listen: cannot listen on %s: %s", address_format(address, text), strerror(reason));
    errno = reason;
    return -1;
}

/* By way of the directory's descriptor, for a path that does not fit itself. */
static int local_address(struct sockaddr_un *address, const struct local_socket *local)
{
    address->sun_family = AF_UNIX;
    int length =
        snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", local->directory, local->name);
    return length < (int)sizeof address->sun_path ? 0 : -1;
}

/* Makes way: removes what a dead tracker left. */
static int clear_way(const struct local_socket *local, const struct sockaddr_un *address, const char *path,
                     struct error *error)
{
    struct stat facts;
    if (fstatat(local->directory, local->name, &facts, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : error_set(error, "admin.socket: %s: %s", path, strerror(errno));
    if (!S_ISSOCK(facts.st_mode))
        return error_set(error, "admin.socket: %s is there already and is no socket", path);
    int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (file < 0)
        return error_set(error, "admin.socket: %s", strerror(errno));
    bool is_alive = connect(file, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN;
    int reason = errno;
    (void)close(file);
    if (is_alive)
        return error_set(error, "admin.socket: another tracker answers on %s", path);
    if (reason != ECONNREFUSED)
        return error_set(error, "admin.socket: %s: %s", path, strerror(reason));
    if (unlinkat(local->directory, local->name, 0) != 0 && errno != ENOENT)
        return error_set(error, "admin.socket: %s: %s", path, strerror(errno));
    return 0;
}

static int open_directory(struct local_socket *local, const char *path, struct error *error)
{
    const char *slash = strrchr(path, '/');
    char *parent = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    local->name = strdup(slash == NULL ? path : slash + 1);
    if (parent != NULL && local->name != NULL)
        local->directory = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    else
        errno = ENOMEM;
    free(parent);
    return local->directory >= 0 ? 0 : error_set(error, "admin.socket: %s: %s", path, strerror(errno));
}

static int bind_local(struct local_socket *local, const char *path, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat facts;
    if (local_address(&address, local) != 0)
        return error_set(error, "admin.socket: %s: too long a name", path);
    if (clear_way(local, &address, path, error) != 0)
        return -1;
    local->file = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (local->file < 0)
        return error_set(error, "admin.socket: %s", strerror(errno));
    /* The descriptor's mode becomes the file's: at no moment may others connect. */
    if (fchmod(local->file, 0600) != 0 || bind(local->file, (const struct sockaddr *)&address, sizeof address) != 0)
        return error_set(error, "admin.socket: %s: %s", path, strerror(errno));
    if (fstatat(local->directory, local->name, &facts, AT_SYMLINK_NOFOLLOW) == 0) {
        local->device = facts.st_dev;
        local->inode = facts.st_ino;
    }
    if (listen(local->file, BACKLOG) != 0)
        return error_set(error, "admin.socket: %s: %s", path, strerror(errno));
    return 0;
}

int local_socket_open(struct local_socket *local, const char *path, struct error *error)
{
    *local = (struct local_socket){.file = -1, .directory = -1};
    if (open_directory(local, path, error) == 0 && bind_local(local, path, error) == 0)
        return 0;
    local_socket_close(local);
    return -1;
}

void local_socket_close(struct local_socket *local)
{
    struct stat facts;
    if (local->file >= 0)
        (void)close(local->file);
    if (local->inode != 0 && fstatat(local->directory, local->name, &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
        facts.st_dev == local->device && facts.st_ino == local->inode)
        (void)unlinkat(local->directory, local->name, 0);
    if (local->directory >= 0)
        (void)close(local->directory);
    free(local->name);
    *local = (struct local_socket){.file = -1, .directory = -1};
}
