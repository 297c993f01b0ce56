/* listing: the torrents of all workers as the registry gave them, a slice of a worker's time each. */
#include <string.h>

#include "tracker/worker_private.h"

enum { SLICE_TORRENTS = 4000 }; /* some 200 µs of the worker's time */

struct listing {
    uint32_t next;
    bool is_done;
    int result;
    tracker_torrent_fn *each;
    void *context;
};

static struct torrent_facts facts_of(const struct torrent *torrent)
{
    struct torrent_facts facts = {
        .id = torrent->id,
        .state = (enum torrent_state)torrent->state,
        .reason = torrent_extra(torrent) != NULL ? torrent_extra(torrent)->reason : NULL,
        .upload_percent = torrent_upload_percent(torrent),
        .download_percent = torrent_download_percent(torrent),
        .snatches = torrent->snatches,
    };
    memcpy(facts.info_hash, torrent->info_hash, sizeof facts.info_hash);
    return facts;
}

static void list_slice(struct worker *worker, void *argument)
{
    struct listing *listing = argument;
    struct torrents *torrents = worker->context.torrents;
    uint32_t count = torrents_count(torrents);
    uint32_t end = count - listing->next > SLICE_TORRENTS ? listing->next + SLICE_TORRENTS : count;
    for (; listing->next < end && listing->result == 0; listing->next++) {
        const struct torrent *torrent = torrents_at(torrents, listing->next);
        if (torrent->id == 0)
            continue; /* registered itself, and has no row yet */
        struct torrent_facts facts = facts_of(torrent);
        listing->result = listing->each(listing->context, &facts);
    }
    listing->is_done = listing->next >= count;
}

int tracker_list_torrents(struct tracker *tracker, tracker_torrent_fn *each, tracker_between_fn *between, void *context)
{
    int result = 0;
    for (unsigned i = 0; i < tracker->count && result == 0; i++) {
        struct listing listing = {.each = each, .context = context};
        while (!listing.is_done && result == 0) {
            tracker_call(tracker, i, list_slice, &listing);
            result = listing.result != 0 ? listing.result : between(context);
        }
    }
    return result;
}
