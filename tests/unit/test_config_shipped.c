/* Tests that the shipped tracker.yaml holds every key with its default, and that no cut of it does harm. */
#include "config_text.h"

#include <stdlib.h>

#include "config/schema.h"

static struct config *read_shipped(void)
{
    struct told told = {0};
    struct config *config = config_read("tracker.yaml", tell, &told);
    cr_assert_not_null(config, "%s", told.lines[0]);
    return config;
}

/* The whole text, ended by a NUL and to be freed. */
static char *load(const char *name, size_t *length)
{
    FILE *file = fopen(name, "re");
    char *text = malloc(65536);
    cr_assert_not_null(file, "the tests run in the root of the source tree");
    *length = fread(text, 1, 65535, file);
    text[*length] = '\0';
    (void)fclose(file);
    return text;
}

static bool is_in_element(const struct key *key)
{
    return strchr(key->name, '[') != NULL;
}

Test(config_shipped, equals_the_defaults_built_in)
{
    struct told told;
    struct config *shipped = read_shipped();
    struct config *built_in = parse_as("tracker.yaml", "", &told);
    for (size_t i = 0; i < schema_size; i++) {
        const struct key *key = &schema[i];
        if (key->type != NULL && !is_in_element(key))
            cr_expect(key->type->same(key, (const char *)shipped, (const char *)built_in), "%s differs", key->name);
    }
    config_free(shipped);
    config_free(built_in);
}

Test(config_shipped, defaults_are_those_of_the_specification)
{
    struct config *config = parse_good("tracker: {workers: 1}");
    const struct config_middleware *middleware = &config->middleware;
    cr_expect_eq(config->tracker.announce_interval_s, 30 * 60);
    cr_expect_eq(config->tracker.min_announce_interval_s, 15 * 60);
    cr_expect_eq(config->tracker.announce_jitter_s, 5 * 60);
    cr_expect_eq(config->tracker.peer_lifetime_s, 70 * 60);
    cr_expect_eq(config->tracker.tombstone_lifetime_s, 21 * 86400);
    cr_expect_eq(config->tracker.default_numwant, 50);
    cr_expect_eq(config->tracker.max_numwant, 100);
    cr_expect_eq(config->tracker.max_scrape, 74);
    cr_expect_eq(config->http.tls_listen.count, 0);
    cr_expect(config->http.keepalive);
    cr_expect_eq(config->http.read_timeout_s, 5);
    cr_expect_eq(config->http.idle_timeout_s, 30);
    cr_expect_eq(config->http.max_connections, 65536);
    cr_expect_eq(config->http.max_request_bytes, 8192);
    cr_expect_eq(config->http.trusted_proxy_count, 0);
    cr_expect_str_eq(config->http.real_ip_header, "X-Forwarded-For");
    cr_expect_not(config->http.proxy_protocol);
    cr_expect_eq(config->udp.connection_lifetime_s, 120);
    cr_expect(config->udp.scrape);
    cr_expect_eq(middleware->users, USERS_REGISTERED);
    cr_expect_eq(middleware->identify_rate_limit.count, 20);
    cr_expect_eq(middleware->identify_rate_limit.per_s, 60);
    cr_expect_eq(middleware->max_users, 10000000);
    cr_expect_eq(middleware->client_mode, CLIENTS_OFF);
    cr_expect_eq(middleware->client_prefixes.count, 0);
    cr_expect_eq(middleware->torrent_mode, TORRENTS_OPEN);
    cr_expect_eq(middleware->sessions_per_torrent, 3);
    cr_expect_eq(middleware->new_torrents_per_user.count, 1000);
    cr_expect_eq(middleware->new_torrents_per_user.per_s, 86400);
    cr_assert_eq(middleware->port_denied_count, 1);
    cr_expect_eq(middleware->ports_denied[0], 0);
    cr_expect(middleware->hide_user_from_self);
    cr_expect_eq(middleware->max_rate_bytes_per_s, 1 << 30);
    cr_expect_eq(middleware->seed_time_gap_s, 75 * 60);
    config_free(config);
}

Test(config_shipped, defaults_are_those_of_the_specification_beyond_the_chain)
{
    struct config *config = parse_good("");
    char text[ADDRESS_TEXT_BYTES];
    const struct listen_list *lists[] = {&config->http.listen, &config->udp.listen};
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(lists[i]->count, 2);
        cr_expect_str_eq(address_format(&lists[i]->addresses[0], text), "0.0.0.0:6969");
        cr_expect_str_eq(address_format(&lists[i]->addresses[1], text), "[::]:6969");
    }
    cr_assert_eq(config->admin.listen.count, 1);
    cr_expect_str_eq(address_format(&config->admin.listen.addresses[0], text), "127.0.0.1:6970");
    cr_expect_str_eq(config->admin.socket, "var/admin.sock");
    cr_expect_str_eq(config->admin.token_file, "var/admin.token");
    cr_expect_not(config->admin.metrics_need_token);
    cr_expect_str_eq(config->database.url, "sqlite:var/privtrak.db");
    cr_expect_eq(config->database.refresh_interval_s, 30);
    cr_expect_eq(config->deltas.batch_size, 1024);
    cr_expect_eq(config->deltas.flush_interval_s, 3);
    cr_expect_eq(config->deltas.sync_interval_ms, 200);
    cr_expect_eq(config->deltas.journal_max_bytes, 1 << 30);
    cr_expect_eq(config->deltas.when_full, WHEN_FULL_REFUSE);
    cr_expect_eq(config->deltas.durability, DURABILITY_RELAXED);
    cr_assert_eq(config->deltas.sink_count, 1);
    cr_expect_str_eq(config->deltas.sinks[0].type, "database");
    cr_expect(config->deltas.include_address);
    cr_expect_eq(config->log.level, LOG_LEVEL_INFO);
    cr_expect_eq(config->log.format, LOG_FORMAT_TEXT);
    cr_expect_str_eq(config->log.file, "");
    cr_expect_str_eq(config->privileges.user, "");
    cr_expect_not(config->privileges.chroot);
    config_free(config);
}

