/*
 * options: the command line of a sub-command as a table. Every value is read
 * whole and checked against its range; a fault is one line that names the option.
 */
#ifndef PRIVTRAK_BENCH_OPTIONS_H
#define PRIVTRAK_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"

enum { ENDPOINTS_MAX = 16, CPUS_MAX = 256, TEXTS_MAX = 16, NUMBERS_MAX = 16, OPTIONS_MAX = 48 };

/* An address to listen at or to send to. */
struct endpoint {
    struct sockaddr_storage address;
    socklen_t length; /* 0: not given */
};

struct endpoint_list {
    struct endpoint items[ENDPOINTS_MAX];
    size_t count;
};

struct cpu_list {
    uint16_t items[CPUS_MAX];
    size_t count; /* 0: no pinning */
};

struct number_list {
    uint64_t items[NUMBERS_MAX];
    size_t count;
};

struct text_list {
    const char *items[TEXTS_MAX];
    size_t count;
};

enum option_kind {
    OPTION_FLAG,      /* bool */
    OPTION_NUMBER,    /* uint64_t, between low and high */
    OPTION_INTEGER,   /* int64_t, between (int64_t)low and high: may be negative */
    OPTION_NUMBERS,   /* struct number_list: 1,8,64, each between low and high */
    OPTION_PERCENT,   /* double, 0 to 100 */
    OPTION_DURATION,  /* int64_t, nanoseconds: 200ms, 10s, 2m, 1h */
    OPTION_TEXT,      /* const char *, not empty */
    OPTION_TEXTS,     /* struct text_list: may be repeated */
    OPTION_CHOICE,    /* int, the place in `choices` ("a|b|c") */
    OPTION_ENDPOINT,  /* struct endpoint: HOST:PORT, [IPV6]:PORT */
    OPTION_ENDPOINTS, /* struct endpoint_list: may be repeated */
    OPTION_CPUS,      /* struct cpu_list: 0,2-3 */
};

struct option_entry {
    const char *name; /* without the dashes; NULL ends the table */
    enum option_kind kind;
    void *value;
    uint64_t low;
    uint64_t high;
    const char *choices;  /* OPTION_CHOICE */
    const char *argument; /* how the help calls the value */
    const char *help;
};

enum options_result { OPTIONS_GOOD, OPTIONS_HELP, OPTIONS_BAD };

/*
 * Reads argv[1..] into the values of `entries`. OPTIONS_BAD: `error` says why in a line. OPTIONS_HELP: --help stands
 * among them. Words that are no options are a fault.
 */
enum options_result options_parse(const struct option_entry *entries, int argc, char **argv, struct error *error);

/* Prints the table to stdout. `usage` stands behind "usage: privtrak-bench ". */
void options_print_help(const struct option_entry *entries, const char *usage);

/*
 * What a sub-command does first: parses, and prints help or fault. Returns -1
 * to go on, else the exit status.
 */
int options_handle(const struct option_entry *entries, const char *usage, int argc, char **argv);

/* The readers behind the table; each returns 0, or -1 where `text` is not wholly such a value. */
int option_read_number(const char *text, uint64_t low, uint64_t high, uint64_t *value);
int option_read_integer(const char *text, int64_t low, int64_t high, int64_t *value);
int option_read_numbers(const char *text, uint64_t low, uint64_t high, struct number_list *list);
int option_read_percent(const char *text, double *value);
int option_read_duration(const char *text, int64_t *nanoseconds);
int option_read_choice(const char *text, const char *choices, int *value);
int option_read_endpoint(const char *text, struct endpoint *endpoint);
int option_read_cpus(const char *text, struct cpu_list *list);

/* 127.0.0.0/8 and ::1. */
bool endpoint_is_loopback(const struct endpoint *endpoint);

#endif
