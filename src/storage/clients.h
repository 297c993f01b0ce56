/*
 * clients: peer-id prefixes that are allowed or denied, from tracker.yaml and
 * from the table `clients`. Read inside the same RCU read sections as the users.
 */
#ifndef PRIVTRAK_STORAGE_CLIENTS_H
#define PRIVTRAK_STORAGE_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tracker/announce.h"

struct client_rule {
    uint8_t prefix[PEER_ID_BYTES];
    uint8_t length; /* 1 to PEER_ID_BYTES */
    bool allowed;
};

struct clients;

struct clients *clients_new(void);
void clients_free(struct clients *clients);

/*
 * Puts a whole new set in force at once; `rules` is copied. Rules of the table
 * and of the file are to be joined by the caller. Returns 0 or -ENOMEM.
 */
int clients_replace(struct clients *clients, const struct client_rule *rules, size_t count);

/*
 * Reader: the longest rule that the peer id begins with; NULL: none.
 */
const struct client_rule *clients_match(struct clients *clients, const uint8_t *peer_id);

#endif
