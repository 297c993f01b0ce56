/* Tests of the HTTP frontend over TLS, with certificates made for each test. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "http_fixture.h"

static char folder[] = "/tmp/privtrak-tls-XXXXXX";
static char certificate[64];
static char key[64];
static SSL_CTX *client;
static SSL_SESSION *session;

static void write_certificate(EVP_PKEY *pair)
{
    X509 *x509 = X509_new();
    cr_assert_not_null(x509);
    (void)X509_set_version(x509, X509_VERSION_3);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(x509), 0);
    (void)X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    (void)X509_set_pubkey(x509, pair);
    X509_NAME *name = X509_get_subject_name(x509);
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"tracker.example", -1, -1, 0);
    (void)X509_set_issuer_name(x509, name);
    cr_assert_gt(X509_sign(x509, pair, EVP_sha256()), 0);
    FILE *file = fopen(certificate, "w");
    cr_assert_not_null(file);
    cr_assert_eq(PEM_write_X509(file, x509), 1);
    cr_assert_eq(fclose(file), 0);
    X509_free(x509);
}

static void make_certificate(void)
{
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    cr_assert_not_null(pair);
    write_certificate(pair);
    FILE *file = fopen(key, "w");
    cr_assert_not_null(file);
    cr_assert_eq(PEM_write_PrivateKey(file, pair, NULL, NULL, 0, NULL, NULL), 1);
    cr_assert_eq(fclose(file), 0);
    EVP_PKEY_free(pair);
}

static int keep_session(SSL *ssl, SSL_SESSION *fresh)
{
    (void)ssl;
    SSL_SESSION_free(session);
    session = fresh;
    return 1;
}

static void tls_defaults(void)
{
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(certificate, sizeof certificate, "%s/cert.pem", folder);
    (void)snprintf(key, sizeof key, "%s/key.pem", folder);
    make_certificate();
    defaults();
    config.http.tls_listen = config.http.listen;
    config.http.listen.count = 0;
    config.http.tls_certificate = certificate;
    config.http.tls_key = key;
    client = SSL_CTX_new(TLS_client_method());
    (void)SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, keep_session);
}

static void tls_end(void)
{
    end();
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    (void)unlink(certificate);
    (void)unlink(key);
    (void)rmdir(folder);
}

static SSL *shake_hands(int fd)
{
    struct timeval timeout = {.tv_sec = 2};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    SSL *ssl = SSL_new(client);
    cr_assert_not_null(ssl);
    (void)SSL_set_fd(ssl, fd);
    if (session != NULL)
        (void)SSL_set_session(ssl, session);
    cr_assert_eq(SSL_connect(ssl), 1, "%s", ERR_error_string(ERR_get_error(), NULL));
    return ssl;
}

static void tls_say(SSL *ssl, const char *text)
{
    cr_assert_eq(SSL_write(ssl, text, (int)strlen(text)), (int)strlen(text));
}

/* Reads until `wanted` appears so many times, zeros as dots; false where the end or two seconds come first. */
static bool tls_hear(SSL *ssl, char *text, size_t size, const char *wanted, unsigned times)
{
    size_t length = strlen(text);
    while (occurrences(text, wanted) < times) {
        int got = SSL_read(ssl, text + length, (int)(size - 1 - length));
        if (got <= 0)
            return false;
        for (; got > 0; got--, length++)
            text[length] = text[length] == '\0' ? '.' : text[length];
        text[length] = '\0';
    }
    return true;
}

static void hang_up(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);
    (void)SSL_shutdown(ssl);
    SSL_free(ssl);
    (void)close(fd);
}

/* Whether the connection ends within half a second, in good order or not. */
static bool is_gone(int fd)
{
    char bytes[256];
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    while (poll(&ready, 1, 500) == 1) {
        if (recv(fd, bytes, sizeof bytes, 0) <= 0)
            return true;
    }
    return false;
}

