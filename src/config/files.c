/* files: what the configuration names outside itself: files, folders and the user; see reading.h. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/reading.h"
#include "database/mariadb_url.h"

enum { GROUPS_MAX = 64, CAUSE_BYTES = 200 };

/* Who will be writing: the user that the tracker changes to, or who runs this. */
struct writer {
    const char *name; /* NULL: who runs this */
    uid_t uid;
    gid_t groups[GROUPS_MAX];
    int group_count;
};

struct inspection {
    struct faults *faults;
    const struct config *config;
    const bool *distrusted; /* by place in the schema: at fault already, and not what the operator wants */
    struct writer writer;
};

/* A key with the file that it names. */
struct named_file {
    const char *key;
    uint32_t line;
    const char *path;
};

static struct named_file name_file(const struct config *config, const char *key, const char *path)
{
    return (struct named_file){.key = key, .line = config_line(config, key), .path = path};
}

/* A sink's key is not in the schema by its place in the list. */
static bool is_trusted(const struct inspection *inspection, const char *key)
{
    const struct key *known = strchr(key, '[') == NULL ? schema_find(key) : NULL;
    return known == NULL || !inspection->distrusted[known - schema];
}

static void refuse(struct inspection *inspection, const struct named_file *file, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(struct inspection *inspection, const struct named_file *file, const char *format, ...)
{
    char allowed[400];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(allowed, sizeof allowed, format, arguments);
    va_end(arguments);
    if (is_trusted(inspection, file->key))
        faults_add(inspection->faults, file->line, file->key, "found %.400s, allowed %s", file->path, allowed);
}

static void check_user(struct inspection *inspection)
{
    const char *name = inspection->config->privileges.user;
    struct writer *writer = &inspection->writer;
    if (name[0] == '\0')
        return;
    const struct passwd *user = getpwnam(name);
    if (user == NULL) {
        struct named_file file = name_file(inspection->config, "privileges.user", name);
        refuse(inspection, &file, "a user that this machine knows");
        return;
    }
    if (geteuid() != 0)
        return; /* nobody but root can change to another: the start says so, where it comes to that */
    writer->group_count = GROUPS_MAX;
    if (getgrouplist(name, user->pw_gid, writer->groups, &writer->group_count) < 0)
        writer->group_count = GROUPS_MAX;
    writer->name = name;
    writer->uid = user->pw_uid;
}

/* Whether the mode bits let the user in; `wanted` are bits of "others", such as 3 for writing and searching. */
static bool mode_allows(const struct writer *writer, const struct stat *status, unsigned wanted)
{
    if (writer->uid == 0)
        return true;
    if (writer->uid == status->st_uid)
        return (status->st_mode >> 6 & wanted) == wanted;
    for (int i = 0; i < writer->group_count; i++) {
        if (writer->groups[i] == status->st_gid)
            return (status->st_mode >> 3 & wanted) == wanted;
    }
    return (status->st_mode & wanted) == wanted;
}

/* Whether the path is state_dir or stands somewhere in it. */
static bool is_below_state_dir(const struct config *config, const char *path)
{
    size_t length = strlen(config->tracker.state_dir);
    return strncmp(path, config->tracker.state_dir, length) == 0 && (path[length] == '\0' || path[length] == '/') &&
           strstr(path + length, "/..") == NULL;
}

/*
 * Whether `path`, which is there, can be written (a folder: files can be made in
 * it). Else says why not. What stands in state_dir is given to the user before
 * the change to it (privileges.h).
 */
static bool can_write(const struct inspection *inspection, const char *path, const struct stat *status,
                      char cause[static CAUSE_BYTES])
{
    const struct writer *writer = &inspection->writer;
    bool folder = S_ISDIR(status->st_mode);
    if (faccessat(AT_FDCWD, path, folder ? W_OK | X_OK : W_OK, AT_EACCESS) != 0) {
        (void)snprintf(cause, CAUSE_BYTES, "%s", strerror(errno));
        return false;
    }
    if (writer->name != NULL && !is_below_state_dir(inspection->config, path) &&
        !mode_allows(writer, status, folder ? 3 : 2)) {
        (void)snprintf(cause, CAUSE_BYTES, "user %.64s has no right to write there", writer->name);
        return false;
    }
    return true;
}

/* Writes the folder that `path` stands in into `folder`; false where it is too long for a path. */
static bool folder_of(char folder[static PATH_MAX], const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    if (length >= PATH_MAX)
        return false;
    if (length == 0) {
        (void)strlcpy(folder, slash == NULL ? "." : "/", PATH_MAX);
        return true;
    }
    memcpy(folder, path, length);
    folder[length] = '\0';
    return true;
}

/*
 * Before the first start there is no state_dir, and so no way through
 * "state_dir/..": writes what that will be into `folder`, and else leaves it.
 */
static void see_through_state_dir(const struct config *config, char folder[static PATH_MAX])
{
    const char *state_dir = config->tracker.state_dir;
    size_t length = strlen(state_dir);
    char parent[PATH_MAX];
    char whole[PATH_MAX];
    if (strncmp(folder, state_dir, length) != 0 || strncmp(folder + length, "/..", 3) != 0 ||
        access(state_dir, F_OK) == 0 || !folder_of(parent, state_dir))
        return;
    const char *rest = folder + length + 3;
    if ((rest[0] == '\0' || rest[0] == '/') && snprintf(whole, PATH_MAX, "%s%s", parent, rest) < PATH_MAX)
        memcpy(folder, whole, strlen(whole) + 1);
}

/* Is there a folder in which `file` can be made? */
static void check_folder(struct inspection *inspection, const struct named_file *file, const char *what)
{
    char folder[PATH_MAX];
    char cause[CAUSE_BYTES];
    struct stat status;
    bool fits = folder_of(folder, file->path);
    if (fits)
        see_through_state_dir(inspection->config, folder);
    if (!fits)
        refuse(inspection, file, "a shorter path");
    else if (stat(folder, &status) != 0)
        refuse(inspection, file, "%s in a folder that is there (%s: %s)", what, folder, strerror(errno));
    else if (!S_ISDIR(status.st_mode))
        refuse(inspection, file, "%s in a folder (%s is none)", what, folder);
    else if (!can_write(inspection, folder, &status, cause))
        refuse(inspection, file, "%s in a folder that can be written (%s: %s)", what, folder, cause);
}

static void check_state_dir(struct inspection *inspection)
{
    struct named_file file = name_file(inspection->config, "tracker.state_dir", inspection->config->tracker.state_dir);
    char cause[CAUSE_BYTES];
    struct stat status;
    if (stat(file.path, &status) != 0) {
        if (errno == ENOENT)
            check_folder(inspection, &file, "a directory, or a new one");
        else
            refuse(inspection, &file, "a directory (%s)", strerror(errno));
    } else if (!S_ISDIR(status.st_mode)) {
        refuse(inspection, &file, "a directory");
    } else if (!can_write(inspection, file.path, &status, cause)) {
        refuse(inspection, &file, "a directory that can be written (%s)", cause);
    }
}

/* state_dir is made at the start, and checked on its own. */
static bool is_in_state_dir(const struct config *config, const char *path)
{
    size_t length = strlen(config->tracker.state_dir);
    return strncmp(path, config->tracker.state_dir, length) == 0 && path[length] == '/' &&
           strchr(path + length + 1, '/') == NULL;
}

/* A file that the tracker writes, and makes where it is missing. */
static void check_written(struct inspection *inspection, const struct named_file *file, const char *what)
{
    char cause[CAUSE_BYTES];
    struct stat status;
    if (file->path[0] == '\0')
        return;
    if (stat(file->path, &status) == 0) {
        if (S_ISDIR(status.st_mode))
            refuse(inspection, file, "%s (this is a directory)", what);
        else if (!can_write(inspection, file->path, &status, cause))
            refuse(inspection, file, "%s that can be written (%s)", what, cause);
    } else if (!is_in_state_dir(inspection->config, file->path)) {
        check_folder(inspection, file, what);
    }
}

static void check_socket(struct inspection *inspection)
{
    struct named_file file = name_file(inspection->config, "admin.socket", inspection->config->admin.socket);
    size_t longest = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
    struct stat status;
    if (strlen(file.path) > longest)
        refuse(inspection, &file, "a path of at most %zu bytes, with state_dir", longest);
    else if (lstat(file.path, &status) == 0 && !S_ISSOCK(status.st_mode))
        refuse(inspection, &file, "a path that no other file has");
    else if (!is_in_state_dir(inspection->config, file.path))
        check_folder(inspection, &file, "a socket");
}

/* What the tracker opens after it has locked itself into state_dir has to stand there. */
static void check_confined(struct inspection *inspection, const struct named_file *file)
{
    if (inspection->config->privileges.chroot && file->path[0] != '\0' &&
        !is_below_state_dir(inspection->config, file->path))
        refuse(inspection, file, "a path in tracker.state_dir, into which privileges.chroot locks the tracker");
}

/* The same for what a database's URL names; NULL: nothing. */
static void check_confined_url(struct inspection *inspection, const char *what, const char *path)
{
    struct named_file file = name_file(inspection->config, "database.url", "");
    char found[CAUSE_BYTES];
    if (path == NULL || !inspection->config->privileges.chroot || is_below_state_dir(inspection->config, path))
        return;
    (void)snprintf(found, sizeof found, "%s %s", what, path);
    file.path = found;
    refuse(inspection, &file, "a path in tracker.state_dir, into which privileges.chroot locks the tracker");
}

static void check_mariadb(struct inspection *inspection)
{
    struct named_file file = name_file(inspection->config, "database.url", "a URL that cannot be used");
    struct mariadb_url url;
    struct error reason;
    if (mariadb_url_parse(&url, inspection->config->database.url, &reason) != 0) {
        refuse(inspection, &file, "mariadb://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE (%s)", reason.text);
        return;
    }
    if (url.host == NULL)
        check_confined_url(inspection, "socket", url.socket != NULL ? url.socket : "of the machine");
    check_confined_url(inspection, "ssl-ca", url.ssl_ca);
    check_confined_url(inspection, "ssl-cert", url.ssl_cert);
    check_confined_url(inspection, "ssl-key", url.ssl_key);
    mariadb_url_clear(&url);
}

/* libpq's own words repeat the URL, and with it the password. */
static void check_postgresql(struct inspection *inspection)
{
    static const char *const files[] = {"sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile", "servicefile"};
    struct named_file file = name_file(inspection->config, "database.url", "a URL that libpq does not understand");
    PQconninfoOption *options = PQconninfoParse(inspection->config->database.url, NULL);
    if (options == NULL) {
        refuse(inspection, &file, "postgresql://USER@HOST:PORT/DATABASE?OPTION=VALUE");
        return;
    }
    bool has_host = false;
    for (const PQconninfoOption *option = options; option->keyword != NULL; option++) {
        if (option->val == NULL || option->val[0] == '\0')
            continue;
        bool is_host = strcmp(option->keyword, "host") == 0;
        has_host = has_host || is_host || strcmp(option->keyword, "hostaddr") == 0;
        if (is_host && (option->val[0] == '/' || strstr(option->val, ",/") != NULL))
            check_confined_url(inspection, "socket", option->val);
        for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
            if (strcmp(option->keyword, files[i]) == 0 && strcmp(option->val, "system") != 0)
                check_confined_url(inspection, option->keyword, option->val);
        }
    }
    if (!has_host)
        check_confined_url(inspection, "socket", "of the machine");
    PQconninfoFree(options);
}

