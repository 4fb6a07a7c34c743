// SPDX-License-Identifier: Apache-2.0
/* store_documents: the half of store.c about documents and what hangs on them. */
#ifndef CONTRACT_STORE_DOCUMENTS_H
#define CONTRACT_STORE_DOCUMENTS_H

static enum rc
insert_document(struct scratch *s, int64_t ws, const struct document *d)
{
    struct db_cursor *folder = NULL;

    return document_insert(TX, ws, d, &folder, ERR);
}

static struct document
add_document(struct scratch *s, int64_t ws, const char *name, const char *folder, const char *tag)
{
    const char **tags = MEM_ARRAY(s->pool, const char *, 2);
    struct document d = {.id = id_new(),
                         .name = name,
                         .description = "Some Words",
                         .mime_type = "text/plain",
                         .size_bytes = 10,
                         .storage_path = name,
                         .folder = folder,
                         .tags = tags,
                         .n_tags = tag ? 2 : 0,
                         .created_by = id_new()};

    tags[0] = tag;
    tags[1] = "all";
    d.updated_ms = id_time_ms(&d.id);
    EXPECT(RC_OK, insert_document(s, ws, &d));
    return d;
}

/* A refusal may come as late as this. */
static enum rc
insert_and_settle(struct scratch *s, int64_t ws, const struct document *d)
{
    enum rc rc = insert_document(s, ws, d);

    return rc ? rc : db_savepoint_release(s->conn, ERR);
}

static enum rc
count_document(void *arg, const struct document *d, struct err *err)
{
    (void)err;
    *(int *)arg += d->has_blob ? 1 : 100;
    return RC_OK;
}

static void
test_document(void **state)
{
    struct scratch *s = *state;
    struct document d = add_document(s, WS, "a", "/x/y", "red"), same = d, back;
    struct id blob = id_new();
    uint8_t hash[SHA256_LEN] = {5};
    int visited = 0;
    bool has;

    same.id = id_new();
    REFUSED(s, RC_STORAGE_CONFLICT, insert_and_settle(s, WS, &same));
    EXPECT(RC_OK, insert_document(s, OTHER, &same));
    EXPECT(RC_OK, document_by_path(TX, WS, "a", &back, ERR));
    assert_true(id_equal(&back.id, &d.id) && !back.has_blob);
    assert_string_equal(back.folder, "/x/y");
    assert_int_equal(back.n_tags, 2);
    assert_string_equal(back.tags[0], "red");
    EXPECT(RC_NOT_FOUND, document_read(TX, OTHER, &d.id, &back, ERR));
    EXPECT(RC_NOT_FOUND, document_by_path(TX, WS, "A", &back, ERR));
    EXPECT(RC_OK, document_attach(TX, WS, &d.id, &blob, 99, hash, ERR));
    EXPECT(RC_OK, document_read(TX, WS, &d.id, &back, ERR));
    assert_true(back.has_blob && back.size_bytes == 99 && id_equal(&back.blob_id, &blob));
    assert_memory_equal(back.sha256, hash, SHA256_LEN);
    EXPECT(RC_OK, document_has_blob(TX, WS, &blob, &has, ERR));
    assert_true(has);
    EXPECT(RC_OK, document_has_blob(TX, OTHER, &blob, &has, ERR));
    assert_false(has);
    EXPECT(RC_OK, document_each_blob(TX, WS, count_document, &visited, ERR));
    assert_int_equal(visited, 1);
    EXPECT(RC_OK, document_delete(TX, WS, &back, ERR));
    EXPECT(RC_NOT_FOUND, document_read(TX, WS, &d.id, &back, ERR));
    EXPECT(RC_OK, document_read(TX, OTHER, &same.id, &back, ERR));
}

static int64_t
count_where(struct scratch *s, const char *folder, const char *tag, const char *search)
{
    struct document_filter f = {.folder = folder,
                                .tags = &tag,
                                .n_tags = tag != NULL,
                                .search = search,
                                .after_ms = -1,
                                .before_ms = -1};
    int64_t n;

    EXPECT(RC_OK, document_count(TX, WS, &f, &n, ERR));
    return n;
}

