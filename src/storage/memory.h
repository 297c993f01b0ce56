/*
 * memory: where a worker's swarms get their memory from. Chunks of a few fixed
 * sizes, cut from 64 KiB pages, which are cut from large regions that the kernel is
 * asked to back with huge pages. No header a chunk; a page that has no chunk in use
 * goes back to the pool, and its memory to the kernel where the pool holds enough.
 *
 * One thread only. `memory_used` may be read by others.
 */
#ifndef PRIVTRAK_STORAGE_MEMORY_H
#define PRIVTRAK_STORAGE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

struct memory;

enum { MEMORY_CLASSES = 32 };

/* `sizes[class]` are the chunk sizes in bytes, each at most 16 KiB. Returns NULL out of memory. */
struct memory *memory_new(const size_t *sizes, unsigned classes);
void memory_free(struct memory *memory);

/* A chunk of that class, not zeroed; NULL out of memory. */
void *memory_take(struct memory *memory, unsigned class);
void memory_give(struct memory *memory, unsigned class, void *chunk);

/* Bytes of pages in use. */
size_t memory_used(const struct memory *memory);

#endif
