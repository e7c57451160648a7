/* backend.h - the seam between layers and processors: buffers and operations on raw arrays. A layer is
 * written once in terms of these. Every pointer is memory of the device unless it says host. Operations don't
 * fail one by one: a device that can fail remembers it, and synchronize reports it. Work is split so that
 * results do not depend on the number of threads.
 *
 * Shapes: x[batch][c][s] means s pixels of c channels of each image, contiguous. "adds" means += into the
 * target. */
#ifndef DN_BACKEND_H
#define DN_BACKEND_H

#include "../kernels/kernels.h"

typedef struct dn_device dn_device; /* a backend's own state: worker threads, streams */

typedef struct dn_conv_shape {
    int in_c, in_h, in_w;
    int out_c, out_h, out_w;
    int size, stride_y, stride_x;
    int pad; /* zeros on each side, already times dilation */
    int dilation, groups;
    bool exact;       /* unfused: no algorithm that rounds differently from direct summation (Winograd) */
    float most_error; /* planned: no algorithm that has more error (dn_conv_choice) than this; 0: any */
} dn_conv_shape;

/* Weights [out_c][in_c/groups][size][size] in the form an algorithm wants, with bias and activation.
 * Read-only after preparation; shared by any number of threads. */
typedef struct dn_conv_prepared dn_conv_prepared;

/* What most_floats of conv_prepare chooses among: fewest floats of weights first, each faster than those
 * before it. cost: time in multiply-adds at the peak rate. error: root mean square, of the output's range, as
 * measured. */
typedef struct dn_conv_choice {
    size_t floats;
    double cost;
    float error;
} dn_conv_choice;
enum { DN_CONV_CHOICES = 11 }; /* at most */

/* What a prepared convolution reads and writes: images one by one, y_apart also between residuals. */
typedef struct dn_conv_images {
    int count;
    const float *x;          /* [in_c][in_h*in_w] */
    const float *residual;   /* [out_c][out_h*out_w], or NULL: none */
    float *y;                /* [out_c][out_h*out_w], or those of the windows of conv_pool */
    size_t x_apart, y_apart; /* floats from one image to the next */
} dn_conv_images;

typedef struct dn_pool_shape {
    int c, h, w, out_h, out_w;
    int size, stride_y, stride_x, offset_y, offset_x; /* offset of the first window, <= 0 */
} dn_pool_shape;

/* The reference's shortcut rule (compat.md 6.13): the overlap of a `from` map and an output map. */
typedef struct dn_shortcut_shape {
    int from_c, from_h, from_w;
    int out_c, out_h, out_w;
    float alpha, beta;
} dn_shortcut_shape;

/* A window of an image (compat.md 6.8). */
typedef struct dn_crop_shape {
    int c, h, w, out_h, out_w;
} dn_crop_shape;

typedef struct dn_crop {
    int top, left; /* of the window, inside the image */
    bool flip;
    float angle;                /* of the image about its centre, in radians; what comes from outside is 0 */
    float saturation, exposure; /* factors of S and V (HSV), for 3 channels */
    float factor, offset[3];    /* y = factor x + offset[channel]; the last offset for all further channels */
} dn_crop;

