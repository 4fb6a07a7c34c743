// SPDX-License-Identifier: Apache-2.0
/*
 * banned: calls that are easy to get wrong are compile errors; each has a safer way in base.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf
#undef strtok
#undef gmtime
#undef localtime
#undef ctime
#undef asctime
#undef alloca
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok atoi atol atoll
#pragma GCC poison gmtime localtime ctime asctime alloca

#endif
