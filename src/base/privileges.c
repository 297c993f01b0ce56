/* privileges: see privileges.h. */
#include "base/privileges.h"

#include <errno.h>
#include <fts.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

/* The state directory is the tracker's own: all that root made in it so far goes to the user. Links are not followed. */
static int give_away(const char *path, const struct passwd *user, struct error *error)
{
    char copy[4096];
    if (strlcpy(copy, path, sizeof copy) >= sizeof copy)
        return error_set(error, "state_dir is too long");
    char *const roots[] = {copy, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
    if (walk == NULL)
        return error_set(error, "%s: %s", path, strerror(errno));
    int result = 0;
    for (FTSENT *entry; result == 0 && (entry = fts_read(walk)) != NULL;)
        if (entry->fts_info != FTS_DP && lchown(entry->fts_accpath, user->pw_uid, user->pw_gid) != 0)
            result = error_set(error, "cannot give %s to %s: %s", entry->fts_path, user->pw_name, strerror(errno));
    fts_close(walk);
    return result;
}

int privileges_drop(const char *user, const char *state_dir, struct error *error)
{
    if (user[0] == '\0')
        return 0;
    const struct passwd *entry = getpwnam(user);
    if (entry == NULL)
        return error_set(error, "privileges.user: found %s, allowed a user that this machine knows", user);
    if (geteuid() == entry->pw_uid)
        return 0;
    if (geteuid() != 0)
        return error_set(error, "privileges.user: only root can become %s", user);
    if (give_away(state_dir, entry, error) != 0)
        return -1;
    if (initgroups(user, entry->pw_gid) != 0 || setgid(entry->pw_gid) != 0 || setuid(entry->pw_uid) != 0)
        return error_set(error, "privileges.user: cannot become %s: %s", user, strerror(errno));
    if (setuid(0) == 0)
        return error_set(error, "privileges.user: root could be taken back after becoming %s", user);
    return 0;
}
