#include "database/batch.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>
#include <xxhash.h>

#include "base/hex.h"

void batch_clear(struct batch *batch)
{
    free(batch->sessions);
    free(batch->users);
    free(batch->torrents);
    free(batch->accounts);
    free(batch->user_lookups);
    free(batch->torrent_lookups);
    free(batch->slots);
    memset(batch, 0, sizeof(*batch));
}

/* Makes one array at least `count` long; what it held is not kept. */
static int reserve(void *array, size_t count, size_t size)
{
    void **pointer = array;
    free(*pointer);
    *pointer = reallocarray(NULL, count, size);
    return *pointer ? 0 : -ENOMEM;
}

static int batch_reserve(struct batch *batch, size_t count)
{
    if (count <= batch->capacity)
        return 0;
    size_t slots = 16;
    while (slots < 2 * count)
        slots *= 2;
    batch->capacity = 0;
    batch->slot_count = slots;
    if (reserve(&batch->sessions, count, sizeof(*batch->sessions)) != 0 ||
        reserve(&batch->users, count, sizeof(*batch->users)) != 0 ||
        reserve(&batch->torrents, count, sizeof(*batch->torrents)) != 0 ||
        reserve(&batch->accounts, count, sizeof(*batch->accounts)) != 0 ||
        reserve(&batch->user_lookups, count, sizeof(*batch->user_lookups)) != 0 ||
        reserve(&batch->torrent_lookups, count, sizeof(*batch->torrent_lookups)) != 0 ||
        reserve(&batch->slots, slots, sizeof(*batch->slots)) != 0)
        return -ENOMEM;
    batch->capacity = count;
    return 0;
}

/* What a lookup is by: a user's passkey or a torrent's info hash. */
static const void *lookup_key(const struct delta *delta, bool of_user, size_t *length)
{
    *length = of_user ? delta->passkey_length : INFO_HASH_BYTES;
    return of_user ? (const void *)delta->passkey : (const void *)delta->info_hash;
}

/*
 * Finds the lookup that the delta belongs to. With `add` a new one is made where there is none.
 * The hash is keyed: info hashes and passkeys are chosen by clients.
 */
static struct batch_lookup *lookup_find(struct batch *batch, const struct delta *delta, bool of_user, bool add)
{
    static uint64_t seed;
    if (seed == 0)
        seed = ((uint64_t)randombytes_random() << 32) | randombytes_random() | 1;

    struct batch_lookup *lookups = of_user ? batch->user_lookups : batch->torrent_lookups;
    size_t *count = of_user ? &batch->user_lookup_count : &batch->torrent_lookup_count;
    size_t length;
    const void *key = lookup_key(delta, of_user, &length);
    uint64_t hash = XXH3_64bits_withSeed(key, length, seed);

    for (size_t slot = hash & (batch->slot_count - 1);; slot = (slot + 1) & (batch->slot_count - 1)) {
        uint32_t place = batch->slots[slot];
        if (place == 0) {
            if (!add)
                return NULL;
            lookups[*count] = (struct batch_lookup){.delta = delta};
            batch->slots[slot] = (uint32_t)++ * count;
            return &lookups[*count - 1];
        }
        struct batch_lookup *lookup = &lookups[place - 1];
        size_t other_length;
        const void *other = lookup_key(lookup->delta, of_user, &other_length);
        if (other_length == length && memcmp(other, key, length) == 0)
            return lookup;
    }
}

static bool needs_lookup(const struct delta *delta, bool of_user)
{
    if (of_user)
        return delta->user_id == 0 && delta->passkey_length > 0 && delta->passkey_length <= PASSKEY_MAX;
    return delta->torrent_id == 0;
}

