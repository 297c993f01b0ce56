/* The journal on a disk that works: round trips, trimming, bounds, and what stops a start. */
#include <signal.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <xxhash.h>

#include "deltas/segment.h"
#include "journal_maker.h"

TestSuite(journal, .init = fix_begin, .fini = fix_end, .timeout = 60);

Test(journal, what_was_synced_is_there_after_a_restart)
{
    fix_open();
    for (int i = 0; i < 100; i++)
        fix_append(37);
    fix_settle();
    cr_assert_eq(journal_synced_seq(fix.journal), 3700);
    fix_expect(1, 3700);
    fix_close();
    fix_open();
    cr_assert_eq(journal_last_seq(fix.journal), 3700);
    fix_expect(1, 3700);
    fix_expect(3000, 3700);
}

Test(journal, numbers_and_records_go_on_over_many_restarts)
{
    for (int i = 0; i < 20; i++) {
        fix_open();
        cr_assert_eq(journal_last_seq(fix.journal), (uint64_t)i * 10);
        fix_append(10);
        fix_settle();
        fix_close();
    }
    fix_open();
    fix_expect(1, 200);
}

Test(journal, a_start_without_a_record_leaves_no_second_file)
{
    char instance[40];
    fix_open();
    snprintf(instance, sizeof(instance), "%s", journal_instance(fix.journal));
    fix_close();
    for (int i = 0; i < 3; i++) {
        fix_open();
        cr_assert_str_eq(journal_instance(fix.journal), instance);
        fix_close();
    }
    cr_assert_eq(fix_segment_count(), 1);
}

Test(journal, an_empty_segment_gives_way_to_the_first_record)
{
    fix_open();
    fix_append(1);
    fix_settle();
    fix_close();
    fix_open();
    cr_assert_eq(fix_segment_count(), 1);
    fix_expect(1, 1);
}

Test(journal, a_reader_follows_while_records_are_appended)
{
    fix_open();
    struct journal_reader *reader = journal_reader_new(fix.journal, &fix.error);
    struct delta deltas[8];
    uint64_t expected = 1;
    for (int i = 0; i < 300; i++) {
        fix_append(1 + (size_t)i % 5);
        fix_write();
        if (i % 3 == 0)
            fix_settle();
        size_t count;
        cr_assert_eq(journal_reader_read(reader, deltas, 8, journal_synced_seq(fix.journal), &count, &fix.error), 0,
                     "%s", fix.error.text);
        for (size_t k = 0; k < count; k++)
            cr_assert_eq(deltas[k].seq, expected++);
    }
    cr_assert_gt(expected, 500);
    journal_reader_free(reader);
}

Test(journal, a_reader_goes_back_and_forth)
{
    fix.max_bytes = 1 << 20;
    fix_open();
    for (int i = 0; i < 50; i++) {
        fix_append(40);
        fix_settle();
    }
    cr_assert_gt(fix_segment_count(), 3);
    struct journal_reader *reader = journal_reader_new(fix.journal, &fix.error);
    struct delta delta;
    for (int i = 0; i < 500; i++) {
        size_t count;
        uint64_t seq = maker_random(&fix.random) % 2000;
        journal_reader_seek(reader, seq);
        cr_assert_eq(journal_reader_read(reader, &delta, 1, 2000, &count, &fix.error), 0, "%s", fix.error.text);
        cr_assert_eq(count, 1);
        cr_assert_eq(delta.seq, seq + 1);
    }
    journal_reader_free(reader);
}

Test(journal, trimming_removes_whole_segments_but_never_the_newest)
{
    fix.max_bytes = 1 << 20;
    fix_open();
    for (int i = 0; i < 50; i++) {
        fix_append(40);
        fix_settle();
    }
    int before = fix_segment_count();
    cr_assert_gt(before, 3);
    journal_trim(fix.journal, 1000);
    for (int i = 0; i < 1000 && fix_segment_count() == before; i++)
        usleep(1000);
    cr_assert_lt(journal_begins_after(fix.journal), 1001);
    cr_assert_gt(journal_begins_after(fix.journal), 500);
    fix_expect(journal_begins_after(fix.journal) + 1, 2000);
    journal_trim(fix.journal, UINT64_MAX);
    fix_close();
    cr_assert_eq(fix_segment_count(), 1);
    fix_open();
    cr_assert_eq(journal_last_seq(fix.journal), 2000);
}

/* Of the files that were deleted in a folder, in that order, each has to be the first by name of those that were left. */
static int expect_oldest_first(int inotify, char *const *oldest, int count)
{
    char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    int gone = 0;
    for (ssize_t length; (length = read(inotify, buffer, sizeof buffer)) > 0;) {
        for (const char *at = buffer; at < buffer + length;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
            cr_assert_lt(gone, count);
            cr_assert_str_eq(event->name, strrchr(oldest[gone], '/') + 1, "file %d to go is another", gone);
            gone++;
            at += sizeof *event + event->len;
        }
    }
    return gone;
}

/* A kill between two removals must not leave a gap. */
Test(journal, trimming_removes_the_oldest_segment_first)
{
    enum { WANTED = 12 };
    char *segments[WANTED];
    fix.max_bytes = 1 << 20;
    fix_open();
    while (fix_segment_count() <= WANTED) {
        fix_append(40);
        fix_settle();
    }
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/journal", fix.folder);
    int inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    cr_assert_geq(inotify, 0);
    cr_assert_geq(inotify_add_watch(inotify, folder, IN_DELETE), 0);
    for (int i = 0; i < WANTED; i++)
        segments[i] = fix_segment(i);
    journal_trim(fix.journal, UINT64_MAX);
    fix_close();
    cr_expect_eq(expect_oldest_first(inotify, segments, WANTED), WANTED);
    close(inotify);
    for (int i = 0; i < WANTED; i++)
        free(segments[i]);
}

