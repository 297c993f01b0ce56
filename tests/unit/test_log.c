/* Tests of the log: its lines, its files, and what of it is kept. */
#include "base/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 65536 };

static char file_name[] = "/tmp/privtrak-log-XXXXXX";
static char content[READ_BYTES];

static void open_log(void)
{
    int fd = mkstemp(file_name);
    cr_assert_geq(fd, 0);
    (void)close(fd);
    cr_assert_eq(log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, file_name, NULL), 0);
}

static void remove_log(void)
{
    (void)unlink(file_name);
}

TestSuite(log, .init = open_log, .fini = remove_log);

static const char *read_file(const char *name)
{
    FILE *file = fopen(name, "re");
    cr_assert_not_null(file, "%s", name);
    size_t length = fread(content, 1, READ_BYTES - 1, file);
    content[length] = '\0';
    (void)fclose(file);
    return content;
}

/* What follows the time in the only line of the file. */
static const char *only_line(void)
{
    const char *text = read_file(file_name);
    size_t length = strlen(text);
    cr_assert_gt(length, 25);
    cr_assert_eq(strchr(text, '\n'), text + length - 1, "one line: %s", text);
    content[length - 1] = '\0';
    return text + 25;
}

static void configure(enum log_level level, enum log_format format)
{
    cr_assert_eq(log_configure(level, format, file_name, NULL), 0);
}

Test(log, text_has_time_level_thread_subject_and_message)
{
    (void)pthread_setname_np(pthread_self(), "worker-7");
    log_info("http", "listening address=%s", "0.0.0.0:6969");
    cr_expect_str_eq(only_line(), "info worker-7 http: listening address=0.0.0.0:6969");
}

Test(log, times_are_utc)
{
    time_t before = time(NULL);
    cr_assert_eq(setenv("TZ", "America/New_York", 1), 0);
    tzset();
    log_info("x", "y");
    struct tm utc = {0};
    const char *text = read_file(file_name);
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);
    cr_assert_not_null(rest, "%s", text);
    cr_expect_eq(rest[0], '.');
    cr_expect_eq(rest[4], 'Z');
    time_t written = timegm(&utc);
    cr_expect(written >= before && written <= time(NULL));
}

Test(log, lines_below_the_level_are_dropped)
{
    configure(LOG_LEVEL_WARNING, LOG_FORMAT_TEXT);
    cr_expect(log_wants(LOG_LEVEL_ERROR));
    cr_expect(log_wants(LOG_LEVEL_WARNING));
    cr_expect_not(log_wants(LOG_LEVEL_INFO));
    log_debug("a", "1");
    log_info("a", "2");
    log_warning("a", "3");
    cr_expect_not_null(strstr(only_line(), "a: 3"));
}

Test(log, messages_stay_on_one_line)
{
    log_warning("x", "a\nb\tc\r\x1b[2J\x7f");
    cr_expect_not_null(strstr(only_line(), "x: a\\x0ab\\x09c\\x0d\\x1b[2J\\x7f"));
}

