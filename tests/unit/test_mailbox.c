/* mailbox: mail of many threads arrives once each, in each sender's order, and wakes the owner. */
#include "tracker/mailbox.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

enum { SENDERS = 3, EACH = 20000 };

struct letter {
    struct mail mail; /* first: it is cast from it */
    int sender;
    int number;
};

static struct mailbox mailbox;
static struct letter letters[SENDERS][EACH];

static void set_up(void)
{
    cr_assert_eq(mailbox_init(&mailbox), 0);
}

static void tear_down(void)
{
    (void)mailbox_take(&mailbox); /* the letters are no memory of malloc */
    mailbox_clear(&mailbox);
}

TestSuite(mailbox, .init = set_up, .fini = tear_down, .timeout = 60);

static bool is_woken(void)
{
    struct pollfd poll_fd = {.fd = mailbox.wake_fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

static bool post(int number, uint32_t limit)
{
    letters[0][number].number = number;
    return mailbox_post(&mailbox, &letters[0][number].mail, limit);
}

Test(mailbox, empty_one_gives_nothing)
{
    cr_expect_null(mailbox_take(&mailbox));
    cr_expect_not(is_woken());
}

Test(mailbox, mail_comes_oldest_first)
{
    for (int i = 0; i < 3; i++)
        cr_assert(post(i, 10));
    struct mail *mail = mailbox_take(&mailbox);
    for (int i = 0; i < 3; i++, mail = mail->next)
        cr_assert_eq(((struct letter *)mail)->number, i);
    cr_expect_null(mail);
    cr_expect_null(mailbox_take(&mailbox));
}

Test(mailbox, owner_is_woken_until_it_takes)
{
    post(0, 10);
    cr_expect(is_woken());
    mailbox_take(&mailbox);
    cr_expect_not(is_woken());
    post(1, 10);
    cr_expect(is_woken());
}

Test(mailbox, full_one_refuses_until_it_is_emptied)
{
    cr_expect(post(0, 2));
    cr_expect(post(1, 2));
    cr_expect_not(post(2, 2));
    cr_expect_not(post(2, 2));
    mailbox_take(&mailbox);
    cr_expect(post(2, 2));
}

/* The allocator keeps a few freed pieces at hand and counts them as used; a sanitiser's counts nothing here, but sees what leaks. */
Test(mailbox, clearing_frees_what_was_not_delivered)
{
    enum { PIECES = 100, PIECE_BYTES = 200 };
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < PIECES; i++)
        cr_assert(mailbox_post(&mailbox, malloc(PIECE_BYTES), PIECES));
    mailbox_clear(&mailbox);
    cr_expect_lt(mallinfo2().uordblks, before.uordblks + PIECES / 2 * PIECE_BYTES);
    cr_expect_null(mailbox.top);
    cr_expect_eq(mailbox.wake_fd, -1);
}

static void *send_all(void *argument)
{
    struct letter *mine = argument;
    for (int i = 0; i < EACH; i++)
        cr_assert(mailbox_post(&mailbox, &mine[i].mail, UINT32_MAX));
    return NULL;
}

Test(mailbox, all_mail_of_many_threads_arrives_once_in_each_senders_order)
{
    pthread_t threads[SENDERS];
    for (int sender = 0; sender < SENDERS; sender++) {
        for (int i = 0; i < EACH; i++) {
            letters[sender][i].sender = sender;
            letters[sender][i].number = i;
        }
        cr_assert_eq(pthread_create(&threads[sender], NULL, send_all, letters[sender]), 0);
    }
    int next[SENDERS] = {0};
    for (int got = 0; got < SENDERS * EACH;) {
        struct pollfd poll_fd = {.fd = mailbox.wake_fd, .events = POLLIN};
        cr_assert_eq(poll(&poll_fd, 1, 10000), 1, "nobody woke the owner");
        for (struct mail *mail = mailbox_take(&mailbox); mail != NULL; mail = mail->next, got++) {
            const struct letter *letter = (struct letter *)mail;
            cr_assert_eq(letter->number, next[letter->sender]++);
        }
    }
    for (int sender = 0; sender < SENDERS; sender++)
        pthread_join(threads[sender], NULL);
    cr_expect_null(mailbox_take(&mailbox));
}
