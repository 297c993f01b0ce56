/* The operator's side over real sockets: TCP, the unix socket, and what strangers may try. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "test_admin.h"

static struct config config;
static struct address address;
static struct admin *admin;
static char socket_path[sizeof((struct sockaddr_un *)NULL)->sun_path];
static char token_path[128];
static char token[TOKEN_MAX + 2];
static int shutdowns;

static void note_shutdown(void *context)
{
    (void)context;
    __atomic_add_fetch(&shutdowns, 1, __ATOMIC_RELAXED);
}

static uint16_t free_port(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof name;
    int file = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(file, (struct sockaddr *)&name, length), 0);
    cr_assert_eq(getsockname(file, (struct sockaddr *)&name, &length), 0);
    (void)close(file);
    return ntohs(name.sin_port);
}

static struct admin *open_admin(struct error *error)
{
    struct admin_parts parts = {.users = site.backend.parts.users, .shutdown = note_shutdown};
    return admin_open(&config, &parts, error);
}

static void read_token(void)
{
    FILE *file = fopen(token_path, "r");
    cr_assert(file != NULL && fgets(token, sizeof token, file) != NULL);
    token[strcspn(token, "\n")] = '\0';
    (void)fclose(file);
}

static void start(void)
{
    struct error error = {""};
    site_open();
    (void)snprintf(socket_path, sizeof socket_path, "%s/admin.sock", site.directory);
    (void)snprintf(token_path, sizeof token_path, "%s/admin.token", site.directory);
    cr_assert(address_parse(&address, "127.0.0.1:1", 11));
    address.port = free_port();
    memset(&config, 0, sizeof config);
    config.admin.listen = (struct listen_list){.addresses = &address, .count = 1};
    config.admin.socket = socket_path;
    config.admin.token_file = token_path;
    config.database.url = site.url;
    admin = open_admin(&error);
    cr_assert(admin != NULL, "%s", error.text);
    cr_assert_eq(admin_start(admin, &error), 0);
    read_token();
}

static void stop(void)
{
    admin_stop(admin);
    cr_assert_neq(access(socket_path, F_OK), 0, "the socket file goes with the tracker");
    site_close();
}

TestSuite(admin_server, .init = start, .fini = stop);

static int connect_tcp(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int file = socket(AF_INET, SOCK_STREAM, 0);
    name.sin_port = htons(address.port);
    cr_assert_eq(connect(file, (struct sockaddr *)&name, sizeof name), 0);
    return file;
}

static int connect_local(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int file = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)snprintf(name.sun_path, sizeof name.sun_path, "%s", socket_path);
    cr_assert_eq(connect(file, (struct sockaddr *)&name, sizeof name), 0);
    return file;
}

static void say(int file, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(file, bytes, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the tracker may have had enough */
        bytes += sent;
        length -= (size_t)sent;
    }
}

/* Reads until `wanted` is there, or the end (""), or 5 s have passed. */
static char *hear(int file, const char *wanted)
{
    static char answer[1 << 20];
    size_t length = 0;
    struct pollfd waiting = {.fd = file, .events = POLLIN};
    answer[0] = '\0';
    while (length < sizeof answer - 1 && poll(&waiting, 1, 5000) == 1) {
        ssize_t got = read(file, answer + length, sizeof answer - 1 - length);
        if (got <= 0)
            break;
        length += (size_t)got;
        answer[length] = '\0';
        if (wanted[0] != '\0' && strstr(answer, wanted) != NULL)
            break;
    }
    return answer;
}

/* One request, on a connection of its own, closed by the tracker. */
static char *request(int file, const char *method, const char *target, const char *headers, const char *body)
{
    static char text_of_request[200000];
    int length = snprintf(text_of_request, sizeof text_of_request,
                          "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s", method,
                          target, headers, strlen(body), body);
    say(file, text_of_request, (size_t)length);
    char *answer = hear(file, "");
    (void)close(file);
    return answer;
}

static const char *authorization(void)
{
    static char header[400];
    (void)snprintf(header, sizeof header, "authorization: bearer %s\r\n", token);
    return header;
}

static int status_of(const char *answer)
{
    bool is_http = strncmp(answer, "HTTP/1.", 7) == 0 && strlen(answer) > 12;
    return is_http ? (int)strtol(answer + 9, NULL, 10) : 0;
}

Test(admin_server, token_is_made_for_its_owner_only)
{
    struct stat facts;
    cr_assert_eq(stat(token_path, &facts), 0);
    cr_assert_eq(facts.st_mode & 0777, 0600);
    cr_assert_eq(strlen(token), 64);
    cr_assert_eq(stat(socket_path, &facts), 0);
    cr_assert_eq(facts.st_mode & 0777, 0600);
}

