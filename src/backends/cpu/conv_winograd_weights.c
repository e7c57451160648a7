/* conv_winograd_weights.c - the weights of Winograd convolutions, transformed once, u = G w G^T: the tables G
 * and the layout of what a plan keeps. */
#include "cpu.h"

#include <string.h>

enum { MOST_ROWS = 8 };

/* G of F(m x m, r x r) at the points of template/winograd_transforms.h: row p is (1, p, p^2) / product of
 * (p - q), the last row (0, 0, 1) (Lavin and Gray; Barabasz et al., "Error analysis and improving the
 * accuracy of Winograd convolution", 2020). */
static void weight_transform(int m, double g[][3]) {
    const double p = (double)DN_WINOGRAD_P, q = (double)DN_WINOGRAD_Q, r = (double)DN_WINOGRAD_R;
    const double points[7] = {0, p, -p, q, -q, r, -r};
    memset(g, 0, (size_t)(m + 2) * sizeof *g);
    for (int i = 0; i <= m; ++i) {
        double product = 1, power = 1;
        for (int j = 0; j <= m; ++j)
            if (j != i) product *= points[i] - points[j];
        for (int j = 0; j < 3; ++j, power *= points[i]) g[i][j] = power / product;
    }
    g[m + 1][2] = 1;
}

/* At stride 2, not divided: the outer taps, then the middle one, which is the same at all points. */
static void weight_transform_strided(int m, double g[][3]) {
    const double points[4] = {0, (double)DN_WINOGRAD_P, -(double)DN_WINOGRAD_P, (double)DN_WINOGRAD_Q};
    memset(g, 0, (size_t)(m + 2) * sizeof *g);
    for (int i = 0; i < m; ++i) {
        g[i][0] = 1;
        g[i][2] = points[i];
    }
    g[m][2] = 1;
    g[m + 1][1] = 1;
}

size_t dn_winograd_u_size(const dn_winograd *winograd) {
    const size_t panels = (size_t)(winograd->panels * winograd->weight_n), floats = winograd->panel_floats;
    return winograd->taps ? (size_t)winograd->panels * 9 * floats
                          : panels * (size_t)winograd->weight_n * floats;
}

int dn_winograd_points(int m, int stride) {
    return stride == 2 ? 2 * m + 1 : m + 2;
}

/* As few tiles as m allows: all of m, or if mixed, of m and m - 1, those of m first. */
static void cut_axis(int size, int m, bool mixed, int *tiles, int *big) {
    *tiles = (size + m - 1) / m;
    *big = mixed ? dn_max_int(0, size - *tiles * (m - 1)) : *tiles;
}

int dn_winograd_start(const dn_winograd *winograd, int tile, int big) {
    return tile * winograd->m - dn_max_int(0, tile - big);
}

dn_winograd dn_winograd_describe(const dn_kernels *kernels, const dn_conv_shape *shape, int m, bool mixed) {
    const int stride = shape->stride_x, n = dn_winograd_points(m, stride), width = kernels->winograd_columns;
    dn_winograd winograd = {
        .kernels = kernels, .shape = *shape, .m = m, .stride = stride, .n = n, .points = n * n};
    winograd.weight_n = m + 2;
    winograd.sum_n = stride == 2 ? m + 1 : n;
    mixed = mixed && m > 2;
    cut_axis(shape->out_w, m, mixed, &winograd.tiles_x, &winograd.big_x);
    cut_axis(shape->out_h, m, mixed, &winograd.tiles_y, &winograd.big_y);
    winograd.blocks = (shape->in_c + kernels->lanes - 1) / kernels->lanes;
    winograd.panels = (shape->out_c + width - 1) / width;
    winograd.panel_floats = (size_t)winograd.blocks * (size_t)kernels->lanes * (size_t)width;
    return winograd;
}

void dn_winograd_table(int m, float g[18]) {
    double exact[MOST_ROWS][3];
    weight_transform(m, exact);
    for (int i = 0; i < 3 * (m + 2); ++i) g[i] = (float)exact[i / 3][i % 3];
}

/* The factors along an axis that template/winograd_taps.h leaves out of G, or has too many: it makes 3 times
 * the tap of 0 and 6 times that of infinity, 2, 1 and 8 times the sums of taps at +-1, +-2 and +-1/2. */
void dn_winograd_keep_taps(dn_winograd *winograd) {
    double g[MOST_ROWS][3];
    const int infinity = winograd->m + 1;
    winograd->taps = true;
    if (winograd->stride == 2) return;
    weight_transform(winograd->m, g);
    /* Small tiles lack the second point of a pair; to multiply two tiles at it takes longer than four at
     * both. */
    if (winograd->m % 2 == 0 && winograd->tiles_x <= 2) winograd->big_x = winograd->tiles_x;
    for (int i = 0; i <= infinity; ++i)
        winograd->scale[i] = (float)(i == 0          ? g[i][0] / 3
                                     : i == infinity ? g[i][2] / 6
                                     : i < 3         ? g[i][0] / 2
                                     : i < 5         ? g[i][0]
                                                     : g[i][0] / 8);
}

/* [channels][9][columns] of one panel, from channel c on. */
static void pack_channels(const dn_winograd *winograd, const double *g, const float *taps, int panel, int c,
                          int channels) {
    const dn_kernels *kernels = winograd->kernels;
    const size_t width = (size_t)kernels->winograd_columns, panel_floats = winograd->panel_floats;
    const int n = winograd->weight_n;
    if (winograd->taps && winograd->stride == 2)
        memcpy(winograd->u + (size_t)panel * 9 * panel_floats + (size_t)(c * 9) * width, taps,
               (size_t)(channels * 9) * width * sizeof *taps);
    else if (winograd->taps)
        kernels->winograd_weights_taps(
            channels, taps, winograd->u + (size_t)panel * 9 * panel_floats + (size_t)(c * 9) * width / 2,
            9 * panel_floats / 2);
    else
        kernels->winograd_weights_exact(n, channels, g, taps,
                                        winograd->u + (size_t)panel * panel_floats + (size_t)c * width,
                                        (size_t)winograd->panels * panel_floats);
}

void dn_winograd_pack(const dn_winograd *winograd, int first, int count, const float *weights) {
    enum { CHANNELS = 8, MOST_WIDTH = 64 };
    const dn_kernels *kernels = winograd->kernels;
    const int width = kernels->winograd_columns, in_c = winograd->shape.in_c;
    const size_t filter = (size_t)in_c * 9;
    double g[MOST_ROWS][3];
    float taps[CHANNELS * 9 * MOST_WIDTH];
    if (winograd->stride == 2)
        weight_transform_strided(winograd->m, g);
    else
        weight_transform(winograd->m, g);
    for (int done = 0; done < count; done += width) {
        const int filters = dn_min_int(width, count - done);
        for (int c = 0; c < in_c; c += CHANNELS) {
            const int channels = dn_min_int(CHANNELS, in_c - c);
            kernels->pack_columns(weights + (size_t)done * filter + (size_t)c * 9, filter, channels * 9,
                                  filters, width, taps);
            pack_channels(winograd, &g[0][0], taps, (first + done) / width, c, channels);
        }
    }
}
