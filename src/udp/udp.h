/*
 * udp: the announce frontend over UDP (BEP 15, BEP 41). The one header of this
 * room for others. The main thread opens the sockets, before privileges are
 * dropped, and closes them when the workers have ended; in between each worker
 * reads and writes its own.
 */
#ifndef PRIVTRAK_UDP_UDP_H
#define PRIVTRAK_UDP_UDP_H

#include <stddef.h>

#include "base/address.h"
#include "base/error.h"
#include "config/config.h"
#include "tracker/tracker.h"

struct udp_listeners;

/*
 * Opens a socket a worker for each address of udp.listen, and reads the key of the
 * connection ids from the state directory, where it is made if need be. Returns
 * NULL with a reason. An address that stands there by default is left out with
 * a warning where the machine lacks its family.
 */
struct udp_listeners *udp_listen(const struct config *config, unsigned workers, struct error *error);

/* The addresses listened on, with the ports that port 0 became. */
size_t udp_listener_count(const struct udp_listeners *listeners);
struct address udp_listener_address(const struct udp_listeners *listeners, size_t number);

/* Attaches the frontend to all workers of a tracker that has not been started, as many as there are sockets for. */
void udp_add_to(struct tracker *tracker, struct udp_listeners *listeners);

/* Closes the sockets. No worker may be running; NULL is allowed. */
void udp_close(struct udp_listeners *listeners);

#endif
