/* lists_cache: see lists_cache.h. */
#include "daemon/lists_cache.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/block_file.h"

enum {
    BLOCK_BYTES = 256 * 1024,
    USERS_AT_ONCE = 4096, /* within one read section */
    PAUSE_MS = 10000,     /* between two that are written, and */
    BYTES_A_MS = 128,     /* on the average: a disk is not worn out by lists of 100 MB that change all the time */
    PAUSE_AFTER_FAULT_MS = 60000,
};

enum { ITEM_SEQ = 's', ITEM_CLIENT = 'c', ITEM_MULTIPLIERS = 'm', ITEM_USER = 'u', ITEM_TORRENT = 't' };
enum { FLAG_ENABLED = 1, FLAG_CAN_LEECH = 2, FLAG_HIDE_ADDRESS = 4 };

static const struct block_file_kind kind = {
    .magic = "privtrak-listings", .version = LISTS_CACHE_VERSION, .name = "cache of the lists"};

struct lists_cache {
    struct registry_parts parts;
    struct registry *registry;
    uint64_t database; /* which one: by a hash */
    char path[BLOCK_FILE_PATH_BYTES];
    bool was_used;
    uint64_t used_seq;
    uint64_t saved_changes; /* of the registry's status, when the file was written */
    int64_t next_ns;        /* not written before */
    bool has_failed;
};

/* Of the URL without user and password: that one is changed makes no other database of it. */
static uint64_t hash_of_url(const char *url)
{
    const char *slashes = strstr(url, "://");
    const char *place = slashes != NULL ? slashes + 3 : url;
    size_t scheme = (size_t)(place - url);
    const char *at = slashes != NULL ? memrchr(place, '@', strcspn(place, "/?")) : NULL;
    if (at != NULL)
        place = at + 1;
    return XXH3_64bits_withSeed(place, strlen(place), XXH3_64bits(url, scheme));
}

struct lists_cache *lists_cache_open(const struct config *config, const struct registry_parts *parts,
                                     struct registry *registry, struct error *error)
{
    struct lists_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    cache->parts = *parts;
    cache->registry = registry;
    cache->database = hash_of_url(config->database.url);
    if (snprintf(cache->path, sizeof cache->path, "%s/lists.cache", config->tracker.state_dir) >=
        (int)sizeof cache->path) {
        error_set(error, "tracker.state_dir: the path is too long");
        free(cache);
        return NULL;
    }
    return cache;
}

void lists_cache_free(struct lists_cache *cache)
{
    free(cache);
}

/* --- loading --- */

struct loading {
    struct lists_cache *cache;
    const struct database_reader *reader;
    struct client_row *clients;
    size_t client_count;
    uint64_t items;
    struct block_file_facts facts;
    union {
        struct user_row user;
        struct torrent_row torrent;
    } row;
};

static int take_client(struct loading *loading, struct reader *in)
{
    struct client_row row = {.allowed = false};
    uint8_t length = reader_get_u8(in);
    if (length < 1 || length > PEER_ID_BYTES)
        return -EBADMSG;
    reader_get(in, row.prefix, length);
    row.allowed = reader_get_u8(in) != 0;
    struct client_row *rows = reallocarray(loading->clients, loading->client_count + 1, sizeof *rows);
    if (rows == NULL)
        return -ENOMEM;
    loading->clients = rows;
    rows[loading->client_count++] = row;
    return 0;
}

static uint32_t take_percent(struct reader *in)
{
    uint64_t percent = reader_get_varint(in);
    if (percent > DATABASE_PERCENT_MAX)
        in->failed = true;
    return (uint32_t)percent;
}

static int64_t take_id(struct reader *in)
{
    uint64_t id = reader_get_varint(in);
    if (id == 0 || id > INT64_MAX)
        in->failed = true;
    return (int64_t)id;
}

