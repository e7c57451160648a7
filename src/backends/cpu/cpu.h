/* cpu.h - what the files of the CPU backend share: the device, the matrix product driver and the operations
 * that cpu_backend.c puts in its table. Each dn_cpu_<slot> is the slot of that name in backend.h. */
#ifndef DN_CPU_H
#define DN_CPU_H

#include "../../base/threads.h"
#include "../backend.h"

struct dn_device {
    dn_pool *pool;
    const dn_kernels *kernels;
};

/* ---- the matrix product driver (gemm.c) ---- */

typedef enum dn_layout {
    DN_LAYOUT_ROWS,            /* element (k, j) at p[k * stride + j] */
    DN_LAYOUT_COLUMNS,         /* at p[j * stride + k] */
    DN_LAYOUT_PATCHES,         /* k: (channel, ky, kx), j: pixel of one or more images */
    DN_LAYOUT_PATCHES_COLUMNS, /* the transpose of that */
    DN_LAYOUT_FLIPPED,         /* weights [o][stride / taps][taps]: k: (o, tap from the last), j: channel */
    DN_LAYOUT_PACKED           /* panels made by dn_gemm_pack */
} dn_layout;

/* One side of a product; k runs over the depth, j over rows (left side) or columns (right side) of the
 * result. */
typedef struct dn_operand {
    dn_layout layout;
    const float *p;
    size_t stride;
    bool open;             /* ROWS: vectors that begin within a row may be read, whatever follows */
    int segment;           /* COLUMNS: k runs over segments (images) of this length; 0: one */
    size_t segment_stride; /* from each segment to the next */
    int taps;              /* FLIPPED: size * size */
    dn_patches patches;
} dn_operand;

/* c[m][n] = (accumulate ? c : 0) + left right, then the epilogue. */
typedef struct dn_gemm {
    int m, n, k;
    dn_operand left, right;
    float *c;
    size_t ldc;
    int columns; /* columns of c beside each other before the next image; 0: all */
    size_t image_stride;
    bool accumulate;
    const dn_epilogue *epilogue; /* of each row, or NULL: none */
} dn_gemm;

size_t dn_gemm_scratch(const dn_kernels *kernels, int m, int n, int k, int threads); /* floats */
void dn_gemm_run(dn_device *device, const dn_gemm *gemm, float *scratch);
/* The same on the calling thread alone, with scratch for one. */
void dn_gemm_run_alone(const dn_kernels *kernels, const dn_gemm *gemm, float *scratch);
/* The left side packed once and for all. */
size_t dn_gemm_packed_size(const dn_kernels *kernels, int m, int k); /* floats */
void dn_gemm_pack(const dn_kernels *kernels, const dn_operand *left, int m, int k, float *packed);
/* Only rows first .. first + count - 1, which left begins with; first: a multiple of gemm_rows. */
void dn_gemm_pack_rows(const dn_kernels *kernels, const dn_operand *left, int m, int k, int first, int count,
                       float *packed);

/* ---- pieces of convolutions ---- */

dn_patches dn_conv_patches(const dn_conv_shape *shape, const float *x); /* of one group */

/* A convolution of several in one step; without a shape: it is missing. */
typedef struct dn_conv_part {
    const dn_conv_shape *shape;
    const float *weights; /* packed by dn_gemm_pack, or, depthwise, as given */
    dn_epilogue epilogue;
} dn_conv_part;

/* Padded planes (conv_direct.c): [rows][stride_x][pitch], columns apart by the stride stored beside each
 * other, so that every tap of a row of outputs is one contiguous run. Row 0 is image row -pad. */
int dn_padded_pitch(const dn_conv_shape *shape);
/* Floats in front of column 0 of a phase of the stride. */
int dn_padded_lead(const dn_conv_shape *shape, int phase);
/* The columns first .. last of a phase that lie inside the image. */
void dn_padded_inside(const dn_conv_shape *shape, int phase, int *first, int *last);
void dn_pad_rows(const dn_kernels *kernels, const dn_conv_shape *shape, const float *plane, int first,
                 int rows, float *padded);
/* offsets[channels][size][size], relative to the first row of a window. */
void dn_padded_offsets(const dn_conv_shape *shape, int channels, size_t channel_stride, ptrdiff_t *offsets);

