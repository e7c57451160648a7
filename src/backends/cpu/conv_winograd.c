/* conv_winograd.c - Winograd convolution, at stride 1 and 2: for each block of tiles transforms the input,
 * runs one matrix product per point and transforms back, with the epilogue. Planned convolutions of one image
 * have their weights transformed once; those of a batch in training transform them on the way, and serve the
 * gradient of the input, too. The transforms and the product are template/winograd.h. A block's transformed
 * input and products stay in the second-level cache, 256 + 128 KB; weights are read once per block. The input
 * may be nowhere, and made as tiles need it (conv_chain.c). */
#include "../../base/platform.h"
#include "cpu.h"

#include <string.h>

enum {
    V_BYTES = 256 << 10,      /* transformed input of a thread's block, in its second-level cache */
    V_BYTES_SHARED = 4 << 20, /* of a block that all threads work on */
    M_BYTES = 128 << 10,      /* products before the inverse transform, there too */
    M_BYTES_TAPS = 512 << 10, /* the same of weights kept as taps: some channels of the input meet them all */
    V_BYTES_BATCH = 16 << 20, /* the same in training: weights are transformed again for every block */
    M_BYTES_BATCH = 640 << 10,
    U_BYTES_OWN = 2 << 20, /* with more weights than this, threads share out the weights, not the tiles; */
    U_BYTES_OWN_LARGE = 9 << 20, /* than this with such second-level caches, between which what another */
    LARGE_CACHE = 2 << 20,       /* thread has transformed travels slowly: 128 -> 256 at 32x32 to 76x76 on */
                                 /* two threads of Emerald Rapids: 12 to 17 % less time */
    WEIGHT_CHANNELS = 16,        /* transformed at a time */
    PIECES_PER_THREAD = 4,       /* at least, so that none waits for another */
    POINT_PADDING = 16, /* floats; else points are a power of two apart and fall into the same cache set */
    MADE_THREADS = 4    /* that there are tiles enough for where input is made */
};

/* ---- blocks of tiles: whole rows of tiles, image after image, or parts of one row ---- */

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
    int chunk;                      /* panels of output channels multiplied before their inverse transform */
    bool split;                     /* each thread has tiles of its own, not panels */
    dn_tile_block block;            /* when shared */
    const dn_winograd_maker *maker; /* of the input, or NULL */
    const float *weights;           /* training: transformed on the way, else NULL */
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

/* The most rows of tiles that a part begins with. */
static int longest_share(int rows, int per_block, int parts) {
    const size_t blocks = (size_t)((rows + per_block - 1) / per_block);
    int longest = 0;
    for (int part = 0; part < parts; ++part) {
        size_t begin, end;
        dn_pool_slice(blocks, 1, part, parts, &begin, &end);
        longest = dn_max_int(longest, dn_min_int((int)end * per_block, rows) - (int)begin * per_block);
    }
    return longest;
}

/* Smaller blocks, of at least so many tiles, where parts then have more equal shares of few rows. */
static void balance_blocks(winograd_job *job, int least, int threads) {
    const int wide = job->winograd->tiles_x, rows = job->batch * job->winograd->tiles_y;
    int best = job->rows_per_block;
    for (int per_block = best - 1; per_block * wide >= least; --per_block)
        if (longest_share(rows, per_block, threads) < longest_share(rows, best, threads)) best = per_block;
    if (best == job->rows_per_block) return;
    job->rows_per_block = best;
    job->block_tiles = best * wide;
    job->blocks = (rows + best - 1) / best;
}

/* Of equal height, as few as so many tiles take. */
static int panels_of(const dn_winograd *winograd, int tiles) {
    const dn_kernels *kernels = winograd->kernels;
    const bool vector = winograd->taps && winograd->stride == 1; /* of filters at a time, not two */
    const int most = vector ? kernels->winograd_taps_tiles : kernels->winograd_tiles;
    return (tiles + most - 1) / most;
}

