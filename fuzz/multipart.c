// SPDX-License-Identifier: Apache-2.0
/*
 * First line of the input: the Content-Type; the rest: the body. It is parsed whole, in single
 * bytes and in pieces of sizes drawn from the input; verdicts and events must be the same (I1).
 */
#include "base/buf.h"
#include "base/text.h"
#include "fuzz.h"
#include "http/multipart.h"

#define LOG_MAX ((size_t)MIB(16))

struct heard {
    struct buf log;
    bool open;
};

static void
note(struct heard *h, const char *text)
{
    BUG_ON(!buf_append(&h->log, text, strlen(text) + 1));
}

static void
check_text(const char *s)
{
    size_t chars;

    BUG_ON(!text_check(s, strlen(s), TEXT_BIDI, &chars));
}

static enum rc
on_begin(void *arg, const struct multipart_part *part, struct err *err UNUSED)
{
    struct heard *h = arg;

    BUG_ON(h->open);
    h->open = true;
    check_text(part->name);
    note(h, part->name);
    if (part->filename) {
        check_text(part->filename);
        note(h, part->filename);
    }
    note(h, part->content_type ? part->content_type : "-");
    return RC_OK;
}

static enum rc
on_data(void *arg, const char *bytes, size_t len, struct err *err UNUSED)
{
    struct heard *h = arg;

    BUG_ON(!h->open || len == 0);
    BUG_ON(!buf_append(&h->log, bytes, len));
    return RC_OK;
}

static enum rc
on_end(void *arg, struct err *err UNUSED)
{
    struct heard *h = arg;

    BUG_ON(!h->open);
    h->open = false;
    note(h, ";");
    return RC_OK;
}

static const struct multipart_events events = {
    .part_begin = on_begin, .part_data = on_data, .part_end = on_end};
static const struct multipart_limits limits = {.parts = 8};

/* Pieces of `step` bytes; 0: sizes that the bytes of the body give. */
static enum rc
parse(TALLOC_CTX *pool, struct heard *h, const char *type, const char *body, size_t len,
      size_t step)
{
    struct multipart *m;
    struct err err;
    enum rc rc;

    *h = (struct heard){0};
    buf_init(&h->log, pool, LOG_MAX);
    rc = multipart_new(pool, type, &limits, &events, h, &m, &err);
    while (!rc && len > 0) {
        size_t n = step ? step : (size_t)(*body & 0x1f) + 1;

        if (n > len)
            n = len;
        rc = multipart_feed(m, body, n, &err);
        body += n;
        len -= n;
    }
    return rc ? rc : multipart_end(m, &err);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED_POOL(pool);
    const uint8_t *eol = size ? memchr(data, '\n', size) : NULL;
    const size_t steps[] = {1, 0};
    struct heard whole, pieces;
    const char *body;
    char *type;
    size_t len;
    enum rc rc;

    if (!eol)
        return 0;
    type = fuzz_text(pool, data, (size_t)(eol - data));
    body = (const char *)eol + 1;
    len = size - (size_t)(body - (const char *)data);
    rc = parse(pool, &whole, type, body, len, len ? len : 1);
    BUG_ON(!rc && whole.open);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        BUG_ON(parse(pool, &pieces, type, body, len, steps[i]) != rc);
        BUG_ON(pieces.log.len != whole.log.len || pieces.open != whole.open);
        BUG_ON(whole.log.len && memcmp(pieces.log.bytes, whole.log.bytes, whole.log.len) != 0);
    }
    return 0;
}
