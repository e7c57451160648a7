/* conv_winograd_taps_strided.c - the products of Winograd convolutions at stride 2 whose weights are kept as
 * taps, w[panel][channel][9][columns]: 9 floats per filter and channel instead of 36 for tiles of 4 x 4
 * outputs. On maps of a few tiles, where all weights come from memory, their way took as long as their
 * multiply-adds. Each row of points of some channels and a panel of filters is made in the first-level cache
 * (template/winograd_taps.h) and multiplied there: the middle tap, which adds to all finite points, makes a
 * row of its own. Channels come first, then filters: of the input only those channels are needed meanwhile,
 * 170 KB for 16 tiles. The next panel's taps are fetched evenly beside the multiply-adds. */
#include "cpu.h"

enum {
    CHANNELS = 32,     /* at a time: 25 KB of points for two vectors of 16 filters */
    POINT_PADDING = 32 /* floats; else points are a power of two apart and fall into the same cache set */
};

static int channels_of(const dn_winograd *winograd) {
    return dn_min_int(CHANNELS, winograd->blocks * winograd->kernels->lanes);
}

static size_t point_apart(const dn_winograd *winograd) {
    return (size_t)(channels_of(winograd) * winograd->kernels->winograd_columns + POINT_PADDING);
}

size_t dn_winograd_taps_strided_scratch(const dn_winograd *winograd) {
    return (size_t)winograd->weight_n * point_apart(winograd);
}

/* Some channels of a panel of filters. */
typedef struct strided_job {
    const dn_winograd *winograd;
    dn_tile_block block;
    dn_tile_kinds kinds;
    size_t points_apart; /* of v */
    int blocks;          /* of channels */
    const float *v, *u;  /* u: a row of points */
    const float *next;   /* taps to fetch meanwhile, */
    size_t next_floats;  /* so many, evenly over */
    int products;        /* each of a point of the input, one of the weights and a panel of tiles */
    size_t done, fetched;
    float *out;
} strided_job;

/* What to fetch beside the next product, or NULL. */
static const float *fetch(strided_job *job) {
    const size_t due = job->done++ * job->next_floats / (size_t)job->products, at = job->fetched;
    if (at > due || at >= job->next_floats) return NULL;
    job->fetched += (size_t)(job->blocks * job->winograd->kernels->lanes * DN_WINOGRAD_FETCH);
    return job->next + at;
}

/* Adds the row of weights to a row of sums, of inputs at their row v_row. */
static void multiply_row(strided_job *job, int sum_row, int v_row, bool accumulate) {
    const dn_winograd *winograd = job->winograd;
    const dn_kernels *kernels = winograd->kernels;
    const int m = winograd->m, wide = job->block.panel_tiles;
    const size_t tile_stride = dn_winograd_product_stride(winograd), apart = point_apart(winograd);
    for (int x = 0; x <= m; ++x) {
        const int point = sum_row * winograd->sum_n + x, count = x < m ? 2 : 1;
        int first, last;
        dn_winograd_tiles_with(winograd, &job->kinds, job->block.count, point, &first, &last);
        for (int tile = first, tiles; tile < last; tile += tiles) {
            const int panel = tile / wide, inside = tile % wide;
            const float *v =
                job->v + (size_t)(panel * winograd->points + v_row * winograd->n + x) * job->points_apart +
                (size_t)(inside * kernels->lanes);
            tiles = dn_min_int(wide - inside, last - tile);
            dn_winograd_factors factors[2] = {
                {.v = v, .u = job->u + (size_t)x * apart},
                {.v = v + (size_t)(m + 1) * job->points_apart, .u = job->u + (size_t)(m + 1) * apart}};
            for (int i = 0; i < count; ++i) {
                const float *next = fetch(job);
                factors[i].next = next ? next : factors[i].u;
            }
            kernels->winograd_multiply(
                tiles, count, factors, job->blocks, (size_t)(wide * kernels->lanes), accumulate,
                job->out + (size_t)tile * tile_stride + (size_t)(point * kernels->winograd_columns),
                tile_stride, 0);
        }
    }
}

static void multiply_channels(strided_job *job, const float *taps, bool accumulate, float *u) {
    const dn_winograd *winograd = job->winograd;
    const dn_kernels *kernels = winograd->kernels;
    const int m = winograd->m;
    job->u = u;
    job->done = job->fetched = 0;
    for (int row = 0; row < m + 2; ++row) {
        kernels->winograd_row_strided(m, row, job->blocks * kernels->lanes, taps, u, point_apart(winograd));
        if (row <= m) multiply_row(job, row, row, accumulate);
        for (int sum = 0; row == m + 1 && sum < m; ++sum) multiply_row(job, sum, row + sum, true);
    }
}

void dn_winograd_multiply_taps_strided(const dn_winograd *winograd, dn_tile_block block, const float *v,
                                       size_t points_apart, int begin, int end, float *u, float *products) {
    const dn_kernels *kernels = winograd->kernels;
    const int lanes = kernels->lanes, most = channels_of(winograd) / lanes;
    const size_t channel_floats = 9 * (size_t)kernels->winograd_columns;
    strided_job job = {.winograd = winograd, .block = block, .points_apart = points_apart};
    job.kinds = dn_winograd_kinds(winograd, block);
    job.products = winograd->points * ((block.count + block.panel_tiles - 1) / block.panel_tiles);
    for (int c = 0; c < winograd->blocks; c += most) {
        job.blocks = dn_min_int(most, winograd->blocks - c);
        job.v = v + (size_t)(c * block.panel_tiles * lanes);
        const size_t floats = (size_t)(job.blocks * lanes) * channel_floats;
        const float *taps =
            winograd->u + (size_t)begin * 9 * winograd->panel_floats + (size_t)(c * lanes) * channel_floats;
        const float *deeper = taps + floats;
        for (int panel = begin; panel < end; ++panel, taps += 9 * winograd->panel_floats) {
            const bool more = panel + 1 < end;
            job.next = more ? taps + 9 * winograd->panel_floats : deeper;
            job.next_floats = more || c + most < winograd->blocks ? floats : 0;
            job.out = products +
                      (size_t)(panel - begin) * (size_t)block.count * dn_winograd_product_stride(winograd);
            multiply_channels(&job, taps, c > 0, u);
        }
    }
}
