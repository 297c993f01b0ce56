/* buffer: see buffer.h. */
#include "http/buffer.h"

#include <stdlib.h>
#include <string.h>

enum { SMALLEST = 2048 };

char *buffer_reserve(struct buffer *buffer, size_t size)
{
    if (buffer->start > 0 && buffer_room(buffer) < size) {
        memmove(buffer->memory, buffer_bytes(buffer), buffer->length);
        buffer->start = 0;
    }
    if (buffer_room(buffer) < size) {
        size_t capacity = buffer->capacity > 0 ? buffer->capacity : SMALLEST;
        while (capacity < buffer->length + size)
            capacity *= 2;
        char *memory = realloc(buffer->memory, capacity);
        if (memory == NULL)
            return NULL;
        buffer->memory = memory;
        buffer->capacity = capacity;
    }
    return buffer->memory + buffer->start + buffer->length;
}

bool buffer_append(struct buffer *buffer, const char *bytes, size_t length)
{
    char *to = buffer_reserve(buffer, length);
    if (to == NULL)
        return false;
    memcpy(to, bytes, length);
    buffer->length += length;
    return true;
}

void buffer_consume(struct buffer *buffer, size_t length)
{
    buffer->start += length;
    buffer->length -= length;
    if (buffer->length == 0)
        buffer_clear(buffer);
}

void buffer_clear(struct buffer *buffer)
{
    free(buffer->memory);
    *buffer = (struct buffer){0};
}
