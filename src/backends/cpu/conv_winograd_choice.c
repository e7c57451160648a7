/* conv_winograd_choice.c - which tiles, if any, a Winograd convolution is worth: a model of its time. */
#include "cpu.h"

/* Points along an axis, of all tiles. */
static double axis_points(const dn_winograd *winograd, int tiles, int big) {
    return (double)tiles * winograd->n - winograd->stride * (tiles - big);
}

/* The time of F(m x m, 3 x 3), or of the direct product if m is 0, in multiply-adds at the peak rate. A
 * weight costs at least its way from memory, FETCH_COST, or a little if caches hold all weights; those from
 * memory are waited for, too. The transforms cost TRANSFORM_COST per value read or written. Fitted to times
 * measured on Zen 4 with one and two threads: one alone has more of the memory's rate, and would gain from
 * larger tiles, such as of 3 x 3 outputs on maps of 8 x 8, with which two lose. */
static double cost_of(const dn_kernels *kernels, const dn_conv_shape *shape, int batch, bool training,
                      int m) {
    enum { FETCH_COST = 17, WAIT_COST = 2, TRANSFORM_COST = 36, CACHED_BYTES = 8 << 20 };
    if (m == 0) {
        const double uses = 1.3 * batch * shape->out_h * shape->out_w;
        return 9.0 * shape->in_c * shape->out_c * ((uses > FETCH_COST ? uses : FETCH_COST) + 1);
    }
    const dn_winograd winograd = dn_winograd_describe(kernels, shape, m, !training);
    const double weights = (double)dn_winograd_u_size(&winograd);
    const double uses = 1.07 * batch * axis_points(&winograd, winograd.tiles_y, winograd.big_y) *
                        axis_points(&winograd, winograd.tiles_x, winograd.big_x) /
                        (winograd.weight_n * winograd.weight_n);
    const bool cached = weights * sizeof(float) <= CACHED_BYTES;
    const double waited = uses + (cached ? 1 : WAIT_COST);
    const double pixels = (double)batch * dn_winograd_start(&winograd, winograd.tiles_y, winograd.big_y) *
                          dn_winograd_start(&winograd, winograd.tiles_x, winograd.big_x);
    const double values = pixels * (winograd.stride * winograd.stride * shape->in_c + shape->out_c);
    return weights * (cached || waited > FETCH_COST ? waited : FETCH_COST) + TRANSFORM_COST * values;
}

/* Larger tiles take more memory, so they must gain. */
static const double WORTH_MEMORY = 0.985;

int dn_winograd_choices(const dn_kernels *kernels, const dn_conv_shape *shape, int batch, bool training,
                        dn_conv_choice choices[DN_CONV_CHOICES], int tiles[DN_CONV_CHOICES]) {
    const size_t products = (size_t)shape->in_c * (size_t)shape->out_c;
    const bool strided = shape->stride_x == 2;
    int count = 1;
    choices[0] = (dn_conv_choice){products / (size_t)shape->groups * (size_t)(shape->size * shape->size),
                                  cost_of(kernels, shape, batch, training, 0)};
    tiles[0] = 0;
    if (shape->size != 3 || shape->stride_x > 2 || shape->stride_y != shape->stride_x ||
        shape->dilation != 1 || shape->groups != 1 || shape->in_c < kernels->lanes / 2 ||
        shape->out_c < kernels->lanes / 2)
        return count;
    for (int m = 2; m <= (training || strided ? 4 : 6); m += strided ? 2 : 1) {
        const double cost = cost_of(kernels, shape, batch, training, m);
        if (cost >= WORTH_MEMORY * choices[count - 1].cost) continue;
        choices[count] = (dn_conv_choice){(size_t)((m + 2) * (m + 2)) * products, cost};
        tiles[count++] = m;
    }
    return count;
}

int dn_winograd_choose(const dn_kernels *kernels, const dn_conv_shape *shape, int batch, bool training,
                       size_t most_floats) {
    dn_conv_choice choices[DN_CONV_CHOICES];
    int tiles[DN_CONV_CHOICES],
        best = dn_winograd_choices(kernels, shape, batch, training, choices, tiles) - 1;
    while (best > 0 && choices[best].floats > most_floats) --best;
    return tiles[best];
}
