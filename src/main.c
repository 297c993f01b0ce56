/*
 * privtrakd: options, configuration, signals. The main thread starts everything, then only
 * waits for signals.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <openssl/crypto.h>
#include <sodium.h>
#include <sqlite3.h>

#include "base/log.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "deltas/journal.h"

static const char usage[] =
    "usage: privtrakd [-c tracker.yaml] [-t] [-V] [--salvage-journal]\n"
    "  -c FILE  the configuration; tracker.yaml where left out\n"
    "  -t       check the configuration and the files that it names, then exit\n"
    "  -V       print the version and what it was built with, then exit\n"
    "  --salvage-journal\n"
    "           move damaged segments of the journal aside, keep all that is whole, then exit\n";

struct options {
    const char *file;
    bool only_test;
    bool only_version;
    bool only_salvage;
};

static int read_options(struct options *options, int argc, char **argv)
{
    *options = (struct options){.file = "tracker.yaml"};
    static const struct option words[] = {
        {"salvage-journal", no_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "c:tVh", words, NULL)) != -1;) {
        switch (option) {
        case 'c':
            options->file = optarg;
            break;
        case 't':
            options->only_test = true;
            break;
        case 'V':
            options->only_version = true;
            break;
        case 's':
            options->only_salvage = true;
            break;
        default:
            fputs(usage, option == 'h' ? stdout : stderr);
            return -1;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "privtrakd: unknown argument %s\n%s", argv[optind], usage);
        return -1;
    }
    return 0;
}

static void print_version(void)
{
    printf("privtrakd %s\nlibevent %s, %s, libsodium %s, SQLite %s\ndatabases: sqlite, postgresql, mariadb\n",
           PRIVTRAK_VERSION, event_get_version(), OpenSSL_version(OPENSSL_VERSION), sodium_version_string(),
           sqlite3_libversion());
}

/* Tells all faults for -t, else only the first. */
struct fault_printer {
    bool all;
    size_t told;
};

static void print_fault(void *context, const char *message)
{
    struct fault_printer *printer = context;
    if (printer->all || printer->told == 0)
        fprintf(stderr, "%s\n", message);
    printer->told++;
}

/* The checked configuration, or NULL when the faults have been told. */
static struct config *read_config(const struct options *options)
{
    struct fault_printer printer = {.all = options->only_test};
    return config_load(options->file, print_fault, &printer);
}

/* For a journal that the tracker does not start on. Returns the exit code. */
static int salvage(const struct config *config)
{
    struct journal_salvage report;
    struct error error;
    if (journal_salvage(config->tracker.state_dir, &report, &error) != 0) {
        fprintf(stderr, "privtrakd: %s\n", error.text);
        return 1;
    }
    printf("segments checked: %zu, replaced: %zu; records kept of those: %" PRIu64 ", lost: %" PRIu64 "\n",
           report.segments_checked, report.segments_replaced, report.records_kept, report.records_lost);
    if (report.moved_to[0] != '\0')
        printf("the damaged files stay beside the journal, the last one as %s\n", report.moved_to);
    return 0;
}

/* Signals come to the main thread alone, and only where it waits for them. */
static sigset_t block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaddset(&set, signals[i]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return set;
}

static void serve(struct daemon *daemon, const sigset_t *signals)
{
    for (;;) {
        int received;
        if (sigwait(signals, &received) != 0)
            continue;
        struct error error;
        if (received == SIGHUP)
            (void)daemon_reload(daemon, &error); /* which logs the outcome */
        else if (received == SIGUSR1)
            log_reopen();
        else
            break;
    }
}

int main(int argc, char **argv)
{
    struct options options;
    if (read_options(&options, argc, argv) != 0)
        return 2;
    if (options.only_version) {
        print_version();
        return 0;
    }
    struct config *config = read_config(&options);
    if (config == NULL)
        return 1;
    if (options.only_test) {
        config_free(config);
        return 0;
    }
    if (options.only_salvage) {
        int status = salvage(config);
        config_free(config);
        return status;
    }
    sigset_t signals = block_signals();
    if (sodium_init() < 0) {
        fprintf(stderr, "privtrakd: no randomness to be had\n");
        config_free(config);
        return 1;
    }
    struct error error = {.text = ""};
    struct daemon *daemon = daemon_start(config, &error);
    if (daemon == NULL) {
        fprintf(stderr, "privtrakd: %s\n", error.text);
        return 1;
    }
    serve(daemon, &signals);
    log_info("main", "stopping");
    daemon_stop(daemon);
    log_info("main", "stopped");
    return 0;
}
