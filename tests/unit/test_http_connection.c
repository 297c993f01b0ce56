/* Tests of the HTTP frontend's connections: what goes over the wire, time-outs, limits, reload and drain. */
#include "http_fixture.h"

Test(http, announce_is_answered_and_the_connection_kept)
{
    defaults();
    begin();
    int fd = dial();
    for (int i = 0; i < 3; i++) {
        char text[1024] = "";
        say(fd, ANNOUNCE);
        cr_expect_not(hear(fd, text, sizeof text, 100), "the connection stays");
        cr_expect(strncmp(text, "HTTP/1.1 200 OK\r\n", 17) == 0, "%s", text);
        cr_expect_not_null(strstr(text, "\r\n\r\n" BODY), "%s", text);
        cr_expect_null(strstr(text, "Connection:"), "%s", text);
    }
    end();
}

Test(http, announce_split_at_every_byte_is_answered_the_same)
{
    defaults();
    begin();
    int fd = dial();
    static const char request[] = ANNOUNCE;
    for (size_t at = 1; at < sizeof request - 1; at += 7) {
        char text[1024] = "";
        say_bytes(fd, request, at);
        (void)usleep(2000);
        say_bytes(fd, request + at, sizeof request - 1 - at);
        (void)hear(fd, text, sizeof text, 20);
        cr_expect_not_null(strstr(text, "\r\n\r\n" BODY), "%zu: %s", at, text);
    }
    end();
}

Test(http, pipelined_requests_are_answered_in_order)
{
    defaults();
    begin();
    int fd = dial();
    char text[16384] = "";
    say(fd, ANNOUNCE SCRAPE ANNOUNCE_OF("refused") "GET /nothing HTTP/1.1\r\n\r\n" ANNOUNCE_ELSEWHERE("full")
                ANNOUNCE SCRAPE);
    cr_expect_not(hear(fd, text, sizeof text, 200));
    static const char *in_order[] = {"external ip", "5:filesd", "15:unknown passkey", "404 Not Found", "10:overloaded",
                                     "external ip", "5:filesd"};
    const char *at = text;
    for (size_t i = 0; i < sizeof in_order / sizeof in_order[0]; i++) {
        at = strstr(at, in_order[i]);
        cr_assert_not_null(at, "%zu", i);
        at++;
    }
    cr_expect_eq(occurrences(text, "HTTP/1.1 "), 7);
    end();
}

Test(http, many_pipelined_requests_behind_one_that_is_away_wait_for_it)
{
    defaults();
    begin();
    int fd = dial();
    static char requests[200 * 200];
    static char text[400 * 200];
    (void)strlcpy(requests, ANNOUNCE_ELSEWHERE("held"), sizeof requests);
    for (int i = 0; i < 150; i++)
        (void)strlcat(requests, ANNOUNCE, sizeof requests);
    say(fd, requests);
    cr_expect_not(hear(fd, text, sizeof text, 100));
    cr_expect_eq(strlen(text), 0, "nothing is answered before the first");
    command('r');
    cr_expect_not(hear(fd, text, sizeof text, 200));
    cr_expect_eq(occurrences(text, "HTTP/1.1 200 OK"), 151);
    end();
}

