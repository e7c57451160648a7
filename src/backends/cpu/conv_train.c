/* conv_train.c - the three products of an unfused convolution over a batch: by Winograd where that is faster;
 * else each is a matrix product whose image side is packed straight from the planes. The images of a batch
 * are one long row of pixels, so small maps fill the tiles too. */
#include "cpu.h"

static int depth_of(const dn_conv_shape *shape) {
    return shape->in_c / shape->groups * shape->size * shape->size;
}

static int filters_of(const dn_conv_shape *shape) {
    return shape->out_c / shape->groups;
}

static bool is_stride_one(const dn_conv_shape *shape) {
    return shape->stride_x == 1 && shape->stride_y == 1;
}

typedef struct planes {
    int x_pixels, y_pixels;
    size_t x_group, y_group, x_image, y_image, weights_group;
} planes;

static planes measure(const dn_conv_shape *shape) {
    planes p = {.x_pixels = shape->in_h * shape->in_w, .y_pixels = shape->out_h * shape->out_w};
    p.x_image = (size_t)shape->in_c * (size_t)p.x_pixels;
    p.y_image = (size_t)shape->out_c * (size_t)p.y_pixels;
    p.x_group = p.x_image / (size_t)shape->groups;
    p.y_group = p.y_image / (size_t)shape->groups;
    p.weights_group = (size_t)filters_of(shape) * (size_t)depth_of(shape);
    return p;
}

/* At stride 1 the gradient of the input is the convolution of dy with the flipped filters, input and output
 * channels exchanged. */
static dn_conv_shape backward_shape(const dn_conv_shape *shape) {
    dn_conv_shape back = *shape;
    back.in_c = shape->out_c;
    back.in_h = shape->out_h;
    back.in_w = shape->out_w;
    back.out_c = shape->in_c;
    back.out_h = shape->in_h;
    back.out_w = shape->in_w;
    back.pad = shape->dilation * (shape->size - 1) - shape->pad;
    return back;
}

/* Whether Winograd is used for the convolution of this shape, and how. */
static bool choose_winograd(const dn_kernels *kernels, const dn_conv_shape *shape, int batch,
                            dn_winograd *winograd) {
    if (shape->exact || !is_stride_one(shape)) return false;
    const int m = dn_winograd_choose(kernels, shape, batch, true, SIZE_MAX).m;
    if (m) *winograd = dn_winograd_describe(kernels, shape, m, false);
    return m > 0;
}

static size_t winograd_scratch(const dn_kernels *kernels, const dn_conv_shape *shape, int batch,
                               int threads) {
    const dn_conv_shape back = backward_shape(shape);
    size_t floats = 0;
    dn_winograd winograd;
    if (choose_winograd(kernels, shape, batch, &winograd))
        floats = dn_max_size(dn_winograd_batch_scratch(&winograd, batch, threads),
                             dn_winograd_gradient_scratch(&winograd, batch, threads));
    if (choose_winograd(kernels, &back, batch, &winograd))
        floats = dn_max_size(floats, dn_winograd_batch_scratch(&winograd, batch, threads));
    return floats;
}

/* As planned convolutions do, but the weights are packed at every step. */
static size_t packed_weights(const dn_kernels *kernels, const dn_conv_shape *shape) {
    return dn_round_up(dn_gemm_packed_size(kernels, shape->out_c, depth_of(shape)), 16);
}

static size_t direct_scratch(const dn_kernels *kernels, const dn_conv_shape *shape, int batch, int threads) {
    size_t floats = 0;
    if (dn_direct_fits(kernels, shape))
        floats = packed_weights(kernels, shape) + dn_direct_scratch(shape, threads);
    if (dn_direct_gradient_fits(kernels, shape))
        floats = dn_max_size(floats, dn_direct_gradient_scratch(kernels, shape, batch, threads));
    return floats;
}

static void direct_forward(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                           const float *weights, float *y, float *scratch) {
    const planes p = measure(shape);
    const int k = depth_of(shape);
    const dn_operand left = {.layout = DN_LAYOUT_COLUMNS, .p = weights, .stride = (size_t)k};
    dn_gemm_pack(device->kernels, &left, shape->out_c, k, scratch);
    for (size_t i = 0; i < (size_t)batch; ++i)
        dn_direct_run(device, shape, NULL, x + i * p.x_image, scratch, NULL, y + i * p.y_image,
                      scratch + packed_weights(device->kernels, shape));
}