static int take_multipliers(struct loading *loading, struct reader *in)
{
    struct multipliers multipliers = {.upload_percent = take_percent(in), .download_percent = take_percent(in)};
    multipliers.until_s = (int64_t)reader_get_varint(in);
    return in->failed ? -EBADMSG : loading->reader->multipliers(loading->reader->context, &multipliers);
}

static int take_user(struct loading *loading, struct reader *in)
{
    struct user_row *row = &loading->row.user;
    row->id = take_id(in);
    uint8_t flags = reader_get_u8(in);
    row->enabled = (flags & FLAG_ENABLED) != 0;
    row->can_leech = (flags & FLAG_CAN_LEECH) != 0;
    row->hide_address = (flags & FLAG_HIDE_ADDRESS) != 0;
    row->upload_percent = take_percent(in);
    row->download_percent = take_percent(in);
    uint8_t length = reader_get_u8(in);
    if (length < 1 || length > PASSKEY_MAX)
        return -EBADMSG;
    reader_get(in, row->passkey, length);
    row->passkey[length] = '\0';
    return in->failed ? -EBADMSG : loading->reader->user(loading->reader->context, row);
}

static int take_torrent(struct loading *loading, struct reader *in)
{
    struct torrent_row *row = &loading->row.torrent;
    row->id = take_id(in);
    reader_get(in, row->info_hash, sizeof row->info_hash);
    uint8_t state = reader_get_u8(in);
    if (state > TORRENT_DELETED)
        return -EBADMSG;
    row->state = (enum torrent_state)state;
    row->upload_percent = take_percent(in);
    row->download_percent = take_percent(in);
    row->snatches = (uint32_t)reader_get_varint(in);
    uint64_t length = reader_get_varint(in);
    if (length >= sizeof row->reason)
        return -EBADMSG;
    reader_get(in, row->reason, length);
    row->reason[length] = '\0';
    return in->failed ? -EBADMSG : loading->reader->torrent(loading->reader->context, row);
}

static int take_item(struct loading *loading, struct reader *in)
{
    loading->items++;
    switch (reader_get_u8(in)) {
    case ITEM_SEQ:
        loading->cache->used_seq = reader_get_varint(in);
        return 0;
    case ITEM_CLIENT:
        return take_client(loading, in);
    case ITEM_MULTIPLIERS:
        return take_multipliers(loading, in);
    case ITEM_USER:
        return take_user(loading, in);
    case ITEM_TORRENT:
        return take_torrent(loading, in);
    default:
        return -EBADMSG;
    }
}

static int take_block(void *context, const uint8_t *data, size_t size)
{
    struct reader in = {.at = data, .end = data + size};
    int result = 0;
    while (result == 0 && !reader_is_at_end(&in)) {
        result = take_item(context, &in);
        if (result == 0 && in.failed)
            result = -EBADMSG;
    }
    return result;
}

static int read_file(void *context, const struct database_reader *reader, struct error *error)
{
    struct loading *loading = context;
    const struct lists_cache *cache = loading->cache;
    loading->reader = reader;
    int result = block_file_read(&kind, cache->path, take_block, loading, &loading->facts, error);
    if (result == 0 && loading->facts.count != loading->items)
        result = error_set(error, "%s: damaged: it should hold %" PRIu64 " items, and holds %" PRIu64, cache->path,
                           loading->facts.count, loading->items);
    if (result == 0 && loading->facts.number != cache->database)
        result = error_set(error, "%s: it is of another database than database.url names", cache->path);
    if (result == 0 && reader->clients(reader->context, loading->clients, loading->client_count) != 0)
        result = error_set(error, "out of memory");
    free(loading->clients);
    return result;
}

/* "3 minutes", for people. */
static void tell_age(char *text, size_t size, int64_t age_s)
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "days"}, {3600, "hours"}, {60, "minutes"}, {0, "seconds"}};
    size_t i = 0;
    while (age_s < 2 * units[i].seconds)
        i++;
    snprintf(text, size, "%" PRId64 " %s", age_s / (units[i].seconds != 0 ? units[i].seconds : 1), units[i].name);
}

