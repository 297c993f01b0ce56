/*
 * command: the sub-commands of privtrak-bench. Each is one file with one entry;
 * a new one is a line here and a line in the table in main.c.
 */
#ifndef PRIVTRAK_BENCH_COMMAND_H
#define PRIVTRAK_BENCH_COMMAND_H

struct command {
    const char *name;
    const char *summary;
    /* argv[0] is the sub-command's name. Returns the exit status: 0, 1 (it failed), 2 (bad usage). */
    int (*run)(int argc, char **argv);
};

enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

extern const struct command command_udp, command_http, command_floor, command_users, command_torrents, command_verify,
    command_chain;

#endif
