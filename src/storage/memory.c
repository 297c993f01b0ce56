/* memory: see memory.h. */
#include "storage/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

enum {
    PAGE_BYTES = 128 * 1024,        /* 35 of the largest chunks: little is left over */
    REGION_BYTES = 4 * 1024 * 1024, /* two huge pages: a small tracker stays small */
    HEAD_BYTES = 64,                /* of a page, so that chunks of whole cache lines stand on cache lines */
    UNUSED_SHARE = 32,              /* a class with more than 1 / 32 of its chunks unused is worth tidying */
    POOL_KEEPS_PAGES = 8,           /* free pages beyond these give their memory back, and break up a huge page */
};

/* The head of a page; chunks follow. Pages stand at multiples of PAGE_BYTES, so a chunk finds its page by its address. */
struct page {
    TAILQ_ENTRY(page)
    entry;             /* among the class's pages with room, or the pool */
    void *free_chunks; /* linked through their first bytes */
    uint32_t used;
    uint32_t fresh; /* chunks from this one on were never handed out */
    uint32_t total;
    uint32_t is_returned; /* in the pool, its memory given back to the kernel */
};

_Static_assert(sizeof(struct page) <= HEAD_BYTES, "the head of a page has room");

TAILQ_HEAD(page_list, page);

struct region {
    struct region *next;
    void *mapping;
};

struct memory {
    unsigned classes;
    size_t sizes[MEMORY_CLASSES];
    size_t unused[MEMORY_CLASSES]; /* chunks of the class's pages that nobody has */
    size_t total[MEMORY_CLASSES];
    struct page_list with_room[MEMORY_CLASSES];
    struct page_list pool;
    size_t pool_kept; /* of its pages: those whose memory the kernel has not got back */
    struct region *regions;
    size_t used_bytes;
};

struct memory *memory_new(const size_t *sizes, unsigned classes)
{
    struct memory *memory = calloc(1, sizeof *memory);
    if (memory == NULL)
        return NULL;
    memory->classes = classes;
    TAILQ_INIT(&memory->pool);
    for (unsigned i = 0; i < classes; i++) {
        memory->sizes[i] = (sizes[i] + 7) & ~(size_t)7;
        TAILQ_INIT(&memory->with_room[i]);
    }
    return memory;
}

void memory_free(struct memory *memory)
{
    if (memory == NULL)
        return;
    while (memory->regions != NULL) {
        struct region *region = memory->regions;
        memory->regions = region->next;
        ASAN_UNPOISON_MEMORY_REGION(region->mapping, REGION_BYTES);
        munmap(region->mapping, REGION_BYTES);
        free(region);
    }
    free(memory);
}

void *memory_map(size_t bytes, bool huge)
{
    char *wide = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (wide == MAP_FAILED)
        return NULL;
    size_t before = (size_t)(-(uintptr_t)wide % bytes);
    if (before > 0)
        munmap(wide, before);
    if (before < bytes)
        munmap(wide + before + bytes, bytes - before);
    if (huge)
        (void)madvise(wide + before, bytes, MADV_HUGEPAGE); /* only a wish */
    return wide + before;
}

static int add_region(struct memory *memory)
{
    struct region *region = malloc(sizeof *region);
    char *mapping = region == NULL ? NULL : memory_map(REGION_BYTES, true);
    if (mapping == NULL) {
        free(region);
        return -1;
    }
    region->mapping = mapping;
    region->next = memory->regions;
    memory->regions = region;
    /* Backwards, so that the pool hands out the lowest first and a huge page fills up before the next begins. */
    for (size_t at = REGION_BYTES; at > 0; at -= PAGE_BYTES) {
        struct page *page = (struct page *)(void *)(mapping + at - PAGE_BYTES);
        page->is_returned = 1; /* counted as not resident until it is used */
        TAILQ_INSERT_HEAD(&memory->pool, page, entry);
    }
    return 0;
}

static char *body_of(struct page *page)
{
    return (char *)page + HEAD_BYTES;
}

static struct page *take_page(struct memory *memory, unsigned class)
{
    if (TAILQ_EMPTY(&memory->pool) && add_region(memory) != 0)
        return NULL;
    struct page *page = TAILQ_FIRST(&memory->pool);
    TAILQ_REMOVE(&memory->pool, page, entry);
    memory->pool_kept -= !page->is_returned;
    *page = (struct page){.total = (uint32_t)((PAGE_BYTES - HEAD_BYTES) / memory->sizes[class])};
    memory->total[class] += page->total;
    memory->unused[class] += page->total;
    TAILQ_INSERT_HEAD(&memory->with_room[class], page, entry);
    __atomic_store_n(&memory->used_bytes, memory->used_bytes + PAGE_BYTES, __ATOMIC_RELAXED);
    ASAN_POISON_MEMORY_REGION(body_of(page), PAGE_BYTES - HEAD_BYTES);
    return page;
}

