/* Start and stop: what privtrakd says of its configuration and surroundings, and the signals that it heeds. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <curl/curl.h>
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/harness.h"

TestSuite(start, .fini = harness_finish);

static char output[65536];

static size_t lines_of(const char *text)
{
    size_t lines = 0;
    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

static void yaml(const struct daemon *daemon, const char *text)
{
    char path[HARNESS_PATH_BYTES + 32];
    (void)snprintf(path, sizeof path, "%s/tracker.yaml", daemon->directory);
    write_file(path, text);
}

/* Both ways to meet a fault: -t, and a start, which has to end with one line that holds each of the words. */
static void expect_fault(const struct daemon *daemon, const char *text, const char *one, const char *two)
{
    yaml(daemon, text);
    int status = run_program(daemon, output, sizeof output, "privtrakd", "-t", "-c", "tracker.yaml", NULL);
    cr_assert_eq(status, 1, "-t ends with %d for %s", status, text);
    cr_assert(strstr(output, one) != NULL && strstr(output, two) != NULL, "-t says: %s", output);
    status = run_program(daemon, output, sizeof output, "privtrakd", "-c", "tracker.yaml", NULL);
    cr_assert(status != 0, "it starts with %s", text);
    cr_assert(strstr(output, one) != NULL && strstr(output, two) != NULL, "the start says: %s", output);
    cr_assert_eq(lines_of(output), 1u, "the start says more than one line: %s", output);
}

Test(start, version_and_usage)
{
    cr_assert_eq(run_program(NULL, output, sizeof output, "privtrakd", "-V", NULL), 0);
    cr_assert_not_null(strstr(output, "privtrak"));
    cr_assert_neq(run_program(NULL, output, sizeof output, "privtrakd", "--nonsense", NULL), 0);
    cr_assert_neq(run_program(NULL, output, sizeof output, "privtrakd", "-c", "/nowhere/tracker.yaml", NULL), 0);
    cr_assert_not_null(strstr(output, "/nowhere/tracker.yaml"));
}

Test(start, shipped_configuration_is_good)
{
    struct daemon daemon;
    char text[65536];
    daemon_prepare(&daemon, &(struct daemon_options){0});
    cr_assert(read_file("tracker.yaml", text, sizeof text), "the tests run in the top directory");
    yaml(&daemon, text);
    cr_assert_eq(run_program(&daemon, output, sizeof output, "privtrakd", "-t", "-c", "tracker.yaml", NULL), 0, "%s",
                 output);
    daemon_forget(&daemon);
}

Test(start, faults_of_the_configuration_stop_the_start)
{
    struct daemon daemon;
    daemon_prepare(&daemon, &(struct daemon_options){0});
    expect_fault(&daemon, "tracker:\n  wrokers: 2\n", "tracker.yaml:2", "wrokers");
    expect_fault(&daemon, "nonsense: {}\n", "tracker.yaml:1", "nonsense");
    expect_fault(&daemon, "tracker:\n  workers: 2\n  workers: 3\n", "tracker.yaml:3", "workers");
    expect_fault(&daemon, "tracker:\n  workers: 0\n", "tracker.yaml:2", "workers");
    expect_fault(&daemon, "tracker:\n  announce_interval: 30\n", "tracker.yaml:2", "announce_interval");
    expect_fault(&daemon, "tracker:\n  announce_interval: [30m]\n", "tracker.yaml:2", "announce_interval");
    expect_fault(&daemon, "http:\n  max_request: 8\n", "tracker.yaml:2", "max_request");
    expect_fault(&daemon, "http:\n  listen: [\"127.0.0.1\"]\n", "tracker.yaml:2", "listen");
    expect_fault(&daemon, "tracker: {peer_lifetime: 20m}\n", "tracker.yaml:1", "peer_lifetime");
    expect_fault(&daemon, "tracker: {default_numwant: 90, max_numwant: 80}\n", "tracker.yaml:1", "numwant");
    expect_fault(&daemon, "http: {proxy_protocol: true}\n", "tracker.yaml:1", "proxy_protocol");
    expect_fault(&daemon, "http: {tls: {listen: [\"127.0.0.1:1443\"]}}\n", "tracker.yaml:1", "tls");
    expect_fault(&daemon, "deltas: {sinks: [{type: ndjson}]}\n", "tracker.yaml:1", "path");
    expect_fault(&daemon, "deltas: {sinks: [{type: telegraph}]}\n", "tracker.yaml:1", "type");
    expect_fault(&daemon, "tracker: {workers: [}\n", "tracker.yaml:1", "");
    daemon_forget(&daemon);
}

