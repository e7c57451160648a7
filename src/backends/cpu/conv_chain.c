/* conv_chain.c - a direct convolution, as first layers are, and the 3x3 one with Winograd tiles that alone
 * reads it: the strip of its output that a few tiles read is computed in the layout in which they are
 * transformed, and transformed while the nearest caches have it; the map between the two is nowhere. Rows and
 * columns that two strips share are computed twice, a ninth of the rows and a fiftieth of the columns at
 * stride 2. Every value is computed as it is in two steps. */
#include "cpu.h"

#include <string.h>

/* A seventh of these sums is made twice, which must take less time than the map took through memory: first
 * layers have 27 factors. */
enum { MOST_DEPTH = 64 };

typedef struct chain_job {
    const dn_chain *chain;
    const dn_kernels *kernels;
    ptrdiff_t offsets[DN_DIRECT_DEPTH];
    int rows;             /* of a strip, at most */
    const float *weights; /* [pair of blocks of filters][depth][2 lanes] */
    const float *bias;    /* of all these filters */
    float *padded;        /* per thread */
} chain_job;

static int depth_of(const dn_conv_shape *shape) {
    return shape->in_c * shape->size * shape->size;
}

bool dn_chain_fits(const dn_conv_shape *first, const dn_winograd *second) {
    return depth_of(first) <= MOST_DEPTH && dn_winograd_fits_maker(second);
}

/* Filters, with those that fill the last two vectors. */
static size_t filters_of(const dn_kernels *kernels, const dn_conv_shape *first) {
    return dn_round_up((size_t)first->out_c, 2 * (size_t)kernels->lanes);
}

static size_t weights_of(const dn_kernels *kernels, const dn_conv_shape *first) {
    return dn_round_up(filters_of(kernels, first) * (size_t)(depth_of(first) + 1), 16);
}

size_t dn_chain_scratch(const dn_conv_shape *first, const dn_winograd *second, int threads) {
    return dn_winograd_made_scratch(second, threads) + weights_of(second->kernels, first) +
           (size_t)threads * dn_direct_padded(first, second->n);
}

/* From panels of gemm_rows filters to vectors of them; then biases. */
static void spread_weights(const dn_kernels *kernels, const dn_chain *chain, float *weights) {
    const size_t lanes = 2 * (size_t)kernels->lanes, height = (size_t)kernels->gemm_rows;
    const size_t depth = (size_t)depth_of(chain->first.shape), out_c = (size_t)chain->first.shape->out_c;
    float *bias = weights + filters_of(kernels, chain->first.shape) * depth;
    memset(weights, 0, weights_of(kernels, chain->first.shape) * sizeof *weights);
    memcpy(bias, chain->first.epilogue.bias, out_c * sizeof *bias);
    for (size_t f = 0; f < out_c; ++f) {
        const float *from = chain->first.weights + f / height * height * depth + f % height;
        float *to = weights + f / lanes * lanes * depth + f % lanes;
        for (size_t k = 0; k < depth; ++k) to[k * lanes] = from[k * height];
    }
}

/* The rows and columns of a strip that are inside of a map; none: the first is the last. */
typedef struct inside {
    int top, bottom, left, right;
} inside;

static inside inside_of(const dn_winograd_strip *strip, int h, int w) {
    inside in = {.top = dn_max_int(0, -strip->top), .left = dn_max_int(0, -strip->left)};
    in.bottom = dn_max_int(in.top, dn_min_int(strip->h, h - strip->top));
    in.right = dn_max_int(in.left, dn_min_int(strip->w, w - strip->left));
    return in;
}

/* pixels: all but which, and where they go. row: of two blocks of filters, zeros outside of the map. */
static void make_row(const chain_job *job, dn_direct_pixels *pixels, const float *padded, int left, int right,
                     int w, float *row) {
    const size_t lanes = (size_t)job->kernels->lanes;
    for (size_t half = 0; half < 2; ++half) {
        float *line = row + half * pixels->half;
        memset(line, 0, (size_t)left * lanes * sizeof *line);
        memset(line + (size_t)right * lanes, 0, (size_t)(w - right) * lanes * sizeof *line);
    }
    pixels->pixels = right - left;
    pixels->x = padded;
    pixels->y = row + (size_t)left * lanes;
    if (left < right) job->kernels->direct_pixels(pixels);
}

static void make(void *context, int part, const dn_winograd_strip *strip, float *x) {
    const chain_job *job = context;
    const dn_conv_shape *first = job->chain->first.shape;
    const inside in = inside_of(strip, first->out_h, first->out_w);
    const int lanes = job->kernels->lanes, depth = depth_of(first), w = strip->w;
    const ptrdiff_t apart = (ptrdiff_t)first->stride_y * first->stride_x * dn_padded_pitch(first);
    float *padded = job->padded + (size_t)part * dn_direct_padded(first, job->rows);
    if (strip->new_rows)
        dn_direct_pad(job->kernels, first, job->rows, job->chain->x, strip->top + in.top,
                      strip->top + in.bottom, padded);
    const size_t block = (size_t)(strip->h * w * lanes);
    for (int filter = 0; filter < first->out_c; filter += 2 * lanes) {
        dn_epilogue epilogue = job->chain->first.epilogue;
        epilogue.bias = job->bias + filter;
        dn_direct_pixels pixels = {.depth = depth,
                                   .weights = job->weights + (ptrdiff_t)filter * depth,
                                   .offsets = job->offsets,
                                   .half = block,
                                   .epilogue = &epilogue};
        float *row = x + (size_t)(filter / lanes) * block;
        for (int y = 0; y < strip->h; ++y, row += w * lanes) {
            const bool there = y >= in.top && y < in.bottom;
            make_row(job, &pixels, padded + (y - in.top) * apart + strip->left + in.left, there ? in.left : w,
                     there ? in.right : w, w, row);
        }
    }
}

void dn_chain_run(dn_device *device, const dn_chain *chain, float *scratch) {
    const dn_kernels *kernels = device->kernels;
    const dn_conv_shape *first = chain->first.shape;
    chain_job job = {.chain = chain, .kernels = kernels, .rows = chain->second->n};
    const dn_winograd_maker maker = {&job, make};
    float *weights = scratch + dn_winograd_made_scratch(chain->second, dn_pool_threads(device->pool));
    spread_weights(kernels, chain, weights);
    job.weights = weights;
    job.bias = weights + filters_of(kernels, first) * (size_t)depth_of(first);
    job.padded = weights + weights_of(kernels, first);
    dn_direct_offsets(first, job.rows, job.offsets);
    dn_winograd_run_made(device, chain->second, &maker, &chain->second_epilogue, chain->y, scratch);
}
