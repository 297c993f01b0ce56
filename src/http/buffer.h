/*
 * buffer: bytes that a connection has to keep. It takes no memory while it is
 * empty, so that idle connections cost none.
 */
#ifndef PRIVTRAK_HTTP_BUFFER_H
#define PRIVTRAK_HTTP_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

/* All zero is an empty buffer. */
struct buffer {
    char *memory;
    size_t start; /* of the bytes within the memory */
    size_t length;
    size_t capacity;
};

/* Makes room for `size` more bytes behind those that are there, and returns where it is; NULL: no memory. */
char *buffer_reserve(struct buffer *buffer, size_t size);

/* Returns false without memory; then nothing was added. */
bool buffer_append(struct buffer *buffer, const char *bytes, size_t length);

/* Drops the first `length` bytes; the memory goes back with the last of them. */
void buffer_consume(struct buffer *buffer, size_t length);

void buffer_clear(struct buffer *buffer);

static inline char *buffer_bytes(const struct buffer *buffer)
{
    return buffer->memory + buffer->start;
}

/* How many bytes fit behind those that are there as it is. */
static inline size_t buffer_room(const struct buffer *buffer)
{
    return buffer->capacity - buffer->start - buffer->length;
}

#endif
