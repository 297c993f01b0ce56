/*
 * journal_write: from memory to the files, on the ledger's thread. Whatever the
 * disk says, nothing is given up: bytes stay in their blocks until they are synced.
 */
#include "deltas/journal_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static const int64_t pause_min_ns = 100 * 1000 * 1000;
static const int64_t pause_max_ns = 5ll * 1000 * 1000 * 1000;

/* Whether the disk may take the same bytes at the same place once there is room again. */
static bool is_lack_of_room(int failure)
{
    return failure == ENOSPC || failure == EDQUOT || failure == EFBIG || failure == ENOMEM || failure == EMFILE ||
           failure == ENFILE;
}

/* Notes a failure; the first one of a series is told. */
static void trouble(struct journal *journal, const char *what, int failure, int64_t now_ns)
{
    if (!journal->failing)
        log_error("journal", "cannot %s in %s: %s; announces are refused until it can", what, journal->directory,
                  strerror(failure));
    journal->failing = true;
    journal->pause_ns = journal->pause_ns == 0 ? pause_min_ns : 2 * journal->pause_ns;
    if (journal->pause_ns > pause_max_ns)
        journal->pause_ns = pause_max_ns;
    journal->retry_ns = now_ns + journal->pause_ns;
    if (!is_lack_of_room(failure))
        journal->abandon = true;
    atomic_store_explicit(&journal->full, true, memory_order_relaxed);
}

/*
 * Full from 15/16 of the bound on, for what is still in the rings will come; not full
 * again before a sixteenth more is free, so that it does not flicker.
 */
static void update_full(struct journal *journal)
{
    uint64_t step = journal->max_bytes / 16;
    uint64_t bytes = journal->bytes + (journal->sealed - journal->written);
    bool was_full = journal_is_full(journal);
    bool full = bytes >= journal->max_bytes - step || (was_full && bytes >= journal->max_bytes - 2 * step);
    full = full || journal->failing || journal->low;
    if (full == was_full)
        return;
    if (full && !journal->low)
        log_warning("journal",
                    "full: %" PRIu64 " of %" PRIu64 " bytes; announces are refused until there is room again", bytes,
                    journal->max_bytes);
    else if (!full)
        log_info("journal", "there is room again: %" PRIu64 " of %" PRIu64 " bytes in use", bytes, journal->max_bytes);
    atomic_store_explicit(&journal->full, full, memory_order_relaxed);
}

/*
 * Goes back to what is certainly on disk: everything behind it will be written into a new file, because after a
 * failed sync the kernel may call pages clean that the disk never got, and a second sync would then succeed
 * without them. The old file is believed only up to the new one's first seq.
 */
static void rewind_to_synced(struct journal *journal)
{
    for (size_t i = 0; i < journal->closed_count; i++)
        close(journal->closed[i]);
    journal->closed_count = 0;
    if (journal->fd >= 0)
        close(journal->fd);
    journal->fd = -1;
    journal->mid_block = false;
    journal->low = false;
    journal->abandon = false;
    journal->complete = journal->synced;
    journal->written = journal->synced.position;
    journal->written_seq = journal->synced.seq;
    journal->unwritten = journal->head;

    pthread_mutex_lock(&journal->mutex);
    for (size_t i = 0; i < journal->segment_count; i++)
        if (journal->segments[i].last_seq > journal->synced.seq)
            journal->segments[i].last_seq = journal->synced.seq;
    pthread_mutex_unlock(&journal->mutex);
    log_warning("journal", "writing what is not certainly on disk anew, behind seq %" PRIu64, journal->synced.seq);
}

/* Where in the block the next byte to be written stands. */
static const uint8_t *next_byte(const struct journal *journal)
{
    return journal->unwritten->bytes + (journal->written - journal->unwritten->position);
}

/* What begins at or behind the new segment counts no more: the mutex is held. */
static void supersede(struct journal *journal, uint64_t first_seq)
{
    while (journal->segment_count > 0 && journal->segments[journal->segment_count - 1].first_seq >= first_seq) {
        struct segment *last = &journal->segments[--journal->segment_count];
        journal->bytes -= last->bytes;
        journal_doom(journal, last);
    }
}

