/* conv_winograd.c - Winograd convolution, at stride 1 and 2: for each block of tiles transforms the input,
 * runs one matrix product per point and transforms back, with the epilogue. Planned convolutions of one image
 * have their weights transformed once; those of a batch in training transform them on the way, and serve the
 * gradient of the input, too. The transforms and the product are template/winograd.h. A block's transformed
 * input and products stay in the second-level cache, 256 + 128 KB; weights are read once per block. */
#include "cpu.h"

#include <string.h>

enum {
    V_BYTES = 256 << 10,      /* transformed input of a thread's block, in its second-level cache */
    V_BYTES_SHARED = 4 << 20, /* of a block that all threads work on */
    M_BYTES = 128 << 10,      /* products before the inverse transform, there too */
    V_BYTES_BATCH = 16 << 20, /* the same in training: weights are transformed again for every block */
    M_BYTES_BATCH = 640 << 10,
    U_BYTES_OWN = 3 << 19, /* with more weights than this, threads share out the weights, not the tiles */
    WEIGHT_CHANNELS = 16,  /* transformed at a time */
    BLOCKS_PER_THREAD = 4, /* at least; else one waits for the other */
    FETCH = 16,            /* floats that winograd_multiply fetches per k */
    POINT_PADDING = 16     /* floats; else points are a power of two apart and fall into the same cache set */
};

/* ---- choice ---- */

/* The time of F(m x m, 3 x 3), or of the direct product if m is 0, in multiply-adds at the peak rate. A
 * weight costs at least its way from memory, FETCH_COST, or a little if caches hold all weights; those from
 * memory are waited for, too. The transforms cost TRANSFORM_COST per value read or written. Fitted to times
 * measured on Zen 4 with one and two threads (benchmarks/conv_layers.c). */
static double cost_of(const dn_kernels *kernels, const dn_conv_shape *shape, int batch, int m) {
    enum { FETCH_COST = 14, WAIT_COST = 4, TRANSFORM_COST = 36, CACHED_BYTES = 8 << 20 };
    if (m == 0) {
        const double uses = 1.3 * batch * shape->out_h * shape->out_w;
        return 9.0 * shape->in_c * shape->out_c * ((uses > FETCH_COST ? uses : FETCH_COST) + 1);
    }
    const dn_winograd winograd = dn_winograd_describe(kernels, shape, m);
    const double tiles = (double)batch * winograd.tiles_x * winograd.tiles_y;
    const double weights = (double)dn_winograd_u_size(&winograd);
    const double uses = 1.07 * tiles * winograd.points / (winograd.weight_n * winograd.weight_n);
    const bool cached = weights * sizeof(float) <= CACHED_BYTES;
    const double use = cached || uses > FETCH_COST ? uses : FETCH_COST;
    const double values = tiles * m * m * (winograd.stride * winograd.stride * shape->in_c + shape->out_c);
    return weights * (use + (cached ? 1 : WAIT_COST)) + TRANSFORM_COST * values;
}

/* Larger tiles take more memory, so they must gain. */
static const double WORTH_MEMORY = 0.985;

int dn_winograd_choices(const dn_kernels *kernels, const dn_conv_shape *shape, int batch, bool training,
                        dn_conv_choice choices[DN_CONV_CHOICES], int tiles[DN_CONV_CHOICES]) {
    const size_t products = (size_t)shape->in_c * (size_t)shape->out_c;
    const bool strided = shape->stride_x == 2;
    int count = 1;
    choices[0] = (dn_conv_choice){products / (size_t)shape->groups * (size_t)(shape->size * shape->size),
                                  cost_of(kernels, shape, batch, 0)};
    tiles[0] = 0;
    if (shape->size != 3 || shape->stride_x > 2 || shape->stride_y != shape->stride_x ||
        shape->dilation != 1 || shape->groups != 1 || shape->in_c < kernels->lanes / 2 ||
        shape->out_c < kernels->lanes / 2)
        return count;
    for (int m = 2; m <= (training || strided ? 4 : 6); m += strided ? 2 : 1) {
        const double cost = cost_of(kernels, shape, batch, m);
        if (cost >= WORTH_MEMORY * choices[count - 1].cost) continue;
        choices[count] = (dn_conv_choice){(size_t)((m + 2) * (m + 2)) * products, cost};
        tiles[count++] = m;
    }
    return count;
}