Test(start, check_tells_every_fault)
{
    struct daemon daemon;
    daemon_prepare(&daemon, &(struct daemon_options){0});
    yaml(&daemon, "tracker:\n  workers: 0\n  wrong: 1\nhttp:\n  max_request: 1\n");
    cr_assert_eq(run_program(&daemon, output, sizeof output, "privtrakd", "-t", "-c", "tracker.yaml", NULL), 1);
    cr_assert_eq(lines_of(output), 3u, "%s", output);
    daemon_forget(&daemon);
}

Test(start, files_that_the_configuration_names_are_looked_at)
{
    struct daemon daemon;
    char path[HARNESS_PATH_BYTES + 32], text[1024];
    daemon_prepare(&daemon, &(struct daemon_options){0});
    (void)snprintf(
        text, sizeof text,
        "http: {listen: [\"127.0.0.1:%u\"], tls: {listen: [\"127.0.0.1:%u\"], certificate: /nowhere/c.pem, key: /nowhere/k.pem}}\n",
        daemon.port, daemon.admin_port);
    expect_fault(&daemon, text, "/nowhere/c.pem", "certificate");
    /* A file where the state directory's parent should be: nobody, root neither, can make it. */
    (void)snprintf(path, sizeof path, "%s/file", daemon.directory);
    write_file(path, "");
    (void)snprintf(
        text, sizeof text,
        "tracker: {state_dir: file/state}\nhttp: {listen: [\"127.0.0.1:%u\"]}\nudp: {listen: [\"127.0.0.1:%u\"]}\n",
        daemon.port, daemon.port);
    expect_fault(&daemon, text, "file/state", "state_dir");
    daemon_forget(&daemon);
}

Test(start, port_in_use_stops_the_start)
{
    struct daemon daemon;
    daemon_prepare(&daemon, &(struct daemon_options){0});
    char port[16];
    (void)snprintf(port, sizeof port, "%u", daemon.port);
    for (int i = 0; i < 2; i++) {
        int fd = socket(AF_INET, (i == 0 ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(daemon.port)};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        if (i == 0)
            cr_assert_eq(listen(fd, 1), 0);
        int status = run_program(&daemon, output, sizeof output, "privtrakd", "-c", "tracker.yaml", NULL);
        cr_assert(status != 0);
        cr_assert_not_null(strstr(output, port), "%s", output);
        cr_assert_eq(run_program(&daemon, output, sizeof output, "privtrakd", "-t", "-c", "tracker.yaml", NULL), 0,
                     "-t does not look at ports: %s", output);
        close(fd);
    }
    daemon_forget(&daemon);
}

Test(start, second_tracker_on_the_same_state_is_refused)
{
    struct daemon daemon, second;
    daemon_start(&daemon, &(struct daemon_options){0});
    daemon_prepare(&second, &(struct daemon_options){0});
    char from[HARNESS_PATH_BYTES + 32], to[HARNESS_PATH_BYTES + 32];
    (void)snprintf(from, sizeof from, "%s/state", daemon.directory);
    (void)snprintf(to, sizeof to, "%s/state", second.directory);
    cr_assert_eq(symlink(from, to), 0);
    cr_assert(run_program(&second, output, sizeof output, "privtrakd", "-c", "tracker.yaml", NULL) != 0);
    daemon_forget(&second);
    daemon_stop(&daemon);
}

Test(start, owners_url_works_as_it_is_logged)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    cr_assert(daemon.owner[0] != '\0', "no URL in the log");
    struct ask ask = {
        .passkey = daemon.owner, .torrent = "first", .peer = "a", .left = 5, .route = "/announce?passkey=%s&"};
    http_announce(&daemon, &ask, &told);
    cr_assert_str_eq(told.failure, "");
    database_expect(&daemon, 1,
                    "SELECT count(*) FROM user_torrents JOIN users ON users.id = user_id WHERE users.name = 'owner'");
    daemon_stop(&daemon);
}

