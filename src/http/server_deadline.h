// SPDX-License-Identifier: Apache-2.0
/*
 * server_deadline: cuts connections that are too slow to be honest.
 *
 *  header complete within 10 s of its first byte · body at least 1 KiB/s after 10 s · answer read
 *  at least 1 KiB/s after 10 s · in neither 60 s without a byte · idle at most 60 s · closed by the
 *  client before a request was complete: at once, or about half a second later
 *
 * The kernel counts the bytes (TCP_INFO), so the hot path only notes in which phase it is. It does
 * not for Unix sockets: there the bytes of bodies are told (peer_count()), and a header block,
 * which a proxy sends in one piece, has as long as an idle connection.
 */
#ifndef HTTP_SERVER_DEADLINE_H
#define HTTP_SERVER_DEADLINE_H
#include <stdatomic.h>

#include "base/base.h"
#include "base/metric.h"

enum phase {
    PHASE_IDLE, /* waits for the first or the next request */
    PHASE_HEAD, /* part of a header block has arrived; set by the watchdog */
    PHASE_BODY,
    PHASE_WORK, /* ours: no deadline */
    PHASE_REPLY,
};

struct deadlines;

/* One connection. Owned by the deadlines. */
struct peer;

MUST_CHECK enum rc deadlines_new(struct metrics *metrics, struct deadlines **ret, struct err *err);
void deadlines_free(struct deadlines **d);

/* `told`: its bytes are not counted by the kernel. */
struct peer *peer_open(struct deadlines *d, int fd, bool told);
/* So many bytes of a body have come in, or have been given out. */
void peer_count(struct peer *p, int64_t in, int64_t out);
void peer_close(struct deadlines *d, struct peer *p);
void peer_phase(struct peer *p, enum phase phase);
/* While held it is not the client who is slow: nothing is read from it. The phase goes on. */
void peer_hold(struct peer *p, bool held);

/* Connections open now. */
size_t deadlines_count(struct deadlines *d);

#endif
