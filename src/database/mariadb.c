/*
 * mariadb: the connection, through libmariadb's calls that do not block: each wait also watches for an
 * interrupt and has an end. Statements go as text with their values in it; a session of ours reads every sign
 * of a literal but the quote as itself (NO_BACKSLASH_ESCAPES), so that doubling the quote is all that values need.
 */
#include "database/mariadb.h"

#include <errmsg.h>
#include <mysqld_error.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    ANSWER_MARGIN_S = 15,     /* above the server's own limit, which ends a statement in good order */
    STACK_BYTES = 256 * 1024, /* of the calls that do not block: TLS and name service run on it */
    SERVER_VERSION = 101100,  /* random_bytes, NOWAIT, RELEASE_ALL_LOCKS */
    PACKET_BYTES_MIN = 65536,
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static int library_failed;

static void library_start(void)
{
    library_failed = mysql_library_init(0, NULL, NULL);
}

static void *mariadb_open(struct database *database, const char *url, struct error *error)
{
    pthread_once(&library_once, library_start);
    struct mariadb *mariadb = calloc(1, sizeof(*mariadb));
    if (!mariadb || library_failed) {
        free(mariadb);
        error_set(error, "libmariadb cannot be initialised");
        return NULL;
    }
    mariadb->database = database;
    if (mariadb_url_parse(&mariadb->url, url, error) == 0) {
        if (waiter_open(&mariadb->waiter, &database->interrupted) == 0)
            return mariadb;
        error_set(error, "out of descriptors");
        mariadb_url_clear(&mariadb->url);
    }
    free(mariadb);
    return NULL;
}

static void mariadb_disconnect(void *state)
{
    struct mariadb *mariadb = state;
    if (!mariadb->connection)
        return;
    /* A farewell is not worth a wait for a far end that fell silent. */
    if (mariadb->gave_up && mysql_get_socket(mariadb->connection) != MARIADB_INVALID_SOCKET)
        shutdown(mysql_get_socket(mariadb->connection), SHUT_RDWR);
    mysql_close(mariadb->connection);
    mariadb->connection = NULL;
    mariadb->holds_names = mariadb->has_tables = mariadb->gave_up = false;
}

static void mariadb_close(void *state)
{
    struct mariadb *mariadb = state;
    mariadb_disconnect(mariadb);
    waiter_close(&mariadb->waiter);
    mariadb_url_clear(&mariadb->url);
    free(mariadb->text.bytes);
    free(mariadb->batch.bytes);
    free(mariadb);
}

static void mariadb_interrupt(void *state)
{
    struct mariadb *mariadb = state;
    waiter_wake(&mariadb->waiter);
}

static int64_t end_after(uint32_t seconds)
{
    return clock_monotonic_ns() + (int64_t)seconds * INT64_C(1000000000);
}

static int64_t answer_end(const struct mariadb *mariadb)
{
    uint32_t longest = mariadb->url.statement_timeout_s > mariadb->url.lock_timeout_s ? mariadb->url.statement_timeout_s
                                                                                      : mariadb->url.lock_timeout_s;
    return end_after(longest + ANSWER_MARGIN_S);
}

/* Waits for what a call that does not block asked for; returns what it is to be told. A time-out ends the call. */
static int await(struct mariadb *mariadb, int wanted, int64_t end_ns)
{
    short events = (short)((wanted & MYSQL_WAIT_READ ? POLLIN : 0) | (wanted & MYSQL_WAIT_WRITE ? POLLOUT : 0) |
                           (wanted & MYSQL_WAIT_EXCEPT ? POLLPRI : 0));
    short came = 0;
    if (!mariadb->gave_up)
        came = waiter_wait(&mariadb->waiter, mysql_get_socket(mariadb->connection), events, end_ns);
    if (came == 0) {
        mariadb->gave_up = true;
        return MYSQL_WAIT_TIMEOUT;
    }
    /* An error or an end shows in what is read or written next. */
    if (came & (POLLERR | POLLHUP | POLLNVAL))
        return wanted & (MYSQL_WAIT_READ | MYSQL_WAIT_WRITE | MYSQL_WAIT_EXCEPT);
    return (came & POLLIN ? MYSQL_WAIT_READ : 0) | (came & POLLOUT ? MYSQL_WAIT_WRITE : 0) |
           (came & POLLPRI ? MYSQL_WAIT_EXCEPT : 0);
}

