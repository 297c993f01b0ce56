/* saving: the sessions of all workers as blocks of bytes, a slice of a worker's time each, and back. */
#include <errno.h>

#include "storage/seed_marks.h"
#include "storage/snapshot.h"
#include "tracker/worker_private.h"

enum { SLICE_SESSIONS = 500 }; /* some 100 to 200 µs of the worker's time, by what is in the cache */

struct slice {
    struct snapshot_walk walk;
    struct bytes *bytes;
    bool is_done;
};

static void write_slice(struct worker *worker, void *argument)
{
    struct slice *slice = argument;
    users_read_begin();
    slice->is_done =
        snapshot_write(&slice->walk, worker->context.torrents, worker->context.users, SLICE_SESSIONS, slice->bytes);
    users_read_end();
}

static int save_worker(struct tracker *tracker, unsigned number, struct bytes *bytes, tracker_block_fn *write,
                       void *context, uint64_t *sessions)
{
    struct slice slice = {.bytes = bytes};
    while (!slice.is_done) {
        bytes->length = 0;
        tracker_call(tracker, number, write_slice, &slice);
        if (bytes->failed)
            return -ENOMEM;
        int result = bytes->length == 0 ? 0 : write(context, bytes->data, bytes->length);
        if (result != 0)
            return result;
    }
    *sessions += slice.walk.sessions;
    return 0;
}

int tracker_save(struct tracker *tracker, tracker_block_fn *write, void *context, uint64_t *sessions)
{
    struct bytes bytes = {.data = NULL};
    int result = 0;
    *sessions = 0;
    for (unsigned i = 0; i < tracker->count && result == 0; i++)
        result = save_worker(tracker, i, &bytes, write, context, sessions);
    bytes_clear(&bytes);
    return result;
}

/* --- back --- */

static int load_session(void *context, const struct delta *delta)
{
    return tracker_restore(context, delta, false);
}

static void expect_session(void *context, const struct delta *delta)
{
    const struct tracker *tracker = context;
    users_prefetch_id(tracker->parts.users, delta->user_id);
}

static struct torrents *owner_of(struct tracker *tracker, const uint8_t *info_hash)
{
    return tracker->workers[torrent_owner(info_hash, tracker->count)]->context.torrents;
}

static void load_mark(void *context, const struct delta *delta, uint32_t seed_s, uint32_t leech_s)
{
    struct tracker *tracker = context;
    struct users *users = tracker->parts.users;
    struct torrents *torrents = owner_of(tracker, delta->info_hash);
    const struct torrent *torrent = torrents_find(torrents, delta->info_hash);
    const struct user *user = delta->user_id != 0 ? users_find_id(users, delta->user_id)
                                                  : users_find(users, delta->passkey, delta->passkey_length);
    if (torrent == NULL || user == NULL)
        return;
    struct seed_mark *mark = seed_marks_make(torrents_seed_marks(torrents), torrent_number(torrent), user->index);
    if (mark != NULL) {
        mark->seed_s = seed_s;
        mark->leech_s = leech_s;
    }
}

static void load_torrent(void *context, const uint8_t *info_hash, int64_t deleted_at_s)
{
    struct torrent *torrent = torrents_find(owner_of(context, info_hash), info_hash);
    if (torrent != NULL && torrent->state == TORRENT_DELETED && torrent_extra(torrent) != NULL)
        torrent_extra(torrent)->deleted_at_s = deleted_at_s; /* the day that its last bytes are counted began then */
}

int tracker_load(struct tracker *tracker, const uint8_t *data, size_t size)
{
    const struct snapshot_reader reader = {.context = tracker,
                                           .expect = expect_session,
                                           .session = load_session,
                                           .mark = load_mark,
                                           .torrent = load_torrent};
    return snapshot_read(data, size, &reader);
}
