// SPDX-License-Identifier: Apache-2.0
#include "http/openapi.h"

#include "base/js.h"
#include "base/text.h"
#include "http/openapi_answer.h"
#include "http/openapi_schema.h"

#define OCTETS "application/octet-stream"

static const char about[] =
    "Documents with their bytes, links to the records they belong to, and deletion that is"
    " complete.\n\n"
    "The paths under `/v1` are answered under `/functions/v1/api-gateway/v1` as well. `HEAD` works"
    " where `GET` does, and `OPTIONS` answers 204 with `Allow`, without a key.\n\n"
    "Unknown members of a body and unknown query parameters are ignored. Times are RFC 3339 in"
    " UTC.\n\n"
    "Before an operation is known, a request may be refused with 400 (broken framing), 404 (no"
    " such path), 405 (no such method here, with `Allow`), 414, 431, 501 or 505, in the envelope"
    " `RecordsError`. A query with broken escapes is refused with 400 everywhere.";

/* Segments of paths that stand for names; the first row that fits counts. */
static const struct {
    const char *prefix; /* of the path */
    const char *name;
    const char *help;
    const char *example;
} path_args[] = {
    {"/v1/signed/", "token", "The signed part of the URL, as it was given out", NULL},
    {"/v1/docs/", "id", "Id of a Docs object", "03e9x4k1m7q2w8r5t6y0u1i2o3"},
    {"/v1/api-keys/", "id", "Id of an API key", "key_01HY1A2B3C4D5E6F7G8H9J0K1M"},
    {"/v1/documents/", "id", "Id of a document", "doc_01HY1A2B3C4D5E6F7G8H9J0K1M"},
    {"/v1/documents/", "link_id", "Id of a link", "dlnk_01HY1A2B3C4D5E6F7G8H9J0K1M"},
    {"/v1/documents/", "type", "What refers to the document: workflow or template", "workflow"},
    {"/v1/documents/", "ref_id", "Id of what refers to the document", "wf_17"},
    {"/v1/entities/", "type", "contact, company, deal, event, matter or task", "deal"},
    {"/v1/", "id", "Id of the entity in the caller's own system", "deal_01HY1"},
};

static const char *
permission_text(enum permission permission)
{
    return permission ? permission_name((unsigned)__builtin_ctz(permission)) : NULL;
}

/* ---- parameters ---- */

static json_t *
parameter(const char *in, const char *name, bool required, const char *help, json_t *schema)
{
    json_t *p = json_pack("{s:s,s:s,s:b}", "name", name, "in", in, "required", required);

    if (help)
        openapi_set_text(p, "description", help);
    js_set(p, "schema", schema);
    return p;
}

/* Calls `each` with the names in the braces of a path. */
static void
each_path_arg(const char *path, void (*each)(json_t *out, const char *path, const char *name),
              json_t *out)
{
    SCOPED_POOL(pool);

    for (const char *p = strchr(path, '{'); p; p = strchr(p + 1, '{'))
        each(out, path, mem_strndup(pool, p + 1, strcspn(p + 1, "}")));
}

static void
add_path_param(json_t *out, const char *path, const char *name)
{
    json_t *schema = json_pack("{s:s,s:i}", "type", "string", "minLength", 1), *p;

    for (size_t i = 0; i < ARRAY_LEN(path_args); i++) {
        if (strncmp(path, path_args[i].prefix, strlen(path_args[i].prefix)) != 0 ||
            !streq(name, path_args[i].name))
            continue;
        p = parameter("path", name, true, path_args[i].help, schema);
        if (path_args[i].example)
            openapi_set_text(p, "example", path_args[i].example);
        (void)json_array_append_new(out, p);
        return;
    }
    (void)json_array_append_new(out, parameter("path", name, true, NULL, schema));
}

static void
add_path_name(json_t *out, const char *path UNUSED, const char *name)
{
    (void)json_array_append_new(out, js_text(name));
}

