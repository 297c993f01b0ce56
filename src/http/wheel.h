/*
 * wheel: coarse deadlines for many connections. Moving a deadline further away,
 * which every request does, is one store: the entry stays in its slot and is put
 * into the right one when the wheel comes by. So no request costs a timer.
 */
#ifndef PRIVTRAK_HTTP_WHEEL_H
#define PRIVTRAK_HTTP_WHEEL_H

#include <stdint.h>
#include <sys/queue.h>

enum { WHEEL_TICK_MS = 250, WHEEL_SLOTS = 256 };

#define WHEEL_NEVER INT64_MAX

struct wheel_entry {
    LIST_ENTRY(wheel_entry)
    link;
    int64_t deadline_ms;
    int64_t tick; /* of the slot that it is in; -1: in none */
};

struct wheel {
    LIST_HEAD(wheel_slot, wheel_entry) slots[WHEEL_SLOTS];
    int64_t tick; /* all slots up to this one have been looked at */
};

void wheel_init(struct wheel *wheel, int64_t now_ms);

void wheel_entry_init(struct wheel_entry *entry);

/* Sets the deadline; up to a tick late is on time. */
void wheel_set(struct wheel *wheel, struct wheel_entry *entry, int64_t deadline_ms);
void wheel_remove(struct wheel_entry *entry);

/* Takes out and calls out every entry whose deadline has passed. */
void wheel_advance(struct wheel *wheel, int64_t now_ms, void (*passed)(struct wheel_entry *entry));

#endif
