// SPDX-License-Identifier: Apache-2.0
/*
 * gather: SQLite's usual VFS (https://www.sqlite.org/c3ref/vfs.html), but for the write-ahead log:
 * what is appended to it is kept until it is synced, and then written in one call instead of two
 * for each page.
 *
 *  I1  xSync writes before it syncs. With synchronous=FULL SQLite shows no frame to other
 *      connections before that, so a file that lacks what is kept is one whose writer has not
 *      committed yet. For connections that write so, or are alone with the file as the target of a
 *      copy is; for none that only reads.
 *  I2  A write that fails is told by the xWrite or xSync that made it necessary: both belong to
 *      transactions that SQLite undoes then. Reads are answered from what is kept.
 *
 * Threads: as the connection that has the file open.
 */
#ifndef DB_SQLITE_GATHER_H
#define DB_SQLITE_GATHER_H

/* Its name for sqlite3_open_v2(); registers it when it is not yet. NULL: there is no VFS at all. */
const char *gather_vfs(void);

#endif
