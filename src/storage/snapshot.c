/* snapshot: see snapshot.h. */
#include "storage/snapshot.h"

#include <errno.h>
#include <string.h>

#include "storage/seed_marks.h"
#include "storage/swarm.h"

/* What stands before each part of a torrent's group. */
enum { PART_END, PART_SESSION, PART_MARK };

enum { FLAG_ACTIVE = 1 << 8 }; /* beside enum session_flags: it is in the swarm */

#define LAST_MS_MAX ((UINT64_C(1) << 40) - 1) /* what a session has room for */

struct writing {
    struct torrents *torrents;
    struct users *users;
    const struct torrent *torrent;
    struct bytes *bytes;
    uint32_t written;
};

static void write_user(const struct writing *writing, uint32_t index)
{
    int64_t id = users_id_at(writing->users, index);
    bytes_put_varint(writing->bytes, (uint64_t)id);
    if (id == 0) { /* the database may not have it yet: named by its passkey */
        const struct user *user = users_at(writing->users, index);
        bytes_put_u8(writing->bytes, user->passkey_length);
        bytes_put(writing->bytes, user->passkey, user->passkey_length);
    }
}

static void write_mark(const struct writing *writing, uint32_t user)
{
    const struct seed_mark *mark =
        seed_marks_find(torrents_seed_marks(writing->torrents), torrent_number(writing->torrent), user);
    if (mark == NULL)
        return;
    bytes_put_u8(writing->bytes, PART_MARK);
    write_user(writing, user);
    bytes_put_varint(writing->bytes, mark->seed_s);
    bytes_put_varint(writing->bytes, mark->leech_s);
}

static void write_session(void *context, uint32_t slot)
{
    struct writing *writing = context;
    struct bytes *bytes = writing->bytes;
    const struct session *session = swarm_session(writing->torrent, slot);
    uint8_t peer_id[PEER_ID_BYTES];
    swarm_unpack_peer_id(writing->torrents, session, peer_id);
    bytes_put_u8(bytes, PART_SESSION);
    bool is_active = swarm_place(writing->torrent, slot) != PLACE_TOMBSTONE;
    bytes_put_u16(bytes, (uint16_t)(session->flags | (is_active ? FLAG_ACTIVE : 0)));
    write_user(writing, swarm_user(writing->torrent, slot));
    bytes_put(bytes, peer_id, sizeof peer_id);
    bytes_put_varint(bytes, session->uploaded);
    bytes_put_varint(bytes, session->downloaded);
    bytes_put_varint(bytes, session_left(session));
    bytes_put_varint(bytes, session_last_since_base(session));
    bytes_put_u32(bytes, session->key);
    bytes_put_u16(bytes, session->port);
    if (session->flags & SESSION_HAS4)
        bytes_put(bytes, swarm_endpoint(writing->torrent, slot, 4).ip, 4);
    if (session->flags & SESSION_HAS6)
        bytes_put(bytes, swarm_endpoint(writing->torrent, slot, 6).ip, 16);
    if (is_active)
        write_mark(writing, swarm_user(writing->torrent, slot));
    writing->written++;
}

static void begin_group(const struct writing *writing)
{
    const struct torrent *torrent = writing->torrent;
    bytes_put(writing->bytes, torrent->info_hash, sizeof torrent->info_hash);
    bytes_put_varint(writing->bytes, (uint64_t)torrent->id);
    bytes_put_varint(writing->bytes,
                     torrent_extra(torrent) != NULL ? (uint64_t)torrent_extra(torrent)->deleted_at_s : 0);
}

/* Writes buckets of one torrent until the budget is used up; true where all of it is written. */
static bool write_torrent(struct snapshot_walk *walk, struct writing *writing, uint32_t budget)
{
    uint32_t buckets = swarm_buckets(writing->torrent);
    if (buckets < walk->buckets_seen)
        walk->bucket = 0;
    walk->buckets_seen = buckets;
    begin_group(writing);
    while (walk->bucket < swarm_buckets(writing->torrent) && writing->written < budget)
        swarm_walk_bucket(writing->torrent, walk->bucket++, write_session, writing);
    bytes_put_u8(writing->bytes, PART_END);
    return walk->bucket >= buckets;
}

