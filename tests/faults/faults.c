/*
 * faults: a library that stands between a program and the kernel (LD_PRELOAD), and makes calls fail on demand: those that write,
 * sync, rename, cut, open and remove files below FAULTS_DIRECTORY, and those that send on sockets. It also shifts the wall
 * clock. What it does is told by the file FAULTS_CONTROL, which it maps (control.h).
 *
 * All functions go to the kernel by syscall(2), so that nothing has to be looked up and nothing can call itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "control.h"

static struct fault_control *control;
static char directory[PATH_MAX];
static size_t directory_length;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULTS_CONTROL"), *below = getenv("FAULTS_DIRECTORY");
    if (path == NULL || below == NULL || realpath(below, directory) == NULL)
        return;
    directory_length = strlen(directory);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        syscall(SYS_close, fd);
    if (page != MAP_FAILED)
        control = page;
}

/* --- what is meant --- */

static bool is_below(const char *path)
{
    return strncmp(path, directory, directory_length) == 0 && path[directory_length] == '/';
}

static bool file_is_meant(int fd)
{
    char link[40], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length <= 0)
        return false;
    path[length] = '\0';
    return is_below(path);
}

/* The directory that a name stands in may be given by a descriptor or not at all. */
static bool name_is_meant(int at, const char *name)
{
    char copy[PATH_MAX], whole[PATH_MAX];
    if (name[0] == '/')
        return is_below(name);
    if (at == AT_FDCWD) {
        if (getcwd(copy, sizeof copy) == NULL)
            return false;
        snprintf(whole, sizeof whole, "%.*s/%.*s", PATH_MAX / 2, copy, PATH_MAX / 3, name);
        return is_below(whole);
    }
    snprintf(copy, sizeof copy, "/proc/self/fd/%d", at);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, copy, whole, sizeof whole - 1);
    if (length <= 0)
        return false;
    whole[length] = '\0';
    return strcmp(whole, directory) == 0 || is_below(whole);
}

static bool is_socket(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

/* --- what becomes of it --- */

/* 0: it is done as it should be; else an errno or enum fault_action. */
static int64_t judge(enum fault_kind kind)
{
    __atomic_add_fetch(&control->counts[kind], 1, __ATOMIC_RELAXED);
    if (!(control->kinds & INT64_C(1) << kind))
        return 0;
    int64_t number = __atomic_add_fetch(&control->calls, 1, __ATOMIC_RELAXED);
    int64_t since = number - control->first;
    if (control->first == 0 || since < 0)
        return 0;
    if (control->period > 0)
        since %= control->period;
    if (since >= control->burst)
        return 0;
    __atomic_store_n(&control->last_kind, (int64_t)kind, __ATOMIC_RELAXED);
    __atomic_add_fetch(&control->hits, 1, __ATOMIC_RELAXED);
    return control->action;
}

static void die(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Of a call that either happens or does not. True: it is not to be made, and errno says why. */
static bool fails(int64_t action)
{
    if (action == FAULT_KILL_BEFORE || action == FAULT_KILL_WITHIN)
        die();
    if (action > 0)
        errno = (int)action;
    if (action == FAULT_SHORT)
        errno = EINTR;
    return action > 0 || action == FAULT_SHORT;
}

static long after(int64_t action, long result)
{
    if (action == FAULT_KILL_AFTER)
        die();
    return result;
}

/* How much of a call that takes bytes is to be done: all of it, a half, or nothing (-1, and errno says why). */
static ssize_t share_of(int64_t action, size_t size)
{
    if (action == FAULT_KILL_BEFORE)
        die();
    if (action > 0) {
        errno = (int)action;
        return -1;
    }
    return (ssize_t)(action == FAULT_SHORT || action == FAULT_KILL_WITHIN ? (size + 1) / 2 : size);
}

static ssize_t after_bytes(int64_t action, ssize_t result)
{
    if (action == FAULT_KILL_AFTER || action == FAULT_KILL_WITHIN)
        die();
    return result;
}

/* A stream that once failed to send is broken for good, and both ends notice. */
static int64_t judge_send(int fd)
{
    int64_t action = control != NULL ? judge(FAULT_SEND) : 0;
    int type = 0;
    socklen_t length = sizeof type;
    bool passes = action <= 0 || action == EAGAIN || action == EINTR;
    if (!passes && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM)
        shutdown(fd, SHUT_RDWR);
    return action;
}

static int64_t judge_write(int fd)
{
    if (control == NULL)
        return 0;
    return file_is_meant(fd) ? judge(FAULT_WRITE) : is_socket(fd) ? judge_send(fd) : 0;
}

static int64_t judge_file(int fd, enum fault_kind kind)
{
    return control != NULL && file_is_meant(fd) ? judge(kind) : 0;
}

static int64_t judge_name(int at, const char *name, enum fault_kind kind)
{
    return control != NULL && name_is_meant(at, name) ? judge(kind) : 0;
}

/* --- the calls --- */

#define SHOWN __attribute__((visibility("default")))

SHOWN ssize_t write(int fd, const void *bytes, size_t size)
{
    int64_t action = judge_write(fd);
    ssize_t share = share_of(action, size);
    return share < 0 ? -1 : after_bytes(action, syscall(SYS_write, fd, bytes, share));
}

SHOWN ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    int64_t action = judge_write(fd);
    ssize_t share = share_of(action, size);
    return share < 0 ? -1 : after_bytes(action, syscall(SYS_pwrite64, fd, bytes, share, at));
}

SHOWN ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
    return pwrite(fd, bytes, size, at);
}

