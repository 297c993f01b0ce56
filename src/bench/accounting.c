/* accounting: see accounting.h. The numbers in comments are those of the accounting rules. */
#include "bench/accounting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/random.h"

enum {
    LATE_COPY_MS = 60 * 1000, /* rule 2: lower counters within this are a late copy */
    DUPLICATE_MS = 5 * 1000,  /* rule 4 */
};

const struct accounting_rules accounting_default_rules = {
    .max_rate_bytes_per_s = UINT64_C(1) << 30,
    .seed_time_gap_ms = 75 * 60 * 1000,
    .peer_lifetime_ms = 70 * 60 * 1000,
    .tombstone_lifetime_ms = INT64_C(21) * 24 * 3600 * 1000,
};

struct account_session {
    uint8_t peer_id[PEER_ID_BYTES];
    uint32_t next;     /* of the same account; 0: none, else index + 1 */
    uint64_t uploaded; /* the baseline */
    uint64_t downloaded;
    int64_t last_ms; /* of the last announce that was no late copy */
    int64_t stopped_ms;
    uint32_t key;
    uint16_t port;
    bool seeding;
    bool stopped;
    bool first_seen_leeching;
};

struct accounting {
    struct accounting_rules rules;
    struct account *accounts;
    size_t account_count, account_room;
    struct account_session *sessions;
    size_t session_count, session_room;
    uint32_t *table;   /* open addressing by user and torrent: index + 1, 0 is free */
    size_t table_size; /* a power of two */
};

/* The items, moved where there was no room for one more. NULL: out of memory, and they are where they were. */
static void *with_room(void *items, size_t *room, size_t count, size_t size)
{
    if (count < *room)
        return items;
    size_t larger = *room == 0 ? 1024 : *room * 2;
    void *moved = larger < UINT32_MAX ? reallocarray(items, larger, size) : NULL;
    if (moved != NULL)
        *room = larger;
    return moved;
}

struct accounting *accounting_new(const struct accounting_rules *rules)
{
    struct accounting *accounting = calloc(1, sizeof *accounting);
    if (accounting == NULL)
        return NULL;
    accounting->rules = *rules;
    accounting->table_size = 1024;
    accounting->table = calloc(accounting->table_size, sizeof *accounting->table);
    if (accounting->table == NULL) {
        free(accounting);
        return NULL;
    }
    return accounting;
}

void accounting_free(struct accounting *accounting)
{
    if (accounting == NULL)
        return;
    free(accounting->accounts);
    free(accounting->sessions);
    free(accounting->table);
    free(accounting);
}

/* The table's place of an account, or the free one where it belongs. */
static size_t table_place(const struct accounting *accounting, uint32_t user, uint32_t torrent)
{
    size_t mask = accounting->table_size - 1;
    size_t place = (size_t)random_mix((uint64_t)user << 32 | torrent) & mask;
    for (;; place = (place + 1) & mask) {
        uint32_t entry = accounting->table[place];
        if (entry == 0)
            return place;
        const struct account *account = &accounting->accounts[entry - 1];
        if (account->user == user && account->torrent == torrent)
            return place;
    }
}

static int table_grow(struct accounting *accounting)
{
    if (accounting->account_count * 2 < accounting->table_size)
        return 0;
    uint32_t *table = calloc(accounting->table_size * 2, sizeof *table);
    if (table == NULL)
        return -ENOMEM;
    free(accounting->table);
    accounting->table = table;
    accounting->table_size *= 2;
    for (size_t i = 0; i < accounting->account_count; i++) {
        const struct account *account = &accounting->accounts[i];
        accounting->table[table_place(accounting, account->user, account->torrent)] = (uint32_t)i + 1;
    }
    return 0;
}

const struct account *accounting_find(const struct accounting *accounting, uint32_t user, uint32_t torrent)
{
    uint32_t entry = accounting->table[table_place(accounting, user, torrent)];
    return entry == 0 ? NULL : &accounting->accounts[entry - 1];
}

size_t accounting_count(const struct accounting *accounting)
{
    return accounting->account_count;
}

const struct account *accounting_at(const struct accounting *accounting, size_t index)
{
    return &accounting->accounts[index];
}

