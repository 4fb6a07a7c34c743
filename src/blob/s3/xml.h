// SPDX-License-Identifier: Apache-2.0
/*
 * xml: what a store answers, read with expat.
 *
 *  I1  A text is read whole or not at all: one that ends early, has a document type, or is deeper
 *      or longer than any answer of S3, is refused.
 *  I2  An answer is known by its root element, never by the status it came with: a store may
 *      answer 200 and put an <Error> into the body.
 *
 * Results are in `pool`. False: the text is not what was asked for.
 */
#ifndef BLOB_S3_XML_H
#define BLOB_S3_XML_H
#include "base/base.h"

#define S3_CODE_MAX 64

struct s3_error {
    char code[S3_CODE_MAX]; /* "" when there is none to be read */
    char message[128];
};

/* <Error>; leaves an empty code behind when it is something else. */
void s3_xml_error(const char *text, size_t len, struct s3_error *ret);

/* The text of the child `name` of the root `root`; "" when it is absent. */
MUST_CHECK bool s3_xml_child(TALLOC_CTX *pool, const char *text, size_t len, const char *root,
                             const char *name, const char **ret);

/* One object of <ListBucketResult>, or one upload of <ListMultipartUploadsResult>. */
struct s3_entry {
    const char *key;
    const char *upload_id; /* "" of an object */
    int64_t size;          /* -1 of an upload */
    int64_t time_ms;       /* last modified, or initiated */
};

struct s3_list {
    struct s3_entry *entries;
    size_t n;
    bool more;            /* ask again, with: */
    const char *token;    /* of objects: continuation-token */
    const char *next_key; /* of uploads: key-marker and upload-id-marker */
    const char *next_upload;
};

MUST_CHECK bool s3_xml_objects(TALLOC_CTX *pool, const char *text, size_t len, struct s3_list *ret);
MUST_CHECK bool s3_xml_uploads(TALLOC_CTX *pool, const char *text, size_t len, struct s3_list *ret);

#endif
