/* daemon: starts, watches and stops the real privtrakd. See harness.h. */
#include "harness.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LOG_BYTES = 1 << 20, START_SECONDS = 20, STOP_SECONDS = 10, MOST_DAEMONS = 8 };

/* What harness_finish has to look after: copies, for a test that fails leaves its stack. A free place has no directory. */
static struct daemon kept[MOST_DAEMONS];

/* Takes down how the daemon stands now. */
static void keep(const struct daemon *daemon)
{
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < MOST_DAEMONS; i++)
            if (pass == 0 ? strcmp(kept[i].directory, daemon->directory) == 0 : kept[i].directory[0] == '\0') {
                kept[i] = *daemon;
                return;
            }
    cr_assert_fail("too many daemons in one test");
}

double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void sleep_s(double seconds)
{
    struct timespec pause = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&pause, &pause) != 0 && errno == EINTR)
        ;
}

const char *build_path(const char *program)
{
    static char path[PATH_MAX + 64];
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    cr_assert(length > 0, "cannot read /proc/self/exe");
    self[length] = '\0';
    /* build/tests/e2e_name */
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(self, '/');
        cr_assert_not_null(slash);
        *slash = '\0';
    }
    (void)snprintf(path, sizeof path, "%s/%s", self, program);
    return path;
}

bool read_file(const char *path, char *text, size_t size)
{
    text[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t length = 0;
    ssize_t got;
    while (length < size - 1 && (got = read(fd, text + length, size - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    close(fd);
    return true;
}

void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file, "cannot write %s: %s", path, strerror(errno));
    cr_assert(fputs(text, file) >= 0);
    cr_assert_eq(fclose(file), 0);
}

static bool can_bind(int family, int type, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    v4.sin_addr.s_addr = htonl(INADDR_ANY);
    v6.sin6_addr = in6addr_any;
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (family == AF_INET6) {
        int on = 1;
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    int bound =
        family == AF_INET ? bind(fd, (struct sockaddr *)&v4, sizeof v4) : bind(fd, (struct sockaddr *)&v6, sizeof v6);
    close(fd);
    return bound == 0;
}

bool have_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6};
    loopback.sin6_addr = in6addr_loopback;
    bool able = bind(fd, (struct sockaddr *)&loopback, sizeof loopback) == 0;
    close(fd);
    return able;
}

/*
 * Between the look at a port and the daemon's listening another test may find it free too. So each that picks one
 * holds a name in the kernel for it, until its process ends; tests/torture/places.py goes by the same names.
 */
static bool reserve(uint16_t port)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "privtrak-test-port-%u", port);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (bind(fd, (struct sockaddr *)&name, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) ==
        0)
        return true;
    close(fd);
    return false;
}

/* A port free for TCP and UDP in both families, below those that the kernel gives to clients. */
static uint16_t free_port(void)
{
    unsigned seed = (unsigned)getpid() * 2654435761u ^ (unsigned)(now_s() * 1e6);
    for (int i = 0; i < 1000; i++) {
        uint16_t port = (uint16_t)(10000 + rand_r(&seed) % 20000);
        if (!can_bind(AF_INET, SOCK_STREAM, port) || !can_bind(AF_INET, SOCK_DGRAM, port))
            continue;
        if (have_ipv6() && (!can_bind(AF_INET6, SOCK_STREAM, port) || !can_bind(AF_INET6, SOCK_DGRAM, port)))
            continue;
        if (reserve(port))
            return port;
    }
    cr_assert_fail("no free port");
    return 0;
}

static void write_listen(FILE *file, const char *section, uint16_t port, bool every_address)
{
    const char *v4 = every_address ? "0.0.0.0" : "127.0.0.1";
    const char *v6 = every_address ? "[::]" : "[::1]";
    if (have_ipv6())
        (void)fprintf(file, "%s:\n  listen: [\"%s:%u\", \"%s:%u\"]\n", section, v4, port, v6, port);
    else
        (void)fprintf(file, "%s:\n  listen: [\"%s:%u\"]\n", section, v4, port);
}

