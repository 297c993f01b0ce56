/* snapshot_file: see snapshot_file.h. */
#include "daemon/snapshot_file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct block_file_kind kind = {
    .magic = "privtrak-snapshot", .version = SNAPSHOT_VERSION, .name = "snapshot"};

enum { PATH_BYTES = BLOCK_FILE_PATH_BYTES, LISTED_MAX = 64 };

static int path_of(char path[static PATH_BYTES], const char *folder, uint64_t seq)
{
    int length = snprintf(path, PATH_BYTES, "%s/%020" PRIu64 ".snapshot", folder, seq);
    return length < PATH_BYTES ? 0 : -ENAMETOOLONG;
}

struct block_file *snapshot_file_begin(const char *folder, uint64_t seq, int64_t now_ms, struct error *error)
{
    char path[PATH_BYTES];
    bool named = path_of(path, folder, seq) == 0;
    if (!named || (mkdir(folder, 0700) != 0 && errno != EEXIST)) {
        error_set(error, "cannot make %s: %s", folder, named ? strerror(errno) : "the path is too long");
        return NULL;
    }
    return block_file_begin(&kind, path, seq, now_ms, error);
}

/* --- the folder --- */

static int newer_first(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
    return one < other ? 1 : one > other ? -1 : 0;
}

size_t snapshot_file_list(const char *folder, uint64_t *seqs, size_t max)
{
    uint64_t found[LISTED_MAX];
    size_t count = 0;
    DIR *directory = opendir(folder);
    if (directory == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL && count < LISTED_MAX;) {
        uint64_t seq;
        int end = 0;
        if (sscanf(entry->d_name, "%20" SCNu64 ".snapshot%n", &seq, &end) == 1 && end > 0 && entry->d_name[end] == '\0')
            found[count++] = seq;
    }
    closedir(directory);
    qsort(found, count, sizeof *found, newer_first);
    count = count < max ? count : max;
    memcpy(seqs, found, count * sizeof *seqs);
    return count;
}

void snapshot_file_trim(const char *folder)
{
    uint64_t seqs[LISTED_MAX];
    size_t count = snapshot_file_list(folder, seqs, LISTED_MAX);
    char path[PATH_BYTES];
    for (size_t i = SNAPSHOTS_KEPT; i < count; i++)
        if (path_of(path, folder, seqs[i]) == 0)
            unlink(path);
    DIR *directory = opendir(folder);
    if (directory == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        size_t length = strlen(entry->d_name);
        bool is_half = length > 4 && strcmp(entry->d_name + length - 4, ".new") == 0;
        if (is_half && snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < PATH_BYTES)
            unlink(path);
    }
    closedir(directory);
}

int snapshot_file_read(const char *folder, uint64_t seq, block_file_fn *block, void *context, int64_t *made_at_ms,
                       uint64_t *sessions, struct error *error)
{
    char path[PATH_BYTES];
    struct block_file_facts facts;
    if (path_of(path, folder, seq) != 0)
        return error_set(error, "%s: the path is too long", folder);
    if (block_file_read(&kind, path, block, context, &facts, error) != 0)
        return -1;
    if (facts.number != seq)
        return error_set(error, "%s: it covers another number than its name says", path);
    *made_at_ms = facts.made_at_ms;
    *sessions = facts.count;
    return 0;
}
