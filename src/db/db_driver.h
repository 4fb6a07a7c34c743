// SPDX-License-Identifier: Apache-2.0
/*
 * db_driver: what an engine provides to db. Only db.c calls these slots; the contracts are those
 * of the functions of the same name in db.h unless said otherwise here.
 */
#ifndef DB_DB_DRIVER_H
#define DB_DB_DRIVER_H
#include "db/db.h"

struct db_driver {
    const char *name; /* as written in --database */

    /* Required, unless said otherwise. */
    void (*free)(struct db *db);
    enum rc (*connect)(struct db *db, enum db_mode mode, struct db_conn **ret, struct err *err);
    enum rc (*backup)(struct db *db, const char *path, struct err *err);
    void (*conn_free)(struct db_conn *conn);
    void (*deadline)(struct db_conn *conn, int64_t mono_ms);
    enum rc (*begin)(struct db_conn *conn, bool write, struct err *err);
    enum rc (*commit)(struct db_conn *conn, struct err *err);
    void (*rollback)(struct db_conn *conn);
    enum rc (*savepoint)(struct db_conn *conn, struct err *err);
    enum rc (*savepoint_release)(struct db_conn *conn, struct err *err);
    void (*savepoint_rollback)(struct db_conn *conn);
    int64_t (*changes)(struct db_conn *conn); /* NULL with DB_MANY_WRITERS */
    enum rc (*script)(struct db_conn *conn, const struct sql *script, struct err *err);
    enum rc (*checkpoint)(struct db_conn *conn, struct err *err);
    /* Exactly one of `sql` (kept prepared) and `built` is given. */
    enum rc (*query)(struct db_conn *conn, const struct sql *sql, const char *built,
                     const struct db_value *values, size_t n, struct db_cursor **ret,
                     struct err *err);
    /* Optional: a statement without rows; its values are not looked at any more after the call. */
    enum rc (*exec)(struct db_conn *conn, const struct sql *sql, const struct db_value *values,
                    size_t n, int64_t *ret_changed, struct err *err);
    const char *(*piece)(struct db_conn *conn, const struct sql *sql);
    enum rc (*next)(struct db_cursor *cursor, bool *ret_row, struct err *err);
    void (*cursor_free)(struct db_cursor *cursor);
    int64_t (*changed)(struct db_conn *conn);
    /* Optional: without it, the statement runs at once. `taken`: see db_insert_later(); RC_OK for
     * db_exec_later(). */
    enum rc (*exec_later)(struct db_conn *conn, const struct sql *sql,
                          const struct db_value *values, size_t n, enum rc taken, struct err *err);
    bool (*col_null)(struct db_cursor *cursor, int col);
    int64_t (*col_int)(struct db_cursor *cursor, int col);
    const char *(*col_text)(struct db_cursor *cursor, int col);
    const void *(*col_blob)(struct db_cursor *cursor, int col, size_t *ret_len);
};

/* Drivers put these first in their own structs. */
struct db {
    const struct db_driver *driver;
    unsigned caps; /* enum db_caps */
};
struct db_conn {
    const struct db_driver *driver;
};
struct db_cursor {
    const struct db_driver *driver;
};

#endif
