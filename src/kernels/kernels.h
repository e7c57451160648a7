/* kernels.h - what one instruction-set level provides: single-threaded loops over float arrays. Nothing here
 * knows layers, networks or threads. Written once in template/, compiled per level in level_*.c, chosen once
 * in dispatch.c. The generic level is the one every other is tested against. */
#ifndef DN_KERNELS_H
#define DN_KERNELS_H

#include "../base/base.h"

/* Activation functions; formulas and gradients: compat.md sections 5 and 20.1. Gradients take the output y,
 * except those marked "pre", which take the pre-activation x. */
typedef enum dn_activation {
    DN_ACTIVATION_LINEAR,
    DN_ACTIVATION_LOGISTIC,
    DN_ACTIVATION_LOGGY,
    DN_ACTIVATION_RELU,
    DN_ACTIVATION_ELU,
    DN_ACTIVATION_SELU,
    DN_ACTIVATION_RELIE,
    DN_ACTIVATION_RAMP,
    DN_ACTIVATION_LEAKY,
    DN_ACTIVATION_TANH,
    DN_ACTIVATION_PLSE,
    DN_ACTIVATION_STAIR,
    DN_ACTIVATION_HARDTAN,
    DN_ACTIVATION_LHTAN,
    DN_ACTIVATION_RELU6,
    DN_ACTIVATION_REVLEAKY,
    DN_ACTIVATION_SWISH,     /* pre */
    DN_ACTIVATION_MISH,      /* pre */
    DN_ACTIVATION_HARD_MISH, /* pre */
    DN_ACTIVATION_GELU,
    /* Across channels at each pixel; not for kernels that see flat arrays. */
    DN_ACTIVATION_NORMALIZE_CHANNELS,
    DN_ACTIVATION_NORMALIZE_CHANNELS_SOFTMAX,
    DN_ACTIVATION_NORMALIZE_CHANNELS_SOFTMAX_MAXVAL,
    DN_ACTIVATION_COUNT
} dn_activation;

/* The square patches under a convolution's windows, as a matrix that is never stored: row k is (channel, ky,
 * kx), column j is (image, oy, ox). */
typedef struct dn_patches {
    const float *x;
    size_t image_stride;
    int h, w, out_h, out_w;
    int size, stride_y, stride_x, pad, dilation; /* pad may be negative */
} dn_patches;

enum { DN_CHAINS = 12 };         /* vectors of multiply_add_chains */
enum { DN_PATCH_COLUMNS = 256 }; /* most columns per call of pack_patches */

/* Winograd interpolation points besides 0 and infinity (template/winograd_transforms.h; winograd_taps.h is
 * made for these very values): */
#define DN_WINOGRAD_P 1.0f
#define DN_WINOGRAD_Q 2.0f
#define DN_WINOGRAD_R 0.5f

enum { DN_WINOGRAD_PIXELS = 64 }; /* staged at a time: n * 64 * lanes floats */

/* One row of Winograd tiles of one block of `lanes` channels; see template/winograd.h. */
typedef struct dn_winograd_row {
    const float *x, *x_end; /* the block's first plane; end of readable memory */
    size_t plane;
    int channels; /* <= lanes; the others are zero */
    int h, w;
    int y, left;                   /* corner of the first tile in the input, outside if negative */
    int tiles, first, panel_tiles; /* first: number of the first tile in its block of panels */
    bool small_y, small_x;         /* tiles of m - 1 outputs along this axis, for weights of m */
    size_t point_stride, panel_stride, channel_offset;
} dn_winograd_row;

/* Pairs of points along an axis: 0 and infinity, +-p, +-q, +-r; see template/winograd_taps.h. */
typedef enum dn_winograd_pair {
    DN_WINOGRAD_ENDS,
    DN_WINOGRAD_PAIR_P,
    DN_WINOGRAD_PAIR_Q,
    DN_WINOGRAD_PAIR_R
} dn_winograd_pair;

