/* conv_winograd_products.c - the products of Winograd convolutions whose weights are transformed as a whole:
 * a matrix product per point. Those of weights kept as taps are in conv_winograd_taps.c. */
#include "cpu.h"

enum { MOST_FACTORS = 4 }; /* products added up per point */

/* Points of the input and of the weights whose products are added up. */
typedef struct factor_points {
    int v, u;
} factor_points;

/* The same of one axis: at stride 2 the middle tap adds to every point but infinity. */
static int axis_factors(const dn_winograd *winograd, int point, factor_points factors[2]) {
    factors[0] = (factor_points){point, point};
    if (winograd->stride == 1 || point == winograd->m) return 1;
    factors[1] = (factor_points){winograd->m + 1 + point, winograd->m + 1};
    return 2;
}

static int factors_of(const dn_winograd *winograd, int point, factor_points factors[MOST_FACTORS]) {
    factor_points y[2], x[2];
    const int high = axis_factors(winograd, point / winograd->sum_n, y);
    const int wide = axis_factors(winograd, point % winograd->sum_n, x);
    for (int i = 0; i < high * wide; ++i) {
        factors[i].v = y[i / wide].v * winograd->n + x[i % wide].v;
        factors[i].u = y[i / wide].u * winograd->weight_n + x[i % wide].u;
    }
    return high * wide;
}

void dn_winograd_multiply(const dn_winograd *winograd, dn_tile_block block, const float *v,
                          size_t points_apart, const float *weights, size_t weight_points_apart, int begin,
                          int end, float *products) {
    const dn_kernels *kernels = winograd->kernels;
    const size_t columns = (size_t)kernels->winograd_columns,
                 tile_stride = dn_winograd_product_stride(winograd);
    const size_t block_stride = (size_t)(block.panel_tiles * kernels->lanes);
    const dn_tile_kinds kinds = dn_winograd_kinds(winograd, block);
    const int points = winograd->sum_n * winograd->sum_n;
    for (int point = 0; point < points; ++point) {
        int first, last;
        dn_winograd_tiles_with(winograd, &kinds, block.count, point, &first, &last);
        if (first >= last) continue;
        const bool once = first / block.panel_tiles == (last - 1) / block.panel_tiles;
        factor_points at[MOST_FACTORS], after[MOST_FACTORS];
        const int count = factors_of(winograd, point, at);
        const int next_count = point + 1 < points ? factors_of(winograd, point + 1, after) : 0;
        for (int panel = begin; panel < end; ++panel) {
            const float *u = weights + (size_t)(panel - begin) * winograd->panel_floats;
            size_t fetched = 0; /* of what is next, spread over the panels of tiles */
            float *to = products + (size_t)(panel - begin) * (size_t)block.count * tile_stride +
                        (size_t)point * columns;
            for (int tile = first, tiles; tile < last; tile += tiles) {
                const int inside = tile % block.panel_tiles;
                const float *from =
                    v + (size_t)(tile / block.panel_tiles) * (size_t)winograd->points * points_apart +
                    (size_t)(inside * kernels->lanes);
                dn_winograd_factors factors[MOST_FACTORS];
                for (int i = 0; i < count; ++i) {
                    factors[i].v = from + (size_t)at[i].v * points_apart;
                    factors[i].u = factors[i].next = u + (size_t)at[i].u * weight_points_apart;
                    if (fetched >= winograd->panel_floats) continue;
                    if (panel + 1 < end)
                        factors[i].next += winograd->panel_floats + fetched;
                    else if (i < next_count)
                        factors[i].next = weights + (size_t)after[i].u * weight_points_apart + fetched;
                }
                tiles = dn_min_int(block.panel_tiles - inside, last - tile);
                kernels->winograd_multiply(tiles, count, factors, winograd->blocks, block_stride, false,
                                           to + (size_t)tile * tile_stride, tile_stride,
                                           once ? winograd->panel_floats / 2 : 0);
                fetched += (size_t)(winograd->blocks * kernels->lanes) * DN_WINOGRAD_FETCH;
            }
        }
    }
}
