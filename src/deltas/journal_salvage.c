/*
 * journal_salvage: the way on when a journal is damaged and there is no backup of
 * it. A damaged segment gets a successor of the same name that holds its whole
 * frames, with marks that pass over the numbers that are lost; the original stays beside it.
 */
#include "deltas/journal_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct salvage {
    int directory_fd;
    char *directory;
    char instance[INSTANCE_BYTES];
    struct segment_list list;
    struct journal_salvage *report;
    struct error *error;
};

/* One segment: what it should hold, and where its whole frames are copied. */
struct rescue {
    struct segment segment;
    bool header_damaged;
    uint64_t ends_before; /* what the next segment begins with; UINT64_MAX: it is the newest */
    uint64_t must_reach;  /* seq that the next one goes on from */
    struct segment_reader reader;
    int to; /* -1: only looking */
    off_t to_offset;
    uint64_t kept;
    uint64_t lost;
    uint64_t end; /* the seq behind the last one, once walked */
    bool damaged;
};

static int put(struct rescue *rescue, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t wrote = pwrite(rescue->to, bytes, size, rescue->to_offset);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return -1;
        bytes += wrote;
        size -= (size_t)wrote;
        rescue->to_offset += wrote;
    }
    return 0;
}

/* Numbers from `expected` on are lost; the records go on with `seq`. */
static int pass_over(struct rescue *rescue, uint64_t expected, uint64_t seq)
{
    rescue->lost += seq - expected;
    rescue->damaged = true;
    if (rescue->to < 0)
        return 0;
    uint8_t mark[FRAME_HEADER_BYTES];
    frame_seal(mark, &(struct frame){.first_seq = seq});
    return put(rescue, mark, sizeof(mark));
}

/* A mark passes over numbers on purpose, but not where damage stands before it. */
static int keep(struct rescue *rescue, const struct frame *frame, bool after_damage, uint64_t *expected)
{
    if (frame->first_seq < *expected) {
        rescue->damaged = true; /* it stands where it does not belong: its records were kept already */
        return 0;
    }
    if (frame->first_seq > *expected && (frame->count > 0 || after_damage) &&
        pass_over(rescue, *expected, frame->first_seq) != 0)
        return -1;
    *expected = frame->first_seq + frame->count;
    rescue->kept += frame->count;
    if (rescue->to < 0)
        return 0;
    return put(rescue, frame->records - FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + frame->length);
}

/* Goes through all whole frames, behind damage, too. */
static int walk(struct rescue *rescue)
{
    uint64_t expected = rescue->segment.first_seq;
    uint64_t newest_synced = 0;
    bool torn = false;
    bool after_damage = false;
    segment_reader_open(&rescue->reader, dup(rescue->reader.fd), SEGMENT_HEADER_BYTES);
    for (;;) {
        struct frame frame;
        enum frame_verdict verdict = segment_reader_next(&rescue->reader, &frame);
        if (verdict == FRAME_DAMAGED) {
            torn = after_damage = true;
            segment_reader_step(&rescue->reader);
            if (!segment_reader_find(&rescue->reader))
                break;
            continue;
        }
        if (verdict == FRAME_END || frame.first_seq >= rescue->ends_before)
            break;
        newest_synced = frame.synced_seq > newest_synced ? frame.synced_seq : newest_synced;
        if (keep(rescue, &frame, after_damage, &expected) != 0)
            return -1;
        after_damage = false;
    }
    /* The end of the newest file may be torn, which recovery sees to, unless records were lost that had been on disk. */
    uint64_t must_reach = rescue->must_reach;
    if (torn && rescue->ends_before == UINT64_MAX)
        must_reach = newest_synced;
    rescue->end = expected <= must_reach ? must_reach + 1 : expected;
    return rescue->end > expected ? pass_over(rescue, expected, rescue->end) : 0;
}

static int fail(struct salvage *salvage, const char *name, const char *what)
{
    return error_set(salvage->error, "%s/%s: %s: %s", salvage->directory, name, what, strerror(errno));
}

/* Puts the replacement in the segment's place, which stays as NAME.damaged. */
static int swap(struct salvage *salvage, const char *name, const char *replacement)
{
    char aside[128];
    for (int i = 0;; i++) {
        (void)snprintf(aside, sizeof(aside), i == 0 ? "%s.damaged" : "%s.damaged.%d", name, i);
        if (linkat(salvage->directory_fd, name, salvage->directory_fd, aside, 0) == 0)
            break;
        if (errno != EEXIST)
            return fail(salvage, name, "cannot be kept aside");
    }
    if (fsync(salvage->directory_fd) != 0 ||
        renameat(salvage->directory_fd, replacement, salvage->directory_fd, name) != 0 ||
        fsync(salvage->directory_fd) != 0)
        return fail(salvage, name, "cannot be replaced");
    (void)snprintf(salvage->report->moved_to, sizeof(salvage->report->moved_to), "%s/%s", salvage->directory, aside);
    return 0;
}

