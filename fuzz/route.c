// SPDX-License-Identifier: Apache-2.0
/*
 * "METHOD path". The row found has the form of the path and the method; arguments are whole, so
 * hold no NUL; an id in one of them reads the same in each of its spellings.
 */
#include "fuzz.h"
#include "http/route.h"

static size_t
count(const char *s, size_t len, char c)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += s[i] == c;
    return n;
}

static void
check_id(const char *text)
{
    for (enum id_kind kind = ID_DOCUMENT; kind <= ID_UPLOAD; kind++) {
        struct id id, back;

        if (!id_parse(text, kind, &id))
            continue;
        for (enum id_spelling how = ID_RECORDS; how <= ID_BASE36; how++) {
            char out[ID_TEXT_LEN];

            id_format(&id, kind, how, out);
            BUG_ON(!id_parse(out, kind, &back) || !id_equal(&id, &back));
        }
    }
}

/* Walks row and path side by side, from the first segment that is no prefix of the path. */
static void
check_args(const struct route_match *m, const char *path)
{
    const char *row = m->route->path;
    size_t more = count(path, strlen(path), '/') - count(row, strlen(row), '/');
    size_t n = 0;

    BUG_ON(more != 0 && more != 3); /* 3: the alias of the root */
    for (; more > 0; more--)
        path = strchr(path + 1, '/');
    while (*row) {
        size_t want = strcspn(++row, "/"), have = strcspn(++path, "/");

        if (*row == '{') {
            const char *arg = m->args[n++];

            BUG_ON(!arg || have == 0);
            BUG_ON(*arg && strlen(arg) != have - 2 * count(path, have, '%'));
            check_id(arg);
        } else {
            BUG_ON(want != have || memcmp(row, path, want) != 0);
        }
        row += want;
        path += have;
    }
    BUG_ON(*path || (n < ROUTE_ARGS_MAX && m->args[n]));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED_POOL(pool);
    char *text = fuzz_text(pool, data, size), *path = strchr(text, ' ');
    enum http_method method;
    struct route_match m;
    const char *allow;

    if (!path)
        return 0;
    *path++ = '\0';
    method = http_method_parse(text);
    BUG_ON(method && !streq(http_method_name(method), text));
    /* without the NUL behind it: the path ends where its length says */
    route_find(pool, method, mem_dup(pool, path, strlen(path)), strlen(path), &m);
    allow = route_allow(pool, m.methods);
    if (!m.route) {
        BUG_ON(m.args[0] || m.methods & (method == HTTP_HEAD ? HTTP_GET : method));
        return 0;
    }
    BUG_ON(m.route->method != (method == HTTP_HEAD ? HTTP_GET : method));
    BUG_ON(!(m.methods & m.route->method) || !strstr(allow, text));
    check_args(&m, path);
    return 0;
}