/* Few channels and wide maps, as in a first layer (conv_direct.c); weights packed by dn_gemm_pack. */
bool dn_direct_fits(const dn_kernels *kernels, const dn_conv_shape *shape);
size_t dn_direct_scratch(const dn_conv_shape *shape, int threads); /* floats */
/* windows: see conv_pool, or NULL */
void dn_direct_run(dn_device *device, const dn_conv_shape *shape, const dn_pool_shape *windows,
                   const float *x, const float *weights, const dn_epilogue *epilogue, float *y,
                   float *scratch);
/* Its pieces. The padded planes under up to so many output rows: floats; of every (channel, tap) the offset
 * from a pixel's window; those under rows first .. last - 1. */
enum { DN_DIRECT_DEPTH = 256 }; /* most channels times taps: one block of dn_gemm_pack */
size_t dn_direct_padded(const dn_conv_shape *shape, int rows);
void dn_direct_offsets(const dn_conv_shape *shape, int rows, ptrdiff_t offsets[DN_DIRECT_DEPTH]);
void dn_direct_pad(const dn_kernels *kernels, const dn_conv_shape *shape, int rows, const float *x, int first,
                   int last, float *padded);
/* Output rows first .. last - 1, on the calling thread alone, to a map that has only them, planes so far
 * apart; scratch for one, zeros before the first of such calls. No residual. */
void dn_direct_rows(const dn_kernels *kernels, const dn_conv_part *conv, const float *x, int first, int last,
                    float *y, size_t plane, float *scratch);
/* The gradient of the weights, where they are few. */
bool dn_direct_gradient_fits(const dn_kernels *kernels, const dn_conv_shape *shape);
size_t dn_direct_gradient_scratch(const dn_kernels *kernels, const dn_conv_shape *shape, int batch,
                                  int threads); /* floats */
void dn_direct_gradient_run(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                            const float *dy, float *dw, float *scratch);

/* One input channel per group (conv_depthwise.c). */
bool dn_depthwise_fits(const dn_conv_shape *shape);
size_t dn_depthwise_scratch(const dn_conv_shape *shape, int threads); /* floats, for all three */
void dn_depthwise_forward(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                          const float *weights, const dn_epilogue *epilogue, float *y, float *scratch);
void dn_depthwise_data_gradient(dn_device *device, const dn_conv_shape *shape, int batch,
                                const float *weights, const float *dy, float *dx, bool accumulate,
                                float *scratch);
void dn_depthwise_weight_gradient(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                                  const float *dy, float *dw, float *scratch);

/* Of these the forward product reads planes as they are (template/depthwise.h). */
bool dn_depthwise_fits_plane(const dn_conv_shape *shape);

/* A depthwise convolution, of which dn_depthwise_fits_plane, the pointwise or direct one that it alone reads
 * and the pointwise one that alone reads it; one of these may be missing (conv_separable.c). y is that of the
 * last, which alone may have a residual. */
typedef struct dn_separable {
    dn_conv_part head, depthwise, tail;
    const float *x;
    float *y;
} dn_separable;

/* NULL: missing. A head that isn't pointwise must be one of dn_direct_fits. */
bool dn_separable_fits(const dn_conv_shape *head, const dn_conv_shape *depthwise, const dn_conv_shape *tail);
size_t dn_separable_scratch(const dn_kernels *kernels, const dn_separable *s, int threads); /* floats */
void dn_separable_run(dn_device *device, const dn_separable *s, float *scratch);

/* 3x3, stride 1 or, planned only, 2, dilation 1, one group (conv_winograd.c). */
typedef struct dn_winograd {
    const dn_kernels *kernels;
    dn_conv_shape shape;
    int m, stride, n, points;           /* n: points per axis */
    int tiles_x, tiles_y, big_x, big_y; /* big: with m outputs; those after them have m - 1 */
    int weight_n, sum_n; /* the same of weights and of sums of products; see conv_winograd_products.c */
    int blocks, panels;  /* of input and output channels */
    size_t panel_floats; /* of u, per point */
    bool taps;           /* weights are kept as taps, or sums of them (conv_winograd_taps.c) */
    float scale[8];      /* then: of the points along an axis */
    float *u; /* [point of weights][panel][blocks * lanes][winograd_columns], taps: [vector of filters]
               * [blocks * lanes][3][3][lanes], at stride 2 [panel][blocks * lanes][9][winograd_columns]; a
               * plan's */
} dn_winograd;

