/* The journal on a disk that fails: full, torn, damaged, and syncs that lose what they were to keep. */
#include "deltas/segment.h"
#include "journal_maker.h"

TestSuite(journal_faults, .init = fix_begin, .fini = fix_end, .timeout = 120);

Test(journal_faults, a_full_disk_loses_nothing_and_is_got_over)
{
    fix_open();
    fix_append(10);
    fix_settle();
    atomic_store(&disk.write_failure, ENOSPC);
    fix_append(10);
    cr_assert(!fix_write());
    cr_assert(journal_is_full(fix.journal));
    fix_append(10);
    cr_assert(!fix_write());
    fix_expect(1, 10);
    atomic_store(&disk.write_failure, 0);
    fix_settle();
    fix_write();
    cr_assert(!journal_is_full(fix.journal));
    fix_close();
    fix_open();
    fix_expect(1, 30);
}

Test(journal_faults, memory_is_bounded_while_the_disk_takes_nothing)
{
    fix_open();
    atomic_store(&disk.write_failure, ENOSPC);
    size_t appended = 0;
    struct delta delta = maker_wild(&fix.random);
    for (; journal_room(fix.journal) > 0; appended++) {
        journal_append(fix.journal, &delta, 1);
        fix_remember(journal_last_seq(fix.journal), &delta);
        if (appended % 500 == 0)
            fix_write();
    }
    cr_assert_lt(appended, (40u << 20) / 60);
    atomic_store(&disk.write_failure, 0);
    fix_settle();
    fix_expect(1, appended);
}

Test(journal_faults, a_write_that_breaks_off_within_a_frame_is_completed)
{
    fix_open();
    for (int i = 0; i < 50; i++) {
        fix_append(20);
        atomic_store(&disk.short_writes, 2);
        fix_write();
        fix_append(3);
        atomic_store(&disk.write_failure, i % 2 ? ENOSPC : 0);
        fix_write();
        atomic_store(&disk.write_failure, 0);
    }
    fix_settle();
    fix_close();
    fix_open();
    fix_expect(1, 50 * 23);
}

Test(journal_faults, no_room_ahead_refuses_before_writes_fail)
{
    fix_open();
    fix_append(1);
    fix_settle();
    fix_close();
    atomic_store(&disk.reserve_failure, ENOSPC);
    fix_open();
    fix_append(1);
    fix_settle();
    cr_assert(journal_is_full(fix.journal));
    atomic_store(&disk.reserve_failure, 0);
    fix_write();
    cr_assert(!journal_is_full(fix.journal));
    fix_expect(1, 2);
}

Test(journal_faults, a_disk_that_cannot_reserve_is_written_all_the_same)
{
    atomic_store(&disk.reserve_failure, EOPNOTSUPP);
    fix_open();
    fix_append(1);
    fix_settle();
    cr_assert(!journal_is_full(fix.journal));
}

Test(journal_faults, what_a_failed_sync_lost_is_written_anew)
{
    fix_open();
    fix_append(10);
    fix_settle();
    atomic_store(&disk.forget, true);
    atomic_store(&disk.sync_failures, 1);
    fix_append(10);
    fix_write();
    cr_assert(journal_sync_begin(fix.journal));
    fix_append(5);
    cr_assert(!fix_wait_sync());
    cr_assert_eq(journal_synced_seq(fix.journal), 10);
    cr_assert(journal_is_full(fix.journal));
    fix_settle();
    fix_write();
    cr_assert(!journal_is_full(fix.journal));
    fix_expect(1, 25);
    fix_close();
    fix_open();
    fix_expect(1, 25);
}

Test(journal_faults, a_failed_sync_that_lost_nothing_doubles_nothing)
{
    fix_open();
    fix_append(10);
    fix_settle();
    atomic_store(&disk.sync_failures, 3);
    fix_append(10);
    fix_settle();
    fix_append(10);
    fix_settle();
    fix_close();
    fix_open();
    fix_expect(1, 30);
}

Test(journal_faults, the_very_first_sync_may_fail)
{
    fix_open();
    atomic_store(&disk.forget, true);
    atomic_store(&disk.sync_failures, 2);
    fix_append(10);
    fix_settle();
    fix_close();
    fix_open();
    fix_expect(1, 10);
}

