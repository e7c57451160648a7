/* conv_winograd_gradient.c - the gradient of a 3x3 convolution's weights by Winograd: with input tiles d and
 * tiles e of the output's gradient it is the sum over tiles of G^T [(B^T d B) (A e A^T)] G, the transpose of
 * what conv_winograd.c computes; the sum is a matrix product per point, over the tiles. Where tiles are cut
 * depends on the shape only, so the sums are the same for any number of threads. */
#include "cpu.h"

#include <string.h>

enum {
    SUM_BYTES_OWN = 1 << 20,  /* fewer sums than this: slices of tiles have sums of their own */
    SLICES = 16,              /* at most */
    TILE_BYTES_OWN = 3 << 17, /* transformed tiles of a thread's block, in its second-level cache */
    TILE_BYTES = 4 << 20,     /* of a block that all threads work on */
    FEWEST_TILES = 112,       /* of such a block: sums go to memory and back with each */
    MOST_TILES_AT_ONCE = 256, /* no more than one block: sums go straight to the weights */
    POINT_PADDING = 16        /* floats; see conv_winograd.c */
};

typedef struct gradient_job {
    const dn_winograd *winograd;
    const float *x, *dy;
    float *dw, *scratch;
    int batch, tiles;
    int out_blocks, units; /* unit: a block of input channels and a panel of output channels */
    int slices, block_tiles;
    size_t v_size, e_size, stage_size, sum_size; /* floats; sum: of a unit */
    float g[18];
    dn_tile_block block; /* when shared */
    bool first, last;    /* block */
} gradient_job;

static void lay_out(gradient_job *job) {
    const dn_winograd *winograd = job->winograd;
    const size_t lanes = (size_t)winograd->kernels->lanes, points = (size_t)winograd->points;
    job->tiles = job->batch * winograd->tiles_x * winograd->tiles_y;
    job->out_blocks = (winograd->shape.out_c + winograd->kernels->lanes - 1) / winograd->kernels->lanes;
    job->units = winograd->blocks * winograd->panels;
    job->sum_size = points * lanes * (size_t)winograd->kernels->winograd_columns;
    job->stage_size = dn_round_up(dn_winograd_stage(winograd), 16);
    const size_t channels = (size_t)(winograd->blocks + job->out_blocks) * lanes;
    const int own = (int)(TILE_BYTES_OWN / (points * channels * sizeof(float)));
    const int shared = (int)(TILE_BYTES / (points * channels * sizeof(float)));
    const bool few = (size_t)job->units * job->sum_size * sizeof(float) <= SUM_BYTES_OWN;
    job->slices = few ? dn_min_int(SLICES, job->tiles / dn_max_int(own, 1)) : 0;
    if (job->slices > 1)
        job->block_tiles = dn_max_int(own, 16);
    else
        job->block_tiles = job->tiles <= MOST_TILES_AT_ONCE ? job->tiles : dn_max_int(shared, FEWEST_TILES);
    if (job->slices == 1) job->slices = 0;
    const size_t tiles = (size_t)job->block_tiles;
    job->v_size = points * ((size_t)winograd->blocks * tiles * lanes + POINT_PADDING);
    job->e_size = points * ((size_t)job->out_blocks * tiles * lanes + POINT_PADDING);
}

static bool has_one_block(const gradient_job *job) {
    return job->tiles <= job->block_tiles;
}

size_t dn_winograd_gradient_scratch(const dn_winograd *winograd, int batch, int threads) {
    gradient_job job = {.winograd = winograd, .batch = batch};
    lay_out(&job);
    const size_t transformed = job.v_size + job.e_size, sums = (size_t)job.units * job.sum_size;
    if (job.slices) return (size_t)job.slices * sums + (size_t)threads * (transformed + job.stage_size);
    return transformed + (has_one_block(&job) ? 0 : sums) + (size_t)threads * (job.stage_size + job.sum_size);
}

static size_t points_apart(const gradient_job *job, int channel_blocks, int tiles) {
    return (size_t)channel_blocks * (size_t)tiles * (size_t)job->winograd->kernels->lanes + POINT_PADDING;
}

/* Channel block `i` of the input, or, from winograd->blocks on, of the output. */
static void transform(const gradient_job *job, dn_tile_block block, int i, float *stage, float *v, float *e) {
    const dn_winograd *winograd = job->winograd;
    const dn_conv_shape *shape = &winograd->shape;
    const size_t x_apart = (size_t)shape->in_c * (size_t)shape->in_h * (size_t)shape->in_w;
    const size_t dy_apart = (size_t)shape->out_c * (size_t)shape->out_h * (size_t)shape->out_w;
    if (i < winograd->blocks)
        dn_winograd_transform(winograd, false, job->x, x_apart, block, i,
                              points_apart(job, winograd->blocks, block.count), stage, v);
    else
        dn_winograd_transform(winograd, true, job->dy, dy_apart, block, i - winograd->blocks,
                              points_apart(job, job->out_blocks, block.count), stage, e);
}

/* sums[point][lanes][columns] of one unit over one block of tiles */
static void sum_unit(const gradient_job *job, dn_tile_block block, int unit, const float *v, const float *e,
                     float *sums, bool accumulate) {
    const dn_winograd *winograd = job->winograd;
    const dn_kernels *kernels = winograd->kernels;
    const int panel = unit / winograd->blocks, channel_block = unit % winograd->blocks;
    const size_t block_size = (size_t)block.count * (size_t)kernels->lanes;
    const size_t v_apart = points_apart(job, winograd->blocks, block.count);
    const size_t e_apart = points_apart(job, job->out_blocks, block.count);
    const size_t square = (size_t)kernels->lanes * (size_t)kernels->winograd_columns;
    v += (size_t)channel_block * block_size;
    e += (size_t)panel * 2 * block_size;
    for (int point = 0; point < winograd->points; ++point, v += v_apart, e += e_apart, sums += square)
        kernels->winograd_gradient(block.count, dn_min_int(2, job->out_blocks - 2 * panel), v, e, block_size,
                                   sums, accumulate);
}