static void check_database(struct inspection *inspection)
{
    const struct config *config = inspection->config;
    static const char sqlite[] = "sqlite:";
    struct named_file file = name_file(config, "database.url", config->database.url);
    if (strncmp(file.path, sqlite, strlen(sqlite)) == 0) {
        file.path += strlen(sqlite);
        check_written(inspection, &file, "a database file");
        check_confined(inspection, &file);
    } else if (strncmp(file.path, MARIADB_SCHEME, strlen(MARIADB_SCHEME)) == 0) {
        check_mariadb(inspection);
    } else {
        check_postgresql(inspection);
    }
}

static void check_sinks(struct inspection *inspection)
{
    const struct config_deltas *deltas = &inspection->config->deltas;
    for (size_t i = 0; i < deltas->sink_count; i++) {
        char key[KEY_PATH_BYTES];
        (void)snprintf(key, sizeof key, "deltas.sinks[%zu].path", i);
        struct named_file file = {.key = key, .line = deltas->sinks[i].line, .path = deltas->sinks[i].path};
        check_written(inspection, &file, "a file");
        check_confined(inspection, &file);
    }
}

static const char *tls_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason == NULL ? "no reason given" : reason;
}

/* An encrypted key must not make the start ask at a terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)context;
    return 0;
}

static bool can_read(struct inspection *inspection, const struct named_file *file)
{
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        refuse(inspection, file, "a file that can be read (%s)", strerror(errno));
        return false;
    }
    (void)close(fd);
    return true;
}

static bool load_certificate(struct inspection *inspection, SSL_CTX *context)
{
    struct named_file file =
        name_file(inspection->config, "http.tls.certificate", inspection->config->http.tls_certificate);
    if (file.path[0] == '\0' || !can_read(inspection, &file))
        return false;
    if (SSL_CTX_use_certificate_chain_file(context, file.path) == 1)
        return true;
    refuse(inspection, &file, "a chain of certificates in PEM (%s)", tls_reason());
    return false;
}

static void check_tls(struct inspection *inspection)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) {
        inspection->faults->out_of_memory = true;
        return;
    }
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    struct named_file key = name_file(inspection->config, "http.tls.key", inspection->config->http.tls_key);
    bool certified = load_certificate(inspection, context);
    if (key.path[0] != '\0' && can_read(inspection, &key)) {
        /* With a certificate loaded this also compares the two. */
        if (SSL_CTX_use_PrivateKey_file(context, key.path, SSL_FILETYPE_PEM) != 1)
            refuse(inspection, &key, "a private key in PEM without a passphrase%s (%s)",
                   certified ? ", that of http.tls.certificate" : "", tls_reason());
    }
    SSL_CTX_free(context);
    ERR_clear_error();
}

void reading_inspect(struct reading *reading)
{
    const struct config *config = reading->config;
    struct inspection inspection = {.faults = &reading->faults, .config = config, .distrusted = reading->distrusted};
    struct named_file token = name_file(config, "admin.token_file", config->admin.token_file);
    struct named_file log = name_file(config, "log.file", config->log.file);
    struct named_file socket = name_file(config, "admin.socket", config->admin.socket);
    struct named_file certificate = name_file(config, "http.tls.certificate", config->http.tls_certificate);
    struct named_file key = name_file(config, "http.tls.key", config->http.tls_key);
    const struct named_file *const opened_later[] = {&token, &log, &socket, &certificate, &key};
    for (size_t i = 0; i < sizeof opened_later / sizeof *opened_later; i++)
        check_confined(&inspection, opened_later[i]);
    check_user(&inspection);
    check_state_dir(&inspection);
    check_tls(&inspection);
    check_database(&inspection);
    check_sinks(&inspection);
    check_socket(&inspection);
    check_written(&inspection, &token, "a file");
    check_written(&inspection, &log, "a file");
}
