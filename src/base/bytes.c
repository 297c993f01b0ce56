/* bytes: see bytes.h. */
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

void bytes_clear(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){.data = NULL};
}

/* Makes room for `size` more; false where there is none. */
static bool reserve(struct bytes *bytes, size_t size)
{
    if (bytes->failed)
        return false;
    if (bytes->capacity - bytes->length >= size)
        return true;
    size_t capacity = bytes->capacity == 0 ? 4096 : bytes->capacity;
    while (capacity - bytes->length < size)
        capacity *= 2;
    uint8_t *data = realloc(bytes->data, capacity);
    if (data == NULL) {
        bytes->failed = true;
        return false;
    }
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

void bytes_put(struct bytes *bytes, const void *data, size_t size)
{
    if (size == 0 || !reserve(bytes, size)) /* memcpy of nothing must not be from nowhere */
        return;
    memcpy(bytes->data + bytes->length, data, size);
    bytes->length += size;
}

void bytes_put_u8(struct bytes *bytes, uint8_t value)
{
    bytes_put(bytes, &value, sizeof value);
}

void bytes_put_u16(struct bytes *bytes, uint16_t value)
{
    const uint8_t raw[] = {(uint8_t)value, (uint8_t)(value >> 8)};
    bytes_put(bytes, raw, sizeof raw);
}

void bytes_put_u32(struct bytes *bytes, uint32_t value)
{
    const uint8_t raw[] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24)};
    bytes_put(bytes, raw, sizeof raw);
}

void bytes_put_varint(struct bytes *bytes, uint64_t value)
{
    uint8_t raw[10];
    size_t length = 0;
    while (value >= 0x80) {
        raw[length++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    raw[length++] = (uint8_t)value;
    bytes_put(bytes, raw, length);
}

bool reader_is_at_end(const struct reader *reader)
{
    return reader->failed || reader->at == reader->end;
}

void reader_get(struct reader *reader, void *data, size_t size)
{
    if (reader->failed || (size_t)(reader->end - reader->at) < size) {
        reader->failed = true;
        memset(data, 0, size);
        return;
    }
    memcpy(data, reader->at, size);
    reader->at += size;
}

uint8_t reader_get_u8(struct reader *reader)
{
    uint8_t value;
    reader_get(reader, &value, sizeof value);
    return value;
}

uint16_t reader_get_u16(struct reader *reader)
{
    uint8_t raw[2];
    reader_get(reader, raw, sizeof raw);
    return (uint16_t)(raw[0] | raw[1] << 8);
}

uint32_t reader_get_u32(struct reader *reader)
{
    uint8_t raw[4];
    reader_get(reader, raw, sizeof raw);
    return (uint32_t)raw[0] | (uint32_t)raw[1] << 8 | (uint32_t)raw[2] << 16 | (uint32_t)raw[3] << 24;
}

uint64_t reader_get_varint(struct reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = reader_get_u8(reader);
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    reader->failed = true; /* more than any 64-bit number */
    return 0;
}