Test(admin_server, tcp_needs_the_token_and_the_socket_does_not)
{
    cr_assert_eq(status_of(request(connect_tcp(), "GET", "/api/v1/users", "", "")), 401);
    cr_assert(strstr(request(connect_tcp(), "GET", "/api/v1/users", "", ""), "WWW-Authenticate: Bearer") != NULL);
    cr_assert_eq(status_of(request(connect_tcp(), "GET", "/api/v1/users", "Authorization: Bearer x\r\n", "")), 401);
    cr_assert_eq(status_of(request(connect_tcp(), "GET", "/api/v1/users", authorization(), "")), 200);
    cr_assert_eq(status_of(request(connect_local(), "GET", "/api/v1/users", "", "")), 200);
}

Test(admin_server, user_is_made_over_the_socket_and_shown_over_tcp)
{
    char *answer = request(connect_local(), "POST", "/api/v1/users", "", "{\"name\":\"mia\"}");
    cr_assert_eq(status_of(answer), 201);
    cr_assert(strstr(answer, "Content-Type: application/json") != NULL);
    cr_assert(strstr(request(connect_tcp(), "GET", "/api/v1/users/1", authorization(), ""), "\"mia\"") != NULL);
    answer = request(connect_local(), "DELETE", "/api/v1/users/1", "", "");
    cr_assert_eq(status_of(answer), 204);
    cr_assert(strstr(answer, "\r\nContent-Type") == NULL);
}