Test(http, pipelined_requests_of_several_connections_are_answered_each_on_its_own)
{
    enum { CONNECTIONS = 4, REQUESTS = 50 };
    static const struct {
        const char *request;
        const char *answer;
    } kinds[CONNECTIONS] = {
        {ANNOUNCE, "external ip"},
        {ANNOUNCE_OF("refused"), "unknown passkey"},
        {ANNOUNCE_OF("overload"), "10:overloaded"},
        {"GET /announce/key" QUERY " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "Connection: keep-alive"},
    };
    defaults();
    begin();
    int fds[CONNECTIONS];
    for (size_t i = 0; i < CONNECTIONS; i++)
        fds[i] = dial();
    for (size_t i = 0; i < CONNECTIONS; i++) {
        char requests[REQUESTS * 220] = "";
        for (int n = 0; n < REQUESTS; n++)
            (void)strlcat(requests, kinds[i].request, sizeof requests);
        say(fds[i], requests);
    }
    for (size_t i = 0; i < CONNECTIONS; i++) {
        static char text[REQUESTS * 400];
        text[0] = '\0';
        cr_expect_not(hear(fds[i], text, sizeof text, 200));
        cr_expect_eq(occurrences(text, "HTTP/1.1 200 OK"), REQUESTS, "%zu", i);
        cr_expect_eq(occurrences(text, kinds[i].answer), REQUESTS, "%zu", i);
    }
    end();
}

Test(http, request_with_another_head_waits_for_those_before_it)
{
    defaults();
    begin();
    int fd = dial();
    char text[4096] = "";
    say(fd, ANNOUNCE ANNOUNCE "GET /announce/key" QUERY " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" ANNOUNCE
                              "GET /announce/refused" QUERY " HTTP/1.1\r\nConnection: close\r\n\r\n" ANNOUNCE);
    cr_expect(hear(fd, text, sizeof text, 500), "closed behind the fifth");
    cr_expect_eq(occurrences(text, "HTTP/1.1 200 OK"), 5);
    cr_expect_eq(occurrences(text, "Connection: keep-alive"), 1);
    cr_expect_eq(occurrences(text, "Connection: close"), 1);
    const char *keep_alive = strstr(text, "Connection: keep-alive");
    cr_expect_not_null(strstr(keep_alive, "Connection: close"));
    cr_expect_null(strstr(strstr(text, "Connection: close"), "external ip"),
                   "nothing but its own failure is behind it");
    end();
}

Test(http, malformed_request_gets_an_answer_and_an_orderly_close)
{
    static const struct {
        const char *request;
        const char *status;
    } cases[] = {
        {"GARBAGE\r\n", "400 "},
        {"GET /announce\r\n", "400 "},
        {"\x16\x03\x01\x02", "400 "},
        {"GET / HTTP/1.1\r\n folded\r\n", "400 "},
        {"GET / HTTP/2.0\r\n", "505 "},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "400 "},
        {"POST /announce HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd", "405 "},
        {"\r\n\r\n", "400 "},
    };
    defaults();
    begin();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024] = "";
        int fd = dial();
        say(fd, cases[i].request);
        cr_expect(hear(fd, text, sizeof text, 500), "%zu: the connection is closed", i);
        cr_expect(strncmp(text + 9, cases[i].status, 4) == 0, "%zu: %s", i, text);
        cr_expect_not_null(strstr(text, "Connection: close\r\n"), "%zu", i);
        (void)close(fd);
    }
    end();
}

Test(http, request_over_the_limit_is_answered_though_more_is_sent)
{
    defaults();
    begin();
    static char request[300000];
    memset(request, 'x', sizeof request);
    overwrite(request, "GET /");
    char text[1024] = "";
    int fd = dial();
    say_bytes(fd, request, sizeof request);
    cr_expect(hear(fd, text, sizeof text, 500));
    cr_expect_not_null(strstr(text, " 414 "), "%s", text);
    (void)close(fd);

    overwrite(request, "GET / HTTP/1.1\r\nA: ");
    text[0] = '\0';
    fd = dial();
    say_bytes(fd, request, sizeof request);
    cr_expect(hear(fd, text, sizeof text, 500));
    cr_expect_not_null(strstr(text, " 431 "), "%s", text);
    end();
}

Test(http, connection_of_http_1_0_is_closed_unless_asked_to_stay)
{
    defaults();
    begin();
    char text[1024] = "";
    int fd = dial();
    say(fd, "GET /announce/key" QUERY " HTTP/1.0\r\n\r\n");
    cr_expect(hear(fd, text, sizeof text, 500));
    cr_expect_not_null(strstr(text, "Connection: close\r\n"), "%s", text);
    (void)close(fd);
    text[0] = '\0';
    fd = dial();
    say(fd, "GET /announce/key" QUERY " HTTP/1.0\nconnection: Keep-Alive\n\n");
    cr_expect_not(hear(fd, text, sizeof text, 100));
    cr_expect_not_null(strstr(text, "Connection: keep-alive\r\n"), "%s", text);
    end();
}

