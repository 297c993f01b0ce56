/* pick: see pick.h. */
#include "storage/pick.h"

#include <string.h>

/* A part of a list (the seeders, or the leechers), walked once around from a random place. */
struct region {
    uint32_t base;
    uint32_t length;
    uint32_t start; /* relative to base */
    uint32_t done;  /* how far the walk has come */
};

uint64_t pick_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* Where the walk over a list begins: `bits` of chance, scaled. A list that grows by one begins at nearly the same place. */
static uint32_t start_of(uint32_t bits, uint32_t length)
{
    return (uint32_t)((uint64_t)bits * length >> 32);
}

/* The lists of seeders and of leechers, from where the dice says. */
static void make_regions(struct region regions[static 2], uint64_t dice, uint32_t seeders, uint32_t leechers)
{
    regions[0] = (struct region){.length = seeders, .start = start_of((uint32_t)(dice >> 32), seeders)};
    regions[1] = (struct region){.base = seeders, .length = leechers, .start = start_of((uint32_t)dice, leechers)};
}

/* The next place of the walk, and how many follow it without a turn. */
static uint32_t region_next(const struct region *region, uint32_t *run)
{
    uint32_t at = region->start + region->done;
    if (at >= region->length) {
        at -= region->length;
        *run = region->start - at;
    } else {
        *run = region->length - at;
    }
    return region->base + at;
}

static bool region_walked_over(const struct region *region, uint32_t place)
{
    if (place < region->base || place - region->base >= region->length)
        return false;
    uint32_t at = place - region->base;
    uint32_t distance = at >= region->start ? at - region->start : at + region->length - region->start;
    return distance < region->done;
}

/* The first hidden slot in [from, from + run), or its end. */
static uint32_t next_hidden(const struct pick *pick, uint32_t from, uint32_t run)
{
    uint32_t first = from + run;
    for (uint32_t i = 0; i < pick->hidden_count; i++)
        if (pick->hidden[i] >= from && pick->hidden[i] < first)
            first = pick->hidden[i];
    return first;
}

static bool is_hidden(const struct pick *pick, uint32_t slot)
{
    for (uint32_t i = 0; i < pick->hidden_count; i++)
        if (pick->hidden[i] == slot)
            return true;
    return false;
}