/* What is worth having, m = 0 for direct products first, in the order of backend.h's conv_choices; returns
 * how many. */
typedef struct dn_winograd_tiles {
    int m;
    bool taps; /* see dn_winograd */
} dn_winograd_tiles;
int dn_winograd_choices(const dn_kernels *kernels, const dn_conv_shape *shape, int batch, bool training,
                        dn_conv_choice choices[DN_CONV_CHOICES], dn_winograd_tiles tiles[DN_CONV_CHOICES]);
/* The fastest of these whose weights take at most so many floats. */
dn_winograd_tiles dn_winograd_choose(const dn_kernels *kernels, const dn_conv_shape *shape, int batch,
                                     bool training, size_t most_floats);
int dn_winograd_points(int m, int stride); /* per axis */
/* The first output of a tile along an axis with so many big ones. */
int dn_winograd_start(const dn_winograd *winograd, int tile, int big);
/* Into u, from weights of filters first .. first + count - 1; first: a multiple of winograd_columns. */
void dn_winograd_pack(const dn_winograd *winograd, int first, int count, const float *weights);
size_t dn_winograd_u_size(const dn_winograd *winograd); /* floats */
size_t dn_winograd_scratch(const dn_winograd *winograd, int threads, int images);
/* The residual is that of images, not of the epilogue. */
void dn_winograd_run(dn_device *device, const dn_winograd *winograd, const dn_conv_images *images,
                     const dn_epilogue *epilogue, float *scratch);

/* The same over a batch, with weights as they are: they change at every step. back: the gradient of the
 * input; the shape is that of the convolution from dy to dx, the weights those of the forward one; y adds if
 * accumulate. */
dn_winograd dn_winograd_describe(const dn_kernels *kernels, const dn_conv_shape *shape, int m, bool mixed);
void dn_winograd_keep_taps(dn_winograd *winograd); /* planned */
size_t dn_winograd_batch_scratch(const dn_winograd *winograd, int batch, int threads);
void dn_winograd_batch_run(dn_device *device, const dn_winograd *winograd, int batch, const float *x,
                           const float *weights, bool back, float *y, bool accumulate, float *scratch);

/* The gradient of the weights (conv_winograd_gradient.c). */
size_t dn_winograd_gradient_scratch(const dn_winograd *winograd, int batch, int threads);
void dn_winograd_gradient_run(dn_device *device, const dn_winograd *winograd, int batch, const float *x,
                              const float *dy, float *dw, float *scratch);

/* Planned, at stride 2, of one image that is nowhere: some tiles beside each other read a strip of it, which
 * the thread that needs it makes, of all channels. */
typedef struct dn_winograd_strip {
    int top, left, h, w; /* outside of the image it is 0 */
    bool new_rows;       /* others than those of the strip that this part had before */
} dn_winograd_strip;
typedef struct dn_winograd_maker {
    void *context;
    /* x[block of channels][h][w][lanes]; there is room for an even number of blocks */
    void (*make)(void *context, int part, const dn_winograd_strip *strip, float *x);
} dn_winograd_maker;
bool dn_winograd_fits_maker(const dn_winograd *winograd);
size_t dn_winograd_made_scratch(const dn_winograd *winograd, int threads); /* floats */
void dn_winograd_run_made(dn_device *device, const dn_winograd *winograd, const dn_winograd_maker *maker,
                          const dn_epilogue *epilogue, float *y, float *scratch);

/* A direct convolution and the one with Winograd tiles that alone reads it (conv_chain.c). */
typedef struct dn_chain {
    dn_conv_part first;
    const dn_winograd *second;
    dn_epilogue second_epilogue;
    const float *x;
    float *y;
} dn_chain;

bool dn_chain_fits(const dn_conv_shape *first, const dn_winograd *second);
size_t dn_chain_scratch(const dn_conv_shape *first, const dn_winograd *second, int threads); /* floats */
void dn_chain_run(dn_device *device, const dn_chain *chain, float *scratch);