Test(http, client_that_ends_its_side_still_gets_its_answers)
{
    defaults();
    begin();
    char text[4096] = "";
    int fd = dial();
    say(fd, ANNOUNCE ANNOUNCE "GET /half");
    (void)shutdown(fd, SHUT_WR);
    cr_expect(hear(fd, text, sizeof text, 500));
    cr_expect_eq(occurrences(text, "200 OK"), 2);
    cr_expect_eq(occurrences(text, "400 Bad Request"), 1);
    end();
}

Test(http, slow_request_is_ended_after_read_timeout)
{
    defaults();
    begin();
    char text[1024] = "";
    int fd = dial();
    int64_t before = clock_monotonic_ns();
    say(fd, "GET /announce");
    cr_expect(hear(fd, text, sizeof text, 3000));
    int64_t took_ms = (clock_monotonic_ns() - before) / 1000000;
    cr_expect(took_ms >= 900 && took_ms < 1900, "%ld ms", (long)took_ms);
    cr_expect_not_null(strstr(text, " 408 "), "%s", text);
    end();
}

Test(http, idle_connection_is_closed_after_idle_timeout)
{
    defaults();
    begin();
    char text[1024] = "";
    int silent = dial();
    int used = dial();
    say(used, ANNOUNCE);
    (void)hear(used, text, sizeof text, 100);
    int64_t before = clock_monotonic_ns();
    char nothing[16] = "";
    cr_expect(hear(silent, nothing, sizeof nothing, 4000));
    cr_expect(hear(used, nothing, sizeof nothing, 4000));
    cr_expect_eq(strlen(nothing), 0);
    int64_t took_ms = (clock_monotonic_ns() - before) / 1000000;
    cr_expect(took_ms >= 1700 && took_ms < 3000, "%ld ms", (long)took_ms);
    end();
}

Test(http, answer_for_a_closed_connection_is_dropped)
{
    defaults();
    begin();
    int fd = dial();
    say(fd, ANNOUNCE_ELSEWHERE("held"));
    wait_until(&held_now, 1);
    struct linger reset = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    (void)close(fd);
    char text[1024] = "";
    int other = dial(); /* may well be given the same memory */
    say(other, ANNOUNCE_ELSEWHERE("held"));
    wait_until(&held_now, 2);
    command('r');
    cr_expect_not(hear(other, text, sizeof text, 200));
    cr_expect_eq(occurrences(text, "200 OK"), 1);
    end();
}

Test(http, connections_over_the_limit_are_closed_at_once)
{
    defaults();
    config.http.max_connections = 2;
    begin();
    char text[1024] = "";
    int first = dial();
    int second = dial();
    say(first, ANNOUNCE);
    say(second, ANNOUNCE);
    (void)hear(second, text, sizeof text, 100);
    cr_expect_eq(occurrences(text, "200 OK"), 1);
    text[0] = '\0';
    int third = dial();
    cr_expect(hear(third, text, sizeof text, 500));
    cr_expect_eq(strlen(text), 0);
    (void)close(first);
    (void)usleep(50000);
    int fourth = dial();
    say(fourth, ANNOUNCE);
    (void)hear(fourth, text, sizeof text, 100);
    cr_expect_eq(occurrences(text, "200 OK"), 1, "a place is free again");
    end();
}

Test(http, client_that_does_not_read_is_not_parsed_for_without_bound)
{
    defaults();
    begin();
    int fd = dial();
    int small = 131072; /* not below a segment of loopback, or it crawls */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    size_t sent = 0;
    for (int quiet = 0; quiet < 20;) {
        static const char request[] = ANNOUNCE;
        ssize_t put = send(fd, request + sent % (sizeof request - 1), sizeof request - 1 - sent % (sizeof request - 1),
                           MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put > 0) {
            sent += (size_t)put;
            quiet = 0;
        } else {
            quiet++;
            (void)usleep(5000);
        }
    }
    unsigned whole = (unsigned)(sent / (sizeof ANNOUNCE - 1));
    cr_expect_lt(atomic_load(&announces_seen), whole, "some wait in the kernel");
    static char text[1 << 27]; /* the kernel may have taken tens of MB of requests */
    cr_assert_lt(sent, sizeof text / 2, "%zu bytes", sent);
    (void)hear(fd, text, sizeof text, 1000);
    cr_expect_eq(occurrences(text, "HTTP/1.1 200 OK"), whole, "all of %u are answered once it reads, not %u", whole,
                 occurrences(text, "HTTP/1.1 200 OK"));
    end();
}

