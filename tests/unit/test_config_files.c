/* Tests of what is looked at outside the configuration: files, folders, certificates, the user. */
#include "config_text.h"
#include "remove_folder.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOBODY = 65534 };

static char folder[64]; /* of the test in hand; t.yaml stands in it */

static void make_folder(void)
{
    strcpy(folder, "/tmp/privtrak-files-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void tear_down(void)
{
    cr_expect_eq(seteuid(getuid()), 0);
    remove_folder(folder);
}

TestSuite(config_files, .init = make_folder, .fini = tear_down);

static void check_text(const char *text, struct told *told)
{
    char path[100];
    (void)snprintf(path, sizeof path, "%s/t.yaml", folder);
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
    told->count = 0;
    struct config *config = config_load(path, tell, told);
    cr_expect_eq(config == NULL, told->count > 0);
    config_free(config);
}

static void expect_good(const char *text)
{
    struct told told;
    check_text(text, &told);
    cr_expect_eq(told.count, 0, "%s", told.lines[0]);
}

/* Exactly one fault, of that line and key, with those words in it. */
static void expect_bad(const char *text, const char *where, const char *words)
{
    struct told told;
    char start[200];
    check_text(text, &told);
    cr_assert_eq(told.count, 1, "%s: %zu faults, the first: %s", text, told.count, told.lines[0]);
    (void)snprintf(start, sizeof start, "%s/t.yaml:%s: found ", folder, where);
    cr_expect_eq(strncmp(told.lines[0], start, strlen(start)), 0, "%s", told.lines[0]);
    cr_expect_not_null(strstr(told.lines[0], ", allowed "), "%s", told.lines[0]);
    cr_expect_not_null(strstr(told.lines[0], words), "%s", told.lines[0]);
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "we");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
}

Test(config_files, defaults_are_good_in_a_folder_that_can_be_written)
{
    expect_good("");
    cr_expect_eq(access("var", F_OK), -1, "checking makes nothing");
    cr_assert_eq(mkdir("var", 0700), 0);
    expect_good("");
}

Test(config_files, state_dir_is_a_directory_or_can_be_made)
{
    expect_bad("\ntracker:\n  state_dir: a/b\n", "3: tracker.state_dir", "/a: No such file or directory");
    write_file("file", "");
    expect_bad("tracker: {state_dir: file}", "1: tracker.state_dir", "allowed a directory");
    expect_bad("tracker: {state_dir: file/var}", "1: tracker.state_dir", "Not a directory");
}

Test(config_files, a_key_that_is_not_written_is_told_at_its_section_or_the_first_line)
{
    write_file("var", "");
    expect_bad("", "1: tracker.state_dir", "allowed a directory");
    expect_bad("\n\ntracker: {workers: 1}\n", "3: tracker.state_dir", "allowed a directory");
}

Test(config_files, state_dir_that_cannot_be_written_is_told)
{
    cr_assert_eq(mkdir("var", 0500), 0);
    if (geteuid() == 0) {
        cr_assert_eq(chmod(folder, 0777), 0);
        cr_assert_eq(chown("var", NOBODY, NOBODY), 0);
        cr_assert_eq(seteuid(NOBODY), 0);
    }
    expect_bad("", "1: tracker.state_dir", "can be written (Permission denied)");
    cr_assert_eq(chmod("var", 0700), 0);
    expect_good("");
}

Test(config_files, what_is_written_outside_state_dir_must_be_for_the_user_that_is_changed_to)
{
    static const char text[] = "privileges: {user: nobody}\nlog: {file: ../logs/log}\n";
    if (geteuid() != 0) {
        tear_down(); /* a skipped test does not come to its end */
        cr_skip_test("only root changes to another user");
    }
    cr_assert_eq(mkdir("var", 0700), 0);
    expect_good("privileges: {user: nobody}");
    cr_assert_eq(mkdir("logs", 0700), 0);
    expect_bad(text, "2: log.file", "user nobody has no right to write there");
    cr_assert_eq(chown("logs", NOBODY, 0), 0);
    expect_good(text);
    cr_assert_eq(chown("logs", 0, NOBODY), 0);
    expect_bad(text, "2: log.file", "user nobody has no right to write there");
    cr_assert_eq(chmod("logs", 0770), 0);
    expect_good(text);
    cr_assert_eq(chown("logs", 0, 0), 0);
    cr_assert_eq(chmod("logs", 0703), 0);
    expect_good(text);
    write_file("logs/log", "");
    cr_assert_eq(chmod("logs/log", 0600), 0);
    expect_bad(text, "2: log.file", "user nobody has no right to write there");
}

Test(config_files, the_user_must_be_known)
{
    expect_bad("privileges:\n  user: no-such-user-here\n", "2: privileges.user", "a user that this machine knows");
    expect_good("privileges: {user: root}");
}

Test(config_files, database_file_has_its_folder_and_can_be_written)
{
    expect_bad("database: {url: 'sqlite:sub/p.db'}", "1: database.url", "/var/sub: No such file or directory");
    cr_assert_eq(mkdir("var", 0700), 0);
    expect_bad("database: {url: 'sqlite:..'}", "1: database.url", "this is a directory");
    cr_assert_eq(mkdir("var/sub", 0700), 0);
    expect_good("database: {url: 'sqlite:sub/p.db'}");
    expect_good("database: {url: 'sqlite:../p.db'}");
}

#define CONFINED "privileges: {user: nobody, chroot: true}\n"

/* A fault of that line and key, whatever else there is: as root, that the user may not write there either. */
static void expect_confined(const char *text, const char *where)
{
    struct told told;
    char start[200];
    bool found = false;
    check_text(text, &told);
    (void)snprintf(start, sizeof start, "%s/t.yaml:%s: found ", folder, where);
    for (size_t i = 0; i < told.count; i++)
        found = found || (strncmp(told.lines[i], start, strlen(start)) == 0 &&
                          strstr(told.lines[i], "a path in tracker.state_dir, into which privileges.chroot locks"));
    cr_expect(found, "%s: %s", text, told.lines[0]);
}

Test(config_files, chroot_takes_no_path_outside_of_state_dir)
{
    cr_assert_eq(mkdir("var", 0700), 0);
    expect_good(CONFINED);
    expect_good(CONFINED "database: {url: 'postgresql://u@h/d'}");
    expect_good(CONFINED "database: {url: 'mariadb://u@h/d'}");
    expect_confined(CONFINED "log: {file: ../log}", "2: log.file");
    expect_confined(CONFINED "log: {file: /tmp/log}", "2: log.file");
    expect_confined(CONFINED "admin: {socket: /tmp/s}", "2: admin.socket");
    expect_confined(CONFINED "admin: {token_file: /tmp/t}", "2: admin.token_file");
    expect_confined(CONFINED "database: {url: 'sqlite:/tmp/x.db'}", "2: database.url");
    expect_confined(CONFINED "database: {url: 'postgresql:///d'}", "2: database.url");
    expect_confined(CONFINED "database: {url: 'postgresql:///d?host=/run/postgresql'}", "2: database.url");
    expect_confined(CONFINED "database: {url: 'postgresql://h/d?sslrootcert=/etc/ca.pem'}", "2: database.url");
    expect_confined(CONFINED "database: {url: 'mariadb://u@localhost/d'}", "2: database.url");
    expect_confined(CONFINED "database: {url: 'mariadb://u@/d?socket=/run/s'}", "2: database.url");
    expect_confined(CONFINED "database: {url: 'mariadb://u@h/d?ssl-ca=/etc/ca.pem'}", "2: database.url");
    expect_confined(CONFINED "deltas: {sinks: [{type: ndjson, path: /tmp/d.ndjson}]}", "2: deltas.sinks[0].path");
}

Test(config_files, mariadb_urls_are_read_without_telling_the_password)
{
    expect_good("database: {url: 'mariadb://u:p@h:3306/d?ssl-mode=verify&ssl-ca=/etc/ca.pem&connect-timeout=3'}");
    expect_good("database: {url: 'mariadb://u:p@/d?socket=/run/mysqld/mysqld.sock'}");
    static const char *const bad[] = {"mariadb://u:secret@h/d?nonsense=1", "mariadb://u:secret@[::1/d",
                                      "mariadb://u:secret@h/", "mariadb://u:sec%zzret@h/d"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[200];
        (void)snprintf(text, sizeof text, "database: {url: '%s'}\n", bad[i]);
        expect_bad(text, "1: database.url", "mariadb://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE");
    }
}

Test(config_files, postgresql_urls_are_read_by_libpq_without_telling_the_password)
{
    expect_good("database: {url: 'postgresql://u:p@h:5432/d?sslmode=require&connect_timeout=3'}");
    static const char *const bad[] = {"postgresql://u:secret@h/d?nonsense=1", "postgresql://u:secret@[::1/d",
                                      "postgresql://u:secret@h/d?sslmode", "postgresql://u:sec%zzret@h/d"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct told told;
        char text[200];
        (void)snprintf(text, sizeof text, "database:\n  url: '%s'\n", bad[i]);
        expect_bad(text, "2: database.url", "libpq does not understand");
        check_text(text, &told);
        cr_expect_null(strstr(told.lines[0], "sec"), "%s", told.lines[0]);
    }
}

Test(config_files, sink_and_log_files_have_their_folders)
{
    expect_bad("deltas:\n  sinks:\n    - {type: database}\n    - {type: ndjson, path: x/d}\n",
               "4: deltas.sinks[1].path", "/var/x: No such file or directory");
    expect_bad("log: {file: /nowhere/log}", "1: log.file", "/nowhere: No such file or directory");
    expect_good("log: {file: log}\ndeltas: {sinks: [{type: ndjson, path: d}]}");
    cr_assert_eq(mkdir("logs", 0700), 0);
    expect_good("log: {file: ../logs/log}\ndeltas: {sinks: [{type: ndjson, path: ../d}]}");
    cr_assert_eq(mkdir("log", 0700), 0);
    cr_assert_eq(mkdir("var", 0700), 0);
    expect_bad("log: {file: ../log}", "1: log.file", "this is a directory");
}

Test(config_files, admin_files_have_their_folders_and_the_socket_fits)
{
    expect_bad("admin: {token_file: /nowhere/token}", "1: admin.token_file", "/nowhere");
    expect_bad("admin: {socket: /nowhere/sock}", "1: admin.socket", "/nowhere");
    cr_assert_eq(mkdir("var", 0700), 0);
    write_file("plain", "");
    expect_bad("admin: {socket: ../plain}", "1: admin.socket", "a path that no other file has");
    char text[200];
    char name[120];
    memset(name, 's', sizeof name);
    name[108 - strlen(folder) - strlen("/var/")] = '\0'; /* 108 bytes with its folder: one too many */
    (void)snprintf(text, sizeof text, "admin: {socket: %s}", name);
    expect_bad(text, "1: admin.socket", "at most 107 bytes");
    name[107 - strlen(folder) - strlen("/var/")] = '\0';
    (void)snprintf(text, sizeof text, "admin: {socket: %s}", name);
    expect_good(text);
}

static EVP_PKEY *make_certificate(const char *certificate_name, const char *key_name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    cr_assert(key != NULL && certificate != NULL);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    (void)X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    (void)X509_set_pubkey(certificate, key);
    cr_assert_gt(X509_sign(certificate, key, EVP_sha256()), 0);
    FILE *file = fopen(certificate_name, "we");
    cr_assert(file != NULL && PEM_write_X509(file, certificate) == 1 && fclose(file) == 0);
    file = fopen(key_name, "we");
    cr_assert(file != NULL && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(file) == 0);
    X509_free(certificate);
    return key;
}

static void write_encrypted(EVP_PKEY *key, const char *name)
{
    static unsigned char passphrase[] = "passphrase";
    FILE *file = fopen(name, "we");
    cr_assert(file != NULL);
    cr_assert_eq(PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(), passphrase, sizeof passphrase - 1, NULL, NULL), 1);
    cr_assert_eq(fclose(file), 0);
}

