// SPDX-License-Identifier: Apache-2.0
#include "http/openapi_schema.h"

#include <stdio.h>

#include "base/js.h"

/* The tables of api/shapes.c stand above this layer, as `routes` does. */
extern const struct field document_shape[], document_full_shape[], linked_document_shape[],
    link_shape[], reference_shape[], entity_shape[], batch_shape[], upload_url_shape[],
    received_shape[], docs_created_shape[], docs_shape[], api_key_shape[], api_key_made_shape[],
    audit_shape[], usage_shape[], ready_shape[];

/* Shapes that clients get a type of their own for; others are written out where they stand. */
static const struct {
    const struct field *shape;
    const char *name;
} names[] = {
    {document_shape, "Document"},
    {document_full_shape, "DocumentFull"},
    {linked_document_shape, "LinkedDocument"},
    {link_shape, "Link"},
    {reference_shape, "Reference"},
    {entity_shape, "Entity"},
    {batch_shape, "EntityBatchResult"},
    {upload_url_shape, "UploadUrl"},
    {received_shape, "ReceivedObject"},
    {docs_created_shape, "DocsCreated"},
    {docs_shape, "Docs"},
    {api_key_shape, "ApiKey"},
    {api_key_made_shape, "ApiKeyCreated"},
    {audit_shape, "AuditLog"},
    {usage_shape, "Usage"},
    {ready_shape, "Readiness"},
};

/* What a table describes: something read, or, with the components it may refer to, an answer. */
struct use {
    json_t *schemas; /* NULL: a body or a query */
};

static json_t *object_schema(const struct field *fields, const struct use *use);

void
openapi_set_text(json_t *object, const char *name, const char *text)
{
    js_set(object, name, js_text(text));
}

json_t *
openapi_ref(const char *kind, const char *name)
{
    return json_pack("{s:o}", "$ref", json_sprintf("#/components/%s/%s", kind, name));
}

static json_t *
typed(const char *type)
{
    return json_pack("{s:s}", "type", type);
}

static json_t *
text_schema(const struct field *fd)
{
    json_t *schema = typed("string"), *list;

    if (fd->max && fd->min > 0)
        js_set(schema, "minLength", json_integer(fd->min));
    if (fd->max)
        js_set(schema, "maxLength", json_integer(fd->max));
    if (!fd->choices)
        return schema;
    list = json_array();
    for (size_t i = 0; fd->choices[i]; i++)
        (void)json_array_append_new(list, js_text(fd->choices[i]));
    js_set(schema, "enum", list);
    return schema;
}

static json_t *
int_schema(const struct field *fd, const struct use *use)
{
    json_t *schema = typed("integer");

    openapi_set_text(schema, "format", "int64");
    if (use->schemas && fd->min == 0 && fd->max == 0)
        return schema;
    js_set(schema, "minimum", json_integer(fd->min));
    js_set(schema, "maximum", json_integer(fd->max));
    return schema;
}

static json_t *
time_schema(const struct use *use)
{
    json_t *schema = typed("string");

    if (use->schemas)
        openapi_set_text(schema, "format", "date-time");
    else
        js_set(schema, "anyOf",
               json_pack("[{s:s},{s:s}]", "format", "date-time", "format", "date"));
    return schema;
}

static json_t *
array_schema(const struct field *fd, const struct use *use)
{
    json_t *schema = typed("array");
    bool objects = fd->type == FIELD_OBJECTS;

    js_set(schema, "items", objects ? object_schema(fd->members, use) : text_schema(fd));
    if (!use->schemas && (objects || fd->flags & FIELD_REQUIRED))
        js_set(schema, "minItems", json_integer(1));
    if (fd->max_items)
        js_set(schema, "maxItems", json_integer((json_int_t)fd->max_items));
    return schema;
}

static json_t *
plain_schema(const struct field *fd, const struct use *use)
{
    switch (fd->type) {
    case FIELD_TEXT:
        return text_schema(fd);
    case FIELD_INT:
        return int_schema(fd, use);
    case FIELD_BOOL:
        return typed("boolean");
    case FIELD_TIME:
        return time_schema(use);
    case FIELD_TEXTS:
    case FIELD_OBJECTS:
        return array_schema(fd, use);
    case FIELD_OBJECT:
        return object_schema(fd->members, use);
    case FIELD_ANY:
    case FIELD_END:
        break;
    }
    return json_object();
}

