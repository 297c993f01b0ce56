/* privtrakctl: the operator's tool. Finds the command and runs it. */
#include <curl/curl.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "ctl/ctl.h"

static const struct command *const tables[] = {
    commands_user, commands_torrent, commands_client, commands_multipliers, commands_deltas, commands_tracker, NULL,
};

static void print_usage(FILE *out)
{
    (void)fputs("usage: privtrakctl [-c tracker.yaml] [-s SOCKET] [--json] COMMAND …\n\n", out);
    for (size_t i = 0; tables[i] != NULL; i++) {
        for (const struct command *command = tables[i]; command->name != NULL; command++)
            (void)fprintf(out, "  %s%s%s\n      %s\n", command->name, command->arguments[0] != '\0' ? " " : "",
                          command->arguments, command->help);
    }
    (void)fputs("\nExits with 0 where it was done, 1 where not, 2 where the command is not understood.\n", out);
}

static int help(void)
{
    print_usage(stdout);
    return EXIT_GOOD;
}

/* How many of the words name this command; 0: they do not. */
static int words_matching(const struct command *command, int argc, char **argv)
{
    const char *space = strchr(command->name, ' ');
    if (space == NULL)
        return argc >= 1 && strcmp(argv[0], command->name) == 0 ? 1 : 0;
    size_t first = (size_t)(space - command->name);
    if (argc < 2 || strlen(argv[0]) != first || strncmp(argv[0], command->name, first) != 0)
        return 0;
    return strcmp(argv[1], space + 1) == 0 ? 2 : 0;
}

static const struct command *find_command(int argc, char **argv, int *words)
{
    for (size_t i = 0; tables[i] != NULL; i++) {
        for (const struct command *command = tables[i]; command->name != NULL; command++) {
            *words = words_matching(command, argc, argv);
            if (*words > 0)
                return command;
        }
    }
    return NULL;
}

static void tell_fault(void *context, const char *message)
{
    (void)context;
    complain("%s", message);
}

/* Where the socket is, malloc'd; NULL where the configuration is at fault, which has been told. */
static char *find_socket(const char *file)
{
    struct config *config = config_read(file, tell_fault, NULL);
    char *path = config != NULL ? form("%s", config->admin.socket) : NULL;
    config_free(config);
    return path;
}

static enum exit_code run_command(const struct command *command, const char *file, const char *socket, bool wants_json,
                                  int argc, char **argv)
{
    struct ctl ctl = {.wants_json = wants_json};
    struct error error = {""};
    char *path = socket != NULL ? form("%s", socket) : find_socket(file);
    if (path == NULL)
        return EXIT_FAILED;
    ctl.client = client_new(path, &error);
    free(path);
    if (ctl.client == NULL)
        return fail("%s", error.text);
    enum exit_code result = command->run(&ctl, argc, argv);
    client_free(ctl.client);
    if (fflush(stdout) != 0 || ferror(stdout))
        return fail("the output could not be written");
    return result;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const char *file = "tracker.yaml";
    const char *socket = NULL;
    bool wants_json = false;
    int option;
    int words;
    (void)setlocale(LC_TIME, "");
    while ((option = getopt_long(argc, argv, "+c:s:jh", options, NULL)) != -1) {
        if (option == 'c')
            file = optarg;
        else if (option == 's')
            socket = optarg;
        else if (option == 'j')
            wants_json = true;
        else if (option == 'h')
            return help();
        else
            return EXIT_USAGE; /* getopt has told */
    }
    argc -= optind;
    argv += optind;
    if (argc > 0 && strcmp(argv[argc - 1], "--json") == 0) {
        wants_json = true; /* at the end it is just as plain */
        argc--;
    }
    if (argc == 0) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    const struct command *command = find_command(argc, argv, &words);
    if (command == NULL)
        return (int)fail_usage("there is no command \"%s%s%s\": see privtrakctl --help", argv[0], argc > 1 ? " " : "",
                               argc > 1 ? argv[1] : "");
    argc -= words;
    argv += words;
    if (argc < command->least || (command->most >= 0 && argc > command->most))
        return (int)fail_usage("usage: privtrakctl %s%s%s", command->name, command->arguments[0] != '\0' ? " " : "",
                               command->arguments);
    return (int)run_command(command, file, socket, wants_json, argc, argv);
}
