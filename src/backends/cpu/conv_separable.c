/* conv_separable.c - a depthwise convolution with what is around it, as inverted residuals and the first
 * layers of small networks have it: the pointwise or direct convolution that it alone reads, the pointwise
 * one that alone reads it, or both, in one step. Maps between them are written over in the caches of the
 * processor that made them instead of passing through memory or to other processors. Every value is computed
 * as it is in steps of their own.
 *
 * Head and depthwise convolution go a few channels at a time. The tail needs all channels: the map is cut
 * into bands of rows, whose channels follow each other into a map of the band, 512 KiB of the second-level
 * cache, which the tail then reads. Rows that two bands share are computed twice. Where threads are so many
 * that bands would be too low for that, bands and channels are shared out and the tail is a product of its
 * own. */
#include "cpu.h"

#include <string.h>

enum {
    BETWEEN = 64 * 1024, /* floats between head and depthwise: 256 KB, an eighth of the second-level cache */
    BEHIND = 128 * 1024, /* floats of a band between depthwise and tail */
    DEPTH = 256,         /* input channels of the head: those that dn_gemm_pack puts into one block */
    BLOCK = 4,           /* rows of a band are a multiple, as template/depthwise.h takes them */
    LEAST = 8,           /* rows of a band with tail: a fifth of the head's at most is computed twice */
    SHARES = 8           /* panels that each thread has at least, or as many as any other */
};

/* How the work is cut: bands of output rows, panels of gemm_rows channels. */
typedef struct separable_cut {
    int bands, band_rows; /* of the output */
    int in_rows;          /* at most, of a band */
    int panels, together; /* panels: all; together: those computed before the depthwise convolution */
    bool joins;           /* the tail to the rest, band by band */
} separable_cut;

static bool is_pointwise(const dn_conv_shape *shape) {
    return shape->size == 1 && shape->stride_x == 1 && shape->stride_y == 1 && shape->pad == 0 &&
           shape->groups == 1;
}

static bool is_direct(const dn_conv_part *head) {
    return head->shape && !is_pointwise(head->shape);
}

/* Output rows for which what is between, of so many channels at once, and behind stays in the caches. */
static int most_rows(const dn_conv_shape *shape, bool head, int channels, bool tail) {
    int rows = shape->out_h;
    if (tail) rows = dn_min_int(rows, (int)(BEHIND / ((size_t)shape->out_c * (size_t)shape->out_w)));
    if (!head) return rows;
    const int in_rows = (int)(BETWEEN / ((size_t)channels * (size_t)shape->in_w));
    return dn_min_int(rows, (in_rows - (shape->size - 1)) / shape->stride_y);
}

bool dn_separable_fits(const dn_conv_shape *head, const dn_conv_shape *depthwise, const dn_conv_shape *tail) {
    if (!dn_depthwise_fits_plane(depthwise) || depthwise->groups != depthwise->in_c ||
        depthwise->in_c != depthwise->out_c || depthwise->in_h < 2)
        return false;
    if (tail && (!is_pointwise(tail) || tail->in_c != depthwise->out_c)) return false;
    if (!head) return tail != NULL;
    if (head->out_c != depthwise->in_c) return false;
    if (is_pointwise(head)) return head->in_c <= DEPTH;
    return tail && most_rows(depthwise, true, depthwise->in_c, true) >= dn_min_int(BLOCK, depthwise->out_h);
}

/* The step with tail: each thread has as many bands as any other, if there are rows enough. */
static bool cut_into_bands(const dn_kernels *kernels, const dn_separable *s, int threads,
                           separable_cut *cut) {
    const dn_conv_shape *shape = s->depthwise.shape;
    const bool direct = is_direct(&s->head);
    const int least = dn_min_int(direct ? BLOCK : LEAST, shape->out_h);
    const int most = most_rows(shape, s->head.shape, direct ? shape->in_c : kernels->gemm_rows, true);
    if (most < 1) return false;
    cut->bands = (shape->out_h + most - 1) / most;
    cut->bands = (cut->bands + threads - 1) / threads * threads;
    cut->band_rows = (shape->out_h + cut->bands - 1) / cut->bands;
    if (direct) cut->band_rows = dn_max_int(cut->band_rows, least);
    cut->bands = (shape->out_h + cut->band_rows - 1) / cut->band_rows;
    const bool shared = cut->bands > 1 && 2 * s->tail.shape->out_c > cut->band_rows * shape->out_w;
    cut->joins = cut->band_rows >= least && (direct || !shared);
    return cut->joins;
}

