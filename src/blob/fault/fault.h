// SPDX-License-Identifier: Apache-2.0
/*
 * fault: a store of blobs that wraps another and fails on cue, for tests of what stands above.
 *
 *  I1  What it answers is what blob.h allows for the call: a planned code that the slot does not
 *      know becomes IO there, and after COMMIT_UNKNOWN the store is broken for good (blob.h I5).
 *  I2  A call that fails has not reached the wrapped store, unless the plan says `after`.
 *  I3  A plan without a call to fail (nth 0) changes nothing but the count.
 *
 * It fails calls, not allocations: those of small objects end the process by design.
 *
 * Threads: as the wrapped store; arming and counting may happen at any time.
 */
#ifndef BLOB_FAULT_FAULT_H
#define BLOB_FAULT_FAULT_H
#include "blob/blob.h"

/* The calls that can fail; each is named as the slot of the driver. */
enum blob_fault_slot {
    BLOB_FAULT_ANY, /* whichever comes */
    BLOB_FAULT_WRITE_OPEN,
    BLOB_FAULT_WRITE,
    BLOB_FAULT_WRITE_FINISH,
    BLOB_FAULT_READ_OPEN,
    BLOB_FAULT_READ,
    BLOB_FAULT_STAT,
    BLOB_FAULT_REMOVE,
    BLOB_FAULT_EACH,
    BLOB_FAULT_SWEEP,
};

struct blob_fault {
    enum blob_fault_slot slot;
    unsigned nth;  /* which call of the slot fails, from 1; 0: none */
    bool for_ever; /* all later calls of the slot fail as well */
    enum rc rc;    /* what it fails with */
    /* With COMMIT_UNKNOWN, of write_finish and remove: it is done, and only its success unknown. */
    bool after;
};

/*
 * Wraps `inner`, which belongs to *ret from now on and is freed with it. Its name is "fault", its
 * capabilities are those of `inner` but for presigning. Never fails.
 */
MUST_CHECK enum rc blob_store_open_fault(struct blob_store *inner, const struct blob_fault *plan,
                                         struct blob_store **ret, struct err *err);

/* Gives a store made above another plan, and counts anew. A broken store stays broken. */
void blob_fault_arm(struct blob_store *store, const struct blob_fault *plan);

/* Calls of the planned slot since it was armed. */
unsigned blob_fault_calls(struct blob_store *store);

/* How many of them failed on cue. */
unsigned blob_fault_hits(struct blob_store *store);

#endif