static uint16_t read_port(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void add_entry(struct pick *pick, uint32_t slot, int family, const uint8_t *endpoint)
{
    struct peer_entry *entry = &pick->entries[pick->count4 + pick->count6];
    size_t ip_bytes = family == 4 ? 4 : 16;
    entry->address = (struct address){.family = (uint8_t)family, .port = read_port(endpoint + ip_bytes)};
    memcpy(entry->address.ip, endpoint, ip_bytes);
    swarm_unpack_peer_id(pick->torrents, swarm_session(pick->torrent, slot), entry->peer_id);
}

/* Copies up to `want` endpoints that stand in a row in one chunk, without holes; returns how far it came. */
static uint32_t copy_run4(struct pick *pick, const uint8_t *endpoints, uint32_t run, uint32_t want)
{
    uint32_t count = run < want ? run : want;
    memcpy(pick->peers4 + (size_t)pick->count4 * ENDPOINT4_BYTES, endpoints, (size_t)count * ENDPOINT4_BYTES);
    pick->count4 += count;
    return count;
}

/* The same where some are not to be handed out, or peer ids are wanted. */
static uint32_t copy_some4(struct pick *pick, uint32_t slot, const uint8_t *endpoints, uint32_t run, uint32_t want)
{
    uint32_t end = pick->count4 + want;
    uint32_t i = 0;
    for (; i < run && pick->count4 < end; i++) {
        const uint8_t *endpoint = endpoints + i * ENDPOINT4_BYTES;
        if (read_port(endpoint + 4) == 0)
            continue;
        if (pick->entries != NULL)
            add_entry(pick, slot + i, 4, endpoint);
        else
            memcpy(pick->peers4 + (size_t)pick->count4 * ENDPOINT4_BYTES, endpoint, ENDPOINT4_BYTES);
        pick->count4++;
    }
    return i;
}

static void take4(struct pick *pick, struct region *region, uint32_t want)
{
    uint32_t end = pick->count4 + want;
    bool plain = pick->torrent->holes4 == 0 && pick->entries == NULL;
    while (pick->count4 < end && region->done < region->length) {
        uint32_t run;
        uint32_t slot = region_next(region, &run);
        uint32_t stop = next_hidden(pick, slot, run);
        if (stop == slot) {
            region->done++;
            continue;
        }
        const uint8_t *endpoints = swarm_endpoint4(pick->torrent, slot);
        uint32_t in_chunk = swarm_endpoint_run(pick->torrent, slot);
        run = stop - slot < in_chunk ? stop - slot : in_chunk;
        region->done += plain ? copy_run4(pick, endpoints, run, end - pick->count4)
                              : copy_some4(pick, slot, endpoints, run, end - pick->count4);
    }
}

/* IPv6: an entry at a time; passes over sessions that were given with their IPv4 endpoint (`given`). */
static void take6(struct pick *pick, struct region *region, uint32_t want, const struct region *given)
{
    uint32_t end = pick->count6 + want;
    for (; pick->count6 < end && region->done < region->length; region->done++) {
        uint32_t run;
        uint32_t slot;
        const uint8_t *endpoint = swarm_endpoint6(pick->torrent, region_next(region, &run), &slot);
        bool was_given = given != NULL && swarm_session(pick->torrent, slot)->flags & SESSION_HAS4 &&
                         (region_walked_over(&given[0], slot) || region_walked_over(&given[1], slot));
        if (read_port(endpoint + 16) == 0 || is_hidden(pick, slot) || was_given)
            continue;
        if (pick->entries != NULL)
            add_entry(pick, slot, 6, endpoint);
        else
            memcpy(pick->peers6 + (size_t)pick->count6 * ENDPOINT6_BYTES, endpoint, ENDPOINT6_BYTES);
        pick->count6++;
    }
}

/* Of `want` peers, how many at least are to be leechers: a quarter, of four and more. */
static uint32_t leecher_share(uint32_t want)
{
    return want < 4 ? 0 : (want + 3) / 4;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Seeders up to what the leechers' share leaves, leechers, and seeders again where leechers were too few. */
static void take_family(struct pick *pick, int family, uint32_t want, struct region regions[2],
                        const struct region *given)
{
    uint32_t *count = family == 4 ? &pick->count4 : &pick->count6;
    struct region *seeders = &regions[0], *leechers = &regions[1];
    uint32_t share = smaller(leecher_share(want), leechers->length);
    uint32_t wishes[3] = {want - share, want, want};
    for (int step = 0; step < 3; step++) {
        struct region *region = step == 1 ? leechers : seeders;
        if (region == seeders && !pick->wants_seeders)
            continue;
        if (*count >= wishes[step])
            continue;
        if (family == 4)
            take4(pick, region, wishes[step] - *count);
        else
            take6(pick, region, wishes[step] - *count, given);
    }
}

/*
 * The same for IPv4 where every slot of the swarm has an endpoint to hand out and none but the asking one is hidden,
 * as nearly always: copies of whole runs.
 */
static void take_runs(struct pick *pick, struct region *region, uint32_t want)
{
    const struct torrent *torrent = pick->torrent;
    uint32_t own = pick->hidden[0];
    uint8_t *to = pick->peers4 + (size_t)pick->count4 * ENDPOINT4_BYTES;
    uint32_t left = want;
    while (left > 0 && region->done < region->length) {
        uint32_t run;
        uint32_t slot = region_next(region, &run);
        if (slot == own) {
            region->done++;
            continue;
        }
        if (own - slot < run) /* ahead of us in this run */
            run = own - slot;
        uint32_t in_chunk = swarm_endpoint_run(torrent, slot);
        run = smaller(smaller(run, in_chunk), left);
        memcpy(to, swarm_endpoint4(torrent, slot), (size_t)run * ENDPOINT4_BYTES);
        to += (size_t)run * ENDPOINT4_BYTES;
        left -= run;
        region->done += run;
    }
    pick->count4 += want - left;
}

static void take_runs_of_both(struct pick *pick)
{
    const struct torrent *torrent = pick->torrent;
    struct region regions[2];
    make_regions(regions, pick->dice, torrent->seeders, torrent->leechers);
    if (!pick->wants_seeders) {
        take_runs(pick, &regions[1], pick->want);
        return;
    }
    take_runs(pick, &regions[0], pick->want - smaller(leecher_share(pick->want), torrent->leechers));
    take_runs(pick, &regions[1], pick->want - pick->count4);
    if (pick->count4 < pick->want)
        take_runs(pick, &regions[0], pick->want - pick->count4);
}

/* Endpoints [from, end) of a chunk, but for that of slot `own`. Returns where it came to in `to`. */
static uint8_t *copy_but_own(uint8_t *to, const uint8_t *endpoints, uint32_t from, uint32_t end, uint32_t own)
{
    if (own - from < end - from) { /* it is one of these */
        to = mempcpy(to, endpoints + (size_t)from * ENDPOINT4_BYTES, (size_t)(own - from) * ENDPOINT4_BYTES);
        from = own + 1;
    }
    return mempcpy(to, endpoints + (size_t)from * ENDPOINT4_BYTES, (size_t)(end - from) * ENDPOINT4_BYTES);
}

/* A swarm that is one chunk, and all of which is wanted by one of its sessions. */
static bool is_wanted_whole(const struct torrent *torrent, uint32_t want, bool wants_seeders)
{
    return wants_seeders && !(torrent->flags & TORRENT_IS_LARGE) && swarm_active(torrent) <= want + 1;
}

static void take_everybody(struct pick *pick)
{
    uint32_t active = swarm_active(pick->torrent), own = pick->hidden[0];
    uint32_t start = start_of((uint32_t)pick->dice, active);
    const uint8_t *endpoints = swarm_endpoint4(pick->torrent, 0);
    uint8_t *to = copy_but_own(pick->peers4, endpoints, start, active, own);
    to = copy_but_own(to, endpoints, 0, start, own);
    pick->count4 = (uint32_t)(to - pick->peers4) / ENDPOINT4_BYTES;
}

static uint32_t supply(const struct pick *pick, int family)
{
    uint32_t seeders = pick->wants_seeders ? swarm_endpoints(pick->torrent, family, true) : 0;
    return seeders + swarm_endpoints(pick->torrent, family, false);
}

void pick_peers(struct pick *pick)
{
    pick->count4 = 0;
    pick->count6 = 0;
    if (pick->wants4 && !pick->wants6 && pick->hidden_count == 1 && pick->torrent->holes4 == 0 &&
        pick->entries == NULL) {
        if (is_wanted_whole(pick->torrent, pick->want, pick->wants_seeders) &&
            pick->hidden[0] < swarm_active(pick->torrent))
            take_everybody(pick);
        else
            take_runs_of_both(pick);
        return;
    }
    uint32_t want6 = 0;
    if (pick->wants6) {
        uint32_t supply6 = supply(pick, 6);
        uint32_t supply4 = pick->wants4 ? supply(pick, 4) : 0;
        want6 = supply6 == 0 ? 0 : (uint32_t)((uint64_t)pick->want * supply6 / (supply4 + supply6));
        if (want6 == 0 && supply6 > 0 && pick->want > 0)
            want6 = 1;
    }
    struct region regions4[2] = {{.base = 0}, {.base = 0}};
    if (pick->wants4 && pick->want > want6) {
        make_regions(regions4, pick->dice, pick->torrent->seeders, pick->torrent->leechers);
        take_family(pick, 4, pick->want - want6, regions4, NULL);
    }
    uint32_t left = pick->want - pick->count4;
    if (pick->wants6 && left > 0 && supply(pick, 6) > 0) {
        struct region regions6[2];
        make_regions(regions6, pick->dice * UINT64_C(0x9e3779b97f4a7c15), swarm_endpoints(pick->torrent, 6, true),
                     swarm_endpoints(pick->torrent, 6, false));
        take_family(pick, 6, left, regions6, regions4);
        /* What IPv6 could not fill, IPv4 may: its walk goes on where it stopped. */
        uint32_t rest = pick->want - pick->count4 - pick->count6;
        if (rest > 0 && pick->wants4 && pick->entries == NULL)
            take_family(pick, 4, pick->count4 + rest, regions4, NULL);
    }
}

/* What a walk over a list will touch at the most: from where it begins, and from the list's beginning on. */
static void plan_walk(struct pick_plan *plan, const struct region *region, uint32_t want)
{
    uint32_t count = smaller(want, region->length);
    uint32_t ahead = smaller(count, region->length - region->start);
    if (ahead > 0)
        plan->runs[plan->count++] = (struct pick_run){region->base + region->start, ahead};
    if (count > ahead)
        plan->runs[plan->count++] = (struct pick_run){region->base, count - ahead};
}

/* The walks go one slot farther than is wanted: that of the asking one may be passed over. */
void pick_make_plan(const struct torrent *torrent, uint64_t dice, uint32_t want, bool wants_seeders,
                    struct pick_plan *plan)
{
    plan->count = 0;
    if (is_wanted_whole(torrent, want, wants_seeders)) {
        plan->runs[plan->count++] = (struct pick_run){0, swarm_active(torrent)};
        return;
    }
    struct region regions[2];
    make_regions(regions, dice, torrent->seeders, torrent->leechers);
    uint32_t share = wants_seeders ? smaller(leecher_share(want), torrent->leechers) : want;
    if (wants_seeders)
        plan_walk(plan, &regions[0], want - share + 1);
    plan_walk(plan, &regions[1], want - smaller(want - share, torrent->seeders) + 1);
}

void pick_prefetch_chunks(const struct torrent *torrent, const struct pick_plan *plan)
{
    if (torrent->flags & TORRENT_IS_LARGE)
        for (uint32_t i = 0; i < plan->count; i++)
            swarm_prefetch_chunk(torrent, plan->runs[i].slot);
}

static void prefetch_bytes(const uint8_t *from, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 64)
        __builtin_prefetch(from + at);
    __builtin_prefetch(from + bytes - 1);
}

void pick_prefetch_endpoints(const struct torrent *torrent, const struct pick_plan *plan)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        uint32_t slot = plan->runs[i].slot, end = slot + plan->runs[i].count;
        if (end > swarm_total(torrent)) /* the swarm has become smaller since */
            continue;
        for (uint32_t run; slot < end; slot += run) {
            run = smaller(swarm_endpoint_run(torrent, slot), end - slot);
            prefetch_bytes(swarm_endpoint4(torrent, slot), (size_t)run * ENDPOINT4_BYTES);
        }
    }
}
