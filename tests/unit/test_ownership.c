/* ownership: what root gives away of a directory, and what it does not, whatever stands in it and moves meanwhile. */
#include "base/ownership.h"
#include "remove_folder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { USER = 54321, GROUP = 54322, OTHER = 54323 }; /* ids of nobody on this machine */

static char top[] = "/tmp/privtrak-ownership-XXXXXX";
static struct error reason;

static const char *path_to(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, PATH_MAX, "%s/%s", top, name);
    return path;
}

static void make_folder(const char *name)
{
    cr_assert_eq(mkdir(path_to(name), 0755), 0, "%s: %s", name, strerror(errno));
}

static void make_file(const char *name)
{
    int fd = open(path_to(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
}

static void make_link(const char *target, const char *name)
{
    cr_assert_eq(symlink(target, path_to(name)), 0, "%s: %s", name, strerror(errno));
}

/* state is what is given away; outside is root's and stays so. */
static void set_up(void)
{
    if (geteuid() != 0)
        cr_skip_test("only root can give files away");
    cr_assert_not_null(mkdtemp(top));
    cr_assert_eq(chmod(top, 0755), 0);
    make_folder("state");
    make_folder("outside");
    make_file("outside/file");
}

static void tear_down(void)
{
    remove_folder(top);
}

TestSuite(ownership, .init = set_up, .fini = tear_down, .timeout = 60);

static int give(const char *name)
{
    int directory = ownership_open(path_to(name), &reason);
    if (directory < 0)
        return -1;
    int result = ownership_give(directory, path_to(name), USER, GROUP, &reason);
    close(directory);
    return result;
}

static void expect_owner(const char *name, uid_t user, gid_t group)
{
    struct stat status;
    cr_assert_eq(lstat(path_to(name), &status), 0, "%s: %s", name, strerror(errno));
    cr_expect(status.st_uid == user && status.st_gid == group, "%s: %u:%u", name, status.st_uid, status.st_gid);
}

static void expect_given(const char *name)
{
    expect_owner(name, USER, GROUP);
}

static void expect_kept(const char *name)
{
    expect_owner(name, 0, 0);
}

Test(ownership, all_that_is_there_is_given)
{
    make_folder("state/journal");
    make_folder("state/journal/old");
    make_file("state/journal/old/1");
    make_file("state/.hidden");
    cr_assert_eq(mkfifo(path_to("state/pipe"), 0600), 0);
    cr_assert_eq(lchown(path_to("state/.hidden"), OTHER, OTHER), 0);
    cr_expect_eq(give("state"), 0, "%s", reason.text);
    expect_given("state");
    expect_given("state/journal");
    expect_given("state/journal/old");
    expect_given("state/journal/old/1");
    expect_given("state/.hidden");
    expect_given("state/pipe");
    cr_expect_eq(give("state"), 0, "a second time");
    expect_kept("outside");
}

Test(ownership, links_are_given_and_not_followed)
{
    make_link("../outside", "state/folder-link");
    make_link(path_to("outside/file"), "state/file-link");
    make_link("nowhere", "state/broken");
    cr_expect_eq(give("state"), 0, "%s", reason.text);
    expect_given("state/folder-link");
    expect_given("state/file-link");
    expect_given("state/broken");
    expect_kept("outside");
    expect_kept("outside/file");
}

Test(ownership, file_with_a_name_elsewhere_stays)
{
    cr_assert_eq(link(path_to("outside/file"), path_to("state/innocent")), 0);
    make_file("state/after");
    cr_expect_eq(give("state"), 0, "%s", reason.text);
    expect_kept("outside/file");
    expect_given("state/after");
}

Test(ownership, device_stays)
{
    if (mknod(path_to("state/null"), S_IFCHR | 0600, makedev(1, 3)) != 0)
        cr_skip_test("no devices can be made here: %s", strerror(errno));
    cr_expect_eq(give("state"), 0, "%s", reason.text);
    expect_kept("state/null");
}

Test(ownership, other_file_system_stays)
{
    make_folder("state/mounted");
    make_folder("state/zebra");
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", path_to("state/mounted"), "tmpfs", 0, "size=64k") != 0)
        cr_skip_test("nothing can be mounted here: %s", strerror(errno));
    make_file("state/mounted/file");
    int result = give("state");
    expect_kept("state/mounted");
    expect_kept("state/mounted/file");
    cr_expect_eq(umount(path_to("state/mounted")), 0);
    cr_expect_eq(result, 0, "%s", reason.text);
    expect_given("state/zebra");
}

Test(ownership, directories_too_deep_are_refused_and_named)
{
    char name[PATH_MAX] = "state";
    for (int i = 0; i < 70; i++) {
        (void)strlcat(name, "/d", sizeof name);
        make_folder(name);
    }
    cr_expect_eq(give("state"), -1);
    cr_expect(strstr(reason.text, "/state/d/d/d"), "%s", reason.text);
    cr_expect(strstr(reason.text, "too many directories in one another"), "%s", reason.text);
}

Test(ownership, missing_directory_and_a_file_are_refused)
{
    cr_expect_eq(give("missing"), -1);
    cr_expect(strstr(reason.text, "missing: No such file"), "%s", reason.text);
    cr_expect_eq(give("outside/file"), -1);
    cr_expect(strstr(reason.text, "file: Not a directory"), "%s", reason.text);
    cr_expect_eq(give("missing/state"), -1);
}

Test(ownership, link_that_root_made_may_be_the_name)
{
    make_link("state", "by-name");
    make_link(path_to("state"), "by-path");
    make_file("state/file");
    cr_expect_eq(give("by-name"), 0, "%s", reason.text);
    expect_given("state/file");
    expect_kept("by-name");
    make_file("state/more");
    cr_expect_eq(give("by-path/"), 0, "%s", reason.text);
    expect_given("state/more");
}

Test(ownership, link_of_anybody_else_may_not)
{
    make_link("outside", "state-link");
    cr_assert_eq(lchown(path_to("state-link"), OTHER, OTHER), 0);
    make_link("state-link", "link-to-it");
    cr_expect_eq(give("state-link"), -1);
    cr_expect(strstr(reason.text, "state-link: a link that root did not make"), "%s", reason.text);
    cr_expect_eq(give("link-to-it"), -1);
    expect_kept("outside");
}

Test(ownership, names_of_all_forms_are_opened)
{
    static const char *const names[] = {"/", "//", "/tmp", "/tmp/", "tmp", "tmp//", ".", "./tmp", "/tmp/."};
    cr_assert_eq(chdir("/"), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct stat wanted, found;
        int directory = ownership_open(names[i], &reason);
        cr_assert_geq(directory, 0, "%s: %s", names[i], reason.text);
        cr_assert(stat(names[i], &wanted) == 0 && fstat(directory, &found) == 0);
        cr_expect(wanted.st_ino == found.st_ino && wanted.st_dev == found.st_dev, "%s", names[i]);
        close(directory);
    }
    cr_expect_eq(ownership_open("", &reason), -1);
}

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What a hostile process of the user does: a folder and a link to outside change names as fast as they can. */
static _Noreturn void keep_swapping(pid_t parent)
{
    char folder[PATH_MAX], decoy[PATH_MAX];
    (void)strlcpy(folder, path_to("state/folder"), sizeof folder);
    (void)strlcpy(decoy, path_to("state/decoy"), sizeof decoy);
    if (setgid(GROUP) != 0 || setuid(USER) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(1);
    for (;;)
        (void)renameat2(AT_FDCWD, folder, AT_FDCWD, decoy, RENAME_EXCHANGE);
}

Test(ownership, folder_that_is_swapped_for_a_link_meanwhile_leads_nowhere)
{
    make_folder("state/folder");
    make_file("state/folder/file");
    make_link("../outside", "state/decoy");
    cr_assert_eq(give("state"), 0);
    pid_t parent = getpid(), swapper = fork();
    cr_assert_geq(swapper, 0);
    if (swapper == 0)
        keep_swapping(parent);
    int links = 0, folders = 0;
    for (int64_t end_ms = now_ms() + 1000; now_ms() < end_ms;) {
        struct stat status;
        cr_expect_eq(give("state"), 0, "%s", reason.text);
        cr_assert_eq(lstat(path_to("state/folder"), &status), 0);
        links += S_ISLNK(status.st_mode) != 0;
        folders += S_ISDIR(status.st_mode) != 0;
    }
    cr_assert_eq(kill(swapper, SIGKILL), 0);
    cr_assert_eq(waitpid(swapper, NULL, 0), swapper);
    cr_expect(links > 0 && folders > 0, "found %d times a link, %d times a folder", links, folders);
    expect_kept("outside");
    expect_kept("outside/file");
}
