/* mailbox: see mailbox.h. */
#include "tracker/mailbox.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_init(struct mailbox *mailbox)
{
    mailbox->top = NULL;
    mailbox->waiting = 0;
    mailbox->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return mailbox->wake_fd < 0 ? -1 : 0;
}

void mailbox_clear(struct mailbox *mailbox)
{
    while (mailbox->top != NULL) {
        struct mail *next = mailbox->top->next;
        free(mailbox->top);
        mailbox->top = next;
    }
    mailbox->waiting = 0;
    if (mailbox->wake_fd >= 0)
        close(mailbox->wake_fd);
    mailbox->wake_fd = -1;
}

bool mailbox_post(struct mailbox *mailbox, struct mail *mail, uint32_t limit)
{
    if (__atomic_add_fetch(&mailbox->waiting, 1, __ATOMIC_RELAXED) > limit) {
        __atomic_sub_fetch(&mailbox->waiting, 1, __ATOMIC_RELAXED);
        return false;
    }
    struct mail *top = __atomic_load_n(&mailbox->top, __ATOMIC_RELAXED);
    do
        mail->next = top;
    while (!__atomic_compare_exchange_n(&mailbox->top, &top, mail, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    if (top == NULL) {
        uint64_t one = 1;
        ssize_t written = write(mailbox->wake_fd, &one, sizeof one);
        (void)written; /* fails only where the counter is full, and then the worker is woken anyway */
    }
    return true;
}

struct mail *mailbox_take(struct mailbox *mailbox)
{
    uint64_t ignored;
    ssize_t got = read(mailbox->wake_fd, &ignored, sizeof ignored);
    (void)got; /* nothing to read where another turn took the mail already */
    struct mail *newest_first = __atomic_exchange_n(&mailbox->top, NULL, __ATOMIC_ACQUIRE);
    struct mail *oldest_first = NULL;
    uint32_t count = 0;
    while (newest_first != NULL) {
        struct mail *next = newest_first->next;
        newest_first->next = oldest_first;
        oldest_first = newest_first;
        newest_first = next;
        count++;
    }
    if (count > 0)
        __atomic_sub_fetch(&mailbox->waiting, count, __ATOMIC_RELAXED);
    return oldest_first;
}
