/* journal: opening, numbering and what waits in memory; journal_write.c hands it to the disk. */
#include "deltas/journal_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "deltas/record.h"

enum { BLOCK_BYTES_MIN = 64 << 10, BLOCK_BYTES_MAX = 256 << 10 };
enum { BLOCKS_MAX = 128, SPARES_MAX = 16 }; /* so at most 32 MiB wait for the disk; then the rings fill */

enum { LEFT_TO_OTHERS = 4 }; /* times what is reserved at once: 16 MiB with the default max_size */

/*
 * Some of the disk is left to others. Had the journal taken the last byte, a database on the same disk could
 * never take what the journal holds, and so the journal never give anything back.
 */
static int system_reserve(int fd, off_t offset, off_t size)
{
    struct statvfs disk;
    if (fstatvfs(fd, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < (uint64_t)size * (1 + LEFT_TO_OTHERS)) {
        errno = ENOSPC;
        return -1;
    }
    return fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, size);
}

static const struct journal_io system_io = {.write = pwrite, .sync = fdatasync, .reserve = system_reserve};

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
    return value < low ? low : value > high ? high : value;
}

void journal_set_max(struct journal *journal, uint64_t max_bytes)
{
    journal->max_bytes = max_bytes;
    journal->segment_bytes = clamp(max_bytes / 16, 64 << 10, 64 << 20);
    journal->reserve_bytes = clamp(journal->segment_bytes / 16, 64 << 10, 4 << 20);
}

