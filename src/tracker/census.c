/* census: see census.h. */
#include "tracker/census.h"

#include <string.h>

#include "storage/swarm.h"

static void enter(struct census *census, uint32_t torrent, uint32_t active)
{
    uint32_t at = census->found_count;
    if (at == CENSUS_SIZE && census->found[at - 1].active >= active)
        return;
    if (at == CENSUS_SIZE)
        at--;
    else
        census->found_count++;
    for (; at > 0 && census->found[at - 1].active < active; at--)
        census->found[at] = census->found[at - 1];
    census->found[at] = (struct census_line){.torrent = torrent, .active = active};
}

void census_walk(struct census *census, struct torrents *torrents, uint32_t budget)
{
    uint32_t count = torrents_count(torrents);
    for (; budget > 0 && census->cursor < count; budget--, census->cursor++) {
        uint32_t active = swarm_active(torrents_at(torrents, census->cursor));
        if (active > 0)
            enter(census, census->cursor, active);
    }
    if (census->cursor < count)
        return;
    memcpy(census->lines, census->found, sizeof census->lines);
    census->count = census->found_count;
    census->found_count = 0;
    census->cursor = 0;
}
