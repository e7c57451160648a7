/* conv_winograd.c - Winograd convolution, at stride 1 and 2: for each block of tiles transforms the input,
 * runs one matrix product per point and transforms back, with the epilogue. Planned convolutions of one image
 * have their weights transformed once; those of a batch in training transform them on the way, and serve the
 * gradient of the input, too. The transforms and the product are template/winograd.h. A block's transformed
 * input and products stay in the second-level cache, 256 + 128 KB; weights are read once per block. */
#include "cpu.h"

#include <string.h>

enum {
    MAX_POINTS_AXIS = 6,
    V_BYTES = 256 << 10,      /* transformed input of a thread's block, in its second-level cache */
    V_BYTES_SHARED = 4 << 20, /* of a block that all threads work on */
    M_BYTES = 128 << 10,      /* products before the inverse transform, there too */
    V_BYTES_BATCH = 16 << 20, /* the same in training: weights are transformed again for every block */
    M_BYTES_BATCH = 640 << 10,
    U_BYTES_OWN = 3 << 19, /* with more weights than this, threads share out the weights, not the tiles */
    WEIGHT_CHANNELS = 16,  /* transformed at a time */
    FETCH = 16,            /* floats that winograd_multiply fetches per k */
    POINT_PADDING = 16     /* floats; else points are a power of two apart and fall into the same cache set */
};

static int points_of(int m, int stride) {
    return stride == 2 ? 2 * m + 1 : m + 2;
}

/* ---- weights ---- */

/* G of F(m x m, 3 x 3) at the points of template/winograd.h: row p is (1, p, p^2) / product of (p - q), the
 * last row (0, 0, 1) (Lavin and Gray; Barabasz et al., "Error analysis and improving the accuracy of Winograd
 * convolution", 2020). */
static void weight_transform(int m, double g[][3]) {
    const double a = (double)DN_WINOGRAD_A, b = (double)DN_WINOGRAD_B;
    const double points[3][5] = {{0, 1, -1}, {0, a, -a, -b}, {0, a, -a, b, -b}};
    const double *p = points[m - 2];
    const int finite = m + 1;
    for (int i = 0; i < finite; ++i) {
        double product = 1;
        for (int j = 0; j < finite; ++j)
            if (j != i) product *= p[i] - p[j];
        for (int j = 0; j < 3; ++j) g[i][j] = (j == 0 ? 1 : j == 1 ? p[i] : p[i] * p[i]) / product;
    }
    g[finite][0] = g[finite][1] = 0;
    g[finite][2] = 1;
}

/* The same at stride 2, m = 2: 2 outputs of the outer taps by Karatsuba's rule, then the middle tap twice. */
static void weight_transform_strided(double g[][3]) {
    static const double rows[5][3] = {{1, 0, 0}, {1, 0, 1}, {0, 0, 1}, {0, 1, 0}, {0, 1, 0}};
    memcpy(g, rows, sizeof rows);
}

/* u[point * stride] = G w G^T */
static void transform_filter(int n, double g[][3], const float *w, float *u, size_t stride) {
    double half[MAX_POINTS_AXIS][3];
    for (int i = 0; i < n; ++i)
        for (int j = 0; j < 3; ++j)
            half[i][j] = g[i][0] * (double)w[j] + g[i][1] * (double)w[3 + j] + g[i][2] * (double)w[6 + j];
    for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j)
            u[(size_t)(i * n + j) * stride] =
                (float)(half[i][0] * g[j][0] + half[i][1] * g[j][1] + half[i][2] * g[j][2]);
}

size_t dn_winograd_u_size(const dn_winograd *winograd) {
    return (size_t)winograd->points * (size_t)winograd->panels * winograd->panel_floats;
}

dn_winograd dn_winograd_describe(const dn_kernels *kernels, const dn_conv_shape *shape, int m) {
    const int stride = shape->stride_x, n = points_of(m, stride), width = kernels->winograd_columns;
    dn_winograd winograd = {
        .kernels = kernels, .shape = *shape, .m = m, .stride = stride, .n = n, .points = n * n};
    winograd.tiles_x = (shape->out_w + m - 1) / m;
    winograd.tiles_y = (shape->out_h + m - 1) / m;
    winograd.blocks = (shape->in_c + kernels->lanes - 1) / kernels->lanes;
    winograd.panels = (shape->out_c + width - 1) / width;
    winograd.panel_floats = (size_t)winograd.blocks * (size_t)kernels->lanes * (size_t)width;
    return winograd;
}

void dn_winograd_table(int m, float g[18]) {
    double exact[MAX_POINTS_AXIS][3];
    weight_transform(m, exact);
    for (int i = 0; i < 3 * (m + 2); ++i) g[i] = (float)exact[i / 3][i % 3];
}

