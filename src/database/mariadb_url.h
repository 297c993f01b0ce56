/*
 * mariadb_url: the parts of mariadb://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE&…, %-decoded.
 *
 *   socket             path of the server's Unix socket, in the place of host and port
 *   ssl-mode           disabled | preferred (TLS where the server has it; the default) | required | verify (a
 *                      certificate of ssl-ca, or of the machine's own authorities, and for this host)
 *   ssl-ca, ssl-cert, ssl-key   files in PEM
 *   connect-timeout, lock-timeout, statement-timeout   seconds, 1 to 3600
 *
 * Without a host, and for localhost without a port, the server's usual socket is meant.
 */
#ifndef PRIVTRAK_DATABASE_MARIADB_URL_H
#define PRIVTRAK_DATABASE_MARIADB_URL_H

#include <stdint.h>

#include "base/error.h"

#define MARIADB_SCHEME "mariadb://"

enum mariadb_tls { MARIADB_TLS_DISABLED, MARIADB_TLS_PREFERRED, MARIADB_TLS_REQUIRED, MARIADB_TLS_VERIFY };

struct mariadb_url {
    char *text; /* what the others point into */
    const char *user;
    const char *password;
    const char *host;     /* NULL: the socket */
    const char *socket;   /* NULL: the usual one */
    const char *database; /* never empty */
    uint16_t port;
    enum mariadb_tls tls;
    const char *ssl_ca;
    const char *ssl_cert;
    const char *ssl_key;
    uint32_t connect_timeout_s;
    uint32_t lock_timeout_s;
    uint32_t statement_timeout_s;
};

/* Returns 0, or -1 with a reason that repeats nothing of what may be a password. */
int mariadb_url_parse(struct mariadb_url *url, const char *text, struct error *error);
void mariadb_url_clear(struct mariadb_url *url);

#endif
