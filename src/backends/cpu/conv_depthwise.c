/* conv_depthwise.c - convolutions with one input channel per group: the three products. Each thread owns
 * whole input channels. Forward, the usual shapes read planes as they are (template/depthwise.h), a row of
 * which, with the rows it is summed with (5 x 160 floats, 3 KiB), stays in the first-level cache; others and
 * the gradients go through padded planes (conv_direct.c). */
#include "cpu.h"

#include <string.h>

enum { SUM_ROWS = 64 }; /* whose products are summed in one go: longer sums round more */

typedef struct depthwise {
    const dn_conv_shape *shape;
    int multiplier;  /* outputs per input channel */
    int rows, pitch; /* of the padded plane [rows][stride_x][pitch] */
    size_t x_plane, y_plane, padded;
} depthwise;

bool dn_depthwise_fits(const dn_conv_shape *shape) {
    return shape->groups > 1 && shape->groups == shape->in_c;
}

static depthwise describe(const dn_conv_shape *shape) {
    const int reach = (shape->size - 1) * shape->dilation;
    depthwise d = {.shape = shape, .multiplier = shape->out_c / shape->in_c};
    d.rows = (shape->out_h - 1) * shape->stride_y + reach + 1;
    d.pitch = dn_padded_pitch(shape);
    d.x_plane = (size_t)shape->in_h * (size_t)shape->in_w;
    d.y_plane = (size_t)shape->out_h * (size_t)shape->out_w;
    d.padded = (size_t)d.rows * (size_t)shape->stride_x * (size_t)d.pitch;
    return d;
}

static size_t taps_of(const dn_conv_shape *shape) {
    return (size_t)shape->size * (size_t)shape->size;
}

/* Floats of a thread: the padded plane, what a kernel may read past it, the offsets of the taps and their
 * sums. */
static size_t thread_scratch(const dn_conv_shape *shape) {
    const size_t offsets = (taps_of(shape) * sizeof(ptrdiff_t) + sizeof(float) - 1) / sizeof(float);
    return dn_round_up(describe(shape).padded, 16) + 64 + dn_round_up(offsets, 16) +
           dn_round_up(taps_of(shape), 16);
}

static bool is_stride_one(const dn_conv_shape *shape) {
    return shape->stride_x == 1 && shape->stride_y == 1;
}

/* At stride 1 the gradient of the input is a convolution too, from y to x, with the taps in reverse. */
static dn_conv_shape reversed(const dn_conv_shape *shape) {
    dn_conv_shape back = *shape;
    back.in_h = shape->out_h;
    back.in_w = shape->out_w;
    back.out_h = shape->in_h;
    back.out_w = shape->in_w;
    back.pad = (shape->size - 1) * shape->dilation - shape->pad;
    return back;
}

size_t dn_depthwise_scratch(const dn_conv_shape *shape, int threads) {
    size_t floats = thread_scratch(shape);
    if (is_stride_one(shape)) {
        const dn_conv_shape back = reversed(shape);
        floats = dn_max_size(floats, thread_scratch(&back));
    }
    return (size_t)threads * floats;
}

/* The reverse: the plane adds what the padded plane holds inside. */
static void unpad_plane(const depthwise *d, const float *padded, float *plane) {
    const dn_conv_shape *shape = d->shape;
    for (int r = 0; r < d->rows; ++r)
        for (int phase = 0; phase < shape->stride_x; ++phase, padded += d->pitch) {
            const int y = r - shape->pad;
            if (y < 0 || y >= shape->in_h) continue;
            int first, last;
            dn_padded_inside(shape, phase, &first, &last);
            const float *from = padded + dn_padded_lead(shape, phase);
            float *row = plane + (size_t)y * (size_t)shape->in_w;
            for (int j = first; j < last; ++j) row[j * shape->stride_x + phase - shape->pad] += from[j];
        }
}