static struct account_session *find_session(struct accounting *accounting, const struct account *account,
                                            const uint8_t *peer_id)
{
    for (uint32_t i = account->first_session; i != 0; i = accounting->sessions[i - 1].next) {
        if (memcmp(accounting->sessions[i - 1].peer_id, peer_id, PEER_ID_BYTES) == 0)
            return &accounting->sessions[i - 1];
    }
    return NULL;
}

static struct account *add_account(struct accounting *accounting, const struct accounted_announce *announce)
{
    struct account *accounts =
        with_room(accounting->accounts, &accounting->account_room, accounting->account_count, sizeof *accounts);
    if (accounts == NULL)
        return NULL;
    accounting->accounts = accounts;
    if (table_grow(accounting) < 0)
        return NULL;
    struct account *account = &accounting->accounts[accounting->account_count++];
    *account = (struct account){.user = announce->user, .torrent = announce->torrent};
    accounting->table[table_place(accounting, account->user, account->torrent)] = (uint32_t)accounting->account_count;
    return account;
}

/* Rule 1: the counters become the baseline, and nothing is credited. */
static int first_announce(struct accounting *accounting, struct account *account,
                          const struct accounted_announce *announce, struct accounted_credit *credit)
{
    struct account_session *sessions =
        with_room(accounting->sessions, &accounting->session_room, accounting->session_count, sizeof *sessions);
    if (sessions == NULL)
        return -ENOMEM;
    accounting->sessions = sessions;
    if (account == NULL)
        account = add_account(accounting, announce);
    if (account == NULL)
        return -ENOMEM;
    struct account_session *session = &accounting->sessions[accounting->session_count++];
    *session = (struct account_session){
        .next = account->first_session,
        .uploaded = announce->uploaded,
        .downloaded = announce->downloaded,
        .last_ms = announce->time_ms,
        .key = announce->key,
        .port = announce->port,
        .seeding = announce->left == 0,
        .first_seen_leeching = announce->left > 0,
    };
    memcpy(session->peer_id, announce->peer_id, PEER_ID_BYTES);
    account->first_session = (uint32_t)accounting->session_count;
    credit->is_first = true;
    credit->is_stored = true;
    return 0;
}

/* Rule 4: another session with this key and port has just said the same. */
static bool is_duplicate(const struct accounting *accounting, const struct account *account,
                         const struct account_session *session, const struct accounted_announce *announce)
{
    if (announce->key == 0)
        return false;
    for (uint32_t i = account->first_session; i != 0; i = accounting->sessions[i - 1].next) {
        const struct account_session *other = &accounting->sessions[i - 1];
        if (other != session && other->key == announce->key && other->port == announce->port &&
            other->uploaded == announce->uploaded && other->downloaded == announce->downloaded &&
            announce->time_ms - other->last_ms <= DUPLICATE_MS)
            return true;
    }
    return false;
}

/* Rule 8: no more than max_rate allows for the time since the last announce, at least a second. */
static uint64_t clamp(const struct accounting *accounting, uint64_t bytes, int64_t elapsed_ms)
{
    uint64_t ms = elapsed_ms < 1000 ? 1000 : (uint64_t)elapsed_ms;
    uint64_t most;
    if (__builtin_mul_overflow(accounting->rules.max_rate_bytes_per_s, ms, &most))
        return bytes;
    return bytes > most / 1000 ? most / 1000 : bytes;
}

/* Rule 2: the differences, or what lower counters mean. Moves the baseline. */
static void credit_bytes(const struct accounting *accounting, const struct account *account,
                         struct account_session *session, const struct accounted_announce *announce,
                         struct accounted_credit *credit)
{
    int64_t elapsed_ms = announce->time_ms - session->last_ms;
    if (announce->uploaded < session->uploaded || announce->downloaded < session->downloaded) {
        bool restarted = (announce->event == EVENT_STARTED && session->stopped) || elapsed_ms > LATE_COPY_MS;
        credit->is_reset = restarted;
        credit->is_late = !restarted;
    } else if (is_duplicate(accounting, account, session, announce)) {
        credit->is_duplicate = true;
    } else {
        credit->raw_uploaded = announce->uploaded - session->uploaded;
        credit->raw_downloaded = announce->downloaded - session->downloaded;
        credit->uploaded = clamp(accounting, credit->raw_uploaded, elapsed_ms);
        credit->downloaded = clamp(accounting, credit->raw_downloaded, elapsed_ms);
        credit->is_clamped = credit->uploaded != credit->raw_uploaded || credit->downloaded != credit->raw_downloaded;
    }
    if (!credit->is_late) {
        session->uploaded = announce->uploaded;
        session->downloaded = announce->downloaded;
    }
}

