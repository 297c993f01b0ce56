/* options: see options.h. */
#include "bench/options.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/command.h"

int option_read_number(const char *text, uint64_t low, uint64_t high, uint64_t *value)
{
    uint64_t number = 0;
    if (*text == '\0')
        return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        if (__builtin_mul_overflow(number, UINT64_C(10), &number) ||
            __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number))
            return -1;
    }
    if (number < low || number > high)
        return -1;
    *value = number;
    return 0;
}

int option_read_integer(const char *text, int64_t low, int64_t high, int64_t *value)
{
    bool negative = *text == '-';
    uint64_t magnitude;
    if (option_read_number(text + negative, 0, INT64_MAX, &magnitude) < 0)
        return -1;
    int64_t number = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    if (number < low || number > high)
        return -1;
    *value = number;
    return 0;
}

int option_read_numbers(const char *text, uint64_t low, uint64_t high, struct number_list *list)
{
    list->count = 0;
    for (;;) {
        size_t word = strcspn(text, ",");
        char number[24];
        if (word >= sizeof number || list->count == NUMBERS_MAX)
            return -1;
        memcpy(number, text, word);
        number[word] = '\0';
        if (option_read_number(number, low, high, &list->items[list->count++]) < 0)
            return -1;
        if (text[word] == '\0')
            return 0;
        text += word + 1;
    }
}

int option_read_percent(const char *text, double *value)
{
    /* strtod would take "inf", hex and a sign as well. */
    if (*text == '\0' || strspn(text, "0123456789.") != strlen(text))
        return -1;
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || number < 0 || number > 100)
        return -1;
    *value = number;
    return 0;
}

int option_read_duration(const char *text, int64_t *nanoseconds)
{
    static const struct {
        const char *name;
        uint64_t nanoseconds;
    } units[] = {
        {"ms", 1000000},
        {"s", 1000000000},
        {"m", 60000000000},
        {"h", 3600000000000},
    };
    size_t digits = strspn(text, "0123456789");
    char number[24];
    uint64_t count;
    if (digits == 0 || digits >= sizeof number)
        return -1;
    memcpy(number, text, digits);
    number[digits] = '\0';
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text + digits, units[i].name) != 0)
            continue;
        /* A year is more than any run should last. */
        if (option_read_number(number, 0, UINT64_C(31536000000000000) / units[i].nanoseconds, &count) < 0)
            return -1;
        *nanoseconds = (int64_t)(count * units[i].nanoseconds);
        return 0;
    }
    return -1;
}

int option_read_choice(const char *text, const char *choices, int *value)
{
    size_t length = strlen(text);
    for (int place = 0; *choices != '\0'; place++) {
        size_t word = strcspn(choices, "|");
        if (word == length && memcmp(choices, text, word) == 0) {
            *value = place;
            return 0;
        }
        choices += word + (choices[word] == '|');
    }
    return -1;
}

int option_read_endpoint(const char *text, struct endpoint *endpoint)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (colon == NULL || option_read_number(colon + 1, 1, 65535, &port) < 0)
        return -1;
    size_t length = (size_t)(colon - text);
    bool bracketed = length >= 2 && text[0] == '[' && text[length - 1] == ']';
    char host[256];
    if (length == 0 || length >= sizeof host)
        return -1;
    memcpy(host, text + bracketed, length - 2 * bracketed);
    host[length - 2 * bracketed] = '\0';
    /* Without brackets the last part of an IPv6 address would be taken for the port. */
    if (!bracketed && strchr(host, ':') != NULL)
        return -1;

    struct addrinfo hints = {.ai_family = bracketed ? AF_INET6 : AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return -1;
    memcpy(&endpoint->address, found->ai_addr, found->ai_addrlen);
    endpoint->length = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

int option_read_cpus(const char *text, struct cpu_list *list)
{
    list->count = 0;
    for (;;) {
        size_t word = strcspn(text, ",");
        char range[32];
        if (word == 0 || word >= sizeof range)
            return -1;
        memcpy(range, text, word);
        range[word] = '\0';
        char *dash = strchr(range, '-');
        if (dash != NULL)
            *dash++ = '\0';
        uint64_t first, last;
        if (option_read_number(range, 0, 1023, &first) < 0)
            return -1;
        last = first;
        if (dash != NULL && option_read_number(dash, first, 1023, &last) < 0)
            return -1;
        for (uint64_t cpu = first; cpu <= last; cpu++) {
            if (list->count == CPUS_MAX)
                return -1;
            list->items[list->count++] = (uint16_t)cpu;
        }
        if (text[word] == '\0')
            return 0;
        text += word + 1;
    }
}

bool endpoint_is_loopback(const struct endpoint *endpoint)
{
    if (endpoint->address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)&endpoint->address;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    if (endpoint->address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)&endpoint->address;
        return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
    }
    return false;
}

static int read_endpoints(const char *text, struct endpoint_list *list)
{
    if (list->count == ENDPOINTS_MAX || option_read_endpoint(text, &list->items[list->count]) < 0)
        return -1;
    list->count++;
    return 0;
}

static int read_texts(const char *text, struct text_list *list)
{
    if (*text == '\0' || list->count == TEXTS_MAX)
        return -1;
    list->items[list->count++] = text;
    return 0;
}

