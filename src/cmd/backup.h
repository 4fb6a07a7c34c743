// SPDX-License-Identifier: Apache-2.0
/* backup: what a server that starts does about backups; the command itself is in command.h. */
#ifndef CMD_BACKUP_H
#define CMD_BACKUP_H
#include "base/base.h"

/* Removes copies of the database that were lent to backups which never fetched them. The caller
 * holds the lock of the data directory `dir`. */
void backup_sweep(const char *dir);

#endif
