/* conv_direct.c - convolutions of few input channels and filters, and the gradients of their weights, where
 * packing patches would cost as much as multiplying them: kernels read their rows straight from padded
 * planes. The padded planes themselves, which depthwise convolutions use too, are here. */
#include "cpu.h"

#include <string.h>

enum {
    MOST_FILTERS = 64,
    MOST_WEIGHTS = 2048, /* sums of the gradient beside the rows, in the second-level cache */
    SLICES = 16,   /* of the rows of a batch, each with sums of its own: the same for any number of threads */
    MOST_ROWS = 8, /* output rows whose inputs are padded at a time, */
    NEAR = 8 * 1024 /* if they take no more: two thirds of the first-level cache (a row stored there takes
                       half the time) */
};

/* ---- padded planes ---- */

static int reach_of(const dn_conv_shape *shape) {
    return (shape->size - 1) * shape->dilation;
}

enum { LINE = 16, WIDE = 64 }; /* floats */

static int columns_of(const dn_conv_shape *shape) {
    return shape->out_w + reach_of(shape) / shape->stride_x + 1;
}

/* Wide rows begin anywhere in their first cache line, so that what is inside the image begins with a line:
 * stores across lines took twice as long. */
int dn_padded_pitch(const dn_conv_shape *shape) {
    const int columns = columns_of(shape);
    return columns < WIDE ? columns : (columns + LINE - 1 + LINE - 1) / LINE * LINE;
}

void dn_padded_inside(const dn_conv_shape *shape, int phase, int *first, int *last) {
    const int step = shape->stride_x, start = phase - shape->pad, columns = columns_of(shape);
    *first = start >= 0 ? 0 : dn_min_int((-start + step - 1) / step, columns);
    *last = start >= shape->in_w ? 0 : dn_min_int((shape->in_w - start + step - 1) / step, columns);
    if (*last < *first) *last = *first;
}

int dn_padded_lead(const dn_conv_shape *shape, int phase) {
    int first, last;
    if (columns_of(shape) < WIDE) return 0;
    dn_padded_inside(shape, phase, &first, &last);
    return (LINE - first % LINE) % LINE;
}

/* A phase of a row: so many zeros, what is inside, zeros. */
typedef struct padded_phase {
    int zeros, inside, pitch;
    ptrdiff_t start; /* of what is inside, in the image */
} padded_phase;

static padded_phase phase_of(const dn_conv_shape *shape, int phase) {
    int first, last;
    dn_padded_inside(shape, phase, &first, &last);
    return (padded_phase){.zeros = dn_padded_lead(shape, phase) + first,
                          .inside = last - first,
                          .pitch = dn_padded_pitch(shape),
                          .start = phase - shape->pad + (ptrdiff_t)first * shape->stride_x};
}

/* Of what is inside all but the first `taken`, which are there already. */
static void pad_phase(const float *row, int step, const padded_phase *phase, int taken, float *padded) {
    memset(padded, 0, (size_t)phase->zeros * sizeof *padded);
    padded += phase->zeros;
    row += phase->start;
    if (step == 1)
        memcpy(padded, row, (size_t)phase->inside * sizeof *padded);
    else
        for (int j = taken; j < phase->inside; ++j) padded[j] = row[(ptrdiff_t)j * step];
    memset(padded + phase->inside, 0, (size_t)(phase->pitch - phase->zeros - phase->inside) * sizeof *padded);
}

/* Both phases of a step of 2, from one pass over the row. */
static void pad_pairs(const dn_kernels *kernels, const float *row, int pad, const padded_phase phases[2],
                      float *padded) {
    const padded_phase *even = &phases[pad % 2], *odd = &phases[1 - pad % 2];
    const int pairs = dn_min_int(even->inside, odd->inside);
    float *to[2] = {padded, padded + phases[0].pitch};
    kernels->split_pairs(row, pairs, to[even - phases] + even->zeros, to[odd - phases] + odd->zeros);
    for (int phase = 0; phase < 2; ++phase) pad_phase(row, 2, &phases[phase], pairs, to[phase]);
}

