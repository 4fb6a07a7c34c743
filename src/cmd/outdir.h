// SPDX-License-Identifier: Apache-2.0
/*
 * outdir: a directory that backup or export fills.
 *
 *  I1  manifest.json is written last: a directory without it is not finished. A mark tells that it
 *      is being filled, so that the next attempt may go on in it.
 *  I2  One process fills it at a time. It is neither the data directory nor in it.
 *
 * Threads: one.
 */
#ifndef CMD_OUTDIR_H
#define CMD_OUTDIR_H
#include "cmd/command.h"

struct outdir {
    TALLOC_CTX *pool;
    const char *dir;
    const char *kind;  /* "backup", for messages */
    const char *mark;  /* the file that tells that it is being filled */
    const char *alien; /* a file that only another kind of directory has */
    int lock;          /* -1: not open */
};

/*
 * Takes a new directory (made with mode 0700), an empty one, or one of this kind, finished or not.
 * `home`: the data directory. The caller ends it with outdir_close() in any case. BUSY: another
 * process fills it; IO; the detail is fit to be shown.
 */
MUST_CHECK enum rc outdir_open(struct outdir *o, const char *home, struct err *err);

/* From here on what an earlier run has finished is not finished any more. */
MUST_CHECK enum rc outdir_retire(const struct outdir *o, struct err *err);

/* All of it is there, and on disk. */
MUST_CHECK enum rc outdir_finish(const struct outdir *o, const json_t *manifest, struct err *err);

void outdir_close(struct outdir *o);

#endif
