/* conv_prepared.c - the planned convolution: chooses an algorithm by shape, packs the weights for it once, in
 * memory of the plan's, and runs it with bias, activation and residual in the same pass. */
#include "cpu.h"

#include <string.h>

typedef enum algorithm { VECTOR, GEMM, IM2COL, DIRECT, DEPTHWISE, WINOGRAD } algorithm;

struct dn_conv_prepared {
    const dn_kernels *kernels;
    dn_conv_shape shape;
    algorithm algorithm;
    dn_activation activation;
    bool activate_sum;
    bool pools;
    dn_pool_shape windows; /* whose largest values it gives, if it pools */
    dn_winograd winograd;
    float *weights;       /* as given (VECTOR, DEPTHWISE) or packed group by group; a plan's */
    float *bias;          /* after the weights */
    size_t group_weights; /* floats */
};

/* ---- the view of a shape as a matrix product ---- */

static bool is_pointwise(const dn_conv_shape *shape) {
    return shape->size == 1 && shape->stride_x == 1 && shape->stride_y == 1 && shape->pad == 0;
}

dn_patches dn_conv_patches(const dn_conv_shape *shape, const float *x) {
    dn_patches patches = {.x = x,
                          .image_stride = (size_t)shape->in_c * (size_t)shape->in_h * (size_t)shape->in_w,
                          .h = shape->in_h,
                          .w = shape->in_w,
                          .out_h = shape->out_h,
                          .out_w = shape->out_w,
                          .size = shape->size,
                          .stride_y = shape->stride_y,
                          .stride_x = shape->stride_x,
                          .pad = shape->pad,
                          .dilation = shape->dilation};
    if (is_pointwise(shape)) { /* one long row */
        patches.w = patches.out_w = shape->in_h * shape->in_w;
        patches.h = patches.out_h = 1;
    }
    return patches;
}

static int depth_of(const dn_conv_shape *shape) {
    return shape->in_c / shape->groups * shape->size * shape->size;
}

static algorithm choose(const dn_kernels *kernels, const dn_conv_shape *shape, size_t most_floats,
                        dn_winograd_tiles *tiles) {
    *tiles = dn_winograd_choose(kernels, shape, 1, false, most_floats);
    if (tiles->m) return WINOGRAD;
    if (dn_depthwise_fits(shape)) return DEPTHWISE;
    if (is_pointwise(shape)) return shape->out_h * shape->out_w == 1 && shape->groups == 1 ? VECTOR : GEMM;
    return dn_direct_fits(kernels, shape) ? DIRECT : IM2COL;
}

int dn_cpu_conv_choices(const dn_conv_shape *shape, dn_conv_choice choices[DN_CONV_CHOICES]) {
    dn_winograd_tiles tiles[DN_CONV_CHOICES];
    const dn_kernels *kernels = dn_kernels_get();
    choices[0] = (dn_conv_choice){0};
    return kernels ? dn_winograd_choices(kernels, shape, 1, false, choices, tiles) : 1;
}

/* ---- preparation ---- */

static bool keeps_weights(algorithm kind) {
    return kind == VECTOR || kind == DEPTHWISE;
}

static size_t group_weights_of(const dn_conv_prepared *prepared) {
    const int m = prepared->shape.out_c / prepared->shape.groups, k = depth_of(&prepared->shape);
    return keeps_weights(prepared->algorithm) ? (size_t)m * (size_t)k
                                              : dn_gemm_packed_size(prepared->kernels, m, k);
}

/* Floats in front of the biases. */
static size_t weights_of(const dn_conv_prepared *prepared) {
    const size_t floats = prepared->algorithm == WINOGRAD
                              ? dn_winograd_u_size(&prepared->winograd)
                              : prepared->group_weights * (size_t)prepared->shape.groups;
    return dn_round_up(floats, 16);
}

