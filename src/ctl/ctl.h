/*
 * ctl: what the files of privtrakctl share. A command is one entry in a table
 * and one function; each is a call or two of the API over the admin socket.
 */
#ifndef PRIVTRAK_CTL_CTL_H
#define PRIVTRAK_CTL_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "ctl/client.h"

enum exit_code { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct ctl {
    struct client *client;
    bool wants_json;
};

struct command {
    const char *name;      /* one or two words */
    const char *arguments; /* for the usage */
    const char *help;      /* one line */
    int least, most;       /* how many arguments; most -1: any number */
    enum exit_code (*run)(struct ctl *ctl, int argc, char **argv);
};

/* One table a group of commands, each ended by a NULL name. */
extern const struct command commands_user[], commands_torrent[], commands_client[], commands_multipliers[],
    commands_deltas[], commands_tracker[];

/* Tells one line on stderr, "privtrakctl: …". */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
enum exit_code fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
enum exit_code fail_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints `answer` as the API gave it. */
void print_json(const json_t *answer);

/*
 * Calls the API. Where it refuses, its reason has been told and NULL is returned;
 * `*status` (may be NULL) is the HTTP status, 0 where nobody answered. `body` is taken over. An
 * answer without a body is an empty object.
 */
json_t *call_api(struct ctl *ctl, const char *method, const char *path, json_t *body);

/*
 * Reads a whole list, page by page: the object with all its elements under `name`. `query` (already encoded)
 * stands behind the "?", "" for none.
 */
json_t *call_list(struct ctl *ctl, const char *path, const char *query, const char *name);

/* %-encodes `text` for a path or a query; malloc'd, never NULL. */
char *encode(const char *text);
/* A formatted string; malloc'd, never NULL. */
char *form(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Reads arguments of the form FIELD=VALUE into `object`. Which fields there are, and what they
 * take, the API knows; here only texts are told from the rest. Returns false where one is malformed, which has been told.
 */
bool read_fields(json_t *object, int argc, char **argv);

#endif
