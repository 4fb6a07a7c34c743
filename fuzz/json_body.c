// SPDX-License-Identifier: Apache-2.0
/*
 * The first byte picks the table, the rest is the body. What was read keeps to its table; what
 * was parsed is the same when it is written and parsed again.
 */
#include "api/api.h"
#include "fields.h"

static void
check_again(TALLOC_CTX *pool, const json_t *body)
{
    json_auto_t *again = NULL;
    struct err err;
    size_t len;
    const char *text = js_write(pool, body, &len);

    BUG_ON(js_read(text, len, &again, &err) || !json_equal(body, again));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct {
        const struct field *fields;
        size_t size;
    } tables[] = {{document_create_body, document_create_body_size},
                  {entity_batch_body, entity_batch_body_size},
                  {api_key_body, api_key_body_size},
                  {docs_body, docs_body_size}};
    SCOPED_POOL(pool);
    struct faults faults = {.pool = pool};
    json_auto_t *body = NULL;
    struct err err;
    size_t which;
    void *in;

    if (size == 0)
        return 0;
    which = data[0] % ARRAY_LEN(tables);
    if (js_read((const char *)data + 1, size - 1, &body, &err)) {
        BUG_ON(body);
        return 0;
    }
    check_again(pool, body);
    in = mem_zalloc(pool, tables[which].size);
    field_read_body(tables[which].fields, body, in, &faults);
    BUG_ON(!json_is_object(body) && !faults.fields);
    fields_check_read(tables[which].fields, in, &faults);
    return 0;
}
