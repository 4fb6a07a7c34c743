// SPDX-License-Identifier: Apache-2.0
/*
 * check: compares rows and bytes both ways, and what the database says about itself.
 *
 *  I1  It may run beside a server: what looks wrong is looked at again before it is reported, so
 *      that rows and bytes that come and go meanwhile are not taken for faults.
 *  I2  It changes nothing unless asked to repair, and never removes a row that names bytes.
 */
#ifndef JOBS_CHECK_H
#define JOBS_CHECK_H
#include "base/js.h"
#include "core/app.h"

/* How many of a kind of fault are shown; "counts" tells all. */
#define CHECK_SHOWN 100

/*
 * Reads every byte and every row. The caller owns *ret:
 *   documents, objects, blobs, bytes   how much there is (bytes: those on disk)
 *   in_flight      blobs without a row, younger than a minute: an upload may be under way
 *   missing, wrong_size, wrong_hash, unreadable   rows whose bytes are not what they say
 *   orphans        blobs that nothing refers to
 *   overdue        bytes that should have been erased more than a minute ago
 *   strangers      files in the blob directory that are not ours
 *   usage_drift    workspaces whose totals are not the sums of their rows
 *   dangling_links links without their document
 *   audit_broken   workspaces whose chain of audit lines does not fit together
 *   counts         how many faults of each of these kinds
 *   repaired       what `repair` has mended: orphans, usage, overdue; temporary (files removed)
 *   ok             no fault was found but those that were repaired
 * Repairing erases overdue bytes, corrects totals, and removes orphans and temporary files older
 * than settings.orphan_ms (a younger one may belong to an upload that is still under way).
 * Errors: whatever keeps it from looking; then it has found nothing out.
 */
MUST_CHECK enum rc check_run(struct app *app, bool repair, json_t **ret, struct err *err);

#endif