size_t dn_cpu_conv_scratch(dn_device *device, const dn_conv_shape *shape, int batch) {
    const int threads = dn_pool_threads(device->pool);
    if (dn_depthwise_fits(shape)) return dn_depthwise_scratch(shape, threads);
    const dn_kernels *kernels = device->kernels;
    const planes p = measure(shape);
    const int m = filters_of(shape), k = depth_of(shape), taps = shape->size * shape->size;
    const size_t forward = dn_gemm_scratch(kernels, m, batch * p.y_pixels, k, threads);
    const size_t weight = dn_gemm_scratch(kernels, m, k, batch * p.y_pixels, threads);
    size_t data;
    if (is_stride_one(shape))
        data = dn_gemm_scratch(kernels, shape->in_c / shape->groups, batch * p.x_pixels, m * taps, threads);
    else
        data = dn_gemm_scratch(kernels, k, p.y_pixels, m, threads) + (size_t)k * (size_t)p.y_pixels + 16;
    const size_t special = dn_max_size(winograd_scratch(kernels, shape, batch, threads),
                                       direct_scratch(kernels, shape, batch, threads));
    return dn_max_size(dn_max_size(data, special), dn_max_size(forward, weight));
}

void dn_cpu_conv_forward(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                         const float *weights, float *y, float *scratch) {
    if (dn_depthwise_fits(shape)) {
        dn_depthwise_forward(device, shape, batch, x, weights, NULL, y, scratch);
        return;
    }
    dn_winograd winograd;
    if (choose_winograd(device->kernels, shape, batch, &winograd)) {
        dn_winograd_batch_run(device, &winograd, batch, x, weights, false, y, false, scratch);
        return;
    }
    if (dn_direct_fits(device->kernels, shape)) {
        direct_forward(device, shape, batch, x, weights, y, scratch);
        return;
    }
    const planes p = measure(shape);
    for (int group = 0; group < shape->groups; ++group) {
        const size_t g = (size_t)group;
        dn_gemm gemm = {.m = filters_of(shape), .n = batch * p.y_pixels, .k = depth_of(shape)};
        gemm.left = (dn_operand){.layout = DN_LAYOUT_COLUMNS,
                                 .p = weights + g * p.weights_group,
                                 .stride = (size_t)depth_of(shape)};
        gemm.right =
            (dn_operand){.layout = DN_LAYOUT_PATCHES, .patches = dn_conv_patches(shape, x + g * p.x_group)};
        gemm.c = y + g * p.y_group;
        gemm.ldc = (size_t)p.y_pixels;
        gemm.columns = p.y_pixels;
        gemm.image_stride = p.y_image;
        dn_gemm_run(device, &gemm, scratch);
    }
}

/* ---- gradient of the input ---- */

static void data_gradient_stride_one(dn_device *device, const dn_conv_shape *shape, int batch,
                                     const float *weights, const float *dy, float *dx, bool accumulate,
                                     float *scratch) {
    const planes p = measure(shape);
    const int taps = shape->size * shape->size;
    const dn_conv_shape back = backward_shape(shape);
    dn_winograd winograd;
    if (choose_winograd(device->kernels, &back, batch, &winograd)) {
        dn_winograd_batch_run(device, &winograd, batch, dy, weights, true, dx, accumulate, scratch);
        return;
    }
    for (int group = 0; group < shape->groups; ++group) {
        const size_t g = (size_t)group;
        dn_gemm gemm = {
            .m = shape->in_c / shape->groups, .n = batch * p.x_pixels, .k = filters_of(shape) * taps};
        gemm.left = (dn_operand){.layout = DN_LAYOUT_FLIPPED,
                                 .p = weights + g * p.weights_group,
                                 .stride = (size_t)depth_of(shape),
                                 .taps = taps};
        gemm.right =
            (dn_operand){.layout = DN_LAYOUT_PATCHES, .patches = dn_conv_patches(&back, dy + g * p.y_group)};
        gemm.c = dx + g * p.x_group;
        gemm.ldc = (size_t)p.x_pixels;
        gemm.columns = p.x_pixels;
        gemm.image_stride = p.x_image;
        gemm.accumulate = accumulate;
        dn_gemm_run(device, &gemm, scratch);
    }
}

/* The gradients of all patches of one image and group, [channel][tap][pixel], to be added to the planes. */
typedef struct scatter_job {
    const dn_conv_shape *shape;
    const float *columns;
    float *dx;
} scatter_job;

static void scatter_tap(const dn_conv_shape *shape, const float *column, int ky, int kx, float *plane) {
    const int left = kx * shape->dilation - shape->pad, step = shape->stride_x;
    const int first = left < 0 ? (-left + step - 1) / step : 0;
    const int last =
        left >= shape->in_w ? 0 : dn_min_int(shape->out_w, (shape->in_w - left + step - 1) / step);
    for (int oy = 0; oy < shape->out_h; ++oy, column += shape->out_w) {
        const int y = oy * shape->stride_y - shape->pad + ky * shape->dilation;
        if (y < 0 || y >= shape->in_h) continue;
        float *row = plane + (ptrdiff_t)y * shape->in_w + left;
        for (int ox = first; ox < last; ++ox) row[ox * step] += column[ox];
    }
}

