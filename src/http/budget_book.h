// SPDX-License-Identifier: Apache-2.0
/*
 * budget_book: the subjects that this node has counted for lately. Private to budget.c, which
 * decides what is counted.
 *
 *  I1  A subject is forgotten only when the database, and the shared counters, know all of it.
 *
 * Threads: any; an entry belongs to its caller from enter() or seek() until leave().
 */
#ifndef HTTP_BUDGET_BOOK_H
#define HTTP_BUDGET_BOOK_H
#include "core/caller.h"
#include "engine/engine.h"
#include "store/budget.h"

struct budget_book;

struct budget_minute {
    int64_t start_ms; /* monotonic */
    int64_t used;
    int64_t own;       /* by this node */
    int64_t shared_ms; /* when it began for the shared counters; 0: it is this node's own */
};

/* What the shared counters have of this node, or lack. */
struct budget_shared {
    uint64_t name;   /* they know us by */
    int64_t born_ms; /* the counter of the day that we have drawn on; 0: none yet */
    int64_t total;   /* granted under this name on this day, by them or by us */
    int64_t alone;   /* of these by us, while they were away */
    int64_t told;    /* of these they know */
};

struct budget_entry {
    struct budget day; /* `used`: this UTC day, on all nodes as far as they are known */
    int64_t own;       /* what this node has counted of it, since it knows the subject */
    int64_t saved;     /* what of that is in the database */
    struct budget_minute minute;
    struct budget_shared shared;
    struct budget_entry *next_; /* private */
};

/* What the database does not know yet. */
static inline int64_t
budget_unsaved(const struct budget_entry *e)
{
    return e->own - e->saved;
}

/* What the shared counters do not know yet. */
static inline int64_t
budget_untold(const struct budget_entry *e)
{
    return e->shared.alone - e->shared.told;
}

/* Makes the shared counters take us for somebody new from now on. */
void budget_rename(struct budget_entry *e);

struct budget_book *budget_book_new(struct engine *engine);
void budget_book_free(struct budget_book **book);

/*
 * What the database knows of a subject; all 0 when nothing. BUSY, unless it may wait for the
 * database.
 */
MUST_CHECK enum rc budget_book_read(struct budget_book *book, int64_t workspace,
                                    const struct id *subject, bool may_wait, struct budget *ret,
                                    struct err *err);

/* The entry of the caller's subject, on first sight with what the database knows. BUSY as above. */
MUST_CHECK enum rc budget_book_enter(struct budget_book *book, const struct caller *caller,
                                     bool may_wait, struct budget_entry **ret, struct err *err);
/* The same for one that may have been forgotten: NULL, and nothing to leave. */
struct budget_entry *budget_book_seek(struct budget_book *book, const struct id *subject);
void budget_book_leave(struct budget_book *book, const struct id *subject);

/* Calls `visit` for each subject, which belongs to it meanwhile. */
void budget_book_each(struct budget_book *book,
                      void (*visit)(const struct budget_entry *e, void *arg), void *arg);

#endif
