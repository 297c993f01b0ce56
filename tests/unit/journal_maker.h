/* journal_maker: a journal whose disk fails on demand, for the tests of it. */
#ifndef PRIVTRAK_TESTS_JOURNAL_MAKER_H
#define PRIVTRAK_TESTS_JOURNAL_MAKER_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "delta_maker.h"
#include "deltas/journal.h"

/* What the disk does; 0 and false: what it should. */
static struct {
    _Atomic int write_failure; /* errno of all writes */
    _Atomic int short_writes;  /* so many writes take a part only */
    _Atomic int sync_failures; /* so many syncs fail with EIO */
    _Atomic int reserve_failure;
    _Atomic bool forget; /* a failed sync loses all that was written since the last good one */
    struct {
        ino_t inode;
        off_t size;
    } synced[4096];
    size_t synced_count;
} disk;

static off_t *disk_synced_size(ino_t inode)
{
    for (size_t i = 0; i < disk.synced_count; i++)
        if (disk.synced[i].inode == inode)
            return &disk.synced[i].size;
    cr_assert_lt(disk.synced_count, sizeof(disk.synced) / sizeof(*disk.synced));
    disk.synced[disk.synced_count].inode = inode;
    disk.synced[disk.synced_count].size = 0;
    return &disk.synced[disk.synced_count++].size;
}

static ssize_t disk_write(int fd, const void *bytes, size_t size, off_t offset)
{
    int failure = atomic_load(&disk.write_failure);
    if (failure != 0) {
        errno = failure;
        return -1;
    }
    if (size > 1 && atomic_load(&disk.short_writes) > 0) {
        atomic_fetch_sub(&disk.short_writes, 1);
        size = 1 + size / 3;
    }
    if (offset == 0) {
        /* A new file, whose inode may have been another's. */
        struct stat status;
        fstat(fd, &status);
        *disk_synced_size(status.st_ino) = 0;
    }
    return pwrite(fd, bytes, size, offset);
}

static int disk_sync(int fd)
{
    struct stat status;
    fstat(fd, &status);
    if (atomic_load(&disk.sync_failures) > 0) {
        atomic_fetch_sub(&disk.sync_failures, 1);
        if (atomic_load(&disk.forget) && S_ISREG(status.st_mode))
            cr_assert_eq(ftruncate(fd, *disk_synced_size(status.st_ino)), 0);
        errno = EIO;
        return -1;
    }
    if (S_ISREG(status.st_mode))
        *disk_synced_size(status.st_ino) = status.st_size;
    return 0;
}

static int disk_reserve(int fd, off_t offset, off_t size)
{
    (void)fd;
    (void)offset;
    (void)size;
    errno = atomic_load(&disk.reserve_failure);
    return errno == 0 ? 0 : -1;
}

static const struct journal_io disk_io = {.write = disk_write, .sync = disk_sync, .reserve = disk_reserve};

static struct {
    char *folder;
    uint64_t max_bytes;
    struct journal *journal;
    struct error error;
    uint64_t random;
    int64_t now_ns;     /* moves as fast as the test wants */
    struct delta *made; /* made[seq - 1] */
    size_t made_capacity;
} fix;

static inline void fix_begin(void)
{
    fix.folder = maker_folder();
    fix.max_bytes = 64 << 20;
    fix.random = 88172645463325252ull;
    fix.now_ns = 1;
}

static inline void fix_end(void)
{
    journal_close(fix.journal);
    maker_remove(fix.folder);
    free(fix.made);
}

static inline bool fix_try_open(void)
{
    struct journal_settings settings = {.state_dir = fix.folder, .max_bytes = fix.max_bytes, .io = &disk_io};
    fix.journal = journal_open(&settings, &fix.error);
    return fix.journal != NULL;
}

static inline void fix_open(void)
{
    cr_assert(fix_try_open(), "%s", fix.error.text);
    cr_assert_eq(journal_start(fix.journal, NULL, NULL, &fix.error), 0);
}

static inline void fix_close(void)
{
    journal_close(fix.journal);
    fix.journal = NULL;
}