static void collect_lookups(struct batch *batch, bool of_user)
{
    uint16_t registers = of_user ? DELTA_REGISTERS_USER : DELTA_REGISTERS_TORRENT;
    bool is_clean = false;
    for (size_t i = 0; i < batch->count; i++) {
        const struct delta *delta = &batch->deltas[i];
        if (!needs_lookup(delta, of_user))
            continue;
        if (!is_clean)
            memset(batch->slots, 0, batch->slot_count * sizeof(*batch->slots));
        is_clean = true;
        struct batch_lookup *lookup = lookup_find(batch, delta, of_user, true);
        lookup->registers |= (delta->flags & registers) != 0;
        lookup->hide_address |= (delta->flags & DELTA_HIDE_ADDRESS) != 0;
    }
}

int batch_begin(struct batch *batch, const struct delta *deltas, size_t count)
{
    if (batch_reserve(batch, count) != 0)
        return -ENOMEM;
    batch->deltas = deltas;
    batch->count = count;
    batch->user_count = batch->torrent_count = batch->account_count = batch->session_count = 0;
    batch->user_lookup_count = batch->torrent_lookup_count = 0;
    collect_lookups(batch, true);
    collect_lookups(batch, false);
    return 0;
}

/* The ids of all deltas, into sessions[i], in the order of the deltas; 0: has no row. */
static void assign_ids(struct batch *batch, bool of_user)
{
    size_t lookups = of_user ? batch->user_lookup_count : batch->torrent_lookup_count;
    if (lookups > 0) {
        /* The table held the other kind's places, or these: it is built again, in the same order. */
        memset(batch->slots, 0, batch->slot_count * sizeof(*batch->slots));
        struct batch_lookup *array = of_user ? batch->user_lookups : batch->torrent_lookups;
        size_t *count = of_user ? &batch->user_lookup_count : &batch->torrent_lookup_count;
        *count = 0;
        for (size_t i = 0; i < lookups; i++) {
            struct batch_lookup kept = array[i];
            *lookup_find(batch, kept.delta, of_user, true) = kept;
        }
    }
    for (size_t i = 0; i < batch->count; i++) {
        const struct delta *delta = &batch->deltas[i];
        int64_t id = of_user ? delta->user_id : delta->torrent_id;
        if (lookups > 0 && needs_lookup(delta, of_user)) {
            const struct batch_lookup *lookup = lookup_find(batch, delta, of_user, false);
            id = lookup ? lookup->id : 0;
        }
        if (of_user)
            batch->sessions[i].user_id = id;
        else
            batch->sessions[i].torrent_id = id;
    }
}

