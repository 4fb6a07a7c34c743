// SPDX-License-Identifier: Apache-2.0
#include "store/secret_check.h"

#define LABEL "dossier secret check 1"

static const struct sql read_mac = SQL("SELECT mac FROM secret_check WHERE only_row = 1");
static const struct sql write_mac = SQL("INSERT INTO secret_check (only_row, mac) VALUES (1, $1)");

void
secret_check_mac(const uint8_t audit_key[SHA256_LEN], uint8_t out[SHA256_LEN])
{
    crypto_hmac(audit_key, LABEL, strlen(LABEL), out);
}

enum rc
secret_check_note(struct tx *tx, struct err *err)
{
    uint8_t mac[SHA256_LEN];

    secret_check_mac(tx->audit_key, mac);
    return db_exec(tx->conn, &write_mac, DB_ARGS(db_blob(mac, sizeof(mac))), NULL, err);
}

enum rc
secret_check(struct tx *tx, struct err *err)
{
    SCOPED(db_cursor) c = NULL;
    uint8_t mac[SHA256_LEN];
    const void *stored;
    size_t len = 0;
    enum rc rc = db_query_one(tx->conn, &read_mac, DB_NO_ARGS, &c, err);

    if (rc)
        return rc;
    secret_check_mac(tx->audit_key, mac);
    stored = db_col_blob(c, 0, &len);
    if (len != sizeof(mac) || !crypto_equal(stored, mac, sizeof(mac)))
        return err_set(err, RC_INVALID,
                       "secret.key is not the one this database was made with; restore it from the "
                       "same backup, or copy it from another node");
    return RC_OK;
}