Test(log, utf8_is_kept_and_other_bytes_are_shown)
{
    log_warning("x", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8c\x8d \xff \xc0\xaf \xed\xa0\x80 \xe2\x82 \xf4\x90\x80\x80");
    cr_expect_not_null(strstr(only_line(), "x: \xc3\xa9 \xe2\x82\xac \xf0\x9f\x8c\x8d \\xff \\xc0\\xaf \\xed\\xa0\\x80 "
                                           "\\xe2\\x82 \\xf4\\x90\\x80\\x80"));
}

Test(log, json_lines_are_json)
{
    configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    (void)pthread_setname_np(pthread_self(), "a\"b");
    log_error("sink", "said \"no\" \\ \n\x01\xff \xc3\xa9");
    json_error_t reason;
    json_t *line = json_loads(read_file(file_name), 0, &reason);
    cr_assert_not_null(line, "%s: %s", reason.text, content);
    cr_expect_eq(json_object_size(line), 5);
    cr_expect_str_eq(json_string_value(json_object_get(line, "level")), "error");
    cr_expect_str_eq(json_string_value(json_object_get(line, "thread")), "a\"b");
    cr_expect_str_eq(json_string_value(json_object_get(line, "subject")), "sink");
    cr_expect_str_eq(json_string_value(json_object_get(line, "message")), "said \"no\" \\ \n\x01\xc3\xbf \xc3\xa9");
    cr_expect_eq(strlen(json_string_value(json_object_get(line, "time"))), 24);
    json_decref(line);
}

Test(log, long_messages_are_cut_and_still_json)
{
    configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    char text[5000];
    memset(text, '\x01', sizeof text);
    text[sizeof text - 1] = '\0';
    log_info("x", "%s", text);
    json_t *line = json_loads(read_file(file_name), 0, NULL);
    cr_assert_not_null(line);
    cr_expect_eq(json_string_length(json_object_get(line, "message")), 2047);
    json_decref(line);
}

Test(log, errno_survives)
{
    errno = EINTR;
    log_info("x", "y");
    cr_expect_eq(errno, EINTR);
}

Test(log, reopen_follows_a_file_that_was_moved_away)
{
    char moved[sizeof file_name + 2];
    (void)snprintf(moved, sizeof moved, "%s.1", file_name);
    log_info("x", "before");
    cr_assert_eq(rename(file_name, moved), 0);
    log_info("x", "between");
    log_reopen();
    log_info("x", "after");
    cr_expect_not_null(strstr(only_line(), "x: after"));
    cr_expect_not_null(strstr(read_file(moved), "x: between\n"));
    (void)unlink(moved);
}

Test(log, reopen_that_fails_goes_on_with_the_old_file)
{
    char moved[sizeof file_name + 2];
    (void)snprintf(moved, sizeof moved, "%s.1", file_name);
    cr_assert_eq(rename(file_name, moved), 0);
    cr_assert_eq(mkdir(file_name, 0700), 0);
    log_reopen();
    log_info("x", "after");
    cr_expect_not_null(strstr(read_file(moved), "cannot be reopened"));
    cr_expect_not_null(strstr(content, "x: after\n"));
    (void)rmdir(file_name);
    (void)unlink(moved);
}

Test(log, a_file_that_cannot_be_opened_leaves_the_old_settings)
{
    struct error error;
    cr_expect_eq(log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON, "/nowhere/log", &error), -1);
    cr_expect_str_eq(error.text, "log file /nowhere/log cannot be opened: No such file or directory");
    cr_expect_not(log_wants(LOG_LEVEL_DEBUG));
    log_info("x", "still here");
    cr_expect_not_null(strstr(only_line(), "x: still here"));
}

Test(log, goes_back_to_stderr)
{
    char other[] = "/tmp/privtrak-stderr-XXXXXX";
    int fd = mkstemp(other);
    cr_assert_geq(fd, 0);
    cr_assert_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    (void)close(fd);
    cr_assert_eq(log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, "", NULL), 0);
    log_info("x", "to stderr");
    log_reopen();
    cr_expect_not_null(strstr(read_file(other), "x: to stderr\n"));
    cr_expect_str_eq(read_file(file_name), "");
    (void)unlink(other);
}

Test(log, appends_to_what_is_there)
{
    log_info("x", "one");
    configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_info("x", "two");
    const char *text = read_file(file_name);
    cr_expect_not_null(strstr(text, "x: one\n"));
    cr_expect_not_null(strstr(text, "x: two\n"));
}