/* Makes a segment's file with its header. Returns its descriptor, or a negative errno. */
static int make_segment(struct journal *journal, const struct segment *segment)
{
    int fd =
        journal_segment_open(journal->directory_fd, segment->serial, segment->first_seq, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0)
        return -errno;
    struct segment_header header = {
        .serial = segment->serial,
        .first_seq = segment->first_seq,
        .after_seq = segment->after_seq,
        .synced_seq = journal->synced.seq,
        .time_ms = clock_now_ms(),
    };
    memcpy(header.instance, journal->instance, sizeof(header.instance));
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    segment_header_write(bytes, &header);
    ssize_t wrote = journal->io.write(fd, bytes, sizeof(bytes), 0);
    int failure = wrote == (ssize_t)sizeof(bytes) ? 0 : wrote < 0 ? errno : ENOSPC;
    if (failure == 0) {
        pthread_mutex_lock(&journal->mutex);
        supersede(journal, segment->first_seq);
        failure = journal_segment_add(journal, segment) == 0 ? 0 : ENOMEM;
        pthread_mutex_unlock(&journal->mutex);
    }
    if (failure != 0) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(name, segment->serial, segment->first_seq);
        unlinkat(journal->directory_fd, name, 0);
        close(fd);
        return -failure;
    }
    journal->next_serial++;
    return fd;
}

int journal_begin(struct journal *journal, struct error *error)
{
    struct segment segment = {.serial = journal->next_serial, .first_seq = 1, .bytes = SEGMENT_HEADER_BYTES};
    int fd = make_segment(journal, &segment);
    int failure = fd < 0 ? -fd : 0;
    if (fd >= 0) {
        if (journal->io.sync(fd) != 0 || journal->io.sync(journal->directory_fd) != 0)
            failure = errno;
        close(fd);
    }
    return failure == 0 ? 0 : error_set(error, "%s: cannot be written: %s", journal->directory, strerror(failure));
}

/* Makes the next segment, for the frame that is to be written next. Returns 0 or an errno. */
static int open_segment(struct journal *journal)
{
    struct segment segment = {
        .serial = journal->next_serial,
        .first_seq = frame_first_seq(next_byte(journal)),
        .after_seq = journal->written_seq,
        .bytes = SEGMENT_HEADER_BYTES,
    };
    segment.last_seq = segment.first_seq - 1;
    int fd = make_segment(journal, &segment);
    if (fd < 0)
        return -fd;
    journal->fd = fd;
    journal->offset = SEGMENT_HEADER_BYTES;
    journal->reserved = 0;
    journal->directory_changed = true;
    return 0;
}

/* Asks the disk for room ahead, so that a disk that fills up is noticed while what is in the rings still fits. */
static void reserve(struct journal *journal, size_t size, int64_t now_ns)
{
    if (journal->cannot_reserve || (journal->low && now_ns < journal->retry_ns))
        return;
    uint64_t wanted = journal->offset + size;
    if (journal->offset + journal->reserve_bytes < journal->segment_bytes)
        wanted += journal->reserve_bytes / 2;
    while (journal->reserved < wanted) {
        uint64_t from = journal->reserved > journal->offset ? journal->reserved : journal->offset;
        if (journal->io.reserve(journal->fd, (off_t)from, (off_t)journal->reserve_bytes) == 0) {
            journal->reserved = from + journal->reserve_bytes;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) {
            journal->cannot_reserve = true;
            return;
        }
        if (!journal->low)
            log_warning("journal", "%s is nearly full: %s; announces are refused until there is room again",
                        journal->directory, strerror(errno));
        journal->low = true;
        journal->retry_ns = now_ns + 10 * pause_min_ns;
        return;
    }
    journal->low = false;
}