/* --------------------------------------------------------------- signals */

Test(start, sigterm_and_sigint_end_it_with_success)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    double before = now_s();
    daemon_terminate(&daemon);
    cr_assert(now_s() - before < 5);
    daemon_launch(&daemon);
    daemon_end(&daemon, SIGINT);
    daemon_forget(&daemon);
}

Test(start, sigterm_delivers_what_is_in_hand)
{
    struct daemon daemon;
    struct told told;
    struct http_connection connection;
    daemon_start(&daemon, &(struct daemon_options){.deltas = "flush_interval: 30s"});
    http_open(&connection, &daemon, NULL);
    for (uint64_t up = 0; up <= 1000; up++) {
        struct ask ask = {.passkey = daemon.owner, .torrent = "flush", .peer = "a", .left = 5, .up = up};
        http_announce_on(&connection, &ask, &told);
    }
    http_close(&connection);
    daemon_terminate(&daemon);
    cr_assert_eq(database_int(&daemon, "SELECT uploaded FROM user_torrents"), 1000);
    daemon_forget(&daemon);
}

Test(start, sighup_takes_a_good_configuration_and_keeps_everything)
{
    struct daemon daemon;
    struct told told;
    struct http_connection connection;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "reload", .peer = "a", .left = 5, .up = 100};
    http_open(&connection, &daemon, NULL);
    http_announce_on(&connection, &ask, &told);
    cr_assert(told.interval >= 1800);
    daemon_configure(&daemon, &(struct daemon_options){
                                  .tracker = "announce_interval: 10m\nannounce_jitter: 0s\nmin_announce_interval: 0s"});
    cr_assert_eq(kill(daemon.pid, SIGHUP), 0);
    ask.up = 150;
    for (double end = now_s() + 5; now_s() < end && told.interval != 600; sleep_s(0.05))
        http_announce_on(&connection, &ask, &told);
    cr_assert_eq(told.interval, 600);
    cr_assert_eq(told.incomplete, 1);
    http_close(&connection);
    database_expect(&daemon, 50, "SELECT uploaded FROM user_torrents");
    daemon_stop(&daemon);
}

Test(start, sighup_refuses_a_bad_configuration_with_the_reason)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    daemon_configure(&daemon, &(struct daemon_options){.tracker = "announce_intervall: 10m"});
    cr_assert_eq(kill(daemon.pid, SIGHUP), 0);
    cr_assert(daemon_logs(&daemon, "announce_intervall", 5));
    struct ask ask = {.passkey = daemon.owner, .torrent = "reload", .peer = "a", .left = 5};
    http_announce(&daemon, &ask, &told);
    cr_assert_str_eq(told.failure, "");
    cr_assert(told.interval >= 1800);
    daemon_stop(&daemon);
}

Test(start, sigusr1_opens_the_log_anew)
{
    struct daemon daemon;
    char path[HARNESS_PATH_BYTES + 32], moved[HARNESS_PATH_BYTES + 32], text[65536];
    daemon_prepare(&daemon, &(struct daemon_options){.more = "log: {file: privtrak.log}\n"});
    daemon_launch_logging_to(&daemon, "state/privtrak.log");
    (void)snprintf(path, sizeof path, "%s/state/privtrak.log", daemon.directory);
    (void)snprintf(moved, sizeof moved, "%s/state/privtrak.log.1", daemon.directory);
    cr_assert_eq(rename(path, moved), 0);
    cr_assert_eq(kill(daemon.pid, SIGUSR1), 0);
    for (double end = now_s() + 5; now_s() < end && access(path, F_OK) != 0;)
        sleep_s(0.02);
    cr_assert_eq(access(path, F_OK), 0);
    daemon_terminate(&daemon);
    cr_assert(read_file(moved, text, sizeof text) && strstr(text, "ready workers") != NULL);
    daemon_forget(&daemon);
}

/* ------------------------------------------------------------------- TLS */

static size_t keep_body(char *bytes, size_t size, size_t count, void *context)
{
    struct http_reply *reply = context;
    size_t length = size * count;
    if (length > sizeof reply->body - reply->length)
        return 0;
    memcpy(reply->body + reply->length, bytes, length);
    reply->length += length;
    return length;
}

