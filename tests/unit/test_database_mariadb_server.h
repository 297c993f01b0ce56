/* A MariaDB, and a database of its own in it for each test. Included by test_database.h. */
#include <mysql.h>

#define SERVER_PID_FILE "server.pid"
#include "test_database_open.h"
#include "test_database_process.h"

struct place {
    char name[32];
    char url[512];
    MYSQL *site;
    struct database *database;
};

static struct place place;

#define SITE MYSQL
#define LOCK_NUMBER "SELECT 1" /* the row that is written next is what is locked */
#define JOINED(what, order) "group_concat(" what " ORDER BY " order ")"

/* NULL: not installed. */
static const char *program_of(const char *first, const char *second)
{
    return access(first, X_OK) == 0 ? first : access(second, X_OK) == 0 ? second : NULL;
}

static MYSQL *connect_as(const char *user, const char *name)
{
    char socket[128];
    snprintf(socket, sizeof(socket), "%s/socket", getenv("PRIVTRAK_TEST_SERVER"));
    MYSQL *connection = mysql_init(NULL);
    mysql_optionsv(connection, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    if (mysql_real_connect(connection, NULL, user, "", name, 0, socket, CLIENT_MULTI_STATEMENTS))
        return connection;
    mysql_close(connection);
    return NULL;
}

static MYSQL *connect_to(const char *name)
{
    return connect_as("root", name);
}

static bool server_answers(void)
{
    MYSQL *connection = connect_to(NULL);
    if (connection)
        mysql_close(connection);
    return connection != NULL;
}

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    char socket[128], pid_file[128], data[128];
    const char *program = program_of("/usr/bin/mariadb-install-db", "/usr/bin/mysql_install_db");
    if (!program || !server_make_directory("mariadb"))
        return;
    snprintf(socket, sizeof(socket), "--socket=%s/socket", server_directory);
    snprintf(pid_file, sizeof(pid_file), "--pid-file=%s/server.pid", server_directory);
    snprintf(data, sizeof(data), "--datadir=%s/data", server_directory);
    char *const make[] = {(char *)program,
                          (char *)"--no-defaults",
                          data,
                          (char *)"--auth-root-authentication-method=normal",
                          (char *)"--skip-test-db",
                          (char *)"--skip-name-resolve",
                          NULL};
    if (!server_make(make))
        return;
    char *const run[] = {(char *)program_of("/usr/sbin/mariadbd", "/usr/sbin/mysqld"),
                         (char *)"--no-defaults",
                         data,
                         socket,
                         pid_file,
                         (char *)"--skip-networking",
                         (char *)"--skip-name-resolve",
                         (char *)"--innodb-flush-log-at-trx-commit=1",
                         (char *)"--innodb-flush-method=nosync",
                         (char *)"--innodb-buffer-pool-size=32M",
                         (char *)"--log-warnings=1",
                         NULL};
    server_keep(run);
    server_await(server_answers);
}

__attribute__((unused)) static const char *site_reason(void)
{
    return mysql_error(place.site);
}

/* Takes all results of a text of statements. The first value of the first row goes into `text` (NULL: not wanted). */
static bool run_on(MYSQL *connection, const char *sql, char *text, size_t size)
{
    int failed = mysql_query(connection, sql);
    while (failed == 0) {
        MYSQL_RES *result = mysql_store_result(connection);
        MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
        if (result && text)
            snprintf(text, size, "%s", !row ? "none" : row[0] ? row[0] : "null");
        mysql_free_result(result);
        failed = mysql_next_result(connection);
    }
    return failed < 0;
}

__attribute__((unused)) static bool site_try(const char *sql)
{
    return run_on(place.site, sql, NULL, 0);
}

/* Begins a transaction that keeps all others from writing until the next COMMIT: it has locked all rows, and between them. */
__attribute__((unused)) static void site_lock(void)
{
    cr_assert(site_try("BEGIN; SELECT * FROM privtrak FOR UPDATE; SELECT * FROM users FOR UPDATE"), "%s",
              site_reason());
}

__attribute__((unused)) static const char *site_text(const char *sql)
{
    static char text[1024];
    cr_assert(run_on(place.site, sql, text, sizeof(text)), "%s: %s", sql, site_reason());
    return text;
}

__attribute__((unused)) static void run_well(MYSQL *connection, const char *sql)
{
    cr_assert(run_on(connection, sql, NULL, 0), "%s: %s", sql, mysql_error(connection));
}

/* A second connection of a site. ANSI's quotes and pipes, so that the tests' SQL is the same for all kinds. */
static MYSQL *second_site(void)
{
    MYSQL *connection = connect_to(place.name);
    cr_assert(connection);
    run_well(connection, "SET SESSION sql_mode = concat(@@sql_mode, ',ANSI_QUOTES,PIPES_AS_CONCAT')");
    return connection;
}

__attribute__((unused)) static void site_end(MYSQL *connection)
{
    mysql_close(connection);
}

/* Ends all connections to the test's database but its own. */
__attribute__((unused)) static void break_connections(void)
{
    char sql[512];
    for (;;) {
        const char *id = site_text("SELECT id FROM information_schema.processlist WHERE db = database() "
                                   "AND id <> connection_id() AND command <> 'Killed' LIMIT 1");
        if (strcmp(id, "none") == 0)
            return;
        snprintf(sql, sizeof(sql), "KILL CONNECTION %s", id);
        (void)site_try(sql);
    }
}

/* As before the schema was made. */
__attribute__((unused)) static void site_empty(void)
{
    char sql[256];
    snprintf(sql, sizeof(sql), "DROP DATABASE %s; CREATE DATABASE %s; USE %s", place.name, place.name, place.name);
    run_well(place.site, sql);
}

__attribute__((unused)) static void place_open(void)
{
    server_need("MariaDB");
    char sql[128];
    database_name(place.name, sizeof(place.name));
    MYSQL *first = connect_to(NULL);
    cr_assert(first, "the server does not run");
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s", place.name);
    cr_assert(run_on(first, sql, NULL, 0), "%s", mysql_error(first));
    mysql_close(first);
    snprintf(place.url, sizeof(place.url), "mariadb://root@/%s?socket=%s/socket&lock-timeout=1", place.name,
             getenv("PRIVTRAK_TEST_SERVER"));
    place.database = open_and_connect(place.url);
    place.site = second_site();
}

/* Another connection in the place of the site's, which broke. */
__attribute__((unused)) static void site_again(void)
{
    server_await(server_answers);
    mysql_close(place.site);
    place.site = second_site();
}

__attribute__((unused)) static void place_close(void)
{
    database_close(place.database);
    mysql_close(place.site);
}
