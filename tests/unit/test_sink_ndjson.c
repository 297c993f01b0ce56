/* The sink that writes lines of JSON into a file. */
#include <signal.h>
#include <sys/resource.h>

#include "sink_maker.h"

static void begin(void)
{
    fix_begin(&sink_ndjson_type);
    if (asprintf(&fix.settings.path, "%s/deltas.ndjson", fix.config.tracker.state_dir) < 0)
        abort();
    fix.settings.rotate_bytes = 100 << 20;
}

TestSuite(sink_ndjson, .init = begin, .fini = fix_end, .timeout = 120);

/* How many lines the file has, all of which must be whole deltas that go on with `first`. */
static uint64_t count_lines(const char *path, uint64_t first)
{
    char *text = fix_read(path);
    uint64_t count = 0;
    cr_assert_not_null(text);
    for (char *line = text; *line != '\0'; count++) {
        char expected[40];
        char *end = strchr(line, '\n');
        cr_assert_not_null(end, "a line without an end");
        snprintf(expected, sizeof(expected), "{\"seq\":%lu,", first + count);
        cr_assert_eq(strncmp(line, expected, strlen(expected)), 0, "line %lu is %.40s", count, line);
        cr_assert_eq(end[-1], '}');
        line = end + 1;
    }
    free(text);
    return count;
}

Test(sink_ndjson, each_delta_is_a_line_in_order)
{
    fix_open();
    cr_assert_eq(fix_position(), 0);
    cr_assert_eq(fix_deliver(1, 700), SINK_TAKEN);
    cr_assert_eq(fix_deliver(701, 1000), SINK_TAKEN);
    cr_assert_eq(count_lines(fix.settings.path, 1), 1000);
    cr_assert_eq(fix_position(), 1000);
}

Test(sink_ndjson, the_position_is_found_in_the_file_again)
{
    fix_open();
    fix_deliver(1, 50);
    fix_close();
    unlink(fix_path("position-ndjson"));
    fix_open();
    cr_assert_eq(fix_position(), 50);
    fix_deliver(51, 60);
    cr_assert_eq(count_lines(fix.settings.path, 1), 60);
}

Test(sink_ndjson, what_was_taken_is_passed_over)
{
    fix_open();
    fix_deliver(1, 50);
    cr_assert_eq(fix_deliver(41, 60), SINK_TAKEN);
    cr_assert_eq(fix_deliver(1, 60), SINK_TAKEN);
    cr_assert_eq(count_lines(fix.settings.path, 1), 60);
}

Test(sink_ndjson, a_line_torn_at_any_byte_is_cut_off)
{
    fix_open();
    fix_deliver(1, 3);
    fix_close();
    char *text = fix_read(fix.settings.path);
    size_t size = strlen(text);
    size_t last = size - strlen(strchr(strchr(text, '\n') + 1, '\n') + 1);
    /* Each byte of the last line, and some of those before: each cut waits for the disk, which may be slow. */
    for (size_t cut = 0; cut < size; cut += cut < last ? 13 : 1) {
        unlink(fix_path("position-ndjson"));
        int fd = open(fix.settings.path, O_WRONLY | O_TRUNC);
        cr_assert_eq(write(fd, text, cut), (ssize_t)cut);
        close(fd);
        fix_open();
        uint64_t position = fix_position();
        cr_assert_lt(position, 4);
        cr_assert_eq(fix_deliver(position + 1, 4), SINK_TAKEN);
        cr_assert_eq(count_lines(fix.settings.path, 1), 4);
        fix_close();
    }
    free(text);
}

Test(sink_ndjson, a_file_of_something_else_stops_the_start)
{
    int fd = open(fix.settings.path, O_WRONLY | O_CREAT, 0600);
    cr_assert_eq(write(fd, "hello\n", 6), 6);
    close(fd);
    cr_assert(!fix_try_open());
    cr_assert_neq(strstr(fix.error.text, "no delta"), NULL, "%s", fix.error.text);
}

Test(sink_ndjson, a_folder_that_is_not_there_stops_the_start)
{
    free(fix.settings.path);
    fix.settings.path = strdup("/nowhere/at/all.ndjson");
    cr_assert(!fix_try_open());
    cr_assert_neq(strstr(fix.error.text, "/nowhere"), NULL, "%s", fix.error.text);
}

