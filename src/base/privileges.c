/* privileges: see privileges.h. */
#include "base/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ownership.h"

/* NULL with a reason where the change cannot be made. */
static const struct passwd *user_to_become(const char *user, struct error *error)
{
    const struct passwd *entry = getpwnam(user);
    if (entry == NULL)
        error_set(error, "privileges.user: found %s, allowed a user that this machine knows", user);
    else if (geteuid() != 0 && geteuid() != entry->pw_uid)
        error_set(error, "privileges.user: only root can become %s", user);
    else
        return entry;
    return NULL;
}

/* The groups are looked up in files that a chroot has not. */
static int take_groups(const struct passwd *entry, struct error *error)
{
    if (initgroups(entry->pw_name, entry->pw_gid) != 0 || setgid(entry->pw_gid) != 0)
        return error_set(error, "privileges.user: cannot become %s: %s", entry->pw_name, strerror(errno));
    return 0;
}

static int become(const struct passwd *entry, struct error *error)
{
    if (setuid(entry->pw_uid) != 0)
        return error_set(error, "privileges.user: cannot become %s: %s", entry->pw_name, strerror(errno));
    if (entry->pw_uid != 0 && setuid(0) == 0)
        return error_set(error, "privileges.user: root could be taken back after becoming %s", entry->pw_name);
    return 0;
}

int privileges_drop(const char *user, const char *state_dir, struct error *error)
{
    if (user[0] == '\0')
        return 0;
    const struct passwd *entry = user_to_become(user, error);
    if (entry == NULL)
        return -1;
    if (geteuid() == entry->pw_uid)
        return 0;
    int root = ownership_open(state_dir, error);
    if (root < 0)
        return -1;
    /* The state directory is the tracker's own: all that root made in it so far goes to the user. */
    int result = ownership_give(root, state_dir, entry->pw_uid, entry->pw_gid, error);
    close(root);
    if (result == 0)
        result = take_groups(entry, error);
    return result == 0 ? become(entry, error) : -1;
}

/* Goes from a directory to one in it, made where it is missing, and closes the first; no link is followed. -1: failed. */
static int step_into(int directory, const char *name)
{
    int next = -1;
    if (mkdirat(directory, name, 0755) == 0 || errno == EEXIST)
        next = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int code = errno;
    close(directory);
    errno = code;
    return next;
}

/* Walks to the directory that the last name of `path` stands in, making what is missing; `*last` is that name. */
static int walk_to(int root, char *path, const char **last)
{
    int directory = fcntl(root, F_DUPFD_CLOEXEC, 0);
    char *rest = path, *name = NULL;
    *last = ".";
    for (char *next; directory >= 0 && (next = strsep(&rest, "/")) != NULL;) {
        if (next[0] == '\0' || strcmp(next, ".") == 0)
            continue;
        if (name != NULL)
            directory = step_into(directory, name);
        name = next;
        *last = name;
    }
    return directory;
}

/* In `root`, which is state_dir itself: a link of its own name that leads to it. */
static int make_way(int root, const char *state_dir, struct error *error)
{
    char path[PATH_MAX], target[PATH_MAX] = ".";
    if (strstr(state_dir, "..") != NULL)
        return error_set(error, "privileges.chroot: found tracker.state_dir %s, allowed a path without ..", state_dir);
    if (strlcpy(path, state_dir, sizeof path) >= sizeof path)
        return error_set(error, "state_dir is too long");
    /* One step up for each name before the last. */
    bool first = true;
    for (const char *at = path; *(at += strspn(at, "/")) != '\0'; at += strcspn(at, "/")) {
        if (strcspn(at, "/") == 1 && at[0] == '.')
            continue;
        if (!first)
            (void)strlcat(target, "/..", sizeof target);
        first = false;
    }
    const char *last;
    int directory = walk_to(root, path, &last);
    bool made = directory >= 0 &&
                (strcmp(last, ".") == 0 || symlinkat(target, directory, last) == 0 ||
                 (errno == EEXIST && unlinkat(directory, last, 0) == 0 && symlinkat(target, directory, last) == 0));
    int code = errno;
    if (directory >= 0)
        close(directory);
    return made ? 0 : error_set(error, "privileges.chroot: cannot make %s in itself: %s", state_dir, strerror(code));
}

/* Opens a new file for writing at `name`, a path in `root`; -1: failed. */
static int make_file(int root, const char *name)
{
    char path[PATH_MAX];
    const char *last;
    (void)strlcpy(path, name, sizeof path);
    int directory = walk_to(root, path, &last);
    if (directory < 0)
        return -1;
    (void)unlinkat(directory, last, 0);
    int file = openat(directory, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    int code = errno;
    close(directory);
    errno = code;
    return file;
}

static bool copy_bytes(int from, int to)
{
    char bytes[65536];
    ssize_t length;
    while ((length = read(from, bytes, sizeof bytes)) > 0) {
        if (write(to, bytes, (size_t)length) != length)
            return false;
    }
    return length == 0;
}

/* A file that the machine has not is none that it needs. */
static int copy_in(int root, const char *path, struct error *error)
{
    int from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return 0;
    int to = make_file(root, path);
    bool copied = to >= 0 && copy_bytes(from, to);
    int code = errno;
    close(from);
    if (to >= 0)
        close(to);
    return copied ? 0 : error_set(error, "privileges.chroot: cannot copy %s: %s", path, strerror(code));
}

static int furnish(int root, const struct passwd *entry, struct error *error)
{
    static const char *const files[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf",
                                        "/etc/ssl/certs/ca-certificates.crt"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (copy_in(root, files[i], error) != 0)
            return -1;
    }
    int users = make_file(root, "/etc/passwd");
    bool written = users >= 0 && dprintf(users, "%s:x:%u:%u::/:/usr/sbin/nologin\n", entry->pw_name,
                                         (unsigned)entry->pw_uid, (unsigned)entry->pw_gid) > 0;
    int code = errno;
    if (users >= 0)
        close(users);
    return written ? 0 : error_set(error, "privileges.chroot: cannot write etc/passwd: %s", strerror(code));
}

int privileges_confine(const char *user, const char *state_dir, struct error *error)
{
    const struct passwd *entry = user_to_become(user, error);
    if (entry == NULL)
        return -1;
    if (geteuid() != 0)
        return error_set(error, "privileges.chroot: only root can lock itself into a directory");
    int root = ownership_open(state_dir, error);
    if (root < 0)
        return -1;
    int result = make_way(root, state_dir, error);
    if (result == 0)
        result = furnish(root, entry, error);
    if (result == 0)
        result = ownership_give(root, state_dir, entry->pw_uid, entry->pw_gid, error);
    if (result == 0)
        result = take_groups(entry, error);
    if (result == 0 && (fchdir(root) != 0 || chroot(".") != 0 || chdir("/") != 0))
        result = error_set(error, "privileges.chroot: %s: %s", state_dir, strerror(errno));
    close(root);
    return result == 0 ? become(entry, error) : -1;
}
