/* restore: brings sessions back from the deltas of the journal, at start. */
#include <errno.h>
#include <sodium.h>

#include "base/hex.h"
#include "storage/seed_marks.h"
#include "storage/swarm_load.h"
#include "tracker/worker_private.h"

void tracker_keep_strangers(struct tracker *tracker)
{
    tracker->keeps_strangers = true;
}

/* Nobody has its passkey; the registry gives the user its own, and its sessions are there still. */
static uint32_t keep_stranger(struct users *users, int64_t id)
{
    uint8_t bytes[PASSKEY_MAX / 2];
    char passkey[PASSKEY_MAX + 1];
    randombytes_buf(bytes, sizeof bytes);
    hex_encode(passkey, bytes, sizeof bytes);
    const struct user_facts facts = {.id = id, .passkey = passkey, .upload_percent = 100, .download_percent = 100};
    if (users_put(users, &facts) != 0)
        return USER_NONE;
    users_remove(users, id);
    return users_index_of_id(users, id);
}

uint32_t restore_user(const struct tracker *tracker, int64_t id, const char *passkey, size_t length)
{
    struct users *users = tracker->parts.users;
    if (id != 0) {
        uint32_t index = users_index_of_id(users, id);
        return index != USER_NONE || !tracker->keeps_strangers ? index : keep_stranger(users, id);
    }
    bool made;
    const struct user *user = users_register(users, passkey, length, UINT32_MAX, &made);
    return user == NULL ? USER_NONE : user->index;
}

static struct torrent *find_torrent(struct torrents *torrents, const struct delta *delta)
{
    struct torrent *torrent = torrents_find(torrents, delta->info_hash);
    if (torrent == NULL)
        torrent = torrents_add(torrents, delta->info_hash);
    if (torrent != NULL && torrent->id == 0)
        torrent->id = delta->torrent_id;
    return torrent;
}

static void restore_fields(struct session *session, const struct delta *delta)
{
    const struct delta_session *saved = &delta->session;
    session->uploaded = saved->uploaded;
    session->downloaded = saved->downloaded;
    session->key = saved->key;
    session_set_left(session, saved->left);
    session_set_last_ms(session, saved->last_announce_ms);
    if (delta->source.family != 0)
        session->port = delta->source.port;
}

static int restore_endpoints(struct torrent *torrent, uint32_t slot, const struct delta_session *saved)
{
    const struct address *addresses[] = {&saved->address4, &saved->address6};
    for (int i = 0; i < 2; i++)
        if (addresses[i]->family != 0 && swarm_set_endpoint(torrent, slot, addresses[i]) != 0)
            return -ENOMEM;
    return 0;
}

/* Where the user has several sessions here, the time that the delta counted is covered. */
static void restore_marks(struct torrents *torrents, const struct torrent *torrent, uint32_t user,
                          const struct delta *delta)
{
    if (delta->user_active < 2 || (delta->seed_time_s == 0 && delta->leech_time_s == 0))
        return;
    struct seed_mark *mark = seed_marks_make(torrents_seed_marks(torrents), torrent_number(torrent), user);
    uint32_t at_s = (uint32_t)((delta->time_ms - TIME_BASE_MS) / 1000);
    if (mark != NULL && delta->seed_time_s > 0)
        mark->seed_s = at_s;
    if (mark != NULL && delta->leech_time_s > 0)
        mark->leech_s = at_s;
}

int tracker_restore(struct tracker *tracker, const struct delta *delta, bool counts_snatch)
{
    uint32_t user = restore_user(tracker, delta->user_id, delta->passkey, delta->passkey_length);
    if (user == USER_NONE)
        return 0;
    struct torrents *torrents = tracker->workers[torrent_owner(delta->info_hash, tracker->count)]->context.torrents;
    struct torrent *torrent = find_torrent(torrents, delta);
    if (torrent == NULL)
        return -ENOMEM;
    uint32_t slot = swarm_find(torrents, torrent, user, delta->peer_id);
    if (slot == SLOT_NONE)
        slot = swarm_add(torrents, torrent, user, delta->peer_id);
    if (slot == SLOT_NONE)
        return -ENOMEM;
    restore_fields(swarm_session(torrent, slot), delta);
    slot = swarm_move(torrents, torrent, slot, saved_place(delta->active, delta->session.left));
    if (delta->active && restore_endpoints(torrent, slot, &delta->session) != 0)
        return -ENOMEM;
    swarm_restore_flags(torrent, slot, delta->session.flags);
    restore_marks(torrents, torrent, user, delta);
    if (counts_snatch && delta->flags & DELTA_SNATCHED)
        torrent->snatches++;
    torrent->next_expiry_s = 0; /* looked at by the first walk */
    return 0;
}
