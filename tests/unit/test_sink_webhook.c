/* The sink that posts batches to a URL, against a small server of the test's own. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/hex.h"
#include "sink_maker.h"

enum { HANG_UP = -1, SILENCE = -2 };

/* Answers each request with the next of `answers`, the last one for ever: a status, or HANG_UP or SILENCE. */
static struct {
    int listener;
    pthread_t thread;
    _Atomic bool stop;
    int answers[8];
    int answer_count;
    int requests;
    char head[4096]; /* of the last request */
    char *body;
    size_t body_length;
} server;

static size_t read_request(int fd)
{
    static char bytes[1 << 20];
    size_t length = 0;
    size_t wanted = 0;
    while (wanted == 0 || length < wanted) {
        ssize_t got = read(fd, bytes + length, sizeof(bytes) - 1 - length);
        if (got <= 0)
            return 0;
        length += (size_t)got;
        bytes[length] = '\0';
        const char *end = strstr(bytes, "\r\n\r\n");
        const char *size = strcasestr(bytes, "content-length:");
        if (wanted == 0 && end != NULL && size != NULL)
            wanted = (size_t)(end + 4 - bytes) + strtoul(size + 15, NULL, 10);
    }
    const char *end = strstr(bytes, "\r\n\r\n");
    snprintf(server.head, sizeof(server.head), "%.*s", (int)(end - bytes), bytes);
    free(server.body);
    server.body = strdup(end + 4);
    server.body_length = length - (size_t)(end + 4 - bytes);
    return length;
}

static void answer(int fd)
{
    char reply[256];
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        while (poll(&wait, 1, 20) == 0)
            if (atomic_load(&server.stop))
                return;
        if (read_request(fd) == 0)
            return;
        int last = server.answer_count - 1;
        int status = server.answers[server.requests < last ? server.requests : last];
        server.requests++;
        if (status == HANG_UP)
            return;
        while (status == SILENCE && !atomic_load(&server.stop))
            usleep(1000);
        int length = snprintf(reply, sizeof(reply), "HTTP/1.1 %d X\r\nContent-Length: 7\r\n\r\nbecause", status);
        if (write(fd, reply, (size_t)length) != length)
            return;
    }
}

static void *serve(void *argument)
{
    (void)argument;
    while (!atomic_load(&server.stop)) {
        struct pollfd wait = {.fd = server.listener, .events = POLLIN};
        if (poll(&wait, 1, 20) != 1)
            continue;
        int fd = accept(server.listener, NULL, NULL);
        answer(fd);
        close(fd);
    }
    return NULL;
}

static void begin(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    static char url[100];
    fix_begin(&sink_webhook_type);
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(server.listener, (struct sockaddr *)&address, length), 0);
    listen(server.listener, 5);
    getsockname(server.listener, (struct sockaddr *)&address, &length);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/deltas", ntohs(address.sin_port));
    fix.settings.url = url;
    server.answers[0] = 200;
    server.answer_count = 1;
    pthread_create(&server.thread, NULL, serve, NULL);
}

static void end(void)
{
    fix_end();
    atomic_store(&server.stop, true);
    pthread_join(server.thread, NULL);
    close(server.listener);
    free(server.body);
}

TestSuite(sink_webhook, .init = begin, .fini = end, .timeout = 30);

static void answers(int first, int then)
{
    server.answers[0] = first;
    server.answers[1] = then;
    server.answer_count = 2;
}

Test(sink_webhook, a_batch_is_a_json_array)
{
    char expected[3 * DELTA_JSON_BYTES];
    char one[DELTA_JSON_BYTES];
    fix_open();
    cr_assert_eq(fix_deliver(1, 2), SINK_TAKEN, "%s", fix.error.text);
    delta_json(&fix.deltas[0], true, one, sizeof(one));
    int length = snprintf(expected, sizeof(expected), "[%s,", one);
    delta_json(&fix.deltas[1], true, one, sizeof(one));
    snprintf(expected + length, sizeof(expected) - (size_t)length, "%s]", one);
    cr_assert_str_eq(server.body, expected);
    cr_assert_eq(strncmp(server.head, "POST /deltas HTTP/1.1\r\n", 23), 0);
    cr_assert_neq(strstr(server.head, "Content-Type: application/json"), NULL);
}

Test(sink_webhook, a_large_batch_is_whole)
{
    fix_open();
    cr_assert_eq(fix_deliver(1, 1000), SINK_TAKEN, "%s", fix.error.text);
    cr_assert_eq(server.body[server.body_length - 1], ']');
    cr_assert_neq(strstr(server.body, "{\"seq\":1000,"), NULL);
}

Test(sink_webhook, the_idempotency_key_names_journal_and_records)
{
    fix_open();
    fix_deliver(17, 42);
    cr_assert_neq(strstr(server.head, "Idempotency-Key: 00112233445566778899aabbccddeeff-17-42"), NULL, "%s",
                  server.head);
}

