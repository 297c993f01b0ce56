/*
 * memory: where a worker's swarms get their memory from. Chunks of a few fixed
 * sizes, cut from 128 KiB pages, which are cut from large regions that the kernel is
 * asked to back with huge pages. No header a chunk; a page that has no chunk in use
 * goes back to the pool, and its memory to the kernel where the pool holds enough.
 *
 * One thread only. `memory_used` may be read by others.
 */
#ifndef PRIVTRAK_STORAGE_MEMORY_H
#define PRIVTRAK_STORAGE_MEMORY_H

#include <stdbool.h>
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

/*
 * A block of any size, at a multiple of 16: of the smallest class that holds it, or from the heap where none does.
 * Given back with the same size.
 */
void *memory_take_block(struct memory *memory, size_t bytes);
void memory_give_block(struct memory *memory, void *block, size_t bytes);

/* True where much of the class's memory is unused and the chunk is in a page that had better be emptied: move it. */
bool memory_is_sparse(const struct memory *memory, unsigned class, const void *chunk);

/*
 * Maps `bytes`, a power of two, zeroed, at a multiple of them, without making them resident; `huge`: asks for huge
 * pages, each of which becomes resident at its first touch. NULL out of memory. Given back by munmap.
 */
void *memory_map(size_t bytes, bool huge);

/* Bytes of pages in use. */
size_t memory_used(const struct memory *memory);

#endif