typedef struct depthwise_job {
    depthwise d;
    const dn_kernels *kernels;
    const dn_epilogue *epilogue;
    int batch;
    const float *x, *dy, *weights;
    float *y, *dx, *dw, *scratch;
    bool accumulate; /* dx */
} depthwise_job;

/* One padded plane to one output plane. */
static void forward_plane(const depthwise_job *job, int channel, const ptrdiff_t *offsets,
                          const float *padded, float *y, const float *residual) {
    const depthwise *d = &job->d;
    const dn_conv_shape *shape = d->shape;
    const int taps = (int)taps_of(shape);
    const ptrdiff_t step = (ptrdiff_t)shape->stride_y * shape->stride_x * d->pitch;
    for (int row = 0; row < shape->out_h; ++row)
        job->kernels->weigh_shifted(taps, job->weights + (size_t)channel * (size_t)taps, offsets,
                                    padded + row * step, y + (size_t)row * (size_t)shape->out_w, shape->out_w,
                                    false);
    if (job->epilogue)
        job->kernels->affine_activate(job->epilogue->activation, job->epilogue->activate_sum, y, 1.0f,
                                      job->epilogue->bias ? job->epilogue->bias[channel] : 0.0f, residual,
                                      d->y_plane);
}

/* Shapes that the kernel for planes as they are is compiled for. */
bool dn_depthwise_fits_plane(const dn_conv_shape *shape) {
    return (shape->size == 3 || shape->size == 5) && shape->pad == shape->size / 2 && shape->dilation == 1 &&
           shape->stride_x == shape->stride_y && shape->stride_x <= 2;
}

/* Input channels begin .. end of all images. */
static void run_planes(const depthwise_job *job, size_t begin, size_t end, float *zeros) {
    const depthwise *d = &job->d;
    const dn_conv_shape *shape = d->shape;
    const size_t channels = (size_t)shape->in_c, multiplier = (size_t)d->multiplier;
    dn_depthwise_planes planes = {.size = shape->size,
                                  .stride = shape->stride_x,
                                  .multiplier = d->multiplier,
                                  .h = shape->in_h,
                                  .w = shape->in_w,
                                  .out_h = shape->out_h,
                                  .out_w = shape->out_w,
                                  .x_plane = d->x_plane,
                                  .y_plane = d->y_plane,
                                  .zeros = zeros};
    memset(zeros, 0, (size_t)shape->in_w * sizeof *zeros);
    while (begin < end) { /* as many as lie in one image */
        const size_t channel = begin % channels * multiplier;
        const size_t count = dn_min_size(end - begin, channels - begin % channels);
        planes.planes = (int)(count * multiplier);
        planes.x = job->x + begin * d->x_plane;
        planes.y = job->y + begin * multiplier * d->y_plane;
        planes.weights = job->weights + channel * taps_of(shape);
        if (job->epilogue) {
            planes.epilogue = *job->epilogue;
            planes.epilogue.bias += channel;
            if (job->epilogue->residual) planes.epilogue.residual += begin * multiplier * d->y_plane;
        }
        job->kernels->depthwise_planes(&planes);
        begin += count;
    }
}

static void run_padded_planes(const depthwise_job *job, size_t begin, size_t end, const ptrdiff_t *offsets,
                              float *padded) {
    const depthwise *d = &job->d;
    const dn_conv_shape *shape = d->shape;
    for (size_t i = begin; i < end; ++i) {
        const size_t channel = i % (size_t)shape->in_c;
        dn_pad_rows(job->kernels, shape, job->x + i * d->x_plane, 0, d->rows, padded);
        for (size_t j = 0; j < (size_t)d->multiplier; ++j) {
            const size_t at = (i * (size_t)d->multiplier + j) * d->y_plane;
            const float *residual =
                job->epilogue && job->epilogue->residual ? job->epilogue->residual + at : NULL;
            forward_plane(job, (int)(channel * (size_t)d->multiplier + j), offsets, padded, job->y + at,
                          residual);
        }
    }
}