static int write_replacement(struct salvage *salvage, struct rescue *rescue, const char *name, const char *replacement)
{
    rescue->to = openat(salvage->directory_fd, replacement, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (rescue->to < 0)
        return fail(salvage, replacement, "cannot be made");
    struct segment_header header = {
        .serial = rescue->segment.serial,
        .first_seq = rescue->segment.first_seq,
        .after_seq = rescue->segment.after_seq,
    };
    memcpy(header.instance, salvage->instance, sizeof(header.instance));
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    segment_header_write(bytes, &header);
    rescue->kept = rescue->lost = 0;
    int result = 0;
    if (put(rescue, bytes, sizeof(bytes)) != 0 || walk(rescue) != 0 || fsync(rescue->to) != 0)
        result = fail(salvage, replacement, "cannot be written");
    close(rescue->to);
    rescue->to = -1;
    if (result == 0)
        result = swap(salvage, name, replacement);
    if (result != 0)
        unlinkat(salvage->directory_fd, replacement, 0);
    return result;
}

/* Reads the header at `fd`; where it is damaged, the name and the segment before tell what it said. 1: damaged. */
static int read_header(struct salvage *salvage, int fd, struct segment *segment, uint64_t previous_last)
{
    uint8_t bytes[SEGMENT_HEADER_BYTES] = {0};
    struct segment_header header;
    struct error reason;
    enum segment_verdict verdict = SEGMENT_DAMAGED;
    if (pread(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes))
        verdict = segment_header_read(&header, bytes, &reason);
    if (verdict == SEGMENT_FOREIGN)
        return error_set(salvage->error, "%s: a segment cannot be read: %s", salvage->directory, reason.text);
    if (verdict == SEGMENT_GOOD) {
        segment->after_seq = header.after_seq;
        if (salvage->instance[0] == '\0')
            memcpy(salvage->instance, header.instance, sizeof(salvage->instance));
        return 0;
    }
    segment->after_seq = previous_last < segment->first_seq ? previous_last : segment->first_seq - 1;
    return 1;
}

static int rescue_segment(struct salvage *salvage, size_t number, uint64_t *previous_last)
{
    char name[SEGMENT_NAME_BYTES];
    char replacement[SEGMENT_NAME_BYTES + 16];
    struct rescue rescue = {.segment = salvage->list.segments[number], .ends_before = UINT64_MAX, .to = -1};
    segment_name(name, rescue.segment.serial, rescue.segment.first_seq);
    (void)snprintf(replacement, sizeof(replacement), "%s.salvage", name);
    if (number + 1 < salvage->list.count) {
        rescue.ends_before = salvage->list.segments[number + 1].first_seq;
        rescue.must_reach = salvage->list.segments[number + 1].after_seq;
    }
    if (segment_reader_init(&rescue.reader, salvage->error) != 0)
        return -1;
    int fd = journal_segment_open(salvage->directory_fd, rescue.segment.serial, rescue.segment.first_seq, O_RDONLY);
    if (fd < 0) {
        segment_reader_clear(&rescue.reader);
        return fail(salvage, name, "cannot be opened");
    }
    segment_reader_open(&rescue.reader, fd, SEGMENT_HEADER_BYTES);
    rescue.damaged = read_header(salvage, fd, &rescue.segment, *previous_last) != 0;
    bool nothing = rescue.ends_before == UINT64_MAX && journal_next_whole_frame(fd, 0) == UINT64_MAX;
    int result = nothing ? 0 : walk(&rescue);
    if (result == 0 && rescue.damaged && !nothing) {
        result = write_replacement(salvage, &rescue, name, replacement);
        salvage->report->segments_replaced++;
        salvage->report->records_kept += rescue.kept;
        salvage->report->records_lost += rescue.lost;
    }
    segment_reader_clear(&rescue.reader);
    salvage->report->segments_checked++;
    *previous_last = nothing ? *previous_last : rescue.end - 1;
    return result;
}

/* Leaves out the segments that a later one has taken the place of, and learns what each goes on from. */
static int prepare(struct salvage *salvage)
{
    uint64_t limit = UINT64_MAX;
    size_t kept = salvage->list.count;
    for (size_t i = salvage->list.count; i-- > 0;) {
        struct segment segment = salvage->list.segments[i];
        if (segment.first_seq >= limit)
            continue;
        limit = segment.first_seq;
        int fd = journal_segment_open(salvage->directory_fd, segment.serial, segment.first_seq, O_RDONLY);
        if (fd < 0)
            return error_set(salvage->error, "%s: a segment cannot be opened: %s", salvage->directory, strerror(errno));
        int result = read_header(salvage, fd, &segment, segment.first_seq - 1);
        close(fd);
        if (result < 0)
            return -1;
        salvage->list.segments[--kept] = segment;
    }
    salvage->list.count -= kept;
    if (kept > 0)
        memmove(salvage->list.segments, salvage->list.segments + kept, salvage->list.count * sizeof(struct segment));
    return 0;
}

/* A damaged id is brought back from the segments' headers; without any, it is a new journal. */
static int settle_instance(struct salvage *salvage, const char *state_dir)
{
    char from_file[INSTANCE_BYTES];
    int found = journal_instance_read(state_dir, from_file, salvage->error);
    if (found == 0) {
        memcpy(salvage->instance, from_file, sizeof(from_file));
        return 0;
    }
    if (salvage->instance[0] != '\0')
        return journal_instance_write(state_dir, salvage->instance, salvage->error);
    return journal_instance_make(state_dir, salvage->instance, salvage->error);
}

int journal_salvage(const char *state_dir, struct journal_salvage *report, struct error *error)
{
    struct salvage salvage = {.report = report, .error = error};
    *report = (struct journal_salvage){0};
    salvage.directory_fd = journal_directory_open(state_dir, &salvage.directory, error);
    int result = salvage.directory_fd < 0 ? -1 : 0;
    if (result == 0)
        result = journal_list(salvage.directory_fd, salvage.directory, &salvage.list, error);
    if (result == 0)
        result = prepare(&salvage);
    if (result == 0)
        result = settle_instance(&salvage, state_dir);
    uint64_t previous_last = 0;
    for (size_t i = 0; result == 0 && i < salvage.list.count; i++)
        result = rescue_segment(&salvage, i, &previous_last);
    if (salvage.directory_fd >= 0)
        close(salvage.directory_fd);
    free(salvage.list.segments);
    free(salvage.directory);
    return result;
}