static void
add_query_params(json_t *out, const struct route *r)
{
    for (const struct field *fd = r->query; fd && fd->type; fd++) {
        json_t *p = parameter("query", fd->name, fd->flags & FIELD_REQUIRED, fd->help,
                              openapi_param_schema(fd));

        if (fd->type == FIELD_TEXTS) {
            openapi_set_text(p, "style", "form");
            js_set(p, "explode", json_true());
        }
        if (fd->example)
            js_set(p, "example", openapi_field_example(fd));
        (void)json_array_append_new(out, p);
    }
}

static void
add_header_param(json_t *out, const char *name, const char *help, bool required)
{
    (void)json_array_append_new(
        out, parameter("header", name, required, help, json_pack("{s:s}", "type", "string")));
}

static void
add_header_params(json_t *out, const struct route *r)
{
    if (r->dialect->by_entity && r->access == ACCESS_KEY)
        add_header_param(out, "Docs-Entity-ID", "The Docs entity that calls", true);
    if (openapi_takes_key_header(r)) {
        json_t *schema = json_pack("{s:s,s:i,s:i,s:s}", "type", "string", "minLength", 1,
                                   "maxLength", 255, "pattern", "^[!-~]+$");
        const char *help = r->dialect->repeat_conflicts
                               ? "Makes a retry safe: a key that a request has succeeded with is"
                                 " refused with 409 and the id of what was made"
                               : "Makes a retry safe: the same request with the same key, within"
                                 " 24 hours, does the work once and gets the same answer";

        (void)json_array_append_new(out, parameter("header", r->dialect->idempotency_header,
                                                   r->dialect->idempotency_required, help, schema));
    }
    if (!openapi_sends_bytes(r))
        return;
    add_header_param(out, "Range", "One range of bytes (RFC 9110 section 14.2)", false);
    add_header_param(out, "If-None-Match", "304 when the ETag is among these", false);
    add_header_param(out, "If-Range", "The Range counts only while this is the ETag", false);
}

/* ---- bodies ---- */

static json_t *
multipart_schema(void)
{
    return json_pack("{s:s,s:{s:{s:s,s:i,s:s,s:o}},s:[s]}", "type", "object", "properties", "files",
                     "type", "array", "minItems", 1, "description",
                     "The files; the name and the media type of each are those of its part",
                     "items", openapi_binary_schema(), "required", "files");
}

/* RFC 6902, as far as it is taken: the status can be replaced. */
static json_t *
patch_schema(void)
{
    json_t *members =
        json_pack("{s:{s:s},s:{s:s},s:{s:s,s:[s,s,s]}}", "op", "const", "replace", "path", "const",
                  "/status", "value", "type", "string", "enum", "active", "pending", "block");

    return json_pack("{s:s,s:i,s:{s:s,s:o,s:[s,s,s]}}", "type", "array", "minItems", 1, "items",
                     "type", "object", "properties", members, "required", "op", "path", "value");
}

static json_t *
json_content(const struct route *r)
{
    json_t *patch;

    if (r->body)
        return openapi_content("application/json", openapi_body_schema(r->body),
                               openapi_example(r->body));
    if (r->method != HTTP_PATCH)
        return openapi_content("application/json", json_object(), NULL);
    patch = json_pack("[{s:s,s:s,s:s}]", "op", "replace", "path", "/status", "value", "active");
    return openapi_content("application/json-patch+json", patch_schema(), patch);
}

static json_t *
request_body(const struct route *r)
{
    json_t *media;

    if (!r->stream)
        media = json_content(r);
    else if (r->access == ACCESS_KEY)
        media = openapi_content("multipart/form-data", multipart_schema(), NULL);
    else
        media = openapi_content(OCTETS, openapi_binary_schema(), NULL);
    if (r->raw_json && !r->body && r->method == HTTP_PATCH)
        js_set(media, "application/json",
               json_incref(json_object_get(media, "application/json-patch+json")));
    return json_pack("{s:b,s:o}", "required", !r->body_optional, "content", media);
}

