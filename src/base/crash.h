// SPDX-License-Identifier: Apache-2.0
/*
 * crash: named places at which a test build dies, as by a power cut of the process.
 *
 * CRASH_POINT("engine.before-commit") is nothing at all unless the build option crash_points is
 * on. Then it ends the process with status 137, without any clearing up, when the environment's
 * DOSSIER_CRASH_AT is that name, or "NAME:n" for the n-th passage of it. The names are literals, so
 * that a test can find them all in the sources.
 *
 * Threads: any.
 */
#ifndef BASE_CRASH_H
#define BASE_CRASH_H

#define CRASH_STATUS 137 /* as after kill -9, by the shell's count */

#ifdef DOSSIER_CRASH_POINTS
/* Ends the process if it is the turn of `name`. */
void crash_point(const char *name);
#define CRASH_POINT(name) crash_point(name)
#else
#define CRASH_POINT(name) ((void)0)
#endif

#endif
