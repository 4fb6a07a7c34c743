// SPDX-License-Identifier: Apache-2.0
/*
 * server_tls: the certificate and key that a server shows (TLS 1.2, RFC 5246; 1.3, RFC 8446).
 *
 *  I1  A pair is in use only when the key belongs to the certificate. A pair that cannot be used
 *      never takes the place of one that can.
 *  I2  A reload ends no connection: those that began before keep what they have been shown.
 *
 * Threads: the callback runs on the loops, while another thread reloads.
 */
#ifndef HTTP_SERVER_TLS_H
#define HTTP_SERVER_TLS_H
#include <gnutls/abstract.h>

#include "base/base.h"

/*
 * What both sides must agree on: forward secrecy and authenticated encryption only, which all
 * clients of the last ten years have.
 */
#define TLS_PRIORITIES                                                                             \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:"                  \
    "-CIPHER-ALL:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:-MAC-ALL:+AEAD:%SERVER_PRECEDENCE"

struct tls;

/*
 * Reads a certificate, followed by those that lead to its authority, and its key; PEM files.
 * INVALID: they are not there or not readable, are not what they should be, do not belong together;
 * the detail is fit to be shown. A key file that everybody may read, and a certificate that is not
 * good now, are told to the log.
 */
MUST_CHECK enum rc tls_new(const char *cert_file, const char *key_file, struct tls **ret,
                           struct err *err);
/* No session that was adopted may be left. */
void tls_free(struct tls **t);

/* Reads the files again, for sessions that begin from now on. On failure all stays as it was. */
MUST_CHECK enum rc tls_reload(struct tls *t, struct err *err);

/* When the certificate ends, in seconds since 1970. */
int64_t tls_expires_s(struct tls *t);

/*
 * The pair of this session is to be that of `t`: before its handshake. done(arg) is called at the
 * end of that. tls_leave() goes before the end of the session.
 */
void tls_adopt(struct tls *t, gnutls_session_t session, void (*done)(void *arg), void *arg);
void tls_leave(gnutls_session_t session);

/* The library's question for the pair of a session. */
gnutls_certificate_retrieve_function3 tls_retrieve;

#endif
