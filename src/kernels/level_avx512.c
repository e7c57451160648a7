/* level_avx512.c - the kernel templates compiled for Intel Skylake-X, AMD Zen 4 and newer. */
#include "kernels.h"
#include "levels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define LEVEL               avx512
#define LEVEL_TARGET        "avx512f,avx512bw,avx512dq,avx512vl,fma"
#define LEVEL_LANES         16
#define GEMM_ROWS           8
#define GEMM_VECTORS        3
#define WINOGRAD_TILES      14
#define WINOGRAD_TAPS_TILES 28
#include "template/target_begin.h"
#include "template/all.h"
#include "template/target_end.h"
#else
typedef int dn_level_avx512_is_for_another_processor; /* a C file must not be empty */
#endif
