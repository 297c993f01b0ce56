/*
 * A server that is killed and comes back while batches are on their way: each is applied once. PostgreSQL's here;
 * test_database_mariadb_restart.c has the same over MariaDB.
 */
#ifndef PRIVTRAK_TEST_MARIADB
#define PRIVTRAK_TEST_POSTGRESQL
#endif
#include "test_database.h"

TestSuite(database_restart, .init = place_open, .fini = place_close, .timeout = 120);

/* Kills the server in the middle of whatever it does; the tests' keeper starts it again. */
static pid_t kill_now_and_then(void)
{
    pid_t killer = fork();
    if (killer != 0)
        return killer;
    for (int i = 0; i < 4; i++) {
        usleep(900000);
        pid_t pid = server_pid();
        if (pid > 1)
            kill(pid, SIGKILL);
    }
    _exit(0);
}

Test(database_restart, nothing_is_lost_or_doubled_over_a_killed_server)
{
    enum { COUNT = 50 };
    for (int id = 1; id <= 5; id++) {
        add_user(id);
        add_torrent(id);
    }
    pid_t killer = kill_now_and_then();
    uint64_t seq = 0, failures = 0;
    time_t end = time(NULL) + 8;
    while (time(NULL) < end) {
        struct delta deltas[COUNT];
        for (int i = 0; i < COUNT; i++)
            deltas[i] = delta_of(++seq, 1 + i % 5, 1 + (i / 5) % 5);
        struct database_batch batch = {.instance = INSTANCE, .deltas = deltas, .count = COUNT};
        struct error error;
        while (database_apply(place.database, &batch, &error) != DATABASE_OK) {
            failures++;
            usleep(20000);
        }
    }
    waitpid(killer, NULL, 0);
    cr_assert_gt(failures, 0);
    site_again();
    cr_assert_eq(site_number("SELECT sum(uploaded) FROM users"), (long long)seq * 100);
    cr_assert_eq(site_number("SELECT sum(uploaded) FROM user_torrents"), (long long)seq * 100);
    cr_assert_eq(applied(), seq);
}