static void run_forward(void *context, int part, dn_ranges *pieces) {
    const depthwise_job *job = context;
    const depthwise *d = &job->d;
    const dn_conv_shape *shape = d->shape;
    float *padded = job->scratch + (size_t)part * thread_scratch(shape);
    ptrdiff_t *offsets = (ptrdiff_t *)(void *)(padded + dn_round_up(d->padded, 16) + 64);
    dn_padded_offsets(shape, 1, 0, offsets);
    for (int piece; dn_range_claim(pieces, part, &piece);) {
        size_t begin, end;
        dn_pool_slice((size_t)job->batch * (size_t)shape->in_c, 1, piece, pieces->pieces, &begin, &end);
        if (dn_depthwise_fits_plane(shape))
            run_planes(job, begin, end, padded);
        else
            run_padded_planes(job, begin, end, offsets, padded);
    }
}

void dn_depthwise_forward(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                          const float *weights, const dn_epilogue *epilogue, float *y, float *scratch) {
    depthwise_job job = {.d = describe(shape),
                         .kernels = device->kernels,
                         .epilogue = epilogue,
                         .batch = batch,
                         .x = x,
                         .weights = weights,
                         .y = y,
                         .scratch = scratch};
    const size_t outputs = (size_t)batch * (size_t)shape->out_c * job.d.y_plane;
    dn_cpu_share(device, outputs * taps_of(shape) / 2, run_forward, &job);
}

static void run_data_gradient(void *context, int part, int parts) {
    const depthwise_job *job = context;
    const depthwise *d = &job->d;
    const dn_conv_shape *shape = d->shape;
    const size_t taps = taps_of(shape);
    const ptrdiff_t step = (ptrdiff_t)shape->stride_y * shape->stride_x * d->pitch;
    float *padded = job->scratch + (size_t)part * thread_scratch(shape);
    ptrdiff_t *offsets = (ptrdiff_t *)(void *)(padded + dn_round_up(d->padded, 16) + 64);
    dn_padded_offsets(shape, 1, 0, offsets);
    size_t begin, end;
    dn_pool_slice((size_t)job->batch * (size_t)shape->in_c, 1, part, parts, &begin, &end);
    for (size_t i = begin; i < end; ++i) {
        memset(padded, 0, d->padded * sizeof *padded);
        for (size_t j = 0; j < (size_t)d->multiplier; ++j) {
            const float *weights =
                job->weights + (i % (size_t)shape->in_c * (size_t)d->multiplier + j) * taps;
            const float *dy = job->dy + (i * (size_t)d->multiplier + j) * d->y_plane;
            for (int row = 0; row < shape->out_h; ++row, dy += shape->out_w)
                for (size_t t = 0; t < taps; ++t)
                    job->kernels->axpy(padded + row * step + offsets[t], weights[t], dy,
                                       (size_t)shape->out_w);
        }
        unpad_plane(d, padded, job->dx + i * d->x_plane);
    }
}

/* The job's shape is the reversed one: its input is dy. */
static void run_data_gradient_reversed(void *context, int part, int parts) {
    const depthwise_job *job = context;
    const depthwise *d = &job->d;
    const dn_conv_shape *shape = d->shape;
    const size_t taps = taps_of(shape);
    float *padded = job->scratch + (size_t)part * thread_scratch(shape);
    ptrdiff_t *offsets = (ptrdiff_t *)(void *)(padded + dn_round_up(d->padded, 16) + 64);
    dn_padded_offsets(shape, 1, 0, offsets);
    for (size_t t = 0; t < taps / 2; ++t) {
        const ptrdiff_t offset = offsets[t];
        offsets[t] = offsets[taps - 1 - t];
        offsets[taps - 1 - t] = offset;
    }
    size_t begin, end;
    dn_pool_slice((size_t)job->batch * (size_t)shape->in_c, 1, part, parts, &begin, &end);
    for (size_t i = begin; i < end; ++i)
        for (size_t j = 0; j < (size_t)d->multiplier; ++j) {
            const float *weights =
                job->weights + (i % (size_t)shape->in_c * (size_t)d->multiplier + j) * taps;
            dn_pad_rows(job->kernels, shape, job->dy + (i * (size_t)d->multiplier + j) * d->x_plane, 0,
                        d->rows, padded);
            for (int row = 0; row < shape->out_h; ++row)
                job->kernels->weigh_shifted((int)taps, weights, offsets, padded + (ptrdiff_t)row * d->pitch,
                                            job->dx + i * d->y_plane + (size_t)row * (size_t)shape->out_w,
                                            shape->out_w, job->accumulate || j > 0);
        }
}

