/*
 * paged: an array that grows page by page, so that no growth copies more than one
 * page. The first page is smaller while little is needed. One thread only.
 */
#ifndef PRIVTRAK_STORAGE_PAGED_H
#define PRIVTRAK_STORAGE_PAGED_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum { PAGED_PAGE = 256 }; /* elements */

struct paged {
    char **pages;
    uint32_t capacity; /* elements that there is room for */
    uint32_t directory;
};

/* Makes room for `count` elements of `size` bytes, new ones zeroed. Returns 0, or -1 out of memory. */
int paged_reserve(struct paged *paged, uint32_t count, size_t size);

/* Gives back the pages that `count` elements do not need. */
void paged_trim(struct paged *paged, uint32_t count);

void paged_clear(struct paged *paged);
size_t paged_bytes(const struct paged *paged, size_t size);

static inline void *paged_at(const struct paged *paged, uint32_t number, size_t size)
{
    return paged->pages[number / PAGED_PAGE] + number % PAGED_PAGE * size;
}

#endif