/* The step without tail. */
static void cut_into_panels(const dn_kernels *kernels, const dn_conv_shape *shape, int threads,
                            separable_cut *cut) {
    const int most = dn_max_int(1, most_rows(shape, true, kernels->gemm_rows, false));
    cut->bands = 1;
    cut->band_rows = shape->out_h;
    if (most < shape->out_h) {
        cut->band_rows = dn_max_int(most / BLOCK, 1) * BLOCK;
        cut->bands = (shape->out_h + cut->band_rows - 1) / cut->band_rows;
    }
    while (cut->bands * cut->panels % threads != 0 && cut->bands * cut->panels < SHARES * threads &&
           cut->band_rows > BLOCK) {
        const int rows = (shape->out_h + cut->bands) / (cut->bands + 1);
        cut->band_rows = (rows + BLOCK - 1) / BLOCK * BLOCK;
        if ((shape->out_h + cut->band_rows - 1) / cut->band_rows == cut->bands) break;
        cut->bands = (shape->out_h + cut->band_rows - 1) / cut->band_rows;
    }
}

static separable_cut cut_of(const dn_kernels *kernels, const dn_separable *s, int threads) {
    const dn_conv_shape *shape = s->depthwise.shape;
    const int height = kernels->gemm_rows;
    separable_cut cut = {.panels = (shape->out_c + height - 1) / height};
    if (!s->tail.shape || !cut_into_bands(kernels, s, threads, &cut))
        cut_into_panels(kernels, shape, threads, &cut);
    cut.in_rows = dn_min_int(shape->in_h, (cut.band_rows - 1) * shape->stride_y + shape->size);
    const size_t panel = (size_t)height * (size_t)shape->in_w * (size_t)cut.in_rows;
    cut.together = is_direct(&s->head) ? cut.panels : dn_max_int(1, (int)(BETWEEN / panel));
    return cut;
}

/* ---- memory: what is between, a row of zeros, the band behind, scratch; per thread ---- */

enum { LINE = 16 }; /* floats: where vectors of a map begin within cache lines, they are stored at once */

static size_t between_floats(const dn_kernels *kernels, const dn_separable *s, const separable_cut *cut) {
    const size_t channels = (size_t)dn_min_int(cut->together, cut->panels) * (size_t)kernels->gemm_rows;
    if (!s->head.shape) return 0;
    return channels * (dn_round_up((size_t)cut->in_rows * (size_t)s->depthwise.shape->in_w, LINE) + LINE);
}

/* Of a channel of a band: whole cache lines, not whole pages, so that the product reads them in place. */
static size_t behind_plane(const dn_conv_shape *shape, const separable_cut *cut) {
    enum { PAGE = 1024 };
    const size_t floats = dn_round_up((size_t)cut->band_rows * (size_t)shape->out_w, LINE);
    return floats % PAGE == 0 ? floats + LINE : floats;
}

static size_t behind_floats(const dn_separable *s, const separable_cut *cut) {
    const dn_conv_shape *shape = s->depthwise.shape;
    return cut->joins ? (size_t)shape->out_c * behind_plane(shape, cut) + LINE : 0;
}

static size_t working_floats(const dn_kernels *kernels, const dn_separable *s, const separable_cut *cut) {
    const dn_conv_shape *shape = s->depthwise.shape;
    size_t floats = 0;
    if (is_direct(&s->head))
        floats = dn_direct_scratch(s->head.shape, 1);
    else if (s->head.shape)
        floats = dn_gemm_scratch(kernels, cut->together * kernels->gemm_rows,
                                 cut->in_rows * shape->in_w + 2 * LINE, s->head.shape->in_c, 1);
    if (cut->joins)
        floats = dn_max_size(floats, dn_gemm_scratch(kernels, s->tail.shape->out_c,
                                                     cut->band_rows * shape->out_w, shape->out_c, 1));
    return floats;
}

static size_t zeros_floats(const dn_separable *s) {
    return dn_round_up((size_t)s->depthwise.shape->in_w, 16);
}

static size_t thread_scratch(const dn_kernels *kernels, const dn_separable *s, const separable_cut *cut) {
    return between_floats(kernels, s, cut) + zeros_floats(s) + behind_floats(s, cut) +
           working_floats(kernels, s, cut);
}

static size_t map_floats(const dn_conv_shape *shape) {
    return (size_t)shape->out_c * (size_t)shape->out_h * (size_t)shape->out_w;
}

/* Of a tail of its own, and the map it reads. */
static size_t tail_scratch(const dn_kernels *kernels, const dn_separable *s, int threads) {
    const dn_conv_shape *tail = s->tail.shape;
    return map_floats(s->depthwise.shape) +
           dn_gemm_scratch(kernels, tail->out_c, tail->out_h * tail->out_w, tail->in_c, threads);
}