int lists_cache_load(struct lists_cache *cache, const struct error *reason, struct error *error)
{
    struct loading *loading = calloc(1, sizeof *loading);
    if (loading == NULL)
        return error_set(error, "out of memory");
    loading->cache = cache;
    struct error fault = {.text = ""};
    int result = registry_load_from(cache->registry, read_file, loading, reason, &fault);
    if (result == 0) {
        int64_t age_s = (clock_now_ms() - loading->facts.made_at_ms) / 1000;
        char age[40];
        tell_age(age, sizeof age, age_s > 0 ? age_s : 0);
        log_warning("state",
                    "the database is away, going on with the lists as they were %s ago, until it is back reason=\"%s\"",
                    age, reason->text);
        tracker_keep_strangers(cache->parts.tracker);
        cache->was_used = true;
    } else {
        /* Both reasons are wanted, and the first is the one to be mended. */
        error_set(error, "the database is away (%.200s), and the lists cannot be had from %.250s", reason->text,
                  fault.text);
    }
    free(loading);
    return result;
}

bool lists_cache_was_used(const struct lists_cache *cache, uint64_t *seq)
{
    *seq = cache->used_seq;
    return cache->was_used;
}

/* --- saving --- */

struct saving {
    struct block_file *file;
    struct bytes bytes;
    uint64_t items;
    uint64_t written; /* bytes */
};

static void begin_item(struct saving *saving, char letter)
{
    bytes_put_u8(&saving->bytes, (uint8_t)letter);
    saving->items++;
}

static int write_block(struct saving *saving)
{
    if (saving->bytes.failed)
        return -ENOMEM;
    if (saving->bytes.length == 0)
        return 0;
    int result = block_file_add(saving->file, saving->bytes.data, saving->bytes.length);
    saving->written += saving->bytes.length;
    saving->bytes.length = 0;
    return result;
}

static int write_if_much(void *context)
{
    struct saving *saving = context;
    return saving->bytes.failed || saving->bytes.length >= BLOCK_BYTES ? write_block(saving) : 0;
}

static int put_clients(struct lists_cache *cache, struct saving *saving)
{
    struct client_row *rows;
    size_t count;
    if (registry_clients(cache->registry, &rows, &count) != 0)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        uint8_t length = (uint8_t)strlen(rows[i].prefix);
        begin_item(saving, ITEM_CLIENT);
        bytes_put_u8(&saving->bytes, length);
        bytes_put(&saving->bytes, rows[i].prefix, length);
        bytes_put_u8(&saving->bytes, rows[i].allowed);
    }
    free(rows);
    return write_block(saving);
}

static void put_multipliers(const struct lists_cache *cache, struct saving *saving)
{
    const struct multipliers *multipliers = cache->parts.multipliers;
    begin_item(saving, ITEM_MULTIPLIERS);
    bytes_put_varint(&saving->bytes, __atomic_load_n(&multipliers->upload_percent, __ATOMIC_RELAXED));
    bytes_put_varint(&saving->bytes, __atomic_load_n(&multipliers->download_percent, __ATOMIC_RELAXED));
    bytes_put_varint(&saving->bytes, (uint64_t)__atomic_load_n(&multipliers->until_s, __ATOMIC_RELAXED));
}

static void put_user(struct saving *saving, const struct user *user)
{
    if (user->id == 0 || user->flags & USER_GONE)
        return;
    begin_item(saving, ITEM_USER);
    bytes_put_varint(&saving->bytes, (uint64_t)user->id);
    bytes_put_u8(&saving->bytes, (uint8_t)((user->flags & USER_ENABLED ? FLAG_ENABLED : 0) |
                                           (user->flags & USER_CAN_LEECH ? FLAG_CAN_LEECH : 0) |
                                           (user->flags & USER_HIDE_ADDRESS ? FLAG_HIDE_ADDRESS : 0)));
    bytes_put_varint(&saving->bytes, user->upload_percent);
    bytes_put_varint(&saving->bytes, user->download_percent);
    bytes_put_u8(&saving->bytes, user->passkey_length);
    bytes_put(&saving->bytes, user->passkey, user->passkey_length);
}