dn_status dn_cpu_conv_prepare_level(dn_conv_prepared **out, const dn_kernels *kernels,
                                    const dn_conv_shape *shape, dn_activation activation, bool activate_sum,
                                    size_t most_floats) {
    dn_conv_prepared *prepared;
    *out = NULL;
    DN_TRY(dn_new(&prepared, 1, sizeof *prepared, "prepared convolution"));
    prepared->kernels = kernels;
    prepared->shape = *shape;
    prepared->activation = activation;
    prepared->activate_sum = activate_sum;
    dn_winograd_tiles tiles;
    prepared->algorithm = choose(kernels, shape, most_floats, &tiles);
    if (prepared->algorithm == WINOGRAD)
        prepared->winograd = dn_winograd_describe(kernels, shape, tiles.m, true);
    else
        prepared->group_weights = group_weights_of(prepared);
    if (tiles.taps) dn_winograd_keep_taps(&prepared->winograd);
    *out = prepared;
    return DN_OK;
}

dn_status dn_cpu_conv_prepare(dn_conv_prepared **out, const dn_conv_shape *shape, dn_activation activation,
                              bool activate_sum, size_t most_floats) {
    *out = NULL;
    const dn_kernels *kernels = dn_kernels_get();
    if (!kernels) return DN_ERROR_ARGUMENT;
    return dn_cpu_conv_prepare_level(out, kernels, shape, activation, activate_sum, most_floats);
}

void dn_cpu_conv_prepared_free(dn_conv_prepared *prepared) {
    dn_free(prepared);
}

bool dn_cpu_conv_pool(dn_conv_prepared *prepared, const dn_pool_shape *windows) {
    const bool quarters = windows->size == 2 && windows->stride_y == 2 && windows->stride_x == 2 &&
                          windows->offset_y == 0 && windows->offset_x == 0;
    if (prepared->algorithm != DIRECT || !quarters) return false;
    prepared->pools = true;
    prepared->windows = *windows;
    return true;
}

static const dn_pool_shape *windows_of(const dn_conv_prepared *prepared) {
    return prepared->pools ? &prepared->windows : NULL;
}

size_t dn_cpu_conv_prepared_bytes(const dn_conv_prepared *prepared) {
    return (weights_of(prepared) + dn_round_up((size_t)prepared->shape.out_c, 16)) * sizeof(float);
}

void dn_cpu_conv_place(dn_conv_prepared *prepared, float *place) {
    prepared->weights = prepared->winograd.u = place;
    prepared->bias = place + weights_of(prepared);
}

int dn_cpu_conv_pack_step(const dn_conv_prepared *prepared) {
    const dn_conv_shape *shape = &prepared->shape;
    if (prepared->algorithm == WINOGRAD) return prepared->kernels->winograd_columns;
    if (keeps_weights(prepared->algorithm)) return 1;
    return shape->groups > 1 ? shape->out_c / shape->groups : prepared->kernels->gemm_rows;
}

/* Filters of one group, or groups one after the other. */
static void pack_panels(const dn_conv_prepared *prepared, int first, int count, const float *weights) {
    const dn_conv_shape *shape = &prepared->shape;
    const int m = shape->out_c / shape->groups, k = depth_of(shape);
    for (int done = 0, some; done < count; done += some) {
        const int group = (first + done) / m;
        some = dn_min_int(count - done, m);
        const dn_operand left = {
            .layout = DN_LAYOUT_COLUMNS, .p = weights + (size_t)done * (size_t)k, .stride = (size_t)k};
        dn_gemm_pack_rows(prepared->kernels, &left, m, k, (first + done) % m, some,
                          prepared->weights + (size_t)group * prepared->group_weights);
    }
}

void dn_cpu_conv_pack(dn_conv_prepared *prepared, int first, int count, const float *weights,
                      const float *bias) {
    memcpy(prepared->bias + first, bias, (size_t)count * sizeof *bias);
    if (prepared->algorithm == WINOGRAD) {
        dn_winograd_pack(&prepared->winograd, first, count, weights);
    } else if (keeps_weights(prepared->algorithm)) {
        const size_t k = (size_t)depth_of(&prepared->shape);
        memcpy(prepared->weights + (size_t)first * k, weights, (size_t)count * k * sizeof *weights);
    } else {
        pack_panels(prepared, first, count, weights);
    }
}