static void
test_document_update(void **state)
{
    struct scratch *s = *state;
    struct document d = add_document(s, WS, "a", "/x", "red"), after = d, back;
    struct db_cursor *folder = NULL;
    const char *blue = "blue";

    after.name = "Renamed";
    after.description = NULL;
    after.folder = NULL;
    after.tags = &blue;
    after.n_tags = 1;
    after.updated_ms = d.updated_ms + 1;
    EXPECT(RC_OK, document_update(TX, WS, &d, &after, ERR));
    EXPECT(RC_OK, document_read(TX, WS, &d.id, &back, ERR));
    assert_string_equal(back.name, "Renamed");
    assert_null(back.description);
    assert_null(back.folder);
    assert_true(back.n_tags == 1 && streq(back.tags[0], "blue"));
    assert_int_equal(count_where(s, NULL, "red", NULL), 0);
    assert_int_equal(count_where(s, NULL, "blue", NULL), 1);
    assert_int_equal(count_where(s, NULL, NULL, "renamed"), 1);
    assert_int_equal(count_where(s, NULL, NULL, "some words"), 0);
    assert_int_equal(count_where(s, "/x", NULL, NULL), 0);
    /* the same tags again */
    EXPECT(RC_OK, document_update(TX, WS, &after, &after, ERR));
    EXPECT(RC_OK, folder_ask(TX, WS, "/x/y/z", &folder, ERR));
    EXPECT(RC_OK, folder_ensure(TX, WS, "/x/y/z", &folder, ERR));
    assert_null(folder);
    EXPECT(RC_OK, folder_ensure(TX, WS, "/x/y/z", &folder, ERR));
    EXPECT(RC_OK, document_delete(TX, WS, &after, ERR));
    assert_int_equal(count_where(s, NULL, "blue", NULL), 0);
}

static const struct {
    const char *folder, *tag, *search;
    int64_t n;
} document_filters[] = {
    {NULL, NULL, NULL, 5},   {"/x", NULL, NULL, 3},      {"/x/y", NULL, NULL, 1},
    {"/", NULL, NULL, 0},    {"/x0", NULL, NULL, 1},     {NULL, "red", NULL, 2},
    {NULL, "all", NULL, 4},  {NULL, "RED", NULL, 0},     {"/x", "red", NULL, 1},
    {NULL, NULL, "some", 5}, {NULL, NULL, "100%_\\", 1}, {NULL, NULL, "%", 1},
    {NULL, NULL, "_", 1},    {NULL, NULL, "\\", 1},      {NULL, NULL, "strasse", 1},
};

static void
test_document_list(void **state)
{
    struct scratch *s = *state;

    (void)add_document(s, WS, "100%_\\", "/x", "red");
    (void)add_document(s, WS, "b", "/x", "blue");
    (void)add_document(s, WS, "c", "/x/y", "blue");
    (void)add_document(s, WS, "d", "/x0", "red");
    (void)add_document(s, WS,
                       "Stra\xc3\x9f"
                       "e",
                       NULL, NULL);
    (void)add_document(s, OTHER, "b", "/x", "red");
    for (size_t i = 0; i < ARRAY_LEN(document_filters); i++) {
        int64_t n = count_where(s, document_filters[i].folder, document_filters[i].tag,
                                document_filters[i].search);

        if (n != document_filters[i].n)
            fail_msg("row %zu gave %lld", i, (long long)n);
    }
}

/* By offset and by cursor, in every order, each document comes exactly once. */
static void
check_pages(struct scratch *s, enum document_sort sort, bool descending, const char *names)
{
    struct document_filter f = {
        .after_ms = 0, .before_ms = INT64_MAX, .sort = sort, .descending = descending, .limit = 2};
    size_t at = 0, n = 2;
    struct document *docs;

    while (n > 0) {
        EXPECT(RC_OK, document_list(TX, WS, &f, &docs, &n, NULL, ERR));
        for (size_t i = 0; i < n; i++, at++) {
            struct document_filter g = f;
            struct document *one;
            size_t got;

            assert_int_equal(docs[i].name[0], names[at]);
            g.has_cursor = false;
            g.offset = (int64_t)at;
            EXPECT(RC_OK, document_list(TX, WS, &g, &one, &got, NULL, ERR));
            assert_true(id_equal(&one[0].id, &docs[i].id));
            f.has_cursor = true;
            f.cursor_id = docs[i].id;
            f.cursor_number = docs[i].updated_ms;
            f.cursor_text = docs[i].name;
        }
    }
    assert_int_equal(at, strlen(names));
}

