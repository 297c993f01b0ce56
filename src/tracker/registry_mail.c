/*
 * registry_mail: what the database says of torrents, on its way to the workers that own them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tracker/worker_private.h"

/* --- on the worker --- */

enum { RETIRED_FOR_MS = 60000 }; /* far longer than an answer is on its way between two workers */

static int64_t monotonic_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

void reasons_free(struct worker *worker)
{
    while (worker->retired_reasons != NULL) {
        struct retired_reason *next = worker->retired_reasons->next;
        free(worker->retired_reasons->text);
        free(worker->retired_reasons);
        worker->retired_reasons = next;
    }
}

/*
 * Answers that wait for the disk, or are on their way to another worker, may still point to a reason that is
 * replaced: it is freed when none of them can be left.
 */
static void retire_reason(struct worker *worker, char *text)
{
    int64_t now_ms = monotonic_ms();
    if (worker->held_count == 0 && now_ms - worker->last_retired_ms > RETIRED_FOR_MS)
        reasons_free(worker);
    struct retired_reason *retired = malloc(sizeof *retired);
    if (retired == NULL)
        return; /* better lost than used after its end */
    *retired = (struct retired_reason){.next = worker->retired_reasons, .text = text};
    worker->retired_reasons = retired;
    worker->last_retired_ms = now_ms;
}

static int set_reason(struct worker *worker, struct torrent *torrent, const char *reason)
{
    bool none = reason == NULL || reason[0] == '\0';
    if (none && torrent_extra(torrent) == NULL)
        return 0;
    const char *told = torrent_extra(torrent) != NULL ? torrent_extra(torrent)->reason : NULL;
    if (!none && told != NULL && strcmp(told, reason) == 0)
        return 0;
    struct torrent_extra *extra = torrent_make_extra(torrent);
    char *copy = none ? NULL : strdup(reason);
    if (extra == NULL || (!none && copy == NULL))
        return -ENOMEM;
    if (extra->reason != NULL)
        retire_reason(worker, extra->reason);
    extra->reason = copy;
    return 0;
}

static int set_percents(struct torrent *torrent, uint32_t up, uint32_t down)
{
    if (up == torrent_upload_percent(torrent) && down == torrent_download_percent(torrent))
        return 0;
    struct torrent_extra *extra = torrent_make_extra(torrent);
    if (extra == NULL)
        return -ENOMEM;
    extra->upload_percent = up;
    extra->download_percent = down;
    return 0;
}

static int set_state(struct torrent *torrent, enum torrent_state state)
{
    if (state == TORRENT_DELETED && torrent->state != TORRENT_DELETED) {
        struct torrent_extra *extra = torrent_make_extra(torrent);
        if (extra == NULL)
            return -ENOMEM;
        extra->deleted_at_s = clock_now_ms() / 1000;
    }
    torrent->state = (uint8_t)state;
    return 0;
}

static int put_torrent(struct worker *worker, const struct torrent_facts *facts)
{
    struct torrents *torrents = worker->context.torrents;
    struct torrent *torrent = torrents_find(torrents, facts->info_hash);
    if (torrent == NULL)
        torrent = torrents_add(torrents, facts->info_hash);
    if (torrent == NULL)
        return -ENOMEM;
    torrent->id = facts->id;
    if (worker->tracker->mark)
        torrent->flags |= TORRENT_MARK;
    else
        torrent->flags &= (uint8_t)~TORRENT_MARK;
    if (facts->snatches > torrent->snatches) /* those still on their way to the database are counted here already */
        torrent->snatches = facts->snatches;
    int result = set_percents(torrent, facts->upload_percent, facts->download_percent);
    if (result == 0)
        result = set_reason(worker, torrent, facts->reason);
    return result == 0 ? set_state(torrent, facts->state) : result;
}

/* Its row is gone: deleted, without a reason; the id is forgotten, for a new row would get another. */
static void remove_torrent(struct worker *worker, struct torrent *torrent)
{
    if (set_state(torrent, TORRENT_DELETED) == 0)
        (void)set_reason(worker, torrent, NULL);
}

/* --- from the registry --- */

struct put_argument {
    const struct torrent_facts *facts;
    const uint32_t *numbers; /* of those in `facts` that this worker owns */
    size_t count;
    int result;
};

