/* Tests of opening the HTTP frontend's sockets. */
#include "http_fixture.h"

Test(http_listen, port_in_use_is_an_error_even_for_the_same_user)
{
    defaults();
    struct error error;
    struct http_listeners *first = http_listen(&config, 2, &error);
    cr_assert_not_null(first, "%s", error.text);
    struct http_address where;
    cr_assert(http_listening(first, 0, &where));
    cr_expect_not_null(first);
    struct config second = config;
    second.http.listen.addresses = &where.address;
    cr_expect_null(http_listen(&second, 2, &error));
    char expected[128];
    (void)snprintf(expected, sizeof expected, "http.listen: cannot listen on 127.0.0.1:%u: address in use",
                   where.address.port);
    cr_expect_str_eq(error.text, expected);
    http_listeners_free(first);
}

Test(http_listen, written_max_connections_over_the_descriptor_limit_is_an_error)
{
    defaults();
    struct error error;
    config.http.max_connections = 4000000000;
    cr_expect_null(http_listen(&config, 1, &error));
    cr_expect(strncmp(error.text, "http.max_connections: found 4000000000, allowed up to ", 54) == 0, "%s", error.text);
    config.http.max_connections_by_default = true;
    struct http_listeners *lowered = http_listen(&config, 1, &error);
    cr_expect_not_null(lowered, "%s", error.text);
    http_listeners_free(lowered);
}

Test(http_listen, every_worker_has_a_socket_on_the_one_port_of_both_families)
{
    static struct address both[2] = {{.family = 4, .ip = {127, 0, 0, 1}}, {.family = 6, .ip = {[15] = 1}}};
    defaults();
    config.http.listen = (struct listen_list){.addresses = both, .count = 2, .by_default = true};
    struct error error;
    struct http_listeners *opened = http_listen(&config, 3, &error);
    cr_assert_not_null(opened, "%s", error.text);
    struct http_address first;
    struct http_address second;
    cr_assert(http_listening(opened, 0, &first));
    cr_expect_neq(first.address.port, 0);
    if (http_listening(opened, 1, &second)) /* else the machine has no IPv6, which is no error for a default */
        cr_expect_eq(first.address.port, second.address.port);
    cr_expect_not(http_listening(opened, 2, &second));
    http_listeners_free(opened);
}

Test(http_listen, written_address_that_the_machine_lacks_is_an_error)
{
    static struct address foreign = {.family = 4, .ip = {192, 0, 2, 1}, .port = 6969};
    defaults();
    config.http.listen.addresses = &foreign;
    struct error error;
    cr_expect_null(http_listen(&config, 1, &error));
    cr_expect_str_eq(error.text, "http.listen: cannot listen on 192.0.2.1:6969: Cannot assign requested address");
}

Test(http_listen, no_address_is_no_error)
{
    defaults();
    config.http.listen.count = 0;
    struct error error;
    struct http_listeners *none = http_listen(&config, 1, &error);
    cr_assert_not_null(none, "%s", error.text);
    struct http_address where;
    cr_expect_not(http_listening(none, 0, &where));
    http_listeners_free(none);
    http_listeners_free(NULL);
}

Test(http_listen, missing_or_wrong_certificate_is_an_error)
{
    static char missing[] = "/nonexistent/cert.pem";
    static char wrong[] = "/etc/hostname";
    defaults();
    config.http.tls_listen = config.http.listen;
    config.http.tls_certificate = missing;
    config.http.tls_key = missing;
    struct error error;
    cr_expect_null(http_listen(&config, 1, &error));
    cr_expect_str_eq(error.text, "http.tls.certificate: cannot use /nonexistent/cert.pem: No such file or directory");
    config.http.tls_certificate = wrong;
    cr_expect_null(http_listen(&config, 1, &error));
    cr_expect_str_eq(error.text, "http.tls.certificate: cannot use /etc/hostname: no start line");
}