size_t dn_separable_scratch(const dn_kernels *kernels, const dn_separable *s, int threads) {
    const separable_cut cut = cut_of(kernels, s, threads);
    const size_t floats = (size_t)threads * thread_scratch(kernels, s, &cut);
    return s->tail.shape && !cut.joins ? floats + tail_scratch(kernels, s, threads) : floats;
}

/* ---- a band ---- */

typedef struct separable_job {
    const dn_separable *s;
    const dn_kernels *kernels;
    separable_cut cut;
    float *y; /* of the depthwise convolution, where the tail doesn't join */
    float *scratch;
} separable_job;

typedef struct band_memory {
    float *between, *zeros, *behind, *work;
} band_memory;

/* Rows in .. in_end - 1 of what the depthwise convolution reads, out .. out_end - 1 of what it gives. */
typedef struct band_rows {
    int in, in_end, out, out_end;
} band_rows;

static band_rows rows_of(const separable_job *job, int band) {
    const dn_conv_shape *shape = job->s->depthwise.shape;
    const int pad = shape->size / 2, stride = shape->stride_y;
    band_rows rows = {.out = band * job->cut.band_rows};
    rows.out_end = dn_min_int(shape->out_h, rows.out + job->cut.band_rows);
    rows.in = dn_max_int(0, rows.out * stride - pad);
    rows.in_end = dn_min_int(shape->in_h, (rows.out_end - 1) * stride + pad + 1);
    return rows;
}

static void run_pointwise(const separable_job *job, const dn_conv_part *part, int channel, int count,
                          const float *x, size_t x_plane, bool open, size_t pixels, float *y, size_t y_plane,
                          const float *residual, float *work) {
    dn_epilogue epilogue = part->epilogue;
    epilogue.bias += channel;
    epilogue.residual = residual;
    const int depth = part->shape->in_c;
    const dn_gemm gemm = {
        .m = count,
        .n = (int)pixels,
        .k = depth,
        .left = {.layout = DN_LAYOUT_PACKED, .p = part->weights + (size_t)channel * (size_t)depth},
        .right = {.layout = DN_LAYOUT_ROWS, .p = x, .stride = x_plane, .open = open},
        .c = y,
        .ldc = y_plane,
        .epilogue = &epilogue};
    dn_gemm_run_alone(job->kernels, &gemm, work);
}

/* Channels channel .. channel + count - 1 of a band, head and depthwise convolution; y: the band's. */
static void run_channels(const separable_job *job, const band_rows *rows, int channel, int count,
                         const band_memory *memory, float *y, size_t y_plane, const float *residual) {
    const dn_separable *s = job->s;
    const dn_conv_shape *shape = s->depthwise.shape;
    const size_t width = (size_t)shape->in_w, x_plane = (size_t)shape->in_h * width;
    const size_t before = (size_t)rows->in * width, pixels = (size_t)(rows->in_end - rows->in) * width;
    const size_t early = before % LINE; /* pixels in front of the band that the head computes, too */
    const size_t between_plane = dn_round_up(early + pixels, LINE);
    dn_depthwise_planes planes = {.size = shape->size,
                                  .stride = shape->stride_y,
                                  .planes = count,
                                  .multiplier = 1,
                                  .h = rows->in_end - rows->in,
                                  .w = shape->in_w,
                                  .out_h = rows->out_end - rows->out,
                                  .out_w = shape->out_w,
                                  .top = rows->out * shape->stride_y - rows->in,
                                  .x_plane = between_plane,
                                  .y_plane = y_plane,
                                  .x = memory->between + (is_direct(&s->head) ? 0 : early),
                                  .zeros = memory->zeros,
                                  .weights = s->depthwise.weights + channel * shape->size * shape->size,
                                  .y = y,
                                  .epilogue = s->depthwise.epilogue};
    if (is_direct(&s->head)) {
        dn_direct_rows(job->kernels, &s->head, s->x, rows->in, rows->in_end, memory->between, between_plane,
                       memory->work);
    } else if (s->head.shape) {
        run_pointwise(job, &s->head, channel, count, s->x + before - early, x_plane, false,
                      dn_min_size(between_plane, x_plane - before + early), memory->between, between_plane,
                      NULL, memory->work);
    } else {
        planes.x = s->x + (size_t)channel * x_plane + before;
        planes.x_plane = x_plane;
    }
    planes.epilogue.bias += channel;
    planes.epilogue.residual = residual;
    job->kernels->depthwise_planes(&planes);
}

static int channels_of(const separable_job *job, int panel, int panels) {
    const int height = job->kernels->gemm_rows;
    return dn_min_int(panels * height, job->s->depthwise.shape->out_c - panel * height);
}