/* One whole connection with one announce. Returns whether an earlier session was resumed. */
static bool announce_once(void)
{
    char text[2048] = "";
    SSL *ssl = shake_hands(dial());
    tls_say(ssl, ANNOUNCE);
    cr_expect(tls_hear(ssl, text, sizeof text, BODY, 1), "%s", text);
    bool resumed = SSL_session_reused(ssl) == 1;
    hang_up(ssl);
    return resumed;
}

Test(http_tls, announces_are_answered_on_one_connection)
{
    tls_defaults();
    begin();
    SSL *ssl = shake_hands(dial());
    for (unsigned i = 0; i < 3; i++) {
        char text[2048] = "";
        tls_say(ssl, ANNOUNCE);
        cr_expect(tls_hear(ssl, text, sizeof text, BODY, 1), "%s", text);
    }
    hang_up(ssl);
    tls_end();
}

Test(http_tls, many_pipelined_requests_are_all_answered)
{
    tls_defaults();
    begin();
    static char requests[300 * 200];
    static char text[300 * 400];
    for (int i = 0; i < 150; i++)
        (void)strlcat(requests, ANNOUNCE SCRAPE, sizeof requests);
    SSL *ssl = shake_hands(dial());
    tls_say(ssl, requests);
    cr_expect(tls_hear(ssl, text, sizeof text, "HTTP/1.1 200 OK", 300), "%u", occurrences(text, "HTTP/1.1 200 OK"));
    hang_up(ssl);
    tls_end();
}

Test(http_tls, sessions_are_resumed_and_a_reload_does_not_forget_them)
{
    tls_defaults();
    begin();
    cr_expect_not(announce_once());
    cr_assert_not_null(session);
    cr_expect(announce_once());
    make_certificate();
    command('c');
    (void)usleep(50000);
    cr_expect(announce_once());
    tls_end();
}

Test(http_tls, reload_takes_the_new_certificate_and_keeps_connections)
{
    tls_defaults();
    begin();
    SSL *old = shake_hands(dial());
    make_certificate();
    command('c');
    (void)usleep(50000);
    SSL_SESSION_free(session);
    session = NULL;
    SSL *fresh = shake_hands(dial());
    cr_expect_neq(X509_cmp(SSL_get0_peer_certificate(old), SSL_get0_peer_certificate(fresh)), 0);
    char text[2048] = "";
    tls_say(old, ANNOUNCE);
    cr_expect(tls_hear(old, text, sizeof text, BODY, 1), "%s", text);
    hang_up(old);
    hang_up(fresh);
    tls_end();
}

Test(http_tls, bad_certificate_at_reload_leaves_the_old_one)
{
    tls_defaults();
    begin();
    cr_assert_eq(truncate(certificate, 10), 0);
    command('c');
    (void)usleep(50000);
    cr_expect_not(announce_once());
    tls_end();
}

Test(http_tls, malformed_request_gets_an_answer_and_a_proper_end)
{
    tls_defaults();
    begin();
    char text[2048] = "";
    SSL *ssl = shake_hands(dial());
    tls_say(ssl, "GARBAGE\r\n");
    cr_expect(tls_hear(ssl, text, sizeof text, "Bad Request", 2), "%s", text);
    cr_expect_not(tls_hear(ssl, text, sizeof text, "more", 1));
    cr_expect_eq(SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
    hang_up(ssl);
    tls_end();
}

Test(http_tls, old_versions_are_refused_and_http_1_1_is_negotiated)
{
    tls_defaults();
    begin();
    static const unsigned char protocols[] = "\x02h2\x08http/1.1";
    cr_assert_eq(SSL_CTX_set_alpn_protos(client, protocols, sizeof protocols - 1), 0);
    SSL *ssl = shake_hands(dial());
    const unsigned char *chosen = NULL;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl, &chosen, &length);
    cr_expect_eq(length, 8);
    hang_up(ssl);

    (void)SSL_CTX_set_min_proto_version(client, TLS1_VERSION);
    (void)SSL_CTX_set_max_proto_version(client, TLS1_1_VERSION);
    SSL_CTX_set_security_level(client, 0);
    SSL *old = SSL_new(client);
    int fd = dial();
    (void)SSL_set_fd(old, fd);
    cr_expect_neq(SSL_connect(old), 1);
    SSL_free(old);
    (void)close(fd);
    tls_end();
}

