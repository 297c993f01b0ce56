/*
 * users: see users.h.
 *
 * Three structures: a table by passkey hash (open addressing, 64-bit entries that are read and written whole) and
 * pages of slots by index, which both point to the current version of each user, and the versions themselves.
 * Readers follow them with acquire loads; the writer holds a mutex, fills a thing before it shows it, and frees what
 * it replaced by call_rcu.
 */
#define URCU_INLINE_SMALL_FUNCTIONS
#include "storage/users.h"

#include <errno.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <urcu.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/hex.h"
#include "storage/id_table.h"
#include "storage/memory.h"

enum {
    PAGE_USERS = 4096,
    PAGES_MAX = 524288, /* 2^31 users in all: beyond what the configuration allows */
    TABLE_START = 1024,
    CACHE_LINE = 64,
    HUGE_PAGE = 2 << 20,
    USUAL_PASSKEY = 32, /* bytes: what is fetched ahead with a record */
};

/* A table entry: the hash's upper 16 bits, and the version's address in the lower 48 (0: never used). */
#define ENTRY_ADDRESS UINT64_C(0xffffffffffff)
#define ENTRY_DELETED UINT64_C(1)

struct table {
    struct rcu_head rcu;
    uint64_t mask;
    size_t used; /* entries that are not 0, deleted ones too */
    uint64_t entries[];
};

/* A version with what its deferred freeing needs; `struct user` ends in a flexible array, so it stands behind. */
struct version {
    struct rcu_head rcu;
    struct users *owner;
    uint64_t user[];
};

struct slot {
    struct user *user;
    int64_t id;            /* the user's, once more: what snapshots want to know of each session */
    uint64_t new_torrents; /* upper half: the window's number, lower: how many in it */
    uint32_t mark;
};

struct page {
    struct slot slots[PAGE_USERS];
    uint64_t refused[PAGE_USERS / 64]; /* a bit each: walks over all sessions ask for it */
};

struct users {
    struct table *table;
    struct page **pages;
    uint32_t count; /* indices given out */
    uint32_t known; /* not gone */
    uint32_t refusals;
    uint64_t seed;
    size_t memory;
    struct memory *versions;
    pthread_mutex_t lock; /* the writers' */
    uint32_t mark;
    struct id_table ids; /* by row id, for writers, registry and operator: under the lock */
};