/* The connection cannot be used any more. */
static enum database_result lost(struct mariadb *mariadb, const char *reason, struct error *error)
{
    bool interrupted = waiter_is_interrupted(&mariadb->waiter);
    sql_one_line(error, interrupted ? "interrupted" : mariadb->gave_up ? "the server does not answer" : reason);
    mariadb_disconnect(mariadb);
    return interrupted ? DATABASE_STOPPED : DATABASE_UNAVAILABLE;
}

/* Of a server that answers: not who we are, not this database, not this right, not what it can do. */
static bool code_refuses(unsigned code)
{
    static const unsigned codes[] = {ER_ACCESS_DENIED_ERROR,
                                     ER_DBACCESS_DENIED_ERROR,
                                     ER_BAD_DB_ERROR,
                                     ER_NOT_SUPPORTED_AUTH_MODE,
                                     ER_TABLEACCESS_DENIED_ERROR,
                                     ER_COLUMNACCESS_DENIED_ERROR,
                                     ER_SPECIFIC_ACCESS_DENIED_ERROR,
                                     ER_BINLOG_CREATE_ROUTINE_NEED_SUPER,
                                     ER_UNKNOWN_STORAGE_ENGINE,
                                     ER_NO_SUCH_TABLE,
                                     ER_BAD_FIELD_ERROR,
                                     ER_TABLE_EXISTS_ERROR,
                                     CR_AUTH_PLUGIN_CANNOT_LOAD,
                                     ER_SIGNAL_EXCEPTION};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (code == codes[i])
            return true;
    }
    return code == 1698; /* access denied, by an authentication without passwords */
}

/* What an error says about the values: SQLSTATE classes 22, 23 and 45 (our triggers') do, and a few that have none. */
static enum database_result judge(struct mariadb *mariadb, struct error *error)
{
    unsigned code = mysql_errno(mariadb->connection);
    const char *state = mysql_sqlstate(mariadb->connection);
    const char *reason = mysql_error(mariadb->connection);
    mariadb->is_refused = code_refuses(code);
    if (code >= CR_MIN_ERROR && code <= CR_MAX_ERROR)
        return lost(mariadb, reason, error);
    sql_one_line(error, reason);
    if (code == ER_BINLOG_CREATE_ROUTINE_NEED_SUPER)
        return database_fail(DATABASE_UNAVAILABLE, error,
                             "the server writes a binary log and lets nobody make triggers: an administrator has to "
                             "SET GLOBAL log_bin_trust_function_creators = 1, or make the schema once");
    if (code == ER_DUP_ENTRY)
        return DATABASE_CONFLICT;
    bool is_of_values = strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0 || strncmp(state, "45", 2) == 0 ||
                        code == ER_WARN_DATA_OUT_OF_RANGE || code == WARN_DATA_TRUNCATED || code == ER_DATA_TOO_LONG ||
                        code == ER_TRUNCATED_WRONG_VALUE_FOR_FIELD || code == ER_NO_DEFAULT_FOR_FIELD ||
                        code == ER_INVALID_CHARACTER_STRING;
    return is_of_values ? DATABASE_INVALID : DATABASE_UNAVAILABLE;
}

static int give_row(MYSQL_RES *result, MYSQL_ROW row, const struct sql_query *query)
{
    struct sql_value columns[SQL_COLUMNS_MAX];
    const unsigned long *lengths = mysql_fetch_lengths(result);
    unsigned count = mysql_num_fields(result);
    for (unsigned i = 0; i < count && i < SQL_COLUMNS_MAX; i++) {
        columns[i] = (struct sql_value){.type = row[i] ? SQL_TEXT : SQL_NULL, .text = row[i]};
        columns[i].length = row[i] ? lengths[i] : 0;
    }
    return query->row(query->context, columns);
}