/* Three frames of which only the first is known to be synced by those behind it. */
static void make_tail(void)
{
    fix_open();
    fix_append(4);
    fix_settle();
    fix_append(3);
    fix_write();
    fix_append(2);
    fix_write();
    fix_close();
}

Test(journal_faults, a_tail_torn_at_any_byte_is_cut_off)
{
    uint8_t *bytes;
    make_tail();
    char *path = fix_newest();
    size_t size = fix_read_file(path, &bytes);
    uint64_t before = 0;
    for (size_t cut = SEGMENT_HEADER_BYTES; cut <= size; cut++) {
        fix_write_file(path, bytes, cut);
        fix_open();
        uint64_t last = journal_last_seq(fix.journal);
        cr_assert(last == 0 || last == 4 || last == 7 || last == 9, "at %zu: %lu", cut, last);
        cr_assert_geq(last, before);
        before = last;
        fix_expect(1, last);
        struct delta keep[9];
        memcpy(keep, fix.made, sizeof(keep));
        fix_append(1);
        fix_settle();
        fix_expect(1, last + 1);
        memcpy(fix.made, keep, sizeof(keep));
        fix_close();
        char *newer = fix_newest();
        if (strcmp(newer, path) != 0)
            unlink(newer);
        free(newer);
    }
    cr_assert_eq(before, 9);
    free(bytes);
    free(path);
}

Test(journal_faults, zeros_behind_the_last_frame_are_reserved_space)
{
    make_tail();
    char *path = fix_newest();
    cr_assert_eq(truncate(path, fix_size(path) + 5000), 0);
    free(path);
    fix_open();
    fix_expect(1, 9);
}

Test(journal_faults, frames_that_were_never_synced_are_cut_off_from_the_first_damaged_one)
{
    uint8_t *bytes;
    make_tail();
    char *path = fix_newest();
    size_t size = fix_read_file(path, &bytes);
    free(bytes);
    /* The third frame is whole behind the second, as when a power cut let only later pages reach the disk. */
    fix_open();
    fix_close();
    struct segment_reader reader;
    struct frame frame;
    segment_reader_init(&reader, NULL);
    segment_reader_open(&reader, open(path, O_RDONLY), SEGMENT_HEADER_BYTES);
    cr_assert_eq(segment_reader_next(&reader, &frame), FRAME_WHOLE);
    off_t second = (off_t)reader.offset;
    segment_reader_clear(&reader);
    cr_assert_lt((size_t)second, size);
    fix_flip(path, second + 60);
    fix_open();
    cr_assert_eq(journal_last_seq(fix.journal), 4);
    fix_expect(1, 4);
    free(path);
}

Test(journal_faults, a_flipped_bit_before_the_end_stops_the_start)
{
    fix_open();
    fix_append(4);
    fix_settle();
    fix_append(3);
    fix_settle();
    journal_mark(fix.journal);
    fix_settle();
    fix_close();
    char *path = fix_newest();
    off_t size = fix_size(path);
    for (off_t at = 0; at < size; at++) {
        fix_flip(path, at);
        bool opened = fix_try_open();
        if (at < size - FRAME_HEADER_BYTES) {
            cr_assert(!opened, "byte %ld of %ld was not missed", (long)at, (long)size);
            cr_assert_neq(strstr(fix.error.text, path), NULL, "%s", fix.error.text);
        } else {
            cr_assert(opened, "%s", fix.error.text);
            cr_assert_eq(journal_last_seq(fix.journal), 7);
            fix_close();
            break; /* opening has cut the mark off */
        }
        fix_flip(path, at);
    }
    free(path);
}

Test(journal_faults, a_missing_segment_stops_the_start)
{
    fix.max_bytes = 1 << 20;
    fix_open();
    for (int i = 0; i < 50; i++) {
        fix_append(40);
        fix_settle();
    }
    fix_close();
    cr_assert_gt(fix_segment_count(), 3);
    char *path = fix_segment(1);
    unlink(path);
    free(path);
    cr_assert(!fix_try_open());
    cr_assert_neq(strstr(fix.error.text, "missing"), NULL, "%s", fix.error.text);
}