void dn_pad_rows(const dn_kernels *kernels, const dn_conv_shape *shape, const float *plane, int first,
                 int rows, float *padded) {
    const int step = shape->stride_x, together = step == 2 ? 2 : 1;
    const size_t pitch = (size_t)dn_padded_pitch(shape);
    for (int i = 0; i < step; i += together) {
        const padded_phase phases[2] = {phase_of(shape, i), phase_of(shape, i + 1)};
        float *to = padded + (size_t)i * pitch;
        for (int r = first; r < first + rows; ++r, to += (size_t)step * pitch) {
            const int y = r - shape->pad;
            const float *row = plane + (ptrdiff_t)y * shape->in_w;
            if (y < 0 || y >= shape->in_h)
                memset(to, 0, (size_t)together * pitch * sizeof *to);
            else if (together == 2)
                pad_pairs(kernels, row, shape->pad, phases, to);
            else
                pad_phase(row, step, &phases[0], 0, to);
        }
    }
}

void dn_padded_offsets(const dn_conv_shape *shape, int channels, size_t channel_stride, ptrdiff_t *offsets) {
    const int pitch = dn_padded_pitch(shape), step = shape->stride_x;
    for (int kx = 0; kx < shape->size; ++kx) {
        const int x = kx * shape->dilation, phase = x % step;
        const ptrdiff_t column = phase * pitch + dn_padded_lead(shape, phase) + x / step;
        for (int c = 0; c < channels; ++c)
            for (int ky = 0; ky < shape->size; ++ky)
                offsets[(c * shape->size + ky) * shape->size + kx] =
                    (ptrdiff_t)((size_t)c * channel_stride) + (ptrdiff_t)ky * shape->dilation * step * pitch +
                    column;
    }
}

/* ---- the convolution ---- */

/* Every row of every 8 filters has tiles of its own, which take longer than to pack patches where rows are
 * short and filters many: 3 -> 64 filters of 28 x 28 a fifth more, while 3 -> 16 take half the time. */
bool dn_direct_fits(const dn_kernels *kernels, const dn_conv_shape *shape) {
    return shape->groups == 1 && shape->in_c * shape->size * shape->size <= DN_DIRECT_DEPTH &&
           shape->out_c <= MOST_FILTERS && shape->out_w >= dn_max_int(shape->out_c, kernels->lanes);
}

/* Of a padded channel under so many output rows. */
static size_t channel_floats(const dn_conv_shape *shape, int rows) {
    const int padded = (rows - 1) * shape->stride_y + reach_of(shape) + 1;
    return (size_t)padded * (size_t)shape->stride_x * (size_t)dn_padded_pitch(shape);
}

size_t dn_direct_padded(const dn_conv_shape *shape, int rows) {
    return dn_round_up((size_t)shape->in_c * channel_floats(shape, rows) + 64,
                       16); /* 64: the tile reads past the columns */
}

/* Output rows of a block; even, for pools. */
static int block_rows(const dn_conv_shape *shape) {
    int rows = MOST_ROWS;
    while (rows > 2 && (size_t)shape->in_c * channel_floats(shape, rows) > NEAR) rows -= 2;
    return rows;
}

static size_t padded_floats(const dn_conv_shape *shape) {
    return dn_direct_padded(shape, block_rows(shape));
}

size_t dn_direct_scratch(const dn_conv_shape *shape, int threads) {
    return (size_t)threads * padded_floats(shape);
}

void dn_direct_offsets(const dn_conv_shape *shape, int rows, ptrdiff_t offsets[DN_DIRECT_DEPTH]) {
    dn_padded_offsets(shape, shape->in_c, channel_floats(shape, rows), offsets);
}