/* Rows are taken as they come: a table of a million rows is not to stand in memory whole. False: the connection failed. */
static bool take_rows(struct mariadb *mariadb, MYSQL_RES *result, const struct sql_query *query, bool *stopped)
{
    bool failed = false;
    for (;;) {
        MYSQL_ROW row;
        int wanted = mysql_fetch_row_start(&row, result);
        while (wanted != 0)
            wanted = mysql_fetch_row_cont(&row, result, await(mariadb, wanted, answer_end(mariadb)));
        if (!row)
            break;
        if (query && query->row && !*stopped)
            *stopped = give_row(result, row, query) != 0;
    }
    failed = mysql_errno(mariadb->connection) != 0;
    int wanted = mysql_free_result_start(result);
    while (wanted != 0)
        wanted = mysql_free_result_cont(result, await(mariadb, wanted, answer_end(mariadb)));
    return !failed;
}

/* Sends a text and takes all of its results; `query` may be NULL. */
static enum database_result run(struct mariadb *mariadb, const char *text, size_t length, struct sql_query *query,
                                struct error *error)
{
    MYSQL *connection = mariadb->connection;
    if (!connection)
        return database_fail(DATABASE_UNAVAILABLE, error, "the connection is lost");
    mariadb->is_refused = false;
    int64_t end_ns = answer_end(mariadb);
    int failed;
    int wanted = mysql_real_query_start(&failed, connection, text, length);
    while (wanted != 0)
        wanted = mysql_real_query_cont(&failed, connection, await(mariadb, wanted, end_ns));
    bool stopped = false;
    while (failed == 0) {
        MYSQL_RES *result = mysql_use_result(connection);
        if (result ? !take_rows(mariadb, result, query, &stopped) : mysql_errno(connection) != 0)
            return judge(mariadb, error);
        if (query && !result)
            query->changed = (int64_t)mysql_affected_rows(connection);
        end_ns = answer_end(mariadb);
        wanted = mysql_next_result_start(&failed, connection);
        while (wanted != 0)
            wanted = mysql_next_result_cont(&failed, connection, await(mariadb, wanted, end_ns));
    }
    if (failed > 0)
        return judge(mariadb, error);
    return stopped ? database_fail(DATABASE_STOPPED, error, "stopped by the caller") : DATABASE_OK;
}

enum database_result mariadb_script(void *state, const char *text, struct error *error)
{
    return run(state, text, strlen(text), NULL, error);
}

enum database_result mariadb_send(struct mariadb *mariadb, struct sql_query *query, size_t length, struct error *error)
{
    return run(mariadb, query->text, length, query, error);
}

void mariadb_put_text(struct sql_buffer *buffer, const char *text, size_t length)
{
    sql_buffer_put(buffer, "'", 1);
    for (size_t i = 0; i < length; i++) {
        size_t plain = i;
        while (plain < length && text[plain] != '\'')
            plain++;
        sql_buffer_put(buffer, text + i, plain - i);
        if (plain < length)
            sql_buffer_put(buffer, "''", 2);
        i = plain;
    }
    sql_buffer_put(buffer, "'", 1);
}

static void put_value(struct sql_buffer *buffer, const struct sql_value *value)
{
    if (value->type == SQL_INTEGER)
        sql_buffer_put_integer(buffer, value->integer);
    else if (value->type == SQL_TEXT)
        mariadb_put_text(buffer, value->text, value->length);
    else
        sql_buffer_put(buffer, "NULL", 4);
}

/* The statement with its values in the places of $1, $2, … */
static void put_statement(struct sql_buffer *buffer, const struct sql_query *query)
{
    buffer->length = 0;
    for (const char *at = query->text; *at != '\0';) {
        size_t plain = strcspn(at, "$");
        sql_buffer_put(buffer, at, plain);
        at += plain;
        if (*at != '$')
            break;
        char *end;
        unsigned long number = strtoul(at + 1, &end, 10);
        if (number >= 1 && number <= query->value_count)
            put_value(buffer, &query->values[number - 1]);
        at = end > at + 1 ? end : at + 1;
    }
}

/*
 * Makers of the schema wait for each other by a name of the connection's: no row could be locked yet, and each
 * change of a schema ends a transaction. Names hold for the whole server.
 */