static struct user *load_user(struct user *const *place)
{
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

static struct page *page_of(struct users *users, uint32_t index)
{
    return __atomic_load_n(&users->pages[index / PAGE_USERS], __ATOMIC_ACQUIRE);
}

static struct slot *slot_at(struct users *users, uint32_t index)
{
    return &page_of(users, index)->slots[index % PAGE_USERS];
}

static bool is_refused(const struct user *user)
{
    return !(user->flags & USER_ENABLED) || user->flags & USER_GONE;
}

/* After the version is shown: who sees the count sees whom it counts. */
static void note_refusal(struct users *users, const struct user *user)
{
    uint64_t *bits = &page_of(users, user->index)->refused[user->index % PAGE_USERS / 64];
    uint64_t bit = UINT64_C(1) << user->index % 64;
    if (((*bits & bit) != 0) == is_refused(user))
        return;
    __atomic_store_n(bits, *bits ^ bit, __ATOMIC_RELAXED);
    if (is_refused(user))
        __atomic_store_n(&users->refusals, users->refusals + 1, __ATOMIC_RELEASE);
}

bool users_is_refused(struct users *users, uint32_t index)
{
    uint64_t bits = __atomic_load_n(&page_of(users, index)->refused[index % PAGE_USERS / 64], __ATOMIC_RELAXED);
    return bits >> index % 64 & 1;
}

uint32_t users_refusals(struct users *users)
{
    return __atomic_load_n(&users->refusals, __ATOMIC_ACQUIRE);
}

static struct table *table_new(size_t size)
{
    size_t bytes = sizeof(struct table) + size * sizeof(uint64_t);
    bool is_huge = bytes >= HUGE_PAGE;
    size_t alignment = is_huge ? HUGE_PAGE : CACHE_LINE;
    struct table *table = aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (table == NULL)
        return NULL;
    if (is_huge)
        (void)madvise(table, bytes, MADV_HUGEPAGE); /* only a wish */
    memset(table, 0, bytes);
    table->mask = size - 1;
    return table;
}

/* Versions of users with passkeys of the usual lengths; others come from the heap. */
static struct memory *versions_new(void)
{
    const size_t sizes[] = {80, 96, 112, 128};
    return memory_new(sizes, sizeof sizes / sizeof sizes[0]);
}

struct users *users_new(void)
{
    struct users *users = calloc(1, sizeof *users);
    if (users == NULL)
        return NULL;
    users->pages = calloc(PAGES_MAX, sizeof(struct page *));
    users->table = table_new(TABLE_START);
    users->versions = versions_new();
    if (users->pages == NULL || users->table == NULL || users->versions == NULL || id_table_init(&users->ids) != 0) {
        free(users->pages);
        free(users->table);
        memory_free(users->versions);
        id_table_clear(&users->ids);
        free(users);
        return NULL;
    }
    arc4random_buf(&users->seed, sizeof users->seed);
    pthread_mutex_init(&users->lock, NULL);
    return users;
}

static struct version *version_of(struct user *user)
{
    return (struct version *)(void *)((char *)user - offsetof(struct version, user));
}

static size_t version_bytes(size_t passkey_length)
{
    return sizeof(struct version) + sizeof(struct user) + passkey_length;
}

static void version_free(struct users *users, struct version *version)
{
    const struct user *user = (const struct user *)version->user;
    memory_give_block(users->versions, version, version_bytes(user->passkey_length));
}

void users_free(struct users *users)
{
    if (users == NULL)
        return;
    rcu_barrier();
    for (uint32_t i = 0; i < users->count; i++)
        version_free(users, version_of(slot_at(users, i)->user));
    for (uint32_t i = 0; i * (uint64_t)PAGE_USERS < users->count; i++)
        free(users->pages[i]);
    free(users->pages);
    free(users->table);
    memory_free(users->versions);
    id_table_clear(&users->ids);
    pthread_mutex_destroy(&users->lock);
    free(users);
}

/* Registrations nest: a function may make sure of it whatever its caller did. */
static _Thread_local unsigned registrations;

void users_thread_register(void)
{
    if (registrations++ == 0)
        rcu_register_thread();
}

void users_thread_unregister(void)
{
    if (--registrations == 0)
        rcu_unregister_thread();
}

void users_read_begin(void)
{
    rcu_read_lock();
}

void users_read_end(void)
{
    rcu_read_unlock();
}

/* --- readers --- */

uint64_t users_hash(const struct users *users, const char *passkey, size_t length)
{
    return XXH3_64bits_withSeed(passkey, length, users->seed);
}

void users_prefetch_bucket(const struct users *users, uint64_t hash)
{
    const struct table *table = __atomic_load_n(&users->table, __ATOMIC_ACQUIRE);
    __builtin_prefetch(&table->entries[hash & table->mask]);
}

static uint64_t entry_of(uint64_t hash, const struct user *user)
{
    return (hash & ~ENTRY_ADDRESS) | (uintptr_t)user;
}

/* The version that the first entry from `*at` on refers to, of those that fit the hash; NULL: none. `*at` is then past it. */
static const struct user *next_that_fits(const struct users *users, uint64_t hash, uint64_t *at)
{
    const struct table *table = __atomic_load_n(&users->table, __ATOMIC_ACQUIRE);
    for (;;) {
        uint64_t entry = __atomic_load_n(&table->entries[(*at)++ & table->mask], __ATOMIC_ACQUIRE);
        if (entry == 0)
            return NULL;
        if (((entry ^ hash) & ~ENTRY_ADDRESS) == 0 && (entry & ENTRY_ADDRESS) != ENTRY_DELETED)
            return (const struct user *)(uintptr_t)(entry & ENTRY_ADDRESS);
    }
}

const struct user *users_guess(const struct users *users, uint64_t hash)
{
    uint64_t at = hash;
    const struct user *user = next_that_fits(users, hash, &at);
    if (user == NULL)
        return NULL;
    const char *record = (const char *)user;
    __builtin_prefetch(record);
    __builtin_prefetch(record + sizeof *user + USUAL_PASSKEY - 1);
    return user;
}

static bool has_passkey(const struct user *user, const char *passkey, size_t length)
{
    return user->passkey_length == length && memcmp(user->passkey, passkey, length) == 0;
}

const struct user *users_find_hashed(const struct users *users, uint64_t hash, const struct user *guess,
                                     const char *passkey, size_t length)
{
    if (guess == NULL)
        return NULL;
    if (has_passkey(guess, passkey, length) && !(guess->flags & USER_GONE))
        return guess;
    uint64_t at = hash;
    const struct user *user = next_that_fits(users, hash, &at);
    while (user != NULL && (!has_passkey(user, passkey, length) || user->flags & USER_GONE))
        user = next_that_fits(users, hash, &at);
    return user;
}

const struct user *users_find(struct users *users, const char *passkey, size_t length)
{
    uint64_t hash = users_hash(users, passkey, length);
    return users_find_hashed(users, hash, users_guess(users, hash), passkey, length);
}

const struct user *users_at(struct users *users, uint32_t index)
{
    return load_user(&slot_at(users, index)->user);
}

uint32_t users_indexes(struct users *users)
{
    pthread_mutex_lock(&users->lock);
    uint32_t count = users->count;
    pthread_mutex_unlock(&users->lock);
    return count;
}

int64_t users_id_at(struct users *users, uint32_t index)
{
    return __atomic_load_n(&slot_at(users, index)->id, __ATOMIC_RELAXED);
}

uint32_t users_count(struct users *users)
{
    return __atomic_load_n(&users->known, __ATOMIC_RELAXED);
}

size_t users_memory(struct users *users)
{
    return __atomic_load_n(&users->memory, __ATOMIC_RELAXED);
}

/* --- writers: all below runs under the lock --- */

static void free_table(struct rcu_head *head)
{
    free(caa_container_of(head, struct table, rcu));
}

static void free_version(struct rcu_head *head)
{
    struct version *version = caa_container_of(head, struct version, rcu);
    struct users *users = version->owner;
    pthread_mutex_lock(&users->lock);
    version_free(users, version);
    pthread_mutex_unlock(&users->lock);
}

static void count_memory(struct users *users, size_t more, size_t less)
{
    __atomic_store_n(&users->memory, users->memory + more - less, __ATOMIC_RELAXED);
}

static size_t table_bytes(const struct table *table)
{
    return sizeof *table + (table->mask + 1) * sizeof table->entries[0];
}

static uint64_t hash_of(const struct users *users, const struct user *user)
{
    return users_hash(users, user->passkey, user->passkey_length);
}

static void table_add(struct table *table, uint64_t hash, const struct user *user)
{
    uint64_t i = hash;
    while (table->entries[i & table->mask] != 0)
        i++;
    __atomic_store_n(&table->entries[i & table->mask], entry_of(hash, user), __ATOMIC_RELEASE);
    table->used++;
}

/* Makes room for one more entry: a larger table without the deleted entries, shown when it is whole. */
static int table_reserve(struct users *users)
{
    struct table *old = users->table;
    if ((old->used + 1) * 4 <= (old->mask + 1) * 3)
        return 0;
    size_t size = TABLE_START;
    while (size < users->known * (uint64_t)2 + 2)
        size *= 2;
    struct table *table = table_new(size);
    if (table == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < users->count; i++) {
        const struct user *user = slot_at(users, i)->user;
        if (!(user->flags & USER_GONE))
            table_add(table, hash_of(users, user), user);
    }
    count_memory(users, table_bytes(table), table_bytes(old));
    __atomic_store_n(&users->table, table, __ATOMIC_RELEASE);
    call_rcu(&old->rcu, free_table);
    return 0;
}

/* What the entry of a version becomes: that of another version with the same passkey, or ENTRY_DELETED. */
static void table_change(struct users *users, const struct user *user, uint64_t entry)
{
    struct table *table = users->table;
    uint64_t hash = hash_of(users, user);
    uint64_t wanted = entry_of(hash, user);
    for (uint64_t i = hash; table->entries[i & table->mask] != 0; i++)
        if (table->entries[i & table->mask] == wanted) {
            __atomic_store_n(&table->entries[i & table->mask], entry, __ATOMIC_RELEASE);
            return;
        }
}

/* There is room. */
static void id_put(struct users *users, int64_t id, uint32_t index)
{
    __atomic_store_n(&slot_at(users, index)->id, id, __ATOMIC_RELAXED);
    if (id != 0)
        id_table_put(&users->ids, id, index);
}

static struct user *find_id(struct users *users, int64_t id)
{
    uint32_t index = id_table_find(&users->ids, id);
    return index == ID_TABLE_NONE ? NULL : slot_at(users, index)->user;
}

static struct user *version_new(struct users *users, const char *passkey, size_t length)
{
    struct version *version = memory_take_block(users->versions, version_bytes(length));
    if (version == NULL)
        return NULL;
    memset(version, 0, version_bytes(length));
    version->owner = users;
    struct user *user = (struct user *)version->user;
    user->passkey_length = (uint8_t)length;
    memcpy(user->passkey, passkey, length);
    user_id_of_passkey(user->user_id, passkey, length);
    return user;
}

static void fill(struct user *user, const struct user_facts *facts)
{
    user->id = facts->id;
    user->upload_percent = facts->upload_percent;
    user->download_percent = facts->download_percent;
    user->flags = (uint8_t)((facts->enabled ? USER_ENABLED : 0) | (facts->can_leech ? USER_CAN_LEECH : 0) |
                            (facts->hide_address ? USER_HIDE_ADDRESS : 0));
}

/* Gives the version an index of its own and shows it. */
static int add(struct users *users, struct user *user)
{
    uint32_t index = users->count;
    if (index / PAGE_USERS >= PAGES_MAX || table_reserve(users) != 0 || id_table_reserve(&users->ids) != 0)
        return -ENOMEM;
    if (index % PAGE_USERS == 0) {
        struct page *page = calloc(1, sizeof *page);
        if (page == NULL)
            return -ENOMEM;
        __atomic_store_n(&users->pages[index / PAGE_USERS], page, __ATOMIC_RELEASE);
        count_memory(users, sizeof *page, 0);
    }
    user->index = index;
    struct slot *slot = slot_at(users, index);
    slot->mark = users->mark;
    __atomic_store_n(&slot->user, user, __ATOMIC_RELEASE);
    users->count++;
    __atomic_store_n(&users->known, users->known + 1, __ATOMIC_RELAXED);
    id_put(users, user->id, index);
    table_add(users->table, hash_of(users, user), user);
    note_refusal(users, user);
    count_memory(users, version_bytes(user->passkey_length), 0);
    return 0;
}

/* Puts a new version in the place of the old one. */
static int replace(struct users *users, struct user *old, struct user *user)
{
    bool moved = !has_passkey(old, user->passkey, user->passkey_length);
    bool listed = !(old->flags & USER_GONE);
    bool lists = !(user->flags & USER_GONE);
    if ((lists && (moved || !listed) && table_reserve(users) != 0) || id_table_reserve(&users->ids) != 0)
        return -ENOMEM;
    user->index = old->index;
    struct slot *slot = slot_at(users, old->index);
    if (old->id == 0 && user->id != 0)
        id_put(users, user->id, old->index);
    __atomic_store_n(&slot->user, user, __ATOMIC_RELEASE);
    if (listed)
        table_change(users, old, lists && !moved ? entry_of(hash_of(users, user), user) : ENTRY_DELETED);
    if (lists && (moved || !listed))
        table_add(users->table, hash_of(users, user), user);
    __atomic_store_n(&users->known, users->known + lists - listed, __ATOMIC_RELAXED);
    note_refusal(users, user);
    count_memory(users, version_bytes(user->passkey_length), version_bytes(old->passkey_length));
    call_rcu(&version_of(old)->rcu, free_version);
    return 0;
}

static bool same_facts(const struct user *user, const struct user *other)
{
    return user->id == other->id && user->flags == other->flags && user->upload_percent == other->upload_percent &&
           user->download_percent == other->download_percent &&
           has_passkey(user, other->passkey, other->passkey_length);
}

static int put(struct users *users, const struct user_facts *facts)
{
    size_t length = strlen(facts->passkey);
    struct user *holder = (struct user *)users_find(users, facts->passkey, length);
    struct user *old = find_id(users, facts->id);
    if (old == NULL && holder != NULL && holder->id == 0)
        old = holder; /* registered itself by announcing: now it gets its row's id */
    if (holder != NULL && holder != old)
        return -EEXIST;
    struct user *user = version_new(users, facts->passkey, length);
    if (user == NULL)
        return -ENOMEM;
    fill(user, facts);
    int result = 0;
    if (old == NULL) {
        result = add(users, user);
    } else {
        slot_at(users, old->index)->mark = users->mark;
        if (!same_facts(old, user))
            result = replace(users, old, user);
        else
            result = 1; /* nothing new: the old version stays */
    }
    if (result != 0)
        version_free(users, version_of(user));
    return result < 0 ? result : 0;
}

int users_put(struct users *users, const struct user_facts *facts)
{
    pthread_mutex_lock(&users->lock);
    int result = put(users, facts);
    pthread_mutex_unlock(&users->lock);
    return result;
}

static void set_gone(struct users *users, struct user *old)
{
    if (old->flags & USER_GONE)
        return;
    struct user *user = version_new(users, old->passkey, old->passkey_length);
    if (user == NULL)
        return; /* stays known until the next complete look */
    memcpy(user->user_id, old->user_id, sizeof user->user_id);
    user->id = old->id;
    user->upload_percent = old->upload_percent;
    user->download_percent = old->download_percent;
    user->flags = (uint8_t)(old->flags | USER_GONE);
    (void)replace(users, old, user);
}

void users_remove(struct users *users, int64_t id)
{
    pthread_mutex_lock(&users->lock);
    struct user *old = find_id(users, id);
    if (old != NULL)
        set_gone(users, old);
    pthread_mutex_unlock(&users->lock);
}

const struct user *users_find_id(struct users *users, int64_t id)
{
    pthread_mutex_lock(&users->lock);
    const struct user *user = find_id(users, id);
    pthread_mutex_unlock(&users->lock);
    return user;
}

const struct user *users_register(struct users *users, const char *passkey, size_t length, uint32_t max, bool *made)
{
    *made = false;
    pthread_mutex_lock(&users->lock);
    const struct user *user = users_find(users, passkey, length);
    if (user == NULL && users->known < max) {
        struct user *fresh = version_new(users, passkey, length);
        if (fresh != NULL) {
            fresh->upload_percent = 100;
            fresh->download_percent = 100;
            fresh->flags = USER_ENABLED | USER_CAN_LEECH;
            if (add(users, fresh) == 0) {
                user = fresh;
                *made = true;
            } else {
                version_free(users, version_of(fresh));
            }
        }
    }
    pthread_mutex_unlock(&users->lock);
    return user;
}

void users_indexes_of_ids(struct users *users, const int64_t *ids, uint32_t *indexes, size_t count)
{
    enum { AHEAD = 16 };
    pthread_mutex_lock(&users->lock);
    for (size_t i = 0; i < count + AHEAD; i++) {
        if (i < count)
            id_table_prefetch(&users->ids, ids[i]);
        if (i >= AHEAD)
            indexes[i - AHEAD] = id_table_find(&users->ids, ids[i - AHEAD]);
    }
    pthread_mutex_unlock(&users->lock);
}

uint32_t users_index_of_id(struct users *users, int64_t id)
{
    pthread_mutex_lock(&users->lock);
    uint32_t index = id_table_find(&users->ids, id); /* USER_NONE and ID_TABLE_NONE are the same */
    pthread_mutex_unlock(&users->lock);
    return index;
}

void users_mark_all(struct users *users)
{
    pthread_mutex_lock(&users->lock);
    users->mark++;
    pthread_mutex_unlock(&users->lock);
}

void users_sweep(struct users *users)
{
    pthread_mutex_lock(&users->lock);
    for (uint32_t i = 0; i < users->count; i++) {
        struct slot *slot = slot_at(users, i);
        if (slot->mark != users->mark && slot->user->id != 0)
            set_gone(users, slot->user);
    }
    pthread_mutex_unlock(&users->lock);
}

bool users_count_new_torrent(struct users *users, uint32_t index, uint32_t limit, uint32_t limit_per_s, int64_t now_s)
{
    uint64_t *place = &slot_at(users, index)->new_torrents;
    uint64_t window = (uint64_t)now_s / limit_per_s & UINT32_MAX;
    uint64_t seen = __atomic_load_n(place, __ATOMIC_RELAXED);
    for (;;) {
        uint64_t count = seen >> 32 == window ? seen & UINT32_MAX : 0;
        if (count >= limit)
            return false;
        if (__atomic_compare_exchange_n(place, &seen, window << 32 | (count + 1), false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return true;
    }
}

void user_id_of_passkey(uint8_t user_id[static 16], const char *passkey, size_t length)
{
    if (length == 32 && hex_decode(user_id, 16, passkey, length))
        return;
    memset(user_id, 0, 16);
    if (length <= 16) {
        memcpy(user_id, passkey, length);
        return;
    }
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256((const uint8_t *)passkey, length, digest);
    memcpy(user_id, digest, 16);
}
