/* paged: see paged.h. */
#include "storage/paged.h"

#include <string.h>

static int grow_first_page(struct paged *paged, uint32_t count, size_t size)
{
    uint32_t capacity = paged->capacity == 0 ? 2 : paged->capacity;
    while (capacity < count && capacity < PAGED_PAGE)
        capacity *= 2;
    char *page = realloc(paged->capacity == 0 ? NULL : paged->pages[0], capacity * size);
    if (page == NULL)
        return -1;
    memset(page + paged->capacity * size, 0, (capacity - paged->capacity) * size);
    paged->pages[0] = page;
    paged->capacity = capacity;
    return 0;
}

static int add_page(struct paged *paged, size_t size)
{
    uint32_t number = paged->capacity / PAGED_PAGE;
    if (number == paged->directory) {
        char **pages = realloc(paged->pages, 2 * number * sizeof *pages);
        if (pages == NULL)
            return -1;
        paged->pages = pages;
        paged->directory = 2 * number;
    }
    paged->pages[number] = calloc(PAGED_PAGE, size);
    if (paged->pages[number] == NULL)
        return -1;
    paged->capacity += PAGED_PAGE;
    return 0;
}

int paged_reserve(struct paged *paged, uint32_t count, size_t size)
{
    if (count <= paged->capacity)
        return 0;
    if (paged->pages == NULL) {
        paged->pages = calloc(1, sizeof *paged->pages);
        if (paged->pages == NULL)
            return -1;
        paged->directory = 1;
    }
    if (paged->capacity < PAGED_PAGE && grow_first_page(paged, count, size) != 0)
        return -1;
    while (paged->capacity < count)
        if (add_page(paged, size) != 0)
            return -1;
    return 0;
}

void paged_trim(struct paged *paged, uint32_t count)
{
    while (paged->capacity > PAGED_PAGE && count + PAGED_PAGE <= paged->capacity) {
        paged->capacity -= PAGED_PAGE;
        free(paged->pages[paged->capacity / PAGED_PAGE]);
    }
}

void paged_clear(struct paged *paged)
{
    for (uint32_t i = 0; i * PAGED_PAGE < paged->capacity; i++)
        free(paged->pages[i]);
    free(paged->pages);
    *paged = (struct paged){.pages = NULL};
}

size_t paged_bytes(const struct paged *paged, size_t size)
{
    return paged->capacity * size + paged->directory * sizeof *paged->pages;
}