static const char *tls_text(const char *certificate, const char *key)
{
    static char text[300];
    (void)snprintf(text, sizeof text, "http:\n  tls:\n    listen: ['127.0.0.1:0']\n    certificate: %s\n    key: %s\n",
                   certificate, key);
    return text;
}

Test(config_files, certificate_and_key_load_and_belong_together)
{
    cr_assert_eq(mkdir("var", 0700), 0);
    cr_assert_eq(chdir("var"), 0);
    EVP_PKEY *key = make_certificate("a.pem", "a.key");
    EVP_PKEY_free(make_certificate("b.pem", "b.key"));
    write_encrypted(key, "encrypted.key");
    EVP_PKEY_free(key);
    write_file("text", "this is no PEM\n");
    expect_good(tls_text("a.pem", "a.key"));
    expect_bad(tls_text("a.pem", "b.key"), "5: http.tls.key", "that of http.tls.certificate (key values mismatch)");
    expect_bad(tls_text("none.pem", "a.key"), "4: http.tls.certificate", "No such file or directory");
    expect_bad(tls_text("a.pem", "none.key"), "5: http.tls.key", "No such file or directory");
    expect_bad(tls_text("text", "a.key"), "4: http.tls.certificate", "a chain of certificates in PEM");
    expect_bad(tls_text("a.pem", "text"), "5: http.tls.key", "a private key in PEM");
    expect_bad(tls_text("a.pem", "encrypted.key"), "5: http.tls.key", "without a passphrase");
    expect_bad(tls_text("/", "a.key"), "4: http.tls.certificate", "a chain of certificates in PEM");
}