Test(http, drain_answers_what_is_in_hand_and_closes_all)
{
    defaults();
    begin();
    char text[1024] = "";
    char nothing[64] = "";
    int idle = dial();
    int away = dial();
    say(idle, ANNOUNCE);
    (void)hear(idle, nothing, 1, 50);
    nothing[0] = '\0';
    say(away, ANNOUNCE_ELSEWHERE("held"));
    wait_until(&held_now, 1);
    command('d');
    (void)usleep(50000);
    struct sockaddr_storage storage;
    struct http_address where;
    cr_assert(http_listening(listeners, 0, &where));
    socklen_t length = address_to_sockaddr(&where.address, &storage);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    cr_expect_eq(connect(late, (struct sockaddr *)&storage, length), -1, "no new connection is taken");
    command('r');
    cr_expect(hear(away, text, sizeof text, 500));
    cr_expect_eq(occurrences(text, "200 OK"), 1);
    cr_expect_eq(occurrences(text, "Connection: close"), 1);
    end();
}

Test(http, drain_answers_what_waits_behind_the_request_in_hand)
{
    defaults();
    begin();
    char text[4096] = "";
    int fd = dial();
    say(fd, ANNOUNCE_ELSEWHERE("held") ANNOUNCE SCRAPE);
    wait_until(&held_now, 1);
    command('d');
    (void)usleep(20000);
    command('r');
    cr_expect(hear(fd, text, sizeof text, 500));
    cr_expect_eq(occurrences(text, "200 OK"), 3);
    cr_expect_eq(occurrences(text, "Connection: close"), 1, "the last one says that it is");
    end();
}

Test(http, drain_answers_requests_that_wait_in_the_kernel)
{
    defaults();
    begin();
    /* The worker is kept busy by its own command pipe while the request arrives: drain has to look for it. */
    char text[1024] = "";
    int fd = dial();
    say(fd, ANNOUNCE);
    command('d');
    cr_expect(hear(fd, text, sizeof text, 500));
    cr_expect_eq(occurrences(text, "200 OK"), 1);
    end();
}

Test(http, reload_keeps_connections_and_takes_new_limits)
{
    defaults();
    begin();
    char text[2048] = "";
    int fd = dial();
    say(fd, ANNOUNCE);
    (void)hear(fd, text, sizeof text, 50);
    static struct config next;
    next = config;
    next.http.keepalive = false;
    next.http.max_request_bytes = 65536;
    fake.config = &next;
    command('c');
    (void)usleep(50000);
    static char request[40000];
    memset(request, 'x', sizeof request);
    overwrite(request, "GET /announce/key" QUERY "&x=");
    overwrite(request + sizeof request - 13, " HTTP/1.1\r\n\r\n");
    say_bytes(fd, request, sizeof request);
    cr_expect(hear(fd, text, sizeof text, 500), "keepalive is off now");
    cr_expect_eq(occurrences(text, "200 OK"), 2);
    end();
}

Test(http, forwarded_address_is_believed_from_trusted_proxies_only)
{
    static struct network trusted = {.address = {.family = 4, .ip = {127, 0, 0, 0}}, .prefix = 8};
    defaults();
    config.http.trusted_proxies = &trusted;
    config.http.trusted_proxy_count = 1;
    begin();
    char text[1024] = "";
    int fd = dial();
    say(fd, "GET /announce/key" QUERY " HTTP/1.1\r\nx-forwarded-for: 192.0.2.7, 127.0.0.9\r\n\r\n");
    (void)hear(fd, text, sizeof text, 100);
    cr_expect_not_null(strstr(text, "external ip4:\xc0"), "%s", text);
    static struct config next;
    next = config;
    next.http.trusted_proxy_count = 0;
    fake.config = &next;
    command('c');
    (void)usleep(50000);
    text[0] = '\0';
    say(fd, "GET /announce/key" QUERY " HTTP/1.1\r\nx-forwarded-for: 192.0.2.7, 127.0.0.9\r\n\r\n");
    (void)hear(fd, text, sizeof text, 100);
    cr_expect_not_null(strstr(text, "external ip4:\x7f"), "%s", text);
    end();
}

