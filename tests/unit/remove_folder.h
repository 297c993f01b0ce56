/* Removes a test's folder with all that is in it. */
#ifndef PRIVTRAK_TESTS_REMOVE_FOLDER_H
#define PRIVTRAK_TESTS_REMOVE_FOLDER_H

#include <ftw.h>
#include <stdio.h>

static inline int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

/* Links in it are removed themselves. */
static inline void remove_folder(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