Test(sink_ndjson, a_file_that_has_its_size_is_kept_under_a_number)
{
    char name[4096];
    fix.settings.rotate_bytes = 20000;
    fix_open();
    for (uint64_t i = 0; i < 30; i++)
        cr_assert_eq(fix_deliver(1 + 10 * i, 10 + 10 * i), SINK_TAKEN);
    uint64_t next = 1;
    int files = 0;
    for (;; files++) {
        struct stat status;
        snprintf(name, sizeof(name), "%s.%d", fix.settings.path, files + 1);
        if (stat(name, &status) != 0)
            break;
        cr_assert_geq(status.st_size, 20000);
        cr_assert_lt(status.st_size, 30000);
        next += count_lines(name, next);
    }
    cr_assert_gt(files, 3);
    next += count_lines(fix.settings.path, next);
    cr_assert_eq(next, 301);
}

Test(sink_ndjson, the_newest_numbered_file_tells_the_position_where_the_current_is_empty)
{
    char name[4096];
    fix_open();
    fix_deliver(1, 20);
    fix_close();
    unlink(fix_path("position-ndjson"));
    snprintf(name, sizeof(name), "%s.9", fix.settings.path);
    rename(fix.settings.path, name);
    snprintf(name, sizeof(name), "%s.10", fix.settings.path);
    fix_open();
    cr_assert_eq(fix_position(), 20);
    fix_close();
}

Test(sink_ndjson, the_position_outlives_a_file_that_was_taken_away)
{
    fix_open();
    fix_deliver(1, 20);
    fix_close();
    unlink(fix.settings.path);
    fix_open();
    cr_assert_eq(fix_position(), 20);
}

Test(sink_ndjson, a_file_moved_away_while_it_runs_is_begun_anew)
{
    char name[4096];
    fix_open();
    fix_deliver(1, 20);
    snprintf(name, sizeof(name), "%s.old", fix.settings.path);
    rename(fix.settings.path, name);
    cr_assert_eq(fix_deliver(21, 30), SINK_TAKEN);
    cr_assert_eq(count_lines(name, 1), 20);
    cr_assert_eq(count_lines(fix.settings.path, 21), 10);
}

Test(sink_ndjson, addresses_are_left_out_as_configured)
{
    fix.config.deltas.include_address = false;
    fix_open();
    fix_deliver(1, 1);
    char *text = fix_read(fix.settings.path);
    cr_assert_eq(strstr(text, "\"ip\""), NULL);
    cr_assert_eq(strstr(text, "peer_id"), NULL);
    free(text);
    fix.type->set_include_address(fix.sink, true);
    fix_deliver(2, 2);
    text = fix_read(fix.settings.path);
    cr_assert_neq(strstr(text, "\"ip\""), NULL);
    free(text);
}

Test(sink_ndjson, a_full_disk_keeps_no_part_of_a_batch)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    fix_open();
    cr_assert_eq(fix_deliver(1, 100), SINK_TAKEN);
    getrlimit(RLIMIT_FSIZE, &limit);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 60000;
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_assert_eq(fix_deliver(101, 300), SINK_RETRY);
    cr_assert_neq(strstr(fix.error.text, "deltas.ndjson"), NULL);
    cr_assert_eq(fix_position(), 100);
    cr_assert_eq(count_lines(fix.settings.path, 1), 100);
    limit.rlim_cur = before;
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_assert_eq(fix_deliver(101, 300), SINK_TAKEN);
    cr_assert_eq(count_lines(fix.settings.path, 1), 300);
}

Test(sink_ndjson, a_parked_record_is_set_aside_with_its_reason)
{
    fix_open();
    fix_deliver(1, 5);
    fix_make(6, 6);
    cr_assert_eq(fix.type->park(fix.sink, &fix.deltas[0], "a \"bad\" row\n", &fix.error), SINK_TAKEN);
    cr_assert_eq(fix_position(), 6);
    char *text = fix_read(fix_path("parked-ndjson.ndjson"));
    cr_assert_eq(strncmp(text, "{\"seq\":6,\"reason\":\"a \\\"bad\\\" row?\",\"record\":{\"seq\":6,", 50), 0, "%s",
                 text);
    free(text);
    fix_close();
    fix_open();
    cr_assert_eq(fix_position(), 6);
}
