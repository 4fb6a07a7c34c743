// SPDX-License-Identifier: Apache-2.0
#include "http/multipart.h"

#include "http/multipart_head.h"

#define DELIMITER_MAX (4 + MULTIPART_BOUNDARY_MAX) /* CR LF "--" boundary */

enum state {
    PREAMBLE,
    DELIMITED, /* behind a delimiter, on its line */
    PADDING,   /* white space there */
    LINE_END,  /* its CR was seen */
    HEAD,
    BODY,
    DASH, /* one '-' behind a delimiter */
    CLOSED,
    CLOSED_CR,
    EPILOGUE,
};

/* How the line of a delimiter goes on. Any other byte is a failure. */
static const struct step {
    enum state from;
    char byte;
    enum state to;
} steps[] = {
    {DELIMITED, ' ', PADDING},   {DELIMITED, '\t', PADDING}, {DELIMITED, '\r', LINE_END},
    {DELIMITED, '-', DASH},      {PADDING, ' ', PADDING},    {PADDING, '\t', PADDING},
    {PADDING, '\r', LINE_END},   {LINE_END, '\n', HEAD},     {DASH, '-', CLOSED},
    {CLOSED, ' ', CLOSED},       {CLOSED, '\t', CLOSED},     {CLOSED, '\r', CLOSED_CR},
    {CLOSED_CR, '\n', EPILOGUE},
};

struct multipart {
    TALLOC_CTX *part_pool; /* texts of the current part */
    const struct multipart_events *ev;
    void *arg;
    struct multipart_limits lim;
    struct err failed; /* code RC_OK: not failed */
    enum state state;
    size_t parts;
    size_t skipped; /* bytes of preamble, padding or epilogue since the last delimiter */

    char delimiter[DELIMITER_MAX + 1];
    size_t delimiter_len;
    size_t matched; /* bytes of the delimiter seen last; held back from the events */
    size_t ghost;   /* how many of those are no content: the line end in front of the content */

    char head[MULTIPART_HEAD_MAX + 1];
    size_t head_len;
    size_t head_seen; /* head_len and what unfolding dropped */
};

static enum rc
fail(struct err *err, const char *why)
{
    return err_set(err, RC_MALFORMED, "multipart: %s", why);
}

/*
 * The content begins behind a line end that may be the one of a delimiter, when the content is
 * empty. So two bytes of the delimiter are taken as seen.
 */
static void
begin_content(struct multipart *m, enum state state)
{
    m->state = state;
    m->matched = 2;
    m->ghost = 2;
}

enum rc
multipart_new(TALLOC_CTX *pool, const char *content_type, const struct multipart_limits *lim,
              const struct multipart_events *ev, void *arg, struct multipart **ret, struct err *err)
{
    char boundary[MULTIPART_BOUNDARY_MAX + 1];
    struct multipart *m;
    const char *why;
    int len;

    if (!multipart_boundary(content_type, boundary, &why))
        return fail(err, why);
    m = MEM_NEW(pool, struct multipart);
    m->part_pool = base_pool_new(m);
    m->ev = ev;
    m->arg = arg;
    m->lim = *lim;
    len = snprintf(m->delimiter, sizeof(m->delimiter), "\r\n--%s", boundary);
    BUG_ON(len < 0 || (size_t)len >= sizeof(m->delimiter));
    m->delimiter_len = (size_t)len;
    begin_content(m, PREAMBLE);
    *ret = m;
    return RC_OK;
}

static enum rc
skip(struct multipart *m, size_t len, struct err *err)
{
    if (len > MULTIPART_SKIP_MAX - m->skipped)
        return fail(err, "too much outside of the parts");
    m->skipped += len;
    return RC_OK;
}

/* Bytes that are no delimiter: content of a part, or preamble. */
static enum rc
content(struct multipart *m, const char *bytes, size_t len, struct err *err)
{
    if (len == 0)
        return RC_OK;
    if (m->state == PREAMBLE)
        return skip(m, len, err);
    return m->ev->part_data(m->arg, bytes, len, err);
}

static enum rc
delimiter_seen(struct multipart *m, struct err *err)
{
    enum state was = m->state;

    m->state = DELIMITED;
    m->matched = 0;
    m->ghost = 0;
    m->skipped = 0;
    return was == BODY ? m->ev->part_end(m->arg, err) : RC_OK;
}

/* Goes on with a delimiter that the last piece left half seen. */
static enum rc
resume_match(struct multipart *m, const char *bytes, size_t len, size_t *ret_used, struct err *err)
{
    size_t used = 0;
    size_t held;

    while (used < len && m->matched < m->delimiter_len && bytes[used] == m->delimiter[m->matched]) {
        used++;
        m->matched++;
    }
    *ret_used = used;
    if (m->matched == m->delimiter_len)
        return delimiter_seen(m, err);
    if (used == len)
        return RC_OK;
    /* It was none. No second look at the held bytes: a CR stands at the start only (RFC 2046). */
    held = m->matched - m->ghost;
    m->matched = 0;
    used = m->ghost;
    m->ghost = 0;
    return content(m, m->delimiter + used, held, err);
}