static dn_tile_block block_of(const winograd_job *job, int number) {
    const int wide = job->winograd->tiles_x;
    const int row = number / job->blocks_per_row * job->rows_per_block;
    const int rows = dn_min_int(job->rows_per_block, job->batch * job->winograd->tiles_y - row);
    size_t begin = 0, end = (size_t)(rows * wide);
    if (job->blocks_per_row > 1)
        dn_pool_slice((size_t)wide, aligned_tiles(job->winograd), number % job->blocks_per_row,
                      job->blocks_per_row, &begin, &end);
    const int count = (int)(end - begin), panels = panels_of(job->winograd, count);
    return (dn_tile_block){row * wide + (int)begin, count, (count + panels - 1) / panels};
}

size_t dn_winograd_product_stride(const dn_winograd *winograd) {
    return (size_t)winograd->kernels->winograd_columns * (size_t)(winograd->sum_n * winograd->sum_n | 1);
}

static size_t point_stride(const dn_winograd *winograd, dn_tile_block block) {
    return (size_t)winograd->blocks * (size_t)block.panel_tiles * (size_t)winograd->kernels->lanes +
           POINT_PADDING;
}

static bool is_mixed(const dn_winograd *winograd) {
    return winograd->big_x < winograd->tiles_x || winograd->big_y < winograd->tiles_y;
}

static int big_rows_before(const dn_winograd *winograd, int row) {
    return row / winograd->tiles_y * winograd->big_y + dn_min_int(row % winograd->tiles_y, winograd->big_y);
}

dn_tile_kinds dn_winograd_kinds(const dn_winograd *winograd, dn_tile_block block) {
    const int wide = winograd->tiles_x, row = block.first / wide,
              end = (block.first + block.count - 1) / wide + 1;
    const bool part = end == row + 1;
    const int columns = part ? block.count : wide;
    dn_tile_kinds kinds = {.row = row, .column = part ? block.first % wide : 0};
    kinds.big_rows = big_rows_before(winograd, end) - big_rows_before(winograd, row);
    kinds.small_rows = end - row - kinds.big_rows;
    kinds.big_columns = dn_min_int(columns, dn_max_int(0, winograd->big_x - kinds.column));
    kinds.small_columns = columns - kinds.big_columns;
    return kinds;
}

static int tile_number(const dn_winograd *winograd, const dn_tile_kinds *kinds, dn_tile_block block, int row,
                       int column) {
    if (!is_mixed(winograd)) return row * winograd->tiles_x + column - block.first;
    const bool big = row % winograd->tiles_y < winograd->big_y;
    const int big_before = big_rows_before(winograd, row) - big_rows_before(winograd, kinds->row);
    const int small_before = row - kinds->row - big_before, across = column - kinds->column;
    if (across < kinds->big_columns)
        return (big ? kinds->small_rows + big_before : small_before) * kinds->big_columns + across;
    return (kinds->small_rows + kinds->big_rows) * kinds->big_columns +
           (big ? big_before : kinds->big_rows + small_before) * kinds->small_columns + across -
           kinds->big_columns;
}

static bool small_tiles_lack(const dn_winograd *winograd, int axis_point) {
    return is_mixed(winograd) && axis_point == winograd->sum_n - 2;
}

void dn_winograd_tiles_with(const dn_winograd *winograd, const dn_tile_kinds *kinds, int count, int point,
                            int *begin, int *end) {
    const int large = (kinds->small_rows + kinds->big_rows) * kinds->big_columns;
    const bool of_big_rows = small_tiles_lack(winograd, point / winograd->sum_n);
    const bool of_big_columns = small_tiles_lack(winograd, point % winograd->sum_n);
    *begin = of_big_rows ? kinds->small_rows * kinds->big_columns : 0;
    *end = of_big_columns ? large : of_big_rows ? large + kinds->big_rows * kinds->small_columns : count;
}

/* Neighbours in a row of tiles, inside a block and of one kind. */
typedef struct tile_run {
    int row, column, tiles, number;
    bool small_y, small_x;
} tile_run;

/* The next run after one of the block, which begins as {.row = -1}; false after the last. */
static bool next_run(const dn_winograd *winograd, const dn_tile_kinds *kinds, dn_tile_block block,
                     tile_run *run) {
    const int wide = winograd->tiles_x, end = block.first + block.count;
    int at = run->row < 0 ? block.first : run->row * wide + run->column + run->tiles;
    if (at >= end) return false;
    run->row = at / wide;
    run->column = at % wide;
    run->small_y = run->row % winograd->tiles_y >= winograd->big_y;
    run->small_x = run->column >= winograd->big_x;
    const int stop = dn_min_int(end, run->row * wide + (run->small_x ? wide : winograd->big_x));
    run->tiles = stop - at;
    run->number = tile_number(winograd, kinds, block, run->row, run->column);
    return true;
}

