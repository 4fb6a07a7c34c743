// SPDX-License-Identifier: Apache-2.0
/* The first byte picks the table, the rest is the query. What was read keeps to its table. */
#include "api/api.h"
#include "fields.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct {
        const struct field *fields;
        size_t size;
    } tables[] = {{document_list_query, document_list_query_size}, {audit_query, audit_query_size}};
    SCOPED_POOL(pool);
    struct faults faults = {.pool = pool};
    struct request rq = {.pool = pool};
    size_t most = 1, which;
    struct err err;
    char *text;
    void *in;

    if (size == 0)
        return 0;
    which = data[0] % ARRAY_LEN(tables);
    text = fuzz_text(pool, data + 1, size - 1);
    if (request_read_query(&rq, text, &err)) {
        BUG_ON(!strchr(text, '%'));
        return 0;
    }
    for (const char *p = text; *p; p++)
        most += *p == '&';
    BUG_ON(rq.n_params > most || (*text && strcspn(text, "&") == strlen(text) && !rq.n_params));
    for (size_t i = 0; i < rq.n_params; i++)
        BUG_ON(strlen(rq.params[i].name) + strlen(rq.params[i].value) > strlen(text));
    in = mem_zalloc(pool, tables[which].size);
    field_read_query(tables[which].fields, rq.params, rq.n_params, in, &faults);
    fields_check_read(tables[which].fields, in, &faults);
    return 0;
}
