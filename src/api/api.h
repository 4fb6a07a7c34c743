// SPDX-License-Identifier: Apache-2.0
/*
 * api: the handlers of the routes, one file a resource, and the field tables they are read by.
 *
 * A handler gets a checked struct and answers through `rp`; who may call it and how it runs is
 * said in routes.c.
 */
#ifndef API_API_H
#define API_API_H
#include "http/reply.h"
#include "http/service.h"
#include "store/document.h"

/* route.look_for_bytes */
typedef enum rc look_fn(struct request *rq, struct err *err);

look_fn api_document_create_look, api_document_get_look;
handler_fn api_document_create, api_document_get, api_document_list, api_document_update,
    api_document_delete;
handler_fn api_link_create, api_link_list, api_link_delete;
handler_fn api_reference_put, api_reference_delete, api_reference_list;
handler_fn api_entity_put, api_entity_get, api_entity_delete, api_entity_batch;
/* Documents of an entity; one for each type, as the type stands in the path. */
handler_fn api_contact_documents, api_company_documents, api_deal_documents, api_event_documents,
    api_matter_documents, api_task_documents;
handler_fn api_upload_url_create, api_signed_upload, api_signed_download;
handler_fn api_upload_create;
handler_fn api_docs_create, api_docs_get, api_docs_list, api_docs_update;
handler_fn api_api_key_create, api_api_key_list, api_api_key_revoke;
handler_fn api_audit_list, api_usage_get;
handler_fn api_healthz, api_readyz, api_metrics, api_openapi;

/* The calling key may grant what the body asks for: FORBIDDEN otherwise. */
enum rc api_key_authorise(struct request *rq, struct err *err);

extern const struct stream signed_upload_stream, upload_stream;

/* What the tables of a resource fill; the handlers of its file read them. */
#define API_TABLE(name)                                                                            \
    extern const struct field name[];                                                              \
    extern const size_t name##_size
API_TABLE(document_create_body);
API_TABLE(document_update_body);
API_TABLE(document_get_query);
API_TABLE(document_list_query);
API_TABLE(document_delete_query);
API_TABLE(link_body);
API_TABLE(link_list_query);
API_TABLE(entity_body);
API_TABLE(entity_batch_body);
API_TABLE(entity_documents_query);
API_TABLE(upload_url_body);
API_TABLE(docs_body);
API_TABLE(docs_list_query);
API_TABLE(api_key_body);
API_TABLE(api_key_list_query);
API_TABLE(audit_query);

/* The shapes of answers, for the documentation (shapes.c). */
extern const struct field document_shape[], document_full_shape[], linked_document_shape[],
    link_shape[], reference_shape[], entity_shape[], batch_shape[], upload_url_shape[],
    received_shape[], docs_created_shape[], docs_shape[], api_key_shape[], api_key_made_shape[],
    audit_shape[], usage_shape[], ready_shape[];

/* An id of the request's path; NOT_FOUND when the text is no id of this kind. */
MUST_CHECK enum rc api_path_id(const struct request *rq, int arg, enum id_kind kind, struct id *ret,
                               struct err *err);

/*
 * The one JSON Patch (RFC 6902) that is taken: [{"op":"replace","path":"/status","value":…}].
 * INVALID: another shape; UNPROCESSABLE: a value that is no status. *ret_status is static.
 */
MUST_CHECK enum rc docs_read_patch(const json_t *patch, const char **ret_status, struct err *err);

/* JSON of values that may be absent; each gives a new reference. */
json_t *api_id(const struct request *rq, const struct id *id, enum id_kind kind);

/* The eleven members of a document. */
json_t *api_document_json(const struct request *rq, const struct document *d);

/* "/v1/signed/<verb>/<token>" with the base of this request. */
const char *api_signed_url(const struct request *rq, const char *verb, const char *token);

#endif