/* Lets null in as well: by the type, by the enum, or, for a $ref, by a choice of two. */
static json_t *
or_null(json_t *schema)
{
    json_t *type = json_object_get(schema, "type"), *list = json_object_get(schema, "enum");

    if (type) {
        (void)json_object_set_new(schema, "type", json_pack("[O,s]", type, "null"));
        if (list)
            (void)json_array_append_new(list, json_null());
        return schema;
    }
    if (json_object_get(schema, "$ref"))
        return json_pack("{s:[o,{s:s}]}", "anyOf", schema, "type", "null");
    return schema;
}

static json_t *
member_schema(const struct field *fd, const struct use *use)
{
    json_t *schema = plain_schema(fd, use);

    if (fd->flags & FIELD_NULLABLE)
        schema = or_null(schema);
    if (fd->help)
        openapi_set_text(schema, "description", fd->help);
    if (fd->example)
        js_set(schema, "examples", json_pack("[o]", openapi_field_example(fd)));
    return schema;
}

static json_t *
object_inline(const struct field *fields, const struct use *use)
{
    json_t *schema = typed("object"), *members = json_object(), *required = json_array();

    for (const struct field *fd = fields; fd && fd->type; fd++) {
        bool must = use->schemas ? !(fd->flags & FIELD_OPTIONAL) : fd->flags & FIELD_REQUIRED;

        js_set(members, fd->name, member_schema(fd, use));
        if (must)
            (void)json_array_append_new(required, js_text(fd->name));
    }
    js_set(schema, "properties", members);
    if (json_array_size(required))
        js_set(schema, "required", json_incref(required));
    json_decref(required);
    if (use->schemas)
        js_set(schema, "additionalProperties", json_false());
    return schema;
}

static const char *
shape_name(const struct field *shape)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (names[i].shape == shape)
            return names[i].name;
    }
    return NULL;
}

static json_t *
object_schema(const struct field *fields, const struct use *use)
{
    const char *name = use->schemas ? shape_name(fields) : NULL;

    if (!name)
        return object_inline(fields, use);
    if (!json_object_get(use->schemas, name))
        js_set(use->schemas, name, object_inline(fields, use));
    return openapi_ref("schemas", name);
}

json_t *
openapi_body_schema(const struct field *fields)
{
    return object_schema(fields, &(struct use){NULL});
}

json_t *
openapi_param_schema(const struct field *fd)
{
    return plain_schema(fd, &(struct use){NULL});
}

/* {"type": "object"} of exactly these members, all there; takes them. */
static json_t *
closed_object(json_t *members)
{
    json_t *schema = typed("object"), *required = json_array(), *member;
    const char *name;

    json_object_foreach (members, name, member)
        (void)json_array_append_new(required, js_text(name));
    js_set(schema, "properties", members);
    js_set(schema, "required", required);
    js_set(schema, "additionalProperties", json_false());
    return schema;
}

static json_t *
count_schema(const char *help, int min)
{
    return json_pack("{s:s,s:s,s:i,s:s}", "type", "integer", "format", "int64", "minimum", min,
                     "description", help);
}

static json_t *
page_meta(json_t *schemas)
{
    if (!json_object_get(schemas, "PageMeta"))
        js_set(schemas, "PageMeta",
               closed_object(json_pack("{s:o,s:o,s:o}", "page",
                                       count_schema("The page shown, from 1", 1), "per_page",
                                       count_schema("Items a page, as it was applied", 1), "total",
                                       count_schema("Items on all pages", 0))));
    return openapi_ref("schemas", "PageMeta");
}

static json_t *
cursor_meta(json_t *schemas)
{
    json_t *next;

    if (!json_object_get(schemas, "CursorMeta")) {
        next = json_pack("{s:[s,s],s:s}", "type", "string", "null", "description",
                         "Send it as cursor for the next page; null at the end");
        js_set(schemas, "CursorMeta",
               closed_object(json_pack("{s:o,s:o}", "per_page",
                                       count_schema("Items a page, as it was applied", 1),
                                       "next_cursor", next)));
    }
    return openapi_ref("schemas", "CursorMeta");
}