static void put_on_worker(struct worker *worker, void *argument)
{
    struct put_argument *put = argument;
    for (size_t i = 0; i < put->count && put->result == 0; i++)
        put->result = put_torrent(worker, &put->facts[put->numbers[i]]);
}

struct remove_argument {
    const uint8_t (*info_hashes)[INFO_HASH_BYTES];
    const uint32_t *numbers;
    size_t count;
};

static void remove_on_worker(struct worker *worker, void *argument)
{
    const struct remove_argument *removal = argument;
    for (size_t i = 0; i < removal->count; i++) {
        struct torrent *torrent = torrents_find(worker->context.torrents, removal->info_hashes[removal->numbers[i]]);
        if (torrent != NULL)
            remove_torrent(worker, torrent);
    }
}

/* Sorts 0 … count - 1 by owner: `starts` gets where each owner's part of `numbers` begins, and the end. */
static uint32_t *sort_by_owner(const struct tracker *tracker, const uint8_t *first_hash, size_t stride, size_t count,
                               size_t *starts)
{
    uint32_t *numbers = malloc((count + 1) * sizeof *numbers);
    if (numbers == NULL)
        return NULL;
    size_t filled = 0;
    for (unsigned owner = 0; owner < tracker->count; owner++) {
        starts[owner] = filled;
        for (size_t i = 0; i < count; i++)
            if (torrent_owner(first_hash + i * stride, tracker->count) == owner)
                numbers[filled++] = (uint32_t)i;
    }
    starts[tracker->count] = filled;
    return numbers;
}

int tracker_put_torrents(struct tracker *tracker, const struct torrent_facts *facts, size_t count)
{
    if (count == 0)
        return 0;
    size_t starts[257];
    uint32_t *numbers = sort_by_owner(tracker, facts[0].info_hash, sizeof *facts, count, starts);
    if (numbers == NULL)
        return -ENOMEM;
    struct put_argument arguments[256];
    for (unsigned i = 0; i < tracker->count; i++)
        arguments[i] =
            (struct put_argument){.facts = facts, .numbers = numbers + starts[i], .count = starts[i + 1] - starts[i]};
    tracker_call_all(tracker, put_on_worker, arguments, sizeof *arguments);
    free(numbers);
    for (unsigned i = 0; i < tracker->count; i++)
        if (arguments[i].result != 0)
            return arguments[i].result;
    return 0;
}

int tracker_remove_torrents(struct tracker *tracker, const uint8_t (*info_hashes)[INFO_HASH_BYTES], size_t count)
{
    if (count == 0)
        return 0;
    size_t starts[257];
    uint32_t *numbers = sort_by_owner(tracker, info_hashes[0], INFO_HASH_BYTES, count, starts);
    if (numbers == NULL)
        return -ENOMEM;
    struct remove_argument arguments[256];
    for (unsigned i = 0; i < tracker->count; i++)
        arguments[i] = (struct remove_argument){
            .info_hashes = info_hashes, .numbers = numbers + starts[i], .count = starts[i + 1] - starts[i]};
    tracker_call_all(tracker, remove_on_worker, arguments, sizeof *arguments);
    free(numbers);
    return 0;
}

void tracker_mark_torrents(struct tracker *tracker)
{
    tracker->mark = !tracker->mark;
}

/* In slices, each a call of its own: the worker must not stand still for a million torrents. */
struct sweep_argument {
    uint32_t from;
    bool is_done;
};

static void sweep_on_worker(struct worker *worker, void *argument)
{
    enum { SLICE = 20000 };
    struct sweep_argument *sweep = argument;
    struct torrents *torrents = worker->context.torrents;
    uint32_t count = torrents_count(torrents);
    uint32_t end = count - sweep->from > SLICE ? sweep->from + SLICE : count;
    for (uint32_t i = sweep->from; i < end; i++) {
        struct torrent *torrent = torrents_at(torrents, i);
        bool is_marked = (torrent->flags & TORRENT_MARK) != 0;
        if (torrent->id != 0 && is_marked != worker->tracker->mark)
            remove_torrent(worker, torrent);
    }
    sweep->from = end;
    sweep->is_done = end == count;
}

void tracker_sweep_torrents(struct tracker *tracker)
{
    for (unsigned i = 0; i < tracker->count; i++) {
        struct sweep_argument sweep = {.from = 0};
        while (!sweep.is_done)
            tracker_call(tracker, i, sweep_on_worker, &sweep);
    }
}
