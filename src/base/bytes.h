/*
 * bytes: a growing buffer to write compact records into, and a bounded reader that never goes past its
 * end. Integers are varints (7 bits a byte, least first) unless a width is named (little endian).
 */
#ifndef PRIVTRAK_BASE_BYTES_H
#define PRIVTRAK_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    uint8_t *data;
    size_t length;
    size_t capacity;
    bool failed; /* out of memory once: later writes do nothing */
};

void bytes_clear(struct bytes *bytes); /* frees it; zero-initialised again */
void bytes_put(struct bytes *bytes, const void *data, size_t size);
void bytes_put_u8(struct bytes *bytes, uint8_t value);
void bytes_put_u16(struct bytes *bytes, uint16_t value);
void bytes_put_u32(struct bytes *bytes, uint32_t value);
void bytes_put_varint(struct bytes *bytes, uint64_t value);

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed; /* it was asked for more than there is; all later reads give zero */
};

bool reader_is_at_end(const struct reader *reader);
void reader_get(struct reader *reader, void *data, size_t size);
uint8_t reader_get_u8(struct reader *reader);
uint16_t reader_get_u16(struct reader *reader);
uint32_t reader_get_u32(struct reader *reader);
uint64_t reader_get_varint(struct reader *reader);

#endif