static int read_value(const struct option_entry *entry, const char *text)
{
    switch (entry->kind) {
    case OPTION_FLAG:
        *(bool *)entry->value = true;
        return 0;
    case OPTION_NUMBER:
        return option_read_number(text, entry->low, entry->high, entry->value);
    case OPTION_INTEGER:
        return option_read_integer(text, (int64_t)entry->low, (int64_t)entry->high, entry->value);
    case OPTION_NUMBERS:
        return option_read_numbers(text, entry->low, entry->high, entry->value);
    case OPTION_PERCENT:
        return option_read_percent(text, entry->value);
    case OPTION_DURATION:
        return option_read_duration(text, entry->value);
    case OPTION_TEXT:
        *(const char **)entry->value = text;
        return *text == '\0' ? -1 : 0;
    case OPTION_TEXTS:
        return read_texts(text, entry->value);
    case OPTION_CHOICE:
        return option_read_choice(text, entry->choices, entry->value);
    case OPTION_ENDPOINT:
        return option_read_endpoint(text, entry->value);
    case OPTION_ENDPOINTS:
        return read_endpoints(text, entry->value);
    case OPTION_CPUS:
        return option_read_cpus(text, entry->value);
    }
    return -1;
}

static int refuse_value(const struct option_entry *entry, const char *text, struct error *error)
{
    switch (entry->kind) {
    case OPTION_NUMBER:
        return error_set(error, "--%s: found %s, allowed %ju to %ju", entry->name, text, (uintmax_t)entry->low,
                         (uintmax_t)entry->high);
    case OPTION_INTEGER:
        return error_set(error, "--%s: found %s, allowed %jd to %jd", entry->name, text, (intmax_t)(int64_t)entry->low,
                         (intmax_t)(int64_t)entry->high);
    case OPTION_NUMBERS:
        return error_set(error, "--%s: found %s, allowed a list such as 1,8 of numbers from %ju to %ju", entry->name,
                         text, (uintmax_t)entry->low, (uintmax_t)entry->high);
    case OPTION_PERCENT:
        return error_set(error, "--%s: found %s, allowed 0 to 100", entry->name, text);
    case OPTION_DURATION:
        return error_set(error, "--%s: found %s, allowed a whole number with ms, s, m or h", entry->name, text);
    case OPTION_CHOICE:
        return error_set(error, "--%s: found %s, allowed %s", entry->name, text, entry->choices);
    case OPTION_ENDPOINT:
    case OPTION_ENDPOINTS:
        return error_set(error, "--%s: found %s, allowed HOST:PORT or [IPV6]:PORT", entry->name, text);
    case OPTION_CPUS:
        return error_set(error, "--%s: found %s, allowed a list of CPUs such as 0,2-3", entry->name, text);
    case OPTION_FLAG:
    case OPTION_TEXT:
    case OPTION_TEXTS:
        break;
    }
    return error_set(error, "--%s: found '%s', allowed a text that is not empty", entry->name, text);
}

enum options_result options_parse(const struct option_entry *entries, int argc, char **argv, struct error *error)
{
    struct option long_options[OPTIONS_MAX + 2];
    int count = 0;
    for (; count < OPTIONS_MAX && entries[count].name != NULL; count++) {
        int argument = entries[count].kind == OPTION_FLAG ? no_argument : required_argument;
        long_options[count] = (struct option){.name = entries[count].name, .has_arg = argument, .val = 256 + count};
    }
    long_options[count] = (struct option){.name = "help", .has_arg = no_argument, .val = 'h'};
    long_options[count + 1] = (struct option){0};

    optind = 0;
    opterr = 0;
    for (;;) {
        int place = optind == 0 ? 1 : optind;
        int found = getopt_long(argc, argv, ":h", long_options, NULL);
        if (found == -1)
            break;
        if (found == 'h')
            return OPTIONS_HELP;
        if (found == '?' || found == ':') {
            const char *what = found == ':' ? "a value is missing" : "no such option, or an ambiguous one";
            error_set(error, "%s: %s", argv[place < argc ? place : argc - 1], what);
            return OPTIONS_BAD;
        }
        const struct option_entry *entry = &entries[found - 256];
        if (read_value(entry, optarg) < 0) {
            refuse_value(entry, optarg, error);
            return OPTIONS_BAD;
        }
    }
    if (optind < argc) {
        error_set(error, "%s: not expected here", argv[optind]);
        return OPTIONS_BAD;
    }
    return OPTIONS_GOOD;
}

void options_print_help(const struct option_entry *entries, const char *usage)
{
    printf("usage: privtrak-bench %s\n\n", usage);
    for (; entries->name != NULL; entries++) {
        char left[64];
        const char *argument = entries->argument;
        if (argument == NULL && entries->kind == OPTION_CHOICE)
            argument = entries->choices;
        (void)snprintf(left, sizeof left, "--%s%s%s", entries->name, argument == NULL ? "" : " ",
                       argument == NULL ? "" : argument);
        printf("  %-26s %s\n", left, entries->help);
    }
    printf("  %-26s %s\n", "--help", "this list");
}

int options_handle(const struct option_entry *entries, const char *usage, int argc, char **argv)
{
    struct error error = {""};
    switch (options_parse(entries, argc, argv, &error)) {
    case OPTIONS_GOOD:
        return -1;
    case OPTIONS_HELP:
        options_print_help(entries, usage);
        return EXIT_GOOD;
    case OPTIONS_BAD:
        break;
    }
    fprintf(stderr, "privtrak-bench: %s\n", error.text);
    return EXIT_USAGE;
}
