// SPDX-License-Identifier: Apache-2.0
/*
 * server_listen: a socket that listens, on a TCP port or on a name in the file system.
 *
 *  I1  A name is taken from nobody who listens on it, and removed when it is no longer listened on
 *      (if it is still the one that was made).
 *
 * Threads: one at a time.
 */
#ifndef HTTP_SERVER_LISTEN_H
#define HTTP_SERVER_LISTEN_H
#include <sys/types.h>

#include "base/base.h"

struct listener {
    int fd;     /* not blocking; -1: none, or another's by now */
    char *path; /* of a Unix socket, else NULL */
    dev_t dev;  /* of that name */
    ino_t ino;
    char address[256]; /* "127.0.0.1:8080", with the real port; "unix:/run/dossier/api" */
};

/* True for HOST:PORT with a numeric port and for unix:/PATH. That it can be bound is not said. */
bool listen_valid(const char *text);

/* The path of unix:/PATH; NULL for a TCP address. Borrowed from `text`. */
const char *listen_unix_path(const char *text);

/*
 * Binds and listens. A Unix socket is open to its owner and group (0660); one of a server that is
 * gone is replaced. INVALID (the address), UNAVAILABLE (in use, or not allowed); the detail is fit
 * to be shown. `ret` belongs to the caller, on success to be ended by listen_close().
 */
MUST_CHECK enum rc listen_open(const char *text, struct listener *ret, struct err *err);

/* From now on nobody is let in; those who wait to be are refused. May be called twice. */
void listen_close(struct listener *l);

#endif
