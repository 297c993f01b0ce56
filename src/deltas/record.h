/*
 * record: a delta as the bytes that stand in the journal, version 1. Private to
 * this room. All integers are varints (7 bits a byte, lowest first, the high bit says
 * that more follow) unless said otherwise; what is absent is told by the shape.
 *
 *   shape            3 bytes, little endian: enum in record.c
 *   flags            where nonzero
 *   time             milliseconds since the frame's time, zigzag
 *   user_id, torrent_id
 *   user, info_hash, peer_id         16, 20 and 20 bytes
 *   uploaded, downloaded             each where nonzero
 *   credited up, credited down       both, where either differs from its raw difference
 *   quarantined, left, seed time, leech time     each where nonzero
 *   session: address4 (4 bytes IP, 2 bytes port, network order), address6 (16 + 2)     each where it has one
 *   source: a byte 4 or 6, IP, port  where it is neither of the session's two
 *   session: uploaded, downloaded; left where it differs from the delta's; last announce (zigzag, from the
 *            delta's time) where it differs; key (4 bytes, little endian) where nonzero; flags
 *   user_seeding, user_active; user_left where it differs from left
 *   seeders, leechers
 *   passkey          a byte length and as many bytes, where there is one
 *
 * The seq is not in it: it is the frame's first plus the place in the frame.
 */
#ifndef PRIVTRAK_DELTAS_RECORD_H
#define PRIVTRAK_DELTAS_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "deltas/delta.h"

/* No record is longer. */
enum { RECORD_BYTES_MAX = 448 };

/* Writes the record at `at`, which has room for RECORD_BYTES_MAX; returns the first byte behind it. */
uint8_t *record_encode(uint8_t *at, const struct delta *delta, int64_t frame_ms);

/*
 * Reads one record from at most `size` bytes; every field but seq is set. Returns how many
 * bytes it had, 0 where they are no record.
 */
size_t record_decode(struct delta *delta, const uint8_t *bytes, size_t size, int64_t frame_ms);

#endif