Test(admin_server, head_gives_the_headers_of_get_alone)
{
    char *answer = request(connect_tcp(), "HEAD", "/healthz", "", "");
    cr_assert_eq(status_of(answer), 200);
    char *length = strstr(answer, "Content-Length: ");
    cr_assert(length != NULL && strtol(length + 16, NULL, 10) > 5);
    cr_assert_str_eq(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
}

Test(admin_server, another_method_is_told_which_are_allowed)
{
    char *answer = request(connect_tcp(), "PUT", "/api/v1/users", authorization(), "");
    cr_assert_eq(status_of(answer), 405);
    cr_assert(strstr(answer, "Allow: GET, HEAD, POST\r\n") != NULL);
    cr_assert_eq(status_of(request(connect_tcp(), "OPTIONS", "/", "", "")), 405);
    cr_assert_eq(status_of(request(connect_tcp(), "TRACE", "/metrics", "", "")), 405);
}

Test(admin_server, connections_are_kept_and_requests_may_be_pipelined)
{
    int file = connect_local();
    const char two[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n";
    say(file, two, sizeof two - 1);
    char *answer = hear(file, "there is no such path");
    cr_assert_eq(status_of(answer), 200);
    cr_assert(strstr(answer, "HTTP/1.1 404") != NULL);
    (void)close(file);
}

Test(admin_server, page_brings_a_policy_that_lets_nothing_else_run)
{
    char *answer = request(connect_tcp(), "GET", "/", "", "");
    cr_assert_eq(status_of(answer), 200);
    cr_assert(strstr(answer, "Content-Security-Policy: default-src 'none'; script-src 'sha256-") != NULL);
    cr_assert(strstr(answer, "unsafe") == NULL);
    cr_assert(strstr(answer, "Cache-Control: no-store") != NULL);
}

Test(admin_server, large_bodies_and_headers_are_refused)
{
    static char body[CALL_BODY_MAX + 100];
    memset(body, ' ', sizeof body - 1);
    char *answer = request(connect_tcp(), "POST", "/api/v1/users", authorization(), body);
    cr_assert_eq(status_of(answer), 413);
    cr_assert(strstr(answer, "\"too_large\"") != NULL);
    static char header[20000];
    memset(header, 'a', sizeof header - 3);
    header[1] = ':';
    (void)snprintf(header + sizeof header - 3, 3, "\r\n");
    cr_assert_eq(status_of(request(connect_tcp(), "GET", "/healthz", header, "")), 400);
}

Test(admin_server, enormous_bodies_are_read_past_and_refused)
{
    int file = connect_tcp();
    const char head[] = "POST /api/v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n";
    say(file, head, sizeof head - 1);
    static char piece[100000];
    for (int i = 0; i < 30; i++)
        say(file, piece, sizeof piece);
    cr_assert_eq(status_of(hear(file, "")), 413);
    (void)close(file);
}

Test(admin_server, what_is_no_http_gets_an_answer_or_an_end)
{
    static const char *const lines[] = {"\r\n\r\n\r\n\r\n",
                                        "GARBAGE\r\n\r\n",
                                        "GET\r\n\r\n",
                                        "GET / HTTP/9.9\r\n\r\n",
                                        "GET http://[::1/ HTTP/1.1\r\n\r\n",
                                        "\x16\x03\x01\x02\x00\x01\x00\x01"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        int file = connect_tcp();
        say(file, lines[i], strlen(lines[i]));
        (void)shutdown(file, SHUT_WR);
        (void)hear(file, "");
        (void)close(file);
    }
    cr_assert_eq(status_of(request(connect_tcp(), "GET", "/healthz", "", "")), 200);
}

Test(admin_server, many_idle_strangers_do_not_keep_the_operator_out)
{
    int files[200];
    for (size_t i = 0; i < 200; i++)
        files[i] = connect_tcp();
    cr_assert_eq(status_of(request(connect_local(), "GET", "/api/v1/stats", "", "")), 200);
    for (size_t i = 0; i < 200; i++)
        (void)close(files[i]);
    cr_assert_eq(status_of(request(connect_tcp(), "GET", "/healthz", "", "")), 200, "they are let in again");
}

Test(admin_server, shutdown_is_asked_for_over_the_socket_only)
{
    cr_assert_eq(status_of(request(connect_tcp(), "POST", "/api/v1/shutdown", authorization(), "")), 404);
    cr_assert_eq(__atomic_load_n(&shutdowns, __ATOMIC_RELAXED), 0);
    cr_assert_eq(status_of(request(connect_local(), "POST", "/api/v1/shutdown", "", "")), 200);
    for (int i = 0; i < 500 && __atomic_load_n(&shutdowns, __ATOMIC_RELAXED) == 0; i++)
        (void)usleep(10000);
    cr_assert_eq(__atomic_load_n(&shutdowns, __ATOMIC_RELAXED), 1);
}

Test(admin_server, a_second_tracker_on_the_same_socket_is_refused)
{
    struct error error = {""};
    address.port = free_port();
    cr_assert_null(open_admin(&error));
    cr_assert(strstr(error.text, "another tracker answers on") != NULL, "%s", error.text);
    cr_assert_eq(access(socket_path, F_OK), 0, "the first one's socket stays");
}

Test(admin_server, a_port_in_use_is_told_in_one_line)
{
    struct error error = {""};
    char other[160];
    (void)snprintf(other, sizeof other, "%s/other.sock", site.directory);
    config.admin.socket = other;
    cr_assert_null(open_admin(&error));
    cr_assert(strstr(error.text, "cannot listen on 127.0.0.1:") != NULL, "%s", error.text);
    cr_assert(strstr(error.text, "Address already in use") != NULL, "%s", error.text);
    cr_assert_neq(access(other, F_OK), 0, "nothing is left behind");
}

/* Starting. */

TestSuite(admin_start, .init = start);

static void stop_first(void)
{
    admin_stop(admin);
    address.port = free_port();
}

Test(admin_start, a_dead_trackers_socket_is_replaced, .fini = site_close)
{
    struct error error = {""};
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    stop_first();
    int file = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)snprintf(name.sun_path, sizeof name.sun_path, "%s", socket_path);
    cr_assert_eq(bind(file, (struct sockaddr *)&name, sizeof name), 0);
    (void)close(file);
    admin = open_admin(&error);
    cr_assert(admin != NULL, "%s", error.text);
    admin_stop(admin);
}

Test(admin_start, a_file_in_the_sockets_place_is_left_alone, .fini = site_close)
{
    struct error error = {""};
    stop_first();
    FILE *file = fopen(socket_path, "w");
    cr_assert(file != NULL);
    (void)fclose(file);
    cr_assert_null(open_admin(&error));
    cr_assert(strstr(error.text, "is no socket") != NULL, "%s", error.text);
    cr_assert_eq(access(socket_path, F_OK), 0);
}

Test(admin_start, the_token_stays_the_same, .fini = site_close)
{
    struct error error = {""};
    char before[sizeof token];
    memcpy(before, token, sizeof token);
    stop_first();
    admin = open_admin(&error);
    read_token();
    cr_assert_str_eq(token, before);
    admin_stop(admin);
}

Test(admin_start, a_token_that_is_none_is_refused, .fini = site_close)
{
    static const char *const bad[] = {"", "short\n", "has a space in it but is long\n"};
    stop_first();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct error error = {""};
        FILE *file = fopen(token_path, "w");
        cr_assert(file != NULL && fputs(bad[i], file) >= 0);
        (void)fclose(file);
        cr_assert_null(open_admin(&error));
        cr_assert(strstr(error.text, "token_file") != NULL, "%s", error.text);
    }
}

Test(admin_start, a_socket_path_longer_than_the_kernels_limit_is_taken, .fini = site_close)
{
    struct error error = {""};
    char deep[256];
    char path[300];
    stop_first();
    (void)snprintf(deep, sizeof deep, "%s/%0150d", site.directory, 7);
    cr_assert_eq(mkdir(deep, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/admin.sock", deep);
    config.admin.socket = path;
    admin = open_admin(&error);
    cr_assert(admin != NULL, "%s", error.text);
    cr_assert_eq(access(path, F_OK), 0);
    admin_stop(admin);
    cr_assert_neq(access(path, F_OK), 0);
    (void)rmdir(deep);
}

Test(admin_start, an_address_of_a_missing_family_is_left_out_only_by_default, .fini = site_close)
{
    struct error error = {""};
    stop_first();
    cr_assert(address_parse(&address, "192.0.2.1:6970", 14)); /* nobody here has it */
    cr_assert_null(open_admin(&error));
    config.admin.listen.by_default = true;
    admin = open_admin(&error);
    cr_assert(admin != NULL, "%s", error.text);
    admin_stop(admin);
}