static void finish_unit(const gradient_job *job, int unit, const float *sums) {
    const dn_winograd *winograd = job->winograd;
    const dn_conv_shape *shape = &winograd->shape;
    const int lanes = winograd->kernels->lanes, columns = winograd->kernels->winograd_columns;
    const int filter = unit / winograd->blocks * columns, channel = unit % winograd->blocks * lanes;
    winograd->kernels->winograd_weights_gradient(
        winograd->m, job->g, sums, dn_min_int(lanes, shape->in_c - channel),
        dn_min_int(columns, shape->out_c - filter),
        job->dw + ((size_t)filter * (size_t)shape->in_c + (size_t)channel) * 9, (size_t)shape->in_c * 9);
}

/* ---- many tiles, few weights: slices of tiles ---- */

static void run_slices(void *context, int part, int parts) {
    const gradient_job *job = context;
    const size_t sums_size = (size_t)job->units * job->sum_size;
    float *v = job->scratch + (size_t)job->slices * sums_size +
               (size_t)part * (job->v_size + job->e_size + job->stage_size);
    float *e = v + job->v_size, *stage = e + job->e_size;
    size_t begin, end;
    dn_pool_slice((size_t)job->slices, 1, part, parts, &begin, &end);
    for (size_t slice = begin; slice < end; ++slice) {
        float *sums = job->scratch + slice * sums_size;
        size_t tile, tile_end;
        dn_pool_slice((size_t)job->tiles, 1, (int)slice, job->slices, &tile, &tile_end);
        for (size_t at = tile; at < tile_end; at += (size_t)job->block_tiles) {
            const int count = (int)dn_min_size((size_t)job->block_tiles, tile_end - at);
            const dn_tile_block block = {(int)at, count, count};
            for (int i = 0; i < job->winograd->blocks + job->out_blocks; ++i)
                transform(job, block, i, stage, v, e);
            for (int unit = 0; unit < job->units; ++unit)
                sum_unit(job, block, unit, v, e, sums + (size_t)unit * job->sum_size, at > tile);
        }
    }
}

/* Adds the slices' sums, always in the same order. */
static void run_slices_end(void *context, int part, int parts) {
    const gradient_job *job = context;
    size_t begin, end;
    dn_pool_slice((size_t)job->units, 1, part, parts, &begin, &end);
    for (size_t unit = begin; unit < end; ++unit) {
        float *sums = job->scratch + unit * job->sum_size;
        for (int slice = 1; slice < job->slices; ++slice)
            job->winograd->kernels->axpy(sums, 1, sums + (size_t)slice * (size_t)job->units * job->sum_size,
                                         job->sum_size);
        finish_unit(job, (int)unit, sums);
    }
}

/* ---- many weights: all threads work on one block of tiles, each on weights of its own ---- */

static float *own_scratch(const gradient_job *job, int part) {
    return job->scratch + job->v_size + job->e_size + (size_t)part * (job->stage_size + job->sum_size);
}

static void run_transform(void *context, int part, int parts) {
    const gradient_job *job = context;
    float *v = job->scratch, *e = v + job->v_size;
    size_t begin, end;
    dn_pool_slice((size_t)(job->winograd->blocks + job->out_blocks), 1, part, parts, &begin, &end);
    for (size_t i = begin; i < end; ++i) transform(job, job->block, (int)i, own_scratch(job, part), v, e);
}

static void run_sums(void *context, int part, int parts) {
    const gradient_job *job = context;
    const float *v = job->scratch, *e = v + job->v_size;
    float *all = own_scratch(job, parts);
    size_t begin, end;
    dn_pool_slice((size_t)job->units, 1, part, parts, &begin, &end);
    for (size_t unit = begin; unit < end; ++unit) {
        float *sums =
            job->first && job->last ? own_scratch(job, part) + job->stage_size : all + unit * job->sum_size;
        sum_unit(job, job->block, (int)unit, v, e, sums, !job->first);
        if (job->last) finish_unit(job, (int)unit, sums);
    }
}

void dn_winograd_gradient_run(dn_device *device, const dn_winograd *winograd, int batch, const float *x,
                              const float *dy, float *dw, float *scratch) {
    gradient_job job = {.winograd = winograd, .x = x, .dy = dy, .dw = dw, .scratch = scratch, .batch = batch};
    lay_out(&job);
    dn_winograd_table(winograd->m, job.g);
    if (job.slices) {
        dn_pool_run(device->pool, run_slices, &job);
        dn_pool_run(device->pool, run_slices_end, &job);
        return;
    }
    const int count = (job.tiles + job.block_tiles - 1) / job.block_tiles;
    for (int i = 0; i < count; ++i) {
        size_t first, last;
        dn_pool_slice((size_t)job.tiles, 1, i, count, &first, &last);
        job.block = (dn_tile_block){(int)first, (int)(last - first), (int)(last - first)};
        job.first = i == 0;
        job.last = i + 1 == count;
        dn_pool_run(device->pool, run_transform, &job);
        dn_pool_run(device->pool, run_sums, &job);
    }
}
