#include "deltas/segment.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { BUFFER_BYTES = FRAME_BYTES_MAX + (64 << 10) };

static const uint8_t magic[16] = {'p', 'r', 'i', 'v', 't', 'r', 'a', 'k', '-', 'j', 'o', 'u', 'r', 'n', 'a', 'l'};
static const uint32_t frame_magic = 0x666a7470; /* "ptjf" */

static void put32(uint8_t *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof(value));
}

static void put64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof(value));
}

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return le32toh(value);
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return le64toh(value);
}

void segment_header_write(uint8_t bytes[static SEGMENT_HEADER_BYTES], const struct segment_header *header)
{
    memcpy(bytes, magic, 16);
    put32(bytes + 16, SEGMENT_VERSION);
    put32(bytes + 20, header->serial);
    memcpy(bytes + 24, header->instance, 32);
    put64(bytes + 56, header->first_seq);
    put64(bytes + 64, header->after_seq);
    put64(bytes + 72, header->synced_seq);
    put64(bytes + 80, (uint64_t)header->time_ms);
    put64(bytes + 88, XXH3_64bits(bytes, 88));
}

static bool is_instance(const uint8_t *text)
{
    for (int i = 0; i < 32; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

enum segment_verdict segment_header_read(struct segment_header *header,
                                         const uint8_t bytes[static SEGMENT_HEADER_BYTES], struct error *error)
{
    if (memcmp(bytes, magic, 16) != 0 || get64(bytes + 88) != XXH3_64bits(bytes, 88) || !is_instance(bytes + 24)) {
        error_set(error, "its header is damaged");
        return SEGMENT_DAMAGED;
    }
    uint32_t version = get32(bytes + 16);
    if (version != SEGMENT_VERSION) {
        error_set(error, "it has version %" PRIu32 ", this program knows version %d", version, SEGMENT_VERSION);
        return SEGMENT_FOREIGN;
    }
    header->serial = get32(bytes + 20);
    memcpy(header->instance, bytes + 24, 32);
    header->instance[32] = '\0';
    header->first_seq = get64(bytes + 56);
    header->after_seq = get64(bytes + 64);
    header->synced_seq = get64(bytes + 72);
    header->time_ms = (int64_t)get64(bytes + 80);
    return SEGMENT_GOOD;
}

void segment_name(char name[static SEGMENT_NAME_BYTES], uint32_t serial, uint64_t first_seq)
{
    (void)snprintf(name, SEGMENT_NAME_BYTES, "%08" PRIx32 "-%020" PRIu64 ".journal", serial, first_seq);
}

bool segment_name_read(const char *name, uint32_t *serial, uint64_t *first_seq)
{
    if (strspn(name, "0123456789abcdef") != 8 || name[8] != '-' || strspn(name + 9, "0123456789") != 20)
        return false;
    if (strcmp(name + 29, ".journal") != 0)
        return false;
    errno = 0;
    *serial = (uint32_t)strtoul(name, NULL, 16);
    *first_seq = strtoull(name + 9, NULL, 10);
    return errno == 0;
}

void frame_seal(uint8_t *bytes, const struct frame *frame)
{
    put32(bytes + 8, frame_magic);
    put32(bytes + 12, frame->length);
    put32(bytes + 16, frame->count);
    put32(bytes + 20, 0);
    put64(bytes + 24, frame->first_seq);
    put64(bytes + 32, frame->synced_seq);
    put64(bytes + 40, (uint64_t)frame->time_ms);
    put64(bytes, XXH3_64bits(bytes + 8, FRAME_HEADER_BYTES - 8 + frame->length));
}

uint64_t frame_first_seq(const uint8_t *bytes)
{
    return get64(bytes + 24);
}

int segment_reader_init(struct segment_reader *reader, struct error *error)
{
    *reader = (struct segment_reader){.fd = -1, .buffer = malloc(BUFFER_BYTES)};
    return reader->buffer == NULL ? error_set(error, "out of memory") : 0;
}

void segment_reader_clear(struct segment_reader *reader)
{
    if (reader->fd >= 0)
        close(reader->fd);
    free(reader->buffer);
    *reader = (struct segment_reader){.fd = -1};
}

void segment_reader_open(struct segment_reader *reader, int fd, uint64_t offset)
{
    if (reader->fd >= 0)
        close(reader->fd);
    reader->fd = fd;
    reader->offset = offset;
    reader->held = 0;
    reader->used = 0;
}

void segment_reader_again(struct segment_reader *reader)
{
    reader->held = 0;
    reader->used = 0;
}

/* Makes up to `wanted` bytes at `offset` stand in the buffer; returns how many there are, -1 where reading fails. */
static ssize_t fill(struct segment_reader *reader, size_t wanted)
{
    size_t ready = reader->held - reader->used;
    if (ready >= wanted)
        return (ssize_t)ready;
    memmove(reader->buffer, reader->buffer + reader->used, ready);
    reader->used = 0;
    reader->held = ready;
    while (reader->held < wanted) {
        ssize_t got = pread(reader->fd, reader->buffer + reader->held, BUFFER_BYTES - reader->held,
                            (off_t)(reader->offset + reader->held));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        reader->held += (size_t)got;
    }
    return (ssize_t)reader->held;
}

/* Whether nothing but zeros stands from here to the end: space that was reserved and never written. */
static bool only_zeros_follow(struct segment_reader *reader)
{
    uint8_t block[4096];
    off_t at = (off_t)reader->offset;
    for (;;) {
        ssize_t got = pread(reader->fd, block, sizeof(block), at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0;
        for (ssize_t i = 0; i < got; i++)
            if (block[i] != 0)
                return false;
        at += got;
    }
}

enum frame_verdict segment_reader_next(struct segment_reader *reader, struct frame *frame)
{
    ssize_t ready = fill(reader, FRAME_HEADER_BYTES);
    if (ready == 0)
        return FRAME_END;
    if (ready < 0)
        return FRAME_DAMAGED;
    const uint8_t *bytes = reader->buffer + reader->used;
    if (ready < FRAME_HEADER_BYTES || get32(bytes + 8) != frame_magic)
        return only_zeros_follow(reader) ? FRAME_END : FRAME_DAMAGED;

    *frame = (struct frame){
        .length = get32(bytes + 12),
        .count = get32(bytes + 16),
        .first_seq = get64(bytes + 24),
        .synced_seq = get64(bytes + 32),
        .time_ms = (int64_t)get64(bytes + 40),
    };
    if (frame->length > FRAME_BYTES_MAX - FRAME_HEADER_BYTES)
        return FRAME_DAMAGED;
    size_t whole = FRAME_HEADER_BYTES + frame->length;
    ready = fill(reader, whole);
    if (ready < (ssize_t)whole)
        return FRAME_DAMAGED;
    bytes = reader->buffer + reader->used;
    if (get64(bytes) != XXH3_64bits(bytes + 8, whole - 8))
        return FRAME_DAMAGED;
    frame->records = bytes + FRAME_HEADER_BYTES;
    reader->used += whole;
    reader->offset += whole;
    return FRAME_WHOLE;
}

bool segment_reader_find(struct segment_reader *reader)
{
    uint8_t wanted[4];
    put32(wanted, frame_magic);
    while (fill(reader, FRAME_HEADER_BYTES) >= FRAME_HEADER_BYTES) {
        const uint8_t *from = reader->buffer + reader->used + 8;
        size_t size = reader->held - reader->used - 8;
        const uint8_t *place = memmem(from, size, wanted, sizeof(wanted));
        size_t step = place != NULL ? (size_t)(place - from) : size - (sizeof(wanted) - 1);
        reader->used += step;
        reader->offset += step;
        if (place != NULL)
            return true;
    }
    return false;
}

void segment_reader_step(struct segment_reader *reader)
{
    reader->used++;
    reader->offset++;
}