/* A half of a vector is its first half of parts, or the half of its only one. */
static ssize_t write_parts(int fd, const struct iovec *parts, int count, int64_t action)
{
    if (share_of(action, 1) < 0)
        return -1;
    bool half = action == FAULT_SHORT || action == FAULT_KILL_WITHIN;
    if (half && count == 1)
        return after_bytes(action, syscall(SYS_write, fd, parts->iov_base, (parts->iov_len + 1) / 2));
    return after_bytes(action, syscall(SYS_writev, fd, parts, half ? count / 2 : count));
}

SHOWN ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return write_parts(fd, parts, count, judge_write(fd));
}

static int synced(int fd, long number)
{
    int64_t action = judge_file(fd, FAULT_SYNC);
    return fails(action) ? -1 : (int)after(action, syscall(number, fd));
}

SHOWN int fsync(int fd)
{
    return synced(fd, SYS_fsync);
}

SHOWN int fdatasync(int fd)
{
    return synced(fd, SYS_fdatasync);
}

SHOWN int ftruncate(int fd, off_t size)
{
    int64_t action = judge_file(fd, FAULT_TRUNCATE);
    return fails(action) ? -1 : (int)after(action, syscall(SYS_ftruncate, fd, size));
}

SHOWN int ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}

SHOWN int fallocate(int fd, int mode, off_t at, off_t size)
{
    int64_t action = judge_file(fd, FAULT_TRUNCATE);
    return fails(action) ? -1 : (int)after(action, syscall(SYS_fallocate, fd, mode, at, size));
}

SHOWN int fallocate64(int fd, int mode, off64_t at, off64_t size)
{
    return fallocate(fd, mode, at, size);
}

SHOWN int renameat(int from_at, const char *from, int to_at, const char *to)
{
    int64_t action = judge_name(to_at, to, FAULT_RENAME);
    return fails(action) ? -1 : (int)after(action, syscall(SYS_renameat2, from_at, from, to_at, to, 0));
}

SHOWN int rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

SHOWN int unlinkat(int at, const char *name, int flags)
{
    int64_t action = judge_name(at, name, FAULT_UNLINK);
    return fails(action) ? -1 : (int)after(action, syscall(SYS_unlinkat, at, name, flags));
}

SHOWN int unlink(const char *name)
{
    return unlinkat(AT_FDCWD, name, 0);
}

static int opened(int at, const char *name, int flags, va_list arguments)
{
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    int64_t action = judge_name(at, name, FAULT_OPEN);
    return fails(action) ? -1 : (int)after(action, syscall(SYS_openat, at, name, flags, mode));
}

#define OPENS(function, at, ...)                     \
    SHOWN int function(__VA_ARGS__, ...)             \
    {                                                \
        va_list arguments;                           \
        va_start(arguments, flags);                  \
        int fd = opened(at, name, flags, arguments); \
        va_end(arguments);                           \
        return fd;                                   \
    }

OPENS(open, AT_FDCWD, const char *name, int flags)
OPENS(open64, AT_FDCWD, const char *name, int flags)
OPENS(openat, at, int at, const char *name, int flags)
OPENS(openat64, at, int at, const char *name, int flags)

SHOWN ssize_t sendto(int fd, const void *bytes, size_t size, int flags, __CONST_SOCKADDR_ARG to, socklen_t length)
{
    int64_t action = judge_send(fd);
    ssize_t share = share_of(action, size);
    return share < 0 ? -1 : after_bytes(action, syscall(SYS_sendto, fd, bytes, share, flags, to.__sockaddr__, length));
}

SHOWN ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    return sendto(fd, bytes, size, flags, (__CONST_SOCKADDR_ARG){.__sockaddr__ = NULL}, 0);
}

SHOWN ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    int64_t action = judge_send(fd);
    return share_of(action, 1) < 0 ? -1 : after_bytes(action, syscall(SYS_sendmsg, fd, message, flags));
}

SHOWN int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    int64_t action = judge_send(fd);
    ssize_t share = share_of(action, count);
    return share < 0 ? -1 : (int)after_bytes(action, syscall(SYS_sendmmsg, fd, messages, share, flags));
}

/* --- the clock --- */

SHOWN int clock_gettime(clockid_t id, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, id, now);
    if (result != 0 || control == NULL || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
        return result;
    int64_t ns = now->tv_nsec + __atomic_load_n(&control->clock_offset_ns, __ATOMIC_RELAXED) % 1000000000;
    now->tv_sec += __atomic_load_n(&control->clock_offset_ns, __ATOMIC_RELAXED) / 1000000000;
    now->tv_sec += ns < 0 ? -1 : ns / 1000000000;
    now->tv_nsec = ns < 0 ? ns + 1000000000 : ns % 1000000000;
    return 0;
}

SHOWN int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    *now = (struct timeval){.tv_sec = exact.tv_sec, .tv_usec = exact.tv_nsec / 1000};
    return 0;
}

SHOWN time_t time(time_t *result)
{
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (result != NULL)
        *result = exact.tv_sec;
    return exact.tv_sec;
}