/* ---- operations ---- */

static json_t *
one_security(const char *first, const char *second)
{
    json_t *all = json_pack("{s:[]}", first);

    if (second)
        js_set(all, second, json_array());
    return all;
}

/* One of these. A Docs entity may have been registered so that it needs no key beside it. */
static json_t *
security(const struct route *r)
{
    const char *entity = r->dialect->by_entity ? "docsEntity" : NULL;
    json_t *any = json_array();

    if (r->access != ACCESS_KEY)
        return any;
    (void)json_array_append_new(any, one_security("bearerKey", entity));
    (void)json_array_append_new(any, one_security("apiKeyHeader", entity));
    if (entity)
        (void)json_array_append_new(any, one_security(entity, NULL));
    return any;
}

static const char *
needs(TALLOC_CTX *pool, const struct route *r)
{
    if (r->access == ACCESS_SIGNED)
        return "Needs no key: the URL carries all it allows.";
    if (r->access == ACCESS_PUBLIC)
        return "Needs no key.";
    if (!r->elevated.query)
        return mem_printf(pool, "Needs the permission `%s`.", permission_text(r->permission));
    return mem_printf(pool, "Needs the permission `%s`; with `%s=true`, `%s`.",
                      permission_text(r->permission), r->elevated.query,
                      permission_text(r->elevated.permission));
}

static json_t *
operation(const struct route *r, json_t *components)
{
    SCOPED_POOL(pool);
    json_t *op = json_object(), *params = json_array();

    openapi_set_text(op, "operationId", r->op);
    openapi_set_text(op, "summary", r->summary);
    openapi_set_text(op, "description", needs(pool, r));
    js_set(op, "tags", json_pack("[s]", r->tag));
    js_set(op, "security", security(r));
    each_path_arg(r->path, add_path_param, params);
    add_query_params(params, r);
    add_header_params(params, r);
    if (json_array_size(params))
        js_set(op, "parameters", json_incref(params));
    json_decref(params);
    if (r->max_body > 0 || r->stream)
        js_set(op, "requestBody", request_body(r));
    js_set(op, "responses", openapi_responses(r, components));
    return op;
}

static void
add_operation(json_t *paths, const struct route *r, json_t *components)
{
    SCOPED_POOL(pool);
    char *method = mem_strdup(pool, http_method_name(r->method));
    json_t *path = json_object_get(paths, r->path);

    if (!path) {
        path = json_object();
        js_set(paths, r->path, path);
    }
    text_lower(method);
    js_set(path, method, operation(r, components));
}

static json_t *
tags(void)
{
    json_t *seen = json_object(), *list = json_array();

    for (const struct route *r = routes; r->op; r++) {
        if (json_object_get(seen, r->tag))
            continue;
        js_set(seen, r->tag, json_true());
        (void)json_array_append_new(list, json_pack("{s:s}", "name", r->tag));
    }
    json_decref(seen);
    return list;
}

static json_t *
security_schemes(void)
{
    return json_pack(
        "{s:{s:s,s:s,s:s,s:s},s:{s:s,s:s,s:s,s:s},s:{s:s,s:s,s:s,s:s}}", "bearerKey", "type",
        "http", "scheme", "bearer", "bearerFormat", "wbk_…", "description",
        "An API key of a workspace", "apiKeyHeader", "type", "apiKey", "in", "header", "name",
        "X-API-Key", "description", "The same API key, in a header of its own", "docsEntity",
        "type", "apiKey", "in", "header", "name", "Docs-Entity-ID", "description",
        "The Docs entity that calls; alone it is enough only when it was registered so");
}

static json_t *
info(void)
{
    return json_pack("{s:s,s:s,s:s,s:{s:s,s:s}}", "title", "Dossier", "version", DOSSIER_VERSION,
                     "description", about, "license", "name", "Apache-2.0", "identifier",
                     "Apache-2.0");
}

