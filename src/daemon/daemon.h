/*
 * daemon: all rooms of the tracker put together: what is opened in which order, and
 * taken down again.
 */
#ifndef PRIVTRAK_DAEMON_DAEMON_H
#define PRIVTRAK_DAEMON_DAEMON_H

#include "base/error.h"
#include "config/config.h"

struct daemon;

/* What privtrakd -V prints behind its name. */
#define PRIVTRAK_VERSION "0.1.0"

/*
 * Starts everything and says "ready" in the log. Takes over `config` (also where it fails).
 * Returns NULL with a reason.
 */
struct daemon *daemon_start(struct config *config, struct error *error);

/* Reads the configuration again and puts it in force. Returns 0, or -1 with a reason: the old one stays. */
int daemon_reload(struct daemon *daemon, struct error *error);

/* Answers what is in hand, delivers what can be delivered within a few seconds, saves the state, frees all. */
void daemon_stop(struct daemon *daemon);

#endif