/* What these files use: consecutive tiles in raster order, image after image, in panels of equal height. */
typedef struct dn_tile_block {
    int first, count, panel_tiles;
} dn_tile_block;

void dn_winograd_table(int m, float g[18]);            /* G[m + 2][3] */
size_t dn_winograd_stage(const dn_winograd *winograd); /* floats */
/* v[panel][point][channel block][tile][lanes] of images x, or, if gradient, dy, so many floats apart. */
void dn_winograd_transform(const dn_winograd *winograd, bool gradient, const float *x, size_t apart,
                           dn_tile_block block, int channel_block, size_t points_apart, float *stage,
                           float *v);
/* Tiles of a block are numbered by kind, so that those that have a point are consecutive: only large tiles
 * have the last finite one. Four kinds, by the sizes of rows and of columns: small rows of large columns,
 * large of large, large of small, small of small. Where all tiles are alike, that is raster order. */
typedef struct dn_tile_kinds {
    int row, column; /* first */
    int big_rows, small_rows, big_columns, small_columns;
} dn_tile_kinds;
dn_tile_kinds dn_winograd_kinds(const dn_winograd *winograd, dn_tile_block block);
/* Those of `count` tiles that have a point, begin .. end - 1. */
void dn_winograd_tiles_with(const dn_winograd *winograd, const dn_tile_kinds *kinds, int count, int point,
                            int *begin, int *end);
/* Floats from one tile's products to the next one's: an odd number of points, as tiles 8 KB apart would fall
 * into the same cache sets. */
size_t dn_winograd_product_stride(const dn_winograd *winograd);
/* products[panel][tile][point][winograd_columns] of the panels begin .. end; weights: transformed, of panel
 * `begin`. */
void dn_winograd_multiply(const dn_winograd *winograd, dn_tile_block block, const float *v,
                          size_t points_apart, const float *weights, size_t weight_points_apart, int begin,
                          int end, float *products);
/* The same of weights kept as taps; h: dn_winograd_taps_scratch floats. */
void dn_winograd_multiply_taps(const dn_winograd *winograd, dn_tile_block block, const float *v,
                               size_t points_apart, int begin, int end, float *h, float *products);
size_t dn_winograd_taps_scratch(const dn_winograd *winograd);
/* That at stride 2; u: its scratch. */
void dn_winograd_multiply_taps_strided(const dn_winograd *winograd, dn_tile_block block, const float *v,
                                       size_t points_apart, int begin, int end, float *u, float *products);
size_t dn_winograd_taps_strided_scratch(const dn_winograd *winograd);

/* ---- convolution, unfused (conv_train.c) ---- */
size_t dn_cpu_conv_scratch(dn_device *device, const dn_conv_shape *shape, int batch);
void dn_cpu_conv_forward(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                         const float *weights, float *y, float *scratch);
void dn_cpu_conv_data_gradient(dn_device *device, const dn_conv_shape *shape, int batch, const float *weights,
                               const float *dy, float *dx, bool accumulate, float *scratch);
void dn_cpu_conv_weight_gradient(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                                 const float *dy, float *dw, float *scratch);

/* ---- convolution, planned (conv_prepared.c) ---- */
int dn_cpu_conv_choices(const dn_conv_shape *shape, dn_conv_choice choices[DN_CONV_CHOICES]);
dn_status dn_cpu_conv_prepare(dn_conv_prepared **out, const dn_conv_shape *shape, dn_activation activation,
                              bool activate_sum, size_t most_floats);
/* The same for a given level, which the device that runs it must have too. */
dn_status dn_cpu_conv_prepare_level(dn_conv_prepared **out, const dn_kernels *kernels,
                                    const dn_conv_shape *shape, dn_activation activation, bool activate_sum,
                                    size_t most_floats);
bool dn_cpu_conv_pool(dn_conv_prepared *prepared, const dn_pool_shape *windows);
void dn_cpu_conv_place(dn_conv_prepared *prepared, float *place);
int dn_cpu_conv_pack_step(const dn_conv_prepared *prepared);
void dn_cpu_conv_pack(dn_conv_prepared *prepared, int first, int count, const float *weights,
                      const float *bias);
