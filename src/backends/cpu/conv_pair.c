/* conv_pair.c - a pointwise convolution and the depthwise one that alone reads it, as inverted residuals have
 * them: a few channels at a time, in bands of rows, so that what is between them is written over in the
 * second-level cache instead of passing through memory. Every value is computed as it is in two steps. */
#include "cpu.h"

#include <string.h>

enum {
    BETWEEN = 64 * 1024, /* floats between them: 256 KB, a quarter of the second-level cache */
    DEPTH = 256,         /* input channels: those that dn_gemm_pack puts into one block */
    BLOCK = 4,           /* rows of a band are a multiple, as template/depthwise.h takes them */
    SHARES = 8           /* panels that each thread has at least, or as many as any other */
};

/* How the work is cut: bands of output rows, panels of gemm_rows channels. */
typedef struct pair_cut {
    int bands, band_rows; /* of the output */
    int in_rows;          /* at most, of a band */
    int panels, together; /* panels: all; together: those computed before the depthwise convolution */
} pair_cut;

bool dn_pair_fits(const dn_conv_shape *first, const dn_conv_shape *second) {
    return first->size == 1 && first->stride_x == 1 && first->stride_y == 1 && first->pad == 0 &&
           first->groups == 1 && first->in_c <= DEPTH && dn_depthwise_fits_plane(second) &&
           second->groups == second->in_c && second->in_c == second->out_c && second->in_c == first->out_c &&
           second->in_h > 1;
}

static pair_cut cut_of(const dn_kernels *kernels, const dn_conv_shape *second, int threads) {
    const int height = kernels->gemm_rows, reach = second->size - 1, stride = second->stride_y;
    const size_t row = (size_t)height * (size_t)second->in_w;
    pair_cut cut = {.panels = (second->out_c + height - 1) / height};
    const int most_rows = dn_max_int((int)(BETWEEN / row), reach + stride * BLOCK);
    cut.bands = 1;
    cut.band_rows = second->out_h;
    if (second->in_h > most_rows) {
        cut.band_rows = dn_max_int((most_rows - reach) / stride / BLOCK, 1) * BLOCK;
        cut.bands = (second->out_h + cut.band_rows - 1) / cut.band_rows;
    }
    while (cut.bands * cut.panels % threads != 0 && cut.bands * cut.panels < SHARES * threads &&
           cut.band_rows > BLOCK) {
        const int rows = (second->out_h + cut.bands) / (cut.bands + 1);
        cut.band_rows = (rows + BLOCK - 1) / BLOCK * BLOCK;
        if ((second->out_h + cut.band_rows - 1) / cut.band_rows == cut.bands) break;
        cut.bands = (second->out_h + cut.band_rows - 1) / cut.band_rows;
    }
    cut.in_rows = dn_min_int(second->in_h, (cut.band_rows - 1) * stride + reach + 1);
    cut.together = dn_max_int(1, (int)(BETWEEN / (row * (size_t)cut.in_rows)));
    return cut;
}

static size_t gemm_scratch(const dn_kernels *kernels, const dn_conv_shape *first, const pair_cut *cut) {
    return dn_gemm_scratch(kernels, cut->together * kernels->gemm_rows, cut->in_rows * first->in_w,
                           first->in_c, 1);
}

static size_t between_of(const dn_kernels *kernels, const dn_conv_shape *first, const pair_cut *cut) {
    const size_t channels = (size_t)dn_min_int(cut->together, cut->panels) * (size_t)kernels->gemm_rows;
    return dn_round_up(channels * (size_t)cut->in_rows * (size_t)first->in_w, 16) + 16;
}

static size_t thread_scratch(const dn_kernels *kernels, const dn_conv_shape *first, const pair_cut *cut) {
    return between_of(kernels, first, cut) + dn_round_up((size_t)first->in_w, 16) +
           gemm_scratch(kernels, first, cut);
}

size_t dn_pair_scratch(const dn_kernels *kernels, const dn_conv_shape *first, const dn_conv_shape *second,
                       int threads) {
    const pair_cut cut = cut_of(kernels, second, threads);
    return (size_t)threads * thread_scratch(kernels, first, &cut);
}

typedef struct pair_job {
    const dn_pair *pair;
    const dn_kernels *kernels;
    pair_cut cut;
    float *scratch;
} pair_job;

