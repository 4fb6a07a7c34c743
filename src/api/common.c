// SPDX-License-Identifier: Apache-2.0
#include "api/api.h"
#include "base/js.h"

enum rc
api_path_id(const struct request *rq, int arg, enum id_kind kind, struct id *ret, struct err *err)
{
    if (id_parse(rq->args[arg], kind, ret))
        return RC_OK;
    return err_set(err, RC_NOT_FOUND, "not an id");
}

json_t *
api_id(const struct request *rq, const struct id *id, enum id_kind kind)
{
    char text[ID_TEXT_LEN];

    id_format(id, kind, rq->route->dialect->spelling, text);
    return js_text(text);
}

const char *
api_signed_url(const struct request *rq, const char *verb, const char *token)
{
    return mem_printf(rq->pool, "%s/v1/signed/%s/%s", rq->base_url, verb, token);
}
