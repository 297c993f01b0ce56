/* A PostgreSQL, and a database of its own in it for each test. Included by test_database.h. */
#include <glob.h>
#include <libpq-fe.h>

#define SERVER_PID_FILE "data/postmaster.pid"
#include "test_database_open.h"
#include "test_database_process.h"

struct place {
    char url[512];
    PGconn *site;
    struct database *database;
};

static struct place place;

#define SITE PGconn
#define LOCK_NUMBER "SELECT pg_advisory_xact_lock(hashtextextended('privtrak.applied." INSTANCE "', 0))"
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

static PGconn *connect_to(const char *name)
{
    char url[512];
    snprintf(url, sizeof(url), "postgresql://privtrak@/%s?host=%s", name, getenv("PRIVTRAK_TEST_SERVER"));
    return PQconnectdb(url);
}

static bool server_answers(void)
{
    PGconn *connection = connect_to("postgres");
    bool answers = PQstatus(connection) == CONNECTION_OK;
    PQfinish(connection);
    return answers;
}

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    char *const make[] = {(char *)server_program("initdb"),
                          (char *)"-D",
                          (char *)"data",
                          (char *)"-A",
                          (char *)"trust",
                          (char *)"-U",
                          (char *)"privtrak",
                          (char *)"-E",
                          (char *)"UTF8",
                          (char *)"--locale=C",
                          (char *)"--no-sync",
                          NULL};
    if (!make[0] || !server_make_directory("postgresql") || !server_make(make))
        return;
    char *const run[] = {(char *)server_program("postgres"),
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
    server_keep(run);
    server_await(server_answers);
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

__attribute__((unused)) static void run_well(PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    cr_assert(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, "%s: %s", sql, PQerrorMessage(connection));
    PQclear(result);
}

/* A second connection of a site. */
__attribute__((unused)) static PGconn *second_site(void)
{
    char name[32];
    database_name(name, sizeof(name));
    PGconn *connection = connect_to(name);
    cr_assert_eq(PQstatus(connection), CONNECTION_OK, "%s", PQerrorMessage(connection));
    return connection;
}

__attribute__((unused)) static void site_end(PGconn *connection)
{
    PQfinish(connection);
}

/* Ends all connections of the tracker's to the test's database. */
__attribute__((unused)) static void break_connections(void)
{
    run_well(place.site, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'privtrak' "
                         "AND datname = current_database()");
}

/* As before the schema was made. */
__attribute__((unused)) static void site_empty(void)
{
    run_well(place.site, "DROP SCHEMA public CASCADE");
    run_well(place.site, "CREATE SCHEMA public");
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
    server_need("PostgreSQL");
    char name[32], sql[128];
    database_name(name, sizeof(name));
    PGconn *first = connect_to("postgres");
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s", name);
    PGresult *result = PQexec(first, sql);
    cr_assert_eq(PQresultStatus(result), PGRES_COMMAND_OK, "%s", PQerrorMessage(first));
    PQclear(result);
    PQfinish(first);
    snprintf(place.url, sizeof(place.url), "postgresql://privtrak@/%s?host=%s&options=-c%%20lock_timeout%%3D1000", name,
             getenv("PRIVTRAK_TEST_SERVER"));
    place.database = open_and_connect(place.url);
    place.site = second_site();
}

/* Another connection in the place of the site's, which broke. */
__attribute__((unused)) static void site_again(void)
{
    PQfinish(place.site);
    place.site = second_site();
}

__attribute__((unused)) static void place_close(void)
{
    database_close(place.database);
    PQfinish(place.site);
}
