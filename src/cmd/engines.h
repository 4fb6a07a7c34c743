// SPDX-License-Identifier: Apache-2.0
/*
 * engines: which database and which store of bytes --database and --blobs name.
 *
 * The only place that knows their names; all others ask for what they can (db_caps(),
 * blob_store_caps()).
 */
#ifndef CMD_ENGINES_H
#define CMD_ENGINES_H
#include "blob/blob.h"
#include "conf/conf.h"
#include "db/db.h"

/* Whether both options can be understood. INVALID, with a detail fit to be shown. */
MUST_CHECK enum rc engines_check(const struct conf *conf, struct err *err);

/* Whether rows are in a file of the data directory. */
bool engines_embedded(const struct conf *conf);

/* Whether this process has to open connections of its own. */
bool engines_remote(const struct conf *conf);

/*
 * Whether the options that were given name these engines, of the server of `dir`; users, passwords
 * and parameters of URLs are not compared. Else INVALID, with a detail fit to be shown.
 */
MUST_CHECK enum rc engines_agree(const struct conf *conf, const char *database, const char *blobs,
                                 const char *dir, struct err *err);

/* The files that the URLs of both name, such as certificates, in `pool`; at most `max`. */
void engines_files(const struct conf *conf, TALLOC_CTX *pool, const char **ret, size_t max);

/* `path`: the file of an embedded database. No connection is made yet. */
MUST_CHECK enum rc engines_open_database(const struct conf *conf, const char *path, struct db **ret,
                                         struct err *err);

/* `dir`: where files would be; `spool`: a directory for what does not fit into memory. */
MUST_CHECK enum rc engines_open_blobs(const struct conf *conf, const char *dir, const char *spool,
                                      struct blob_store **ret, struct err *err);

#endif