json_t *
openapi_document(void)
{
    json_t *doc = json_object(), *paths = json_object(), *components = json_object();

    js_set(components, "securitySchemes", security_schemes());
    js_set(components, "schemas", json_object());
    js_set(components, "responses", json_object());
    js_set(components, "headers", openapi_headers());
    for (const struct route *r = routes; r->op; r++)
        add_operation(paths, r, components);
    openapi_set_text(doc, "openapi", "3.1.0");
    js_set(doc, "info", info());
    js_set(doc, "servers", json_pack("[{s:s}]", "url", "/"));
    js_set(doc, "tags", tags());
    js_set(doc, "paths", paths);
    js_set(doc, "components", components);
    return doc;
}

/* ---- the flat list ---- */

static const char *
run_text(enum run run)
{
    static const char *const texts[] = {
        [RUN_NONE] = "none",   [RUN_READ] = "read",     [RUN_QUERY] = "query",
        [RUN_WRITE] = "write", [RUN_STREAM] = "stream",
    };

    return texts[run];
}

static const char *
access_text(enum access access)
{
    static const char *const texts[] = {
        [ACCESS_KEY] = "key",
        [ACCESS_SIGNED] = "signed",
        [ACCESS_PUBLIC] = "public",
    };

    return texts[access];
}

static json_t *
elevated(const struct route *r)
{
    if (!r->elevated.query)
        return json_null();
    return json_pack("{s:s,s:s}", "query", r->elevated.query, "permission",
                     permission_text(r->elevated.permission));
}

static json_t *
query_names(const struct route *r)
{
    json_t *list = json_array();

    for (const struct field *fd = r->query; fd && fd->type; fd++)
        (void)json_array_append_new(list, js_text(fd->name));
    return list;
}

static json_t *
statuses(const struct route *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < ARRAY_LEN(r->replies) && r->replies[i].status; i++) {
        if (i == 0 || r->replies[i].status != r->replies[i - 1].status)
            (void)json_array_append_new(list, json_integer(r->replies[i].status));
    }
    return list;
}

static bool
holds(const json_t *list, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (json_equal(json_array_get(list, i), value))
            return true;
    }
    return false;
}

/* Statuses with the code that a client reads; null in a dialect without codes. */
static json_t *
errors(const struct route *r)
{
    struct openapi_errors set = openapi_errors_of(r);
    json_t *list = json_array();

    for (size_t i = 0; i < set.n; i++) {
        const struct rc_info *info_row = rc_info(set.codes[i]);
        json_t *body = r->dialect->error(set.codes[i], info_row->message, NULL);
        const json_t *code = json_object_get(json_object_get(body, "error"), "code");
        json_t *one =
            json_pack("{s:i,s:s?}", "status", info_row->http, "code", json_string_value(code));

        if (!holds(list, one))
            (void)json_array_append(list, one);
        json_decref(one);
        json_decref(body);
    }
    return list;
}

static json_t *
row(const struct route *r)
{
    json_t *out = json_object(), *ids = json_array();

    each_path_arg(r->path, add_path_name, ids);
    openapi_set_text(out, "op", r->op);
    openapi_set_text(out, "method", http_method_name(r->method));
    openapi_set_text(out, "path", r->path);
    openapi_set_text(out, "run", run_text(r->run));
    openapi_set_text(out, "access", access_text(r->access));
    openapi_set_text(out, "permission", permission_text(r->permission));
    js_set(out, "elevated", elevated(r));
    openapi_set_text(out, "dialect", r->dialect->name);
    js_set(out, "idempotency", json_boolean(openapi_takes_key_header(r)));
    js_set(out, "body", json_boolean(r->max_body > 0 || r->stream));
    js_set(out, "query", query_names(r));
    js_set(out, "replies", statuses(r));
    js_set(out, "errors", errors(r));
    js_set(out, "path_ids", ids);
    return out;
}

json_t *
openapi_routes(void)
{
    json_t *list = json_array();

    for (const struct route *r = routes; r->op; r++)
        (void)json_array_append_new(list, row(r));
    return list;
}
