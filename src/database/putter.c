/* putter: the thread beside the first read of the lists; see lists.h. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "database/lists.h"

struct putter {
    const struct registry_parts *parts;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct listed_rows rows; /* those that are being put */
    bool is_busy;
    bool is_over;
    int result;
};

static void *run(void *argument)
{
    struct putter *putter = argument;
    pthread_setname_np(pthread_self(), "lists");
    users_thread_register();
    pthread_mutex_lock(&putter->lock);
    for (;;) {
        while (!putter->is_busy && !putter->is_over)
            pthread_cond_wait(&putter->changed, &putter->lock);
        if (!putter->is_busy)
            break;
        int result = putter->result;
        pthread_mutex_unlock(&putter->lock);
        if (result == 0)
            result = lists_put(putter->parts, &putter->rows, NULL);
        pthread_mutex_lock(&putter->lock);
        putter->result = result;
        putter->is_busy = false;
        pthread_cond_signal(&putter->changed);
    }
    pthread_mutex_unlock(&putter->lock);
    users_thread_unregister();
    return NULL;
}

static void clear(struct putter *putter)
{
    pthread_cond_destroy(&putter->changed);
    pthread_mutex_destroy(&putter->lock);
    listed_rows_clear(&putter->rows);
    free(putter);
}

struct putter *putter_new(const struct registry_parts *parts)
{
    struct putter *putter = calloc(1, sizeof(*putter));
    if (!putter)
        return NULL;
    putter->parts = parts;
    pthread_mutex_init(&putter->lock, NULL);
    pthread_cond_init(&putter->changed, NULL);
    if (pthread_create(&putter->thread, NULL, run, putter) != 0) {
        clear(putter);
        return NULL;
    }
    return putter;
}

int putter_give(struct putter *putter, struct listed_rows *rows)
{
    pthread_mutex_lock(&putter->lock);
    while (putter->is_busy)
        pthread_cond_wait(&putter->changed, &putter->lock);
    int result = putter->result;
    if (result == 0) {
        struct listed_rows empty = putter->rows;
        putter->rows = *rows;
        *rows = empty;
        putter->is_busy = true;
        pthread_cond_signal(&putter->changed);
    }
    pthread_mutex_unlock(&putter->lock);
    return result;
}

int putter_end(struct putter *putter)
{
    if (!putter)
        return 0;
    pthread_mutex_lock(&putter->lock);
    putter->is_over = true;
    pthread_cond_signal(&putter->changed);
    pthread_mutex_unlock(&putter->lock);
    pthread_join(putter->thread, NULL);
    int result = putter->result;
    clear(putter);
    return result;
}