static int compare_ids(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_sessions(const void *left, const void *right)
{
    const struct batch_session *a = left, *b = right;
    int order = compare_ids(a->user_id, b->user_id);
    if (order == 0)
        order = compare_ids(a->torrent_id, b->torrent_id);
    if (order == 0)
        order = memcmp(a->delta->peer_id, b->delta->peer_id, PEER_ID_BYTES);
    if (order == 0)
        order = (a->delta > b->delta) - (a->delta < b->delta);
    return order;
}

static int compare_torrents(const void *left, const void *right)
{
    const struct batch_torrent *a = left, *b = right;
    int order = compare_ids(a->id, b->id);
    return order != 0 ? order : (a->seq > b->seq) - (a->seq < b->seq);
}

/* Adds, and says whether the sum still is one of the database's integers. */
static bool add(uint64_t *sum, uint64_t amount)
{
    return !__builtin_add_overflow(*sum, amount, sum) && *sum <= COUNTER_MAX;
}

static bool merge_user(struct batch *batch, const struct batch_session *entry)
{
    const struct delta *delta = entry->delta;
    struct batch_user *user = batch->user_count > 0 ? &batch->users[batch->user_count - 1] : NULL;
    if (!user || user->id != entry->user_id) {
        /* A user's row has nothing to gain from an announce that moved no bytes. */
        if ((delta->uploaded | delta->downloaded | delta->credited_uploaded | delta->credited_downloaded |
             delta->quarantined) == 0)
            return true;
        user = &batch->users[batch->user_count++];
        *user = (struct batch_user){.id = entry->user_id};
    }
    return add(&user->uploaded, delta->credited_uploaded) && add(&user->downloaded, delta->credited_downloaded) &&
           add(&user->raw_uploaded, delta->uploaded) && add(&user->raw_downloaded, delta->downloaded) &&
           add(&user->quarantined, delta->quarantined);
}

int64_t batch_announce_time(const struct delta *delta)
{
    int64_t ms = delta->event == EVENT_EXPIRED ? delta->session.last_announce_ms : delta->time_ms;
    return ms / 1000;
}

/* `*newest` is the delta that the row's state (not its sums) is from. */
static bool merge_account(struct batch *batch, const struct batch_session *entry, const struct delta **newest)
{
    const struct delta *delta = entry->delta;
    struct batch_account *account = batch->account_count > 0 ? &batch->accounts[batch->account_count - 1] : NULL;
    int64_t time = batch_announce_time(delta);
    if (!account || account->user_id != entry->user_id || account->torrent_id != entry->torrent_id) {
        account = &batch->accounts[batch->account_count++];
        *account = (struct batch_account){
            .user_id = entry->user_id, .torrent_id = entry->torrent_id, .first_announce = time, .last_announce = time};
        *newest = NULL;
    }
    if (time < account->first_announce)
        account->first_announce = time;
    if (time > account->last_announce)
        account->last_announce = time;
    int64_t now = delta->time_ms / 1000;
    if ((delta->flags & DELTA_SNATCHED) && (account->snatched_at == 0 || now < account->snatched_at))
        account->snatched_at = now;
    if (!*newest || delta > *newest) {
        account->seeding = delta->user_seeding;
        account->active = delta->user_active;
        account->left = delta->user_left;
        *newest = delta;
    }
    return add(&account->uploaded, delta->credited_uploaded) && add(&account->downloaded, delta->credited_downloaded) &&
           add(&account->raw_uploaded, delta->uploaded) && add(&account->raw_downloaded, delta->downloaded) &&
           add(&account->seed_time, delta->seed_time_s) && add(&account->leech_time, delta->leech_time_s);
}

/* Keeps of each session its last delta: sorted, it stands last. */
static void merge_session(struct batch *batch, const struct batch_session *entry)
{
    struct batch_session *last = batch->session_count > 0 ? &batch->sessions[batch->session_count - 1] : NULL;
    if (last && last->user_id == entry->user_id && last->torrent_id == entry->torrent_id &&
        memcmp(last->delta->peer_id, entry->delta->peer_id, PEER_ID_BYTES) == 0)
        last->delta = entry->delta;
    else
        batch->sessions[batch->session_count++] = *entry;
}

static void merge_torrents(struct batch *batch)
{
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->sessions[i].torrent_id == 0)
            continue;
        const struct delta *delta = batch->sessions[i].delta;
        batch->torrents[count++] = (struct batch_torrent){.id = batch->sessions[i].torrent_id,
                                                          .seeders = delta->seeders,
                                                          .leechers = delta->leechers,
                                                          .seq = delta->seq};
    }
    qsort(batch->torrents, count, sizeof(*batch->torrents), compare_torrents);
    for (size_t i = 0; i < count; i++) {
        if (i + 1 == count || batch->torrents[i + 1].id != batch->torrents[i].id)
            batch->torrents[batch->torrent_count++] = batch->torrents[i];
    }
}

static bool values_fit(const struct delta *delta)
{
    return delta->left <= COUNTER_MAX && delta->user_left <= COUNTER_MAX && delta->session.left <= COUNTER_MAX &&
           delta->session.uploaded <= COUNTER_MAX && delta->session.downloaded <= COUNTER_MAX;
}

