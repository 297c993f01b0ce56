/*
 * privtrak-bench users and torrents: the generators' passkeys and info hashes, to
 * be loaded into a tracker's tables or white list.
 */
#include <stdio.h>
#include <time.h>

#include "base/hex.h"
#include "bench/command.h"
#include "bench/options.h"
#include "bench/swarm.h"

enum { ROWS_A_STATEMENT = 500 };

static void write_sql(const struct world *world)
{
    long long now = (long long)time(NULL);
    printf("BEGIN;\n");
    for (uint32_t i = 0; i < world->settings.users; i++) {
        struct passkey passkey;
        world_passkey(world, i, &passkey);
        bool first = i % ROWS_A_STATEMENT == 0;
        bool last = i + 1 == world->settings.users || (i + 1) % ROWS_A_STATEMENT == 0;
        if (first)
            printf("INSERT INTO users (name, passkey, created_at, updated_at) VALUES\n");
        printf("('bench-%u', '%.*s', %lld, %lld)%s\n", i, passkey.length, passkey.text, now, now, last ? ";" : ",");
    }
    printf("COMMIT;\n");
}

static void write_text(const struct world *world)
{
    for (uint32_t i = 0; i < world->settings.users; i++) {
        struct passkey passkey;
        world_passkey(world, i, &passkey);
        printf("%.*s\n", passkey.length, passkey.text);
    }
}

static int finish(struct world *world)
{
    world_clear(world);
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        fprintf(stderr, "privtrak-bench: the output could not be written\n");
        return EXIT_FAILED;
    }
    return EXIT_GOOD;
}

static int begin(struct world *world, const struct world_settings *settings)
{
    struct error error = {""};
    if (world_init(world, settings, &error) == 0)
        return EXIT_GOOD;
    fprintf(stderr, "privtrak-bench: %s\n", error.text);
    return EXIT_FAILED;
}

static int users_run_command(int argc, char **argv)
{
    struct world_settings settings = {.seed = 1, .torrents = 1, .peers = 1};
    uint64_t users = 1000;
    bool sql = false;
    const struct option_entry entries[] = {
        {"users", OPTION_NUMBER, &users, 1, 100000000, NULL, "N", "how many (1000)"},
        {"seed", OPTION_NUMBER, &settings.seed, 0, INT64_MAX, NULL, "N", "the generator's seed (1)"},
        {"passkeys", OPTION_TEXT, &settings.passkeys, 0, 0, NULL, "FILE", "these instead, one a line"},
        {"sql", OPTION_FLAG, &sql, 0, 0, NULL, NULL, "SQL that fills the table `users`, for SQLite and PostgreSQL"},
        {.name = NULL},
    };
    int status = options_handle(entries, "users [OPTION]...", argc, argv);
    if (status >= 0)
        return status;
    struct world world;
    settings.users = (uint32_t)users;
    if (begin(&world, &settings) != EXIT_GOOD)
        return EXIT_FAILED;
    if (sql)
        write_sql(&world);
    else
        write_text(&world);
    return finish(&world);
}

static int torrents_run_command(int argc, char **argv)
{
    struct world_settings settings = {.seed = 1, .users = 1, .peers = 1};
    uint64_t torrents = 10000;
    const struct option_entry entries[] = {
        {"torrents", OPTION_NUMBER, &torrents, 1, 100000000, NULL, "N", "how many (10000)"},
        {"seed", OPTION_NUMBER, &settings.seed, 0, INT64_MAX, NULL, "N", "the generator's seed (1)"},
        {.name = NULL},
    };
    int status = options_handle(entries, "torrents [OPTION]...", argc, argv);
    if (status >= 0)
        return status;
    struct world world;
    settings.torrents = (uint32_t)torrents;
    if (begin(&world, &settings) != EXIT_GOOD)
        return EXIT_FAILED;
    for (uint32_t i = 0; i < settings.torrents; i++) {
        uint8_t info_hash[INFO_HASH_BYTES];
        char digits[2 * INFO_HASH_BYTES + 1];
        world_info_hash(&world, i, info_hash);
        hex_encode(digits, info_hash, sizeof info_hash);
        puts(digits);
    }
    return finish(&world);
}

const struct command command_users = {
    .name = "users",
    .summary = "prints the generators' passkeys, or SQL that fills the table of users",
    .run = users_run_command,
};

const struct command command_torrents = {
    .name = "torrents",
    .summary = "prints the generators' info hashes, for a white list",
    .run = torrents_run_command,
};