void dn_direct_pad(const dn_kernels *kernels, const dn_conv_shape *shape, int rows, const float *x, int first,
                   int last, float *padded) {
    const int high = (last - first - 1) * shape->stride_y + reach_of(shape) + 1;
    for (int c = 0; c < shape->in_c; ++c)
        dn_pad_rows(kernels, shape, x + (size_t)c * (size_t)shape->in_h * (size_t)shape->in_w,
                    first * shape->stride_y, high, padded + (size_t)c * channel_floats(shape, rows));
}

typedef struct direct_job {
    const dn_kernels *kernels;
    const dn_conv_shape *shape;
    const dn_pool_shape *windows; /* NULL: none */
    const dn_epilogue *epilogue;  /* NULL: none */
    const float *x, *weights;
    float *y;     /* from row `top` of the map on */
    size_t plane; /* of y */
    int top;
    float *scratch;
} direct_job;

/* Output rows first .. last from the padded planes of the block. */
static void multiply_rows(const direct_job *job, int first, int last, const float *padded,
                          const ptrdiff_t *offsets) {
    const dn_conv_shape *shape = job->shape;
    const dn_kernels *kernels = job->kernels;
    const int depth = shape->in_c * shape->size * shape->size, height = kernels->gemm_rows;
    for (int row = first; row < last; ++row) {
        const float *from =
            padded + (ptrdiff_t)(row - first) * shape->stride_y * shape->stride_x * dn_padded_pitch(shape);
        for (int o = 0; o < shape->out_c; o += height) {
            const size_t at = (size_t)o * job->plane + (size_t)(row - job->top) * (size_t)shape->out_w;
            dn_epilogue epilogue;
            if (job->epilogue) {
                epilogue = *job->epilogue;
                if (epilogue.bias) epilogue.bias += o;
                if (epilogue.residual) epilogue.residual += at;
            }
            const dn_tiles tiles = {.depth = depth,
                                    .rows = dn_min_int(height, shape->out_c - o),
                                    .columns = shape->out_w,
                                    .a = job->weights + (ptrdiff_t)o * depth,
                                    .b = from,
                                    .offsets = offsets,
                                    .panel = kernels->gemm_columns,
                                    .c = job->y + at,
                                    .ldc = job->plane,
                                    .epilogue = job->epilogue ? &epilogue : NULL};
            kernels->gemm_tiles(&tiles);
        }
    }
}

/* Windows of output rows first .. last; first is even. */
static void pool_rows(const direct_job *job, int first, int last, const float *padded,
                      const ptrdiff_t *offsets) {
    const dn_conv_shape *shape = job->shape;
    const dn_pool_shape *windows = job->windows;
    const ptrdiff_t apart = (ptrdiff_t)shape->stride_y * shape->stride_x * dn_padded_pitch(shape);
    for (int row = first; row < last; row += 2) {
        const float *top = padded + (row - first) * apart;
        const dn_pooled_rows rows = {
            .depth = shape->in_c * shape->size * shape->size,
            .filters = shape->out_c,
            .columns = shape->out_w,
            .pooled_columns = windows->out_w,
            .a = job->weights,
            .top = top,
            .bottom = row + 1 < last ? top + apart : top,
            .offsets = offsets,
            .y = job->y + (ptrdiff_t)(row / 2) * windows->out_w,
            .plane = (size_t)windows->out_h * (size_t)windows->out_w,
            .epilogue = job->epilogue,
        };
        job->kernels->pooled_rows(&rows);
    }
}

/* Output rows begin .. end. */
static void run_rows(const direct_job *job, int begin, int end, float *padded, const ptrdiff_t *offsets) {
    if (job->windows) end = dn_min_int(end, 2 * job->windows->out_h);
    const int rows = block_rows(job->shape);
    for (int first = begin; first < end; first += rows) {
        const int last = dn_min_int(first + rows, end);
        dn_direct_pad(job->kernels, job->shape, rows, job->x, first, last, padded);
        if (job->windows)
            pool_rows(job, first, last, padded, offsets);
        else
            multiply_rows(job, first, last, padded, offsets);
    }
}