size_t dn_winograd_stage(const dn_winograd *winograd) {
    return (size_t)(winograd->n * DN_WINOGRAD_PIXELS * winograd->kernels->lanes);
}

/* Where a row of tiles goes to. */
static dn_winograd_row row_of(const dn_winograd *winograd, dn_tile_block block, int channel_block,
                              size_t points_apart) {
    dn_winograd_row row = {.panel_tiles = block.panel_tiles, .point_stride = points_apart};
    row.panel_stride = row.point_stride * (size_t)winograd->points;
    row.channel_offset = (size_t)(channel_block * block.panel_tiles * winograd->kernels->lanes);
    return row;
}

void dn_winograd_transform(const dn_winograd *winograd, bool gradient, const float *x, size_t apart,
                           dn_tile_block block, int channel_block, size_t points_apart, float *stage,
                           float *v) {
    const dn_conv_shape *shape = &winograd->shape;
    const int lanes = winograd->kernels->lanes, m = winograd->m;
    const int channels = gradient ? shape->out_c : shape->in_c, pad = gradient ? 0 : shape->pad;
    dn_winograd_row row = row_of(winograd, block, channel_block, points_apart);
    row.h = gradient ? shape->out_h : shape->in_h;
    row.w = gradient ? shape->out_w : shape->in_w;
    row.plane = (size_t)row.h * (size_t)row.w;
    row.channels = dn_min_int(lanes, channels - channel_block * lanes);
    const dn_tile_kinds kinds = dn_winograd_kinds(winograd, block);
    tile_run run = {.row = -1};
    while (next_run(winograd, &kinds, block, &run)) {
        const int image = run.row / winograd->tiles_y;
        row.x = x + (size_t)image * apart + (size_t)(channel_block * lanes) * row.plane;
        row.x_end = x + (size_t)image * apart + (size_t)channels * row.plane;
        row.tiles = run.tiles;
        row.first = run.number;
        row.small_y = run.small_y;
        row.small_x = run.small_x;
        row.y = dn_winograd_start(winograd, run.row % winograd->tiles_y, winograd->big_y) * winograd->stride -
                pad;
        row.left = dn_winograd_start(winograd, run.column, winograd->big_x) * winograd->stride - pad;
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
    const dn_tile_kinds kinds = dn_winograd_kinds(winograd, block);
    tile_run run = {.row = -1};
    while (next_run(winograd, &kinds, block, &run)) {
        const int image = run.row / winograd->tiles_y,
                  left = dn_winograd_start(winograd, run.column, winograd->big_x);
        const int y = dn_winograd_start(winograd, run.row % winograd->tiles_y, winograd->big_y);
        const size_t at = (size_t)image * job->y_apart + (size_t)channel * plane +
                          (size_t)y * (size_t)shape->out_w + (size_t)left;
        dn_epilogue epilogue = {0};
        if (job->epilogue) {
            epilogue = *job->epilogue;
            if (epilogue.bias) epilogue.bias += channel;
            if (epilogue.residual) epilogue.residual += at;
        }
        dn_winograd_result result = {.m = m, .stride = winograd->stride, .channels = channels};
        result.small_y = run.small_y;
        result.small_x = run.small_x;
        result.accumulate = job->accumulate;
        result.tile_stride = dn_winograd_product_stride(winograd);
        result.in = products + (size_t)run.number * result.tile_stride;
        result.point_stride = columns;
        result.tiles = run.tiles;
        result.y = job->y + at;
        result.plane = plane;
        result.w = shape->out_w;
        result.rows = dn_min_int(m - run.small_y, shape->out_h - y);
        result.columns = dn_min_int(run.tiles * (m - run.small_x), shape->out_w - left);
        result.epilogue = job->epilogue && !later ? &epilogue : NULL;
        winograd->kernels->winograd_output(&result);
        for (int c = 0; c < channels && later; ++c)
            finish_rows(job, channel + c, at + (size_t)c * plane, result.rows, result.columns);
    }
}

/* own: a thread's memory for products, then, if weights are transformed panel by panel, for those. */
static void multiply_and_finish(const winograd_job *job, dn_tile_block block, const float *v, int begin,
                                int end, float *own) {
    const dn_winograd *winograd = job->winograd;
    const int columns = winograd->kernels->winograd_columns, lanes = winograd->kernels->lanes;
    const bool now = job->weights && !job->split;
    const size_t panel_products = (size_t)block.count * dn_winograd_product_stride(winograd);
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
        if (!winograd->taps)
            dn_winograd_multiply(winograd, block, v, point_stride(winograd, block), u, points_apart, panel,
                                 last, own);
        else
            dn_winograd_multiply_taps(winograd, block, v, point_stride(winograd, block), panel, last,
                                      own + job->m_size - dn_winograd_taps_scratch(winograd), own);
        for (int i = panel; i < last; ++i) {
            const float *from = own + (size_t)(i - panel) * panel_products;
            for (int half = 0; half < columns && i * columns + half < winograd->shape.out_c; half += lanes)
                transform_output(job, block, i * columns + half, from + half);
        }
    }
}