static void
test_document_pages(void **state)
{
    static const char *const names[] = {"c", "a", "e", "b", "d"};
    struct scratch *s = *state;
    struct document docs[5];

    for (size_t i = 0; i < 5; i++)
        docs[i] = add_document(s, WS, names[i], NULL, NULL);
    for (size_t i = 0; i < 5; i++) {
        struct document after = docs[i];

        after.updated_ms = 1000 + (int64_t)(i / 2); /* two of them at one time */
        EXPECT(RC_OK, document_update(TX, WS, &docs[i], &after, ERR));
    }
    check_pages(s, SORT_CREATED, false, "caebd");
    check_pages(s, SORT_CREATED, true, "dbeac");
    check_pages(s, SORT_NAME, false, "abcde");
    check_pages(s, SORT_NAME, true, "edcba");
    check_pages(s, SORT_UPDATED, false, "caebd");
    check_pages(s, SORT_UPDATED, true, "dbeac");
}

static struct link
add_link(struct scratch *s, const struct id *document, const char *entity, const char *role)
{
    struct link l = {.id = id_new(),
                     .document_id = *document,
                     .entity_type = ENTITY_DEAL,
                     .entity_id = entity,
                     .role = role};
    SCOPED(db_cursor) asked = NULL;
    bool is_new;

    EXPECT(RC_OK, link_ask(TX, WS, &l, &asked, ERR));
    EXPECT(RC_OK, link_ensure(TX, WS, &l, asked, &is_new, ERR));
    assert_true(is_new);
    return l;
}

/* What comes of a link that others made after it was asked for. */
static enum rc
link_too_late(struct scratch *s, struct link l)
{
    SCOPED(db_cursor) asked = NULL;
    struct link before = l;
    bool is_new;
    enum rc rc;

    before.entity_id = "nobody";
    l.id = id_new();
    EXPECT(RC_OK, link_ask(TX, WS, &before, &asked, ERR));
    rc = link_ensure(TX, WS, &l, asked, &is_new, ERR);
    return rc ? rc : db_savepoint_release(s->conn, ERR);
}

static void
test_link(void **state)
{
    struct scratch *s = *state;
    struct document d = add_document(s, WS, "a", NULL, NULL);
    struct link a = add_link(s, &d.id, "e1", "first"), again = a, *links;
    struct db_cursor *asked = NULL;
    bool is_new;
    size_t n;
    int64_t gone;

    (void)add_link(s, &d.id, "e2", NULL);
    (void)add_link(s, &d.id, "e3", NULL);
    again.id = id_new();
    again.role = "second";
    EXPECT(RC_OK, link_ask(TX, WS, &again, &asked, ERR));
    EXPECT(RC_OK, link_ensure(TX, WS, &again, asked, &is_new, ERR));
    assert_true(!is_new && id_equal(&again.id, &a.id) && streq(again.role, "first"));
    db_cursor_free(&asked);
    REFUSED(s, RC_RERUN, link_too_late(s, a));
    EXPECT(RC_OK, link_of_document(TX, WS, &d.id, 10, 0, &links, &n, ERR));
    assert_int_equal(n, 3);
    assert_string_equal(links[0].entity_id, "e1");
    assert_null(links[1].role);
    EXPECT(RC_OK, link_of_document(TX, WS, &d.id, 1, 2, &links, &n, ERR));
    assert_true(n == 1 && streq(links[0].entity_id, "e3"));
    EXPECT(RC_OK, link_of_document(TX, OTHER, &d.id, 10, 0, &links, &n, ERR));
    assert_int_equal(n, 0);
    EXPECT(RC_NOT_FOUND, link_delete(TX, OTHER, &d.id, &a.id, ERR));
    EXPECT(RC_OK, link_delete(TX, WS, &d.id, &a.id, ERR));
    EXPECT(RC_NOT_FOUND, link_delete(TX, WS, &d.id, &a.id, ERR));
    EXPECT(RC_OK, link_detach_entity(TX, WS, ENTITY_DEAL, "e2", &gone, ERR));
    assert_int_equal(gone, 1);
    EXPECT(RC_OK, document_delete(TX, WS, &d, ERR));
    EXPECT(RC_OK, link_of_document(TX, WS, &d.id, 10, 0, &links, &n, ERR));
    assert_int_equal(n, 0);
}