bool snapshot_write(struct snapshot_walk *walk, struct torrents *torrents, struct users *users, uint32_t budget,
                    struct bytes *bytes)
{
    struct writing writing = {.torrents = torrents, .users = users, .bytes = bytes};
    uint32_t looked_at = 0;
    for (; walk->torrent < torrents_count(torrents); looked_at++) {
        if (writing.written >= budget || looked_at >= 8 * budget)
            break;
        writing.torrent = torrents_at(torrents, walk->torrent);
        bool is_deleted = torrent_extra(writing.torrent) != NULL && torrent_extra(writing.torrent)->deleted_at_s != 0;
        if ((swarm_total(writing.torrent) > 0 || is_deleted) && !write_torrent(walk, &writing, budget))
            continue;
        walk->torrent++;
        walk->bucket = 0;
        walk->buckets_seen = 0;
    }
    walk->sessions += writing.written;
    return walk->torrent >= torrents_count(torrents);
}

/* --- reading --- */

static void read_user(struct reader *in, struct saved_user *user)
{
    user->id = (int64_t)reader_get_varint(in);
    user->passkey_length = 0;
    if (user->id != 0)
        return;
    uint8_t length = reader_get_u8(in);
    if (length == 0 || length > PASSKEY_MAX) {
        in->failed = true;
        return;
    }
    user->passkey_length = length;
    reader_get(in, user->passkey, length);
}

static void read_session(struct reader *in, struct saved_user *user, struct saved_session *session)
{
    uint16_t flags = reader_get_u16(in);
    *session = (struct saved_session){.flags = (uint8_t)flags, .active = (flags & FLAG_ACTIVE) != 0};
    read_user(in, user);
    reader_get(in, session->peer_id, sizeof session->peer_id);
    session->uploaded = reader_get_varint(in);
    session->downloaded = reader_get_varint(in);
    session->left = reader_get_varint(in);
    uint64_t last_ms = reader_get_varint(in);
    if (last_ms > LAST_MS_MAX)
        in->failed = true;
    session->last_ms = last_ms & LAST_MS_MAX;
    session->key = reader_get_u32(in);
    session->port = reader_get_u16(in);
    if (flags & SESSION_HAS4)
        reader_get(in, session->ip4, sizeof session->ip4);
    if (flags & SESSION_HAS6)
        reader_get(in, session->ip6, sizeof session->ip6);
}

static int take_session(struct reader *in, const struct snapshot_reader *reader)
{
    struct saved_user user;
    struct saved_session session;
    read_session(in, &user, &session);
    return in->failed ? -EBADMSG : reader->session(reader->context, &user, &session);
}

static int take_mark(struct reader *in, const struct snapshot_reader *reader)
{
    struct saved_user user;
    read_user(in, &user);
    uint32_t seed_s = (uint32_t)reader_get_varint(in);
    uint32_t leech_s = (uint32_t)reader_get_varint(in);
    return in->failed ? -EBADMSG : reader->mark(reader->context, &user, seed_s, leech_s);
}

static int read_group(struct reader *in, const struct snapshot_reader *reader)
{
    struct saved_torrent torrent;
    reader_get(in, torrent.info_hash, sizeof torrent.info_hash);
    torrent.id = (int64_t)reader_get_varint(in);
    torrent.deleted_at_s = (int64_t)reader_get_varint(in);
    int result = in->failed ? -EBADMSG : reader->torrent(reader->context, &torrent);
    while (result == 0) {
        uint8_t part = reader_get_u8(in);
        if (in->failed || part > PART_MARK)
            return -EBADMSG;
        if (part == PART_END)
            return 0;
        result = part == PART_MARK ? take_mark(in, reader) : take_session(in, reader);
    }
    return result;
}

int snapshot_read(const uint8_t *data, size_t size, const struct snapshot_reader *reader)
{
    struct reader in = {.at = data, .end = data + size};
    int result = 0;
    while (result == 0 && !reader_is_at_end(&in))
        result = read_group(&in, reader);
    return result;
}
