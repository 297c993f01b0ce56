/*
 * A database server that a program starts for its tests: in a temporary directory, without network, as an
 * unprivileged user where the tests run as root. Included by what is each server's own, with SERVER_PID_FILE the name
 * of the file in that directory that has its process id.
 */
#ifndef PRIVTRAK_TESTS_TEST_DATABASE_PROCESS_H
#define PRIVTRAK_TESTS_TEST_DATABASE_PROCESS_H

#include <criterion/hooks.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t keeper;
static char server_directory[64];

/* In a child: a server refuses to run as root, and is to end when what started it does. */
static void become_unprivileged(void)
{
    const struct passwd *nobody = geteuid() == 0 ? getpwnam("nobody") : NULL;
    if (nobody && (setgid(nobody->pw_gid) != 0 || setuid(nobody->pw_uid) != 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    if (chdir(server_directory) != 0 || !freopen("server.log", "a", stdout) || dup2(1, 2) < 0)
        _exit(126);
}

static int run_to_end(char *const arguments[])
{
    pid_t child = fork();
    if (child == 0) {
        become_unprivileged();
        execv(arguments[0], arguments);
        _exit(127);
    }
    int status = -1;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool server_make_directory(const char *kind)
{
    snprintf(server_directory, sizeof(server_directory), "/tmp/privtrak-%s-XXXXXX", kind);
    if (!mkdtemp(server_directory))
        return false;
    const struct passwd *nobody = geteuid() == 0 ? getpwnam("nobody") : NULL;
    return !nobody || chown(server_directory, nobody->pw_uid, nobody->pw_gid) == 0;
}

/* Runs what makes a server's files; false with its log where it fails. */
static bool server_make(char *const arguments[])
{
    setenv("PRIVTRAK_TEST_SERVER", server_directory, 1);
    if (run_to_end(arguments) == 0)
        return true;
    char command[160];
    snprintf(command, sizeof(command), "cat %s/server.log >&2", server_directory);
    return system(command) != 0 && false;
}

/* A process that runs the server and starts it again where a test has killed it. */
static void server_keep(char *const arguments[])
{
    keeper = fork();
    if (keeper != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        run_to_end(arguments);
        usleep(50000);
    }
}

/* 0: does not run. */
static pid_t server_pid(void)
{
    char path[128], line[32] = "";
    snprintf(path, sizeof(path), "%s/" SERVER_PID_FILE, getenv("PRIVTRAK_TEST_SERVER"));
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    char *read = fgets(line, sizeof(line), file);
    fclose(file);
    return read ? (pid_t)atoi(line) : 0;
}

/* Waits until a connection can be made. */
static void server_await(bool (*answers)(void))
{
    for (int i = 0; i < 200; i++) {
        if (answers())
            return;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    fprintf(stderr, "the server does not answer: see %s/server.log\n", server_directory);
}

static void server_need(const char *kind)
{
    if (!getenv("PRIVTRAK_TEST_SERVER"))
        cr_skip_test("%s is not installed", kind);
}

/* Of the database that a test has to itself in the server. */
static void database_name(char *name, size_t size)
{
    snprintf(name, size, "t%ld", (long)getpid());
}

/* The server ends with its keeper. */
ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    if (server_directory[0] == '\0')
        return;
    pid_t server = server_pid();
    if (keeper > 0) {
        kill(keeper, SIGKILL);
        waitpid(keeper, NULL, 0);
    }
    for (int i = 0; server > 1 && i < 100 && kill(server, 0) == 0; i++)
        usleep(50000);
    pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", server_directory, (char *)NULL);
        _exit(127);
    }
    waitpid(child, NULL, 0);
}

#endif