const char *dn_cpu_conv_prepared_algorithm(const dn_conv_prepared *prepared) {
    switch (prepared->algorithm) {
    case VECTOR:
        return "vector";
    case GEMM:
        return "gemm";
    case IM2COL:
        return "im2col";
    case DIRECT:
        return "direct";
    case DEPTHWISE:
        return "depthwise";
    case WINOGRAD:
        break;
    }
    static const char *const names[][2][2] = {{{"winograd2", "winograd2t"}, {"winograd2/2", "winograd2t/2"}},
                                              {{"winograd3", "winograd3t"}},
                                              {{"winograd4", "winograd4t"}, {"winograd4/2", "winograd4t/2"}},
                                              {{"winograd5", "winograd5t"}},
                                              {{"winograd6", "winograd6t"}}};
    return names[prepared->winograd.m - 2][prepared->winograd.stride - 1][prepared->winograd.taps];
}

/* ---- running ---- */

size_t dn_cpu_conv_prepared_scratch(const dn_conv_prepared *prepared, int threads, int images) {
    const dn_conv_shape *shape = &prepared->shape;
    switch (prepared->algorithm) {
    case WINOGRAD:
        return dn_winograd_scratch(&prepared->winograd, threads, images);
    case DEPTHWISE:
        return dn_depthwise_scratch(shape, threads);
    case DIRECT:
        return dn_direct_scratch(shape, threads);
    case VECTOR:
        return 0;
    case GEMM:
    case IM2COL:
        break;
    }
    return dn_gemm_scratch(prepared->kernels, shape->out_c / shape->groups, shape->out_h * shape->out_w,
                           depth_of(shape), threads);
}

static void run_gemm(dn_device *device, const dn_conv_prepared *prepared, const float *x,
                     const float *residual, float *y, float *scratch) {
    const dn_conv_shape *shape = &prepared->shape;
    const int m = shape->out_c / shape->groups, pixels = shape->out_h * shape->out_w;
    const size_t x_group = (size_t)(shape->in_c / shape->groups) * (size_t)shape->in_h * (size_t)shape->in_w;
    const size_t y_group = (size_t)m * (size_t)pixels;
    for (int group = 0; group < shape->groups; ++group) {
        const size_t g = (size_t)group;
        dn_gemm gemm = {
            .m = m, .n = pixels, .k = depth_of(shape), .c = y + g * y_group, .ldc = (size_t)pixels};
        gemm.left =
            (dn_operand){.layout = DN_LAYOUT_PACKED, .p = prepared->weights + g * prepared->group_weights};
        if (prepared->algorithm == GEMM)
            gemm.right =
                (dn_operand){.layout = DN_LAYOUT_ROWS, .p = x + g * x_group, .stride = (size_t)pixels};
        else
            gemm.right =
                (dn_operand){.layout = DN_LAYOUT_PATCHES, .patches = dn_conv_patches(shape, x + g * x_group)};
        const dn_epilogue epilogue = {prepared->bias + g * (size_t)m,
                                      residual ? residual + g * y_group : NULL, prepared->activation,
                                      prepared->activate_sum};
        gemm.epilogue = &epilogue;
        dn_gemm_run(device, &gemm, scratch);
    }
}

static void run_image(dn_device *device, const dn_conv_prepared *prepared, const float *x,
                      const float *residual, float *y, float *scratch) {
    const dn_conv_shape *shape = &prepared->shape;
    const dn_epilogue epilogue = {prepared->bias, residual, prepared->activation, prepared->activate_sum};
    switch (prepared->algorithm) {
    case WINOGRAD: /* all images at the same time */
        break;
    case DIRECT:
        dn_direct_run(device, shape, windows_of(prepared), x, prepared->weights, &epilogue, y, scratch);
        break;
    case DEPTHWISE:
        dn_depthwise_forward(device, shape, 1, x, prepared->weights, &epilogue, y, scratch);
        break;
    case VECTOR:
        dn_cpu_matmul(device, false, false, shape->out_c, 1, shape->in_c, prepared->weights, x, y, false,
                      scratch);
        for (int i = 0; i < shape->out_c; ++i)
            device->kernels->affine_activate(prepared->activation, prepared->activate_sum, y + i, 1.0f,
                                             prepared->bias[i], residual ? residual + i : NULL, 1);
        break;
    case GEMM:
    case IM2COL:
        run_gemm(device, prepared, x, residual, y, scratch);
        break;
    }
}