int dn_winograd_choose(const dn_kernels *kernels, const dn_conv_shape *shape, int batch, bool training,
                       size_t most_floats) {
    dn_conv_choice choices[DN_CONV_CHOICES];
    int tiles[DN_CONV_CHOICES],
        best = dn_winograd_choices(kernels, shape, batch, training, choices, tiles) - 1;
    while (best > 0 && choices[best].floats > most_floats) --best;
    return tiles[best];
}

/* ---- blocks of tiles: consecutive ones in raster order, image after image ---- */

typedef struct winograd_job {
    const dn_winograd *winograd;
    const dn_epilogue *epilogue; /* NULL: none */
    const float *x;
    float *y, *scratch;
    size_t x_apart, y_apart; /* floats from one image to the next */
    int batch;
    int block_tiles;                            /* most */
    int rows_per_block, blocks_per_row, blocks; /* blocks end with a row, or rows with a block */
    size_t v_size, m_size;                      /* floats; m per thread */
    size_t stage_size;
    int chunk;            /* panels of output channels multiplied before their inverse transform */
    bool split;           /* each thread has tiles of its own, not panels */
    dn_tile_block block;  /* when shared */
    const float *weights; /* training: transformed on the way, else NULL */
    float g[18];
    bool back;       /* the gradient of the input: weights[in_c][out_c][9], in reverse */
    bool accumulate; /* y adds */
    size_t u_size;   /* floats of transformed weights: of all if split, else of a thread's panel */
} winograd_job;

/* So many tiles end with a whole vector of pixels. */
static size_t aligned_tiles(const dn_winograd *winograd) {
    size_t tiles = 1;
    while (tiles * (size_t)winograd->m % (size_t)winograd->kernels->lanes) tiles *= 2;
    return tiles;
}

/* Blocks of about `fit` tiles: ragged rows of tiles would leave vectors half empty on the way out. */
static void choose_blocks(winograd_job *job, int fit) {
    const int wide = job->winograd->tiles_x, rows = job->batch * job->winograd->tiles_y;
    job->rows_per_block = job->blocks_per_row = 1;
    if (fit < wide) {
        job->blocks_per_row = (wide + fit - 1) / fit;
        const int unit = (int)aligned_tiles(job->winograd), units = (wide + unit - 1) / unit;
        job->blocks_per_row = dn_min_int(job->blocks_per_row, units);
        job->block_tiles = (units + job->blocks_per_row - 1) / job->blocks_per_row * unit;
        job->blocks = rows * job->blocks_per_row;
        return;
    }
    const int count = (rows + fit / wide - 1) / (fit / wide);
    job->rows_per_block = (rows + count - 1) / count;
    job->block_tiles = job->rows_per_block * wide;
    job->blocks = (rows + job->rows_per_block - 1) / job->rows_per_block;
}

static dn_tile_block block_of(const winograd_job *job, int number) {
    const int most = job->winograd->kernels->winograd_tiles, wide = job->winograd->tiles_x;
    const int row = number / job->blocks_per_row * job->rows_per_block;
    const int rows = dn_min_int(job->rows_per_block, job->batch * job->winograd->tiles_y - row);
    size_t begin = 0, end = (size_t)(rows * wide);
    if (job->blocks_per_row > 1)
        dn_pool_slice((size_t)wide, aligned_tiles(job->winograd), number % job->blocks_per_row,
                      job->blocks_per_row, &begin, &end);
    const int count = (int)(end - begin), panels = (count + most - 1) / most;
    return (dn_tile_block){row * wide + (int)begin, count, (count + panels - 1) / panels};
}

static size_t point_stride(const dn_winograd *winograd, dn_tile_block block) {
    return (size_t)winograd->blocks * (size_t)block.panel_tiles * (size_t)winograd->kernels->lanes +
           POINT_PADDING;
}

/* The part of tile row `row` inside the block; returns its number of tiles. */
static int segment_of(const dn_winograd *winograd, dn_tile_block block, int row, int *column) {
    const int start = dn_max_int(block.first, row * winograd->tiles_x);
    const int end = dn_min_int(block.first + block.count, (row + 1) * winograd->tiles_x);
    *column = start - row * winograd->tiles_x;
    return end - start;
}

size_t dn_winograd_stage(const dn_winograd *winograd) {
    return (size_t)(winograd->n * DN_WINOGRAD_PIXELS * winograd->kernels->lanes);
}