static void run_scatter(void *context, int part, int parts) {
    const scatter_job *job = context;
    const dn_conv_shape *shape = job->shape;
    size_t begin, end;
    dn_pool_slice((size_t)(shape->in_c / shape->groups), 1, part, parts, &begin, &end);
    const size_t pixels = (size_t)shape->out_h * (size_t)shape->out_w;
    const float *column = job->columns + begin * (size_t)(shape->size * shape->size) * pixels;
    for (size_t c = begin; c < end; ++c)
        for (int ky = 0; ky < shape->size; ++ky)
            for (int kx = 0; kx < shape->size; ++kx, column += pixels)
                scatter_tap(shape, column, ky, kx, job->dx + c * (size_t)shape->in_h * (size_t)shape->in_w);
}

static void data_gradient_strided(dn_device *device, const dn_conv_shape *shape, int batch,
                                  const float *weights, const float *dy, float *dx, float *scratch) {
    const planes p = measure(shape);
    const int k = depth_of(shape);
    float *columns = scratch, *rest = scratch + dn_round_up((size_t)k * (size_t)p.y_pixels, 16);
    for (int image = 0; image < batch; ++image)
        for (int group = 0; group < shape->groups; ++group) {
            const size_t g = (size_t)group, i = (size_t)image;
            dn_gemm gemm = {
                .m = k, .n = p.y_pixels, .k = filters_of(shape), .c = columns, .ldc = (size_t)p.y_pixels};
            gemm.left = (dn_operand){
                .layout = DN_LAYOUT_ROWS, .p = weights + g * p.weights_group, .stride = (size_t)k};
            gemm.right = (dn_operand){.layout = DN_LAYOUT_ROWS,
                                      .p = dy + i * p.y_image + g * p.y_group,
                                      .stride = (size_t)p.y_pixels};
            dn_gemm_run(device, &gemm, rest);
            scatter_job job = {shape, columns, dx + i * p.x_image + g * p.x_group};
            dn_pool_run(device->pool, run_scatter, &job);
        }
}

void dn_cpu_conv_data_gradient(dn_device *device, const dn_conv_shape *shape, int batch, const float *weights,
                               const float *dy, float *dx, bool accumulate, float *scratch) {
    if (dn_depthwise_fits(shape)) {
        dn_depthwise_data_gradient(device, shape, batch, weights, dy, dx, accumulate, scratch);
        return;
    }
    if (is_stride_one(shape)) {
        data_gradient_stride_one(device, shape, batch, weights, dy, dx, accumulate, scratch);
        return;
    }
    if (!accumulate) dn_cpu_fill(device, dx, 0, (size_t)batch * measure(shape).x_image);
    data_gradient_strided(device, shape, batch, weights, dy, dx, scratch);
}

/* ---- gradient of the weights ---- */

void dn_cpu_conv_weight_gradient(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                                 const float *dy, float *dw, float *scratch) {
    if (dn_depthwise_fits(shape)) {
        dn_depthwise_weight_gradient(device, shape, batch, x, dy, dw, scratch);
        return;
    }
    dn_winograd winograd;
    if (choose_winograd(device->kernels, shape, batch, &winograd)) {
        dn_winograd_gradient_run(device, &winograd, batch, x, dy, dw, scratch);
        return;
    }
    if (dn_direct_gradient_fits(device->kernels, shape)) {
        dn_direct_gradient_run(device, shape, batch, x, dy, dw, scratch);
        return;
    }
    const planes p = measure(shape);
    for (int group = 0; group < shape->groups; ++group) {
        const size_t g = (size_t)group;
        dn_gemm gemm = {
            .m = filters_of(shape), .n = depth_of(shape), .k = batch * p.y_pixels, .accumulate = true};
        gemm.left = (dn_operand){.layout = DN_LAYOUT_COLUMNS,
                                 .p = dy + g * p.y_group,
                                 .stride = (size_t)p.y_pixels,
                                 .segment = p.y_pixels,
                                 .segment_stride = p.y_image};
        gemm.right = (dn_operand){.layout = DN_LAYOUT_PATCHES_COLUMNS,
                                  .patches = dn_conv_patches(shape, x + g * p.x_group)};
        gemm.c = dw + g * p.weights_group;
        gemm.ldc = (size_t)depth_of(shape);
        dn_gemm_run(device, &gemm, scratch);
    }
}
