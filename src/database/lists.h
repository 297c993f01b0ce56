/*
 * lists: what one read of the database found, kept until it is known to be whole,
 * and then put in force. Private to the registry.
 */
#ifndef PRIVTRAK_DATABASE_LISTS_H
#define PRIVTRAK_DATABASE_LISTS_H

#include "database/registry.h"

struct listed_user {
    int64_t id;
    uint32_t upload_percent;
    uint32_t download_percent;
    bool enabled;
    bool can_leech;
    bool hide_address;
    char passkey[DATABASE_PASSKEY_BYTES];
};

/* Rows that wait to be put in force. */
struct listed_rows {
    struct listed_user *users;
    struct torrent_facts *torrents; /* reasons are owned */
    size_t user_count, user_room;
    size_t torrent_count, torrent_room;
};

struct lists {
    const struct registry_parts *parts;
    bool whole;
    bool at_once; /* the first load: the putter takes rows as they come; the start stops where they break off */

    struct listed_rows rows;
    struct putter *putter; /* NULL: none */
    int64_t *users_gone;
    uint8_t (*torrents_gone)[INFO_HASH_BYTES];
    struct client_row *clients;
    size_t user_gone_count, user_gone_room;
    size_t torrent_gone_count, torrent_gone_room;
    size_t client_count;
    bool has_clients;
    bool has_multipliers;
    struct multipliers multipliers;

    size_t users_put, torrents_put; /* in all, for the log */
};

/* Empties the lists for a new read. */
void lists_reset(struct lists *lists);
/* A reader for database_read that collects into `lists`. */
struct database_reader lists_reader(struct lists *lists);

/*
 * Puts users, torrents and multipliers in force (the clients are joined with the file's by the registry).
 * `database` is asked for the rows of users that stand in another's way. Returns 0 or -ENOMEM.
 */
int lists_apply(struct lists *lists, struct database *database);

/* Puts these rows in force and forgets them. Returns 0 or -ENOMEM. */
int lists_put(const struct registry_parts *parts, struct listed_rows *rows, struct database *database);
void listed_rows_clear(struct listed_rows *rows);

/*
 * putter.c: puts rows in force on a thread of its own, so that reading goes on meanwhile; rows come into
 * force in their order. putter_give takes over what is in `rows` and leaves them empty; it returns 0, or -ENOMEM where
 * earlier ones could not be put. putter_end waits for all of them, frees the putter and returns the same.
 */
struct putter *putter_new(const struct registry_parts *parts); /* NULL: none to be had */
int putter_give(struct putter *putter, struct listed_rows *rows);
int putter_end(struct putter *putter);

#endif
