/* privileges: what changes nothing, what is refused, and, as root, giving root up, in a child that can give it up. */
#include "base/privileges.h"
#include "remove_folder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char unprivileged[] = "nobody"; /* on every machine */

static char folder[] = "/tmp/privtrak-privileges-XXXXXX";
static char outside[] = "/tmp/privtrak-outside-XXXXXX"; /* what a link in the state directory leads to */
static struct error reason;

static void set_up(void)
{
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_not_null(mkdtemp(outside));
}

static void tear_down(void)
{
    remove_folder(folder);
    remove_folder(outside);
}

TestSuite(privileges, .init = set_up, .fini = tear_down, .timeout = 60);

static const char *path_to(const char *name)
{
    static char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void make_file(const char *name)
{
    int fd = open(path_to(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
}

static uid_t owner_of(const char *path)
{
    struct stat status;
    cr_assert_eq(lstat(path, &status), 0, "%s: %s", path, strerror(errno));
    return status.st_uid;
}

/* Runs it in a child, and returns what that returned: 0 for good. What is not, it tells on stderr. */
static int in_child(int (*function)(void))
{
    (void)fflush(NULL);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0)
        _exit(function());
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define REQUIRE(condition)                                                                          \
    do {                                                                                            \
        if (!(condition)) {                                                                         \
            (void)fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, reason.text); \
            return 1;                                                                               \
        }                                                                                           \
    } while (0)

static void need_root(void)
{
    if (geteuid() != 0)
        cr_skip_test("only root can give up root");
}

Test(privileges, no_user_changes_nothing)
{
    uid_t before = owner_of(folder);
    cr_expect_eq(privileges_drop("", "/nowhere/at/all", &reason), 0);
    cr_expect_eq(owner_of(folder), before);
}

Test(privileges, user_that_the_tracker_runs_as_changes_nothing)
{
    const struct passwd *me = getpwuid(geteuid());
    if (me == NULL)
        cr_skip_test("this user has no name");
    cr_expect_eq(privileges_drop(me->pw_name, "/nowhere/at/all", &reason), 0, "%s", reason.text);
}

Test(privileges, unknown_user_is_named)
{
    cr_expect_eq(privileges_drop("no-such-user-here", folder, &reason), -1);
    cr_expect_str_eq(reason.text, "privileges.user: found no-such-user-here, allowed a user that this machine knows");
}

static int be_refused_without_root(void)
{
    REQUIRE(geteuid() != 0 || setuid(1) == 0);
    REQUIRE(privileges_drop(unprivileged, folder, &reason) == -1);
    REQUIRE(strcmp(reason.text, "privileges.user: only root can become nobody") == 0);
    return 0;
}

Test(privileges, another_user_needs_root)
{
    const struct passwd *user = getpwnam(unprivileged);
    if (user != NULL && user->pw_uid == geteuid())
        cr_skip_test("%s is no other user", unprivileged);
    cr_expect_eq(in_child(be_refused_without_root), 0);
}

/* --- as root --- */

static int give_up_root(void)
{
    const struct passwd *user = getpwnam(unprivileged);
    REQUIRE(user != NULL);
    gid_t extra[] = {0, 4, 6};
    REQUIRE(setgroups(3, extra) == 0);
    REQUIRE(privileges_drop(unprivileged, folder, &reason) == 0);
    uid_t uids[3];
    gid_t gids[3];
    REQUIRE(getresuid(&uids[0], &uids[1], &uids[2]) == 0 && getresgid(&gids[0], &gids[1], &gids[2]) == 0);
    for (int i = 0; i < 3; i++)
        REQUIRE(uids[i] == user->pw_uid && gids[i] == user->pw_gid);
    gid_t groups[64];
    int count = getgroups(64, groups);
    REQUIRE(count >= 0);
    for (int i = 0; i < count; i++)
        REQUIRE(groups[i] != 0 && groups[i] != 4 && groups[i] != 6);
    REQUIRE(setuid(0) == -1 && seteuid(0) == -1 && setgid(0) == -1);
    return 0;
}

Test(privileges, root_is_given_up_for_good_with_its_groups)
{
    need_root();
    cr_expect_eq(in_child(give_up_root), 0);
}

static int write_state(void)
{
    REQUIRE(privileges_drop(unprivileged, folder, &reason) == 0);
    int fd = open(path_to("journal/old"), O_WRONLY | O_CLOEXEC);
    REQUIRE(fd >= 0 && write(fd, "x", 1) == 1);
    fd = open(path_to("journal/new"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    REQUIRE(unlink(path_to("journal/old")) == 0);
    return 0;
}

Test(privileges, state_that_root_has_made_stays_in_use)
{
    need_root();
    cr_assert_eq(mkdir(path_to("journal"), 0700), 0);
    make_file("journal/old");
    make_file("instance");
    cr_expect_eq(in_child(write_state), 0);
    cr_expect_neq(owner_of(folder), 0);
    cr_expect_neq(owner_of(path_to("instance")), 0);
}

static int drop(void)
{
    REQUIRE(privileges_drop(unprivileged, folder, &reason) == 0);
    return 0;
}

Test(privileges, what_a_link_leads_to_is_not_given_away)
{
    need_root();
    char file[sizeof outside + 8];
    (void)snprintf(file, sizeof file, "%s/file", outside);
    close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    cr_assert_eq(symlink(outside, path_to("folder-link")), 0);
    cr_assert_eq(symlink(file, path_to("file-link")), 0);
    cr_expect_eq(in_child(drop), 0);
    cr_expect_neq(owner_of(path_to("file-link")), 0);
    cr_expect_eq(owner_of(outside), 0);
    cr_expect_eq(owner_of(file), 0);
}

static int drop_without_state(void)
{
    REQUIRE(privileges_drop(unprivileged, path_to("missing"), &reason) == -1);
    REQUIRE(strstr(reason.text, "missing") != NULL);
    REQUIRE(geteuid() == 0);
    return 0;
}

Test(privileges, missing_state_directory_is_named)
{
    need_root();
    cr_expect_eq(in_child(drop_without_state), 0);
}

Test(privileges, too_long_state_directory_is_refused)
{
    need_root();
    static char path[8192];
    memset(path, 'x', sizeof path - 1);
    cr_expect_eq(privileges_drop(unprivileged, path, &reason), -1);
    cr_expect_str_eq(reason.text, "state_dir is too long");
}

/* --- locked into the state directory --- */

static int confine(void)
{
    REQUIRE(privileges_confine(unprivileged, folder, &reason) == 0);
    return 0;
}

static int look_around_inside(void)
{
    struct stat before, after;
    const struct passwd *user = getpwnam(unprivileged);
    REQUIRE(user != NULL);
    uid_t wanted = user->pw_uid;
    REQUIRE(stat(path_to("file"), &before) == 0);
    REQUIRE(confine() == 0);
    REQUIRE(getuid() == wanted && geteuid() == wanted && setuid(0) == -1 && chroot(".") == -1);
    char place[PATH_MAX];
    REQUIRE(getcwd(place, sizeof place) != NULL && strcmp(place, "/") == 0);
    REQUIRE(access(outside, F_OK) == -1 && errno == ENOENT);
    /* Both the short name and the one of before lead to the same file. */
    REQUIRE(stat("/file", &after) == 0 && before.st_ino == after.st_ino && after.st_uid == wanted);
    REQUIRE(stat(path_to("file"), &after) == 0 && before.st_ino == after.st_ino);
    REQUIRE(stat("/..", &after) == 0 && after.st_uid == wanted);
    user = getpwnam(unprivileged);
    REQUIRE(user != NULL && user->pw_uid == wanted && getpwnam("daemon") == NULL);
    int fd = open(path_to("new"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    return 0;
}

Test(privileges, confined_process_sees_its_state_under_the_same_names_and_nothing_else)
{
    need_root();
    make_file("file");
    cr_expect_eq(in_child(look_around_inside), 0);
    cr_expect_eq(access(path_to("new"), F_OK), 0);
    cr_expect_eq(access("/etc/hosts", F_OK), access(path_to("etc/hosts"), F_OK));
    cr_expect_eq(in_child(look_around_inside), 1, "the file is there: it looked at the same directory again");
    cr_assert_eq(unlink(path_to("new")), 0);
    cr_expect_eq(in_child(look_around_inside), 0, "a second start");
}

/* The state directory is the user's from the first start on, and so is what root furnishes at the next. */
Test(privileges, furniture_is_not_written_through_links)
{
    need_root();
    char file[sizeof outside + 8];
    (void)snprintf(file, sizeof file, "%s/hosts", outside);
    cr_assert_eq(mkdir(path_to("etc"), 0755), 0);
    close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    cr_assert_eq(symlink(file, path_to("etc/hosts")), 0);
    cr_expect_eq(in_child(confine), 0);
    struct stat status;
    cr_expect(stat(file, &status) == 0 && status.st_size == 0 && status.st_uid == 0);
    cr_expect(lstat(path_to("etc/hosts"), &status) != 0 || S_ISREG(status.st_mode));
}

static int be_refused(const char *state_dir, const char *text)
{
    REQUIRE(privileges_confine(unprivileged, state_dir, &reason) == -1);
    REQUIRE(strstr(reason.text, text) != NULL);
    REQUIRE(geteuid() == 0 && access(outside, F_OK) == 0);
    return 0;
}

static int confine_with_a_link_for_etc(void)
{
    return be_refused(folder, "privileges.chroot: cannot ");
}

Test(privileges, folder_of_furniture_that_is_a_link_is_refused)
{
    need_root();
    cr_assert_eq(symlink(outside, path_to("etc")), 0);
    cr_expect_eq(in_child(confine_with_a_link_for_etc), 0);
    cr_assert_eq(rmdir(outside), 0, "nothing was written there");
}

Test(privileges, way_to_itself_that_is_a_link_is_refused)
{
    need_root();
    cr_assert_eq(symlink(outside, path_to("tmp")), 0);
    cr_expect_eq(in_child(confine_with_a_link_for_etc), 0);
    cr_assert_eq(rmdir(outside), 0, "nothing was written there");
}

static int confine_in_wrong_places(void)
{
    static char long_path[2 * PATH_MAX], up[PATH_MAX];
    memset(long_path, 'x', sizeof long_path - 1);
    (void)snprintf(up, sizeof up, "%s/..%s", folder, folder + strlen("/tmp"));
    return be_refused(up, "allowed a path without ..") != 0 || be_refused(path_to("missing"), "missing: ") != 0 ||
           be_refused(long_path, "state_dir is too long") != 0;
}

Test(privileges, confining_into_what_is_no_place_for_it_is_refused)
{
    need_root();
    cr_expect_eq(in_child(confine_in_wrong_places), 0);
}

static int confine_without_root(void)
{
    const struct passwd *user = getpwnam(unprivileged);
    REQUIRE(user != NULL && (geteuid() != 0 || setuid(user->pw_uid) == 0));
    REQUIRE(privileges_confine("no-such-user-here", folder, &reason) == -1);
    REQUIRE(strstr(reason.text, "allowed a user that this machine knows") != NULL);
    user = getpwuid(geteuid());
    REQUIRE(user != NULL && privileges_confine(user->pw_name, folder, &reason) == -1);
    REQUIRE(strcmp(reason.text, "privileges.chroot: only root can lock itself into a directory") == 0);
    return 0;
}

Test(privileges, confining_needs_root)
{
    cr_expect_eq(in_child(confine_without_root), 0);
}
