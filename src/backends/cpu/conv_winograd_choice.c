/* conv_winograd_choice.c - which tiles, if any, a Winograd convolution is worth: a model of its time. */
#include "cpu.h"

#include <math.h>

/* Points along an axis, of all tiles. */
static double axis_points(const dn_winograd *winograd, int tiles, int big) {
    return (double)tiles * winograd->n - winograd->stride * (tiles - big);
}

/* Per filter and channel, as cost_of: products of a panel of few tiles have something that they don't share,
 * and rows of points are made for each block of tiles. For 8 x 8, 13 x 13, 16 x 16, 26 x 26 and 32 x 32
 * outputs the quicker of both ways to keep weights is found (one thread of Emerald Rapids; with AVX2 taps
 * take 3 % less at most, and a tenth to a quarter more from 16 x 16 on). */
static double strided_taps(const dn_winograd *winograd, double products, int batch, bool narrow) {
    static const double MULTIPLY_NARROW = 1.3, ALONE = 1.5, EXPAND = 4, BLOCK_TILES = 28;
    const double tiles = (double)batch * winograd->tiles_y * winograd->tiles_x;
    return (narrow ? MULTIPLY_NARROW : 1) * products +
           ALONE * winograd->points * ceil(tiles / winograd->kernels->winograd_tiles) +
           EXPAND * winograd->weight_n * winograd->weight_n * fmax(1, tiles / BLOCK_TILES);
}

/* The time of F(m x m, 3 x 3), or of the direct product if m is 0, in multiply-adds at the peak rate. A float
 * of transformed weights costs its multiply-adds and, where a layer has too many for caches, part of its way
 * from memory, which those hide only in part (a float takes as long as 8 multiply-adds on Zen 4, as 27 on
 * Emerald Rapids with AVX-512). Weights kept as taps arrive in time, but make points for each panel of tiles:
 * `expand` per point, with the points 1/2 of large tiles EXPAND_LARGE times that; their products run slower
 * where vectors are wide, as they load an operand with every multiply-add. Narrow vectors multiply longer
 * while weights arrive; their few registers hold sums of fewer tiles. The transforms cost TRANSFORM per value
 * read or written. For 13 shapes from 64 channels at 104 x 104 to 512 at 7 x 7 they choose tiles that take at
 * most 7 % longer than the quickest, but for two on two threads, 15 and 24 % (Emerald Rapids, AVX-512; with
 * AVX2, of 9 shapes two, 11 and 49 %; not measured on Zen 4). */
static double cost_of(const dn_kernels *kernels, const dn_conv_shape *shape, int batch, bool training,
                      dn_winograd_tiles tiles) {
    enum { CACHED_BYTES = 4 << 20 };
    static const double MULTIPLY = 1.07, TRANSFORM = 36, EXPAND_LARGE = 1.3;
    const bool narrow = kernels->winograd_tiles < 12, strided = shape->stride_x == 2;
    const double cached = narrow ? 2 : 4, fetch = strided || narrow ? 11 : 15;
    const double multiply_taps = narrow ? 1.1 : 1.44, expand = narrow ? 4.2 : 3;
    const double filters = (double)shape->in_c * shape->out_c;
    if (tiles.m == 0) return 9 * filters * (1.3 * batch * shape->out_h * shape->out_w + fetch);
    dn_winograd winograd = dn_winograd_describe(kernels, shape, tiles.m, !training);
    if (tiles.taps) dn_winograd_keep_taps(&winograd);
    const double products = batch * axis_points(&winograd, winograd.tiles_y, winograd.big_y) *
                            axis_points(&winograd, winograd.tiles_x, winograd.big_x);
    const double panels = (double)batch * winograd.tiles_y * winograd.tiles_x / kernels->winograd_taps_tiles;
    const double points = winograd.n * winograd.n * (tiles.m > 4 ? EXPAND_LARGE : 1);
    const double kept = winograd.weight_n * winograd.weight_n;
    const bool fits = kept * filters * sizeof(float) <= CACHED_BYTES;
    const double weights = kept * (fits ? cached : fetch);
    const double each = !tiles.taps ? MULTIPLY * products + weights
                        : strided   ? strided_taps(&winograd, products, batch, narrow)
                                    : multiply_taps * products + expand * points * fmax(panels, 1);
    const double pixels = (double)batch * dn_winograd_start(&winograd, winograd.tiles_y, winograd.big_y) *
                          dn_winograd_start(&winograd, winograd.tiles_x, winograd.big_x);
    const double values = pixels * (winograd.stride * winograd.stride * shape->in_c + shape->out_c);
    return filters * each + TRANSFORM * values;
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
static const candidate all[] = {/* by floats per filter and channel: 9, then 16 25 36 49 64 */
                                {{2, true}, 5e-8f, 1.3e-7f},   {{3, true}, 1.2e-7f, 0},
                                {{4, true}, 1.7e-7f, 2.6e-7f}, {{5, true}, 2.2e-7f, 0},
                                {{6, true}, 2.8e-7f, 0},       {{2, false}, 5e-8f, 1.3e-7f},
                                {{3, false}, 1.2e-7f, 0},      {{4, false}, 1.7e-7f, 2.6e-7f},
                                {{5, false}, 2.2e-7f, 0},      {{6, false}, 2.8e-7f, 0}};

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
        if (training && (tile.taps || tile.m > 4)) continue;
        const double cost = cost_of(kernels, shape, batch, training, tile);
        const size_t floats = (size_t)(tile.taps ? 9 : n * n) * products;
        const bool same = count > 1 && floats == choices[count - 1].floats;
        if (cost >= (same ? 1 : WORTH_MEMORY) * choices[count - 1].cost) continue;
        count -= same;
        choices[count] = (dn_conv_choice){floats, cost, error};
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
