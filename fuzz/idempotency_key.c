// SPDX-License-Identifier: Apache-2.0
/*
 * The first byte picks the dialect, the kind of route and whether it looks for keys; the rest is
 * the header. A key is 1 to 255 visible characters, the same with quotes around it and without.
 */
#include "fuzz.h"
#include "http/replay.h"

static enum rc
start(struct replay *r, TALLOC_CTX *pool, const struct route *route, const char *text)
{
    const char *name = route->dialect->idempotency_header;
    const struct http_header header = {.name = name,
                                       .name_len = strlen(name),
                                       .value = text ? text : "",
                                       .value_len = text ? strlen(text) : 0};
    const struct wire wire = {.headers = &header, .n_headers = text != NULL};
    const struct request rq = {.pool = pool, .route = route, .wire = &wire};
    struct err err;

    return replay_start(r, &rq, &err);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct dialect *const dialects[] = {&dialect_records, &dialect_upload,
                                                     &dialect_docs};
    static const enum run runs[] = {RUN_WRITE, RUN_STREAM, RUN_READ};
    SCOPED_POOL(pool);
    struct route route = {.op = "fuzz"};
    struct replay r, quoted;
    const char *text;
    size_t len;
    enum rc rc;

    if (size == 0)
        return 0;
    route.dialect = dialects[data[0] % 3];
    route.run = runs[data[0] / 3 % 3];
    route.no_idempotency = data[0] & 0x80;
    text = fuzz_text(pool, data + 1, size - 1);
    rc = start(&r, pool, &route, NULL);
    BUG_ON(r.on || (rc && (rc != RC_MISSING || !route.dialect->idempotency_required)));
    rc = start(&r, pool, &route, text);
    if (route.no_idempotency || route.run == RUN_READ) {
        BUG_ON(rc || r.on);
        return 0;
    }
    if (rc) {
        BUG_ON(rc != RC_INVALID || r.on);
        return 0;
    }
    len = strlen(r.key);
    BUG_ON(!r.on || r.replayed || len < 1 || len > 255 || !strstr(text, r.key));
    for (const char *p = r.key; *p; p++)
        BUG_ON(*p <= ' ' || *p > '~');
    BUG_ON(start(&quoted, pool, &route, mem_printf(pool, "\"%s\"", r.key)));
    BUG_ON(!streq(quoted.key, r.key));
    return 0;
}
