/*
 * mailbox: mail from any thread to one worker, without locks: senders push onto a
 * stack, the worker takes all of it at once and turns it round. The sender that finds
 * the stack empty wakes the worker; the others need not.
 */
#ifndef PRIVTRAK_TRACKER_MAILBOX_H
#define PRIVTRAK_TRACKER_MAILBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "tracker/worker.h"

struct mailbox {
    struct mail *top __attribute__((aligned(64)));
    uint32_t waiting __attribute__((aligned(64)));
    int wake_fd; /* an eventfd */
};

/* Returns 0, or -1 with errno. */
int mailbox_init(struct mailbox *mailbox);

/* Frees what was not delivered, too. Nobody may post any more. A mailbox of zeros with a wake_fd of -1 is cleared already. */
void mailbox_clear(struct mailbox *mailbox);

/* Any thread. Returns false where `limit` pieces or more wait already. */
bool mailbox_post(struct mailbox *mailbox, struct mail *mail, uint32_t limit);

/* The owner: all mail that is there, oldest first; NULL: none. */
struct mail *mailbox_take(struct mailbox *mailbox);

#endif
