/* listen: the sockets that the operator's side listens on. */
#ifndef PRIVTRAK_ADMIN_LISTEN_H
#define PRIVTRAK_ADMIN_LISTEN_H

#include <sys/types.h>

#include "base/address.h"
#include "base/error.h"

/* A non-blocking listening TCP socket; -1 with a reason in the error and in errno. */
int listen_tcp(const struct address *address, struct error *error);

/* A socket file, and how to remove it again, even from within a chroot. */
struct local_socket {
    int file;      /* listening; -1: none */
    int directory; /* where its name stands */
    char *name;
    dev_t device; /* of the file as we made it: another's is left alone */
    ino_t inode;
};

/*
 * Makes the socket file, 0600. One that a dead tracker left is replaced; where somebody
 * answers on it, or it is no socket, that is an error. Returns 0, or -1 with a reason. A path
 * of any length is taken, though the kernel's own limit is 107 bytes.
 */
int local_socket_open(struct local_socket *socket, const char *path, struct error *error);
void local_socket_close(struct local_socket *socket);

#endif
