/*
 * loading: the sessions of a snapshot on their way back. The calling thread decodes blocks and finds the users; what
 * belongs to a worker goes, in parcels, to a thread that fills that worker's swarms, so that all cores have something
 * to do. The workers themselves do not run yet.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/seed_marks.h"
#include "storage/snapshot.h"
#include "tracker/worker_private.h"

enum {
    PARCEL_SESSIONS = 512, /* also the most torrents; so a parcel stays in the cache of a core */
    PARCEL_MARKS = 128,
    LANE_PARCELS = 4,
    AHEAD = 32, /* torrents that are looked for at once */
};

/* A torrent of a parcel; its sessions and marks are those behind the ones of the torrent before. */
struct group {
    struct saved_torrent torrent;
    uint32_t sessions_end;
    uint32_t marks_end;
};

struct loaded_mark {
    uint32_t user;
    uint32_t seed_s;
    uint32_t leech_s;
};

struct parcel {
    uint32_t group_count;
    uint32_t session_count;
    uint32_t mark_count;
    struct group groups[PARCEL_SESSIONS];
    struct saved_session sessions[PARCEL_SESSIONS];
    int64_t ids[PARCEL_SESSIONS]; /* of the users: 0 where their indexes are known already */
    struct loaded_mark marks[PARCEL_MARKS];
};

/* The way to one worker's swarms. */
struct lane {
    struct torrents *torrents;
    struct parcel *parcels; /* a ring */
    bool is_open;           /* the last group of the parcel at hand is of the torrent at hand */
    bool has_thread;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    uint64_t filled; /* parcels, of all that ever were: the one with this number is at hand */
    uint64_t emptied;
    bool is_over;
    int result;
};

struct tracker_loading {
    struct tracker *tracker;
    struct saved_torrent torrent; /* at hand */
    struct lane *lane;            /* its owner's */
    struct lane lanes[];
};

/* --- into the swarms --- */

static void load_marks(struct lane *lane, const struct torrent *torrent, const struct loaded_mark *marks,
                       uint32_t count)
{
    struct seed_marks *seed_marks = torrents_seed_marks(lane->torrents);
    for (uint32_t i = 0; i < count; i++) {
        if (marks[i].user == USER_NONE)
            continue;
        struct seed_mark *mark = seed_marks_make(seed_marks, torrent_number(torrent), marks[i].user);
        if (mark == NULL)
            continue;
        mark->seed_s = marks[i].seed_s;
        mark->leech_s = marks[i].leech_s;
    }
}

static bool has_users(const struct saved_session *sessions, uint32_t count)
{
    uint32_t i = 0;
    while (i < count && sessions[i].user == USER_NONE)
        i++;
    return i < count;
}

/* `torrent`: NULL where nobody knows it yet. */
static int load_group(struct lane *lane, struct torrent *torrent, const struct parcel *parcel, uint32_t number)
{
    const struct group *group = &parcel->groups[number];
    const struct saved_torrent *saved = &group->torrent;
    uint32_t from = number == 0 ? 0 : group[-1].sessions_end;
    uint32_t marks_from = number == 0 ? 0 : group[-1].marks_end;
    const struct saved_session *sessions = &parcel->sessions[from];
    uint32_t count = group->sessions_end - from;
    if (torrent == NULL) {
        if (!has_users(sessions, count))
            return 0;
        torrent = torrents_add(lane->torrents, saved->info_hash);
        if (torrent == NULL)
            return -ENOMEM;
    }
    if (torrent->id == 0)
        torrent->id = saved->id;
    /* The day that its last bytes are counted began then. */
    if (saved->deleted_at_s != 0 && torrent->state == TORRENT_DELETED && torrent_extra(torrent) != NULL)
        torrent_extra(torrent)->deleted_at_s = saved->deleted_at_s;
    int result = swarm_load(lane->torrents, torrent, sessions, count);
    load_marks(lane, torrent, &parcel->marks[marks_from], group->marks_end - marks_from);
    return result;
}

