/* Tests of the HTTP generator's connections against the bare responders, plain and over TLS. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/floor.h"
#include "bench/http_link.h"
#include "bench/http_reply.h"

enum { REPLY_BYTES = 400 };

static const char request[] = "GET /announce?a=b HTTP/1.1\r\nHost: localhost\r\n\r\n";

static char folder[] = "/tmp/privtrak-link-XXXXXX";
static char certificate[64];
static char key[64];
static struct floor_settings settings;
static struct floor_thread floor_thread;
static atomic_bool stop;
static struct endpoint target;
static struct load_counts counts;
static struct http_link link_under_test;
static int epoll = -1;

static void make_certificate(void)
{
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    cr_assert(pair != NULL && x509 != NULL);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(x509), 0);
    (void)X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    (void)X509_set_pubkey(x509, pair);
    cr_assert_gt(X509_sign(x509, pair, EVP_sha256()), 0);
    FILE *file = fopen(certificate, "w");
    cr_assert_eq(PEM_write_X509(file, x509), 1);
    (void)fclose(file);
    file = fopen(key, "w");
    cr_assert_eq(PEM_write_PrivateKey(file, pair, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(file);
    X509_free(x509);
    EVP_PKEY_free(pair);
}

static void *serve(void *context)
{
    (void)context;
    floor_thread.serve(&floor_thread);
    return NULL;
}

static void start(int (*open)(struct floor_thread *, struct error *), void (*body)(struct floor_thread *), bool closes)
{
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct error error = {""};
    settings = (struct floor_settings){
        .reply_bytes = REPLY_BYTES, .close = closes, .certificate = certificate, .key = key, .listen.count = 1};
    memcpy(&settings.listen.items[0].address, &any, sizeof any);
    settings.listen.items[0].length = sizeof any;
    floor_thread = (struct floor_thread){.settings = &settings, .stop = &stop, .serve = body};
    cr_assert_eq(open(&floor_thread, &error), 0, "%s", error.text);
    target.length = sizeof target.address;
    cr_assert_eq(getsockname(floor_thread.sockets[0], (struct sockaddr *)&target.address, &target.length), 0);
    cr_assert_eq(pthread_create(&floor_thread.thread, NULL, serve, NULL), 0);
    epoll = epoll_create1(EPOLL_CLOEXEC);
}

static void set_up(void)
{
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(certificate, sizeof certificate, "%s/cert.pem", folder);
    (void)snprintf(key, sizeof key, "%s/key.pem", folder);
    make_certificate();
}

static void tear_down(void)
{
    atomic_store(&stop, true);
    if (epoll >= 0)
        pthread_join(floor_thread.thread, NULL);
    http_link_clear(&link_under_test);
    (void)close(floor_thread.sockets[0]);
    (void)close(epoll);
    (void)unlink(certificate);
    (void)unlink(key);
    (void)rmdir(folder);
}

TestSuite(bench_http_link, .init = set_up, .fini = tear_down, .timeout = 60);

static void wait_for_event(void)
{
    struct epoll_event event;
    cr_assert_eq(epoll_wait(epoll, &event, 1, 10000), 1, "nothing happens");
    cr_assert_eq(event.data.u32, 7);
}

static void send_request(void)
{
    ssize_t sent;
    while ((sent = http_link_send(&link_under_test, request, sizeof request - 1)) == 0)
        wait_for_event();
    cr_assert_eq(sent, (ssize_t)sizeof request - 1, "%s", strerror(errno));
}

static void await_reply(void)
{
    char bytes[4096];
    struct http_reply reply;
    size_t length = 0;
    do {
        ssize_t received = http_link_receive(&link_under_test, bytes + length, sizeof bytes - length);
        if (received < 0)
            cr_assert_eq(errno, EAGAIN, "%s", strerror(errno));
        if (received < 0)
            wait_for_event();
        cr_assert_neq(received, 0, "the connection has ended");
        length += received > 0 ? (size_t)received : 0;
    } while (http_reply_parse(&reply, bytes, length, false) == HTTP_PARTIAL);
    cr_expect_eq(reply.status, 200);
    cr_expect_eq(length, REPLY_BYTES);
}

static void open_link(void)
{
    const struct sockaddr_storage nowhere = {0};
    cr_assert_eq(http_link_prepare(&link_under_test, &target, &nowhere, 0, epoll, 7), 0);
    cr_assert_eq(http_link_connect(&link_under_test, &target), 0, "%s", strerror(errno));
}

Test(bench_http_link, connection_carries_several_requests)
{
    start(floor_http_open, floor_http_serve, false);
    http_link_init(&link_under_test, NULL, false);
    open_link();
    for (int i = 0; i < 3; i++) {
        send_request();
        await_reply();
    }
}

Test(bench_http_link, socket_is_connected_again_for_each_request)
{
    start(floor_http_open, floor_http_serve, true);
    http_link_init(&link_under_test, NULL, false);
    open_link();
    int fd = link_under_test.fd;
    for (int i = 0; i < 5; i++) {
        send_request();
        await_reply();
        http_link_close(&link_under_test);
        cr_expect(!link_under_test.is_open);
        cr_expect_eq(link_under_test.fd, fd);
        open_link();
    }
}

Test(bench_http_link, refused_connection_is_told)
{
    start(floor_http_open, floor_http_serve, false);
    struct sockaddr_in *address = (void *)&target.address;
    http_link_init(&link_under_test, NULL, false);
    address->sin_port = htons(1);
    const struct sockaddr_storage nowhere = {0};
    cr_assert_eq(http_link_prepare(&link_under_test, &target, &nowhere, 0, epoll, 7), 0);
    int code = http_link_connect(&link_under_test, &target);
    ssize_t sent = code < 0 ? -1 : http_link_send(&link_under_test, request, sizeof request - 1);
    cr_expect_eq(sent, -1);
    cr_expect(errno == ECONNREFUSED || errno == EPIPE, "%s", strerror(errno));
}

static void exchange_over_tls(bool resumes)
{
    struct error error = {""};
    start(floor_https_open, floor_https_serve, true);
    struct tls_client *tls = tls_client_new(&counts, &error);
    cr_assert_not_null(tls, "%s", error.text);
    http_link_init(&link_under_test, tls, resumes);
    for (int i = 0; i < 3; i++) {
        open_link();
        send_request();
        await_reply();
        http_link_close(&link_under_test);
    }
    http_link_clear(&link_under_test);
    tls_client_free(tls);
}

Test(bench_http_link, tls_makes_a_full_handshake_for_each_connection)
{
    exchange_over_tls(false);
    cr_expect_eq(count_of(&counts.handshakes), 3);
    cr_expect_eq(count_of(&counts.resumed), 0);
}

Test(bench_http_link, tls_resumes_the_session_before)
{
    exchange_over_tls(true);
    cr_expect_eq(count_of(&counts.handshakes), 3);
    cr_expect_eq(count_of(&counts.resumed), 2);
}
