/* level_generic.c - the kernel templates compiled for any processor: the reference of the others. */
#include "kernels.h"
#include "levels.h"

#if 1
#define LEVEL generic

#define LEVEL_LANES         4
#define GEMM_ROWS           4
#define GEMM_VECTORS        2
#define WINOGRAD_TILES      4
#define WINOGRAD_TAPS_TILES 8
#include "template/target_begin.h"
#include "template/all.h"
#include "template/target_end.h"
#else
typedef int dn_level_generic_is_for_another_processor; /* a C file must not be empty */
#endif