static void
test_link_documents(void **state)
{
    struct scratch *s = *state;
    struct document a = add_document(s, WS, "a", NULL, NULL),
                    b = add_document(s, WS, "b", NULL, NULL);
    struct linked_document *docs;
    int64_t total;
    size_t n;

    (void)add_link(s, &b.id, "e", "x");
    (void)add_link(s, &a.id, "e", NULL);
    EXPECT(RC_OK, link_documents(TX, WS, ENTITY_DEAL, "e", NULL, 10, 0, &docs, &n, &total, ERR));
    assert_true(n == 2 && total == 2 && streq(docs[0].document.name, "a"));
    EXPECT(RC_OK, link_documents(TX, WS, ENTITY_DEAL, "e", NULL, 1, 1, &docs, &n, &total, ERR));
    assert_true(n == 1 && total == 2 && streq(docs[0].document.name, "b"));
    EXPECT(RC_OK, link_documents(TX, WS, ENTITY_DEAL, "e", "x", 10, 0, &docs, &n, &total, ERR));
    assert_true(n == 1 && total == 1 && streq(docs[0].role, "x"));
    EXPECT(RC_OK, link_documents(TX, WS, ENTITY_TASK, "e", NULL, 10, 0, &docs, &n, &total, ERR));
    assert_true(n == 0 && total == 0);
}

static void
test_reference(void **state)
{
    struct scratch *s = *state;
    struct document d = add_document(s, WS, "a", NULL, NULL);
    enum reference_type type;
    struct reference *refs;
    bool changed;
    size_t n;

    EXPECT(RC_OK, reference_put(TX, WS, &d.id, REFERENCE_TEMPLATE, "t", &changed, ERR));
    assert_true(changed);
    EXPECT(RC_OK, reference_put(TX, WS, &d.id, REFERENCE_TEMPLATE, "t", &changed, ERR));
    assert_false(changed);
    EXPECT(RC_OK, reference_put(TX, WS, &d.id, REFERENCE_WORKFLOW, "t", &changed, ERR));
    EXPECT(RC_OK, reference_list(TX, WS, &d.id, 0, &refs, &n, ERR));
    assert_true(n == 2 && refs[0].type == REFERENCE_TEMPLATE);
    EXPECT(RC_OK, reference_list(TX, WS, &d.id, 1, &refs, &n, ERR));
    assert_int_equal(n, 1);
    EXPECT(RC_OK, reference_list(TX, OTHER, &d.id, 0, &refs, &n, ERR));
    assert_int_equal(n, 0);
    EXPECT(RC_OK, reference_delete(TX, WS, &d.id, REFERENCE_TEMPLATE, "t", &changed, ERR));
    assert_true(changed);
    EXPECT(RC_OK, reference_delete(TX, WS, &d.id, REFERENCE_TEMPLATE, "t", &changed, ERR));
    assert_false(changed);
    assert_true(reference_type_parse("workflow", &type) && type == REFERENCE_WORKFLOW);
    assert_false(reference_type_parse("Workflow", &type));
    assert_string_equal(reference_type_name(REFERENCE_TEMPLATE), "template");
}

static void
test_entity(void **state)
{
    struct scratch *s = *state;
    struct entity e = {.type = ENTITY_TASK, .id = "e", .name = "One"}, back;
    enum entity_type type;
    bool is_new;

    EXPECT(RC_OK, entity_put(TX, WS, &e, false, &is_new, ERR));
    assert_true(is_new && e.created_ms == s->tx.now_ms);
    s->tx.now_ms += 5;
    e.name = "Two";
    EXPECT(RC_OK, entity_put(TX, WS, &e, true, &is_new, ERR));
    assert_true(!is_new && e.updated_ms == s->tx.now_ms && e.created_ms == s->tx.now_ms - 5);
    e.name = "Three";
    EXPECT(RC_OK, entity_put(TX, WS, &e, false, &is_new, ERR));
    assert_string_equal(e.name, "Two");
    EXPECT(RC_NOT_FOUND, entity_read(TX, OTHER, ENTITY_TASK, "e", &back, ERR));
    EXPECT(RC_NOT_FOUND, entity_read(TX, WS, ENTITY_DEAL, "e", &back, ERR));
    EXPECT(RC_NOT_FOUND, entity_delete(TX, OTHER, ENTITY_TASK, "e", ERR));
    EXPECT(RC_OK, entity_delete(TX, WS, ENTITY_TASK, "e", ERR));
    EXPECT(RC_NOT_FOUND, entity_delete(TX, WS, ENTITY_TASK, "e", ERR));
    for (enum entity_type t = ENTITY_CONTACT; t < ENTITY_MAX_; t++)
        assert_true(entity_type_parse(entity_type_name(t), &type) && type == t);
    assert_false(entity_type_parse("person", &type));
}

