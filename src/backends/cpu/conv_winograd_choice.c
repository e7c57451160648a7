/* conv_winograd_choice.c - which tiles, if any, a Winograd convolution is worth: a model of its time. */
#include "cpu.h"

#include <math.h>

/* Points along an axis, of all tiles. */
static double axis_points(const dn_winograd *winograd, int tiles, int big) {
    return (double)tiles * winograd->n - winograd->stride * (tiles - big);
}

/* The time of F(m x m, 3 x 3), or of the direct product if m is 0, in multiply-adds at the peak rate. A
 * weight costs its multiply-adds and, where a layer has too many for caches, part of its way from memory,
 * which those hide only in part: a float takes as long as 8 multiply-adds on Zen 4, as 27 on Emerald Rapids
 * with AVX-512, alone or beside another thread. Half transformed weights are read in one even stream, which
 * is hidden better, but make points again for each panel of tiles: `expand` of a multiply-add per point and
 * kept float, with the points 1/2 of large tiles EXPAND_LARGE times that. Narrow vectors multiply longer
 * while weights arrive; their few registers make points later. The transforms cost TRANSFORM per value read
 * or written. Fitted to times of one and two threads on Emerald Rapids; of what earlier costs chose by times
 * on Zen 4 it keeps 6 x 6 at 76 x 76 and 5 x 5 at 13 x 13, but not 16 x 16, 256 -> 512, where half
 * transformed weights took 7 % more there, before they were multiplied as now. */
static double cost_of(const dn_kernels *kernels, const dn_conv_shape *shape, int batch, bool training,
                      dn_winograd_tiles tiles) {
    enum { CACHED_BYTES = 4 << 20 };
    static const double CACHED = 1, STREAM = 2, TRANSFORM = 36, EXPAND_LARGE = 1.3;
    const bool narrow = kernels->winograd_tiles < 12;
    const double fetch = narrow ? 9 : 11, expand = narrow ? 0.9 : 0.8;
    const double filters = (double)shape->in_c * shape->out_c;
    if (tiles.m == 0) return 9 * filters * (1.3 * batch * shape->out_h * shape->out_w + fetch);
    dn_winograd winograd = dn_winograd_describe(kernels, shape, tiles.m, !training);
    if (tiles.half) dn_winograd_halve(&winograd);
    const double weights = (double)dn_winograd_u_size(&winograd);
    const double points = axis_points(&winograd, winograd.tiles_y, winograd.big_y) *
                          axis_points(&winograd, winograd.tiles_x, winograd.big_x);
    const double kept = winograd.weight_n * (tiles.half ? 3 : winograd.weight_n);
    const double panels = (double)batch * winograd.tiles_y * winograd.tiles_x / kernels->winograd_half_tiles;
    const double each = expand * winograd.n * (tiles.m > 4 ? EXPAND_LARGE : 1);
    const double expanded = tiles.half ? each * fmax(panels, 1) : 0;
    const double uses = (tiles.half ? 1.05 : 1.02) * batch * points / kept;
    const bool cached = weights * sizeof(float) <= CACHED_BYTES;
    const double fetched = cached ? CACHED : tiles.half ? STREAM : fetch;
    const double pixels = (double)batch * dn_winograd_start(&winograd, winograd.tiles_y, winograd.big_y) *
                          dn_winograd_start(&winograd, winograd.tiles_x, winograd.big_x);
    const double values = pixels * (winograd.stride * winograd.stride * shape->in_c + shape->out_c);
    return weights * (uses + expanded + fetched) + TRANSFORM * values;
}

/* More memory must gain. */
static const double WORTH_MEMORY = 0.985;

/* Errors as in dn_conv_choice, of sums over ERROR_CHANNELS, in whose square root they grow: most is from
 * adding products at points far from 1. Measured in yolov3 and yolov4, where 256 channels have as much as
 * 512. */
enum { ERROR_CHANNELS = 128, MOST_ERROR_CHANNELS = 256 };
typedef struct candidate {
    dn_winograd_tiles tiles;
    float error, strided_error; /* 0: none at that stride */
} candidate;
static const candidate all[] = {/* by floats per filter and channel: 12 15 16 18 21 24 25 36 49 64 */
                                {{2, true}, 5e-8f, 0},        {{3, true}, 1.2e-7f, 0},
                                {{2, false}, 5e-8f, 1.3e-7f}, {{4, true}, 1.7e-7f, 0},
                                {{5, true}, 2.2e-7f, 0},      {{6, true}, 2.8e-7f, 0},
                                {{3, false}, 1.2e-7f, 0},     {{4, false}, 1.7e-7f, 2.6e-7f},
                                {{5, false}, 2.2e-7f, 0},     {{6, false}, 2.8e-7f, 0}};

int dn_winograd_choices(const dn_kernels *kernels, const dn_conv_shape *shape, int batch, bool training,
                        dn_conv_choice choices[DN_CONV_CHOICES], dn_winograd_tiles tiles[DN_CONV_CHOICES]) {
    const size_t products = (size_t)shape->in_c * (size_t)shape->out_c;
    const double channels = (double)dn_min_int(shape->in_c, MOST_ERROR_CHANNELS) / ERROR_CHANNELS;
    int count = 1;
    tiles[0] = (dn_winograd_tiles){0};
    choices[0] = (dn_conv_choice){products / (size_t)shape->groups * (size_t)(shape->size * shape->size),
                                  cost_of(kernels, shape, batch, training, tiles[0]), 0};
    if (shape->size != 3 || shape->stride_x > 2 || shape->stride_y != shape->stride_x ||
        shape->dilation != 1 || shape->groups != 1 || shape->in_c < kernels->lanes / 2 ||
        shape->out_c < kernels->lanes / 2)
        return count;
    for (size_t i = 0; i < DN_COUNT(all); ++i) {
        const dn_winograd_tiles tile = all[i].tiles;
        const int n = tile.m + 2;
        const float measured = shape->stride_x == 2 ? all[i].strided_error : all[i].error;
        const float error = (float)sqrt(channels) * measured;
        if (error == 0 || (shape->most_error > 0 && error > shape->most_error)) continue;
        if (training && (tile.half || tile.m > 4)) continue;
        const double cost = cost_of(kernels, shape, batch, training, tile);
        if (cost >= WORTH_MEMORY * choices[count - 1].cost) continue;
        choices[count] = (dn_conv_choice){(size_t)(n * (tile.half ? 3 : n)) * products, cost, error};
        tiles[count++] = tile;
    }
    return count;
}

dn_winograd_tiles dn_winograd_choose(const dn_kernels *kernels, const dn_conv_shape *shape, int batch,
                                     bool training, size_t most_floats) {
    dn_conv_choice choices[DN_CONV_CHOICES];
    dn_winograd_tiles tiles[DN_CONV_CHOICES];
    int best = dn_winograd_choices(kernels, shape, batch, training, choices, tiles) - 1;
    while (best > 0 && choices[best].floats > most_floats) --best;
    return tiles[best];
}