Test(http_tls, handshake_that_does_not_come_is_ended)
{
    tls_defaults();
    begin();
    char nothing[64] = "";
    int silent = dial();
    int plain = dial();
    say(plain, ANNOUNCE);
    cr_expect(is_gone(plain), "what is no TLS is closed at once");
    int64_t before = clock_monotonic_ns();
    nothing[0] = '\0';
    cr_expect(hear(silent, nothing, sizeof nothing, 3000));
    cr_expect_lt((clock_monotonic_ns() - before) / 1000000, 2000);
    tls_end();
}

Test(http_tls, proxy_header_comes_before_the_handshake_in_any_pieces)
{
    static struct network trusted = {.address = {.family = 4, .ip = {127, 0, 0, 0}}, .prefix = 8};
    tls_defaults();
    config.http.trusted_proxies = &trusted;
    config.http.trusted_proxy_count = 1;
    config.http.proxy_protocol = true;
    begin();
    static const char header[] = "PROXY TCP4 192.0.2.7 192.0.2.8 1000 443\r\n";
    for (size_t cut = 1; cut < sizeof header - 1; cut += 13) {
        char text[2048] = "";
        int fd = dial();
        say_bytes(fd, header, cut);
        (void)usleep(5000);
        say_bytes(fd, header + cut, sizeof header - 1 - cut);
        SSL *ssl = shake_hands(fd);
        tls_say(ssl, ANNOUNCE);
        cr_expect(tls_hear(ssl, text, sizeof text, "external ip4:\xc0", 1), "%zu: %s", cut, text);
        hang_up(ssl);
    }
    int fd = dial();
    say(fd, "\x16\x03\x01");
    cr_expect(is_gone(fd), "without the header there is no handshake");
    (void)close(fd);
    tls_end();
}

Test(http_tls, drain_answers_what_is_in_hand)
{
    tls_defaults();
    begin();
    char text[2048] = "";
    SSL *ssl = shake_hands(dial());
    SSL *idle = shake_hands(dial());
    tls_say(ssl, ANNOUNCE_ELSEWHERE("held"));
    wait_until(&held_now, 1);
    command('d');
    (void)usleep(20000);
    command('r');
    cr_expect(tls_hear(ssl, text, sizeof text, BODY, 1), "%s", text);
    cr_expect_eq(occurrences(text, "Connection: close"), 1);
    char nothing[64] = "";
    cr_expect_not(tls_hear(idle, nothing, sizeof nothing, "x", 1));
    hang_up(ssl);
    hang_up(idle);
    tls_end();
}

Test(http_tls, client_that_ends_the_session_still_gets_its_answers)
{
    tls_defaults();
    begin();
    static char requests[300 * 200];
    static char text[300 * 400];
    (void)strlcpy(requests, ANNOUNCE_ELSEWHERE("held"), sizeof requests);
    for (int i = 0; i < 299; i++)
        (void)strlcat(requests, ANNOUNCE, sizeof requests);
    SSL *ssl = shake_hands(dial());
    tls_say(ssl, requests);
    cr_expect_eq(SSL_shutdown(ssl), 0);
    wait_until(&held_now, 1);
    (void)usleep(50000); /* more than a buffer of it waits when the end comes */
    command('r');
    cr_expect(tls_hear(ssl, text, sizeof text, "HTTP/1.1 200 OK", 300), "%u", occurrences(text, "HTTP/1.1 200 OK"));
    hang_up(ssl);
    tls_end();
}