static void
test_docs(void **state)
{
    struct scratch *s = *state;
    struct docs_entity e = {.entity_id = "12345",
                            .workspace = WS,
                            .id = id_new(),
                            .trust_header = true},
                       entity;
    struct docs_user u = {.id = "u1", .external_id = "x1"},
                     same = {.id = "u2", .external_id = "x1"}, user;
    struct docs d = {.id = id_new(), .type = "t", .status = "created", .owner = u}, back, *list;
    size_t n;

    EXPECT(RC_OK, docs_entity_insert(TX, &e, ERR));
    REFUSED(s, RC_CONFLICT, docs_entity_insert(TX, &e, ERR));
    EXPECT(RC_OK, docs_entity_read(TX, "12345", &entity, ERR));
    assert_true(entity.workspace == WS && entity.trust_header && id_equal(&entity.id, &e.id));
    EXPECT(RC_NOT_FOUND, docs_entity_read(TX, "1234", &entity, ERR));
    EXPECT(RC_OK, docs_user_insert(TX, WS, &u, ERR));
    REFUSED(s, RC_RERUN, docs_user_insert(TX, WS, &same, ERR));
    EXPECT(RC_OK, docs_user_insert(TX, OTHER, &u, ERR));
    EXPECT(RC_OK, docs_user_by_id(TX, WS, "u1", &user, ERR));
    assert_string_equal(user.external_id, "x1");
    EXPECT(RC_OK, docs_user_by_external(TX, WS, "x1", &user, ERR));
    EXPECT(RC_NOT_FOUND, docs_user_by_external(TX, WS, "u1", &user, ERR));
    EXPECT(RC_OK, docs_insert(TX, WS, &d, ERR));
    EXPECT(RC_OK, docs_read(TX, WS, &d.id, &back, ERR));
    assert_string_equal(back.owner.external_id, "x1");
    EXPECT(RC_NOT_FOUND, docs_read(TX, OTHER, &d.id, &back, ERR));
    EXPECT(RC_NOT_FOUND, docs_set_status(TX, OTHER, &d.id, "y", ERR));
    EXPECT(RC_OK, docs_set_status(TX, WS, &d.id, "y", ERR));
    EXPECT(RC_OK, docs_of_external(TX, WS, "x1", &list, &n, ERR));
    assert_true(n == 1 && streq(list[0].status, "y"));
    EXPECT(RC_OK, docs_of_external(TX, OTHER, "x1", &list, &n, ERR));
    assert_int_equal(n, 0);
}

static void
test_census(void **state)
{
    struct scratch *s = *state;
    struct document d = add_document(s, WS, "a", NULL, NULL),
                    e = add_document(s, WS, "b", NULL, NULL);
    struct object o = {.storage_path = "p", .blob_id = id_new(), .size_bytes = 3};
    struct id zero = {{0}}, blob = id_new(), *links;
    struct census_row *rows;
    int64_t documents, bytes;
    uint8_t hash[SHA256_LEN] = {4};
    size_t n;

    EXPECT(RC_OK, document_attach(TX, WS, &e.id, &blob, 20, hash, ERR));
    EXPECT(RC_OK, object_insert(TX, WS, &o, ERR));
    EXPECT(RC_OK, census_totals(TX, WS, &documents, &bytes, ERR));
    assert_true(documents == 2 && bytes == 10 + 20 + 3);
    EXPECT(RC_OK, census_documents(TX, WS, &zero, 10, &rows, &n, ERR));
    assert_true(n == 1 && !rows[0].is_object && id_equal(&rows[0].document_id, &e.id));
    assert_true(id_equal(&rows[0].blob_id, &blob) && rows[0].size_bytes == 20);
    EXPECT(RC_OK, census_documents(TX, WS, &e.id, 10, &rows, &n, ERR));
    assert_int_equal(n, 0);
    EXPECT(RC_OK, census_objects(TX, WS, "", 10, &rows, &n, ERR));
    assert_true(n == 1 && rows[0].is_object && streq(rows[0].storage_path, "p"));
    EXPECT(RC_OK, census_objects(TX, WS, "p", 10, &rows, &n, ERR));
    assert_int_equal(n, 0);
    (void)add_link(s, &d.id, "e", NULL);
    EXPECT(RC_OK, census_dangling_links(TX, WS, 10, &links, &n, ERR));
    assert_int_equal(n, 0);
    (void)add_link(s, &zero, "e", NULL);
    EXPECT(RC_OK, census_dangling_links(TX, WS, 10, &links, &n, ERR));
    assert_int_equal(n, 1);
}

#endif