/* The member that holds the items, or the object itself. */
static json_t *
data_schema(const struct reply_doc *doc, json_t *item)
{
    if (!doc->list)
        return item;
    return closed_object(json_pack("{s:{s:s,s:o}}", doc->list, "type", "array", "items", item));
}

json_t *
openapi_answer_schema(const struct reply_doc *doc, json_t *schemas)
{
    struct use use = {schemas};
    json_t *item, *members;

    if (!doc->shape && doc->wrap != SHAPE_ARRAY)
        return typed("object");
    /* an array without a shape is one of ids in the upload dialect's spelling */
    if (doc->shape)
        item = object_schema(doc->shape, &use);
    else
        item = json_pack("{s:s,s:s}", "type", "string", "format", "uuid");
    switch (doc->wrap) {
    case SHAPE_BARE:
        return item;
    case SHAPE_ARRAY:
        return json_pack("{s:s,s:o}", "type", "array", "items", item);
    case SHAPE_DATA:
    case SHAPE_PAGE:
    case SHAPE_CURSOR:
        break;
    }
    members = json_pack("{s:o}", "data", data_schema(doc, item));
    if (doc->wrap == SHAPE_PAGE)
        js_set(members, "meta", page_meta(schemas));
    if (doc->wrap == SHAPE_CURSOR)
        js_set(members, "meta", cursor_meta(schemas));
    return closed_object(members);
}

json_t *
openapi_field_example(const struct field *fd)
{
    json_t *value = json_loads(fd->example, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);

    if (!value)
        (void)fprintf(stderr, "dossier: field table: %s: the example is not JSON\n", fd->name);
    BUG_ON(!value);
    return value;
}

static json_t *
one_example(const struct field *fd)
{
    json_t *below;

    if (fd->example)
        return openapi_field_example(fd);
    if (fd->type != FIELD_OBJECT && fd->type != FIELD_OBJECTS)
        return NULL;
    below = openapi_example(fd->members);
    return below && fd->type == FIELD_OBJECTS ? json_pack("[o]", below) : below;
}

json_t *
openapi_example(const struct field *fields)
{
    json_t *object = json_object();

    for (const struct field *fd = fields; fd && fd->type; fd++) {
        json_t *value = one_example(fd);

        if (value) {
            js_set(object, fd->name, value);
        } else if (!(fd->flags & FIELD_OPTIONAL)) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *
example_meta(const struct reply_doc *doc)
{
    if (doc->wrap == SHAPE_CURSOR)
        return json_pack("{s:i,s:n}", "per_page", 25, "next_cursor");
    return json_pack("{s:i,s:i,s:i}", "page", 1, "per_page", 25, "total", 1);
}

json_t *
openapi_answer_example(const struct reply_doc *doc)
{
    json_t *item;

    if (!doc->shape && doc->wrap != SHAPE_ARRAY)
        return NULL;
    item =
        doc->shape ? openapi_example(doc->shape) : js_text("018f6d7e-2c3b-7a41-9d5e-6f7081920a1b");
    if (!item || doc->wrap == SHAPE_BARE)
        return item;
    if (doc->wrap == SHAPE_ARRAY)
        return json_pack("[o]", item);
    if (doc->list)
        item = json_pack("{s:[o]}", doc->list, item);
    if (doc->wrap == SHAPE_DATA)
        return json_pack("{s:o}", "data", item);
    return json_pack("{s:o,s:o}", "data", item, "meta", example_meta(doc));
}

json_t *
openapi_content(const char *media_type, json_t *schema, json_t *example)
{
    json_t *media = json_pack("{s:o}", "schema", schema);

    if (example)
        js_set(media, "example", example);
    return json_pack("{s:o}", media_type, media);
}

json_t *
openapi_binary_schema(void)
{
    return json_pack("{s:s,s:s}", "type", "string", "format", "binary");
}