void dn_winograd_transform(const dn_winograd *winograd, bool gradient, const float *x, size_t apart,
                           dn_tile_block block, int channel_block, size_t points_apart, float *stage,
                           float *v) {
    const dn_conv_shape *shape = &winograd->shape;
    const int lanes = winograd->kernels->lanes, m = winograd->m;
    const int channels = gradient ? shape->out_c : shape->in_c, pad = gradient ? 0 : shape->pad;
    dn_winograd_row row = {.h = gradient ? shape->out_h : shape->in_h,
                           .w = gradient ? shape->out_w : shape->in_w};
    row.plane = (size_t)row.h * (size_t)row.w;
    row.channels = dn_min_int(lanes, channels - channel_block * lanes);
    row.panel_tiles = block.panel_tiles;
    row.point_stride = points_apart;
    row.panel_stride = row.point_stride * (size_t)winograd->points;
    row.channel_offset = (size_t)(channel_block * block.panel_tiles * lanes);
    for (int y = block.first / winograd->tiles_x; y * winograd->tiles_x < block.first + block.count; ++y) {
        const int image = y / winograd->tiles_y;
        int column;
        row.x = x + (size_t)image * apart + (size_t)(channel_block * lanes) * row.plane;
        row.x_end = x + (size_t)image * apart + (size_t)channels * row.plane;
        row.tiles = segment_of(winograd, block, y, &column);
        row.first = y * winograd->tiles_x + column - block.first;
        row.y = y % winograd->tiles_y * m * winograd->stride - pad;
        row.left = column * m * winograd->stride - pad;
        if (gradient)
            winograd->kernels->winograd_input_gradient(m, &row, stage, v);
        else
            winograd->kernels->winograd_input(m, winograd->stride, &row, stage, v);
    }
}

/* u[point][channels first ..][columns] of one panel; stage: WEIGHT_CHANNELS * 9 columns */
static void transform_weights(const winograd_job *job, int panel, int first, int last, float *stage, float *u,
                              size_t points_apart) {
    const dn_winograd *winograd = job->winograd;
    const dn_kernels *kernels = winograd->kernels;
    const size_t in_c = (size_t)winograd->shape.in_c, out_c = (size_t)winograd->shape.out_c;
    const size_t width = (size_t)kernels->winograd_columns, filter = (size_t)panel * width;
    const int filters = (int)dn_min_size(width, out_c - filter);
    for (int c = first; c < last; c += WEIGHT_CHANNELS) {
        const int count = dn_min_int(WEIGHT_CHANNELS, last - c);
        const int inside = dn_max_int(0, dn_min_int(count, (int)in_c - c)); /* the others are padding */
        if (!job->back && inside)
            kernels->pack_columns(job->weights + (filter * in_c + (size_t)c) * 9, in_c * 9, 9 * inside,
                                  filters, (int)width, stage);
        for (int i = 0; i < inside && job->back; ++i)
            kernels->pack_columns(job->weights + ((size_t)(c + i) * out_c + filter) * 9, 9, 9, filters,
                                  (int)width, stage + (size_t)i * 9 * width);
        memset(stage + (size_t)inside * 9 * width, 0, (size_t)(count - inside) * 9 * width * sizeof *stage);
        kernels->winograd_weights(winograd->m, count, job->g, job->back, stage, u + (size_t)c * width,
                                  points_apart);
    }
}

static int weight_point(const dn_winograd *winograd, int point) {
    const int last = winograd->weight_n - 1;
    return dn_min_int(point / winograd->n, last) * winograd->weight_n + dn_min_int(point % winograd->n, last);
}

/* products[panel][tile][point][columns] for the panels begin .. end; weights: transformed, of panel `begin`
 */