/* The lines of a section, indented as its content. */
static void write_lines(FILE *file, const char *lines, const char *own)
{
    const char *line = lines != NULL ? lines : own;
    while (*line != '\0') {
        size_t length = strcspn(line, "\n");
        (void)fprintf(file, "  %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

void daemon_configure(struct daemon *daemon, const struct daemon_options *options)
{
    char path[HARNESS_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s/tracker.yaml", daemon->directory);
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file, "cannot write %s: %s", path, strerror(errno));
    (void)fprintf(file, "tracker:\n  workers: %u\n  state_dir: state\n", options->workers != 0 ? options->workers : 2);
    write_lines(file, options->tracker, "min_announce_interval: 0s");
    write_listen(file, "http", daemon->port, options->every_address);
    write_lines(file, options->http, "trusted_proxies: [\"127.0.0.0/8\", \"::1\"]");
    write_listen(file, "udp", daemon->port, options->every_address);
    write_lines(file, options->udp, "scrape: true");
    (void)fputs("middleware:\n", file);
    write_lines(file, options->middleware, "identify: {rate_limit: 100000/s}");
    (void)fputs("database:\n", file);
    write_lines(file, options->database, "refresh_interval: 1s");
    (void)fputs("deltas:\n", file);
    write_lines(file, options->deltas, "flush_interval: 1s");
    (void)fprintf(file, "admin:\n  listen: [\"127.0.0.1:%u\"]\n", daemon->admin_port);
    if (options->more != NULL)
        (void)fputs(options->more, file);
    cr_assert_eq(fclose(file), 0);
}

void daemon_prepare(struct daemon *daemon, const struct daemon_options *options)
{
    *daemon = (struct daemon){.pid = -1};
    const char *root = getenv("TMPDIR");
    if (root == NULL || strlen(root) > 60)
        root = "/tmp";
    (void)snprintf(daemon->directory, sizeof daemon->directory, "%s/privtrak-test-XXXXXX", root);
    cr_assert_not_null(mkdtemp(daemon->directory), "cannot make %s: %s", daemon->directory, strerror(errno));
    (void)snprintf(daemon->log_file, sizeof daemon->log_file, "log");
    daemon->port = free_port();
    daemon->admin_port = free_port();
    daemon_configure(daemon, options);
    keep(daemon);
}

const char *daemon_log(const struct daemon *daemon)
{
    static char log[LOG_BYTES];
    char path[HARNESS_PATH_BYTES + 64];
    (void)snprintf(path, sizeof path, "%s/%s", daemon->directory, daemon->log_file);
    (void)read_file(path, log, sizeof log);
    return log;
}

static void show_log(const struct daemon *daemon)
{
    const char *log = daemon_log(daemon);
    size_t length = strlen(log);
    (void)fprintf(stderr, "--- log of %s ---\n%s---\n", daemon->directory, length > 6000 ? log + length - 6000 : log);
}

/* The log from the last start on: each start appends a line of its own first. */
static const char *log_of_this_start(const struct daemon *daemon)
{
    const char *log = daemon_log(daemon);
    const char *last = log;
    for (const char *next = log; (next = strstr(next, "=== start\n")) != NULL; next++)
        last = next;
    return last;
}

bool daemon_logs(const struct daemon *daemon, const char *text, double seconds)
{
    double end = now_s() + seconds;
    for (;;) {
        if (strstr(log_of_this_start(daemon), text) != NULL)
            return true;
        if (now_s() >= end)
            return false;
        sleep_s(0.02);
    }
}

static pid_t spawn(const char *directory, const char *output, char *const *arguments)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    cr_assert(pid >= 0, "cannot fork: %s", strerror(errno));
    if (pid != 0)
        return pid;
    /* Whatever becomes of the test, nothing that it started outlives it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int null = open("/dev/null", O_RDONLY);
    if (getppid() != parent || fd < 0 || null < 0 || dup2(null, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 ||
        (directory != NULL && chdir(directory) != 0))
        _exit(127);
    for (int other = 3; other < 1024; other++)
        close(other);
    signal(SIGPIPE, SIG_DFL);
    execv(arguments[0], arguments);
    _exit(127);
}

/* Waits for its end; returns the exit status, 128 + N after signal N, -1 where it goes on. */
static int wait_for_end(pid_t pid, double seconds)
{
    double end = now_s() + seconds;
    for (;;) {
        int status;
        pid_t got = waitpid(pid, &status, WNOHANG);
        cr_assert(got >= 0, "waitpid: %s", strerror(errno));
        if (got == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (now_s() >= end)
            return -1;
        sleep_s(0.01);
    }
}

/* Finds "/announce?passkey=KEY" in the log. */
static void find_owner(struct daemon *daemon)
{
    static const char before[] = "/announce?passkey=";
    const char *url = strstr(daemon_log(daemon), before);
    if (url == NULL)
        return;
    url += sizeof before - 1;
    size_t length = strspn(url, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_");
    if (length < sizeof daemon->owner) {
        memcpy(daemon->owner, url, length);
        daemon->owner[length] = '\0';
    }
}

void daemon_launch_logging_to(struct daemon *daemon, const char *file)
{
    (void)snprintf(daemon->log_file, sizeof daemon->log_file, "%s", file);
    daemon_launch(daemon);
}

void daemon_launch(struct daemon *daemon)
{
    char log[HARNESS_PATH_BYTES + 16];
    (void)snprintf(log, sizeof log, "%s/log", daemon->directory);
    FILE *file = fopen(log, "ae");
    cr_assert_not_null(file);
    (void)fputs("=== start\n", file);
    cr_assert_eq(fclose(file), 0);

    char program[PATH_MAX + 64];
    (void)snprintf(program, sizeof program, "%s", build_path("privtrakd"));
    char *arguments[] = {program, (char[]){"-c"}, (char[]){"tracker.yaml"}, NULL};
    daemon->pid = spawn(daemon->directory, log, arguments);
    keep(daemon);
    double end = now_s() + START_SECONDS;
    while (!daemon_logs(daemon, "ready workers", 0)) {
        int status = wait_for_end(daemon->pid, 0.02);
        if (status >= 0) {
            daemon->pid = -1;
            keep(daemon);
            cr_assert_fail("privtrakd ended with status %d instead of getting ready", status);
        }
        cr_assert(now_s() < end, "privtrakd is not ready after %d s", START_SECONDS);
    }
    find_owner(daemon);
}

void daemon_start(struct daemon *daemon, const struct daemon_options *options)
{
    daemon_prepare(daemon, options);
    daemon_launch(daemon);
}

void daemon_wait(struct daemon *daemon)
{
    int status = wait_for_end(daemon->pid, STOP_SECONDS);
    cr_assert(status >= 0, "privtrakd goes on %d s after it was told to end", STOP_SECONDS);
    daemon->pid = -1;
    keep(daemon);
    cr_assert_eq(status, 0, "privtrakd ended with status %d", status);
}

void daemon_end(struct daemon *daemon, int signal)
{
    cr_assert_eq(kill(daemon->pid, signal), 0);
    daemon_wait(daemon);
}

void daemon_terminate(struct daemon *daemon)
{
    daemon_end(daemon, SIGTERM);
}

void daemon_kill(struct daemon *daemon)
{
    cr_assert_eq(kill(daemon->pid, SIGKILL), 0);
    (void)wait_for_end(daemon->pid, STOP_SECONDS);
    daemon->pid = -1;
    keep(daemon);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *position)
{
    (void)status;
    (void)type;
    (void)position;
    return remove(path);
}

void daemon_forget(struct daemon *daemon)
{
    (void)nftw(daemon->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    for (size_t i = 0; i < MOST_DAEMONS; i++)
        if (strcmp(kept[i].directory, daemon->directory) == 0)
            kept[i] = (struct daemon){0};
}

void daemon_stop(struct daemon *daemon)
{
    daemon_terminate(daemon);
    daemon_forget(daemon);
}

void harness_finish(void)
{
    for (size_t i = 0; i < MOST_DAEMONS; i++) {
        struct daemon daemon = kept[i];
        if (daemon.directory[0] == '\0')
            continue;
        if (daemon.pid > 0) {
            kill(daemon.pid, SIGKILL);
            waitpid(daemon.pid, NULL, 0);
        }
        show_log(&daemon);
        daemon_forget(&daemon);
    }
}

int run_program(const struct daemon *daemon, char *output, size_t size, const char *program, ...)
{
    enum { MOST_ARGUMENTS = 32 };
    char path[PATH_MAX + 64];
    (void)snprintf(path, sizeof path, "%s", program[0] == '/' ? program : build_path(program));
    char *arguments[MOST_ARGUMENTS] = {path};
    va_list list;
    va_start(list, program);
    for (int i = 1; i < MOST_ARGUMENTS - 1; i++)
        if ((arguments[i] = va_arg(list, char *)) == NULL)
            break;
    va_end(list);

    char file[] = "/tmp/privtrak-output-XXXXXX";
    int fd = mkstemp(file);
    cr_assert(fd >= 0);
    close(fd);
    pid_t pid = spawn(daemon != NULL ? daemon->directory : NULL, file, arguments);
    int status = wait_for_end(pid, 60);
    if (status < 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    (void)read_file(file, output, size);
    unlink(file);
    cr_assert(status >= 0, "%s does not end", program);
    return status;
}