/* The names of an element's keys stand in the commented examples. */
static bool stands_in_an_example(const char *text, const struct key *key)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s: ", strrchr(key->name, '.') + 1);
    for (const char *line = strstr(text, "\n  # - {type: "); line != NULL; line = strstr(line + 1, "\n  # - {type: ")) {
        const char *found = strstr(line, name);
        if (found != NULL && found < strchr(line + 1, '\n'))
            return true;
    }
    return false;
}

Test(config_shipped, holds_every_key_of_the_schema)
{
    size_t length;
    char *text = load("tracker.yaml", &length);
    struct config *config = read_shipped();
    for (size_t i = 0; i < schema_size; i++) {
        bool there = is_in_element(&schema[i]) ? stands_in_an_example(text, &schema[i]) : config->lines[i] != 0;
        cr_expect(there, "%s is not in tracker.yaml", schema[i].name);
    }
    config_free(config);
    free(text);
}

Test(config_shipped, tells_something_about_every_key)
{
    size_t length;
    char *text = load("tracker.yaml", &length);
    size_t number = 0;
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        size_t end = strlen(line);
        bool section = end > 0 && line[end - 1] == ':';
        bool element = strstr(line, "- {") != NULL;
        number++;
        if (end > 0 && !section && !element)
            cr_expect_not_null(strstr(line, "# "), "line %zu has no comment: %s", number, line);
    }
    free(text);
}

Test(config_shipped, examples_in_comments_are_good)
{
    size_t length;
    char *text = load("tracker.yaml", &length);
    for (char *example = strstr(text, "\n  # - {"); example != NULL; example = strstr(example, "\n  # - {"))
        memcpy(example, "\n    - {", strlen("\n    - {"));
    struct config *config = parse_good(text);
    cr_expect_eq(config->deltas.sink_count, 3);
    config_free(config);
    free(text);
}

/* The documentation's row of the key; NULL where there is none. */
static const char *find_row(const char *text, const char *name)
{
    char start[100];
    (void)snprintf(start, sizeof start, "\n| `%s` |", name);
    const char *row = strstr(text, start);
    return row == NULL ? NULL : row + 1;
}

Test(config_shipped, documentation_has_every_key_with_its_default_and_whether_sighup_takes_it)
{
    size_t length;
    char *text = load("docs/configuration.md", &length);
    for (size_t i = 0; i < schema_size; i++) {
        const struct key *key = &schema[i];
        if (key->type == NULL)
            continue;
        const char *row = find_row(text, key->name);
        cr_assert_not_null(row, "%s is not in docs/configuration.md", key->name);
        char line[1000];
        char standard[200];
        (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(row, "\n"), row);
        bool fixed = key->fixed || is_in_element(key);
        cr_expect_not_null(strstr(line, fixed ? "| restart |" : "| yes |"), "SIGHUP: %s", line);
        bool quoted = key->standard != NULL && key->standard[0] == '\0';
        if (key->standard == NULL)
            (void)snprintf(standard, sizeof standard, "| must be written |");
        else
            (void)snprintf(standard, sizeof standard, "| `%s`", quoted ? "\"\"" : key->standard);
        cr_expect_not_null(strstr(line, standard), "default %s: %s", standard, line);
    }
    free(text);
}

static void discard(void *context, const char *message)
{
    cr_assert_null(strchr(message, '\n'));
    ++*(size_t *)context;
}

/* Parsed from a block of exactly that size, so that a sanitizer sees any read beyond it. */
static void survive(const char *text, size_t length)
{
    size_t faults = 0;
    char *exact = malloc(length == 0 ? 1 : length);
    memcpy(exact, text, length);
    struct config *config = config_parse("t.yaml", exact, length, discard, &faults);
    cr_assert_eq(config == NULL, faults > 0);
    config_free(config);
    free(exact);
}

Test(config_shipped, cut_at_any_byte_does_no_harm, .timeout = 120)
{
    size_t length;
    char *text = load("tracker.yaml", &length);
    for (size_t cut = 0; cut <= length; cut++)
        survive(text, cut);
    free(text);
}

Test(config_shipped, mangled_at_random_does_no_harm, .timeout = 120)
{
    static const char marks[] = ":-[]{}#&*!|>'\"%@`,? \t\n\r\0\xff\xc3~0a";
    size_t length;
    char *text = load("tracker.yaml", &length);
    char *copy = malloc(length);
    uint64_t state = 88172645463325252;
    for (size_t round = 0; round < 3000; round++) {
        memcpy(copy, text, length);
        size_t end = length;
        for (size_t change = 0; change <= round % 5; change++) {
            state ^= state << 13; /* xorshift: the same changes every time */
            state ^= state >> 7;
            state ^= state << 17;
            copy[state % end] = marks[(state >> 32) % (sizeof marks - 1)];
            if ((state >> 48) % 16 == 0)
                end = state % end + 1;
        }
        survive(copy, end);
    }
    free(copy);
    free(text);
}
