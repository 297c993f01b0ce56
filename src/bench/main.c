/* privtrak-bench: the bundled announce generators and what belongs to them. */
#include "bench/command.h"

#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
    &command_udp, &command_http, &command_floor, &command_users, &command_torrents, &command_verify, &command_chain,
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *stream)
{
    fprintf(stream, "usage: privtrak-bench COMMAND [OPTION]...\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(stream, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(stream, "\nprivtrak-bench COMMAND --help lists the options of a command.\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return EXIT_GOOD;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[1], commands[i]->name) == 0)
            return commands[i]->run(argc - 1, argv + 1);
    }
    fprintf(stderr, "privtrak-bench: %s: no such command (privtrak-bench --help lists them)\n", argv[1]);
    return EXIT_USAGE;
}
