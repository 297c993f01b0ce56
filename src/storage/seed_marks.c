/* seed_marks: see seed_marks.h. */
#include "storage/seed_marks.h"

#include <stdlib.h>

#include "storage/index.h"
#include "storage/paged.h"

struct seed_marks {
    struct index index; /* places in `marks` */
    struct paged marks; /* struct seed_mark */
    uint32_t count;
    uint32_t free; /* head of the free ones, number + 1, linked through `user` */
    uint64_t seed;
};

struct seed_marks *seed_marks_new(void)
{
    struct seed_marks *marks = calloc(1, sizeof *marks);
    if (marks == NULL)
        return NULL;
    index_init(&marks->index, NULL);
    arc4random_buf(&marks->seed, sizeof marks->seed);
    return marks;
}

void seed_marks_free(struct seed_marks *marks)
{
    if (marks == NULL)
        return;
    index_clear(&marks->index);
    paged_clear(&marks->marks);
    free(marks);
}

static struct seed_mark *mark_at(struct seed_marks *marks, uint32_t number)
{
    return paged_at(&marks->marks, number, sizeof(struct seed_mark));
}

static uint64_t hash_of(const struct seed_marks *marks, uint32_t torrent, uint32_t user)
{
    /* Both are the tracker's own numbers, which nobody chooses; the seed is for good measure. */
    uint64_t mixed = (((uint64_t)torrent << 32 | user) ^ marks->seed) * UINT64_C(0x9e3779b97f4a7c15);
    return (mixed ^ mixed >> 32) * UINT64_C(0xbf58476d1ce4e5b9);
}

static uint64_t hash_of_number(const void *owner, uint32_t number)
{
    const struct seed_marks *marks = owner;
    const struct seed_mark *mark = paged_at(&marks->marks, number, sizeof *mark);
    return hash_of(marks, mark->torrent, mark->user);
}

static uint32_t find(struct seed_marks *marks, uint64_t hash, uint32_t torrent, uint32_t user)
{
    struct index_walk walk;
    uint32_t number = index_first(&marks->index, hash, &walk);
    for (; number != INDEX_NONE; number = index_next(&walk)) {
        const struct seed_mark *mark = mark_at(marks, number);
        if (mark->torrent == torrent && mark->user == user)
            break;
    }
    return number;
}

struct seed_mark *seed_marks_find(struct seed_marks *marks, uint32_t torrent, uint32_t user)
{
    if (marks->index.count == 0)
        return NULL;
    uint32_t number = find(marks, hash_of(marks, torrent, user), torrent, user);
    return number == INDEX_NONE ? NULL : mark_at(marks, number);
}

struct seed_mark *seed_marks_make(struct seed_marks *marks, uint32_t torrent, uint32_t user)
{
    uint64_t hash = hash_of(marks, torrent, user);
    uint32_t number = find(marks, hash, torrent, user);
    if (number != INDEX_NONE)
        return mark_at(marks, number);
    number = marks->free != 0 ? marks->free - 1 : marks->count;
    if (paged_reserve(&marks->marks, number + 1, sizeof(struct seed_mark)) != 0 ||
        index_add(&marks->index, hash, number, hash_of_number, marks) != 0)
        return NULL;
    struct seed_mark *mark = mark_at(marks, number);
    if (marks->free != 0)
        marks->free = mark->user;
    else
        marks->count++;
    *mark = (struct seed_mark){.torrent = torrent, .user = user};
    return mark;
}

void seed_marks_drop(struct seed_marks *marks, uint32_t torrent, uint32_t user)
{
    if (marks->index.count == 0)
        return;
    uint64_t hash = hash_of(marks, torrent, user);
    uint32_t number = find(marks, hash, torrent, user);
    if (number == INDEX_NONE)
        return;
    index_remove(&marks->index, hash, number);
    mark_at(marks, number)->user = marks->free;
    marks->free = number + 1;
}
