/* journal_read: reads records in order of seq, from whichever file has them. Any thread, one a reader. */
#include "deltas/journal_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "deltas/record.h"

struct journal_reader {
    struct journal *journal;
    struct segment_reader file;
    uint32_t serial;    /* of the open file; 0: none */
    uint64_t next_seq;  /* all below it was read */
    struct frame frame; /* what is left of the frame at hand; count 0: nothing */
};

struct journal_reader *journal_reader_new(struct journal *journal, struct error *error)
{
    struct journal_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    reader->journal = journal;
    reader->next_seq = 1;
    if (segment_reader_init(&reader->file, error) != 0) {
        free(reader);
        return NULL;
    }
    return reader;
}

void journal_reader_free(struct journal_reader *reader)
{
    if (reader == NULL)
        return;
    segment_reader_clear(&reader->file);
    free(reader);
}

void journal_reader_seek(struct journal_reader *reader, uint64_t seq)
{
    if (reader->next_seq == seq + 1)
        return;
    /* Forward within the frame or file at hand is found by reading on. */
    if (seq + 1 < reader->next_seq) {
        reader->serial = 0;
        reader->frame.count = 0;
    }
    reader->next_seq = seq + 1;
}

uint64_t journal_reader_seq(const struct journal_reader *reader)
{
    return reader->next_seq - 1;
}

/*
 * The segment that holds `seq`, or, where that lies in a gap, the one that goes on behind it. Returns
 * false where there is none. `*newest` says whether it is the one being written.
 */
static bool locate(struct journal *journal, uint64_t seq, struct segment *segment, bool *newest)
{
    bool found = false;
    pthread_mutex_lock(&journal->mutex);
    size_t low = 0;
    size_t high = journal->segment_count; /* the first that begins behind seq */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (journal->segments[middle].first_seq <= seq)
            low = middle + 1;
        else
            high = middle;
    }
    size_t at = low > 0 ? low - 1 : 0;
    if (low > 0 && seq > journal->segments[at].last_seq && low < journal->segment_count)
        at = low;
    if (at < journal->segment_count) {
        *segment = journal->segments[at];
        *newest = at + 1 == journal->segment_count;
        found = true;
    }
    pthread_mutex_unlock(&journal->mutex);
    return found;
}

static int open_file(struct journal_reader *reader, const struct segment *segment, struct error *error)
{
    int fd = journal_segment_open(reader->journal->directory_fd, segment->serial, segment->first_seq, O_RDONLY);
    if (fd < 0) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(name, segment->serial, segment->first_seq);
        return error_set(error, "%s/%s: %s", reader->journal->directory, name, strerror(errno));
    }
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    segment_reader_open(&reader->file, fd, SEGMENT_HEADER_BYTES);
    reader->serial = segment->serial;
    return 0;
}

static int cannot_read(struct journal_reader *reader, const struct segment *segment, struct error *error)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(name, segment->serial, segment->first_seq);
    uint64_t offset = reader->file.offset;
    reader->serial = 0; /* opened anew when it is tried again */
    return error_set(error, "%s/%s: damaged at byte %" PRIu64 ": record %" PRIu64 " cannot be read",
                     reader->journal->directory, name, offset, reader->next_seq);
}

/* Takes note of a whole frame. Returns whether it has records that are wanted. */
static bool is_wanted(struct journal_reader *reader)
{
    struct frame *frame = &reader->frame;
    if (frame->first_seq + frame->count <= reader->next_seq)
        frame->count = 0; /* read already */
    else if (frame->count == 0 || frame->first_seq > reader->next_seq)
        reader->next_seq = frame->first_seq; /* numbers were passed over */
    return frame->count > 0;
}

/* Gets the next frame with records from next_seq on. 1: there is one; 0: nothing more up to `limit`; -1. */
static int next_frame(struct journal_reader *reader, uint64_t limit, struct error *error)
{
    bool again = false;
    while (reader->next_seq <= limit) {
        struct segment segment;
        bool newest = false;
        if (!locate(reader->journal, reader->next_seq, &segment, &newest))
            return 0;
        if (segment.serial != reader->serial && open_file(reader, &segment, error) != 0)
            return -1;
        enum frame_verdict verdict = segment_reader_next(&reader->file, &reader->frame);
        if (verdict == FRAME_WHOLE) {
            again = false;
            if (is_wanted(reader))
                return 1;
            continue;
        }
        reader->frame.count = 0;
        if (reader->next_seq > segment.last_seq) {
            /* Nothing was given these numbers: what has a number up to `limit` is written. */
            if (newest)
                reader->next_seq = limit + 1;
        } else if (!again) {
            /* It may have been read ahead while it was being written. */
            segment_reader_again(&reader->file);
            again = true;
        } else {
            return cannot_read(reader, &segment, error);
        }
    }
    return 0;
}

/* Takes up to `max` records of the frame at hand. */
static int take(struct journal_reader *reader, struct delta *deltas, size_t max, uint64_t limit, size_t *count,
                struct error *error)
{
    struct frame *frame = &reader->frame;
    while (frame->count > 0 && *count < max && frame->first_seq <= limit) {
        struct delta *delta = &deltas[*count];
        size_t size = record_decode(delta, frame->records, frame->length, frame->time_ms);
        if (size == 0) {
            frame->count = 0;
            reader->serial = 0;
            return error_set(error, "%s: record %" PRIu64 " is whole but cannot be understood",
                             reader->journal->directory, frame->first_seq);
        }
        delta->seq = frame->first_seq;
        frame->records += size;
        frame->length -= (uint32_t)size;
        frame->first_seq++;
        frame->count--;
        if (delta->seq < reader->next_seq)
            continue;
        reader->next_seq = delta->seq + 1;
        ++*count;
    }
    return 0;
}

int journal_reader_read(struct journal_reader *reader, struct delta *deltas, size_t max, uint64_t limit, size_t *count,
                        struct error *error)
{
    *count = 0;
    while (*count < max) {
        if (reader->frame.count == 0) {
            int result = next_frame(reader, limit, error);
            if (result <= 0)
                return result;
        }
        if (reader->frame.first_seq > limit)
            return 0;
        if (take(reader, deltas, max, limit, count, error) != 0)
            return -1;
    }
    return 0;
}