/* Tiles to multiply at a point, or both of a pair; the second is so far apart. */
typedef struct dn_winograd_call {
    dn_winograd_pair pair;
    int points, tiles;
    size_t v, v_apart, out, out_apart; /* from those of dn_winograd_taps */
    float scale[2];
} dn_winograd_call;

/* out[tile][lanes] (+)= scale v[block][tile][lanes] times the points of h[blocks * lanes][3][lanes], behind
 * which as much as a channel's must be readable. next is fetched meanwhile, so many floats per channel and
 * point. */
typedef struct dn_winograd_taps {
    int blocks;
    size_t block_stride, out_stride, next_step;
    const float *v, *h, *next;
    float *out;
    bool accumulate;
} dn_winograd_taps;

/* Local response normalisation: y = x (kappa + alpha * sum of squares of a window of channels)^-beta, the
 * window as in compat.md 6.17. */
typedef struct dn_lrn {
    float alpha, beta, kappa;
    int size;
} dn_lrn;

/* What follows a tile of a matrix product, or a convolution: y = activation(y + bias) (+ residual), or, with
 * activate_sum, the activation of the sum with the residual. */
typedef struct dn_epilogue {
    const float *bias, *residual; /* of each row, and laid out as the result; or NULL */
    dn_activation activation;
    bool activate_sum;
} dn_epilogue;

enum { DN_WINOGRAD_FETCH = 16 }; /* floats that winograd_multiply fetches per k */
/* What is multiplied and added up for a point: v[block][tile][lanes] and u[blocks * lanes][2 lanes]. next is
 * fetched meanwhile, a line per k, and another so many floats (next_apart) further. */
typedef struct dn_winograd_factors {
    const float *v, *u, *next;
} dn_winograd_factors;

/* y[channels][rows][columns] = (accumulate ? y : 0) + A^T p A of one row of tiles of one block of channels;
 * then, without accumulate, the epilogue if not NULL, whose pointers are those of this part; activate_sum is
 * not done here. */
typedef struct dn_winograd_result {
    int m, stride;
    bool small_y, small_x, accumulate;
    const float *in; /* [tile][point], so many floats apart */
    size_t tile_stride, point_stride;
    int tiles, channels;
    float *y;
    size_t plane;
    int w, rows, columns;
    const dn_epilogue *epilogue;
} dn_winograd_result;

/* Planes of a depthwise convolution: y[planes][out_h][out_w] of x[planes / multiplier][h][w], padded by size
 * / 2.
 */
typedef struct dn_depthwise_planes {
    int size, stride; /* 3 or 5; 1 or 2 */
    int planes, multiplier, h, w, out_h, out_w;
    int top; /* row of x under the middle of the kernel at the first row of y */
    size_t x_plane, y_plane;
    const float *x, *zeros; /* zeros: a row of them */
    const float *weights;   /* [planes][size][size] */
    float *y;
    dn_epilogue epilogue; /* none if its bias is NULL */
} dn_depthwise_planes;

enum { DN_SHALLOW = 64 }; /* tiles less deep take less time than fetching what is next */

/* A row of tiles: c[rows][columns] = (accumulate ? c : 0) + a * b, then the epilogue if not NULL, whose
 * pointers are those of c. Row k of panel p of b is at b + p * panel + k * apart, or, if there are offsets,
 * + offsets[k]: packed, or where it is, if lanes - 1 floats past the columns can be read. */
typedef struct dn_tiles {
    int depth, rows, columns;
    const float *a, *b;
    const ptrdiff_t *offsets; /* or NULL */
    ptrdiff_t apart, panel;
    ptrdiff_t ahead; /* of each row of b, so far from it is fetched meanwhile, unless 0; not with offsets */
    float *c;
    size_t ldc;
    bool accumulate;
    const dn_epilogue *epilogue;
    /* Fetched meanwhile into the second-level cache: the next panel of a, or NULL; what b will be soon, with
     * each of the first `soon_lines` tiles a column of cache lines, `depth` of them so far apart. */
    const float *next, *soon;
    size_t soon_apart;
    int soon_lines;
} dn_tiles;

