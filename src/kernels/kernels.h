/* kernels.h - what one instruction-set level provides: single-threaded loops over float arrays. Nothing here
 * knows layers, networks or threads. Written once in template/, compiled per level in level_*.c, chosen once in
 * dispatch.c. The generic level is the one every other is tested against. */
#ifndef DN_KERNELS_H
#define DN_KERNELS_H

#include "../base/base.h"

/* Activation functions; formulas and gradients: compat.md sections 5 and 20.1. Gradients take the output y, except
 * those marked "pre", which take the pre-activation x. */
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
    DN_ACTIVATION_GELU,      /* pre */
    /* Across channels at each pixel; not for kernels that see flat arrays. */
    DN_ACTIVATION_NORMALIZE_CHANNELS,
    DN_ACTIVATION_NORMALIZE_CHANNELS_SOFTMAX,
    DN_ACTIVATION_NORMALIZE_CHANNELS_SOFTMAX_MAXVAL,
    DN_ACTIVATION_COUNT
} dn_activation;

typedef struct dn_kernels {
    const char *level; /* "generic", "avx2", "avx512", "neon" */
    int lanes;         /* floats per vector */

    /* ---- matrix products (template/gemm.h) ----
     * The tile: rows x columns of C held in registers. A is packed in panels of gemm_rows rows,
     * a[k][gemm_rows]; B in panels of gemm_columns columns, b[k][gemm_columns]; both zero padded, 64-byte aligned.
     * c[rows][ldc] = (accumulate ? c : 0) + a * b, writing only `rows` x `columns` of it. */
    int gemm_rows, gemm_columns;
    void (*gemm_tile)(int depth, const float *a, const float *b, float *c, size_t ldc, int rows, int columns,
                      bool accumulate);

    /* ---- element-wise (template/elementwise.h) ---- */
    void (*activate)(dn_activation kind, float *x, size_t count); /* in place */
    /* delta *= g(y), or g(x) for the "pre" kinds (then pre is not NULL). */
    void (*activate_gradient)(dn_activation kind, const float *y, const float *pre, float *delta, size_t count);
    /* row[i] = activate(row[i] * scale + shift) (+ residual[i] if not NULL): a convolution's epilogue, one channel */
    void (*affine_activate)(dn_activation kind, float *row, float scale, float shift, const float *residual,
                            size_t count);
    void (*axpy)(float *y, float a, const float *x, size_t count); /* y += a x */
    void (*scale)(float *x, float a, size_t count);                /* x *= a */
    void (*multiply)(float *y, const float *a, const float *b, size_t count);     /* y = a b */
    void (*multiply_add)(float *y, const float *a, const float *b, size_t count); /* y += a b */
    double (*sum)(const float *x, size_t count);
    double (*dot)(const float *x, const float *y, size_t count);
    double (*sum_squared_difference)(const float *x, float mean, size_t count); /* sum (x - mean)^2 */

    /* ---- pooling (template/pool.h): one plane ---- */
    /* Windows start at row*stride_y + offset_y; outside is -infinity; first maximum in scan order wins.
     * argmax (index in the plane) may be NULL. */
    void (*maxpool)(const float *in, int h, int w, float *out, int32_t *argmax, int out_h, int out_w, int size,
                    int stride_y, int stride_x, int offset_y, int offset_x);

    /* ---- optimisers (template/optimize.h); formulas: compat.md 10.3, 10.4 ---- */
    /* g -= decay w (decay already times batch); w += rate g; g *= momentum */
    void (*sgd)(float *w, float *g, size_t count, float rate, float momentum, float decay);
    void (*adam)(float *w, float *g, float *m, float *v, size_t count, float rate, float b1, float b2, float eps,
                 float decay, float correction1, float correction2);

} dn_kernels;

/* The table for this machine, chosen once (DARKNET_CPU may lower the level); NULL with a message if DARKNET_CPU
 * names a level that is unknown or that the machine lacks. */
const dn_kernels *dn_kernels_get(void);
/* Table i of those this machine can run, best first; NULL past the end. */
const dn_kernels *dn_kernels_available(int i);

#endif