Test(config_files, all_faults_are_told_in_the_order_of_the_file)
{
    struct told told;
    check_text("log: {file: /nowhere/log}\nadmin: {token_file: /nowhere/t}\ntracker: {state_dir: a/b}\n"
               "privileges: {user: no-such-user-here}\n",
               &told);
    static const char *const keys[] = {
        ":1: log.file: ", ":2: admin.token_file: ", ":3: tracker.state_dir: ", ":4: privileges.user: "};
    cr_assert_eq(told.count, 4);
    for (size_t i = 0; i < 4; i++)
        cr_expect_not_null(strstr(told.lines[i], keys[i]), "%s", told.lines[i]);
}

Test(config_files, faults_of_values_and_of_files_are_told_together_in_the_order_of_the_file)
{
    static const char *const starts[] = {"2: tracker.workers: ", "3: http.tls.certificate: ",
                                         "3: http.tls.key: ",    "6: deltas.batch_size: ",
                                         "7: log.level: ",       "7: log.file: "};
    static const char text[] =
        "tracker:\n  workers: 0\n"
        "http: {tls: {listen: ['127.0.0.1:1'], certificate: none.pem, key: none.pem}}\n"
        "database:\n# a comment\ndeltas: {batch_size: 0}\nlog: {level: loud, file: none/x.log}\n";
    struct told told;
    check_text(text, &told);
    cr_assert_eq(told.count, 6, "%zu faults", told.count);
    for (size_t i = 0; i < 6; i++) {
        char start[200];
        (void)snprintf(start, sizeof start, "%s/t.yaml:%s", folder, starts[i]);
        cr_expect_eq(strncmp(told.lines[i], start, strlen(start)), 0, "%s\nexpected: %s", told.lines[i], start);
    }
}

/* Whatever is at fault, nothing is concluded from it, and nothing of it is looked at. */
Test(config_files, a_key_at_fault_has_one_fault)
{
    expect_bad("tracker: {state_dir: []}", "1: tracker.state_dir", "a path");
    expect_bad("log: {file: []}", "1: log.file", "a text");
    expect_bad("admin: {socket: {}, token_file: t}", "1: admin.socket", "a path");
    expect_bad("database: {url: nothing}", "1: database.url", "sqlite:PATH");
    expect_bad("deltas: {sinks: [5]}", "1: deltas.sinks[0]", "a sink");
    expect_bad("privileges: {user: []}", "1: privileges.user", "a text");
    expect_bad("http: []", "1: http", "a section of keys");
}
