/* wheel: see wheel.h. Used by one worker's thread. */
#include "http/wheel.h"

#include <stddef.h>

void wheel_init(struct wheel *wheel, int64_t now_ms)
{
    for (size_t i = 0; i < WHEEL_SLOTS; i++)
        LIST_INIT(&wheel->slots[i]);
    wheel->tick = now_ms / WHEEL_TICK_MS;
}

void wheel_entry_init(struct wheel_entry *entry)
{
    entry->tick = -1;
    entry->deadline_ms = WHEEL_NEVER;
}

void wheel_remove(struct wheel_entry *entry)
{
    if (entry->tick < 0)
        return;
    LIST_REMOVE(entry, link);
    entry->tick = -1;
}

static void insert(struct wheel *wheel, struct wheel_entry *entry, int64_t tick)
{
    entry->tick = tick;
    LIST_INSERT_HEAD(&wheel->slots[tick % WHEEL_SLOTS], entry, link);
}

void wheel_set(struct wheel *wheel, struct wheel_entry *entry, int64_t deadline_ms)
{
    int64_t tick = deadline_ms / WHEEL_TICK_MS + 1;
    entry->deadline_ms = deadline_ms;
    if (entry->tick >= 0 && entry->tick <= tick)
        return;
    /* A slot that has been looked at already comes by again only a whole turn later. */
    if (tick <= wheel->tick)
        tick = wheel->tick + 1;
    if (tick >= wheel->tick + WHEEL_SLOTS)
        tick = wheel->tick + WHEEL_SLOTS - 1;
    wheel_remove(entry);
    insert(wheel, entry, tick);
}

void wheel_advance(struct wheel *wheel, int64_t now_ms, void (*passed)(struct wheel_entry *entry))
{
    int64_t now = now_ms / WHEEL_TICK_MS;
    if (now - wheel->tick > WHEEL_SLOTS)
        wheel->tick = now - WHEEL_SLOTS; /* stood still for more than a turn: each slot once will do */
    while (wheel->tick < now) {
        struct wheel_slot *slot = &wheel->slots[++wheel->tick % WHEEL_SLOTS];
        struct wheel_entry *entry;
        while ((entry = LIST_FIRST(slot)) != NULL) {
            wheel_remove(entry);
            if (entry->deadline_ms > now_ms)
                wheel_set(wheel, entry, entry->deadline_ms);
            else
                passed(entry);
        }
    }
}