Test(log, errors_and_warnings_are_kept_newest_first)
{
    static char lines[LOG_KEPT_LINES + 10][LOG_LINE_BYTES];
    cr_expect_eq(log_recent(lines, LOG_KEPT_LINES), 0);
    log_info("x", "an info is not kept");
    log_warning("x", "first");
    log_error("x", "second");
    cr_assert_eq(log_recent(lines, LOG_KEPT_LINES), 2);
    cr_expect_not_null(strstr(lines[0], "error "));
    cr_expect_not_null(strstr(lines[0], "x: second"));
    cr_expect_not_null(strstr(lines[1], "x: first"));
    cr_expect_null(strchr(lines[0], '\n'));
    for (int i = 0; i < 2 * LOG_KEPT_LINES; i++)
        log_warning("x", "number %d.", i);
    cr_expect_eq(log_recent(lines, 1), 1);
    cr_assert_eq(log_recent(lines, LOG_KEPT_LINES + 10), LOG_KEPT_LINES);
    cr_expect_not_null(strstr(lines[0], "number 99."));
    cr_expect_not_null(strstr(lines[LOG_KEPT_LINES - 1], "number 50."));
}

Test(log, kept_lines_are_cut_to_their_room)
{
    static char lines[1][LOG_LINE_BYTES];
    char text[2000];
    memset(text, 'y', sizeof text);
    text[sizeof text - 1] = '\0';
    log_error("x", "%s", text);
    cr_assert_eq(log_recent(lines, 1), 1);
    cr_expect_eq(strlen(lines[0]), LOG_LINE_BYTES - 1);
}

static void *write_many(void *context)
{
    (void)context;
    for (int i = 0; i < 500; i++) {
        log_warning("thread", "a line that must not mix with any other line at all");
        if (i % 50 == 0)
            log_reopen();
    }
    return NULL;
}

Test(log, lines_of_threads_do_not_mix)
{
    enum { THREADS = 4 };
    static char text[THREADS * 500 * 120];
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, write_many, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    FILE *file = fopen(file_name, "re");
    size_t count = 0;
    while (fgets(text, sizeof text, file) != NULL) {
        const char *end = strstr(text, " thread: a line that must not mix with any other line at all\n");
        cr_assert(end != NULL && strchr(end, '\n')[1] == '\0', "%s", text);
        count++;
    }
    (void)fclose(file);
    cr_expect_eq(count, THREADS * 500);
}

Test(log, limited_lines_come_once_a_second)
{
    for (int i = 0; i < 1000; i++)
        LOG_LIMITED(LOG_LEVEL_WARNING, "x", "number %d", i);
    cr_expect_not_null(strstr(read_file(file_name), "x: number 0\n"));
    size_t lines = 0;
    for (const char *at = content; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    cr_expect_leq(lines, 2, "the second may have turned once");
}

static const char *safe(size_t size, const char *bytes, size_t length)
{
    static char buffer[100];
    memset(buffer, 'z', sizeof buffer);
    (void)log_safe(buffer, size, bytes, length);
    cr_expect_eq(buffer[size], 'z', "nothing is written beyond the buffer");
    return buffer;
}

Test(log, safe_shows_bytes_from_outside)
{
    cr_expect_str_eq(safe(50, "-qB4630-", 8), "-qB4630-");
    cr_expect_str_eq(safe(50, "a b\n\"\\\0\xff", 8), "a\\x20b\\x0a\\x22\\x5c\\x00\\xff");
    cr_expect_str_eq(safe(50, "", 0), "");
}

Test(log, safe_cuts_what_does_not_fit)
{
    cr_expect_str_eq(safe(8, "1234567", 7), "1234567");
    cr_expect_str_eq(safe(8, "12345678", 8), "1234...");
    cr_expect_str_eq(safe(8, "123\n", 4), "123\\x0a");
    cr_expect_str_eq(safe(8, "\n\n", 2), "\\x0a...");
    cr_expect_str_eq(safe(9, "1\n\n", 3), "1\\x0a...");
    cr_expect_str_eq(safe(8, "12345\n", 6), "1234...");
    for (size_t size = 8; size < 40; size++) {
        const char *text = safe(size, "ab\ncd\n\n\nefghijklmnop\n", 21);
        cr_expect_lt(strlen(text), size);
    }
}