typedef struct dn_ops {
    const char *name; /* "cpu" */

    dn_status (*open)(dn_device **out, int threads);
    void (*close)(dn_device *device);
    dn_status (*synchronize)(dn_device *device);
    float *(*allocate)(dn_device *device, size_t count); /* cleared; NULL when there is no memory */
    void (*release)(dn_device *device, float *buffer);
    void (*upload)(dn_device *device, float *buffer, const float *host, size_t count);
    void (*download)(dn_device *device, float *host, const float *buffer, size_t count);

    /* ---- convolution, unfused: batch images, x[batch][in_c][in_h*in_w], y[batch][out_c][out_h*out_w] ----
     */
    size_t (*conv_scratch)(dn_device *device, const dn_conv_shape *shape,
                           int batch); /* floats, for all three */
    /* y = x * weights (cross-correlation, zero padding) */
    void (*conv_forward)(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                         const float *weights, float *y, float *scratch);
    /* dx = (accumulate ? dx : 0) + weights^T * dy */
    void (*conv_data_gradient)(dn_device *device, const dn_conv_shape *shape, int batch, const float *weights,
                               const float *dy, float *dx, bool accumulate, float *scratch);
    /* dw[out_c][in_c/groups][size][size] adds dy * x^T */
    void (*conv_weight_gradient)(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                                 const float *dy, float *dw, float *scratch);

    /* ---- convolution, planned: y = activation(x * weights + bias) (+ residual); with activate_sum the
     * activation is that of the sum with the residual. An image's result doesn't depend on how many others
     * there are. ---- */
    int (*conv_choices)(const dn_conv_shape *shape, dn_conv_choice choices[DN_CONV_CHOICES]);
    /* most_floats: Winograd, which rounds differently from direct summation and needs larger weights, only if
     * they take no more than this; 0: never. The result can be asked, and run when it has a place and all its
     * filters are packed. */
    dn_status (*conv_prepare)(dn_conv_prepared **out, const dn_conv_shape *shape, dn_activation activation,
                              bool activate_sum, size_t most_floats);
    /* From now on it gives the largest value of each of these windows of its output, which is never stored as
     * a whole, and takes no residual; false where its algorithm can't. */
    bool (*conv_pool)(dn_conv_prepared *prepared, const dn_pool_shape *windows);
    void (*conv_prepared_free)(dn_conv_prepared *prepared);
    size_t (*conv_prepared_bytes)(const dn_conv_prepared *prepared); /* of its place; multiples of 64 */
    /* place: zeros, the caller's, who keeps it as long as it is run */
    void (*conv_place)(dn_conv_prepared *prepared, float *place);
    /* weights and bias of filters first .. first + count - 1. first, and count but at the end, are multiples
     * of conv_pack_step; several threads may pack different filters. */
    int (*conv_pack_step)(const dn_conv_prepared *prepared);
    void (*conv_pack)(dn_conv_prepared *prepared, int first, int count, const float *weights,
                      const float *bias);
    const char *(*conv_prepared_algorithm)(const dn_conv_prepared *prepared); /* "winograd4", "gemm", ... */
    /* floats, for up to so many images */
    size_t (*conv_prepared_scratch)(const dn_conv_prepared *prepared, int threads, int images);
    void (*conv_run)(dn_device *device, const dn_conv_prepared *prepared, const dn_conv_images *images,
                     float *scratch);
    /* Convolutions, two or more, each of which but the first alone reads the one before it, as one step of
     * one image: if conv_joins says that this saves time. The same values as in steps of their own. residual:
     * of the last, or NULL. */
    bool (*conv_joins)(const dn_conv_prepared *const *convs, int count);
    size_t (*conv_joined_scratch)(const dn_conv_prepared *const *convs, int count, int threads);
    void (*conv_joined_run)(dn_device *device, const dn_conv_prepared *const *convs, int count,
                            const float *x, const float *residual, float *y, float *scratch);

    /* ---- matrix product: c[m][n] (adds if accumulate) op(a) op(b), row-major; ta: a is stored [k][m]; tb: b
     * is stored [n][k]. scratch: matmul_scratch floats. ---- */
    size_t (*matmul_scratch)(dn_device *device, int m, int n, int k);
    void (*matmul)(dn_device *device, bool ta, bool tb, int m, int n, int k, const float *a, const float *b,
                   float *c, bool accumulate, float *scratch);

    /* `count` products of one size; operands of the next lie the given numbers of floats further. scratch:
     * matmul_scratch floats. */
    void (*matmul_batch)(dn_device *device, int count, bool ta, bool tb, int m, int n, int k, const float *a,
                         size_t a_stride, const float *b, size_t b_stride, float *c, size_t c_stride,
                         bool accumulate, float *scratch);
    /* patches[out_h*out_w][batch][in_c][size][size] of x[batch][in_c][in_h*in_w], zeros outside; one group,
     * dilation 1 */
    void (*patches_gather)(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                           float *patches);
    void (*patches_scatter)(dn_device *device, const dn_conv_shape *shape, int batch, const float *patches,
                            float *dx); /* adds */

    /* ---- element-wise ---- */
    void (*fill)(dn_device *device, float *x, float value, size_t count);
    void (*copy)(dn_device *device, float *y, const float *x, size_t count);
    void (*axpy)(dn_device *device, float *y, float a, const float *x, size_t count); /* y += a x */
    void (*scale)(dn_device *device, float *x, float a, size_t count);
    /* rows of `columns` floats, the strides in floats; adds if accumulate */
    void (*copy_rows)(dn_device *device, float *y, size_t y_stride, const float *x, size_t x_stride,
                      size_t rows, size_t columns, bool accumulate);
    void (*bias_add)(dn_device *device, float *x, const float *bias, int batch, int c, size_t s);
    void (*bias_gradient)(dn_device *device, float *gradient, const float *delta, int batch, int c,
                          size_t s); /* adds */
    /* In place on x[batch][c][s]; c and s matter to the normalize_channels kinds only. */
    void (*activate)(dn_device *device, dn_activation kind, float *x, int batch, int c, size_t s);
    /* delta *= g; pre: the pre-activation, needed by the "pre" kinds, else NULL. */
    void (*activate_gradient)(dn_device *device, dn_activation kind, const float *y, const float *pre,
                              float *delta, int batch, int c, size_t s);

    /* ---- batch normalisation (compat.md 6.2); pjreddie_cpu chooses sqrt(v) + 1e-6 and that build's backward
     * ---- */
    /* x = (x - mean) / D * scale + bias, in place */
    void (*batchnorm_infer)(dn_device *device, float *x, const float *mean, const float *variance,
                            const float *scale, const float *bias, int batch, int c, size_t s,
                            bool pjreddie_cpu);
    /* mean, variance: of the batch (written); rolling: updated with .99/.01; y = activation(normalised x *
     * scale + bias), of a kind that needs no pre-activation and looks at one element */
    void (*batchnorm_forward)(dn_device *device, const float *x, float *y, float *mean, float *variance,
                              float *rolling_mean, float *rolling_variance, const float *scale,
                              const float *bias, dn_activation activation, int batch, int c, size_t s,
                              bool pjreddie_cpu);
    /* delta (of y, in place becomes that of x); scale_gradient, bias_gradient add; bias_gradient may be NULL;
     * y for the activation, NULL if that is linear */
    void (*batchnorm_backward)(dn_device *device, const float *x, const float *y, const float *mean,
                               const float *variance, const float *scale, dn_activation activation,
                               float *delta, float *scale_gradient, float *bias_gradient, int batch, int c,
                               size_t s, bool pjreddie_cpu);

    /* ---- normalisation across channels, at each pixel of x[batch][c][s] ---- */
    /* y = x / sqrt(sum of x^2), or 0 where x is 0 */
    void (*l2norm)(dn_device *device, const float *x, float *y, int batch, int c, size_t s);
    /* y = x factor, factor = norm^-beta; factor[batch][c][s] may be NULL */
    void (*lrn)(dn_device *device, const dn_lrn *lrn, const float *x, float *y, float *factor, int batch,
                int c, size_t s);

    /* ---- pooling ---- */
    /* argmax[batch][c][out_h*out_w]: index within the plane, or NULL */
    void (*maxpool_forward)(dn_device *device, const dn_pool_shape *shape, int batch, const float *x,
                            float *y, int32_t *argmax);
    void (*maxpool_backward)(dn_device *device, const dn_pool_shape *shape, int batch, const int32_t *argmax,
                             const float *dy, float *dx, bool accumulate);
    /* Max over channels g, g + out_c, g + 2 out_c, ... at each pixel; argmax is the channel. */
    void (*maxpool_depth_forward)(dn_device *device, int batch, int c, int out_c, size_t s, const float *x,
                                  float *y, int32_t *argmax);
    void (*maxpool_depth_backward)(dn_device *device, int batch, int c, int out_c, size_t s,
                                   const int32_t *argmax, const float *dy, float *dx); /* adds */
    /* Mean of the part of each window inside the plane; 0 for a window outside. */
    void (*avgpool_forward)(dn_device *device, const dn_pool_shape *shape, int batch, const float *x,
                            float *y);
    void (*avgpool_backward)(dn_device *device, const dn_pool_shape *shape, int batch, const float *dy,
                             float *dx); /* adds */
    void (*mean_forward)(dn_device *device, const float *x, float *y, size_t rows,
                         size_t s); /* y[row] = mean of row */
    void (*mean_backward)(dn_device *device, const float *dy, float *dx, size_t rows,
                          size_t s); /* adds dy[row] / s */

    /* ---- moving things ---- */
    /* y[planes][h*stride][w*stride] = (accumulate ? y : 0) + factor * x[planes][h][w] repeated */
    void (*expand)(dn_device *device, const float *x, float *y, size_t planes, int h, int w, int stride,
                   float factor, bool accumulate);
    /* y[planes][h][w] = (accumulate ? y : 0) + factor * sum of stride x stride blocks of x */
    void (*reduce)(dn_device *device, const float *x, float *y, size_t planes, int h, int w, int stride,
                   float factor, bool accumulate);
    /* The reference's reorg permutation (compat.md 6.14) with input dims c, h, w. reverse: out[big] =
     * in[small]. */
    void (*reorg)(dn_device *device, const float *x, float *y, int batch, int c, int h, int w, int stride,
                  bool reverse, bool accumulate);
    void (*crop)(dn_device *device, const dn_crop_shape *shape, const dn_crop *how, const float *x,
                 float *y); /* one image */
    /* y[batch][s][c] = x[batch][c][s] */
    void (*transpose)(dn_device *device, const float *x, float *y, int batch, int c, size_t s,
                      bool accumulate);
    /* On the overlap: out = alpha out + beta from. */
    void (*shortcut_forward)(dn_device *device, const dn_shortcut_shape *shape, int batch, const float *from,
                             float *out);
    void (*shortcut_backward)(dn_device *device, const dn_shortcut_shape *shape, int batch,
                              const float *delta,
                              float *from_delta); /* from_delta adds beta delta on the overlap */
    /* y[batch][c][s] = factor * x; factor[batch][c], or [batch][s] if per_pixel */
    void (*scale_channels_forward)(dn_device *device, const float *factor, const float *x, float *y,
                                   int batch, int c, size_t s, bool per_pixel);
    void (*scale_channels_backward)(dn_device *device, const float *factor, const float *x,
                                    const float *delta, float *factor_delta, float *x_delta, int batch, int c,
                                    size_t s, bool per_pixel); /* both add; either may be NULL */
    /* rows of n values at x + row_a*stride_a + row_b*stride_b, elements `stride` apart:
     * y = exp(x/T - max/T) / sum, for row_a < rows_a, row_b < rows_b */
    void (*softmax)(dn_device *device, const float *x, float *y, int n, size_t stride, size_t rows_a,
                    size_t stride_a, size_t rows_b, size_t stride_b, float temperature);
    /* mask[i] = 0 with the probability, else 1/(1 - probability); x *= mask. Depends on the key only. */
    void (*dropout)(dn_device *device, float *x, float *mask, size_t count, float probability, uint64_t seed,
                    uint64_t stream, uint64_t step);
    void (*multiply)(dn_device *device, float *x, const float *factor, size_t count); /* x *= factor */
    void (*multiply_add)(dn_device *device, float *y, const float *a, const float *b,
                         size_t count); /* y += a b */

    /* ---- binarisation (compat.md 6.1.1) ---- */
    /* per row: y = +mean|x| where x > 0, else -mean|x| */
    void (*binarize_rows)(dn_device *device, const float *x, float *y, size_t rows, size_t columns);
    void (*sign)(dn_device *device, const float *x, float *y, size_t count); /* +1 where x > 0, else -1 */
    /* delta = 0 where |x| >= 1 (straight-through estimator) */
    void (*sign_gradient)(dn_device *device, const float *x, float *delta, size_t count);

    /* ---- optimisers ---- */
    void (*sgd)(dn_device *device, float *w, float *g, size_t count, float rate, float momentum, float decay);
    void (*adam)(dn_device *device, float *w, float *g, float *m, float *v, size_t count, float rate,
                 float b1, float b2, float eps, float decay, float correction1, float correction2);
    void (*clamp)(dn_device *device, float *x, float limit, size_t count); /* to [-limit, limit] */
} dn_ops;

extern const dn_ops dn_ops_cpu;

#endif