dn_status dn_winograd_prepare(dn_winograd *winograd, const dn_kernels *kernels, const dn_conv_shape *shape,
                              int m, const float *weights) {
    const int width = kernels->winograd_columns;
    *winograd = dn_winograd_describe(kernels, shape, m);
    DN_TRY(dn_new_floats(&winograd->u, dn_winograd_u_size(winograd), "transformed weights"));

    double g[MAX_POINTS_AXIS][3];
    float filters[MAX_POINTS_AXIS * MAX_POINTS_AXIS * 64]; /* [point][width]: rows go out whole */
    if (winograd->stride == 2)
        weight_transform_strided(g);
    else
        weight_transform(m, g);
    for (int panel = 0; panel < winograd->panels; ++panel)
        for (int c = 0; c < shape->in_c; ++c) {
            const int filters_left = dn_min_int(width, shape->out_c - panel * width);
            for (int i = 0; i < filters_left; ++i)
                transform_filter(winograd->n, g,
                                 weights +
                                     ((size_t)(panel * width + i) * (size_t)shape->in_c + (size_t)c) * 9,
                                 filters + i, (size_t)width);
            for (int point = 0; point < winograd->points; ++point) {
                float *to =
                    winograd->u +
                    ((size_t)point * (size_t)winograd->panels + (size_t)panel) * winograd->panel_floats +
                    (size_t)c * (size_t)width;
                for (int i = 0; i < filters_left; ++i) to[i] = filters[point * width + i];
            }
        }
    return DN_OK;
}

/* ---- choice ---- */

/* The time of F(m x m, 3 x 3), or of the direct product if m is 0, in multiply-adds at the peak rate. A
 * weight costs at least its way from memory, which takes as long as FETCH_COST multiply-adds; the transforms
 * of a tile cost about TRANSFORM_COST per point and channel; weights that no cache holds from one image to
 * the next are waited for, too. Fitted to times measured on Zen 4 (benchmarks/conv_layers.c). */
static double cost_of(const dn_kernels *kernels, const dn_conv_shape *shape, int batch, int m) {
    enum { FETCH_COST = 12, TRANSFORM_COST = 12, WAIT_COST = 6, CACHED_BYTES = 32 << 20 };
    if (m == 0) {
        const double uses = 1.3 * batch * shape->out_h * shape->out_w;
        return 9.0 * shape->in_c * shape->out_c * ((uses > FETCH_COST ? uses : FETCH_COST) + 1);
    }
    const size_t lanes = (size_t)kernels->lanes, width = (size_t)kernels->winograd_columns;
    const double in_c = (double)dn_round_up((size_t)shape->in_c, lanes);
    const double out_c = (double)dn_round_up((size_t)shape->out_c, lanes);
    const double products = in_c * (double)dn_round_up((size_t)shape->out_c, width);
    const double tiles = (double)batch * ((shape->out_w + m - 1) / m) * ((shape->out_h + m - 1) / m),
                 uses = 1.15 * tiles;
    const double n = points_of(m, shape->stride_x);
    const double wait = n * n * products * sizeof(float) > CACHED_BYTES ? WAIT_COST : 1;
    return n * n *
           (products * ((uses > FETCH_COST ? uses : FETCH_COST) + wait) +
            tiles * TRANSFORM_COST * (in_c + out_c));
}

int dn_winograd_choose(const dn_kernels *kernels, const dn_conv_shape *shape, int batch, size_t most_floats) {
    if (shape->size != 3 || shape->stride_x > 2 || shape->stride_y != shape->stride_x ||
        shape->dilation != 1 || shape->groups != 1 || shape->in_c < kernels->lanes / 2 ||
        shape->out_c < kernels->lanes / 2)
        return 0;
    int best = 0;
    double best_cost = cost_of(kernels, shape, batch, 0);
    for (int m = 2; m <= (shape->stride_x == 2 ? 2 : 4); ++m) {
        const double cost = cost_of(kernels, shape, batch, m);
        const size_t n = (size_t)points_of(m, shape->stride_x);
        const bool fits = n * n * (size_t)shape->in_c * (size_t)shape->out_c <= most_floats;
        if (!fits || cost >= best_cost) continue;
        best = m;
        best_cost = cost;
    }
    return best;
}

/* ---- blocks of tiles: consecutive ones in raster order, image after image ---- */

