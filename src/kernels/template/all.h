/* Everything a level compiles, then its table. The stanza that includes this has set LEVEL, LEVEL_LANES,
 * GEMM_ROWS and GEMM_VECTORS. Templates define static functions only, so levels can't leak into each other.
 */
#include "vector.h"
#include "elementwise.h"
#include "gemm.h"
#include "gemv.h"
#include "depthwise.h"
#include "winograd_transforms.h"
#include "winograd.h"
#include "winograd_weights.h"
#include "winograd_taps.h"
#include "winograd_train.h"
#include "direct.h"
#include "pool.h"
#include "pooled.h"
#include "lrn.h"
#include "optimize.h"

#define DN_PASTE2(a, b) a##b
#define DN_PASTE(a, b)  DN_PASTE2(a, b)
#define DN_TEXT2(a)     #a
#define DN_TEXT(a)      DN_TEXT2(a)

const dn_kernels DN_PASTE(dn_kernels_, LEVEL) = {
    .level = DN_TEXT(LEVEL),
    .lanes = LEVEL_LANES,
    .gemm_rows = GEMM_ROWS,
    .gemm_columns = GEMM_VECTORS * LEVEL_LANES,
    .gemm_tiles = gemm_tiles,
    .split_pairs = split_pairs,
    .pack_rows = pack_rows,
    .pack_columns = pack_columns,
    .pack_patches = pack_patches,
    .multiply_vector = multiply_vector,
    .multiply_vector_transposed = multiply_vector_transposed,
    .weigh_shifted = weigh_shifted,
    .depthwise_planes = depthwise_planes,
    .correlate_rows = CORRELATE_ROWS,
    .correlate_columns = CORRELATE_COLUMNS,
    .correlate = correlate,
    .correlate_plane = correlate_plane,
    .winograd_tiles = WINOGRAD_TILES,
    .winograd_taps_tiles = WINOGRAD_TAPS_TILES,
    .winograd_columns = 2 * LEVEL_LANES,
    .winograd_input = winograd_input,
    .winograd_staged = winograd_staged,
    .direct_pixels = direct_pixels,
    .winograd_multiply = winograd_multiply,
    .winograd_output = winograd_output,
    .winograd_weights_exact = winograd_weights_exact,
    .winograd_multiply_taps = winograd_multiply_taps,
    .winograd_row = winograd_row,
    .winograd_weights_taps = winograd_weights_taps,
    .winograd_row_strided = winograd_row_strided,
    .winograd_weights = winograd_weights,
    .winograd_input_gradient = winograd_input_gradient,
    .winograd_gradient = winograd_gradient,
    .winograd_weights_gradient = winograd_weights_gradient,
    .activate = activate,
    .activate_gradient = activate_gradient,
    .affine_activate = affine_activate,
    .axpy = axpy,
    .scale = scale,
    .multiply = multiply,
    .multiply_add = multiply_add,
    .multiply_add_chains = multiply_add_chains,
    .sum = sum,
    .dot = dot,
    .sum_squared_difference = sum_squared_difference,
    .normalize = normalize,
    .normalize_sums = normalize_sums,
    .normalize_gradient = normalize_gradient,
    .maxpool = maxpool,
    .pooled_rows = pooled_rows,
    .maxpool_gradient = maxpool_gradient,
    .lrn = lrn,
    .sgd = sgd,
    .adam = adam,
};