static void multiply(const winograd_job *job, dn_tile_block block, const float *v, const float *weights,
                     size_t weight_points_apart, int begin, int end, float *products) {
    const dn_winograd *winograd = job->winograd;
    const dn_kernels *kernels = winograd->kernels;
    const size_t columns = (size_t)kernels->winograd_columns,
                 tile_stride = columns * (size_t)winograd->points;
    const size_t block_stride = (size_t)(block.panel_tiles * kernels->lanes),
                 points_apart = point_stride(winograd, block);
    for (int point = 0; point < winograd->points; ++point)
        for (int panel = begin; panel < end; ++panel) {
            const float *u = weights + (size_t)weight_point(winograd, point) * weight_points_apart +
                             (size_t)(panel - begin) * winograd->panel_floats;
            const float *next = u;
            size_t fetched = 0; /* of next, spread over the panels of tiles */
            if (panel + 1 < end)
                next = u + winograd->panel_floats;
            else if (point + 1 < winograd->points)
                next = weights + (size_t)weight_point(winograd, point + 1) * weight_points_apart;
            float *to = products + (size_t)(panel - begin) * (size_t)block.count * tile_stride +
                        (size_t)point * columns;
            const float *from = v + (size_t)point * points_apart;
            for (int tile = 0; tile < block.count; tile += block.panel_tiles) {
                kernels->winograd_multiply(dn_min_int(block.panel_tiles, block.count - tile),
                                           winograd->blocks, block_stride, from, u,
                                           to + (size_t)tile * tile_stride, tile_stride,
                                           fetched < winograd->panel_floats ? next + fetched : u);
                fetched += (size_t)(winograd->blocks * kernels->lanes) * FETCH;
                from += points_apart * (size_t)winograd->points;
            }
        }
}

/* Activations of sums with residuals come after the kernel, row by row. */
static void finish_rows(const winograd_job *job, int channel, size_t at, int rows, int columns) {
    const dn_epilogue *epilogue = job->epilogue;
    for (int i = 0; i < rows; ++i, at += (size_t)job->winograd->shape.out_w)
        job->winograd->kernels->affine_activate(epilogue->activation, true, job->y + at, 1.0f,
                                                epilogue->bias ? epilogue->bias[channel] : 0.0f,
                                                epilogue->residual + at, (size_t)columns);
}

/* The inverse transform of `lanes` channels from `channel` on, with their epilogue. */
static void transform_output(const winograd_job *job, dn_tile_block block, int channel,
                             const float *products) {
    const dn_winograd *winograd = job->winograd;
    const dn_conv_shape *shape = &winograd->shape;
    const int m = winograd->m, channels = dn_min_int(winograd->kernels->lanes, shape->out_c - channel);
    const size_t plane = (size_t)shape->out_h * (size_t)shape->out_w;
    const size_t columns = (size_t)winograd->kernels->winograd_columns;
    const bool later = job->epilogue && job->epilogue->activate_sum && job->epilogue->residual;
    for (int row = block.first / winograd->tiles_x; row * winograd->tiles_x < block.first + block.count;
         ++row) {
        int column;
        const int tiles = segment_of(winograd, block, row, &column);
        const int image = row / winograd->tiles_y, y = row % winograd->tiles_y * m;
        const int rows = dn_min_int(m, shape->out_h - y),
                  width = dn_min_int(tiles * m, shape->out_w - column * m);
        const size_t at = (size_t)image * job->y_apart + (size_t)channel * plane +
                          (size_t)y * (size_t)shape->out_w + (size_t)(column * m);
        const size_t tile = (size_t)(row * winograd->tiles_x + column - block.first);
        dn_epilogue epilogue = {0};
        if (job->epilogue) {
            epilogue = *job->epilogue;
            if (epilogue.bias) epilogue.bias += channel;
            if (epilogue.residual) epilogue.residual += at;
        }
        winograd->kernels->winograd_output(
            m, winograd->stride, products + tile * columns * (size_t)winograd->points,
            columns * (size_t)winograd->points, columns, tiles, channels, job->y + at, plane, shape->out_w,
            rows, width, job->accumulate, job->epilogue && !later ? &epilogue : NULL);
        for (int c = 0; c < channels && later; ++c)
            finish_rows(job, channel + c, at + (size_t)c * plane, rows, width);
    }
}

