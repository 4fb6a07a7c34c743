// SPDX-License-Identifier: Apache-2.0
/*
 * credentials: the keys that requests are signed with, and where they come from.
 *
 *   env        AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, read once
 *   FILE       a section of a shared credentials file, read again every few minutes
 *   container  what AWS_CONTAINER_CREDENTIALS_FULL_URI or …_RELATIVE_URI names, with the token of
 *              AWS_CONTAINER_AUTHORIZATION_TOKEN or …_TOKEN_FILE
 *   instance   the role of the machine, from the metadata service, version 2
 *              (AWS_EC2_METADATA_SERVICE_ENDPOINT names another)
 *
 * Without a choice: env when its variable is set, container likewise, then the file of
 * AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials when there is one, then instance.
 *
 *  I1  Keys that end are fetched anew some minutes before, by the request that needs them then;
 *      others go on with the old ones meanwhile, as long as these are good.
 *
 * Threads: shared.
 */
#ifndef BLOB_S3_CREDENTIALS_H
#define BLOB_S3_CREDENTIALS_H
#include "blob/s3/http.h"
#include "blob/s3/sigv4.h"

struct credentials;

/*
 * `from` is as in the URL (url.h), NULL for no choice; `http` is borrowed. The environment is read
 * here and never again. The caller ends *ret with credentials_free(). Errors: INVALID (there are
 * none; the detail is fit to be shown).
 */
MUST_CHECK enum rc credentials_new(const char *from, const char *profile, struct http *http,
                                   struct credentials **ret, struct err *err);
void credentials_free(struct credentials **c);

/* Keys that are good now, in `pool`. May wait for the network, for a few seconds. UNAVAILABLE. */
MUST_CHECK enum rc credentials_get(struct credentials *c, TALLOC_CTX *pool, struct sigv4_keys *ret,
                                   struct err *err);

/* The store refused the keys of `access`: the next credentials_get() looks for new ones. */
void credentials_refused(struct credentials *c, const char *access);

#endif
