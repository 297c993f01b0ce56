/* Tests of how the configuration takes YAML as such: forms, lines, unknown keys, keys twice, and what is no YAML. */
#include "config_text.h"

#include <stdlib.h>
#include <unistd.h>

Test(config_document, nothing_written_is_all_defaults)
{
    static const char *const texts[] = {
        "",    "\n\n",       "# a comment\n",          "---\n",           "---\n...\n", "{}",
        "~\n", "tracker:\n", "tracker: {}\nhttp: ~\n", "%YAML 1.1\n---\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct config *config = parse_good(texts[i]);
        cr_expect_eq(config->tracker.announce_interval_s, 1800, "%s", texts[i]);
        cr_expect_eq(config->http.listen.count, 2, "%s", texts[i]);
        cr_expect(config->http.listen.by_default);
        cr_expect(config->http.max_connections_by_default);
        config_free(config);
    }
}

Test(config_document, block_style_and_flow_style_say_the_same)
{
    struct config *flow = parse_good("{middleware: {limits: {ports_denied: [1, 2]}}, log: {level: debug}}");
    struct config *block =
        parse_good("middleware:\n  limits:\n    ports_denied:\n    - 1\n    - 2\nlog:\n  level: debug\n");
    cr_expect_eq(flow->middleware.port_denied_count, 2);
    cr_expect_eq(block->middleware.port_denied_count, 2);
    cr_expect_eq(block->middleware.ports_denied[1], flow->middleware.ports_denied[1]);
    cr_expect_eq(block->log.level, flow->log.level);
    config_free(flow);
    config_free(block);
}

Test(config_document, crlf_and_a_byte_order_mark_are_taken)
{
    struct config *config = parse_good("\xef\xbb\xbftracker:\r\n  workers: 3\r\n");
    cr_expect_eq(config->tracker.workers, 3);
    config_free(config);
}

Test(config_document, unknown_keys_are_told_with_those_that_there_are)
{
    expect_fault("log: {levle: info}", "t.yaml:1: log.levle: found an unknown key, allowed level, format or file");
    expect_fault("udp:\n  listen: []\n  sync: 1\n",
                 "t.yaml:3: udp.sync: found an unknown key, allowed listen, connection_lifetime or scrape");
    expect_fault("tracker.workers: 4", "t.yaml:1: tracker.workers: found an unknown key, allowed tracker, http, udp, "
                                       "middleware, database, deltas, admin, log or privileges");
    expect_fault("http: {tls: {cert: x}}",
                 "t.yaml:1: http.tls.cert: found an unknown key, allowed listen, certificate or key");
    expect_fault_start("Log: {level: info}", "t.yaml:1: Log: found an unknown key");
    expect_fault_start("? ''\n: 1\n", "t.yaml:1: \"\": found an unknown key");
    expect_fault_start("\"a\\nb\\e[2J\": 1", "t.yaml:1: a\\x0ab\\x1b[2J: found an unknown key");
}

Test(config_document, keys_given_twice_are_told_with_both_lines)
{
    expect_fault("log:\n  level: info\n  file: ''\n  level: info\n",
                 "t.yaml:4: log.level: found a second time, allowed once (line 2 has it)");
    expect_fault("log: {}\nudp: {}\nlog: {level: info}\n",
                 "t.yaml:3: log: found a second time, allowed once (line 1 has it)");
    expect_fault("log: {level: info, 'level': debug}",
                 "t.yaml:1: log.level: found a second time, allowed once (line 1 has it)");
}

Test(config_document, wrong_kinds_are_told)
{
    expect_fault("log: [level]", "t.yaml:1: log: found a list, allowed a section of keys");
    expect_fault("log: none", "t.yaml:1: log: found none, allowed a section of keys");
    expect_fault("http:\n  tls: true\n", "t.yaml:2: http.tls: found true, allowed a section of keys");
    expect_fault("log: {level: [info]}", "t.yaml:1: log.level: found a list, allowed error, warning, info or debug");
    expect_fault("log: {level: {info: 1}}",
                 "t.yaml:1: log.level: found a section, allowed error, warning, info or debug");
    expect_fault("log: {file: []}", "t.yaml:1: log.file: found a list, allowed a text, \"\" for none");
    expect_fault("- log", "t.yaml:1: found a list, allowed sections such as tracker: or http:");
    expect_fault("\nprivtrak\n", "t.yaml:2: found privtrak, allowed sections such as tracker: or http:");
}

