/* level_neon.c - the kernel templates compiled for 64-bit ARM, where NEON is always there. */
#include "kernels.h"
#include "levels.h"

#if defined(__aarch64__)
#define LEVEL neon

#define LEVEL_LANES         4
#define GEMM_ROWS           8
#define GEMM_VECTORS        3
#define WINOGRAD_TILES      12
#define WINOGRAD_TAPS_TILES 12
#include "template/target_begin.h"
#include "template/all.h"
#include "template/target_end.h"
#else
typedef int dn_level_neon_is_for_another_processor; /* a C file must not be empty */
#endif
