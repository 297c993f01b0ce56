/* privileges.chroot: the tracker in its state directory, where all goes on, restarts and reloads included. As root only. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/harness.h"

/* The leak checker at a program's end needs /proc, which is not there, and waits for it. */
static void leave_leaks_alone(void)
{
#ifdef __SANITIZE_ADDRESS__
    const char *options = getenv("ASAN_OPTIONS");
    char text[512];
    (void)snprintf(text, sizeof text, "%s:detect_leaks=0", options != NULL ? options : "");
    (void)setenv("ASAN_OPTIONS", text, 1);
#endif
}

TestSuite(chroot, .init = leave_leaks_alone, .fini = harness_finish);

#define CONFINED "privileges: {user: nobody, chroot: true}\n"

/* The state directory is there: nobody else than root could make it in the daemon's. */
static void confined_prepare(struct daemon *daemon, const struct daemon_options *options)
{
    if (geteuid() != 0)
        cr_skip_test("only root can lock a process into a directory");
    char path[PATH_MAX];
    daemon_prepare(daemon, options);
    (void)snprintf(path, sizeof path, "%s/state", daemon->directory);
    cr_assert_eq(mkdir(path, 0700), 0);
}

static void confined_start(struct daemon *daemon, const char *deltas)
{
    confined_prepare(daemon, &(struct daemon_options){.more = CONFINED, .deltas = deltas});
    daemon_launch(daemon);
}

/* What /proc says of the daemon's root directory, and of who it is. */
static void expect_confined(const struct daemon *daemon)
{
    char path[64], root[PATH_MAX], status[4096], wanted[PATH_MAX], line[64];
    (void)snprintf(path, sizeof path, "/proc/%d/root", (int)daemon->pid);
    ssize_t length = readlink(path, root, sizeof root - 1);
    cr_assert_gt(length, 0);
    root[length] = '\0';
    (void)snprintf(wanted, sizeof wanted, "%s/state", daemon->directory);
    cr_expect_str_eq(root, wanted);
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)daemon->pid);
    cr_assert(read_file(path, status, sizeof status));
    unsigned uid = (unsigned)getpwnam("nobody")->pw_uid;
    (void)snprintf(line, sizeof line, "Uid:\t%u\t%u\t%u\t%u\n", uid, uid, uid, uid);
    cr_expect(strstr(status, line), "%s", line);
    cr_expect(strstr(status, "CapEff:\t0000000000000000\n"));
}

Test(chroot, announces_are_answered_and_counted_over_restarts)
{
    struct daemon daemon;
    struct told told;
    confined_start(&daemon, NULL);
    expect_confined(&daemon);
    struct ask ask = {.passkey = add_user(&daemon, "alice"), .torrent = "inside", .peer = "a", .left = 0};
    http_announce(&daemon, &ask, &told);
    cr_assert_str_eq(told.failure, "");
    ask.up = 100;
    udp_announce(&daemon, &ask, &told);
    database_expect(&daemon, 100, "SELECT uploaded FROM users WHERE name = 'alice'");
    daemon_terminate(&daemon);
    daemon_launch(&daemon);
    expect_confined(&daemon);
    ask.up = 250;
    http_announce(&daemon, &ask, &told);
    cr_expect_eq(told.complete, 1);
    database_expect(&daemon, 250, "SELECT uploaded FROM users WHERE name = 'alice'");
    daemon_kill(&daemon);
    daemon_launch(&daemon);
    ask.up = 300;
    http_announce(&daemon, &ask, &told);
    database_expect(&daemon, 300, "SELECT uploaded FROM users WHERE name = 'alice'");
    daemon_stop(&daemon);
}

/* The file stands outside, and is told so; the lists are read anew all the same. */
Test(chroot, a_reload_reads_the_lists_but_not_a_file_outside)
{
    struct daemon daemon;
    confined_start(&daemon, NULL);
    cr_expect(daemon_logs(&daemon, "is outside of tracker.state_dir", 5));
    database_run(&daemon, "INSERT INTO users (name, passkey) VALUES ('bob', '%s')", passkey_of("bob"));
    kill(daemon.pid, SIGHUP);
    cr_expect(daemon_logs(&daemon, "lists and certificates were read anew", 5));
    wait_for_passkey(&daemon, passkey_of("bob"), true);
    char output[4096];
    cr_expect_neq(run_program(&daemon, output, sizeof output, "privtrakctl", "-c", "tracker.yaml", "reload", NULL), 0);
    cr_expect(strstr(output, "outside"), "%s", output);
    cr_expect_eq(run_program(&daemon, output, sizeof output, "privtrakctl", "-c", "tracker.yaml", "snapshot", NULL), 0,
                 "%s", output);
    daemon_stop(&daemon);
}

static int listen_somewhere(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, length) == 0 && listen(fd, 4) == 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static bool is_there(const struct daemon *daemon, const char *name)
{
    char path[PATH_MAX];
    struct stat status;
    (void)snprintf(path, sizeof path, "%s/state/%s", daemon->directory, name);
    return stat(path, &status) == 0;
}

Test(chroot, sinks_of_files_and_of_the_network_work)
{
    struct daemon daemon;
    struct told told;
    uint16_t port;
    char deltas[256], path[PATH_MAX], text[4096];
    int listener = listen_somewhere(&port);
    (void)snprintf(deltas, sizeof deltas,
                   "flush_interval: 1s\nsinks: [{type: database}, {type: ndjson, path: deltas.ndjson}, "
                   "{type: webhook, url: \"http://127.0.0.1:%u/\"}]",
                   (unsigned)port);
    confined_start(&daemon, deltas);
    struct ask ask = {.passkey = add_user(&daemon, "alice"), .torrent = "inside", .peer = "a", .left = 0};
    http_announce(&daemon, &ask, &told);
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    cr_expect_eq(poll(&ready, 1, 10000), 1, "the webhook did not connect");
    (void)snprintf(path, sizeof path, "%s/state/deltas.ndjson", daemon.directory);
    double end = now_s() + 10;
    while ((!read_file(path, text, sizeof text) || text[0] == '\0') && now_s() < end)
        sleep_s(0.05);
    cr_expect(strstr(text, "\"event\":"), "%s", text);
    static const char *const furniture[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"};
    for (size_t i = 0; i < sizeof furniture / sizeof *furniture; i++) {
        if (access(furniture[i], R_OK) == 0)
            cr_expect(is_there(&daemon, furniture[i]), "%s", furniture[i]);
    }
    daemon_stop(&daemon);
    close(listener);
}

Test(chroot, what_stands_outside_is_refused_before_anything_starts)
{
    struct daemon daemon;
    char output[4096];
    confined_prepare(&daemon, &(struct daemon_options){.more = CONFINED "log: {file: ../log}\n"});
    cr_expect_eq(run_program(&daemon, output, sizeof output, "privtrakd", "-c", "tracker.yaml", NULL), 1);
    cr_expect(strstr(output, "log.file: found ") && strstr(output, "a path in tracker.state_dir"), "%s", output);
    daemon_forget(&daemon);
}