void dn_cpu_conv_run(dn_device *device, const dn_conv_prepared *prepared, const dn_conv_images *images,
                     float *scratch) {
    const dn_epilogue epilogue = {prepared->bias, NULL, prepared->activation, prepared->activate_sum};
    if (prepared->algorithm == WINOGRAD) {
        dn_winograd_run(device, &prepared->winograd, images, &epilogue, scratch);
        return;
    }
    for (int i = 0; i < images->count; ++i) {
        const size_t y = (size_t)i * images->y_apart;
        run_image(device, prepared, images->x + (size_t)i * images->x_apart,
                  images->residual ? images->residual + y : NULL, images->y + y, scratch);
    }
}

/* ---- several in one step (conv_separable.c, conv_chain.c) ---- */

static bool is_chain(const dn_conv_prepared *const *convs, int count) {
    return count == 2 && convs[0]->algorithm == DIRECT && !convs[0]->pools && convs[1]->algorithm == WINOGRAD;
}

static dn_conv_part part_of(const dn_conv_prepared *prepared) {
    return (dn_conv_part){&prepared->shape,
                          prepared->weights,
                          {prepared->bias, NULL, prepared->activation, prepared->activate_sum}};
}

/* Which of them is the depthwise one, or -1. */
static int depthwise_of(const dn_conv_prepared *const *convs, int count) {
    for (int i = 0; i < dn_min_int(count, 2); ++i)
        if (convs[i]->algorithm == DEPTHWISE) return i;
    return -1;
}

static dn_separable separable_of(const dn_conv_prepared *const *convs, int count) {
    const int middle = depthwise_of(convs, count);
    dn_separable s = {.depthwise = part_of(convs[middle])};
    if (middle > 0) s.head = part_of(convs[0]);
    if (middle + 1 < count) s.tail = part_of(convs[middle + 1]);
    return s;
}

bool dn_cpu_conv_joins(const dn_conv_prepared *const *convs, int count) {
    if (is_chain(convs, count)) return dn_chain_fits(&convs[0]->shape, &convs[1]->winograd);
    const int middle = depthwise_of(convs, count);
    if (middle < 0 || count > middle + 2) return false;
    const dn_conv_prepared *head = middle > 0 ? convs[0] : NULL;
    const dn_conv_prepared *tail = middle + 1 < count ? convs[middle + 1] : NULL;
    if (head && (head->pools || (head->algorithm != GEMM && head->algorithm != DIRECT))) return false;
    if (tail && tail->algorithm != GEMM) return false;
    return dn_separable_fits(head ? &head->shape : NULL, &convs[middle]->shape, tail ? &tail->shape : NULL);
}

size_t dn_cpu_conv_joined_scratch(const dn_conv_prepared *const *convs, int count, int threads) {
    if (is_chain(convs, count)) return dn_chain_scratch(&convs[0]->shape, &convs[1]->winograd, threads);
    const dn_separable separable = separable_of(convs, count);
    return dn_separable_scratch(convs[0]->kernels, &separable, threads);
}

void dn_cpu_conv_joined_run(dn_device *device, const dn_conv_prepared *const *convs, int count,
                            const float *x, const float *residual, float *y, float *scratch) {
    if (is_chain(convs, count)) {
        dn_chain chain = {.first = part_of(convs[0]), .second = &convs[1]->winograd, .x = x, .y = y};
        chain.second_epilogue = part_of(convs[1]).epilogue;
        chain.second_epilogue.residual = residual;
        dn_chain_run(device, &chain, scratch);
        return;
    }
    dn_separable separable = separable_of(convs, count);
    separable.x = x;
    separable.y = y;
    (separable.tail.shape ? &separable.tail : &separable.depthwise)->epilogue.residual = residual;
    dn_separable_run(device, &separable, scratch);
}