/* own: a thread's memory for products, then, if weights are transformed panel by panel, for those. */
static void multiply_and_finish(const winograd_job *job, dn_tile_block block, const float *v, int begin,
                                int end, float *own) {
    const dn_winograd *winograd = job->winograd;
    const int columns = winograd->kernels->winograd_columns, lanes = winograd->kernels->lanes;
    const bool now = job->weights && !job->split;
    const size_t points_apart = (now ? 1 : (size_t)winograd->panels) * winograd->panel_floats;
    for (int panel = begin; panel < end; panel += job->chunk) {
        const int last = dn_min_int(panel + job->chunk, end);
        const float *u = winograd->u + (size_t)panel * winograd->panel_floats;
        if (now) {
            float *made = own + job->m_size;
            transform_weights(job, panel, 0, winograd->blocks * lanes, made + job->u_size, made,
                              points_apart);
            u = made;
        }
        multiply(job, block, v, u, points_apart, panel, last, own);
        for (int i = panel; i < last; ++i) {
            const float *from =
                own + (size_t)(i - panel) * (size_t)(block.count * winograd->points * columns);
            for (int half = 0; half < columns && i * columns + half < winograd->shape.out_c; half += lanes)
                transform_output(job, block, i * columns + half, from + half);
        }
    }
}

/* ---- running ---- */

/* Few weights: every thread works through tiles of its own. */
static bool tiles_are_split(const dn_winograd *winograd, int tiles, int threads) {
    return dn_winograd_u_size(winograd) * sizeof(float) <= U_BYTES_OWN &&
           tiles >= 2 * threads * winograd->kernels->winograd_tiles;
}

static void lay_out(winograd_job *job, int threads, bool training) {
    const dn_winograd *winograd = job->winograd;
    const int most = winograd->kernels->winograd_tiles;
    const size_t lanes = (size_t)winograd->kernels->lanes, points = (size_t)winograd->points;
    const size_t tile_bytes = points * (size_t)winograd->blocks * lanes * sizeof(float);
    const size_t tile_products = points * (size_t)winograd->kernels->winograd_columns;
    const int tiles = job->batch * winograd->tiles_x * winograd->tiles_y;
    job->split = tiles_are_split(winograd, tiles, threads);
    size_t fit = (job->split ? V_BYTES : training ? V_BYTES_BATCH : V_BYTES_SHARED) / tile_bytes;
    if (training) fit = dn_min_size(fit, M_BYTES_BATCH / (tile_products * sizeof(float)));
    if (job->split) fit = dn_min_size(fit, (size_t)(tiles / (BLOCKS_PER_THREAD * threads)));
    choose_blocks(job, dn_max_int((int)fit, (job->split ? 2 : 4) * most));
    const size_t panels = (size_t)((job->block_tiles + most - 1) / most);
    job->v_size = panels * points * ((size_t)winograd->blocks * (size_t)most * lanes + POINT_PADDING);
    const size_t panel_floats = (size_t)job->block_tiles * tile_products;
    job->chunk = dn_max_int(1, (int)(M_BYTES / (panel_floats * sizeof(float))));
    job->chunk = training && !job->split ? 1 : dn_min_int(job->chunk, winograd->panels);
    job->m_size = (size_t)job->chunk * panel_floats;
    job->stage_size = dn_winograd_stage(winograd);
    if (!training) return;
    job->u_size = job->split ? dn_winograd_u_size(winograd) : points * winograd->panel_floats;
    const size_t weights = 9 * (size_t)WEIGHT_CHANNELS * (size_t)winograd->kernels->winograd_columns;
    job->stage_size = dn_max_size(job->stage_size, weights);
}

/* Per thread: products, weights of a panel, stage. Before them: input, unless split; all weights, if split.
 */
static size_t own_size(const winograd_job *job) {
    return job->m_size + (job->split ? job->v_size : job->u_size) + job->stage_size;
}

static size_t shared_size(const winograd_job *job) {
    return job->split ? job->u_size : job->v_size;
}

static float *own_scratch(const winograd_job *job, int part) {
    return job->scratch + shared_size(job) + (size_t)part * own_size(job);
}

static float *own_stage(const winograd_job *job, int part) {
    return own_scratch(job, part) + own_size(job) - job->stage_size;
}

size_t dn_winograd_scratch(const dn_winograd *winograd, int threads, int images) {
    size_t most = 0;
    for (int batch = 1; batch <= images; ++batch) { /* fewer images may be divided in another way */
        winograd_job job = {.winograd = winograd, .batch = batch};
        lay_out(&job, threads, false);
        most = dn_max_size(most, shared_size(&job) + (size_t)threads * own_size(&job));
    }
    return most;
}

size_t dn_winograd_batch_scratch(const dn_winograd *winograd, int batch, int threads) {
    winograd_job job = {.winograd = winograd, .batch = batch};
    lay_out(&job, threads, true);
    return shared_size(&job) + (size_t)threads * own_size(&job);
}