static inline void fix_remember(uint64_t seq, const struct delta *delta)
{
    if (seq > fix.made_capacity) {
        fix.made_capacity = 2 * seq;
        fix.made = reallocarray(fix.made, fix.made_capacity, sizeof(*fix.made));
    }
    fix.made[seq - 1] = *delta;
    fix.made[seq - 1].seq = seq;
}

/* Appends one frame of `count` deltas, written or not. */
static inline void fix_append(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct delta delta = maker_wild(&fix.random);
        cr_assert_gt(journal_room(fix.journal), 0);
        journal_append(fix.journal, &delta, 1);
        fix_remember(journal_last_seq(fix.journal), &delta);
    }
}

static inline bool fix_write(void)
{
    fix.now_ns += 10ll * 1000 * 1000 * 1000;
    return journal_write(fix.journal, fix.now_ns);
}

/* Waits for the sync that is under way; returns whether it went well. */
static inline bool fix_wait_sync(void)
{
    struct journal_sync_result result;
    while (!journal_sync_ended(fix.journal, &result, fix.now_ns))
        usleep(50);
    return result.ok;
}

/* Brings all that was appended to disk, whatever it takes. */
static inline void fix_settle(void)
{
    for (int tries = 0; journal_is_behind(fix.journal); tries++) {
        cr_assert_lt(tries, 100, "it never gets there");
        fix_write();
        if (journal_sync_begin(fix.journal))
            fix_wait_sync();
    }
}

/* All records from `first` to `last` are there, and as they were. */
static inline void fix_expect(uint64_t first, uint64_t last)
{
    struct journal_reader *reader = journal_reader_new(fix.journal, &fix.error);
    struct delta *deltas = calloc(100, sizeof(*deltas));
    uint64_t expected = first;
    size_t count = 1;
    journal_reader_seek(reader, first - 1);
    while (count > 0) {
        cr_assert_eq(journal_reader_read(reader, deltas, 100, last, &count, &fix.error), 0, "%s", fix.error.text);
        for (size_t i = 0; i < count; i++, expected++) {
            cr_assert_eq(deltas[i].seq, expected, "seq %lu in the place of %lu", deltas[i].seq, expected);
            cr_assert_eq(memcmp(&deltas[i], &fix.made[expected - 1], sizeof(*deltas)), 0, "record %lu differs",
                         expected);
        }
    }
    cr_assert_eq(expected, last + 1, "%lu is the last, not %lu", expected - 1, last);
    free(deltas);
    journal_reader_free(reader);
}

/* The path of the journal's file number `index` in the order of their names; the caller frees it. NULL: there is none. */
static inline char *fix_segment(int index)
{
    char folder[4096];
    struct dirent **names;
    char *path = NULL;
    snprintf(folder, sizeof(folder), "%s/journal", fix.folder);
    int count = scandir(folder, &names, NULL, alphasort);
    int at = 0;
    for (int i = 0; i < count; i++) {
        size_t length = strlen(names[i]->d_name);
        if (length > 8 && strcmp(names[i]->d_name + length - 8, ".journal") == 0 && at++ == index &&
            asprintf(&path, "%s/%s", folder, names[i]->d_name) < 0)
            abort();
        free(names[i]);
    }
    free(names);
    return path;
}

static inline int fix_segment_count(void)
{
    int count = 0;
    for (char *path; (path = fix_segment(count)) != NULL; count++)
        free(path);
    return count;
}

static inline char *fix_newest(void)
{
    return fix_segment(fix_segment_count() - 1);
}

static inline size_t fix_read_file(const char *path, uint8_t **bytes)
{
    struct stat status;
    int fd = open(path, O_RDONLY);
    cr_assert_geq(fd, 0);
    fstat(fd, &status);
    *bytes = malloc((size_t)status.st_size + 1);
    cr_assert_eq(read(fd, *bytes, (size_t)status.st_size), status.st_size);
    close(fd);
    return (size_t)status.st_size;
}

static inline void fix_write_file(const char *path, const uint8_t *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

static inline void fix_flip(const char *path, off_t offset)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);
    cr_assert_eq(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x10;
    cr_assert_eq(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

static inline off_t fix_size(const char *path)
{
    struct stat status;
    cr_assert_eq(stat(path, &status), 0);
    return status.st_size;
}

#endif
