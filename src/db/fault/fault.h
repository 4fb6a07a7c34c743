// SPDX-License-Identifier: Apache-2.0
/*
 * fault: a database that wraps another and fails on cue, for tests of what stands above.
 *
 *  I1  What it answers is what db.h allows for the call: a commit that fails with anything but
 *      STORAGE_FULL (or RERUN or UNAVAILABLE, with DB_MANY_WRITERS) is COMMIT_UNKNOWN, and is
 *      undone unless the plan says `after`.
 *  I2  A call that fails has not reached the wrapped database, unless the plan says `after`.
 *  I3  A plan without a call to fail (nth 0) changes nothing but the count.
 *
 * It fails calls, not allocations: those of small objects end the process by design. Rolling back,
 * reading columns and closing cannot fail.
 *
 * As a driver it asks the wrapped driver itself where db.h has no function for a slot.
 *
 * Threads: as the wrapped database; arming and counting may happen at any time.
 */
#ifndef DB_FAULT_FAULT_H
#define DB_FAULT_FAULT_H
#include "db/db.h"

/* The calls that can fail; each is named as the slot of the driver. */
enum db_fault_slot {
    DB_FAULT_ANY, /* whichever comes */
    DB_FAULT_CONNECT,
    DB_FAULT_BACKUP,
    DB_FAULT_BEGIN,
    DB_FAULT_COMMIT,
    DB_FAULT_SAVEPOINT,
    DB_FAULT_SAVEPOINT_RELEASE,
    DB_FAULT_SCRIPT,
    DB_FAULT_CHECKPOINT,
    DB_FAULT_QUERY,
    DB_FAULT_NEXT,
};

struct db_fault {
    enum db_fault_slot slot;
    unsigned nth;  /* which call of the slot fails, from 1; 0: none */
    bool for_ever; /* all later calls of the slot fail as well */
    enum rc rc;    /* what it fails with */
    bool after;    /* a commit of unknown outcome has really happened */
};

/*
 * Wraps `inner`, which belongs to *ret from now on and is freed with it. Its name is "fault".
 * Never fails.
 */
MUST_CHECK enum rc db_open_fault(struct db *inner, const struct db_fault *plan, struct db **ret,
                                 struct err *err);

/* Gives a database made above another plan, for all of its connections, and counts anew. */
void db_fault_arm(struct db *db, const struct db_fault *plan);

/* Calls of the planned slot since it was armed, on all connections. */
unsigned db_fault_calls(struct db *db);

/* How many of them failed on cue. */
unsigned db_fault_hits(struct db *db);

#endif
