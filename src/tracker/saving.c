/* saving: the sessions of all workers as blocks of bytes, a slice of a worker's time each. Back: loading.c. */
#include <errno.h>

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