/* Counts the records that can be read, all of which must be as they were. */
static uint64_t count_readable(void)
{
    struct journal_reader *reader = journal_reader_new(fix.journal, &fix.error);
    struct delta deltas[50];
    uint64_t total = 0;
    size_t count = 1;
    while (count > 0) {
        cr_assert_eq(journal_reader_read(reader, deltas, 50, journal_last_seq(fix.journal), &count, &fix.error), 0,
                     "%s", fix.error.text);
        for (size_t i = 0; i < count; i++)
            /* Padding too: it is zeros. NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
            cr_assert_eq(memcmp(&deltas[i], &fix.made[deltas[i].seq - 1], sizeof(*deltas)), 0);
        total += count;
    }
    journal_reader_free(reader);
    return total;
}

/* RECORDS records in frames of 40, over several segments, the newest half full. */
enum { RECORDS = 1400 };

static void make_segments(void)
{
    fix.max_bytes = 1 << 20;
    fix.random = 5;
    fix_open();
    for (int i = 0; i < RECORDS / 40; i++) {
        fix_append(40);
        fix_settle();
    }
    journal_mark(fix.journal);
    fix_settle();
    fix_close();
    char *path = fix_newest();
    cr_assert_gt(fix_size(path), 15000);
    cr_assert_gt(fix_segment_count(), 2);
    free(path);
}

Test(journal_faults, salvage_keeps_every_whole_frame)
{
    struct journal_salvage report;
    make_segments();
    char *path = fix_segment(1);
    fix_flip(path, 5000);
    cr_assert(!fix_try_open());
    cr_assert_eq(journal_salvage(fix.folder, &report, &fix.error), 0, "%s", fix.error.text);
    cr_assert_eq(report.segments_replaced, 1);
    cr_assert_eq(report.records_lost, 40);
    cr_assert_eq(access(report.moved_to, R_OK), 0);
    fix_open();
    cr_assert_eq(journal_last_seq(fix.journal), RECORDS);
    cr_assert_eq(count_readable(), RECORDS - 40);
    fix_append(1);
    fix_settle();
    fix_close();
    fix_open();
    cr_assert_eq(count_readable(), RECORDS - 39);
    free(path);
}

Test(journal_faults, salvage_gets_over_a_damaged_header)
{
    struct journal_salvage report;
    make_segments();
    for (int i = 0; i < fix_segment_count(); i++) {
        char *path = fix_segment(i);
        fix_flip(path, 30);
        free(path);
        cr_assert(!fix_try_open());
        cr_assert_eq(journal_salvage(fix.folder, &report, &fix.error), 0, "%s", fix.error.text);
        cr_assert_eq(report.records_lost, 0);
        cr_assert_eq(report.segments_replaced, 1);
        fix_open();
        cr_assert_eq(count_readable(), RECORDS);
        fix_close();
    }
}

Test(journal_faults, salvage_gets_over_a_missing_segment)
{
    struct journal_salvage report;
    make_segments();
    char *path = fix_segment(2);
    unlink(path);
    free(path);
    cr_assert_eq(journal_salvage(fix.folder, &report, &fix.error), 0, "%s", fix.error.text);
    cr_assert_gt(report.records_lost, 0);
    fix_open();
    cr_assert_eq(count_readable(), RECORDS - report.records_lost);
}

Test(journal_faults, salvage_gets_over_a_damaged_end)
{
    struct journal_salvage report;
    make_segments();
    char *path = fix_newest();
    fix_flip(path, fix_size(path) - FRAME_HEADER_BYTES - 10);
    cr_assert(!fix_try_open());
    cr_assert_eq(journal_salvage(fix.folder, &report, &fix.error), 0, "%s", fix.error.text);
    cr_assert_eq(report.records_lost, 40);
    fix_open();
    /* The numbers of the lost ones are not given again: a sink may have seen them. */
    cr_assert_eq(journal_last_seq(fix.journal), RECORDS);
    cr_assert_eq(count_readable(), RECORDS - 40);
    free(path);
}

Test(journal_faults, salvage_leaves_a_whole_journal_alone)
{
    struct journal_salvage report;
    make_segments();
    cr_assert_eq(journal_salvage(fix.folder, &report, &fix.error), 0, "%s", fix.error.text);
    cr_assert_eq(report.segments_replaced, 0);
    cr_assert_str_eq(report.moved_to, "");
    fix_open();
    cr_assert_eq(count_readable(), RECORDS);
}

Test(journal_faults, salvage_survives_damage_anywhere)
{
    make_segments();
    uint64_t before = RECORDS;
    for (int i = 0; i < 100; i++) {
        struct journal_salvage report = {0};
        char *path = fix_segment((int)(maker_random(&fix.random) % (uint64_t)fix_segment_count()));
        fix_flip(path, (off_t)(maker_random(&fix.random) % (uint64_t)fix_size(path)));
        free(path);
        if (!fix_try_open()) {
            cr_assert_eq(journal_salvage(fix.folder, &report, &fix.error), 0, "%s", fix.error.text);
            cr_assert(fix_try_open(), "%s", fix.error.text);
        }
        /* Nothing behind the very last frame says that it was on disk: it alone may be taken for torn. */
        uint64_t now = count_readable();
        cr_assert_geq(now + report.records_lost + 40, before);
        before = now;
        fix_close();
    }
}

/* Power goes: of each file stays what was synced, and some of what was not. */
static void cut_power(void)
{
    int count = fix_segment_count();
    for (int i = 0; i < count; i++) {
        struct stat status;
        char *path = fix_segment(i);
        stat(path, &status);
        off_t synced = *disk_synced_size(status.st_ino);
        if (status.st_size > synced) {
            off_t end = synced + (off_t)(maker_random(&fix.random) % (uint64_t)(status.st_size - synced + 1));
            cr_assert_eq(truncate(path, end), 0);
            /* And some page of it may not have come. */
            if (end > synced && maker_random(&fix.random) % 2)
                fix_flip(path, synced + (off_t)(maker_random(&fix.random) % (uint64_t)(end - synced)));
        }
        free(path);
    }
}

static void one_turn(void)
{
    uint64_t what = maker_random(&fix.random) % 100;
    if (what < 50) {
        if (journal_room(fix.journal) > 100)
            fix_append(1 + maker_random(&fix.random) % 60);
    } else if (what < 70) {
        atomic_store(&disk.short_writes, maker_random(&fix.random) % 4 == 0 ? 2 : 0);
        fix_write();
    } else if (what < 90) {
        if (journal_sync_begin(fix.journal))
            fix_wait_sync();
    } else if (what < 93) {
        atomic_store(&disk.sync_failures, 1);
    } else if (what < 96) {
        atomic_store(&disk.write_failure, maker_random(&fix.random) % 2 ? ENOSPC : EIO);
        fix_write();
        atomic_store(&disk.write_failure, 0);
    } else if (what < 98) {
        uint64_t synced = journal_synced_seq(fix.journal);
        journal_trim(fix.journal, synced > 3000 ? synced - 3000 : 0);
    } else {
        journal_mark(fix.journal);
    }
}

Test(journal_faults, any_mixture_of_faults_and_power_cuts_keeps_what_was_synced)
{
    fix.max_bytes = 1 << 20;
    atomic_store(&disk.forget, true);
    for (int life = 0; life < 150; life++) {
        fix_open();
        uint64_t opened = journal_last_seq(fix.journal);
        fix_expect(journal_begins_after(fix.journal) + 1, opened);
        for (int turn = 0; turn < 60; turn++)
            one_turn();
        atomic_store(&disk.sync_failures, 0);
        uint64_t synced = journal_synced_seq(fix.journal);
        journal_close(fix.journal);
        cut_power();
        cr_assert(fix_try_open(), "life %d: %s", life, fix.error.text);
        cr_assert_geq(journal_last_seq(fix.journal), synced, "life %d: %lu was synced, %lu is there", life, synced,
                      journal_last_seq(fix.journal));
        fix_expect(journal_begins_after(fix.journal) + 1, journal_last_seq(fix.journal));
        fix_close();
    }
    fix_open();
}

Test(journal_faults, a_disk_that_has_failed_for_long_is_tried_again_at_once_when_all_ends)
{
    fix_open();
    fix_append(10);
    atomic_store(&disk.write_failure, ENOSPC);
    for (int i = 0; i < 10; i++)
        cr_assert(!fix_write());
    atomic_store(&disk.write_failure, 0);
    int64_t soon_ns = fix.now_ns + 100 * 1000 * 1000;
    cr_expect(!journal_write(fix.journal, soon_ns), "the pauses have grown");
    journal_hurry(fix.journal, fix.now_ns);
    cr_expect(journal_write(fix.journal, soon_ns));
    fix_settle();
    fix_close();
    fix_open();
    fix_expect(1, 10);
}