Test(journal, is_full_at_its_bound_and_not_full_after_trimming)
{
    fix.max_bytes = 1 << 20;
    fix_open();
    while (!journal_is_full(fix.journal)) {
        fix_append(20);
        fix_settle();
        cr_assert_leq(journal_bytes(fix.journal), fix.max_bytes);
    }
    cr_assert_geq(journal_bytes(fix.journal), fix.max_bytes * 14 / 16);
    journal_trim(fix.journal, journal_last_seq(fix.journal) / 2);
    fix_write();
    cr_assert(!journal_is_full(fix.journal));
}

Test(journal, a_second_tracker_is_refused)
{
    fix_open();
    struct journal *first = fix.journal;
    cr_assert(!fix_try_open());
    cr_assert_neq(strstr(fix.error.text, "another privtrakd"), NULL, "%s", fix.error.text);
    fix.journal = first;
}

Test(journal, numbers_that_were_passed_over_are_no_gap)
{
    fix_open();
    fix_append(5);
    fix_settle();
    journal_skip_to(fix.journal, 1000);
    fix_append(5);
    fix_settle();
    cr_assert_eq(journal_last_seq(fix.journal), 1005);
    fix_expect(1001, 1005);
    fix_close();
    fix_open();
    cr_assert_eq(journal_last_seq(fix.journal), 1005);
    journal_skip_to(fix.journal, 2000);
    fix_append(1);
    fix_settle();
    fix_close();
    fix_open();
    fix_expect(2001, 2001);
    struct journal_reader *reader = journal_reader_new(fix.journal, &fix.error);
    struct delta deltas[20];
    size_t count;
    cr_assert_eq(journal_reader_read(reader, deltas, 20, 2001, &count, &fix.error), 0, "%s", fix.error.text);
    cr_assert_eq(count, 11);
    journal_reader_free(reader);
}

Test(journal, a_lost_instance_file_comes_back_from_the_segments)
{
    char path[4096];
    char instance[40];
    fix_open();
    fix_append(3);
    fix_settle();
    snprintf(instance, sizeof(instance), "%s", journal_instance(fix.journal));
    fix_close();
    snprintf(path, sizeof(path), "%s/instance", fix.folder);
    unlink(path);
    fix_open();
    cr_assert_str_eq(journal_instance(fix.journal), instance);
    cr_assert_eq(access(path, R_OK), 0);
}

Test(journal, lost_segments_begin_a_journal_under_a_new_name)
{
    char instance[40];
    fix_open();
    fix_append(3);
    fix_settle();
    snprintf(instance, sizeof(instance), "%s", journal_instance(fix.journal));
    fix_close();
    char *path = fix_newest();
    unlink(path);
    free(path);
    fix_open();
    cr_assert_str_neq(journal_instance(fix.journal), instance);
    cr_assert_eq(journal_last_seq(fix.journal), 0);
}

Test(journal, a_segment_of_another_tracker_stops_the_start)
{
    char path[4096];
    fix_open();
    fix_append(3);
    fix_settle();
    fix_close();
    snprintf(path, sizeof(path), "%s/instance", fix.folder);
    fix_write_file(path, (const uint8_t *)"00112233445566778899aabbccddeeff\n", 33);
    cr_assert(!fix_try_open());
    cr_assert_neq(strstr(fix.error.text, "belongs to the tracker"), NULL, "%s", fix.error.text);
}

Test(journal, a_newer_version_stops_the_start)
{
    uint8_t *bytes;
    fix_open();
    fix_append(3);
    fix_settle();
    fix_close();
    char *path = fix_newest();
    size_t size = fix_read_file(path, &bytes);
    bytes[16] = 9;
    uint64_t checksum = XXH3_64bits(bytes, 88);
    memcpy(bytes + 88, &checksum, 8);
    fix_write_file(path, bytes, size);
    cr_assert(!fix_try_open());
    cr_assert_neq(strstr(fix.error.text, "version 9"), NULL, "%s", fix.error.text);
    free(bytes);
    free(path);
}

Test(journal, a_folder_without_the_right_to_write_stops_the_start)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/journal", fix.folder);
    fix_write_file(path, (const uint8_t *)"", 0);
    cr_assert(!fix_try_open());
    cr_assert_neq(strstr(fix.error.text, path), NULL, "%s", fix.error.text);
}

Test(journal, a_file_size_limit_is_a_full_disk)
{
    struct rlimit limit = {.rlim_cur = 200 << 10, .rlim_max = RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    rlim_t before = limit.rlim_cur;
    struct journal_settings settings = {.state_dir = fix.folder, .max_bytes = 1 << 30};
    fix.journal = journal_open(&settings, &fix.error);
    cr_assert_eq(journal_start(fix.journal, NULL, NULL, &fix.error), 0);
    limit.rlim_cur = 200 << 10;
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 0; i < 50 && fix_write(); i++)
        fix_append(40);
    cr_assert(journal_is_full(fix.journal));
    limit.rlim_cur = before;
    setrlimit(RLIMIT_FSIZE, &limit);
    fix_settle();
    fix_write();
    cr_assert(!journal_is_full(fix.journal));
    fix_expect(1, journal_last_seq(fix.journal));
}
