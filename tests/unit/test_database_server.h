/*
 * A database of its own in a PostgreSQL that this program starts for its tests, in a temporary
 * directory, on a Unix socket, without network, as an unprivileged user where the tests run as root.
 * Included by test_database.h.
 */
#include <criterion/hooks.h>
#include <glob.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

struct place {
    char url[512];
    PGconn *site;
    struct database *database;
};

static struct place place;

static pid_t keeper;
static char server_directory[64];

#define JOINED(what, order) "string_agg(" what ", ',' ORDER BY " order ")"

/* The newest PostgreSQL that Debian's packages have put there; NULL: none. */
static const char *server_program(const char *name)
{
    static char path[256];
    char pattern[128];
    glob_t found;
    snprintf(pattern, sizeof(pattern), "/usr/lib/postgresql/*/bin/%s", name);
    bool any = glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc > 0;
    if (any)
        snprintf(path, sizeof(path), "%s", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    return any ? path : NULL;
}

/* In a child: PostgreSQL refuses to run as root, and is to end when what started it does. */
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

/* A process that runs the server and starts it again where a test has killed it. */
static void server_keep(void)
{
    const char *program = server_program("postgres");
    char *const arguments[] = {(char *)program,
                               (char *)"-D",
                               (char *)"data",
                               (char *)"-k",
                               server_directory,
                               (char *)"-c",
                               (char *)"listen_addresses=",
                               (char *)"-c",
                               (char *)"fsync=off",
                               (char *)"-c",
                               (char *)"max_connections=60",
                               NULL};
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
    snprintf(path, sizeof(path), "%s/data/postmaster.pid", getenv("PRIVTRAK_TEST_SERVER"));
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    char *read = fgets(line, sizeof(line), file);
    fclose(file);
    return read ? (pid_t)atoi(line) : 0;
}

static PGconn *connect_to(const char *name)
{
    char url[512];
    snprintf(url, sizeof(url), "postgresql://privtrak@/%s?host=%s", name, getenv("PRIVTRAK_TEST_SERVER"));
    return PQconnectdb(url);
}

static bool server_answers(void)
{
    for (int i = 0; i < 200; i++) {
        PGconn *connection = connect_to("postgres");
        bool answers = PQstatus(connection) == CONNECTION_OK;
        PQfinish(connection);
        if (answers)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    return false;
}

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    const char *program = server_program("initdb");
    snprintf(server_directory, sizeof(server_directory), "/tmp/privtrak-postgresql-XXXXXX");
    if (!program || !mkdtemp(server_directory))
        return;
    const struct passwd *nobody = geteuid() == 0 ? getpwnam("nobody") : NULL;
    if (nobody && chown(server_directory, nobody->pw_uid, nobody->pw_gid) != 0)
        return;
    char *const arguments[] = {(char *)program, (char *)"-D",         (char *)"data",      (char *)"-A",
                               (char *)"trust", (char *)"-U",         (char *)"privtrak",  (char *)"-E",
                               (char *)"UTF8",  (char *)"--locale=C", (char *)"--no-sync", NULL};
    if (run_to_end(arguments) != 0)
        return;
    setenv("PRIVTRAK_TEST_SERVER", server_directory, 1);
    server_keep();
    if (!server_answers())
        fprintf(stderr, "PostgreSQL does not answer: see %s/server.log\n", server_directory);
}

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

__attribute__((unused)) static const char *site_reason(void)
{
    return PQerrorMessage(place.site);
}

__attribute__((unused)) static bool site_try(const char *sql)
{
    PGresult *result = PQexec(place.site, sql);
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* Begins a transaction that keeps all others from writing until the next COMMIT. */
__attribute__((unused)) static void site_lock(void)
{
    cr_assert(site_try("BEGIN"), "%s", site_reason());
    cr_assert(site_try("LOCK TABLE privtrak, users, changes IN ACCESS EXCLUSIVE MODE"), "%s", site_reason());
}

__attribute__((unused)) static const char *site_text(const char *sql)
{
    static char text[1024];
    PGresult *result = PQexec(place.site, sql);
    cr_assert_eq(PQresultStatus(result), PGRES_TUPLES_OK, "%s: %s", sql, site_reason());
    const char *value = PQntuples(result) == 0 ? "none" : PQgetisnull(result, 0, 0) ? "null" : PQgetvalue(result, 0, 0);
    snprintf(text, sizeof(text), "%s", value);
    PQclear(result);
    return text;
}

__attribute__((unused)) static void place_open(void)
{
    if (!getenv("PRIVTRAK_TEST_SERVER"))
        cr_skip_test("PostgreSQL is not installed");
    char name[32], sql[128];
    snprintf(name, sizeof(name), "t%ld", (long)getpid());
    PGconn *first = connect_to("postgres");
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s", name);
    PGresult *result = PQexec(first, sql);
    cr_assert_eq(PQresultStatus(result), PGRES_COMMAND_OK, "%s", PQerrorMessage(first));
    PQclear(result);
    PQfinish(first);
    snprintf(place.url, sizeof(place.url), "postgresql://privtrak@/%s?host=%s&options=-c%%20lock_timeout%%3D1000", name,
             getenv("PRIVTRAK_TEST_SERVER"));
    struct error error = {{0}};
    place.database = database_open(place.url, &error);
    cr_assert(place.database, "%s", error.text);
    cr_assert_eq(database_connect(place.database, &error), DATABASE_OK, "%s", error.text);
    place.site = connect_to(name);
    cr_assert_eq(PQstatus(place.site), CONNECTION_OK, "%s", site_reason());
}

__attribute__((unused)) static void place_close(void)
{
    database_close(place.database);
    PQfinish(place.site);
}