void dn_cpu_conv_prepared_free(dn_conv_prepared *prepared);
size_t dn_cpu_conv_prepared_bytes(const dn_conv_prepared *prepared);
const char *dn_cpu_conv_prepared_algorithm(const dn_conv_prepared *prepared);
size_t dn_cpu_conv_prepared_scratch(const dn_conv_prepared *prepared, int threads, int images);
void dn_cpu_conv_run(dn_device *device, const dn_conv_prepared *prepared, const dn_conv_images *images,
                     float *scratch);
bool dn_cpu_conv_joins(const dn_conv_prepared *const *convs, int count);
size_t dn_cpu_conv_joined_scratch(const dn_conv_prepared *const *convs, int count, int threads);
void dn_cpu_conv_joined_run(dn_device *device, const dn_conv_prepared *const *convs, int count,
                            const float *x, const float *residual, float *y, float *scratch);

/* ---- matrix product (matmul.c) ---- */
size_t dn_cpu_matmul_scratch(dn_device *device, int m, int n, int k);
void dn_cpu_matmul(dn_device *device, bool ta, bool tb, int m, int n, int k, const float *a, const float *b,
                   float *c, bool accumulate, float *scratch);
void dn_cpu_matmul_batch(dn_device *device, int count, bool ta, bool tb, int m, int n, int k, const float *a,
                         size_t a_stride, const float *b, size_t b_stride, float *c, size_t c_stride,
                         bool accumulate, float *scratch);

/* ---- patches as rows (cpu_patches.c) ---- */
void dn_cpu_patches_gather(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                           float *rows);
void dn_cpu_patches_scatter(dn_device *device, const dn_conv_shape *shape, int batch, const float *rows,
                            float *dx);

/* ---- operations of cpu_backend.c, cpu_elementwise.c, cpu_activate.c, cpu_normalize.c,
 * cpu_across.c, cpu_crop.c, cpu_pool.c, cpu_move.c, cpu_softmax.c, cpu_optimize.c; what each does: backend.h
 * ---- */

/* True if so many floats touched, or half as many multiply-adds, are too few to wake threads for. */
bool dn_cpu_is_small(size_t work);
/* How many pieces each thread's share of the work is worth cutting into; 1 for one thread. */
int dn_cpu_pieces(size_t work, int threads);
/* Runs task over the pool, in parts that are claimed as pieces, or as a single one where `work` is small. */
void dn_cpu_parallel(dn_device *device, size_t work, dn_task task, void *context);
/* The same, of a task that claims its pieces itself, as it has memory for each part. */
void dn_cpu_share(dn_device *device, size_t work, dn_shared_task task, void *context);

void dn_cpu_fill(dn_device *device, float *x, float value, size_t count);
void dn_cpu_copy(dn_device *device, float *y, const float *x, size_t count);
void dn_cpu_axpy(dn_device *device, float *y, float a, const float *x, size_t count);
void dn_cpu_scale(dn_device *device, float *x, float a, size_t count);
void dn_cpu_multiply(dn_device *device, float *x, const float *factor, size_t count);
void dn_cpu_multiply_add(dn_device *device, float *y, const float *a, const float *b, size_t count);
void dn_cpu_bias_add(dn_device *device, float *x, const float *bias, int batch, int c, size_t s);
void dn_cpu_bias_gradient(dn_device *device, float *gradient, const float *delta, int batch, int c, size_t s);
void dn_cpu_dropout(dn_device *device, float *x, float *mask, size_t count, float probability, uint64_t seed,
                    uint64_t stream, uint64_t step);
void dn_cpu_binarize_rows(dn_device *device, const float *x, float *y, size_t rows, size_t columns);
void dn_cpu_sign(dn_device *device, const float *x, float *y, size_t count);
void dn_cpu_sign_gradient(dn_device *device, const float *x, float *delta, size_t count);

void dn_cpu_activate(dn_device *device, dn_activation kind, float *x, int batch, int c, size_t s);
void dn_cpu_activate_gradient(dn_device *device, dn_activation kind, const float *y, const float *pre,
                              float *delta, int batch, int c, size_t s);
void dn_cpu_softmax(dn_device *device, const float *x, float *y, int n, size_t stride, size_t rows_a,
                    size_t stride_a, size_t rows_b, size_t stride_b, float temperature);