typedef struct winograd_job {
    const dn_winograd *winograd;
    const dn_epilogue *epilogue; /* NULL: none */
    const float *x;
    float *y, *scratch;
    int tiles, batch;
    int block_tiles;       /* most */
    size_t v_size, m_size; /* floats; m per thread */
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

static dn_tile_block make_block(const dn_winograd *winograd, int first, int count) {
    const int most = winograd->kernels->winograd_tiles, panels = (count + most - 1) / most;
    return (dn_tile_block){first, count, (count + panels - 1) / panels};
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
    const int step = winograd->m * winograd->stride;
    return (size_t)winograd->n * (size_t)((winograd->tiles_x - 1) * step + winograd->n) *
           (size_t)winograd->kernels->lanes;
}

void dn_winograd_transform(const dn_winograd *winograd, bool gradient, const float *x, int batch,
                           dn_tile_block block, int channel_block, size_t points_apart, float *stage,
                           float *v) {
    const dn_conv_shape *shape = &winograd->shape;
    const int lanes = winograd->kernels->lanes, m = winograd->m;
    const int channels = gradient ? shape->out_c : shape->in_c, pad = gradient ? 0 : shape->pad;
    dn_winograd_row row = {.h = gradient ? shape->out_h : shape->in_h,
                           .w = gradient ? shape->out_w : shape->in_w};
    row.plane = (size_t)row.h * (size_t)row.w;
    row.x_end = x + (size_t)batch * (size_t)channels * row.plane;
    row.channels = dn_min_int(lanes, channels - channel_block * lanes);
    row.panel_tiles = block.panel_tiles;
    row.point_stride = points_apart;
    row.panel_stride = row.point_stride * (size_t)winograd->points;
    row.channel_offset = (size_t)(channel_block * block.panel_tiles * lanes);
    for (int y = block.first / winograd->tiles_x; y * winograd->tiles_x < block.first + block.count; ++y) {
        const int image = y / winograd->tiles_y;
        int column;
        row.x = x + ((size_t)image * (size_t)channels + (size_t)(channel_block * lanes)) * row.plane;
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
            const float *u = weights + (size_t)point * weight_points_apart +
                             (size_t)(panel - begin) * winograd->panel_floats;
            const float *next = u;
            size_t fetched = 0; /* of next, spread over the panels of tiles */
            if (panel + 1 < end)
                next = u + winograd->panel_floats;
            else if (point + 1 < winograd->points)
                next = weights + (size_t)(point + 1) * weight_points_apart;
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
        const size_t at = ((size_t)image * (size_t)shape->out_c + (size_t)channel) * plane +
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
    job->tiles = job->batch * winograd->tiles_x * winograd->tiles_y;
    job->split = tiles_are_split(winograd, job->tiles, threads);
    size_t fit = (job->split ? V_BYTES : training ? V_BYTES_BATCH : V_BYTES_SHARED) / tile_bytes;
    if (training) fit = dn_min_size(fit, M_BYTES_BATCH / (tile_products * sizeof(float)));
    job->block_tiles = dn_min_int(job->tiles, dn_max_int((int)fit / most, job->split ? 2 : 4) * most);
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

size_t dn_winograd_scratch(const dn_winograd *winograd, int threads) {
    winograd_job job = {.winograd = winograd, .batch = 1};
    lay_out(&job, threads, false);
    return shared_size(&job) + (size_t)threads * own_size(&job);
}

size_t dn_winograd_batch_scratch(const dn_winograd *winograd, int batch, int threads) {
    winograd_job job = {.winograd = winograd, .batch = batch};
    lay_out(&job, threads, true);
    return shared_size(&job) + (size_t)threads * own_size(&job);
}

static void transform_input(const winograd_job *job, dn_tile_block block, int channel_block, float *stage,
                            float *v) {
    dn_winograd_transform(job->winograd, false, job->x, job->batch, block, channel_block,
                          point_stride(job->winograd, block), stage, v);
}

static void run_own_tiles(void *context, int part, int parts) {
    const winograd_job *job = context;
    const dn_winograd *winograd = job->winograd;
    float *products = own_scratch(job, part), *v = products + job->m_size;
    size_t begin, end;
    dn_pool_slice((size_t)job->tiles, 1, part, parts, &begin, &end);
    const int total = (int)(end - begin), count = (total + job->block_tiles - 1) / job->block_tiles;
    for (int i = 0; i < count; ++i) {
        size_t first, last;
        dn_pool_slice((size_t)total, 1, i, count, &first, &last);
        const dn_tile_block block = make_block(winograd, (int)(begin + first), (int)(last - first));
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
    const int count = (job->tiles + job->block_tiles - 1) / job->block_tiles;
    for (int i = 0; i < count; ++i) {
        size_t first, last;
        dn_pool_slice((size_t)job->tiles, 1, i, count, &first, &last);
        job->block = make_block(job->winograd, (int)first, (int)(last - first));
        dn_pool_run(device->pool, run_shared_input, job);
        dn_pool_run(device->pool, run_shared_products, job);
    }
}

void dn_winograd_run(dn_device *device, const dn_winograd *winograd, const float *x,
                     const dn_epilogue *epilogue, float *y, float *scratch) {
    winograd_job job = {
        .winograd = winograd, .epilogue = epilogue, .x = x, .y = y, .scratch = scratch, .batch = 1};
    lay_out(&job, dn_pool_threads(device->pool), false);
    run(device, &job);
}

void dn_winograd_batch_run(dn_device *device, const dn_winograd *winograd, int batch, const float *x,
                           const float *weights, bool back, float *y, bool accumulate, float *scratch) {
    dn_winograd own = *winograd;
    winograd_job job = {.winograd = &own, .x = x, .y = y, .scratch = scratch, .batch = batch};
    job.weights = weights;
    job.back = back;
    job.accumulate = accumulate;
    dn_winograd_table(own.m, job.g);
    lay_out(&job, dn_pool_threads(device->pool), true);
    own.u = scratch; /* all weights, if split */
    run(device, &job);
}