/* Returns 0 or an errno; what went out before a failure counts. */
static int write_block(struct journal *journal)
{
    struct block *block = journal->unwritten;
    uint64_t end = block->position + block->used;
    while (journal->written < end) {
        ssize_t wrote =
            journal->io.write(journal->fd, next_byte(journal), end - journal->written, (off_t)journal->offset);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            journal->mid_block = true;
            return wrote < 0 ? errno : ENOSPC;
        }
        journal->written += (uint64_t)wrote;
        journal->offset += (uint64_t)wrote;
    }
    journal->mid_block = false;
    journal->written_seq = block->last_seq;
    pthread_mutex_lock(&journal->mutex);
    struct segment *segment = &journal->segments[journal->segment_count - 1];
    journal->bytes += journal->offset - segment->bytes;
    segment->bytes = journal->offset;
    segment->last_seq = block->last_seq;
    pthread_mutex_unlock(&journal->mutex);
    return 0;
}

/* Sees to it that a segment is open for what comes. Returns 0 or an errno; EBUSY: the helper has to catch up first. */
static int ready_segment(struct journal *journal)
{
    if (journal->fd >= 0 && (journal->mid_block || journal->offset < journal->segment_bytes))
        return 0;
    if (journal->fd >= 0) {
        if (journal->closed_count == CLOSED_FDS_MAX)
            return EBUSY;
        journal->closed[journal->closed_count++] = journal->fd;
        journal->fd = -1;
    }
    return open_segment(journal);
}

static bool write_all(struct journal *journal, int64_t now_ns)
{
    while (journal->written < journal->sealed) {
        struct block *block = journal->unwritten;
        if (journal->written == block->position + block->used) {
            journal->unwritten = block->next;
            continue;
        }
        int failure = ready_segment(journal);
        if (failure == EBUSY)
            return false;
        if (failure != 0) {
            trouble(journal, "make a file", failure, now_ns);
            return false;
        }
        reserve(journal, block->position + block->used - journal->written, now_ns);
        failure = write_block(journal);
        if (failure != 0) {
            trouble(journal, "write", failure, now_ns);
            return false;
        }
    }
    return true;
}

void journal_hurry(struct journal *journal, int64_t now_ns)
{
    if (journal->pause_ns > pause_min_ns)
        journal->pause_ns = pause_min_ns;
    if (journal->failing && journal->retry_ns > now_ns + pause_min_ns)
        journal->retry_ns = now_ns + pause_min_ns;
}

bool journal_write(struct journal *journal, int64_t now_ns)
{
    journal_seal(journal);
    if (journal->failing && now_ns < journal->retry_ns)
        return false;
    if (journal->abandon) {
        if (journal->sync_running)
            return false;
        rewind_to_synced(journal);
    }
    bool done = write_all(journal, now_ns);
    if (done) {
        journal->complete = (struct place){.position = journal->sealed, .seq = journal->last_seq};
        if (journal->fd >= 0 && journal->low)
            reserve(journal, 0, now_ns);
    }
    update_full(journal);
    return done;
}

bool journal_sync_ended(struct journal *journal, struct journal_sync_result *result, int64_t now_ns)
{
    if (!journal->sync_running)
        return false;
    pthread_mutex_lock(&journal->mutex);
    bool ended = journal->sync_state == SYNC_ENDED;
    if (ended)
        journal->sync_state = SYNC_IDLE;
    pthread_mutex_unlock(&journal->mutex);
    if (!ended)
        return false;

    journal->sync_running = false;
    const struct sync_job *job = &journal->job;
    *result = (struct journal_sync_result){.ok = job->failure == 0, .took_ns = (uint64_t)job->took_ns};
    if (job->failure != 0) {
        trouble(journal, "sync", job->failure, now_ns);
        journal->abandon = true;
        return true;
    }
    journal->synced = job->place;
    atomic_store_explicit(&journal->synced_seq, journal->synced.seq, memory_order_release);
    journal_release_synced(journal);
    if (journal->failing && !journal->abandon && journal->complete.position == journal->sealed) {
        log_info("journal", "the disk takes writes again");
        journal->failing = false;
        journal->pause_ns = 0;
        update_full(journal);
    }
    return true;
}