void dn_cpu_batchnorm_infer(dn_device *device, float *x, const float *mean, const float *variance,
                            const float *scale, const float *bias, int batch, int c, size_t s,
                            bool pjreddie_cpu);
void dn_cpu_batchnorm_forward(dn_device *device, const float *x, float *y, float *mean, float *variance,
                              float *rolling_mean, float *rolling_variance, const float *scale,
                              const float *bias, dn_activation activation, int batch, int c, size_t s,
                              bool pjreddie_cpu);
void dn_cpu_batchnorm_backward(dn_device *device, const float *x, const float *y, const float *mean,
                               const float *variance, const float *scale, dn_activation activation,
                               float *delta, float *scale_gradient, float *bias_gradient, int batch, int c,
                               size_t s, bool pjreddie_cpu);

void dn_cpu_l2norm(dn_device *device, const float *x, float *y, int batch, int c, size_t s);
void dn_cpu_lrn(dn_device *device, const dn_lrn *lrn, const float *x, float *y, float *factor, int batch,
                int c, size_t s);

void dn_cpu_maxpool_forward(dn_device *device, const dn_pool_shape *shape, int batch, const float *x,
                            float *y, int32_t *argmax);
void dn_cpu_maxpool_backward(dn_device *device, const dn_pool_shape *shape, int batch, const int32_t *argmax,
                             const float *dy, float *dx, bool accumulate);
void dn_cpu_maxpool_depth_forward(dn_device *device, int batch, int c, int out_c, size_t s, const float *x,
                                  float *y, int32_t *argmax);
void dn_cpu_maxpool_depth_backward(dn_device *device, int batch, int c, int out_c, size_t s,
                                   const int32_t *argmax, const float *dy, float *dx);
void dn_cpu_avgpool_forward(dn_device *device, const dn_pool_shape *shape, int batch, const float *x,
                            float *y);
void dn_cpu_avgpool_backward(dn_device *device, const dn_pool_shape *shape, int batch, const float *dy,
                             float *dx);
void dn_cpu_mean_forward(dn_device *device, const float *x, float *y, size_t rows, size_t s);
void dn_cpu_mean_backward(dn_device *device, const float *dy, float *dx, size_t rows, size_t s);

void dn_cpu_copy_rows(dn_device *device, float *y, size_t y_stride, const float *x, size_t x_stride,
                      size_t rows, size_t columns, bool accumulate);
void dn_cpu_expand(dn_device *device, const float *x, float *y, size_t planes, int h, int w, int stride,
                   float factor, bool accumulate);
void dn_cpu_reduce(dn_device *device, const float *x, float *y, size_t planes, int h, int w, int stride,
                   float factor, bool accumulate);
void dn_cpu_reorg(dn_device *device, const float *x, float *y, int batch, int c, int h, int w, int stride,
                  bool reverse, bool accumulate);
void dn_cpu_crop(dn_device *device, const dn_crop_shape *shape, const dn_crop *how, const float *x, float *y);
void dn_cpu_transpose(dn_device *device, const float *x, float *y, int batch, int c, size_t s,
                      bool accumulate);
void dn_cpu_shortcut_forward(dn_device *device, const dn_shortcut_shape *shape, int batch, const float *from,
                             float *out);
void dn_cpu_shortcut_backward(dn_device *device, const dn_shortcut_shape *shape, int batch,
                              const float *delta, float *from_delta);
void dn_cpu_scale_channels_forward(dn_device *device, const float *factor, const float *x, float *y,
                                   int batch, int c, size_t s, bool per_pixel);
void dn_cpu_scale_channels_backward(dn_device *device, const float *factor, const float *x,
                                    const float *delta, float *factor_delta, float *x_delta, int batch, int c,
                                    size_t s, bool per_pixel);

void dn_cpu_sgd(dn_device *device, float *w, float *g, size_t count, float rate, float momentum, float decay);
void dn_cpu_adam(dn_device *device, float *w, float *g, float *m, float *v, size_t count, float rate,
                 float b1, float b2, float eps, float decay, float correction1, float correction2);
void dn_cpu_clamp(dn_device *device, float *x, float limit, size_t count);

#endif
