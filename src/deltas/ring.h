/*
 * ring: carries deltas from one worker to the ledger thread. One producer, one
 * consumer, no lock, a fixed size. The worker asks for room before it changes
 * anything, so that a push that follows cannot fail.
 */
#ifndef PRIVTRAK_DELTAS_RING_H
#define PRIVTRAK_DELTAS_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "deltas/delta.h"

struct ring;

/* `capacity` is rounded up to a power of two. Returns NULL out of memory, and for none or more than 2^26 records. */
struct ring *ring_new(size_t capacity);
void ring_free(struct ring *ring);

/* Producer: how many pushes are certain to succeed. */
size_t ring_room(struct ring *ring);

/*
 * Producer: the next record to be filled in place; valid until ring_commit. Must
 * not be called without room. The caller fills every field but seq.
 */
struct delta *ring_next(struct ring *ring);

/* Producer: the record that ring_next gave is whole; it is seen by the consumer after the next ring_publish. */
void ring_commit(struct ring *ring);

/* Producer: shows all committed records to the consumer (one store a batch). */
void ring_publish(struct ring *ring);

/* Producer: number of records published so far; the strict mode waits for it to be synced. */
uint64_t ring_published(const struct ring *ring);

/*
 * Consumer: up to `max` published records in a row, borrowed, oldest first;
 * `*count` says how many (0: empty, and NULL). There may be more behind them.
 */
struct delta *ring_peek(struct ring *ring, size_t max, size_t *count);

/* Consumer: what it has not yet given back, and is published, takes half of the ring or more. */
bool ring_is_half_full(const struct ring *ring);

/* Consumer: gives back the first `count` records. */
void ring_release(struct ring *ring, size_t count);

#endif