static const char lock_schema[] =
    "BEGIN NOT ATOMIC IF coalesce(GET_LOCK(concat('privtrak.', sha1(database())), 60), 0) <> 1 THEN "
    "SIGNAL SQLSTATE 'HY000' SET MESSAGE_TEXT = 'another tracker is making the schema'; END IF; END";

enum database_result mariadb_query(void *state, struct sql_query *query, struct error *error)
{
    struct mariadb *mariadb = state;
    query->changed = 0;
    put_statement(&mariadb->text, query);
    if (mariadb->text.failed) {
        mariadb->text.failed = false;
        return database_fail(DATABASE_UNAVAILABLE, error, "out of memory");
    }
    mariadb->holds_names |= query->text == lock_schema;
    return run(mariadb, mariadb->text.bytes, mariadb->text.length, query, error);
}

static void set_options(const struct mariadb *mariadb)
{
    MYSQL *connection = mariadb->connection;
    const struct mariadb_url *url = &mariadb->url;
    size_t stack_bytes = STACK_BYTES;
    unsigned off = 0, connect_s = url->connect_timeout_s;
    unsigned answer_s = url->statement_timeout_s + url->lock_timeout_s + ANSWER_MARGIN_S;
    my_bool yes = 1, no = 0, verify = url->tls == MARIADB_TLS_VERIFY;
    mysql_optionsv(connection, MYSQL_OPT_NONBLOCK, &stack_bytes);
    mysql_optionsv(connection, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    mysql_optionsv(connection, MYSQL_OPT_LOCAL_INFILE, &off); /* a server may not ask for files of this machine */
    mysql_optionsv(connection, MYSQL_OPT_RECONNECT, &no);
    mysql_optionsv(connection, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
    mysql_optionsv(connection, MYSQL_OPT_READ_TIMEOUT, &answer_s);
    mysql_optionsv(connection, MYSQL_OPT_WRITE_TIMEOUT, &answer_s);
    mysql_optionsv(connection, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "privtrak");
    unsigned protocol = url->host ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET;
    mysql_optionsv(connection, MYSQL_OPT_PROTOCOL, &protocol);
    if (url->tls == MARIADB_TLS_DISABLED || !url->host)
        return;
    mysql_optionsv(connection, MYSQL_OPT_SSL_ENFORCE, &yes);
    mysql_optionsv(connection, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
    if (url->ssl_ca)
        mysql_optionsv(connection, MYSQL_OPT_SSL_CA, url->ssl_ca);
    if (url->ssl_cert)
        mysql_optionsv(connection, MYSQL_OPT_SSL_CERT, url->ssl_cert);
    if (url->ssl_key)
        mysql_optionsv(connection, MYSQL_OPT_SSL_KEY, url->ssl_key);
}

/* Of a server that is not up to it. */
static enum database_result refuse(struct mariadb *mariadb, struct error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum database_result refuse(struct mariadb *mariadb, struct error *error, const char *format, ...)
{
    mariadb->is_refused = true;
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof(error->text), format, arguments);
        va_end(arguments);
    }
    return DATABASE_UNAVAILABLE;
}

static enum database_result check_server(struct mariadb *mariadb, struct error *error)
{
    MYSQL *connection = mariadb->connection;
    const char *version = mysql_get_server_info(connection);
    if (!mariadb_connection(connection))
        return refuse(mariadb, error, "the server is MySQL %.40s; needed is MariaDB 10.11 or newer", version);
    if (mysql_get_server_version(connection) < SERVER_VERSION)
        return refuse(mariadb, error, "the server is MariaDB %.40s; needed is 10.11 or newer", version);
    if (mariadb->url.host && mariadb->url.tls >= MARIADB_TLS_REQUIRED && !mysql_get_ssl_cipher(connection))
        return refuse(mariadb, error, "the server has no TLS, which ssl-mode asks for");
    return DATABASE_OK;
}

struct server_facts {
    int64_t packet_bytes;
    bool commits_are_synced;
    bool log_is_of_statements;
    char strangers[128]; /* tables of ours that are not InnoDB's */
};

static int take_facts(void *context, const struct sql_value *columns)
{
    struct server_facts *facts = context;
    facts->packet_bytes = sql_as_integer(&columns[0]);
    facts->commits_are_synced = sql_as_integer(&columns[1]) == 1;
    facts->log_is_of_statements = sql_as_integer(&columns[2]) != 0;
    sql_copy_text(facts->strangers, sizeof(facts->strangers), &columns[3]);
    return 0;
}

/* What would break the promises later, and unseen. */
static enum database_result check_settings(struct mariadb *mariadb, struct error *error)
{
    static atomic_flag warned = ATOMIC_FLAG_INIT;
    struct server_facts facts = {0};
    struct sql_query query = {
        .text = "SELECT @@max_allowed_packet, @@innodb_flush_log_at_trx_commit, @@log_bin AND @@binlog_format = "
                "'STATEMENT', (SELECT group_concat(table_name) FROM information_schema.tables WHERE table_schema = "
                "database() AND engine <> 'InnoDB' AND table_name IN ('users', 'torrents', 'user_torrents', "
                "'sessions', 'clients', 'parked_deltas', 'privtrak', 'changes'))",
        .row = take_facts,
        .context = &facts};
    enum database_result result = mariadb_query(mariadb, &query, error);
    if (result != DATABASE_OK)
        return result;
    mariadb->packet_bytes = facts.packet_bytes > PACKET_BYTES_MIN ? (size_t)facts.packet_bytes : PACKET_BYTES_MIN;
    if (facts.strangers[0] != '\0')
        return refuse(mariadb, error,
                      "not InnoDB's, and so without transactions, are the tables %s: ALTER TABLE ... "
                      "ENGINE = InnoDB",
                      facts.strangers);
    if (facts.log_is_of_statements)
        return refuse(mariadb, error,
                      "the server's binlog_format is STATEMENT, which InnoDB does not take from READ "
                      "COMMITTED transactions; needed is MIXED or ROW");
    if (!facts.commits_are_synced && !atomic_flag_test_and_set(&warned))
        log_warning("database", "the server's innodb_flush_log_at_trx_commit is not 1: a power cut there can lose "
                                "deltas that the journal has already let go");
    return DATABASE_OK;
}

static enum database_result set_session(struct mariadb *mariadb, struct error *error)
{
    char text[1024];
    const struct mariadb_url *url = &mariadb->url;
    snprintf(text, sizeof(text),
             "SET NAMES utf8mb4 COLLATE utf8mb4_nopad_bin; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; "
             "SET SESSION sql_mode = 'STRICT_ALL_TABLES,STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES,ANSI_QUOTES,"
             "PIPES_AS_CONCAT,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO', "
             "autocommit = 1, completion_type = 0, foreign_key_checks = 1, unique_checks = 1, "
             "check_constraint_checks = 1, sql_safe_updates = 0, sql_select_limit = DEFAULT, "
             "lock_wait_timeout = %u, innodb_lock_wait_timeout = %u, max_statement_time = %u, "
             "idle_transaction_timeout = 60",
             url->lock_timeout_s, url->lock_timeout_s, url->statement_timeout_s);
    return mariadb_script(mariadb, text, error);
}

static enum database_result mariadb_reach(void *state, struct error *error)
{
    struct mariadb *mariadb = state;
    const struct mariadb_url *url = &mariadb->url;
    mariadb_disconnect(mariadb);
    mariadb->is_refused = false;
    mariadb->connection = mysql_init(NULL);
    if (!mariadb->connection)
        return database_fail(DATABASE_UNAVAILABLE, error, "out of memory");
    set_options(mariadb);
    int64_t end_ns = end_after(url->connect_timeout_s);
    MYSQL *connected;
    int wanted =
        mysql_real_connect_start(&connected, mariadb->connection, url->host, url->user, url->password, url->database,
                                 url->port, url->socket, CLIENT_FOUND_ROWS | CLIENT_MULTI_STATEMENTS);
    while (wanted != 0)
        wanted = mysql_real_connect_cont(&connected, mariadb->connection, await(mariadb, wanted, end_ns));
    if (!connected) {
        mariadb->is_refused = code_refuses(mysql_errno(mariadb->connection));
        return lost(mariadb, mysql_error(mariadb->connection), error);
    }
    enum database_result result = check_server(mariadb, error);
    if (result == DATABASE_OK)
        result = set_session(mariadb, error);
    if (result == DATABASE_OK)
        result = check_settings(mariadb, error);
    if (result != DATABASE_OK)
        mariadb_disconnect(mariadb);
    return result;
}

/* Also notices a server that closed the connection while it was idle; nothing else comes unasked. */
static bool mariadb_connected(void *state)
{
    struct mariadb *mariadb = state;
    if (!mariadb->connection)
        return false;
    struct pollfd fd = {.fd = mysql_get_socket(mariadb->connection), .events = POLLIN};
    if (poll(&fd, 1, 0) <= 0)
        return true;
    mariadb->gave_up = true;
    mariadb_disconnect(mariadb);
    return false;
}

static enum database_result mariadb_begin(void *state, enum sql_transaction kind, struct error *error)
{
    struct mariadb *mariadb = state;
    if (kind != SQL_READ)
        return mariadb_script(mariadb, "START TRANSACTION", error);
    enum database_result result = mariadb_look_at_gaps(mariadb, error);
    if (result != DATABASE_OK)
        return result;
    return mariadb_script(mariadb,
                          "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; "
                          "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
                          error);
}

static void release_names(struct mariadb *mariadb)
{
    if (mariadb->connection && mariadb->holds_names)
        (void)mariadb_script(mariadb, "DO RELEASE_ALL_LOCKS()", NULL);
    mariadb->holds_names = false;
}

static void mariadb_rollback(void *state)
{
    struct mariadb *mariadb = state;
    bool is_refused = mariadb->is_refused;
    if (mariadb->connection)
        (void)mariadb_script(mariadb, "ROLLBACK; SET @privtrak_counts = NULL", NULL);
    release_names(mariadb);
    mariadb->is_refused = is_refused;
}

static enum database_result mariadb_commit(void *state, struct error *error)
{
    struct mariadb *mariadb = state;
    enum database_result result = mariadb_script(mariadb, "COMMIT", error);
    release_names(mariadb);
    return result;
}

static bool mariadb_is_refused(const void *state)
{
    const struct mariadb *mariadb = state;
    return mariadb->is_refused;
}

static const char *const schemes[] = {MARIADB_SCHEME, NULL};

const struct database_backend mariadb_backend = {
    .kind = "mariadb",
    .schemes = schemes,
    .open = mariadb_open,
    .close = mariadb_close,
    .connect = mariadb_reach,
    .connected = mariadb_connected,
    .disconnect = mariadb_disconnect,
    .interrupt = mariadb_interrupt,
    .is_refused = mariadb_is_refused,
    .begin = mariadb_begin,
    .commit = mariadb_commit,
    .rollback = mariadb_rollback,
    .query = mariadb_query,
    .script = mariadb_script,
    .migrations = mariadb_migrations,
    .migration_count = MARIADB_SCHEMA_VERSION,
    .has_schema = "SELECT 1 FROM information_schema.tables WHERE table_schema = database() AND table_name = 'privtrak'",
    .cursor = mariadb_cursor,
    .changed = mariadb_changed_since,
    .pruned_beyond = "SELECT 1 FROM dual WHERE " PRUNED " > " CURSOR_LOW " OR " NEWEST " < " CURSOR_LAST,
    .pruned_mark = "(id + 0)", /* reads, and so locks, all that it is the largest of */
    /* Fails while a transaction that has not ended has an entry there. */
    .prunable = "1 = 1 LOCK IN SHARE MODE NOWAIT",
    .now = "unix_timestamp()",
    .set_key = "INSERT INTO privtrak (\"key\", value) VALUES ($1, $2) ON DUPLICATE KEY UPDATE value = VALUES(value)",
    /* The row itself is what is locked; a number that is not there yet is 0. */
    .lock = "INSERT INTO privtrak (\"key\", value) VALUES ($1, '0') ON DUPLICATE KEY UPDATE value = value",
    .lock_schema = lock_schema,
    .resolve = mariadb_resolve,
    .write = mariadb_write,
};