struct journal *journal_open(const struct journal_settings *settings, struct error *error)
{
    struct journal *journal = calloc(1, sizeof(*journal));
    if (journal == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    journal->io = settings->io != NULL ? *settings->io : system_io;
    journal_set_max(journal, settings->max_bytes);
    journal->block_bytes = clamp(journal->segment_bytes, BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
    journal->fd = -1;
    journal->next_serial = 1;
    pthread_mutex_init(&journal->mutex, NULL);
    pthread_cond_init(&journal->work, NULL);
    journal->directory_fd = journal_directory_open(settings->state_dir, &journal->directory, error);
    if (journal->directory_fd < 0 || journal_recover(journal, settings->state_dir, error) != 0) {
        journal_close(journal);
        return NULL;
    }
    journal->synced = journal->complete = (struct place){.position = 0, .seq = journal->last_seq};
    journal->written_seq = journal->marked_seq = journal->last_seq;
    atomic_store(&journal->synced_seq, journal->last_seq);
    return journal;
}

static void free_blocks(struct block *block)
{
    while (block != NULL) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
}

void journal_close(struct journal *journal)
{
    if (journal == NULL)
        return;
    journal_sync_stop(journal);
    if (journal->fd >= 0) {
        /* Gives back what was reserved behind the last frame. */
        if (!journal->failing && ftruncate(journal->fd, (off_t)journal->offset) != 0)
            log_warning("journal", "cannot give back reserved space: %s", strerror(errno));
        close(journal->fd);
    }
    for (size_t i = 0; i < journal->closed_count; i++)
        close(journal->closed[i]);
    if (journal->directory_fd >= 0)
        close(journal->directory_fd);
    free_blocks(journal->head);
    free_blocks(journal->spares);
    free(journal->directory);
    free(journal->segments);
    free(journal->doomed);
    pthread_mutex_destroy(&journal->mutex);
    pthread_cond_destroy(&journal->work);
    free(journal);
}

int journal_start(struct journal *journal, void (*wake)(void *context), void *context, struct error *error)
{
    journal->wake = wake;
    journal->wake_context = context;
    if (journal_sync_start(journal, error) != 0)
        return -1;
    journal->started = true;
    return 0;
}

const char *journal_instance(const struct journal *journal)
{
    return journal->instance;
}

uint64_t journal_synced_seq(const struct journal *journal)
{
    return atomic_load_explicit(&journal->synced_seq, memory_order_acquire);
}

bool journal_is_full(const struct journal *journal)
{
    return atomic_load_explicit(&journal->full, memory_order_relaxed);
}

uint64_t journal_bytes(struct journal *journal)
{
    pthread_mutex_lock(&journal->mutex);
    uint64_t bytes = journal->bytes;
    pthread_mutex_unlock(&journal->mutex);
    return bytes;
}

uint64_t journal_begins_after(struct journal *journal)
{
    pthread_mutex_lock(&journal->mutex);
    uint64_t seq = journal->segment_count > 0 ? journal->segments[0].after_seq : journal->last_seq;
    pthread_mutex_unlock(&journal->mutex);
    return seq;
}

bool journal_may_trim(struct journal *journal, uint64_t seq)
{
    pthread_mutex_lock(&journal->mutex);
    bool may = journal->segment_count > 1 && journal->segments[0].last_seq <= seq;
    pthread_mutex_unlock(&journal->mutex);
    return may;
}

uint64_t journal_last_seq(const struct journal *journal)
{
    return journal->last_seq;
}

bool journal_is_behind(const struct journal *journal)
{
    return journal->frame != NULL || journal->synced.position < journal->sealed;
}

/* Each block may have to hold a mark before its frame. */
static size_t records_in(size_t bytes)
{
    return bytes > 2 * FRAME_HEADER_BYTES ? (bytes - 2 * FRAME_HEADER_BYTES) / RECORD_BYTES_MAX : 0;
}

size_t journal_room(struct journal *journal)
{
    size_t left = 0;
    if (journal->frame != NULL)
        left = (size_t)(journal->tail->bytes + journal->block_bytes - journal->frame_end);
    else if (journal->tail != NULL)
        left = journal->block_bytes - journal->tail->used;
    size_t room = records_in(left);
    if (journal->block_count >= BLOCKS_MAX)
        return room;

    if (journal->spares == NULL) {
        struct block *block = malloc(sizeof(*block) + journal->block_bytes);
        if (block == NULL)
            return room;
        block->next = NULL;
        journal->spares = block;
        journal->spare_count = 1;
    }
    return room + records_in(journal->block_bytes);
}

/* Takes a spare, of which journal_room saw to one. */
static void push_block(struct journal *journal)
{
    struct block *block = journal->spares;
    journal->spares = block->next;
    journal->spare_count--;
    *block = (struct block){.position = journal->sealed, .last_seq = journal->last_seq};
    if (journal->tail != NULL)
        journal->tail->next = block;
    else
        journal->head = block;
    if (journal->unwritten == NULL)
        journal->unwritten = block;
    journal->tail = block;
    journal->block_count++;
}

static void open_frame(struct journal *journal, uint64_t seq, int64_t time_ms)
{
    if (journal->tail == NULL || journal->block_bytes - journal->tail->used < FRAME_HEADER_BYTES + RECORD_BYTES_MAX)
        push_block(journal);
    journal->frame = journal->tail->bytes + journal->tail->used;
    journal->frame_end = journal->frame + FRAME_HEADER_BYTES;
    journal->frame_count = 0;
    journal->frame_seq = seq;
    journal->frame_ms = time_ms;
}

void journal_seal(struct journal *journal)
{
    if (journal->frame == NULL)
        return;
    size_t size = (size_t)(journal->frame_end - journal->frame);
    frame_seal(journal->frame, &(struct frame){
                                   .length = (uint32_t)(size - FRAME_HEADER_BYTES),
                                   .count = journal->frame_count,
                                   .first_seq = journal->frame_seq,
                                   .synced_seq = journal->synced.seq,
                                   .time_ms = journal->frame_ms,
                               });
    journal->tail->used += size;
    journal->tail->last_seq = journal->last_seq;
    journal->sealed += size;
    journal->frame = NULL;
}

/* A frame without records: says what is synced, and that numbers before `seq` which have not come will not come. */
static void append_mark(struct journal *journal, uint64_t seq)
{
    journal_seal(journal);
    open_frame(journal, seq, 0);
    journal_seal(journal);
    journal->gap = false;
}

void journal_append(struct journal *journal, const struct delta *deltas, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (journal->frame != NULL &&
            (size_t)(journal->tail->bytes + journal->block_bytes - journal->frame_end) < RECORD_BYTES_MAX)
            journal_seal(journal);
        if (journal->gap)
            append_mark(journal, journal->last_seq + 1);
        if (journal->frame == NULL)
            open_frame(journal, journal->last_seq + 1, deltas[i].time_ms);
        journal->frame_end = record_encode(journal->frame_end, &deltas[i], journal->frame_ms);
        journal->frame_count++;
        journal->last_seq++;
    }
}

void journal_mark(struct journal *journal)
{
    if (journal_is_behind(journal) || journal->marked_seq == journal->synced.seq || journal->fd < 0 ||
        journal_room(journal) == 0)
        return;
    append_mark(journal, journal->last_seq + 1);
    journal->marked_seq = journal->synced.seq;
}

void journal_skip_to(struct journal *journal, uint64_t seq)
{
    if (seq <= journal->last_seq)
        return;
    if (!journal->started) {
        /* The next segment's header will tell of the gap. */
        journal->last_seq = seq;
        journal->synced.seq = journal->complete.seq = journal->marked_seq = seq;
        atomic_store(&journal->synced_seq, seq);
        return;
    }
    journal_seal(journal);
    journal->last_seq = seq;
    journal->gap = true;
}

void journal_release_synced(struct journal *journal)
{
    while (journal->head != NULL && journal->head->position + journal->head->used <= journal->synced.position) {
        struct block *block = journal->head;
        if (block == journal->tail) {
            if (journal->frame != NULL)
                return;
            journal->tail = NULL;
        }
        if (journal->unwritten == block)
            journal->unwritten = block->next;
        journal->head = block->next;
        journal->block_count--;
        if (journal->spare_count >= SPARES_MAX) {
            free(block);
            continue;
        }
        block->next = journal->spares;
        journal->spares = block;
        journal->spare_count++;
    }
}

/* Makes `*list` hold one more. */
static int grow(struct segment **list, size_t count, size_t *capacity)
{
    if (count < *capacity)
        return 0;
    size_t larger = *capacity == 0 ? 32 : 2 * *capacity;
    struct segment *segments = realloc(*list, larger * sizeof(**list));
    if (segments == NULL)
        return -1;
    *list = segments;
    *capacity = larger;
    return 0;
}

int journal_segment_add(struct journal *journal, const struct segment *segment)
{
    if (grow(&journal->segments, journal->segment_count, &journal->segment_capacity) != 0)
        return -1;
    journal->segments[journal->segment_count++] = *segment;
    journal->bytes += segment->bytes;
    return 0;
}

void journal_doom(struct journal *journal, const struct segment *segment)
{
    if (grow(&journal->doomed, journal->doomed_count, &journal->doomed_capacity) == 0) {
        journal->doomed[journal->doomed_count++] = *segment;
        pthread_cond_signal(&journal->work);
        return;
    }
    char name[SEGMENT_NAME_BYTES];
    segment_name(name, segment->serial, segment->first_seq);
    unlinkat(journal->directory_fd, name, 0);
}

void journal_trim(struct journal *journal, uint64_t seq)
{
    size_t gone = 0;
    while (gone + 1 < journal->segment_count && journal->segments[gone].last_seq <= seq)
        gone++;
    if (gone == 0)
        return;
    pthread_mutex_lock(&journal->mutex);
    for (size_t i = 0; i < gone; i++) {
        journal->bytes -= journal->segments[i].bytes;
        journal_doom(journal, &journal->segments[i]);
    }
    journal->segment_count -= gone;
    memmove(journal->segments, journal->segments + gone, journal->segment_count * sizeof(*journal->segments));
    pthread_mutex_unlock(&journal->mutex);
}