static void make_certificate(const struct daemon *daemon, const char *name)
{
    char command[1024], subject[64];
    (void)snprintf(subject, sizeof subject, "/CN=%s", name);
    (void)snprintf(
        command, sizeof command,
        "cd %s && mkdir -p state && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj %s -addext subjectAltName=DNS:%s -keyout state/key.pem -out state/certificate.pem 2>/dev/null",
        daemon->directory, subject, name);
    cr_assert_eq(system(command), 0, "openssl cannot make a certificate"); /* NOLINT(cert-env33-c) */
}

/* Announces over TLS, trusting the certificate that stands in state/, for `name`. */
static CURLcode tls_announce(const struct daemon *daemon, const char *name, struct http_reply *reply)
{
    char url[2048], query[1024], ca[HARNESS_PATH_BYTES + 32], resolve[128];
    struct ask ask = {.passkey = daemon->owner, .torrent = "tls", .peer = "a", .left = 5};
    ask_query(&ask, query, sizeof query);
    (void)snprintf(url, sizeof url, "https://%s:%u/announce/%s?%s", name, daemon->admin_port, daemon->owner, query);
    (void)snprintf(ca, sizeof ca, "%s/state/certificate.pem", daemon->directory);
    (void)snprintf(resolve, sizeof resolve, "%s:%u:127.0.0.1", name, daemon->admin_port);
    struct curl_slist *hosts = curl_slist_append(NULL, resolve);
    CURL *curl = curl_easy_init();
    *reply = (struct http_reply){0};
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
    curl_easy_setopt(curl, CURLOPT_RESOLVE, hosts);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 10L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    CURLcode result = curl_easy_perform(curl);
    curl_easy_cleanup(curl);
    curl_slist_free_all(hosts);
    return result;
}

Test(start, tls_serves_announces_and_takes_a_new_certificate_on_sighup)
{
    struct daemon daemon;
    struct told told;
    struct http_reply reply;
    char http[512];
    daemon_prepare(&daemon, &(struct daemon_options){0});
    uint16_t tls_port = daemon.admin_port;
    (void)snprintf(http, sizeof http, "tls: {listen: [\"127.0.0.1:%u\"], certificate: certificate.pem, key: key.pem}",
                   tls_port);
    daemon.admin_port = (uint16_t)(tls_port + 1);
    daemon_configure(&daemon, &(struct daemon_options){.http = http});
    daemon.admin_port = tls_port;
    make_certificate(&daemon, "one.example");
    daemon_launch(&daemon);
    CURLcode result = tls_announce(&daemon, "one.example", &reply);
    cr_assert_eq(result, CURLE_OK, "%s", curl_easy_strerror(result));
    told_from_bencode(reply.body, reply.length, &told);
    cr_assert_str_eq(told.failure, "");
    make_certificate(&daemon, "two.example");
    cr_assert_eq(kill(daemon.pid, SIGHUP), 0);
    result = tls_announce(&daemon, "two.example", &reply);
    for (double end = now_s() + 5; now_s() < end && result != CURLE_OK; sleep_s(0.1))
        result = tls_announce(&daemon, "two.example", &reply);
    cr_assert_eq(result, CURLE_OK, "%s", curl_easy_strerror(result));
    daemon_stop(&daemon);
}

/* `top -H` tells which thread is busy: no other than `main` has the program's name. */
Test(start, every_thread_has_a_name_of_its_own)
{
    struct daemon daemon;
    char path[64];
    size_t like_the_program = 0;
    daemon_start(&daemon, &(struct daemon_options){0});
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)daemon.pid);
    DIR *tasks = opendir(path);
    cr_assert_not_null(tasks);
    for (const struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char file[sizeof path + sizeof task->d_name + 8];
        char name[32] = "";
        (void)snprintf(file, sizeof file, "%s/%s/comm", path, task->d_name);
        if (task->d_name[0] != '.' && read_file(file, name, sizeof name))
            like_the_program += strcmp(name, "privtrakd\n") == 0;
    }
    (void)closedir(tasks);
    cr_expect_eq(like_the_program, 1, "%zu threads are called privtrakd", like_the_program);
    daemon_stop(&daemon);
}
