// SPDX-License-Identifier: Apache-2.0
/* The input is the body of an answer, read as each kind of answer there is. */
#include "blob/s3/xml.h"
#include "fuzz.h"

static void
check_list(const struct s3_list *list, size_t size, bool uploads)
{
    BUG_ON(list->n > 1000);
    BUG_ON(list->more && !*(uploads ? list->next_key : list->token));
    for (size_t i = 0; i < list->n; i++) {
        const struct s3_entry *e = &list->entries[i];

        BUG_ON(!*e->key || strlen(e->key) > size || e->time_ms < 0);
        BUG_ON(uploads ? !*e->upload_id : e->size < 0);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = size ? (const char *)data : "", *child = NULL;
    SCOPED_POOL(pool);
    struct s3_list list;
    struct s3_error error;

    s3_xml_error(text, size, &error);
    BUG_ON(strlen(error.code) > size || strlen(error.message) > size);
    if (s3_xml_objects(pool, text, size, &list))
        check_list(&list, size, false);
    if (s3_xml_uploads(pool, text, size, &list))
        check_list(&list, size, true);
    if (s3_xml_child(pool, text, size, "CopyObjectResult", "ETag", &child))
        BUG_ON(!child || strlen(child) > size || *error.code);
    return 0;
}