/* In steps, so that the misses of many overlap. A torrent that is added may be meant again. */
static int load_groups(struct lane *lane, const struct parcel *parcel, uint32_t from, uint32_t count)
{
    struct torrents *torrents = lane->torrents;
    uint64_t hashes[AHEAD];
    struct torrent *guesses[AHEAD];
    const struct group *groups = &parcel->groups[from];
    for (uint32_t i = 0; i < count; i++) {
        hashes[i] = torrents_hash(torrents, groups[i].torrent.info_hash);
        torrents_prefetch_bucket(torrents, hashes[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        guesses[i] = torrents_guess(torrents, hashes[i]);
    int result = 0;
    for (uint32_t i = 0; i < count && result == 0; i++) {
        const uint8_t *info_hash = groups[i].torrent.info_hash;
        struct torrent *torrent = torrents_find_hashed(torrents, hashes[i], guesses[i], info_hash);
        if (torrent == NULL)
            torrent = torrents_find(torrents, info_hash);
        result = load_group(lane, torrent, parcel, from + i);
    }
    return result;
}

static int load_parcel(struct lane *lane, const struct parcel *parcel)
{
    int result = 0;
    for (uint32_t from = 0; from < parcel->group_count && result == 0; from += AHEAD) {
        uint32_t left = parcel->group_count - from;
        result = load_groups(lane, parcel, from, left < AHEAD ? left : AHEAD);
    }
    return result;
}

/* The thread of a lane. */
static void *run(void *argument)
{
    struct lane *lane = argument;
    pthread_setname_np(pthread_self(), "loading");
    pthread_mutex_lock(&lane->lock);
    for (;;) {
        while (lane->emptied == lane->filled && !lane->is_over)
            pthread_cond_wait(&lane->changed, &lane->lock);
        if (lane->emptied == lane->filled)
            break;
        const struct parcel *parcel = &lane->parcels[lane->emptied % LANE_PARCELS];
        int result = lane->result;
        pthread_mutex_unlock(&lane->lock);
        if (result == 0)
            result = load_parcel(lane, parcel);
        pthread_mutex_lock(&lane->lock);
        lane->result = result;
        lane->emptied++;
        pthread_cond_signal(&lane->changed);
    }
    pthread_mutex_unlock(&lane->lock);
    return NULL;
}

/* --- parcels --- */

static struct parcel *at_hand(const struct lane *lane)
{
    return &lane->parcels[lane->filled % LANE_PARCELS];
}

static void find_users(const struct tracker *tracker, struct parcel *parcel)
{
    uint32_t users[PARCEL_SESSIONS];
    users_indexes_of_ids(tracker->parts.users, parcel->ids, users, parcel->session_count);
    for (uint32_t i = 0; i < parcel->session_count; i++)
        if (parcel->ids[i] != 0)
            parcel->sessions[i].user = users[i] != USER_NONE || !tracker->keeps_strangers
                                           ? users[i]
                                           : restore_user(tracker, parcel->ids[i], NULL, 0);
}

/* Gives the parcel at hand to the lane's thread and waits until another is free. */
static int hand_over(const struct tracker *tracker, struct lane *lane)
{
    struct parcel *parcel = at_hand(lane);
    find_users(tracker, parcel);
    pthread_mutex_lock(&lane->lock);
    if (lane->has_thread) {
        lane->filled++;
        pthread_cond_signal(&lane->changed);
        while (lane->filled - lane->emptied >= LANE_PARCELS)
            pthread_cond_wait(&lane->changed, &lane->lock);
    } else if (lane->result == 0) {
        lane->result = load_parcel(lane, parcel);
    }
    int result = lane->result;
    pthread_mutex_unlock(&lane->lock);
    at_hand(lane)->group_count = at_hand(lane)->session_count = at_hand(lane)->mark_count = 0;
    lane->is_open = false;
    return result;
}

/* Makes the torrent at hand the last group of the parcel at hand, which has room for one session and one mark more. */
static int open_group(struct tracker_loading *loading)
{
    struct lane *lane = loading->lane;
    struct parcel *parcel = at_hand(lane);
    if (parcel->session_count == PARCEL_SESSIONS || parcel->mark_count == PARCEL_MARKS ||
        (!lane->is_open && parcel->group_count == PARCEL_SESSIONS)) {
        int result = hand_over(loading->tracker, lane);
        if (result != 0)
            return result;
        parcel = at_hand(lane);
    }
    if (lane->is_open)
        return 0;
    parcel->groups[parcel->group_count++] = (struct group){
        .torrent = loading->torrent, .sessions_end = parcel->session_count, .marks_end = parcel->mark_count};
    lane->is_open = true;
    return 0;
}

static int take_torrent(void *context, const struct saved_torrent *torrent)
{
    struct tracker_loading *loading = context;
    loading->torrent = *torrent;
    loading->lane = &loading->lanes[torrent_owner(torrent->info_hash, loading->tracker->count)];
    loading->lane->is_open = false;
    return torrent->deleted_at_s != 0 ? open_group(loading) : 0;
}

static int take_session(void *context, const struct saved_user *user, const struct saved_session *session)
{
    struct tracker_loading *loading = context;
    int result = open_group(loading);
    if (result != 0)
        return result;
    struct parcel *parcel = at_hand(loading->lane);
    uint32_t number = parcel->session_count++;
    parcel->sessions[number] = *session;
    parcel->ids[number] = user->id;
    if (user->id == 0)
        parcel->sessions[number].user = restore_user(loading->tracker, 0, user->passkey, user->passkey_length);
    parcel->groups[parcel->group_count - 1].sessions_end = parcel->session_count;
    return 0;
}

static int take_mark(void *context, const struct saved_user *user, uint32_t seed_s, uint32_t leech_s)
{
    struct tracker_loading *loading = context;
    int result = open_group(loading);
    if (result != 0)
        return result;
    struct parcel *parcel = at_hand(loading->lane);
    parcel->marks[parcel->mark_count++] =
        (struct loaded_mark){.user = restore_user(loading->tracker, user->id, user->passkey, user->passkey_length),
                             .seed_s = seed_s,
                             .leech_s = leech_s};
    parcel->groups[parcel->group_count - 1].marks_end = parcel->mark_count;
    return 0;
}

/* --- beginning and end --- */

static int open_lane(struct lane *lane, struct torrents *torrents)
{
    lane->torrents = torrents;
    pthread_mutex_init(&lane->lock, NULL);
    pthread_cond_init(&lane->changed, NULL);
    lane->parcels = calloc(LANE_PARCELS, sizeof *lane->parcels);
    if (lane->parcels == NULL)
        return -ENOMEM;
    lane->has_thread = pthread_create(&lane->thread, NULL, run, lane) == 0; /* else the calling thread does it */
    return 0;
}

static int close_lane(struct lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    lane->is_over = true;
    pthread_cond_signal(&lane->changed);
    pthread_mutex_unlock(&lane->lock);
    if (lane->has_thread)
        pthread_join(lane->thread, NULL);
    pthread_cond_destroy(&lane->changed);
    pthread_mutex_destroy(&lane->lock);
    free(lane->parcels);
    return lane->result;
}

struct tracker_loading *tracker_load_begin(struct tracker *tracker)
{
    struct tracker_loading *loading = calloc(1, sizeof *loading + tracker->count * sizeof loading->lanes[0]);
    if (loading == NULL)
        return NULL;
    loading->tracker = tracker;
    for (unsigned i = 0; i < tracker->count; i++)
        if (open_lane(&loading->lanes[i], tracker->workers[i]->context.torrents) != 0) {
            for (unsigned opened = 0; opened <= i; opened++)
                (void)close_lane(&loading->lanes[opened]);
            free(loading);
            return NULL;
        }
    return loading;
}

int tracker_load(struct tracker_loading *loading, const uint8_t *data, size_t size)
{
    const struct snapshot_reader reader = {
        .context = loading, .torrent = take_torrent, .session = take_session, .mark = take_mark};
    return snapshot_read(data, size, &reader);
}

int tracker_load_end(struct tracker_loading *loading)
{
    int result = 0;
    for (unsigned i = 0; i < loading->tracker->count; i++) {
        struct lane *lane = &loading->lanes[i];
        int sent = at_hand(lane)->group_count > 0 ? hand_over(loading->tracker, lane) : 0;
        int closed = close_lane(lane);
        result = closed != 0 ? closed : sent != 0 ? sent : result;
    }
    free(loading);
    return result;
}