static enum rc
take_content(struct multipart *m, const char *bytes, size_t len, size_t *ret_used, struct err *err)
{
    const char *cr = bytes;
    const char *end = bytes + len;
    enum rc rc;

    if (m->matched)
        return resume_match(m, bytes, len, ret_used, err);
    for (; (cr = memchr(cr, '\r', (size_t)(end - cr))); cr++) {
        bool cut = (size_t)(end - cr) < m->delimiter_len;

        if (!cut && memcmp(cr, m->delimiter, m->delimiter_len) != 0)
            continue;
        *ret_used = (size_t)(cr - bytes) + (cut ? 1 : m->delimiter_len);
        rc = content(m, bytes, (size_t)(cr - bytes), err);
        if (rc)
            return rc;
        m->matched = 1;
        return cut ? RC_OK : delimiter_seen(m, err);
    }
    *ret_used = len;
    return content(m, bytes, len, err);
}

static enum rc
head_done(struct multipart *m, struct err *err)
{
    struct multipart_part part;
    const char *why;

    if (++m->parts > m->lim.parts)
        return err_set(err, RC_TOO_LARGE, "multipart: more than %zu parts", m->lim.parts);
    talloc_free_children(m->part_pool);
    m->head[m->head_len] = '\0';
    if (!multipart_head(m->part_pool, m->head, &part, &why))
        return fail(err, why);
    begin_content(m, BODY);
    return m->ev->part_begin(m->arg, &part, err);
}

static bool
head_ends_with(const struct multipart *m, const char *end)
{
    size_t len = strlen(end);

    return m->head_len >= len && memcmp(m->head + m->head_len - len, end, len) == 0;
}

static bool
head_byte_valid(const struct multipart *m, char c)
{
    bool after_cr = head_ends_with(m, "\r");

    if (c == '\n' || after_cr)
        return c == '\n' && after_cr;
    return (unsigned char)c >= 0x20 ? c != 0x7f : c == '\t' || c == '\r';
}

static enum rc
head_byte(struct multipart *m, char c, struct err *err)
{
    if (++m->head_seen > MULTIPART_HEAD_MAX)
        return fail(err, "the header block of a part is too long");
    if (!head_byte_valid(m, c))
        return fail(err, "a header block has a bare line end or a control byte");
    /* A folded line (RFC 5322 §2.2.3) becomes one; Python's email package writes them. */
    if ((c == ' ' || c == '\t') && head_ends_with(m, "\r\n"))
        m->head_len -= 2;
    m->head[m->head_len++] = c;
    if (head_ends_with(m, "\r\n\r\n") || (m->head_len == 2 && head_ends_with(m, "\r\n")))
        return head_done(m, err);
    return RC_OK;
}

/* A byte on the line of a delimiter. */
static enum rc
line_byte(struct multipart *m, char c, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (steps[i].from != m->state || steps[i].byte != c)
            continue;
        m->state = steps[i].to;
        m->head_len = 0;
        m->head_seen = 0;
        if (m->state == EPILOGUE) {
            m->skipped = 0;
            return RC_OK;
        }
        return skip(m, 1, err);
    }
    return fail(err, "a delimiter's line goes on with something else");
}

static enum rc
take(struct multipart *m, const char *bytes, size_t len, size_t *ret_used, struct err *err)
{
    switch (m->state) {
    case PREAMBLE:
    case BODY:
        return take_content(m, bytes, len, ret_used, err);
    case EPILOGUE:
        *ret_used = len;
        return skip(m, len, err);
    case HEAD:
        *ret_used = 1;
        return head_byte(m, *bytes, err);
    default:
        *ret_used = 1;
        return line_byte(m, *bytes, err);
    }
}

enum rc
multipart_feed(struct multipart *m, const char *bytes, size_t len, struct err *err)
{
    while (len > 0 && !m->failed.code) {
        size_t used = 0;
        enum rc rc = take(m, bytes, len, &used, &m->failed);

        /* An event may fail without filling in why. */
        m->failed.code = rc;
        bytes += used;
        len -= used;
    }
    if (m->failed.code)
        *err = m->failed;
    return m->failed.code;
}

enum rc
multipart_end(struct multipart *m, struct err *err)
{
    if (!m->failed.code && m->state != CLOSED && m->state != EPILOGUE)
        (void)fail(&m->failed, "the closing delimiter is missing");
    if (m->failed.code)
        *err = m->failed;
    return m->failed.code;
}