Test(config_document, text_that_is_no_yaml_has_a_line_and_no_key)
{
    expect_fault_start("tracker: {workers: 2\nlog: {}\n", "t.yaml:2: found text that is no YAML (");
    expect_fault_start("tracker:\n\tworkers: 2\n", "t.yaml:2: found text that is no YAML (");
    expect_fault_start("tracker:\n  workers: 2\n   state_dir: x\n", "t.yaml:3: found text that is no YAML (");
    expect_fault_start("a: 'b\n", "t.yaml:2: found text that is no YAML (");
    expect_fault_start("log: {}\n\n\xff\xfe\n", "t.yaml:3: found text that is no YAML (");
    expect_fault_start("log: \x01\n", "t.yaml:1: found text that is no YAML (");
    expect_fault_start("\n%FOO\n--- {}\n", "t.yaml:2: found text that is no YAML (");
    expect_fault_start("log: @x\n", "t.yaml:1: found text that is no YAML (");
}

Test(config_document, what_a_configuration_does_not_need_is_refused)
{
    expect_fault("log: &a {level: info}\n",
                 "t.yaml:1: found an anchor, allowed YAML without anchors, aliases and tags");
    expect_fault("log: {level: &a info}\n",
                 "t.yaml:1: found an anchor, allowed YAML without anchors, aliases and tags");
    expect_fault("udp: {}\nlog: *a\n", "t.yaml:2: found an alias, allowed YAML without anchors, aliases and tags");
    expect_fault("udp: {}\nlog: {<<: *a}\n",
                 "t.yaml:2: found an alias, allowed YAML without anchors, aliases and tags");
    expect_fault("log: {level: !!str info}\n", "t.yaml:1: found a tag, allowed YAML without anchors, aliases and tags");
    expect_fault("log: !x [a]\n", "t.yaml:1: found a tag, allowed YAML without anchors, aliases and tags");
    expect_fault("log: {}\n---\nlog: {}\n", "t.yaml:2: found a second document, allowed one");
    expect_fault("? [a, b]\n: c\n", "t.yaml:1: found a list as a key, allowed a name");
    expect_fault("? {a: b}\n: c\n", "t.yaml:1: found a section as a key, allowed a name");
    expect_fault("log:\n  file: \"a\\0b\"\n", "t.yaml:2: found a zero byte in a text, allowed none");
}

Test(config_document, a_zero_byte_in_the_file_is_no_yaml)
{
    struct told told = {0};
    static const char text[] = "log: {}\nudp:\0 {}\n";
    cr_expect_null(config_parse("t.yaml", text, sizeof text - 1, tell, &told));
    cr_expect_eq(told.count, 1);
    cr_expect_eq(strncmp(told.lines[0], "t.yaml:2: found text that is no YAML", 36), 0, "%s", told.lines[0]);
}

static void expect_bounded(char *text, size_t length, const char *fault)
{
    struct told told = {0};
    cr_expect_null(config_parse("t.yaml", text, length, tell, &told));
    cr_expect_eq(told.count, 1);
    cr_expect_str_eq(told.lines[0], fault);
    free(text);
}

Test(config_document, nesting_and_size_are_bounded, .timeout = 20)
{
    size_t length = 1000000;
    char *text = malloc(length);
    memset(text, '[', length);
    expect_bounded(text, length, "t.yaml:1: found more than 16 levels, allowed fewer");

    text = malloc(length);
    for (size_t i = 0; i + 2 <= length; i += 2)
        memcpy(text + i, "- ", 2);
    expect_bounded(text, length, "t.yaml:1: found more than 16 levels, allowed fewer");

    text = malloc(length);
    for (size_t i = 0; i + 4 <= length; i += 4)
        memcpy(text + i, "- a\n", 4);
    expect_bounded(text, length, "t.yaml:100000: found more than 100000 values, allowed fewer");

    length = 1024 * 1024 + 1;
    text = malloc(length);
    memset(text, '#', length);
    expect_bounded(text, length, "t.yaml:1: found more than 1048576 bytes, allowed a smaller file");
}