Test(sink_webhook, the_signature_is_the_hmac_of_the_body)
{
    unsigned char digest[32];
    char text[65];
    char line[200];
    struct stat status;
    fix_open();
    fix_deliver(1, 3);
    cr_assert_eq(stat(fix_path("webhook.key"), &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0600);
    char *key = fix_read(fix_path("webhook.key"));
    cr_assert_eq(strlen(key), 65);
    HMAC(EVP_sha256(), key, 64, (const unsigned char *)server.body, server.body_length, digest, NULL);
    hex_encode(text, digest, sizeof(digest));
    snprintf(line, sizeof(line), "X-Privtrak-Signature: sha256=%s", text);
    cr_assert_neq(strstr(server.head, line), NULL, "%s", server.head);
    free(key);
}

Test(sink_webhook, the_key_stays_over_a_restart)
{
    fix_open();
    char *first = fix_read(fix_path("webhook.key"));
    fix_close();
    fix_open();
    char *second = fix_read(fix_path("webhook.key"));
    cr_assert_str_eq(first, second);
    free(first);
    free(second);
}

Test(sink_webhook, the_position_is_kept_over_a_restart_but_not_for_another_journal)
{
    fix_open();
    fix_deliver(1, 25);
    fix_close();
    fix_open();
    cr_assert_eq(fix_position(), 25);
    fix_close();
    fix.instance = "ffffffffffffffffffffffffffffffff";
    fix_open();
    cr_assert_eq(fix_position(), 0);
}

Test(sink_webhook, a_position_file_of_something_else_stops_the_start)
{
    int fd = open(fix_path("position-webhook"), O_WRONLY | O_CREAT, 0600);
    cr_assert_eq(write(fd, "hello\n", 6), 6);
    close(fd);
    cr_assert(!fix_try_open());
}

Test(sink_webhook, failures_of_the_server_are_tried_again)
{
    static const int statuses[] = {500, 502, 503, 408, 429, 302, 401, 403, 407};
    fix_open();
    for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
        server.requests = 0;
        answers(statuses[i], 200);
        cr_assert_eq(fix_deliver(i + 1, i + 1), SINK_RETRY, "%d", statuses[i]);
        cr_assert_eq(fix_position(), i);
        cr_assert_eq(fix_deliver(i + 1, i + 1), SINK_TAKEN);
    }
}

Test(sink_webhook, what_the_server_refuses_for_its_content_is_rejected)
{
    static const int statuses[] = {400, 404, 405, 409, 410, 413, 422, 451};
    fix_open();
    for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
        answers(statuses[i], statuses[i]);
        cr_assert_eq(fix_deliver(1, 2), SINK_REJECTED);
        cr_assert_neq(strstr(fix.error.text, "because"), NULL, "%s", fix.error.text);
        cr_assert_eq(fix_position(), 0);
    }
}

Test(sink_webhook, wrong_credentials_are_told_as_such)
{
    fix_open();
    answers(401, 200);
    cr_assert_eq(fix_deliver(1, 2), SINK_RETRY);
    cr_assert_neq(strstr(fix.error.text, "HTTP 401 (who we are is not accepted"), NULL, "%s", fix.error.text);
}

Test(sink_webhook, a_hung_up_connection_is_tried_again)
{
    fix_open();
    answers(HANG_UP, 200);
    cr_assert_eq(fix_deliver(1, 2), SINK_RETRY);
    cr_assert_eq(fix_deliver(1, 2), SINK_TAKEN);
}

Test(sink_webhook, a_port_where_nobody_listens_is_tried_again)
{
    fix.settings.url = (char *)"http://127.0.0.1:1/";
    fix_open();
    cr_assert_eq(fix_deliver(1, 2), SINK_RETRY);
    cr_assert_gt(strlen(fix.error.text), 0);
}

Test(sink_webhook, a_server_that_says_nothing_is_given_up_after_the_timeout)
{
    fix.settings.timeout_s = 1;
    fix_open();
    answers(SILENCE, SILENCE);
    int64_t start = clock_monotonic_ns();
    cr_assert_eq(fix_deliver(1, 2), SINK_RETRY);
    int64_t took_ms = (clock_monotonic_ns() - start) / 1000000;
    cr_assert(took_ms > 800 && took_ms < 3000, "%ld ms", took_ms);
}

static void *interrupt_soon(void *argument)
{
    usleep(200 * 1000);
    fix.type->interrupt(fix.sink);
    return argument;
}

Test(sink_webhook, an_interrupt_ends_a_transfer_at_once)
{
    pthread_t thread;
    fix.settings.timeout_s = 20;
    fix_open();
    answers(SILENCE, SILENCE);
    pthread_create(&thread, NULL, interrupt_soon, NULL);
    int64_t start = clock_monotonic_ns();
    cr_assert_eq(fix_deliver(1, 2), SINK_RETRY);
    cr_assert_lt((clock_monotonic_ns() - start) / 1000000, 2000);
    pthread_join(thread, NULL);
}

Test(sink_webhook, only_http_is_spoken)
{
    fix.settings.url = (char *)"file:///etc/hostname";
    fix_open();
    cr_assert_eq(fix_deliver(1, 2), SINK_RETRY);
}

Test(sink_webhook, a_parked_record_is_set_aside_with_its_reason)
{
    fix_open();
    fix_make(9, 9);
    cr_assert_eq(fix.type->park(fix.sink, &fix.deltas[0], "HTTP 422", &fix.error), SINK_TAKEN);
    cr_assert_eq(fix_position(), 9);
    char *text = fix_read(fix_path("parked-webhook.ndjson"));
    cr_assert_eq(strncmp(text, "{\"seq\":9,\"reason\":\"HTTP 422\",\"record\":{\"seq\":9,", 47), 0, "%s", text);
    free(text);
}