/* Pixels of a row of a convolution, lanes being filters: y[half][pixel][lanes], halves so many floats apart,
 * = the sum over k of x[offsets[k] + pixel] weights[k][half][lanes], then the epilogue. */
typedef struct dn_direct_pixels {
    int depth, pixels;
    const float *x, *weights;
    const ptrdiff_t *offsets;
    float *y;
    size_t half;
    const dn_epilogue *epilogue; /* with a bias[2 lanes], without residual */
} dn_direct_pixels;

/* Two rows of outputs of a convolution of which only the largest of 2x2 windows remain: y[filters][plane],
 * pooled_columns of each. Where there is a row alone it is both. Row k of what they are made of is at
 * top, bottom + offsets[k], and can be read 2 lanes - 1 floats past the columns. */
typedef struct dn_pooled_rows {
    int depth, filters, columns, pooled_columns; /* columns: before */
    const float *a;                              /* panels of gemm_rows filters */
    const float *top, *bottom;
    const ptrdiff_t *offsets;
    float *y;
    size_t plane;
    const dn_epilogue *epilogue; /* with a bias, without residual */
} dn_pooled_rows;

typedef struct dn_kernels {
    const char *level; /* "generic", "avx2", "avx512", "neon" */
    int lanes;         /* floats per vector */

    /* ---- matrix products (template/gemm.h, gemv.h) ----
     * A tile is gemm_rows x gemm_columns of C held in registers. A is packed in panels of gemm_rows rows,
     * a[k][gemm_rows]; B in panels of gemm_columns columns, b[k][gemm_columns], zero padded. */
    int gemm_rows, gemm_columns;
    void (*gemm_tiles)(const dn_tiles *tiles);
    /* even[i] = from[2 i], odd[i] = from[2 i + 1] */
    void (*split_pairs)(const float *from, int pairs, float *even, float *odd);
    /* Panels [depth][width] of one operand, zero beyond `columns`: from[k][stride] as it is; the transpose of
     * from[j][stride]; patches of images from row `first` and column `column` on. */
    void (*pack_rows)(const float *from, size_t stride, int depth, int columns, int width, float *panel);
    void (*pack_columns)(const float *from, size_t stride, int depth, int columns, int width, float *panel);
    void (*pack_patches)(const dn_patches *patches, size_t column, int columns, int first, int depth,
                         int width, float *panel);
    /* y[rows] = (accumulate ? y : 0) + a[rows][stride] x[depth] */
    void (*multiply_vector)(int rows, int depth, const float *a, size_t stride, const float *x, float *y,
                            bool accumulate);
    /* y[columns] = (accumulate ? y : 0) + x[depth] a[depth][stride] */
    void (*multiply_vector_transposed)(int depth, int columns, const float *a, size_t stride, const float *x,
                                       float *y, bool accumulate);
    /* y[i] = (accumulate ? y[i] : 0) + sum over t of weights[t] from[offsets[t] + i]; reads up to lanes - 1
     * further */
    void (*weigh_shifted)(int taps, const float *weights, const ptrdiff_t *offsets, const float *from,
                          float *y, int count, bool accumulate);

    void (*depthwise_planes)(const dn_depthwise_planes *job); /* template/depthwise.h */

    /* sums[correlate_rows][correlate_columns][lanes] adds left[i * stride + p] right[offsets[j] + p] for all
     * p < count, lane by lane; reads up to lanes - 1 further on the right */
    int correlate_rows, correlate_columns;
    void (*correlate)(int count, const float *left, size_t stride, const float *right,
                      const ptrdiff_t *offsets, float *sums);

    /* sums[taps] = sum over rows and p < count of left[row * count + p] right[row * stride + offsets[tap] +
     * p]; reads up to lanes - 1 further on the right */
    void (*correlate_plane)(int rows, int count, const float *left, const float *right, size_t stride,
                            int taps, const ptrdiff_t *offsets, float *sums);

    /* ---- Winograd convolution F(m x m, 3 x 3): m = 2 .. 6, at stride 2 m = 2, 4 (template/winograd.h) ----
     */
    /* most tiles per panel, the same of weights kept as taps; output channels per panel */
    int winograd_tiles, winograd_taps_tiles, winograd_columns;
    /* v[panel][point][channel block][tile][lanes] = B^T d B of one row of tiles, n points per axis: m + 2, or
     * 2 m + 1 at stride 2; stage: n DN_WINOGRAD_PIXELS lanes */
    void (*winograd_input)(int m, int stride, const dn_winograd_row *row, float *stage, float *v);
    /* The same at stride 2 of a strip that is staged already, [n][pixels][lanes], and is written over: so
     * many tiles have DN_WINOGRAD_PIXELS or fewer. Of the row only what concerns v matters. */
    void (*winograd_staged)(int m, const dn_winograd_row *row, float *stage, float *v);
    void (*direct_pixels)(const dn_direct_pixels *job); /* stages a convolution's output */
    /* out[tile][2 lanes] (+)= the sum of v[block][tile][lanes] u[blocks * lanes][2 lanes] of some factors */
    void (*winograd_multiply)(int tiles, int count, const dn_winograd_factors *factors, int blocks,
                              size_t block_stride, bool accumulate, float *out, size_t out_stride,
                              size_t next_apart);
    void (*winograd_output)(const dn_winograd_result *result);
    /* Weights kept as taps (template/winograd_taps.h): what is left to fetch is returned. */
    const float *(*winograd_multiply_taps)(const dn_winograd_call *calls, int count,
                                           const dn_winograd_taps *taps);
    /* h[channels][3][lanes] at a row of points, the first or second (0, 1) of a pair, of
     * w[channels][3][3][lanes]
     */
    void (*winograd_row)(dn_winograd_pair pair, int point, int channels, const float *w, float *h);
    /* That, of each of two vectors of filters, of w[channels][9][2 lanes] */
    void (*winograd_weights_taps)(int channels, const float *w, float *sums, size_t vector_stride);
    /* At stride 2: a row of the points of weights, u[m + 2][channels][2 lanes] of w[channels][9][2 lanes] */
    void (*winograd_row_strided)(int m, int row, int channels, const float *w, float *u, size_t point_stride);
    /* Planned. u[point][channels][2 lanes] = G w G^T of w[channels][9][2 lanes] in double precision; g: the
     * table G[n][3], n = 4 .. 8 (template/winograd_weights.h) */
    void (*winograd_weights_exact)(int n, int channels, const double *g, const float *w, float *u,
                                   size_t point_stride);
    /* Training. g: the table G[m + 2][3], whose first row is (g, 0, 0) and last (0, 0, 1).
     * u[point][channels][2 lanes] = G w G^T of w[channels][9][2 lanes], the taps in reverse if asked */
    void (*winograd_weights)(int m, int channels, const float *g, bool reverse, const float *w, float *u,
                             size_t point_stride);
    /* v = A e A^T, where the row's planes are gradients of outputs; laid out as by winograd_input */
    void (*winograd_input_gradient)(int m, const dn_winograd_row *row, float *stage, float *v);
    /* out[lanes][2 lanes] = (accumulate ? out : 0) + v[tiles][lanes]^T e[halves][tiles][lanes]; halves: 1, 2
     */
    void (*winograd_gradient)(int tiles, int halves, const float *v, const float *e, size_t e_stride,
                              float *out, bool accumulate);
    /* dw[filters][channels][9] adds G^T p G of p[point][lanes][2 lanes]; stride: between filters */
    void (*winograd_weights_gradient)(int m, const float *g, const float *p, int channels, int filters,
                                      float *dw, size_t stride);

    /* ---- element-wise (template/elementwise.h) ---- */
    void (*activate)(dn_activation kind, float *x, size_t count); /* in place */
    /* delta *= g(y), or g(x) for the "pre" kinds (then pre is not NULL). */
    void (*activate_gradient)(dn_activation kind, const float *y, const float *pre, float *delta,
                              size_t count);
    /* row[i] = activate(row[i] * scale + shift) (+ residual[i] if not NULL), or, with activate_sum, of the
     * sum with the residual: a convolution's epilogue, one channel */
    void (*affine_activate)(dn_activation kind, bool activate_sum, float *row, float scale, float shift,
                            const float *residual, size_t count);
    void (*axpy)(float *y, float a, const float *x, size_t count);                /* y += a x */
    void (*scale)(float *x, float a, size_t count);                               /* x *= a */
    void (*multiply)(float *y, const float *a, const float *b, size_t count);     /* y = a b */
    void (*multiply_add)(float *y, const float *a, const float *b, size_t count); /* y += a b */
    /* x[DN_CHAINS * lanes] = x a + b, `rounds` times in registers: as many multiply-adds at once as a
     * processor's pipelines hold, for measuring how many it can do. */
    void (*multiply_add_chains)(size_t rounds, float a, float b, float *x);
    double (*sum)(const float *x, size_t count);
    double (*dot)(const float *x, const float *y, size_t count);
    double (*sum_squared_difference)(const float *x, float mean, size_t count); /* sum (x - mean)^2 */
    /* Batch normalisation of one channel's row. y = (x - mean) factor + shift: mean first, as x and mean may
     * nearly cancel */
    void (*normalize)(const float *x, float *y, float mean, float factor, float shift, size_t count);
    /* sums: of delta, of delta (x - mean) */
    void (*normalize_sums)(const float *x, const float *delta, float mean, size_t count, double sums[2]);
    /* delta = delta slope + (x - mean) centred + constant */
    void (*normalize_gradient)(const float *x, float *delta, float mean, float slope, float centred,
                               float constant, size_t count);

    /* ---- pooling (template/pool.h): one plane ---- */
    /* Windows start at row*stride_y + offset_y; outside is -infinity; first maximum in scan order wins.
     * argmax (index in the plane) may be NULL. */
    void (*maxpool)(const float *in, int h, int w, float *out, int32_t *argmax, int out_h, int out_w,
                    int size, int stride_y, int stride_x, int offset_y, int offset_x);
    void (*pooled_rows)(const dn_pooled_rows *rows); /* template/pooled.h */
    /* dx[h][w] = (accumulate ? dx : 0) + dy at each argmax */
    void (*maxpool_gradient)(const int32_t *argmax, const float *dy, int out_h, int out_w, float *dx, int h,
                             int w, int size, int stride_y, int stride_x, int offset_y, int offset_x,
                             bool accumulate);

    /* ---- local response normalisation (template/lrn.h): the first `count` pixels of c planes, `plane`
     * floats apart; factor: what each value was multiplied by, or NULL ---- */
    void (*lrn)(const dn_lrn *options, int c, size_t plane, size_t count, const float *x, float *y,
                float *factor);

    /* ---- optimisers (template/optimize.h); formulas: compat.md 10.3, 10.4 ---- */
    /* g -= decay w (decay already times batch); w += rate g; g *= momentum */
    void (*sgd)(float *w, float *g, size_t count, float rate, float momentum, float decay);
    void (*adam)(float *w, float *g, float *m, float *v, size_t count, float rate, float b1, float b2,
                 float eps, float decay, float correction1, float correction2);

} dn_kernels;

/* The table for this machine, chosen once (DARKNET_CPU may lower the level); NULL with a message if
 * DARKNET_CPU names a level that is unknown or that the machine lacks. */
const dn_kernels *dn_kernels_get(void);
/* Table i of those this machine can run, best first; NULL past the end. */
const dn_kernels *dn_kernels_available(int i);

#endif
