// SPDX-License-Identifier: Apache-2.0
/* What operators and their tools ask: alive, ready, metrics, the API's own description. */
#include <pthread.h>

#include "api/api.h"
#include "base/js.h"
#include "http/openapi.h"

enum rc
api_healthz(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    json_t *j = json_object();

    (void)rq;
    (void)tx;
    (void)err;
    js_set(j, "status", js_text("alive"));
    reply_json(rp, 200, j);
    return RC_OK;
}

enum rc
api_readyz(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    json_t *j = json_object(), *reasons = json_array();

    (void)tx;
    (void)err;
    if (rq->ready != READY_YES)
        (void)json_array_append_new(reasons,
                                    js_text(rq->ready == READY_STARTING   ? "starting"
                                            : rq->ready == READY_DRAINING ? "draining"
                                                                          : "storage failed"));
    else if (!engine_alive(rq->app->engine))
        (void)json_array_append_new(reasons, js_text("the database has failed"));
    else if (engine_is_away(rq->app->engine))
        (void)json_array_append_new(reasons, js_text("the database cannot be reached"));
    js_set(j, "status", js_text(json_array_size(reasons) ? "not ready" : "ready"));
    reply_json(rp, json_array_size(reasons) ? 503 : 200, j);
    js_set(j, "reasons", reasons);
    return RC_OK;
}

enum rc
api_metrics(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    struct buf b;

    (void)tx;
    (void)err;
    buf_init(&b, rq->pool, (size_t)MIB(1));
    metric_print(&rq->app->metrics, &b);
    reply_text(rp, 200, "text/plain; version=0.0.4; charset=utf-8", b.bytes, b.len);
    return RC_OK;
}

/* It takes milliseconds to make and never changes: made once. */
static struct {
    pthread_once_t once;
    char *text;
    size_t len;
} description = {.once = PTHREAD_ONCE_INIT};

static void
make_description(void)
{
    json_auto_t *document = openapi_document();

    description.text = js_write(NULL, document, &description.len);
}

enum rc
api_openapi(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    (void)rq;
    (void)tx;
    (void)err;
    (void)pthread_once(&description.once, make_description);
    reply_text(rp, 200, "application/json", description.text, description.len);
    return RC_OK;
}
