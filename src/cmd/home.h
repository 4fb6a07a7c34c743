// SPDX-License-Identifier: Apache-2.0
/*
 * home: the data directory and what lives in it, opened for one process.
 *
 *   lock  secret.key  dossier.db  blobs/  admin.sock
 *
 * Where --database is a server, there is a file `rows-elsewhere` in place of dossier.db.
 *
 *  I1  Whoever has a home holds the directory's lock: there is one process at a time.
 *  I2  Nothing but the lock file is touched before the lock is held, and the database of a newer
 *      program is not changed at all.
 *  I3  Once the engine has failed for good, the process ends with HOME_EXIT_BROKEN a moment later,
 *      which is left to answers under way.
 *
 * Threads: opened and closed by the main thread; home.app may be used by all.
 */
#ifndef CMD_HOME_H
#define CMD_HOME_H
#include <stdatomic.h>

#include "conf/conf.h"
#include "core/app.h"

#define HOME_EXIT_BROKEN 70

struct home {
    struct app app;
    const char *dir;
    int lock_fd;
    int schema_from; /* what the schema was when opened, and what it is */
    int schema_to;
    int64_t newest_ms;            /* when the newest audit line was written; 0: there is none */
    _Atomic bool broken;          /* I3 has begun */
    _Atomic(_Atomic int *) ready; /* set to READY_BROKEN then; NULL: nobody serves */
    const char *database;         /* --database and --blobs */
    const char *blobs;
    TALLOC_CTX *pool;
};

/*
 * Makes the directory of --data when absent, locks it, and opens all that is in it; the schema is
 * brought up to date. Waits up to `wait_ms` for another process to leave. Every error has a detail
 * fit to be shown; home_close() is not needed then. INVALID: a database or a driver that this
 * build does not know; BUSY: in use by another process.
 */
MUST_CHECK enum rc home_open(const struct conf *conf, int64_t wait_ms, struct home **ret,
                             struct err *err);

/* Who says to hold the lock of the directory, or was the last to: a process id; 0: nobody has. */
long home_holder(const char *dir);

/*
 * Whether there may be a database; no server is asked. Errors: NOT_FOUND, INVALID (the directory is
 * a node's, whose --database is elsewhere), both with a detail fit to be shown.
 */
MUST_CHECK enum rc home_exists(const struct conf *conf, struct err *err);

/* Ends what waits, moves the log into the database, gives the directory up. */
void home_close(struct home **home);

/*
 * Makes `dir` (mode 0700) when absent, and its name durable. The detail of an error is fit to be
 * shown.
 */
MUST_CHECK enum rc home_make_dir(const char *dir, struct err *err);

/*
 * Makes the name of `dir` durable: without this a power loss may take the directory away with all
 * that was synced in it. Also for one that was there before, since whoever made it may not have
 * come this far; but then it need not succeed, because what is above may be out of our reach.
 */
MUST_CHECK enum rc home_sync_above(const char *dir, bool made, struct err *err);

/* Makes `dir` as above and takes its lock; *ret_fd is closed to give it up. */
MUST_CHECK enum rc home_lock(const char *dir, int64_t wait_ms, int *ret_fd, struct err *err);

/* "DIR/name" in `pool`. */
char *home_path(TALLOC_CTX *pool, const char *dir, const char *name);

#endif
