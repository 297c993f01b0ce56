/* views: what the operator may see of the workers: a torrent and its peers, the largest swarms, the counters. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tracker/worker_private.h"

struct view_argument {
    const uint8_t *info_hash;
    size_t max_peers;
    struct torrent_view *view;
    int result;
};

static void fill_torrent(struct torrent_view *view, const struct torrent *torrent)
{
    view->known = true;
    memcpy(view->info_hash, torrent->info_hash, INFO_HASH_BYTES);
    view->id = torrent->id;
    view->state = torrent->state;
    view->seeders = torrent->seeders;
    view->leechers = torrent->leechers;
    view->snatches = torrent->snatches;
    view->tombstones = torrent->tombstones;
}

static void fill_peer(struct worker *worker, struct peer_view *peer, const struct torrent *torrent, uint32_t slot)
{
    const struct session *session = swarm_session(torrent, slot);
    peer->user_index = swarm_user(torrent, slot);
    users_read_begin();
    peer->user_id = users_at(worker->context.users, peer->user_index)->id;
    users_read_end();
    swarm_unpack_peer_id(worker->context.torrents, session, peer->peer_id);
    peer->address4 = swarm_endpoint(torrent, slot, 4);
    peer->address6 = swarm_endpoint(torrent, slot, 6);
    peer->uploaded = session->uploaded;
    peer->downloaded = session->downloaded;
    peer->left = session_left(session);
    peer->last_announce_ms = session_last_ms(session);
    peer->seeding = swarm_place(torrent, slot) == PLACE_SEEDER;
}

static void view_on_worker(struct worker *worker, void *argument)
{
    struct view_argument *wanted = argument;
    const struct torrent *torrent = torrents_find(worker->context.torrents, wanted->info_hash);
    if (torrent == NULL)
        return;
    struct torrent_view *view = wanted->view;
    fill_torrent(view, torrent);
    size_t count = swarm_active(torrent) < wanted->max_peers ? swarm_active(torrent) : wanted->max_peers;
    if (count == 0)
        return;
    view->peers = calloc(count, sizeof *view->peers);
    if (view->peers == NULL) {
        wanted->result = -ENOMEM;
        return;
    }
    view->peer_count = count;
    for (uint32_t slot = 0; slot < count; slot++)
        fill_peer(worker, &view->peers[slot], torrent, slot);
}

int tracker_view_torrent(struct tracker *tracker, const uint8_t *info_hash, size_t max_peers, struct torrent_view *view)
{
    *view = (struct torrent_view){.known = false};
    memcpy(view->info_hash, info_hash, INFO_HASH_BYTES);
    struct view_argument argument = {.info_hash = info_hash, .max_peers = max_peers, .view = view};
    tracker_call(tracker, torrent_owner(info_hash, tracker->count), view_on_worker, &argument);
    return argument.result;
}

struct top_argument {
    struct torrent_view views[CENSUS_SIZE];
    size_t count;
};

static void top_on_worker(struct worker *worker, void *argument)
{
    struct top_argument *top = argument;
    for (uint32_t i = 0; i < worker->census.count; i++) {
        const struct torrent *torrent = torrents_at(worker->context.torrents, worker->census.lines[i].torrent);
        fill_torrent(&top->views[top->count++], torrent);
    }
}

static int larger_first(const void *a, const void *b)
{
    const struct torrent_view *one = a, *other = b;
    uint64_t size = (uint64_t)one->seeders + one->leechers, other_size = (uint64_t)other->seeders + other->leechers;
    return size < other_size ? 1 : size > other_size ? -1 : 0;
}

size_t tracker_top_torrents(struct tracker *tracker, struct torrent_view *views, size_t max)
{
    struct top_argument *tops = calloc(tracker->count, sizeof *tops);
    struct torrent_view *all = calloc((size_t)tracker->count * CENSUS_SIZE, sizeof *all);
    size_t count = 0;
    if (tops != NULL && all != NULL) {
        tracker_call_all(tracker, top_on_worker, tops, sizeof *tops);
        for (unsigned i = 0; i < tracker->count; i++)
            for (size_t j = 0; j < tops[i].count; j++)
                all[count++] = tops[i].views[j];
        qsort(all, count, sizeof *all, larger_first);
        count = count < max ? count : max;
        memcpy(views, all, count * sizeof *all);
    }
    free(tops);
    free(all);
    return count;
}

void tracker_counters(struct tracker *tracker, struct counters *sum)
{
    memset(sum, 0, sizeof *sum);
    counter *total = (counter *)sum;
    for (unsigned i = 0; i < tracker->count; i++) {
        const counter *one = (const counter *)&tracker->workers[i]->counters;
        for (size_t j = 0; j < sizeof *sum / sizeof(counter); j++)
            total[j] += counter_read(&one[j]);
    }
}