/* Channels channel .. channel + count - 1 of a band. */
static void run_some(const pair_job *job, int band, int channel, int count, float *between, float *zeros,
                     float *scratch) {
    const dn_pair *pair = job->pair;
    const dn_conv_shape *first = pair->first, *second = pair->second;
    const int out = band * job->cut.band_rows, out_end = dn_min_int(second->out_h, out + job->cut.band_rows);
    const int pad = second->size / 2, stride = second->stride_y;
    const int in = dn_max_int(0, out * stride - pad);
    const int in_end = dn_min_int(second->in_h, (out_end - 1) * stride + pad + 1);
    const size_t x_plane = (size_t)second->in_h * (size_t)second->in_w,
                 y_plane = (size_t)second->out_h * (size_t)second->out_w,
                 between_plane = (size_t)(in_end - in) * (size_t)second->in_w;
    dn_epilogue epilogue = pair->first_epilogue;
    epilogue.bias += channel;
    const dn_gemm gemm = {.m = count,
                          .n = (int)between_plane,
                          .k = first->in_c,
                          .left = {.layout = DN_LAYOUT_PACKED,
                                   .p = pair->first_weights + (size_t)channel * (size_t)first->in_c},
                          .right = {.layout = DN_LAYOUT_ROWS,
                                    .p = pair->x + (size_t)in * (size_t)first->in_w,
                                    .stride = x_plane},
                          .c = between,
                          .ldc = between_plane,
                          .epilogue = &epilogue};
    dn_gemm_run_alone(job->kernels, &gemm, scratch);

    const size_t at = (size_t)channel * y_plane + (size_t)out * (size_t)second->out_w;
    dn_depthwise_planes planes = {.size = second->size,
                                  .stride = stride,
                                  .planes = count,
                                  .multiplier = 1,
                                  .h = in_end - in,
                                  .w = second->in_w,
                                  .out_h = out_end - out,
                                  .out_w = second->out_w,
                                  .top = out * stride - in,
                                  .x_plane = between_plane,
                                  .y_plane = y_plane,
                                  .x = between,
                                  .zeros = zeros,
                                  .weights = pair->second_weights + channel * second->size * second->size,
                                  .y = pair->y + at,
                                  .epilogue = pair->second_epilogue};
    planes.epilogue.bias += channel;
    if (planes.epilogue.residual) planes.epilogue.residual += at;
    job->kernels->depthwise_planes(&planes);
}

static void run_piece(const pair_job *job, size_t begin, size_t end, float *floats) {
    const pair_cut *cut = &job->cut;
    const dn_conv_shape *first = job->pair->first;
    const size_t between = between_of(job->kernels, first, cut), row = dn_round_up((size_t)first->in_w, 16);
    for (size_t i = begin, some; i < end; i += some) {
        const int panel = (int)(i % (size_t)cut->panels), channel = panel * job->kernels->gemm_rows;
        some = dn_min_size(end - i, (size_t)dn_min_int(cut->together, cut->panels - panel));
        run_some(job, (int)(i / (size_t)cut->panels), channel,
                 dn_min_int((int)some * job->kernels->gemm_rows, first->out_c - channel), floats,
                 floats + between, floats + between + row);
    }
}

static void run_pieces(void *context, int part, dn_ranges *pieces) {
    const pair_job *job = context;
    const pair_cut *cut = &job->cut;
    const dn_conv_shape *first = job->pair->first;
    const size_t between = between_of(job->kernels, first, cut), row = dn_round_up((size_t)first->in_w, 16);
    float *floats = job->scratch + (size_t)part * thread_scratch(job->kernels, first, cut);
    memset(floats + between, 0, row * sizeof *floats);
    for (int piece; dn_range_claim(pieces, part, &piece);) {
        size_t begin, end;
        dn_pool_slice((size_t)cut->bands * (size_t)cut->panels, 1, piece, pieces->pieces, &begin, &end);
        run_piece(job, begin, end, floats);
    }
}

void dn_pair_run(dn_device *device, const dn_pair *pair, float *scratch) {
    pair_job job = {.pair = pair,
                    .kernels = device->kernels,
                    .cut = cut_of(device->kernels, pair->second, dn_pool_threads(device->pool)),
                    .scratch = scratch};
    const size_t pixels = (size_t)pair->first->in_h * (size_t)pair->first->in_w;
    dn_cpu_share(device, pixels * (size_t)pair->first->out_c * (size_t)pair->first->in_c / 2, run_pieces,
                 &job);
}