/* ---- running ---- */

/* Few weights: every thread works through tiles of its own. large: its second-level cache is. */
static bool tiles_are_split(const dn_winograd *winograd, int tiles, int threads, bool large) {
    return dn_winograd_u_size(winograd) * sizeof(float) <= (large ? U_BYTES_OWN_LARGE : U_BYTES_OWN) &&
           tiles >= (large ? 1 : 2) * threads * winograd->kernels->winograd_tiles;
}

static void lay_out(winograd_job *job, int threads, bool training) {
    const dn_winograd *winograd = job->winograd;
    const int most = winograd->kernels->winograd_tiles;
    const size_t lanes = (size_t)winograd->kernels->lanes, points = (size_t)winograd->points;
    const size_t tile_bytes = points * (size_t)winograd->blocks * lanes * sizeof(float);
    const size_t tile_products = dn_winograd_product_stride(winograd);
    const int tiles = job->batch * winograd->tiles_x * winograd->tiles_y;
    job->split = job->maker || tiles_are_split(winograd, tiles, threads,
                                               !training && dn_platform_own_cache() >= LARGE_CACHE);
    size_t fit = (job->split ? V_BYTES : training ? V_BYTES_BATCH : V_BYTES_SHARED) / tile_bytes;
    if (training) fit = dn_min_size(fit, M_BYTES_BATCH / (tile_products * sizeof(float)));
    if (job->split) fit = dn_min_size(fit, (size_t)(tiles / (PIECES_PER_THREAD * threads)));
    choose_blocks(job, dn_max_int((int)fit, (job->split ? 2 : 4) * most));
    if (job->split) balance_blocks(job, most, threads);
    const size_t panels = (size_t)panels_of(winograd, job->block_tiles);
    const size_t height = ((size_t)job->block_tiles + panels - 1) / panels;
    job->v_size = panels * points * ((size_t)winograd->blocks * height * lanes + POINT_PADDING);
    const size_t panel_floats = (size_t)job->block_tiles * tile_products;
    const size_t most_products = winograd->taps ? M_BYTES_TAPS : M_BYTES;
    job->chunk = dn_max_int(1, (int)(most_products / (panel_floats * sizeof(float))));
    const int share =
        !job->split && threads > 1 ? winograd->panels / (PIECES_PER_THREAD * threads) : winograd->panels;
    job->chunk = training && !job->split ? 1 : dn_min_int(job->chunk, dn_max_int(1, share));
    job->m_size =
        (size_t)job->chunk * panel_floats + (winograd->taps ? dn_winograd_taps_scratch(winograd) : 0);
    job->stage_size = dn_winograd_stage(winograd);
    if (job->maker) job->stage_size *= dn_round_up((size_t)winograd->blocks, 2);
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

/* The strips that a run of tiles reads, and their transforms. */
static void transform_run(const winograd_job *job, int part, dn_tile_block block, const tile_run *run,
                          bool new_rows, float *v) {
    const dn_winograd *winograd = job->winograd;
    const dn_kernels *kernels = winograd->kernels;
    const int stride = winograd->stride, pad = winograd->shape.pad, m = winograd->m;
    const int mx = m - run->small_x, wide = dn_winograd_points(mx, stride), step = mx * stride;
    const int most = (DN_WINOGRAD_PIXELS - wide) / step + 1;
    float *stage = own_stage(job, part);
    dn_winograd_strip strip = {.h = dn_winograd_points(m - run->small_y, stride), .new_rows = new_rows};
    strip.top = dn_winograd_start(winograd, run->row, winograd->big_y) * stride - pad;
    strip.left = dn_winograd_start(winograd, run->column, winograd->big_x) * stride - pad;
    for (int first = 0, tiles; first < run->tiles; first += tiles, strip.left += tiles * step) {
        tiles = dn_min_int(most, run->tiles - first);
        strip.w = (tiles - 1) * step + wide;
        job->maker->make(job->maker->context, part, &strip, stage);
        strip.new_rows = false;
        for (int c = 0; c < winograd->blocks; ++c) {
            dn_winograd_row row = row_of(winograd, block, c, point_stride(winograd, block));
            row.tiles = tiles;
            row.first = run->number + first;
            row.small_y = run->small_y;
            row.small_x = run->small_x;
            kernels->winograd_staged(m, &row, stage + c * strip.h * strip.w * kernels->lanes, v);
        }
    }
}

/* last_row: of tiles, whose strips were the last that this part had. */
static void make_and_transform(const winograd_job *job, int part, dn_tile_block block, int *last_row,
                               float *v) {
    const dn_tile_kinds kinds = dn_winograd_kinds(job->winograd, block);
    for (tile_run run = {.row = -1}; next_run(job->winograd, &kinds, block, &run); *last_row = run.row)
        transform_run(job, part, block, &run, run.row != *last_row, v);
}

static void run_own_tiles(void *context, int part, dn_ranges *blocks) {
    const winograd_job *job = context;
    const dn_winograd *winograd = job->winograd;
    float *products = own_scratch(job, part), *v = products + job->m_size;
    int row = -1;
    for (int i; dn_range_claim(blocks, part, &i);) {
        const dn_tile_block block = block_of(job, i);
        if (job->maker) make_and_transform(job, part, block, &row, v);
        for (int c = 0; c < winograd->blocks && !job->maker; ++c)
            transform_input(job, block, c, own_stage(job, part), v);
        multiply_and_finish(job, block, v, 0, winograd->panels, products);
    }
}

static void run_shared_input(void *context, int part, dn_ranges *channel_blocks) {
    const winograd_job *job = context;
    for (int c; dn_range_claim(channel_blocks, part, &c);)
        transform_input(job, job->block, c, own_stage(job, part), job->scratch);
}

static void run_shared_products(void *context, int part, dn_ranges *chunks) {
    const winograd_job *job = context;
    for (int i; dn_range_claim(chunks, part, &i);)
        multiply_and_finish(job, job->block, job->scratch, i * job->chunk,
                            dn_min_int((i + 1) * job->chunk, job->winograd->panels), own_scratch(job, part));
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
        dn_pool_share(device->pool, job->blocks, run_own_tiles, job);
        return;
    }
    for (int i = 0; i < job->blocks; ++i) {
        job->block = block_of(job, i);
        dn_pool_share(device->pool, job->winograd->blocks, run_shared_input, job);
        dn_pool_share(device->pool, (job->winograd->panels + job->chunk - 1) / job->chunk,
                      run_shared_products, job);
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

bool dn_winograd_fits_maker(const dn_winograd *winograd) {
    return winograd->stride == 2 &&
           tiles_are_split(winograd, winograd->tiles_x * winograd->tiles_y, MADE_THREADS, false);
}

size_t dn_winograd_made_scratch(const dn_winograd *winograd, int threads) {
    const dn_winograd_maker maker = {0};
    winograd_job job = {.winograd = winograd, .maker = &maker, .batch = 1};
    lay_out(&job, threads, false);
    return shared_size(&job) + (size_t)threads * own_size(&job);
}

void dn_winograd_run_made(dn_device *device, const dn_winograd *winograd, const dn_winograd_maker *maker,
                          const dn_epilogue *epilogue, float *y, float *scratch) {
    winograd_job job = {.winograd = winograd, .maker = maker, .batch = 1};
    job.epilogue = epilogue;
    job.y = y;
    job.scratch = scratch;
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
