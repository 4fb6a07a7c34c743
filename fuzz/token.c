// SPDX-License-Identifier: Apache-2.0
/*
 * The input is a token, a name, and a change: one byte for what, two for where, one for with what.
 * No text but one that we made is accepted, for its own verb, until it expires.
 */
#include "core/path.h"
#include "core/signing.h"
#include "fuzz.h"

#define NOW 1767225600000
#define HEAD 4 /* bytes that describe the change */

static const struct secret secret = {.upload_url = {1, 2, 3}, .download_url = {4, 5, 6}};

static bool
reads_upload(TALLOC_CTX *pool, const char *text, int64_t now, struct upload_token *t)
{
    struct err err;
    enum rc rc = signing_read_upload(pool, &secret, text, now, t, &err);

    BUG_ON(rc && rc != RC_BAD_SIGNATURE);
    return !rc;
}

static bool
reads_download(TALLOC_CTX *pool, const char *text, int64_t now, struct download_token *t)
{
    struct err err;
    enum rc rc = signing_read_download(pool, &secret, text, now, t, &err);

    BUG_ON(rc && rc != RC_BAD_SIGNATURE);
    return !rc;
}

/* `text` with one character replaced, put in or taken out, or cut short. */
static char *
change(TALLOC_CTX *pool, const char *text, const uint8_t head[HEAD])
{
    size_t len = strlen(text), at = (size_t)(head[1] << 8 | head[2]) % len;
    int c = head[3] ? head[3] : 'A';

    switch (head[0] % 4) {
    case 0:
        return mem_printf(pool, "%.*s%c%s", (int)at, text, c, text + at + 1);
    case 1:
        return mem_printf(pool, "%.*s%c%s", (int)at, text, c, text + at);
    case 2:
        return mem_printf(pool, "%.*s%s", (int)at, text, text + at + 1);
    default:
        return mem_strndup(pool, text, at);
    }
}

static void
check_upload(TALLOC_CTX *pool, const char *name, const uint8_t head[HEAD])
{
    struct upload_token t = {.workspace = 7,
                             .expires_ms = NOW + 1,
                             .size_bytes = head[3],
                             .has_sha256 = head[0] & 4,
                             .mime_type = head[0] & 8 ? "text/plain; charset=utf-8" : NULL,
                             .storage_path = name};
    const char *made = signing_upload(pool, &secret, &t);
    const char *other = change(pool, made, head);
    struct upload_token back;
    struct download_token wrong;

    BUG_ON(!reads_upload(pool, made, NOW, &back) || !streq(back.storage_path, name));
    BUG_ON(back.workspace != 7 || back.size_bytes != head[3] || back.has_sha256 != t.has_sha256);
    BUG_ON(!back.mime_type != !t.mime_type || (t.mime_type && !streq(back.mime_type, t.mime_type)));
    BUG_ON(reads_upload(pool, made, NOW + 1, &back) || reads_download(pool, made, NOW, &wrong));
    BUG_ON(reads_upload(pool, other, NOW, &back) != streq(made, other));
}

static void
check_download(TALLOC_CTX *pool, const uint8_t head[HEAD])
{
    struct download_token t = {.workspace = 7, .expires_ms = NOW + 1}, back;
    struct upload_token wrong;
    const char *made, *other;

    memcpy(t.document_id.b, head, HEAD);
    made = signing_download(pool, &secret, &t);
    other = change(pool, made, head);
    BUG_ON(!reads_download(pool, made, NOW, &back) || back.workspace != 7);
    BUG_ON(!id_equal(&back.document_id, &t.document_id));
    BUG_ON(reads_download(pool, made, NOW + 1, &back) || reads_upload(pool, made, NOW, &wrong));
    BUG_ON(reads_download(pool, other, NOW, &back) != streq(made, other));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED_POOL(pool);
    struct download_token down;
    struct upload_token up;
    const char *text, *why;

    if (size < HEAD)
        return 0;
    text = fuzz_text(pool, data + HEAD, size - HEAD);
    BUG_ON(reads_upload(pool, text, NOW, &up) || reads_download(pool, text, NOW, &down));
    check_upload(pool, path_storage_valid(text, &why) ? text : "a/b.pdf", data);
    check_download(pool, data);
    return 0;
}