Test(http, proxy_protocol_is_required_from_trusted_proxies)
{
    static struct network trusted = {.address = {.family = 4, .ip = {127, 0, 0, 0}}, .prefix = 8};
    defaults();
    config.http.trusted_proxies = &trusted;
    config.http.trusted_proxy_count = 1;
    config.http.proxy_protocol = true;
    begin();
    char text[1024] = "";
    int fd = dial();
    say(fd, "PROXY TCP4 192.0.2.7 192.0.2.8 1000 80\r\n" ANNOUNCE);
    cr_expect_not(hear(fd, text, sizeof text, 100));
    cr_expect_not_null(strstr(text, "external ip4:\xc0"), "%s", text);
    say(fd, ANNOUNCE);
    cr_expect_not(hear(fd, text, sizeof text, 100));
    cr_expect_eq(occurrences(text, "external ip4:\xc0"), 2, "it holds for the whole connection");
    (void)close(fd);
    text[0] = '\0';
    fd = dial();
    say(fd, ANNOUNCE);
    cr_expect(hear(fd, text, sizeof text, 500));
    cr_expect_not_null(strstr(text, " 400 "), "%s", text);
    end();
}

Test(http, scrape_is_answered_sorted_and_without_unknown_ones)
{
    defaults();
    begin();
    char text[1024] = "";
    int fd = dial();
    say(fd, "GET /key/scrape?info_hash=uuuuuuuuuuuuuuuuuuuu&info_hash=aaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n\r\n");
    (void)hear(fd, text, sizeof text, 100);
    cr_expect_not_null(
        strstr(text, "\r\n\r\nd5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi7e10:incompletei0eeee"), "%s",
        text);
    end();
}

Test(http, head_gets_headers_and_announces_nothing)
{
    defaults();
    begin();
    char text[1024] = "";
    int fd = dial();
    say(fd, "HEAD /announce/key" QUERY " HTTP/1.1\r\n\r\n");
    cr_expect_not(hear(fd, text, sizeof text, 100));
    cr_expect_str_eq(text, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n");
    cr_expect_eq(atomic_load(&announces_seen), 0);
    end();
}

Test(http, requests_and_latency_are_counted)
{
    defaults();
    begin();
    char text[4096] = "";
    int fd = dial();
    say(fd, ANNOUNCE ANNOUNCE_OF("refused") ANNOUNCE_OF("overload") SCRAPE "GET /announce HTTP/1.1\r\n\r\n");
    (void)hear(fd, text, sizeof text, 100);
    (void)close(fd);
    (void)usleep(20000);
    end();
    counter(*announced)[RESULT_COUNT] = &fake.counters.requests[PROTOCOL_HTTP][FAMILY4][ACTION_ANNOUNCE];
    cr_expect_eq((*announced)[RESULT_OK], 1);
    cr_expect_eq((*announced)[RESULT_REFUSED], 1);
    cr_expect_eq((*announced)[RESULT_OVERLOAD], 1);
    cr_expect_eq((*announced)[RESULT_MALFORMED], 1);
    cr_expect_eq(fake.counters.requests[PROTOCOL_HTTP][FAMILY4][ACTION_SCRAPE][RESULT_OK], 1);
    cr_expect_eq(fake.counters.connections, 0);
    uint64_t measured = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++)
        measured += fake.counters.latency[PROTOCOL_HTTP].buckets[i];
    cr_expect_eq(measured, 5);
}

Test(http, answer_that_comes_after_the_stop_is_dropped)
{
    defaults();
    begin();
    int fd = dial();
    say(fd, ANNOUNCE_ELSEWHERE("held"));
    wait_until(&held_now, 1);
    end();
    char text[64] = "";
    cr_expect(hear(fd, text, sizeof text, 500));
    cr_expect_eq(strlen(text), 0);
}