static int put_users(struct users *users, struct saving *saving)
{
    uint32_t count = users_indexes(users);
    int result = 0;
    for (uint32_t i = 0; i < count && result == 0;) {
        users_read_begin();
        for (uint32_t end = count - i > USERS_AT_ONCE ? i + USERS_AT_ONCE : count; i < end; i++)
            put_user(saving, users_at(users, i));
        users_read_end();
        result = write_if_much(saving);
    }
    return result;
}

/* On the thread of the torrent's owner. */
static int put_torrent(void *context, const struct torrent_facts *facts)
{
    struct saving *saving = context;
    size_t length = facts->reason != NULL ? strnlen(facts->reason, DATABASE_REASON_BYTES - 1) : 0;
    begin_item(saving, ITEM_TORRENT);
    bytes_put_varint(&saving->bytes, (uint64_t)facts->id);
    bytes_put(&saving->bytes, facts->info_hash, sizeof facts->info_hash);
    bytes_put_u8(&saving->bytes, (uint8_t)facts->state);
    bytes_put_varint(&saving->bytes, facts->upload_percent);
    bytes_put_varint(&saving->bytes, facts->download_percent);
    bytes_put_varint(&saving->bytes, facts->snatches);
    bytes_put_varint(&saving->bytes, length);
    bytes_put(&saving->bytes, facts->reason, length);
    return 0;
}

static int put_all(struct lists_cache *cache, struct saving *saving, uint64_t seq)
{
    begin_item(saving, ITEM_SEQ);
    bytes_put_varint(&saving->bytes, seq);
    put_multipliers(cache, saving);
    int result = put_clients(cache, saving);
    if (result == 0)
        result = put_users(cache->parts.users, saving);
    if (result == 0)
        result = tracker_list_torrents(cache->parts.tracker, put_torrent, write_if_much, saving);
    return result == 0 ? write_block(saving) : result;
}

static int save(struct lists_cache *cache, uint64_t seq, int64_t *pause_ms, struct error *error)
{
    struct saving saving = {.items = 0};
    saving.file = block_file_begin(&kind, cache->path, cache->database, clock_now_ms(), error);
    if (saving.file == NULL)
        return -1;
    int result = put_all(cache, &saving, seq);
    bytes_clear(&saving.bytes);
    if ((int64_t)saving.written / BYTES_A_MS > *pause_ms)
        *pause_ms = (int64_t)saving.written / BYTES_A_MS;
    if (result == 0)
        return block_file_finish(saving.file, saving.items, error);
    block_file_cancel(saving.file);
    return error_set(error, "cannot write %s: %s", cache->path, strerror(-result));
}

void lists_cache_save(struct lists_cache *cache, uint64_t seq)
{
    struct registry_status status;
    registry_status(cache->registry, &status);
    if (status.changes == cache->saved_changes)
        return; /* also where nothing has come from the database yet */
    int64_t pause_ms = PAUSE_MS;
    struct error error;
    bool is_good = save(cache, seq, &pause_ms, &error) == 0;
    if (!is_good && pause_ms < PAUSE_AFTER_FAULT_MS)
        pause_ms = PAUSE_AFTER_FAULT_MS;
    cache->next_ns = clock_monotonic_ns() + pause_ms * 1000000;
    if (is_good)
        cache->saved_changes = status.changes;
    else if (!cache->has_failed)
        log_error("state", "%s; a start without the database would use what is older", error.text);
    cache->has_failed = !is_good;
}

void lists_cache_keep_up(struct lists_cache *cache, uint64_t seq)
{
    if (clock_monotonic_ns() >= cache->next_ns)
        lists_cache_save(cache, seq);
}
