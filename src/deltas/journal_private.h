/* journal_private: what the journal's own files share. Nobody else includes it. */
#ifndef PRIVTRAK_DELTAS_JOURNAL_PRIVATE_H
#define PRIVTRAK_DELTAS_JOURNAL_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "deltas/journal.h"
#include "deltas/segment.h"
#include "deltas/thread.h"

enum { CLOSED_FDS_MAX = 16 };

/* A file of the journal that counts. They are kept in order of serial, and so of first_seq. */
struct segment {
    uint32_t serial;
    uint64_t first_seq;
    uint64_t after_seq;
    uint64_t last_seq; /* of what was handed to the kernel; first_seq - 1 where nothing was */
    uint64_t bytes;
};

/* Frames that are not known to be on disk, one behind the other. */
struct block {
    struct block *next;
    uint64_t position; /* of its first byte in the stream of all bytes appended by this process */
    uint64_t last_seq;
    size_t used; /* sealed frames only */
    uint8_t bytes[];
};

/* A place in the stream of appended bytes, at the end of a frame. */
struct place {
    uint64_t position;
    uint64_t seq;
};

enum sync_state { SYNC_IDLE, SYNC_RUNNING, SYNC_ENDED };

/* Filled by the ledger's thread while idle, by the helper while running. */
struct sync_job {
    int closed[CLOSED_FDS_MAX]; /* files that are complete: synced, then closed */
    size_t closed_count;
    int fd;             /* the file being written; -1: none */
    bool directory;     /* a file was made since the last */
    struct place place; /* what is safe when it succeeds */
    int failure;        /* errno, or 0 */
    int64_t took_ns;
};

struct journal {
    /* Set once. */
    char *directory;
    struct journal_io io;
    uint64_t block_bytes;
    char instance[INSTANCE_BYTES];
    bool cannot_reserve;
    bool started;
    int directory_fd;

    /* The ledger's thread: sizes and numbers. */
    uint64_t max_bytes;
    uint64_t segment_bytes;
    uint64_t reserve_bytes;
    uint64_t last_seq;
    uint64_t marked_seq;
    uint64_t written_seq;  /* last seq of the last block written out, for the next segment's header */
    uint64_t sealed;       /* position behind the last sealed frame */
    uint64_t written;      /* position up to which the kernel took bytes */
    struct place complete; /* where `written` last met `sealed` */
    struct place synced;

    /* The ledger's thread: what waits in memory. */
    struct block *head;      /* oldest that is not synced */
    struct block *tail;      /* the one being filled; NULL: none */
    struct block *unwritten; /* the block that the next byte to be written is in */
    struct block *spares;
    size_t block_count;
    size_t spare_count;
    uint8_t *frame; /* the open frame's header in the tail's bytes; NULL: none open */
    uint8_t *frame_end;
    uint64_t frame_seq;
    int64_t frame_ms;
    uint32_t frame_count;

    /* The ledger's thread: the segment being written. */
    int fd;            /* -1: none yet */
    uint64_t offset;   /* of the next byte in it */
    uint64_t reserved; /* up to there the disk has room for certain */
    size_t closed_count;
    int closed[CLOSED_FDS_MAX];
    uint32_t next_serial;

    /* The ledger's thread: what has happened. */
    bool gap;               /* numbers were passed over: a mark has to say so before the next record */
    bool mid_block;         /* a write broke off somewhere within a frame */
    bool directory_changed; /* a file was made that no sync of the folder has covered */
    bool sync_running;
    bool failing; /* a write or sync failed, and none has succeeded since */
    bool low;     /* no room could be reserved ahead */
    bool abandon; /* go on in another file, from what is synced */
    _Atomic bool full;
    _Atomic uint64_t synced_seq;
    int64_t retry_ns;
    int64_t pause_ns;

    struct sync_job job; /* the helper's while sync_state is SYNC_RUNNING, else the ledger's */
    struct thread thread;
    void (*wake)(void *context);
    void *wake_context;

    /* Under the mutex: the readers ask for files, the helper for work. */
    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct segment *segments;
    size_t segment_count;
    size_t segment_capacity;
    uint64_t bytes;
    struct segment *doomed; /* files to be removed */
    size_t doomed_count;
    size_t doomed_capacity;
    enum sync_state sync_state;
    bool stop;
};

/* journal_recover.c: finds and checks what is on disk. */
int journal_recover(struct journal *journal, const char *state_dir, struct error *error);
/* Opens state_dir/journal, making it, and locks it against a second tracker. -1 with a reason. */
int journal_directory_open(const char *state_dir, char **path, struct error *error);

struct segment_list {
    struct segment *segments;
    size_t count;
};
/* All segment files by name, ordered by serial. */
int journal_list(int directory_fd, const char *path, struct segment_list *list, struct error *error);
int journal_segment_open(int directory_fd, uint32_t serial, uint64_t first_seq, int flags);
/* Behind `offset`, the offset of the next whole frame; UINT64_MAX where there is none. */
uint64_t journal_next_whole_frame(int fd, uint64_t offset);

/* journal_instance.c */
int journal_instance_read(const char *state_dir, char instance[static INSTANCE_BYTES],
                          struct error *error); /* 1: there is none */
int journal_instance_make(const char *state_dir, char instance[static INSTANCE_BYTES], struct error *error);
int journal_instance_write(const char *state_dir, const char *instance, struct error *error);

/* journal_write.c: makes the first file of a new journal, without a record. */
int journal_begin(struct journal *journal, struct error *error);

/* journal_sync.c */
int journal_sync_start(struct journal *journal, struct error *error);
void journal_sync_stop(struct journal *journal);

/* journal.c; the first two with the mutex held. */
int journal_segment_add(struct journal *journal, const struct segment *segment);
void journal_doom(struct journal *journal, const struct segment *segment);
void journal_seal(struct journal *journal);
void journal_release_synced(struct journal *journal);

#endif
