// SPDX-License-Identifier: Apache-2.0
/* identity: the object that says who the store is: 32 lower-case hexadecimal digits. */
#include "blob/s3/s3.h"

#define DIGITS (2 * BLOB_IDENTITY_LEN)

enum rc
s3_identity(struct blob_store *base, uint8_t ret[BLOB_IDENTITY_LEN], struct err *err)
{
    struct s3_store *st = (struct s3_store *)base;
    struct s3_call c = s3_call_to(st, "GET", IDENTITY_KEY, s3_deadline(&st->client));
    char text[DIGITS + 1] = "";
    enum rc rc;

    c.into = text;
    c.room = DIGITS;
    c.absent_is_loss = true;
    rc = s3_call_run(&c, err);
    if (rc)
        return rc;
    if (c.answer.status == 404)
        return err_set(err, RC_NOT_FOUND, "no " IDENTITY_KEY);
    if (c.answer.status != 200 || c.answer.len != DIGITS || !name_hex(text, ret, BLOB_IDENTITY_LEN))
        return err_set(err, RC_IO, IDENTITY_KEY " in the bucket holds something else");
    return RC_OK;
}

/* Whoever comes first: CONFLICT is fine. */
enum rc
s3_identify(struct blob_store *base, const uint8_t identity[BLOB_IDENTITY_LEN], struct err *err)
{
    struct s3_store *st = (struct s3_store *)base;
    char text[DIGITS + 1];
    struct http_body body = {.bytes = text, .len = DIGITS};
    struct s3_target target;
    enum rc rc;

    crypto_hex(identity, BLOB_IDENTITY_LEN, text);
    s3_target_init(&target, st, IDENTITY_KEY);
    rc = s3_put(&target, &body, NULL, s3_deadline(&st->client), err);
    return rc == RC_CONFLICT ? RC_OK : rc;
}
