// SPDX-License-Identifier: Apache-2.0
#include "store/folder.h"

static const struct sql exists = SQL("SELECT 1 FROM folder WHERE workspace_id = $1 AND path = $2");
static const struct sql insert =
    SQL("INSERT INTO folder (workspace_id, path, id) VALUES ($1, $2, $3)"
        " ON CONFLICT (workspace_id, path) DO NOTHING");

enum rc
folder_ask(struct tx *tx, int64_t workspace, const char *path, struct db_cursor **ret,
           struct err *err)
{
    return db_query(tx->conn, &exists, DB_ARGS(db_int(workspace), db_text(path)), ret, err);
}

/* A folder stands only where those above it do, so the first that is there ends the climb. */
enum rc
folder_ensure(struct tx *tx, int64_t workspace, const char *path, struct db_cursor **asked,
              struct err *err)
{
    char *at = mem_strdup(tx->pool, path), *slash;

    while (*at) {
        struct id id;
        enum rc rc = *asked ? RC_OK : folder_ask(tx, workspace, at, asked, err);

        if (!rc)
            rc = db_first(*asked, err);
        db_cursor_free(asked);
        if (rc != RC_NOT_FOUND)
            return rc;
        id = id_new();
        rc = db_exec_later(tx->conn, &insert, DB_ARGS(db_int(workspace), db_text(at), db_id(&id)),
                           err);
        if (rc)
            return rc;
        slash = strrchr(at, '/');
        *slash = '\0';
    }
    return RC_OK;
}
