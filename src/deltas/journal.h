/*
 * journal: the numbered records on disk, in segment files under state_dir/journal.
 * Private to this room. One thread (the ledger's) appends, writes and trims; a
 * helper thread (journal-sync) waits for the disk, so that appending does not;
 * any number of readers follow behind what is synced.
 *
 * What was appended stays in memory until it is synced. So a failed write is
 * tried again, and after a failed sync, which may have dropped what the kernel
 * still held, all that is not certainly on disk is written anew into another file.
 */
#ifndef PRIVTRAK_DELTAS_JOURNAL_H
#define PRIVTRAK_DELTAS_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "deltas/delta.h"

struct journal;

/* The calls that may fail for the disk's sake, so that tests can make them fail. Each returns what the system's returns. */
struct journal_io {
    ssize_t (*write)(int fd, const void *bytes, size_t size, off_t offset);
    int (*sync)(int fd);
    int (*reserve)(int fd, off_t offset, off_t size);
};

struct journal_settings {
    const char *state_dir;
    uint64_t max_bytes;
    const struct journal_io *io; /* NULL: the system's calls */
};

/*
 * Opens the journal, making it where there is none: checks every frame, cuts off a torn tail
 * (logged). NULL with a reason: damage in the middle, another tracker runs on it, no right to write.
 */
struct journal *journal_open(const struct journal_settings *settings, struct error *error);

/* Ends the helper thread; what was not synced is only in the kernel's hands. NULL is allowed. */
void journal_close(struct journal *journal);

/* 32 hex digits that name this journal: two journals never share them. */
const char *journal_instance(const struct journal *journal);

/* Starts the helper thread, which calls `wake` after each sync. */
int journal_start(struct journal *journal, void (*wake)(void *context), void *context, struct error *error);

/* Any thread. */
uint64_t journal_synced_seq(const struct journal *journal);
bool journal_is_full(const struct journal *journal);
uint64_t journal_bytes(struct journal *journal);

/* Any thread: whether journal_trim up to `seq` would remove anything. */
bool journal_may_trim(struct journal *journal, uint64_t seq);

/* Any thread: the seq behind which records can be read without a gap. */
uint64_t journal_begins_after(struct journal *journal);

/* All that follows: the ledger's thread only, or before any thread was started. */

uint64_t journal_last_seq(const struct journal *journal);

/* Numbers up to `seq` are taken by somebody: the next record gets a higher one. */
void journal_skip_to(struct journal *journal, uint64_t seq);

/* How many records may be appended now; 0 where memory holds too much that is not yet on disk. */
size_t journal_room(struct journal *journal);

/* Numbers `count` records, at most journal_room, and puts them into memory. */
void journal_append(struct journal *journal, const struct delta *deltas, size_t count);

/*
 * Hands all that was appended to the kernel. False where the disk does not take it: it is tried again
 * by later calls, with growing pauses. To be called regularly, also when there is nothing new.
 */
bool journal_write(struct journal *journal, int64_t now_ns);

/* For the end of the process: a disk that failed is tried again soon, however long it has failed. To be called before each journal_write. */
void journal_hurry(struct journal *journal, int64_t now_ns);

/* Notes at the end of the file that all of it is synced, so that later damage is not taken for a torn tail. */
void journal_mark(struct journal *journal);

/* Begins a sync of all that the kernel took. False where one is on its way already, or nothing waits for one. */
bool journal_sync_begin(struct journal *journal);

/* Whether something appended is not yet known to be on disk. */
bool journal_is_behind(const struct journal *journal);

struct journal_sync_result {
    bool ok; /* false: what it was to cover is not safe; it will be written again */
    uint64_t took_ns;
};

/* True once for each sync that has ended. */
bool journal_sync_ended(struct journal *journal, struct journal_sync_result *result, int64_t now_ns);

/* Removes the segments whose records are all at or below `seq`, but never the newest. */
void journal_trim(struct journal *journal, uint64_t seq);

void journal_set_max(struct journal *journal, uint64_t max_bytes);

/* journal_reader: reads records in order, on any one thread. */
struct journal_reader;

struct journal_reader *journal_reader_new(struct journal *journal, struct error *error);
void journal_reader_free(struct journal_reader *reader);

/* The next record read is the first above `seq`. */
void journal_reader_seek(struct journal_reader *reader, uint64_t seq);

/* The seq up to which all has been read: of the last record, or of a gap behind it. */
uint64_t journal_reader_seq(const struct journal_reader *reader);

/*
 * Reads up to `max` records with a seq of at most `limit`, which must be synced (or the journal not
 * yet started). Returns 0 with the number in `*count`, -1 with a reason.
 */
int journal_reader_read(struct journal_reader *reader, struct delta *deltas, size_t max, uint64_t limit, size_t *count,
                        struct error *error);

/*
 * For a journal that does not open because of damage, and with no tracker running on it: moves each damaged
 * segment aside (NAME.damaged), and puts one in its place that holds all its whole frames. Returns 0 and tells what it
 * did; -1 with a reason. Records that are lost are told as numbers; a number may be counted that was never given.
 */
struct journal_salvage {
    size_t segments_checked;
    size_t segments_replaced;
    uint64_t records_kept; /* in those */
    uint64_t records_lost;
    char moved_to[256]; /* the last file moved aside; "": none */
};
int journal_salvage(const char *state_dir, struct journal_salvage *report, struct error *error);

#endif
