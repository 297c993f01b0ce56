/*
 * connection_id: the stateless connection ids of BEP 15. An id holds the second
 * in which it was made and a keyed MAC of that second and the client's address,
 * without the port, which NATs change. So nothing is remembered for a client,
 * and any worker, also after a restart, can tell an id that the tracker made.
 */
#ifndef PRIVTRAK_UDP_CONNECTION_ID_H
#define PRIVTRAK_UDP_CONNECTION_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"

enum { CONNECTION_KEY_BYTES = 32 };

/* The first half is the key for IPv4 addresses, the second that for IPv6. */
struct connection_key {
    uint8_t bytes[CONNECTION_KEY_BYTES];
};

/*
 * Reads the key from state_dir/udp.key, which is made, with mode 0600, where it
 * is not there yet. Returns 0, or -1 with a reason: the file is of another
 * length, open to others, or cannot be read or written.
 */
int connection_key_load(struct connection_key *key, const char *state_dir, struct error *error);

/* The id for a client at `address`; `now_s` is Unix time. */
uint64_t connection_id_make(const struct connection_key *key, const struct address *address, int64_t now_s);

/*
 * True where the id was made for that address at most `lifetime_s` seconds ago, or in
 * the next second: workers' coarse clocks are not quite equal. Counted in whole
 * seconds, so an id is good for at least lifetime_s and less than one second more.
 */
bool connection_id_check(const struct connection_key *key, const struct address *address, uint64_t id, int64_t now_s,
                         uint32_t lifetime_s);

#endif
