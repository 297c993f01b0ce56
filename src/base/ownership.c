/* ownership: see ownership.h. */
#include "base/ownership.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

enum { DEEPEST = 64 }; /* the tracker's own directories are two deep; each takes two descriptors while it is open */

struct gift {
    uid_t user;
    gid_t group;
    dev_t device;
    char path[PATH_MAX]; /* of the entry in hand, for messages; cut where it is too long */
    struct error *error;
};

/* Closes, and keeps errno. */
static void close_quietly(int fd)
{
    int code = errno;
    if (fd >= 0)
        close(fd);
    errno = code;
}

/* Opens the directory that the link leads to, which must not be a link again. */
static int follow(int parent, int link)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(link, "", target, sizeof target - 1);
    if (length < 0)
        return -1;
    target[length] = '\0';
    return openat(parent, target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int open_entry(int parent, const char *name)
{
    struct stat status;
    int entry = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (entry < 0)
        return -1;
    int directory = -1;
    if (fstat(entry, &status) == 0) {
        if (!S_ISLNK(status.st_mode))
            directory = openat(entry, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        else if (status.st_uid == 0)
            directory = follow(parent, entry);
        else
            errno = ELOOP;
    }
    close_quietly(entry);
    return directory;
}

int ownership_open(const char *path, struct error *error)
{
    char folder[PATH_MAX];
    if (strlcpy(folder, path, sizeof folder) >= sizeof folder)
        return error_set(error, "state_dir is too long");
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        folder[--length] = '\0';
    char name[PATH_MAX] = "."; /* of "/" */
    char *slash = strrchr(folder, '/');
    if (slash == NULL || slash[1] != '\0') {
        (void)strlcpy(name, slash != NULL ? slash + 1 : folder, sizeof name);
        (void)strlcpy(slash != NULL ? slash + 1 : folder, slash != NULL ? "" : ".", 2);
    }
    int parent = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int directory = parent < 0 ? -1 : open_entry(parent, name);
    close_quietly(parent);
    if (directory < 0)
        return error_set(error, "%s: %s", path,
                         errno == ELOOP ? "a link that root did not make, or one to a link" : strerror(errno));
    return directory;
}

/* True where it may be given away. */
static bool is_ours(const struct gift *gift, const struct stat *status)
{
    const char *why;
    if (status->st_dev != gift->device)
        why = "is another file system";
    else if (S_ISBLK(status->st_mode) || S_ISCHR(status->st_mode))
        why = "is a device";
    else if (!S_ISDIR(status->st_mode) && status->st_nlink > 1)
        why = "has another name, perhaps outside";
    else
        return true;
    if (status->st_uid != gift->user)
        log_warning("privileges",
                    "%s %s: its owner stays, give it to the user of privileges.user by hand where the "
                    "tracker needs it",
                    gift->path, why);
    return false;
}

static int give_entries(struct gift *gift, int directory, unsigned depth);

/* `entry` is open by O_PATH: nothing that is renamed meanwhile comes between the look at it and the change. */
static int give_opened(struct gift *gift, int entry, unsigned depth)
{
    struct stat status;
    if (fstat(entry, &status) != 0)
        return error_set(gift->error, "%s: %s", gift->path, strerror(errno));
    if (!is_ours(gift, &status))
        return 0;
    bool has_owner = status.st_uid == gift->user && status.st_gid == gift->group;
    if (!has_owner && fchownat(entry, "", gift->user, gift->group, AT_EMPTY_PATH) != 0)
        return error_set(gift->error, "cannot give %s to the user of privileges.user: %s", gift->path, strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return 0;
    int directory = openat(entry, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return error_set(gift->error, "%s: %s", gift->path, strerror(errno));
    return give_entries(gift, directory, depth);
}

static int give_entry(struct gift *gift, int directory, const char *name, unsigned depth)
{
    size_t length = strlen(gift->path);
    (void)snprintf(gift->path + length, sizeof gift->path - length, "/%s", name);
    int result = 0;
    int entry = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (entry >= 0)
        result = give_opened(gift, entry, depth);
    else if (errno != ENOENT) /* else gone meanwhile */
        result = error_set(gift->error, "%s: %s", gift->path, strerror(errno));
    close_quietly(entry);
    gift->path[length] = '\0';
    return result;
}

/* Takes the descriptor over. */
static int give_entries(struct gift *gift, int directory, unsigned depth)
{
    DIR *stream = depth < DEEPEST ? fdopendir(directory) : NULL;
    if (stream == NULL) {
        const char *why = depth < DEEPEST ? strerror(errno) : "too many directories in one another";
        close(directory);
        return error_set(gift->error, "%s: %s", gift->path, why);
    }
    int result = 0;
    errno = 0;
    for (const struct dirent *entry; result == 0 && (entry = readdir(stream)) != NULL; errno = 0) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = give_entry(gift, directory, entry->d_name, depth + 1);
    }
    if (result == 0 && errno != 0)
        result = error_set(gift->error, "%s: %s", gift->path, strerror(errno));
    closedir(stream);
    return result;
}

int ownership_give(int directory, const char *path, uid_t user, gid_t group, struct error *error)
{
    struct gift gift = {.user = user, .group = group, .error = error};
    struct stat status;
    (void)strlcpy(gift.path, path, sizeof gift.path);
    if (fstat(directory, &status) != 0)
        return error_set(error, "%s: %s", path, strerror(errno));
    gift.device = status.st_dev;
    return give_opened(&gift, directory, 0);
}
