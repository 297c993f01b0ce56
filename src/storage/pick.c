/* pick: see pick.h. */
#include "storage/pick.h"

#include <string.h>

enum {
    BEGINNINGS_TRIED = 32, /* for a walk: with three of four who cannot be handed out, 1 of 10,000 finds none */
    SAMPLE = 16,           /* of IPv6 endpoints, to tell how many are of peers with IPv4 as well */
};

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

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The first hidden slot in [from, from + run), or its end. */
static uint32_t next_hidden(const struct pick *pick, uint32_t from, uint32_t run)
{
    uint32_t first = from + run;
    if (pick->hides_user) {
        for (uint32_t slot = from; slot < first; slot++)
            if (swarm_user(pick->torrent, slot) == pick->hidden_user)
                return slot;
        return first;
    }
    for (uint32_t i = 0; i < pick->hidden_count; i++)
        if (pick->hidden[i] >= from && pick->hidden[i] < first)
            first = pick->hidden[i];
    return first;
}

static bool is_hidden(const struct pick *pick, uint32_t slot)
{
    if (pick->hides_user)
        return swarm_user(pick->torrent, slot) == pick->hidden_user;
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

/* Which peers a walk over one family's list hands out. */
enum choice {
    EVERYBODY,
    NOT_YET_GIVEN, /* not those that the walk over the other family's list has given */
    OF_ONE_FAMILY, /* those without an endpoint of the other family */
    OF_BOTH,
};

static bool is_chosen(const struct pick *pick, enum choice choice, uint32_t slot, int family,
                      const struct region *other)
{
    if (choice == EVERYBODY)
        return true;
    bool has_other = swarm_session(pick->torrent, slot)->flags & (family == 4 ? SESSION_HAS6 : SESSION_HAS4);
    if (choice != NOT_YET_GIVEN)
        return has_other == (choice == OF_BOTH);
    return !has_other || !region_walked_over(other, family == 4 ? swarm_number6(pick->torrent, slot) : slot);
}

/* IPv4, a slot at a time. `other`: the walk over the same peers' IPv6 endpoints, for NOT_YET_GIVEN. */
static void take_some4(struct pick *pick, struct region *region, uint32_t want, enum choice choice,
                       const struct region *other)
{
    for (uint32_t end = pick->count4 + want; pick->count4 < end && region->done < region->length; region->done++) {
        uint32_t run;
        uint32_t slot = region_next(region, &run);
        const uint8_t *endpoint = swarm_endpoint4(pick->torrent, slot);
        if (read_port(endpoint + 4) == 0 || is_hidden(pick, slot) || !is_chosen(pick, choice, slot, 4, other))
            continue;
        if (pick->entries != NULL)
            add_entry(pick, slot, 4, endpoint);
        else
            memcpy(pick->peers4 + (size_t)pick->count4 * ENDPOINT4_BYTES, endpoint, ENDPOINT4_BYTES);
        pick->count4++;
    }
}

/* The same for everybody, in runs where no slot is without an endpoint to hand out. */
static void take4(struct pick *pick, struct region *region, uint32_t want)
{
    if (pick->torrent->holes4 > 0 || pick->entries != NULL) {
        take_some4(pick, region, want, EVERYBODY, NULL);
        return;
    }
    uint32_t end = pick->count4 + want;
    while (pick->count4 < end && region->done < region->length) {
        uint32_t run;
        uint32_t slot = region_next(region, &run);
        uint32_t stop = next_hidden(pick, slot, run);
        if (stop == slot) {
            region->done++;
            continue;
        }
        run = smaller(stop - slot, swarm_endpoint_run(pick->torrent, slot));
        region->done += copy_run4(pick, swarm_endpoint4(pick->torrent, slot), run, end - pick->count4);
    }
}

/* IPv6, an entry at a time. */
static void take6(struct pick *pick, struct region *region, uint32_t want, enum choice choice,
                  const struct region *other)
{
    for (uint32_t end = pick->count6 + want; pick->count6 < end && region->done < region->length; region->done++) {
        uint32_t run;
        uint32_t slot;
        const uint8_t *endpoint = swarm_endpoint6(pick->torrent, region_next(region, &run), &slot);
        if (read_port(endpoint + 16) == 0 || is_hidden(pick, slot) || !is_chosen(pick, choice, slot, 6, other))
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

/*
 * For IPv4 alone where every slot of the swarm has an endpoint to hand out and none but the asking one is hidden, as
 * nearly always: copies of whole runs.
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
    for (int kind = 0; kind < 2; kind++) /* else who stands behind the asking one would begin two walks */
        if (regions[kind].base + regions[kind].start == pick->hidden[0])
            regions[kind].start = start_of((uint32_t)(pick->dice >> 16), regions[kind].length);
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

/* The walks over both families' lists; [0] are seeders, [1] leechers. */
struct walks {
    struct region four[2];
    struct region six[2];
    uint64_t dice;
};

static bool can_begin(const struct pick *pick, const struct region *region, int family)
{
    uint32_t run, slot = region_next(region, &run);
    const uint8_t *port =
        family == 4 ? swarm_endpoint4(pick->torrent, slot) + 4 : swarm_endpoint6(pick->torrent, slot, &slot) + 16;
    return read_port(port) != 0 && !is_hidden(pick, slot);
}

/*
 * A walk begins at somebody who can be handed out: else who stands behind a row of those who cannot, such as peers
 * of the other family that came together, would be given more often than the rest. Where hardly anybody can, it
 * begins anywhere.
 */
static void find_beginning(const struct pick *pick, struct walks *walks, struct region *region, int family)
{
    if (region->length == 0)
        return;
    for (int tries = 0; tries < BEGINNINGS_TRIED && !can_begin(pick, region, family); tries++)
        region->start = start_of((uint32_t)(pick_random(&walks->dice) >> 32), region->length);
}

static void begin_walks(const struct pick *pick, struct walks *walks)
{
    const struct torrent *torrent = pick->torrent;
    *walks = (struct walks){.dice = pick->dice | 1};
    if (pick->wants4)
        make_regions(walks->four, pick->dice, torrent->seeders, torrent->leechers);
    if (pick->wants6)
        make_regions(walks->six, pick->dice * UINT64_C(0x9e3779b97f4a7c15), swarm_endpoints(torrent, 6, true),
                     swarm_endpoints(torrent, 6, false));
    for (int kind = 0; kind < 2; kind++) {
        find_beginning(pick, walks, &walks->four[kind], 4);
        find_beginning(pick, walks, &walks->six[kind], 6);
    }
}

/* How many of these have no IPv4 endpoint, by the first few of the walk over their IPv6 endpoints. */
static uint32_t of_ipv6_alone(const struct pick *pick, const struct region *six)
{
    struct region walk = *six;
    uint32_t looked_at = smaller(SAMPLE, six->length), alone = 0;
    for (walk.done = 0; walk.done < looked_at; walk.done++) {
        uint32_t run, slot;
        (void)swarm_endpoint6(pick->torrent, region_next(&walk, &run), &slot);
        alone += !(swarm_session(pick->torrent, slot)->flags & SESSION_HAS4);
    }
    return looked_at == 0 ? 0 : (uint32_t)((uint64_t)six->length * alone / looked_at);
}

/* Of `want` peers, how many by IPv6: as it is among those that there are. The dice round, so that the few get their turn. */
static uint32_t share_of_ipv6(const struct pick *pick, struct walks *walks, int kind, uint32_t want)
{
    const struct region *four = &walks->four[kind], *six = &walks->six[kind];
    if (six->length == 0 || !pick->wants4)
        return six->length == 0 ? 0 : want;
    uint32_t alone = of_ipv6_alone(pick, six);
    uint64_t supply4 = four->length - smaller(alone, four->length), supply = supply4 + six->length;
    uint32_t chance = start_of((uint32_t)(pick_random(&walks->dice) >> 32), (uint32_t)supply);
    return (uint32_t)(((uint64_t)want * six->length + chance) / supply);
}

/* Takes seeders or leechers until there are `until` peers, nobody twice. */
static void take_kind(struct pick *pick, struct walks *walks, int kind, uint32_t until)
{
    uint32_t count = pick->count4 + pick->count6;
    if (count >= until)
        return;
    struct region *four = &walks->four[kind], *six = &walks->six[kind];
    uint32_t share4 = until - count - share_of_ipv6(pick, walks, kind, until - count);
    if (six->done == 0)
        take4(pick, four, share4);
    else
        take_some4(pick, four, share4, NOT_YET_GIVEN, six);
    take6(pick, six, until - pick->count4 - pick->count6, NOT_YET_GIVEN, four);
    take_some4(pick, four, until - pick->count4 - pick->count6, NOT_YET_GIVEN, six);
}

/*
 * Where there is room for more than everybody once: every IPv4 endpoint, everybody who has none, and with what room is
 * left the IPv6 endpoints of those who have both, for it may be that only one of the two can be reached.
 */
static void take_second_endpoints(struct pick *pick, struct walks *walks)
{
    pick->count4 = 0;
    pick->count6 = 0;
    int first = pick->wants_seeders ? 0 : 1;
    for (int kind = first; kind < 2; kind++) {
        walks->four[kind].done = 0;
        take4(pick, &walks->four[kind], pick->want - pick->count4);
    }
    for (enum choice choice = OF_ONE_FAMILY; choice <= OF_BOTH; choice++)
        for (int kind = first; kind < 2; kind++) {
            walks->six[kind].done = 0;
            take6(pick, &walks->six[kind], pick->want - pick->count4 - pick->count6, choice, NULL);
        }
}

/* Seeders up to what the leechers' share leaves, leechers, and seeders again where leechers were too few. */
static void pick_by_walks(struct pick *pick)
{
    struct walks walks;
    begin_walks(pick, &walks);
    uint32_t share = smaller(leecher_share(pick->want), pick->torrent->leechers);
    if (pick->wants_seeders)
        take_kind(pick, &walks, 0, pick->want - share);
    take_kind(pick, &walks, 1, pick->want);
    if (pick->wants_seeders)
        take_kind(pick, &walks, 0, pick->want);
    bool has_both = walks.four[0].length + walks.four[1].length > 0 && walks.six[0].length + walks.six[1].length > 0;
    if (has_both && pick->count4 + pick->count6 < pick->want)
        take_second_endpoints(pick, &walks);
}

void pick_peers(struct pick *pick)
{
    pick->count4 = 0;
    pick->count6 = 0;
    if (!pick->wants4 || pick->wants6 || pick->hidden_count != 1 || pick->torrent->holes4 > 0 || pick->entries != NULL)
        pick_by_walks(pick);
    else if (is_wanted_whole(pick->torrent, pick->want, pick->wants_seeders) &&
             pick->hidden[0] < swarm_active(pick->torrent))
        take_everybody(pick);
    else
        take_runs_of_both(pick);
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