Test(config_document, a_file_with_a_great_many_faults_tells_them_all, .timeout = 20)
{
    enum { LINES = 40000 };
    char *text = malloc(LINES * 8);
    for (size_t i = 0; i < LINES; i++)
        memcpy(text + 8 * i, "abc: 12\n", 8);
    struct told told = {0};
    cr_expect_null(config_parse("t.yaml", text, LINES * 8, tell, &told));
    cr_expect_eq(told.count, LINES);
    free(text);
}

Test(config_document, faults_come_in_the_order_of_the_file)
{
    struct told told;
    struct config *config = parse_as("a/t.yaml",
                                     "tracker:\n"                        /* 1 */
                                     "  max_numwant: 10\n"               /* 2: below the default of default_numwant */
                                     "  workers: none\n"                 /* 3 */
                                     "middleware:\n"                     /* 4 */
                                     "  privtrak: {seed_time_gap: 2m}\n" /* 5 */
                                     "  nothing: 1\n"                    /* 6 */
                                     "udp: {scrape: yes}\n"              /* 7 */
                                     "http:\n"                           /* 8 */
                                     "  tls:\n"                          /* 9 */
                                     "    listen: ['0.0.0.0:443']\n"     /* 10 */
                                     "  keepalive: no\n",                /* 11 */
                                     &told);
    static const char *const starts[] = {
        "a/t.yaml:2: tracker.default_numwant: ",
        "a/t.yaml:3: tracker.workers: ",
        "a/t.yaml:5: middleware.privtrak.seed_time_gap: ",
        "a/t.yaml:6: middleware.nothing: ",
        "a/t.yaml:7: udp.scrape: ",
        "a/t.yaml:10: http.tls.certificate: ",
        "a/t.yaml:10: http.tls.key: ",
        "a/t.yaml:11: http.keepalive: ",
    };
    cr_expect_null(config);
    cr_assert_eq(told.count, sizeof starts / sizeof *starts);
    for (size_t i = 0; i < told.count; i++)
        cr_expect_eq(strncmp(told.lines[i], starts[i], strlen(starts[i])), 0, "%s", told.lines[i]);
}

Test(config_document, long_and_strange_values_stay_one_short_line)
{
    char text[4000];
    char value[2001];
    memset(value, 'x', 2000);
    value[2000] = '\0';
    (void)snprintf(text, sizeof text, "log: {level: \"\\n%s\"}", value);
    struct told told;
    cr_expect_null(parse_as("t.yaml", text, &told));
    cr_assert_eq(told.count, 1);
    cr_expect_null(strchr(told.lines[0], '\n'));
    cr_expect_lt(strlen(told.lines[0]), 250);
    cr_expect_not_null(strstr(told.lines[0], "found \\x0axxxx"));

    (void)snprintf(text, sizeof text, "log: {%s: 1}", value);
    cr_expect_null(parse_as("t.yaml", text, &told));
    cr_assert_eq(told.count, 1);
    cr_expect_lt(strlen(told.lines[0]), 250);
}

Test(config_document, missing_and_unreadable_files_say_so)
{
    struct told told = {0};
    cr_expect_null(config_read("/nowhere/tracker.yaml", tell, &told));
    cr_expect_eq(told.count, 1);
    cr_expect_str_eq(told.lines[0], "/nowhere/tracker.yaml: cannot be read: No such file or directory");
    told.count = 0;
    cr_expect_null(config_read("/", tell, &told));
    cr_expect_eq(told.count, 1);
    cr_expect_str_eq(told.lines[0], "/: cannot be read: Is a directory");
}

Test(config_document, a_file_is_read_whole_and_its_name_kept)
{
    char name[] = "/tmp/privtrak-config-XXXXXX";
    int fd = mkstemp(name);
    static const char text[] = "tracker: {workers: 7}\n";
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
    struct told told = {0};
    struct config *config = config_read(name, tell, &told);
    cr_assert_not_null(config);
    cr_expect_eq(config->tracker.workers, 7);
    cr_expect_str_eq(config->file, name);
    cr_expect_str_eq(config->tracker.state_dir, "/tmp/var");
    config_free(config);

    cr_assert_eq(truncate(name, 2 * 1024 * 1024), 0);
    cr_expect_null(config_read(name, tell, &told));
    cr_expect_eq(told.count, 1);
    cr_expect_not_null(strstr(told.lines[0], ":1: found more than 1048576 bytes"), "%s", told.lines[0]);
    (void)unlink(name);
}