/* All of a band. */
static void run_band(const separable_job *job, int band, const band_memory *memory) {
    const dn_separable *s = job->s;
    const separable_cut *cut = &job->cut;
    const dn_conv_shape *shape = s->depthwise.shape;
    const band_rows rows = rows_of(job, band);
    const size_t plane = behind_plane(shape, cut), width = (size_t)shape->out_w;
    for (int panel = 0; panel < cut->panels; panel += cut->together) {
        const int channel = panel * job->kernels->gemm_rows;
        run_channels(job, &rows, channel, channels_of(job, panel, cut->together), memory,
                     memory->behind + (size_t)channel * plane, plane, NULL);
    }
    const size_t at = (size_t)rows.out * width;
    run_pointwise(job, &s->tail, 0, s->tail.shape->out_c, memory->behind, plane, true,
                  (size_t)(rows.out_end - rows.out) * width, s->y + at, (size_t)shape->out_h * width,
                  s->tail.epilogue.residual ? s->tail.epilogue.residual + at : NULL, memory->work);
}

/* Some panels of bands, one after the other. */
static void run_panels(const separable_job *job, size_t begin, size_t end, const band_memory *memory) {
    const separable_cut *cut = &job->cut;
    const dn_conv_shape *shape = job->s->depthwise.shape;
    const size_t plane = (size_t)shape->out_h * (size_t)shape->out_w;
    const float *residual = job->s->depthwise.epilogue.residual;
    for (size_t i = begin, some; i < end; i += some) {
        const int panel = (int)(i % (size_t)cut->panels), channel = panel * job->kernels->gemm_rows;
        some = dn_min_size(end - i, (size_t)dn_min_int(cut->together, cut->panels - panel));
        const band_rows rows = rows_of(job, (int)(i / (size_t)cut->panels));
        const size_t at = (size_t)channel * plane + (size_t)rows.out * (size_t)shape->out_w;
        run_channels(job, &rows, channel, channels_of(job, panel, (int)some), memory, job->y + at, plane,
                     residual ? residual + at : NULL);
    }
}

static void run_pieces(void *context, int part, dn_ranges *pieces) {
    const separable_job *job = context;
    const separable_cut *cut = &job->cut;
    const size_t panels = cut->joins ? 1 : (size_t)cut->panels;
    band_memory memory;
    memory.between = job->scratch + (size_t)part * thread_scratch(job->kernels, job->s, cut);
    memory.zeros = memory.between + between_floats(job->kernels, job->s, cut);
    memory.behind = memory.zeros + zeros_floats(job->s);
    memory.work = memory.behind + behind_floats(job->s, cut);
    memset(memory.zeros, 0, zeros_floats(job->s) * sizeof *memory.zeros);
    if (is_direct(&job->s->head))
        memset(memory.work, 0, dn_direct_scratch(job->s->head.shape, 1) * sizeof *memory.work);
    for (int piece; dn_range_claim(pieces, part, &piece);) {
        size_t begin, end;
        dn_pool_slice((size_t)cut->bands * panels, 1, piece, pieces->pieces, &begin, &end);
        if (!cut->joins)
            run_panels(job, begin, end, &memory);
        else
            for (; begin < end; ++begin) run_band(job, (int)begin, &memory);
    }
}

void dn_separable_run(dn_device *device, const dn_separable *s, float *scratch) {
    const dn_conv_shape *head = s->head.shape, *shape = s->depthwise.shape, *tail = s->tail.shape;
    const int threads = dn_pool_threads(device->pool);
    separable_job job = {.s = s, .kernels = device->kernels, .y = s->y, .scratch = scratch};
    job.cut = cut_of(device->kernels, s, threads);
    const size_t pixels = (size_t)shape->in_h * (size_t)shape->in_w;
    size_t factors = (size_t)(shape->size * shape->size); /* of a pixel and channel */
    if (head) factors += (size_t)(head->in_c * head->size * head->size);
    if (job.cut.joins) factors += (size_t)tail->out_c;
    if (tail && !job.cut.joins)
        job.y = scratch + (size_t)threads * thread_scratch(device->kernels, s, &job.cut);
    dn_cpu_share(device, pixels * (size_t)shape->in_c * factors / 2, run_pieces, &job);
    if (!tail || job.cut.joins) return;
    const size_t plane = (size_t)tail->out_h * (size_t)tail->out_w;
    const dn_gemm gemm = {.m = tail->out_c,
                          .n = (int)plane,
                          .k = tail->in_c,
                          .left = {.layout = DN_LAYOUT_PACKED, .p = s->tail.weights},
                          .right = {.layout = DN_LAYOUT_ROWS, .p = job.y, .stride = plane},
                          .c = s->y,
                          .ldc = plane,
                          .epilogue = &s->tail.epilogue};
    dn_gemm_run(device, &gemm, job.y + map_floats(shape));
}