static void return_page(struct memory *memory, unsigned class, struct page *page)
{
    TAILQ_REMOVE(&memory->with_room[class], page, entry);
    memory->total[class] -= page->total;
    memory->unused[class] -= page->total;
    __atomic_store_n(&memory->used_bytes, memory->used_bytes - PAGE_BYTES, __ATOMIC_RELAXED);
    page->is_returned = memory->pool_kept >= POOL_KEEPS_PAGES;
    ASAN_UNPOISON_MEMORY_REGION(body_of(page), PAGE_BYTES - HEAD_BYTES);
    if (page->is_returned) {
        char *body = (char *)page + 4096; /* all but the part with the head */
        (void)madvise(body, PAGE_BYTES - 4096, MADV_DONTNEED);
        TAILQ_INSERT_TAIL(&memory->pool, page, entry);
    } else {
        TAILQ_INSERT_HEAD(&memory->pool, page, entry);
        memory->pool_kept++;
    }
}

void *memory_take(struct memory *memory, unsigned class)
{
    struct page *page = TAILQ_FIRST(&memory->with_room[class]);
    if (page == NULL && (page = take_page(memory, class)) == NULL)
        return NULL;
    char *chunk = page->free_chunks;
    if (chunk != NULL) {
        ASAN_UNPOISON_MEMORY_REGION(chunk, memory->sizes[class]);
        memcpy(&page->free_chunks, chunk, sizeof page->free_chunks);
    } else {
        chunk = body_of(page) + page->fresh++ * memory->sizes[class];
        ASAN_UNPOISON_MEMORY_REGION(chunk, memory->sizes[class]);
    }
    memory->unused[class]--;
    if (++page->used == page->total)
        TAILQ_REMOVE(&memory->with_room[class], page, entry);
    return chunk;
}

static struct page *page_of(const void *chunk)
{
    return (struct page *)((uintptr_t)chunk & ~(uintptr_t)(PAGE_BYTES - 1));
}

static uint32_t half_of(const struct page *page)
{
    return page->total / 2;
}

bool memory_is_sparse(const struct memory *memory, unsigned class, const void *chunk)
{
    if (memory->unused[class] * UNUSED_SHARE <= memory->total[class])
        return false;
    const struct page *page = page_of(chunk);
    /* From where chunks are taken at present, nothing is moved: it would come back. */
    return page != TAILQ_FIRST(&memory->with_room[class]) && page->used * 8 <= page->total * 7;
}

void memory_give(struct memory *memory, unsigned class, void *chunk)
{
    struct page *page = page_of(chunk);
    memcpy(chunk, &page->free_chunks, sizeof page->free_chunks);
    page->free_chunks = chunk;
    ASAN_POISON_MEMORY_REGION(chunk, memory->sizes[class]);
    memory->unused[class]++;
    if (page->used-- == page->total) {
        TAILQ_INSERT_HEAD(&memory->with_room[class], page, entry);
    } else if (page->used == half_of(page)) {
        /* The fuller pages stand in front and are filled up first; so those behind have a chance to be emptied. */
        TAILQ_REMOVE(&memory->with_room[class], page, entry);
        TAILQ_INSERT_TAIL(&memory->with_room[class], page, entry);
    }
    if (page->used == 0)
        return_page(memory, class, page);
}

static unsigned class_of(const struct memory *memory, size_t bytes)
{
    unsigned class = 0;
    while (class < memory->classes && memory->sizes[class] < bytes)
        class += 1;
    return class;
}

void *memory_take_block(struct memory *memory, size_t bytes)
{
    unsigned class = class_of(memory, bytes);
    return class < memory->classes ? memory_take(memory, class) : malloc(bytes);
}

void memory_give_block(struct memory *memory, void *block, size_t bytes)
{
    if (block == NULL)
        return;
    unsigned class = class_of(memory, bytes);
    if (class < memory->classes)
        memory_give(memory, class, block);
    else
        free(block);
}

size_t memory_used(const struct memory *memory)
{
    return __atomic_load_n(&memory->used_bytes, __ATOMIC_RELAXED);
}
