/* levels.h - the tables of this architecture; only level_*.c and dispatch.c include it. */
#ifndef DN_LEVELS_H
#define DN_LEVELS_H

#include "kernels.h"

extern const dn_kernels dn_kernels_generic;
#if defined(__x86_64__)
extern const dn_kernels dn_kernels_avx2;
extern const dn_kernels dn_kernels_avx512;
#elif defined(__aarch64__)
extern const dn_kernels dn_kernels_neon;
#endif

#endif