/* Rule 10: the gap since the session's last announce, for what it was then, as far as no other session covered it. */
static void credit_time(const struct accounting *accounting, struct account *account,
                        const struct account_session *session, int64_t now_ms)
{
    int64_t gap_ms = now_ms - session->last_ms;
    if (session->stopped || gap_ms > accounting->rules.seed_time_gap_ms || gap_ms > accounting->rules.peer_lifetime_ms)
        return;
    int64_t *total = session->seeding ? &account->seed_time_ms : &account->leech_time_ms;
    int64_t *until = session->seeding ? &account->seeded_until_ms : &account->leeched_until_ms;
    int64_t from = session->last_ms > *until ? session->last_ms : *until;
    if (now_ms > from)
        *total += now_ms - from;
    if (now_ms > *until)
        *until = now_ms;
}

/* Rules 2 and 5: stopped ends a session; for a minute, only started brings it back. */
static void move_session(struct account_session *session, const struct accounted_announce *announce)
{
    if (announce->event == EVENT_STOPPED) {
        session->stopped = true;
        session->stopped_ms = announce->time_ms;
    } else if (announce->event == EVENT_STARTED || announce->time_ms - session->stopped_ms > LATE_COPY_MS) {
        session->stopped = false;
    }
}

static void later_announce(const struct accounting *accounting, struct account *account,
                           struct account_session *session, const struct accounted_announce *announce,
                           struct accounted_credit *credit)
{
    credit->is_stored = true;
    credit_bytes(accounting, account, session, announce, credit);
    if (credit->is_late) {
        if (announce->event == EVENT_STOPPED)
            move_session(session, announce);
        return;
    }
    credit_time(accounting, account, session, announce->time_ms);
    /* Rule 6. */
    bool finished = announce->left == 0 || announce->event == EVENT_COMPLETED;
    credit->is_snatch = session->first_seen_leeching && finished && !account->snatched;
    account->snatched = account->snatched || credit->is_snatch;
    account->raw_uploaded += credit->raw_uploaded;
    account->raw_downloaded += credit->raw_downloaded;
    account->uploaded += credit->uploaded;
    account->downloaded += credit->downloaded;
    account->credits += credit->raw_uploaded > 0 || credit->raw_downloaded > 0;

    move_session(session, announce);
    session->last_ms = announce->time_ms;
    session->key = announce->key;
    session->port = announce->port;
    session->seeding = announce->left == 0;
}

/* Rule 7: a tombstone that nobody came back to in time is gone, and the session is a new one. */
static bool is_forgotten(const struct accounting *accounting, const struct account_session *session, int64_t now_ms)
{
    return now_ms - session->last_ms > accounting->rules.tombstone_lifetime_ms;
}

int accounting_apply(struct accounting *accounting, const struct accounted_announce *announce,
                     struct accounted_credit *credit)
{
    struct accounted_credit ignored;
    if (credit == NULL)
        credit = &ignored;
    *credit = (struct accounted_credit){0};

    uint32_t entry = accounting->table[table_place(accounting, announce->user, announce->torrent)];
    struct account *account = entry == 0 ? NULL : &accounting->accounts[entry - 1];
    struct account_session *session = account == NULL ? NULL : find_session(accounting, account, announce->peer_id);
    if (session != NULL && is_forgotten(accounting, session, announce->time_ms)) {
        memset(session->peer_id, 0, sizeof session->peer_id);
        session->key = 0;
        session = NULL;
    }
    if (session != NULL) {
        later_announce(accounting, account, session, announce, credit);
        return 0;
    }
    if (announce->event == EVENT_STOPPED) /* rule 5: an empty success, nothing stored */
        return 0;
    return first_announce(accounting, account, announce, credit);
}
