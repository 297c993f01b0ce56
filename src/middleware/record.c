/* record: see record.h. */
#include "middleware/record.h"

#include <string.h>

struct user_presence user_presence(const struct torrent *torrent, uint32_t user)
{
    struct user_presence presence = {.left = COUNTER_MAX};
    struct swarm_walk walk;
    uint32_t slot = swarm_first_of_user(torrent, user, &walk);
    for (; slot != SLOT_NONE; slot = swarm_next_of_user(&walk)) {
        enum swarm_place place = swarm_place(torrent, slot);
        if (place == PLACE_TOMBSTONE)
            continue;
        uint64_t left = session_left(swarm_session(torrent, slot));
        presence.active++;
        presence.seeding += place == PLACE_SEEDER;
        if (left < presence.left)
            presence.left = left;
    }
    return presence;
}

static void record_user(struct delta *delta, const struct user *user)
{
    delta->user_id = user->id;
    memcpy(delta->user, user->user_id, sizeof delta->user);
    if (user->flags & USER_HIDE_ADDRESS)
        delta->flags |= DELTA_HIDE_ADDRESS;
    delta->passkey_length = 0;
    if (user->id == 0) { /* registered itself; the database may not know it yet */
        delta->flags |= DELTA_REGISTERS_USER;
        delta->passkey_length = user->passkey_length;
        memcpy(delta->passkey, user->passkey, user->passkey_length);
    }
}

static void record_torrent(struct delta *delta, const struct torrent *torrent)
{
    delta->torrent_id = torrent->id;
    memcpy(delta->info_hash, torrent->info_hash, sizeof delta->info_hash);
    if (torrent->id == 0)
        delta->flags |= DELTA_REGISTERS_TORRENT;
    delta->seeders = torrent->seeders;
    delta->leechers = torrent->leechers;
}

static void record_session(struct delta *delta, const struct record *record)
{
    const struct session *session = record->session;
    memcpy(delta->peer_id, record->peer_id, sizeof delta->peer_id);
    delta->active = record->in_swarm;
    delta->session.uploaded = session->uploaded;
    delta->session.downloaded = session->downloaded;
    delta->session.left = session_left(session);
    delta->session.last_announce_ms = session_last_ms(session);
    delta->session.key = session->key;
    delta->session.flags = session->flags;
    delta->session.address4.family = 0;
    delta->session.address6.family = 0;
    if (session->flags & SESSION_HAS4) {
        struct address *address = &delta->session.address4;
        *address = (struct address){.family = 4, .port = session->port};
        memcpy(address->ip, swarm_endpoint4(record->torrent, record->slot), 4);
    }
    if (session->flags & SESSION_HAS6)
        delta->session.address6 = swarm_endpoint(record->torrent, record->slot, 6);
}

static uint16_t at_most_16_bits(uint32_t count)
{
    return count < UINT16_MAX ? (uint16_t)count : UINT16_MAX;
}

void record_delta(struct context *context, const struct record *record)
{
    const struct credit *credit = record->credit;
    struct delta *delta = ring_next(context->ring);
    delta->time_ms = context->now_ms;
    delta->event = record->event;
    delta->flags = credit->flags;
    delta->uploaded = credit->uploaded;
    delta->downloaded = credit->downloaded;
    delta->credited_uploaded = credit->credited_uploaded;
    delta->credited_downloaded = credit->credited_downloaded;
    delta->quarantined = credit->quarantined;
    delta->seed_time_s = credit->seed_time_s;
    delta->leech_time_s = credit->leech_time_s;
    delta->left = record->left;
    if (record->source != NULL)
        delta->source = *record->source;
    else
        delta->source.family = 0;
    record_user(delta, record->user);
    record_torrent(delta, record->torrent);
    record_session(delta, record);
    const struct user_presence *presence = &record->presence;
    delta->user_seeding = at_most_16_bits(presence->seeding);
    delta->user_active = at_most_16_bits(presence->active);
    delta->user_left = presence->active > 0 ? presence->left : record->left;
    ring_commit(context->ring);
    counter_add(&context->counters->deltas_made, 1);
}
