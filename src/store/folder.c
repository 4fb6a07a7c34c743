// SPDX-License-Identifier: Apache-2.0
#include "store/folder.h"

static const struct sql exists = SQL("SELECT 1 FROM folder WHERE workspace_id = $1 AND path = $2");
static const struct sql insert =
    SQL("INSERT INTO folder (workspace_id, path, id) VALUES ($1, $2, $3)"
        " ON CONFLICT (workspace_id, path) DO NOTHING");

/* A folder stands only where those above it do, so the first that is there ends the climb. */
enum rc
folder_ensure(struct tx *tx, int64_t workspace, const char *path, struct err *err)
{
    char *at = mem_strdup(tx->pool, path), *slash;

    while (*at) {
        SCOPED(db_cursor) c = NULL;
        struct id id;
        enum rc rc =
            db_query_one(tx->conn, &exists, DB_ARGS(db_int(workspace), db_text(at)), &c, err);

        if (rc != RC_NOT_FOUND)
            return rc;
        id = id_new();
        rc = db_exec(tx->conn, &insert, DB_ARGS(db_int(workspace), db_text(at), db_id(&id)), NULL,
                     err);
        if (rc)
            return rc;
        slash = strrchr(at, '/');
        *slash = '\0';
    }
    return RC_OK;
}
