/*
 * journal_recover: what is on disk when the tracker starts. Every frame is
 * checked once here, so that damage stops the start and not a sink a week later.
 */
#include "deltas/journal_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static const char what_to_do[] =
    "restore the file from a backup, or run `privtrakd --salvage-journal`, which moves it aside and "
    "keeps every whole record";

int journal_directory_open(const char *state_dir, char **path, struct error *error)
{
    if (asprintf(path, "%s/journal", state_dir) < 0) {
        *path = NULL;
        return error_set(error, "out of memory");
    }
    if (mkdir(*path, 0700) != 0 && errno != EEXIST)
        return error_set(error, "%s: cannot be made: %s", *path, strerror(errno));
    int fd = open(*path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, "%s: cannot be opened: %s", *path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int failure = errno;
        close(fd);
        return error_set(error, "%s: %s", *path,
                         failure == EWOULDBLOCK ? "another privtrakd uses it" : strerror(failure));
    }
    return fd;
}

static int by_serial(const void *a, const void *b)
{
    const struct segment *left = a;
    const struct segment *right = b;
    return left->serial < right->serial ? -1 : left->serial > right->serial;
}

int journal_list(int directory_fd, const char *path, struct segment_list *list, struct error *error)
{
    *list = (struct segment_list){0};
    int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (directory == NULL) {
        error_set(error, "%s: cannot be read: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    size_t capacity = 0;
    const struct dirent *entry;
    while (errno = 0, (entry = readdir(directory)) != NULL) {
        struct segment segment = {0};
        if (!segment_name_read(entry->d_name, &segment.serial, &segment.first_seq))
            continue;
        if (list->count == capacity) {
            capacity = capacity == 0 ? 32 : 2 * capacity;
            struct segment *larger = reallocarray(list->segments, capacity, sizeof(*larger));
            if (larger == NULL)
                break;
            list->segments = larger;
        }
        list->segments[list->count++] = segment;
    }
    int failure = errno;
    closedir(directory);
    if (failure != 0)
        return error_set(error, "%s: cannot be read: %s", path, strerror(failure));
    if (list->count > 0)
        qsort(list->segments, list->count, sizeof(*list->segments), by_serial);
    return 0;
}

int journal_segment_open(int directory_fd, uint32_t serial, uint64_t first_seq, int flags)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(name, serial, first_seq);
    return openat(directory_fd, name, flags | O_CLOEXEC, 0600);
}

/* Tries every place that looks like a frame's beginning. */
uint64_t journal_next_whole_frame(int fd, uint64_t offset)
{
    struct segment_reader reader;
    struct frame frame;
    uint64_t found = UINT64_MAX;
    if (segment_reader_init(&reader, NULL) != 0)
        return UINT64_MAX;
    segment_reader_open(&reader, dup(fd), offset);
    while (found == UINT64_MAX && segment_reader_find(&reader)) {
        uint64_t candidate = reader.offset;
        if (segment_reader_next(&reader, &frame) == FRAME_WHOLE)
            found = candidate;
        else
            segment_reader_step(&reader);
    }
    segment_reader_clear(&reader);
    return found;
}

/* Whether a whole frame at or behind `offset` says that the record `seq` was on disk. */
static bool file_tells_of(int fd, uint64_t offset, uint64_t seq)
{
    struct segment_reader reader;
    struct frame frame;
    bool synced = false;
    if (segment_reader_init(&reader, NULL) != 0)
        return true;
    uint64_t at = offset;
    while (!synced && (at = journal_next_whole_frame(fd, at)) != UINT64_MAX) {
        segment_reader_open(&reader, dup(fd), at);
        while (!synced && segment_reader_next(&reader, &frame) == FRAME_WHOLE)
            synced = frame.synced_seq >= seq;
        at = reader.offset;
    }
    segment_reader_clear(&reader);
    return synced;
}

/* The segments on disk, and which of them hold nothing that counts. */
struct candidates {
    struct segment_list list;
    bool *dropped;
};

/*
 * Whether anything behind `offset` in segment `number`, or in a later one, says that the record `seq` was on disk. If so
 * it was damaged, else it, and all behind it, was being written when the power went.
 */
static bool was_synced(struct journal *journal, const struct candidates *all, size_t number, uint64_t offset,
                       uint64_t seq)
{
    for (size_t i = number; i < all->list.count; i++) {
        uint8_t bytes[SEGMENT_HEADER_BYTES];
        struct segment_header header;
        const struct segment *segment = &all->list.segments[i];
        if (all->dropped[i])
            continue;
        int fd = journal_segment_open(journal->directory_fd, segment->serial, segment->first_seq, O_RDONLY);
        if (fd < 0)
            return true;
        bool told = file_tells_of(fd, i == number ? offset : 0, seq);
        if (i > number && pread(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes) &&
            segment_header_read(&header, bytes, NULL) == SEGMENT_GOOD)
            told = told || header.synced_seq >= seq;
        close(fd);
        if (told)
            return true;
    }
    return false;
}

static void drop_from(struct candidates *all, size_t number)
{
    for (size_t i = number; i < all->list.count; i++)
        all->dropped[i] = true;
}

/* One segment under examination. */
struct check {
    struct journal *journal;
    struct candidates *all;
    size_t number;
    struct segment *segment;
    const struct segment *next; /* NULL: it is the newest */
    char name[SEGMENT_NAME_BYTES];
    struct segment_reader reader;
    struct error *error;
};

static int check_open(struct check *check, struct journal *journal, struct candidates *all, size_t number,
                      struct error *error)
{
    struct segment *segment = &all->list.segments[number];
    *check = (struct check){.journal = journal, .all = all, .number = number, .segment = segment, .error = error};
    for (size_t i = all->list.count; i-- > number + 1;)
        if (!all->dropped[i])
            check->next = &all->list.segments[i];
    segment_name(check->name, segment->serial, segment->first_seq);
    if (segment_reader_init(&check->reader, error) != 0)
        return -1;
    int fd = journal_segment_open(journal->directory_fd, segment->serial, segment->first_seq, O_RDWR);
    if (fd < 0) {
        segment_reader_clear(&check->reader);
        return error_set(error, "%s/%s: cannot be opened: %s", journal->directory, check->name, strerror(errno));
    }
    segment_reader_open(&check->reader, fd, SEGMENT_HEADER_BYTES);
    return 0;
}

static int damaged(struct check *check, uint64_t offset, const char *what)
{
    return error_set(check->error, "%s/%s: damaged at byte %" PRIu64 ": %s; %s", check->journal->directory, check->name,
                     offset, what, what_to_do);
}

/* What stands behind `end`, and in all later segments, was not on disk when the tracker ended. */
static int cut_tail(struct check *check, uint64_t end)
{
    struct stat status;
    int fd = check->reader.fd;
    if (fstat(fd, &status) != 0)
        return error_set(check->error, "%s/%s: %s", check->journal->directory, check->name, strerror(errno));
    if ((uint64_t)status.st_size > end || check->next != NULL)
        log_warning("journal",
                    "file=%s/%s: cut off %" PRIu64 " bytes%s of records that were being written, behind seq %" PRIu64,
                    check->journal->directory, check->name, (uint64_t)status.st_size - end,
                    check->next != NULL ? " and the files behind it" : "", check->segment->last_seq);
    drop_from(check->all, check->number + 1);
    if ((uint64_t)status.st_size > end && (ftruncate(fd, (off_t)end) != 0 || fsync(fd) != 0))
        return error_set(check->error, "%s/%s: cannot cut off the torn end: %s", check->journal->directory, check->name,
                         strerror(errno));
    return 0;
}

static int check_end(struct check *check, enum frame_verdict verdict, uint64_t end, uint64_t expected)
{
    struct segment *segment = check->segment;
    const struct segment *next = check->next;
    segment->last_seq = expected - 1;
    segment->bytes = end;
    /* A file that was given up after a failed sync is believed up to where its successor begins. */
    if (next != NULL && segment->last_seq >= next->after_seq) {
        if (segment->last_seq >= next->first_seq)
            segment->last_seq = next->first_seq - 1;
        return 0;
    }
    if (!was_synced(check->journal, check->all, check->number, end, expected))
        return cut_tail(check, end);
    char what[120];
    if (next != NULL && verdict == FRAME_END)
        (void)snprintf(what, sizeof(what), "records %" PRIu64 " to %" PRIu64 " are missing", expected, next->after_seq);
    else
        (void)snprintf(what, sizeof(what), "record %" PRIu64 ", which was on disk, cannot be read", expected);
    return damaged(check, end, what);
}

static int check_frames(struct check *check)
{
    uint64_t expected = check->segment->first_seq;
    for (;;) {
        struct frame frame;
        uint64_t at = check->reader.offset;
        enum frame_verdict verdict = segment_reader_next(&check->reader, &frame);
        if (verdict != FRAME_WHOLE)
            return check_end(check, verdict, at, expected);
        /* A mark may pass over numbers, records may not. */
        if (frame.first_seq < expected || (frame.count > 0 && frame.first_seq != expected))
            return damaged(check, at, "a frame stands where it does not belong");
        expected = frame.first_seq + frame.count;
        if (frame.time_ms > 0)
            clock_advance_to_ms(frame.time_ms);
    }
}

/* 0: good; 1: damaged; -1: whole, but not to be used. */
static int check_header(struct check *check)
{
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    struct segment_header header;
    struct error reason;
    struct journal *journal = check->journal;
    ssize_t got = pread(check->reader.fd, bytes, sizeof(bytes), 0);
    if (got < 0)
        return error_set(check->error, "%s/%s: cannot be read: %s", journal->directory, check->name, strerror(errno));
    enum segment_verdict verdict = SEGMENT_DAMAGED;
    if (got == (ssize_t)sizeof(bytes))
        verdict = segment_header_read(&header, bytes, &reason);
    if (verdict == SEGMENT_FOREIGN)
        return error_set(check->error, "%s/%s: %s", journal->directory, check->name, reason.text);
    if (verdict == SEGMENT_DAMAGED)
        return 1;
    if (header.serial != check->segment->serial || header.first_seq != check->segment->first_seq)
        return error_set(check->error, "%s/%s: its name does not fit what is in it", journal->directory, check->name);
    if (journal->instance[0] == '\0')
        memcpy(journal->instance, header.instance, sizeof(journal->instance));
    if (strcmp(journal->instance, header.instance) != 0)
        return error_set(check->error,
                         "%s/%s: belongs to the tracker %s, this one is %s; remove what does not belong here",
                         journal->directory, check->name, header.instance, journal->instance);
    check->segment->after_seq = header.after_seq;
    return 0;
}

/* Reads one header; where it is damaged and nothing from there on was on disk, all of that is dropped. */
static int examine_header(struct journal *journal, struct candidates *all, size_t number, struct error *error)
{
    struct check check;
    if (check_open(&check, journal, all, number, error) != 0)
        return -1;
    int result = check_header(&check);
    if (result == 1 && was_synced(journal, all, number, 0, check.segment->first_seq)) {
        result = damaged(&check, 0, "its header cannot be read");
    } else if (result == 1) {
        drop_from(all, number);
        result = 0;
    }
    segment_reader_clear(&check.reader);
    return result;
}

/* Reads all headers, newest first: what a later file begins with counts only there. */
static int sift(struct journal *journal, struct candidates *all, struct error *error)
{
    uint64_t limit = UINT64_MAX;
    for (size_t i = all->list.count; i-- > 0;) {
        if (all->list.segments[i].first_seq >= limit) {
            all->dropped[i] = true;
            continue;
        }
        if (examine_header(journal, all, i, error) != 0)
            return -1;
        if (!all->dropped[i])
            limit = all->list.segments[i].first_seq;
    }
    if (all->list.count > 0)
        journal->next_serial = all->list.segments[all->list.count - 1].serial + 1;
    return 0;
}

/*
 * After a crash of the tracker alone the kernel may still hold what was never synced. It will be given to the sinks now,
 * so a power cut must not take it back.
 */
static int make_safe(struct check *check)
{
    if (check->journal->io.sync(check->reader.fd) == 0)
        return 0;
    return error_set(check->error, "%s/%s: cannot be synced: %s", check->journal->directory, check->name,
                     strerror(errno));
}

static int check_segments(struct journal *journal, struct candidates *all, struct error *error)
{
    for (size_t i = 0; i < all->list.count; i++) {
        struct check check;
        if (all->dropped[i])
            continue;
        if (check_open(&check, journal, all, i, error) != 0)
            return -1;
        int result = check_frames(&check);
        if (result == 0)
            result = make_safe(&check);
        segment_reader_clear(&check.reader);
        if (result != 0)
            return -1;
        if (journal_segment_add(journal, check.segment) != 0)
            return error_set(error, "out of memory");
        journal->last_seq = check.segment->last_seq;
    }
    return 0;
}

static void remove_dropped(struct journal *journal, const struct candidates *all)
{
    for (size_t i = 0; i < all->list.count; i++) {
        char name[SEGMENT_NAME_BYTES];
        if (!all->dropped[i])
            continue;
        segment_name(name, all->list.segments[i].serial, all->list.segments[i].first_seq);
        log_info("journal", "removing %s/%s, which holds nothing that counts", journal->directory, name);
        unlinkat(journal->directory_fd, name, 0);
    }
}

static int check_all(struct journal *journal, struct error *error)
{
    struct candidates all = {0};
    int result = journal_list(journal->directory_fd, journal->directory, &all.list, error);
    if (result == 0) {
        all.dropped = calloc(all.list.count + 1, sizeof(*all.dropped));
        if (all.dropped == NULL) {
            free(all.list.segments);
            return error_set(error, "out of memory");
        }
        result = sift(journal, &all, error);
    }
    if (result == 0)
        result = check_segments(journal, &all, error);
    if (result == 0)
        remove_dropped(journal, &all);
    if (result == 0 && journal->io.sync(journal->directory_fd) != 0)
        result = error_set(error, "%s: cannot be synced: %s", journal->directory, strerror(errno));
    free(all.dropped);
    free(all.list.segments);
    return result;
}

/* The file's id counts; segments without it bring it back; without segments begins a new journal, under a new name. */
static int settle_instance(struct journal *journal, const char *state_dir, int found, struct error *error)
{
    if (journal->segment_count > 0)
        return found == 0 ? 0 : journal_instance_write(state_dir, journal->instance, error);
    if (found == 0)
        log_warning("journal", "%s is empty: a new journal begins, and counts from 1 under a new name",
                    journal->directory);
    if (journal_instance_make(state_dir, journal->instance, error) != 0)
        return -1;
    /* An empty file, so that a start without announces is not taken for a journal that was lost. */
    return journal_begin(journal, error);
}

int journal_recover(struct journal *journal, const char *state_dir, struct error *error)
{
    int found = journal_instance_read(state_dir, journal->instance, error);
    if (found < 0)
        return -1;
    int result = check_all(journal, error);
    return result == 0 ? settle_instance(journal, state_dir, found, error) : -1;
}
