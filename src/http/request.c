// SPDX-License-Identifier: Apache-2.0
#include "http/request.h"

#include <strings.h>

#include "base/text.h"

const char *
request_header(const struct request *rq, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < rq->wire->n_headers; i++) {
        const struct http_header *h = &rq->wire->headers[i];

        if (h->name_len == len && strncasecmp(h->name, name, len) == 0)
            return h->value;
    }
    return NULL;
}

enum rc
request_read_query(struct request *rq, const char *text, struct err *err)
{
    TALLOC_CTX *pool = rq->pool;
    struct query_param *params;
    size_t max = 1;

    for (const char *p = text; *p; p++)
        max += *p == '&';
    params = MEM_ARRAY(pool, struct query_param, max);
    rq->params = params;
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, "&"), name = strcspn(p, "=&");
        char *key, *value;

        if (len > 0) {
            bool has_value = name < len;

            if (!text_unescape(pool, p, name, true, &key) ||
                !text_unescape(pool, p + name + has_value, len - name - has_value, true, &value))
                return err_set(err, RC_MALFORMED, "broken escape in the query");
            params[rq->n_params++] = (struct query_param){key, value};
        }
        p += len + (p[len] == '&');
    }
    return RC_OK;
}

uint32_t
request_permission(const struct request *rq)
{
    for (size_t i = 0; i < rq->n_params && rq->route->elevated.query; i++) {
        bool yes = false;

        if (streq(rq->params[i].name, rq->route->elevated.query) &&
            text_bool(rq->params[i].value, &yes) && yes)
            return rq->route->elevated.permission;
    }
    return rq->route->permission;
}
