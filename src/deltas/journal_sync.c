/*
 * journal_sync: the helper thread "journal-sync". It waits for the disk, and removes
 * files, both of which may take long, so that the ledger's thread need not stand still.
 */
#include "deltas/journal_private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/background.h"
#include "base/clock.h"
#include "base/log.h"

/* Syncs one file that will not be written to any more, and gives back what was reserved behind its end. */
static int finish_file(struct journal *journal, int fd)
{
    struct stat status;
    if (fstat(fd, &status) == 0 && ftruncate(fd, status.st_size) != 0)
        log_debug("journal", "cannot give back reserved space: %s", strerror(errno));
    return journal->io.sync(fd) == 0 ? 0 : errno;
}

static void run_job(struct journal *journal, struct sync_job *job)
{
    int64_t start = clock_monotonic_ns();
    job->failure = 0;
    for (size_t i = 0; i < job->closed_count; i++) {
        int failure = finish_file(journal, job->closed[i]);
        if (job->failure == 0)
            job->failure = failure;
        close(job->closed[i]);
    }
    if (job->failure == 0 && job->fd >= 0 && journal->io.sync(job->fd) != 0)
        job->failure = errno;
    if (job->failure == 0 && job->directory && journal->io.sync(journal->directory_fd) != 0)
        job->failure = errno;
    job->took_ns = clock_monotonic_ns() - start;
}

/*
 * Oldest first: a kill in between may then leave files too many, but never a gap, which the next start would
 * have to take for damage. The mutex is held; it is let go while a file is removed.
 */
static void remove_doomed(struct journal *journal)
{
    while (journal->doomed_count > 0) {
        struct segment segment = journal->doomed[0];
        memmove(journal->doomed, journal->doomed + 1, --journal->doomed_count * sizeof(*journal->doomed));
        pthread_mutex_unlock(&journal->mutex);
        char name[SEGMENT_NAME_BYTES];
        segment_name(name, segment.serial, segment.first_seq);
        if (unlinkat(journal->directory_fd, name, 0) != 0 && errno != ENOENT)
            log_warning("journal", "cannot remove %s/%s: %s", journal->directory, name, strerror(errno));
        pthread_mutex_lock(&journal->mutex);
        if (journal->sync_state == SYNC_RUNNING)
            return; /* a sync must not wait for the removal of many files */
    }
}

static void *sync_main(void *argument)
{
    struct journal *journal = argument;
    background_short_turns();
    pthread_mutex_lock(&journal->mutex);
    for (;;) {
        if (journal->sync_state == SYNC_RUNNING) {
            pthread_mutex_unlock(&journal->mutex);
            run_job(journal, &journal->job);
            pthread_mutex_lock(&journal->mutex);
            journal->sync_state = SYNC_ENDED;
            pthread_mutex_unlock(&journal->mutex);
            if (journal->wake != NULL)
                journal->wake(journal->wake_context);
            pthread_mutex_lock(&journal->mutex);
            continue;
        }
        if (journal->doomed_count > 0) {
            remove_doomed(journal);
            continue;
        }
        if (journal->stop)
            break;
        pthread_cond_wait(&journal->work, &journal->mutex);
    }
    pthread_mutex_unlock(&journal->mutex);
    return NULL;
}

int journal_sync_start(struct journal *journal, struct error *error)
{
    return thread_start(&journal->thread, "journal-sync", sync_main, journal, error);
}

void journal_sync_stop(struct journal *journal)
{
    if (!journal->started)
        return;
    pthread_mutex_lock(&journal->mutex);
    journal->stop = true;
    pthread_cond_signal(&journal->work);
    pthread_mutex_unlock(&journal->mutex);
    thread_join(&journal->thread, INT64_MAX);
    journal->started = false;
}

bool journal_sync_begin(struct journal *journal)
{
    if (journal->sync_running || journal->abandon || journal->complete.position == journal->synced.position)
        return false;
    struct sync_job *job = &journal->job;
    memcpy(job->closed, journal->closed, sizeof(job->closed));
    job->closed_count = journal->closed_count;
    job->fd = journal->fd;
    job->directory = journal->directory_changed;
    job->place = journal->complete;
    journal->closed_count = 0;
    journal->directory_changed = false;
    journal->sync_running = true;

    pthread_mutex_lock(&journal->mutex);
    journal->sync_state = SYNC_RUNNING;
    pthread_cond_signal(&journal->work);
    pthread_mutex_unlock(&journal->mutex);
    return true;
}