static void transform_input(const winograd_job *job, dn_tile_block block, int channel_block, float *stage,
                            float *v) {
    dn_winograd_transform(job->winograd, false, job->x, job->x_apart, block, channel_block,
                          point_stride(job->winograd, block), stage, v);
}

static void run_own_tiles(void *context, int part, int parts) {
    const winograd_job *job = context;
    const dn_winograd *winograd = job->winograd;
    float *products = own_scratch(job, part), *v = products + job->m_size;
    size_t begin, end;
    dn_pool_slice((size_t)job->blocks, 1, part, parts, &begin, &end);
    for (size_t i = begin; i < end; ++i) {
        const dn_tile_block block = block_of(job, (int)i);
        for (int c = 0; c < winograd->blocks; ++c) transform_input(job, block, c, own_stage(job, part), v);
        multiply_and_finish(job, block, v, 0, winograd->panels, products);
    }
}

static void run_shared_input(void *context, int part, int parts) {
    const winograd_job *job = context;
    size_t begin, end;
    dn_pool_slice((size_t)job->winograd->blocks, 1, part, parts, &begin, &end);
    for (size_t c = begin; c < end; ++c)
        transform_input(job, job->block, (int)c, own_stage(job, part), job->scratch);
}

static void run_shared_products(void *context, int part, int parts) {
    const winograd_job *job = context;
    size_t begin, end;
    dn_pool_slice((size_t)job->winograd->panels, 1, part, parts, &begin, &end);
    if (begin < end)
        multiply_and_finish(job, job->block, job->scratch, (int)begin, (int)end, own_scratch(job, part));
}

static void run_weights(void *context, int part, int parts) {
    const winograd_job *job = context;
    const dn_winograd *winograd = job->winograd;
    const size_t lanes = (size_t)winograd->kernels->lanes, blocks = (size_t)winograd->blocks;
    size_t begin, end;
    dn_pool_slice((size_t)winograd->panels * blocks, 1, part, parts, &begin, &end);
    for (size_t i = begin; i < end; ++i) {
        const size_t panel = i / blocks, channel = i % blocks * lanes;
        transform_weights(job, (int)panel, (int)channel, (int)(channel + lanes), own_stage(job, part),
                          winograd->u + panel * winograd->panel_floats,
                          (size_t)winograd->panels * winograd->panel_floats);
    }
}

static void run(dn_device *device, winograd_job *job) {
    if (job->split) {
        if (job->weights) dn_pool_run(device->pool, run_weights, job);
        dn_pool_run(device->pool, run_own_tiles, job);
        return;
    }
    for (int i = 0; i < job->blocks; ++i) {
        job->block = block_of(job, i);
        dn_pool_run(device->pool, run_shared_input, job);
        dn_pool_run(device->pool, run_shared_products, job);
    }
}

void dn_winograd_run(dn_device *device, const dn_winograd *winograd, const dn_conv_images *images,
                     const dn_epilogue *epilogue, float *scratch) {
    dn_epilogue own = *epilogue;
    own.residual = images->residual;
    winograd_job job = {.winograd = winograd, .epilogue = &own, .scratch = scratch, .batch = images->count};
    job.x = images->x;
    job.x_apart = images->x_apart;
    job.y = images->y;
    job.y_apart = images->y_apart;
    lay_out(&job, dn_pool_threads(device->pool), false);
    run(device, &job);
}

void dn_winograd_batch_run(dn_device *device, const dn_winograd *winograd, int batch, const float *x,
                           const float *weights, bool back, float *y, bool accumulate, float *scratch) {
    dn_winograd own = *winograd;
    const dn_conv_shape *shape = &winograd->shape;
    winograd_job job = {.winograd = &own, .x = x, .y = y, .scratch = scratch, .batch = batch};
    job.x_apart = (size_t)shape->in_c * (size_t)shape->in_h * (size_t)shape->in_w;
    job.y_apart = (size_t)shape->out_c * (size_t)shape->out_h * (size_t)shape->out_w;
    job.weights = weights;
    job.back = back;
    job.accumulate = accumulate;
    dn_winograd_table(own.m, job.g);
    lay_out(&job, dn_pool_threads(device->pool), true);
    own.u = scratch; /* all weights, if split */
    run(device, &job);
}