void dn_depthwise_data_gradient(dn_device *device, const dn_conv_shape *shape, int batch,
                                const float *weights, const float *dy, float *dx, bool accumulate,
                                float *scratch) {
    depthwise_job job = {.d = describe(shape),
                         .kernels = device->kernels,
                         .batch = batch,
                         .dy = dy,
                         .weights = weights,
                         .dx = dx,
                         .accumulate = accumulate,
                         .scratch = scratch};
    if (!is_stride_one(shape)) {
        if (!accumulate) dn_cpu_fill(device, dx, 0, (size_t)batch * (size_t)shape->in_c * job.d.x_plane);
        dn_pool_run(device->pool, run_data_gradient, &job);
        return;
    }
    const dn_conv_shape back = reversed(shape);
    job.d = describe(&back);
    dn_pool_run(device->pool, run_data_gradient_reversed, &job);
}

static void run_weight_gradient(void *context, int part, int parts) {
    const depthwise_job *job = context;
    const depthwise *d = &job->d;
    const dn_conv_shape *shape = d->shape;
    const size_t taps = taps_of(shape);
    const ptrdiff_t step = (ptrdiff_t)shape->stride_y * shape->stride_x * d->pitch;
    float *padded = job->scratch + (size_t)part * thread_scratch(shape);
    ptrdiff_t *offsets = (ptrdiff_t *)(void *)(padded + dn_round_up(d->padded, 16) + 64);
    float *sums = padded + thread_scratch(shape) - dn_round_up(taps, 16);
    memset(padded + d->padded, 0, (dn_round_up(d->padded, 16) + 64 - d->padded) * sizeof *padded);
    dn_padded_offsets(shape, 1, 0, offsets);
    size_t begin, end;
    dn_pool_slice((size_t)shape->in_c, 1, part, parts, &begin, &end);
    for (int image = 0; image < job->batch; ++image)
        for (size_t channel = begin; channel < end; ++channel) {
            const size_t i = (size_t)image * (size_t)shape->in_c + channel;
            dn_pad_rows(job->kernels, shape, job->x + i * d->x_plane, 0, d->rows, padded);
            for (size_t j = 0; j < (size_t)d->multiplier; ++j) {
                const float *dy = job->dy + (i * (size_t)d->multiplier + j) * d->y_plane;
                float *dw = job->dw + (channel * (size_t)d->multiplier + j) * taps;
                for (int row = 0; row < shape->out_h; row += SUM_ROWS) {
                    job->kernels->correlate_plane(dn_min_int(SUM_ROWS, shape->out_h - row), shape->out_w,
                                                  dy + (size_t)row * (size_t)shape->out_w,
                                                  padded + row * step, (size_t)step, (int)taps, offsets,
                                                  sums);
                    for (size_t t = 0; t < taps; ++t) dw[t] += sums[t];
                }
            }
        }
}

void dn_depthwise_weight_gradient(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                                  const float *dy, float *dw, float *scratch) {
    depthwise_job job = {.d = describe(shape),
                         .kernels = device->kernels,
                         .batch = batch,
                         .x = x,
                         .dy = dy,
                         .dw = dw,
                         .scratch = scratch};
    dn_pool_run(device->pool, run_weight_gradient, &job);
}
