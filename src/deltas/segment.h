/*
 * segment: a file of the journal as bytes: a header, then frames of records one
 * behind the other. Private to this room. All integers are little endian.
 *
 *   header   magic "privtrak-journal", version u32, serial u32, instance (32 hex digits), first seq u64,
 *            after seq u64, synced seq u64, time u64 (Unix ms), checksum u64 (XXH3 of all before it)
 *   frame    checksum u64 (XXH3 of all behind it), magic "ptjf", length u32 (of the records), count u32, zero u32,
 *            first seq u64, synced seq u64, time u64 (Unix ms), records
 *
 * Both say in their synced seq which records were known to be on disk when they were made. So a
 * damaged frame can be told from one that was never synced: the former is named by a whole one behind it.
 */
#ifndef PRIVTRAK_DELTAS_SEGMENT_H
#define PRIVTRAK_DELTAS_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { INSTANCE_BYTES = 33 }; /* 32 hex digits and a NUL */
enum { SEGMENT_HEADER_BYTES = 96, SEGMENT_VERSION = 1 };
enum { FRAME_HEADER_BYTES = 48, FRAME_BYTES_MAX = 1 << 20 };
enum { SEGMENT_NAME_BYTES = 40 };

struct segment_header {
    uint32_t serial; /* counts the files made; of two that hold the same seq the higher serial is right */
    char instance[INSTANCE_BYTES];
    uint64_t first_seq; /* of its first record */
    uint64_t after_seq; /* the seq before that: lower than first_seq - 1 where numbers were passed over on purpose */
    uint64_t synced_seq;
    int64_t time_ms;
};

void segment_header_write(uint8_t bytes[static SEGMENT_HEADER_BYTES], const struct segment_header *header);

enum segment_verdict { SEGMENT_GOOD, SEGMENT_DAMAGED, SEGMENT_FOREIGN };

/* FOREIGN, with a reason: whole, but of a version that this program does not know. */
enum segment_verdict segment_header_read(struct segment_header *header,
                                         const uint8_t bytes[static SEGMENT_HEADER_BYTES], struct error *error);

/* "00000012-00000000000000008123.journal" and back. */
void segment_name(char name[static SEGMENT_NAME_BYTES], uint32_t serial, uint64_t first_seq);
bool segment_name_read(const char *name, uint32_t *serial, uint64_t *first_seq);

struct frame {
    uint32_t length; /* of the records */
    uint32_t count;  /* 0: only a mark that says what is synced */
    uint64_t first_seq;
    uint64_t synced_seq;
    int64_t time_ms;
    const uint8_t *records;
};

/* Fills in the header before the records, which already stand behind it. */
void frame_seal(uint8_t *bytes, const struct frame *frame);

/* Of a sealed frame. */
uint64_t frame_first_seq(const uint8_t *bytes);

enum frame_verdict { FRAME_WHOLE, FRAME_END, FRAME_DAMAGED };

/* Reads segments frame by frame through a buffer of its own. */
struct segment_reader {
    int fd;
    uint64_t offset; /* of the next frame */
    uint8_t *buffer;
    size_t held; /* bytes in the buffer, the first of them at `offset` - `used` */
    size_t used;
};

/* -1 with a reason: out of memory. */
int segment_reader_init(struct segment_reader *reader, struct error *error);
void segment_reader_clear(struct segment_reader *reader);

/* Takes over `fd` (closing the one before) and stands at `offset`. */
void segment_reader_open(struct segment_reader *reader, int fd, uint64_t offset);

/* Forgets what was read ahead: the file has grown, or was being written when it was read. */
void segment_reader_again(struct segment_reader *reader);

/* For what stands behind damage: moves to the next place at which a frame may begin; false: there is none. */
bool segment_reader_find(struct segment_reader *reader);
/* Moves one byte on from such a place. */
void segment_reader_step(struct segment_reader *reader);

/*
 * The frame at `offset`, valid until the next call; `offset` moves behind it only where it is
 * whole. FRAME_END: the file ends here, or only zeros follow. FRAME_DAMAGED, too, where the file cannot be read.
 */
enum frame_verdict segment_reader_next(struct segment_reader *reader, struct frame *frame);

#endif
