// SPDX-License-Identifier: Apache-2.0
#include "cmd/belong.h"

#include "base/clock.h"
#include "store/blob_home.h"

static enum rc
read_home(struct tx *tx, struct blob_home *ret, struct err *err)
{
    enum rc rc = db_begin_read(tx->conn, err);

    ret->settled = false;
    if (rc)
        return rc;
    rc = blob_home_read(tx, ret, err);
    db_rollback(tx->conn);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

enum rc
belong_known(struct db_conn *conn, bool *ret, struct err *err)
{
    SCOPED_POOL(pool);
    struct tx tx = {.conn = conn, .pool = pool};
    struct blob_home home;
    enum rc rc = read_home(&tx, &home, err);

    *ret = !rc && home.settled;
    return rc;
}

static enum rc
intend(struct tx *tx, struct err *err)
{
    const struct id id = id_new();
    enum rc rc = db_begin_write(tx->conn, err);

    if (rc)
        return rc;
    rc = blob_home_note(tx, &id, err);
    if (!rc)
        return db_commit(tx->conn, err);
    db_rollback(tx->conn);
    return rc;
}

static enum rc
compare(struct blob_store *blobs, const struct blob_home *home, struct err *err)
{
    struct id is;
    enum rc rc = blob_store_identity(blobs, is.b, err);

    if (rc && rc != RC_NOT_FOUND)
        return rc;
    if (!rc && id_equal(&is, &home->id))
        return RC_OK;
    if (home->settled)
        return err_set(err, RC_INVALID,
                       "--blobs is not the store that this database's bytes are in; give the one "
                       "that it was made with");
    return err_set(err, RC_INVALID,
                   "--blobs is the store of another database; give that database, or an empty "
                   "store (when there is no such database any more, remove store-id from it)");
}

/* Of several nodes that start at once with stores of their own the first decides: the others wait
 * for it, and then compare. */
static enum rc
settle(struct tx *tx, struct blob_store *blobs, struct err *err)
{
    struct blob_home home;
    enum rc rc = blob_home_lock(tx, &home, err);

    if (!rc && !home.settled)
        rc = blob_store_identify(blobs, home.id.b, err);
    if (!rc)
        rc = compare(blobs, &home, err);
    return rc || home.settled ? rc : blob_home_settle(tx, err);
}

enum rc
belong_together(struct db_conn *conn, struct blob_store *blobs, struct err *err)
{
    SCOPED_POOL(pool);
    struct tx tx = {.conn = conn, .pool = pool, .now_ms = clock_wall_ms()};
    struct blob_home home;
    enum rc rc = read_home(&tx, &home, err);

    if (rc || home.settled)
        return rc ? rc : compare(blobs, &home, err);
    rc = intend(&tx, err);
    if (!rc)
        rc = db_begin_write(conn, err);
    if (rc)
        return rc;
    rc = settle(&tx, blobs, err);
    if (!rc)
        return db_commit(conn, err);
    db_rollback(conn);
    return rc;
}