int batch_merge(struct batch *batch, struct error *error)
{
    for (size_t i = 0; i < batch->count; i++)
        batch->sessions[i] = (struct batch_session){.delta = &batch->deltas[i]};
    assign_ids(batch, true);
    assign_ids(batch, false);
    merge_torrents(batch);
    qsort(batch->sessions, batch->count, sizeof(*batch->sessions), compare_sessions);

    /* batch_begin has made the room; an analyzer cannot see that. */
    assert(batch->users && batch->accounts);
    const struct delta *newest = NULL;
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_session entry = batch->sessions[i];
        bool fits = values_fit(entry.delta);
        if (fits && entry.user_id != 0)
            fits = merge_user(batch, &entry);
        if (fits && entry.user_id != 0 && entry.torrent_id != 0) {
            fits = merge_account(batch, &entry, &newest);
            merge_session(batch, &entry);
        }
        if (!fits) {
            error_set(error, "delta %" PRIu64 ": a count is larger than 2^63-1", entry.delta->seq);
            return -ERANGE;
        }
    }
    return 0;
}

void batch_user_values(const struct batch_user *user, int64_t values[static BATCH_USER_VALUES])
{
    values[0] = user->id;
    values[1] = (int64_t)user->uploaded;
    values[2] = (int64_t)user->downloaded;
    values[3] = (int64_t)user->raw_uploaded;
    values[4] = (int64_t)user->raw_downloaded;
    values[5] = (int64_t)user->quarantined;
}

void batch_account_values(const struct batch_account *account, int64_t values[static BATCH_ACCOUNT_VALUES])
{
    values[0] = account->user_id;
    values[1] = account->torrent_id;
    values[2] = (int64_t)account->uploaded;
    values[3] = (int64_t)account->downloaded;
    values[4] = (int64_t)account->raw_uploaded;
    values[5] = (int64_t)account->raw_downloaded;
    values[6] = (int64_t)account->seed_time;
    values[7] = (int64_t)account->leech_time;
    values[8] = (int64_t)account->left;
    values[9] = account->seeding;
    values[10] = account->active;
    values[11] = account->first_announce;
    values[12] = account->last_announce;
}

void batch_torrent_values(const struct batch_torrent *torrent, int64_t values[static BATCH_TORRENT_VALUES])
{
    values[0] = torrent->id;
    values[1] = torrent->seeders;
    values[2] = torrent->leechers;
    values[3] = torrent->snatches;
}

void batch_session_peer_id(const struct batch_session *entry, char digits[static 2 * PEER_ID_BYTES + 1])
{
    hex_encode(digits, entry->delta->peer_id, PEER_ID_BYTES);
}

static int64_t describe_address(const struct address *address, bool show, char text[static ADDRESS_TEXT_BYTES])
{
    text[0] = '\0';
    if (!show || address->family == 0)
        return 0;
    address_format_ip(address, text);
    return address->port;
}

void batch_session_describe(const struct batch *batch, const struct batch_session *entry,
                            struct batch_session_texts *texts)
{
    const struct delta *delta = entry->delta;
    bool show = batch->include_address && !(delta->flags & DELTA_HIDE_ADDRESS);
    batch_session_peer_id(entry, texts->peer_id);
    delta_client(texts->client, delta->peer_id);
    texts->port4 = describe_address(&delta->session.address4, show, texts->ip4);
    texts->port6 = describe_address(&delta->session.address6, show, texts->ip6);
    texts->counters[0] = (int64_t)delta->session.uploaded;
    texts->counters[1] = (int64_t)delta->session.downloaded;
    texts->counters[2] = (int64_t)delta->session.left;
    texts->counters[3] = batch_announce_time(delta);
}

static int compare_torrent_id(const void *key, const void *element)
{
    return compare_ids(*(const int64_t *)key, ((const struct batch_torrent *)element)->id);
}

struct batch_torrent *batch_find_torrent(const struct batch *batch, int64_t id)
{
    return bsearch(&id, batch->torrents, batch->torrent_count, sizeof(*batch->torrents), compare_torrent_id);
}
