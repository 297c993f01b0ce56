/* swarm_load: see swarm_load.h. */
#include "storage/swarm_load.h"

#include <errno.h>
#include <string.h>

#include "storage/swarm_layout.h"
#include "storage/users.h"

/* The session's slot at its place, made where it is not known. SLOT_NONE out of memory. */
static uint32_t settle(struct torrents *torrents, struct torrent *torrent, const struct saved_session *saved)
{
    enum swarm_place place = saved_place(saved->active, saved->left);
    uint32_t slot = swarm_find(torrents, torrent, saved->user, saved->peer_id);
    return slot == SLOT_NONE ? swarm_add_at(torrents, torrent, saved->user, saved->peer_id, place)
                             : swarm_move(torrents, torrent, slot, place);
}

static void fill(struct session *session, const struct saved_session *saved)
{
    session->uploaded = saved->uploaded;
    session->downloaded = saved->downloaded;
    session->key = saved->key;
    session->port = saved->port;
    session_set_last_ms(session, (int64_t)saved->last_ms + TIME_BASE_MS);
    session_set_left(session, saved->left);
}

static int set_endpoints(struct torrent *torrent, uint32_t slot, const struct saved_session *saved)
{
    struct address address = {.family = 4, .port = saved->port};
    memcpy(address.ip, saved->ip4, sizeof saved->ip4);
    if (saved->flags & SESSION_HAS4 && swarm_set_endpoint(torrent, slot, &address) != 0)
        return -ENOMEM;
    if (!(saved->flags & SESSION_HAS6))
        return 0;
    address.family = 6;
    memcpy(address.ip, saved->ip6, sizeof saved->ip6);
    return swarm_set_endpoint(torrent, slot, &address) == 0 ? 0 : -ENOMEM;
}

void swarm_restore_flags(struct torrent *torrent, uint32_t slot, uint16_t saved)
{
    const uint8_t kept =
        SESSION_STOPPED | SESSION_BEGAN_LEECHING | SESSION_SNATCHED | SESSION_GIVEN_PEER | SESSION_PARTIAL;
    struct session *session = swarm_session(torrent, slot);
    session->flags = (uint8_t)((session->flags & ~kept) | (saved & kept));
    if (swarm_place(torrent, slot) != PLACE_TOMBSTONE)
        swarm_list_session(torrent, slot, !(saved & SESSION_UNLISTED));
}

static int load_one(struct torrents *torrents, struct torrent *torrent, const struct saved_session *saved)
{
    uint32_t slot = settle(torrents, torrent, saved);
    if (slot == SLOT_NONE)
        return -ENOMEM;
    fill(swarm_session(torrent, slot), saved);
    if (saved->active && set_endpoints(torrent, slot, saved) != 0)
        return -ENOMEM;
    swarm_restore_flags(torrent, slot, saved->flags);
    return 0;
}

/* Room for all at once, so that the swarm need not grow by small steps; unless it has them already. */
static int make_room(struct torrents *torrents, struct torrent *torrent, const struct saved_session *sessions,
                     uint32_t count)
{
    uint32_t known = 0, first = 0;
    for (uint32_t i = count; i-- > 0;)
        if (sessions[i].user != USER_NONE) {
            known++;
            first = i;
        }
    if (known == 0 || (swarm_total(torrent) > 0 &&
                       swarm_find(torrents, torrent, sessions[first].user, sessions[first].peer_id) != SLOT_NONE))
        return 0;
    return swarm_grow(torrents, torrent, known) == 0 ? 0 : -ENOMEM;
}

int swarm_load(struct torrents *torrents, struct torrent *torrent, const struct saved_session *sessions, uint32_t count)
{
    if (make_room(torrents, torrent, sessions, count) != 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        if (sessions[i].user != USER_NONE && load_one(torrents, torrent, &sessions[i]) != 0)
            return -ENOMEM;
    torrent->next_expiry_s = 0; /* looked at by the first walk */
    return 0;
}
