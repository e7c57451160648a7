/* level_avx2.c - the kernel templates compiled for Intel Haswell, AMD Zen and newer. */
#include "kernels.h"
#include "levels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define LEVEL               avx2
#define LEVEL_TARGET        "avx2,fma"
#define LEVEL_LANES         8
#define GEMM_ROWS           6
#define GEMM_VECTORS        2
#define WINOGRAD_TILES      6
#define WINOGRAD_TAPS_TILES 12
#include "template/target_begin.h"
#include "template/all.h"
#include "template/target_end.h"
#else
typedef int dn_level_avx2_is_for_another_processor; /* a C file must not be empty */
#endif
