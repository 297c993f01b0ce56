/*
 * seed_marks: until when the seed time and the leech time of a (user, torrent) are
 * covered (section 6, rule 10: the union over the user's sessions). Only users with two or more
 * sessions in one swarm need a mark: with one, every gap begins where the last ended.
 * One thread only.
 */
#ifndef PRIVTRAK_STORAGE_SEED_MARKS_H
#define PRIVTRAK_STORAGE_SEED_MARKS_H

#include <stddef.h>
#include <stdint.h>

struct seed_marks;

struct seed_mark {
    uint32_t torrent; /* struct torrent's number */
    uint32_t user;
    uint32_t seed_s; /* covered until, seconds since TIME_BASE_MS; 0: nothing */
    uint32_t leech_s;
};

struct seed_marks *seed_marks_new(void);
void seed_marks_free(struct seed_marks *marks);

/* The mark of that pair; NULL where there is none. Valid until the next call. */
struct seed_mark *seed_marks_find(struct seed_marks *marks, uint32_t torrent, uint32_t user);

/* The same, made (empty) where there is none. NULL out of memory. */
struct seed_mark *seed_marks_make(struct seed_marks *marks, uint32_t torrent, uint32_t user);

/* Forgets the mark, where there is one: the user is down to one session. */
void seed_marks_drop(struct seed_marks *marks, uint32_t torrent, uint32_t user);

#endif