static void run_pieces(void *context, int part, dn_ranges *pieces) {
    const direct_job *job = context;
    const dn_conv_shape *shape = job->shape;
    float *padded = job->scratch + (size_t)part * padded_floats(shape);
    ptrdiff_t offsets[DN_DIRECT_DEPTH];
    dn_direct_offsets(shape, block_rows(shape), offsets);
    memset(padded, 0, padded_floats(shape) * sizeof *padded);
    for (int piece; dn_range_claim(pieces, part, &piece);) {
        size_t begin, end;
        dn_pool_slice((size_t)shape->out_h, job->windows ? 2 : 1, piece, pieces->pieces, &begin, &end);
        run_rows(job, (int)begin, (int)end, padded, offsets);
    }
}

void dn_direct_run(dn_device *device, const dn_conv_shape *shape, const dn_pool_shape *windows,
                   const float *x, const float *weights, const dn_epilogue *epilogue, float *y,
                   float *scratch) {
    const size_t plane = (size_t)shape->out_h * (size_t)shape->out_w;
    direct_job job = {device->kernels, shape, windows, epilogue, x, weights, y, plane, 0, scratch};
    const size_t factors = (size_t)shape->in_c * (size_t)(shape->size * shape->size) * (size_t)shape->out_c;
    dn_cpu_share(device, (size_t)shape->out_h * (size_t)shape->out_w * factors / 2, run_pieces, &job);
}

void dn_direct_rows(const dn_kernels *kernels, const dn_conv_part *conv, const float *x, int first, int last,
                    float *y, size_t plane, float *scratch) {
    const direct_job job = {kernels,       conv->shape, NULL,  &conv->epilogue, x,
                            conv->weights, y,           plane, first,           NULL};
    ptrdiff_t offsets[DN_DIRECT_DEPTH];
    dn_direct_offsets(conv->shape, block_rows(conv->shape), offsets);
    run_rows(&job, first, last, scratch, offsets);
}

/* ---- the gradient of the weights: sums over rows of pixels, a tile of filters and taps at a time ---- */

bool dn_direct_gradient_fits(const dn_kernels *kernels, const dn_conv_shape *shape) {
    return dn_direct_fits(kernels, shape) && shape->out_c >= kernels->correlate_rows &&
           shape->out_c * shape->in_c * shape->size * shape->size <= MOST_WEIGHTS;
}

typedef struct gradient_job {
    const dn_kernels *kernels;
    const dn_conv_shape *shape;
    const float *x, *dy;
    float *dw, *scratch;
    int batch, depth;
    int row_tiles, column_tiles; /* of filters and of taps */
    size_t tile_size, sum_size;  /* floats */
} gradient_job;

static gradient_job describe_gradient(const dn_kernels *kernels, const dn_conv_shape *shape, int batch) {
    gradient_job job = {.kernels = kernels, .shape = shape, .batch = batch};
    const int rows = kernels->correlate_rows, columns = kernels->correlate_columns;
    job.depth = shape->in_c * shape->size * shape->size;
    job.row_tiles = (shape->out_c + rows - 1) / rows;
    job.column_tiles = (job.depth + columns - 1) / columns;
    job.tile_size = (size_t)(rows * columns * kernels->lanes);
    job.sum_size = (size_t)(job.row_tiles * job.column_tiles) * job.tile_size;
    return job;
}

size_t dn_direct_gradient_scratch(const dn_kernels *kernels, const dn_conv_shape *shape, int batch,
                                  int threads) {
    return SLICES * describe_gradient(kernels, shape, batch).sum_size +
           (size_t)threads * padded_floats(shape);
}

/* The last tile of filters is whole, too: it begins among those of the tile before. */
static int first_filter(const gradient_job *job, int tile) {
    const int rows = job->kernels->correlate_rows;
    return dn_min_int(tile * rows, job->shape->out_c - rows);
}

/* Adds output rows first .. last of one image to the sums. */
static void correlate_rows(const gradient_job *job, const float *dy, int first, int last, const float *padded,
                           const ptrdiff_t *offsets, float *sums) {
    const dn_conv_shape *shape = job->shape;
    const size_t plane = (size_t)shape->out_h * (size_t)shape->out_w;
    for (int row = first; row < last; ++row) {
        const float *from =
            padded + (ptrdiff_t)(row - first) * shape->stride_y * shape->stride_x * dn_padded_pitch(shape);
        float *tile = sums;
        for (int i = 0; i < job->row_tiles; ++i) {
            const float *left = dy + (size_t)first_filter(job, i) * plane + (size_t)(row * shape->out_w);
            for (int j = 0; j < job->column_tiles; ++j, tile += job->tile_size)
                job->kernels->correlate(shape->out_w, left, plane, from,
                                        offsets + j * job->kernels->correlate_columns, tile);
        }
    }
}

static void run_slices(void *context, int part, int parts) {
    const gradient_job *job = context;
    const dn_conv_shape *shape = job->shape;
    const size_t x_image = (size_t)shape->in_c * (size_t)shape->in_h * (size_t)shape->in_w;
    const size_t y_image = (size_t)shape->out_c * (size_t)shape->out_h * (size_t)shape->out_w;
    float *padded = job->scratch + SLICES * job->sum_size + (size_t)part * padded_floats(shape);
    ptrdiff_t offsets[DN_DIRECT_DEPTH + 8];
    dn_direct_offsets(shape, block_rows(shape), offsets);
    for (int i = job->depth; i < job->column_tiles * job->kernels->correlate_columns; ++i)
        offsets[i] = offsets[job->depth - 1];
    memset(padded, 0, padded_floats(shape) * sizeof *padded);
    const int rows = block_rows(shape);
    size_t begin, end;
    dn_pool_slice(SLICES, 1, part, parts, &begin, &end);
    for (size_t slice = begin; slice < end; ++slice) {
        float *sums = job->scratch + slice * job->sum_size;
        memset(sums, 0, job->sum_size * sizeof *sums);
        size_t row, row_end; /* of all images */
        dn_pool_slice((size_t)job->batch * (size_t)shape->out_h, 1, (int)slice, SLICES, &row, &row_end);
        while (row < row_end) {
            const size_t image = row / (size_t)shape->out_h;
            const int first = (int)(row % (size_t)shape->out_h);
            const int last = (int)dn_min_size((size_t)dn_min_int(first + rows, shape->out_h),
                                              (size_t)first + (row_end - row));
            dn_direct_pad(job->kernels, shape, rows, job->x + image * x_image, first, last, padded);
            correlate_rows(job, job->dy + image * y_image, first, last, padded, offsets, sums);
            row += (size_t)(last - first);
        }
    }
}

/* Adds slices and lanes, always in the same order. */
static void finish_gradient(const gradient_job *job) {
    const int rows = job->kernels->correlate_rows, columns = job->kernels->correlate_columns;
    const size_t lanes = (size_t)job->kernels->lanes;
    for (int o = 0; o < job->shape->out_c; ++o)
        for (int tap = 0; tap < job->depth; ++tap) {
            const int row_tile = o / rows, row = o - first_filter(job, row_tile);
            const float *sums = job->scratch +
                                (size_t)(row_tile * job->column_tiles + tap / columns) * job->tile_size +
                                (size_t)(row * columns + tap % columns) * lanes;
            double total = 0;
            for (size_t slice = 0; slice < SLICES; ++slice, sums += job->sum_size)
                for (size_t lane = 0; lane < lanes; ++lane) total += (double)sums[lane];
            job->dw[o * job->depth + tap] += (float)total;
        }
}

void dn_direct_gradient_run(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                            const float *dy, float *dw, float *scratch) {
    gradient_job job = describe_gradient(device->kernels, shape, batch);
    job.x = x;
    job.dy = dy;
    job.dw = dw;
    job.scratch = scratch;
    dn_pool_run(device->pool, run_slices, &job);
    finish_gradient(&job);
}
