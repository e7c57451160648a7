/* conv_winograd_taps.c - the products of Winograd convolutions whose weights are kept as sums of taps and
 * transformed on the way: w[vector of filters][channel][3][3][lanes], 9 floats per filter and channel as a
 * direct convolution keeps, where conv_winograd_weights.c keeps 36 for tiles of 4 x 4 outputs and 64 for 6
 * x 6. On maps of a few tiles, where all weights come from memory, that is quickest; on the widest it takes
 * up to half as long again, and a fraction of the memory. Those at stride 2 are in
 * conv_winograd_taps_strided.c. The kernels are template/winograd_taps.h: one makes a row of points of some
 * channels in the first-level cache, the other the points along it as they meet tiles. Meanwhile the next
 * filters' taps of these channels are fetched. Channels come first, then filters: those of the input at all
 * points, 200 KB for 16 tiles of 5 x 5, stay in the second-level cache, as all channels would not (1024 of
 * them at 19 x 19, 3 MB: 5 % less time than filters first). */
#include "cpu.h"

enum {
    /* Channels at a time: a row of them is 12 KB, and stays in the first-level cache beside the sums; 37 KB
     * of taps stay in the second-level one. Half as many finish sums twice as often, twice as many are
     * replaced before they are read (8 x 8: 25 % more time on Emerald Rapids, 13 x 13 13 %). */
    CHANNELS = 64,
    MOST_PAIRS = 4,  /* of points along an axis */
    MOST_POINTS = 8, /* along an axis */
    MOST_PANELS = 4  /* of tiles that meet a row of points before it is replaced */
};

/* Points along an axis that are made together: 0 and infinity, or x and -x, or x alone. */
typedef struct point_pair {
    dn_winograd_pair pair;
    int first, second; /* second: 0 if there is none */
} point_pair;

typedef struct taps_job {
    const dn_winograd *winograd;
    dn_tile_block block;
    size_t points_apart; /* of v */
    point_pair pairs[MOST_PAIRS];
    int pair_count;
    dn_winograd_call calls[MOST_POINTS][2 * MOST_PAIRS * MOST_PANELS];
    int call_count[MOST_POINTS]; /* of a row of points */
    dn_winograd_taps taps;
} taps_job;

/* The points of F(m, 3). */
static int pairs_of(int m, point_pair pairs[MOST_PAIRS]) {
    static const dn_winograd_pair around[] = {DN_WINOGRAD_PAIR_P, DN_WINOGRAD_PAIR_Q, DN_WINOGRAD_PAIR_R};
    int count = 0;
    for (int point = 1; point <= m; point += 2, ++count)
        pairs[count] = (point_pair){around[count], point, point < m ? point + 1 : 0};
    pairs[count] = (point_pair){DN_WINOGRAD_ENDS, 0, m + 1};
    return count + 1;
}

/* Tiles first .. end, counted from the block's first, at one point of a row or both of a pair. */
static void add_calls(taps_job *job, int row, const point_pair *pair, int points, int first, int end) {
    const dn_winograd *winograd = job->winograd;
    const int wide = job->block.panel_tiles, columns = winograd->kernels->winograd_columns;
    const int second = points == 2 ? pair->second : pair->first;
    const size_t point = (size_t)(row * winograd->n + pair->first), apart = (size_t)(second - pair->first);
    for (int tile = first, tiles; tile < end; tile += tiles) {
        const int inside = tile % wide;
        tiles = dn_min_int(wide - inside, end - tile);
        job->calls[row][job->call_count[row]++] =
            (dn_winograd_call){.pair = pair->pair,
                               .points = points,
                               .tiles = tiles,
                               .v = ((size_t)(tile / wide * winograd->points) + point) * job->points_apart +
                                    (size_t)(inside * winograd->kernels->lanes),
                               .v_apart = apart * job->points_apart,
                               .out = (size_t)tile * job->taps.out_stride + point * (size_t)columns,
                               .out_apart = apart * (size_t)columns,
                               .scale = {winograd->scale[row] * winograd->scale[pair->first],
                                         winograd->scale[row] * winograd->scale[second]}};
    }
}

/* What is to be multiplied at a row of points, of the tiles begin .. end. Small tiles lack the last finite
 * point, which is the second of two or alone. */
static void find_calls(taps_job *job, const dn_tile_kinds *kinds, int row, int begin, int end) {
    const dn_winograd *winograd = job->winograd;
    const int point = row * winograd->n, count = job->block.count;
    job->call_count[row] = 0;
    for (int i = 0; i < job->pair_count; ++i) {
        const point_pair *pair = &job->pairs[i];
        int first, last, both_first = begin, both = begin;
        dn_winograd_tiles_with(winograd, kinds, count, point + pair->first, &first, &last);
        first = dn_max_int(first, begin);
        last = dn_min_int(last, end);
        if (pair->second)
            dn_winograd_tiles_with(winograd, kinds, count, point + pair->second, &both_first, &both);
        both = dn_min_int(both, last);
        add_calls(job, row, pair, 2, first, both);
        add_calls(job, row, pair, 1, dn_max_int(first, both), last);
    }
}

/* Some channels of a vector of filters at all points. */
static void multiply_channels(taps_job *job, const float *w, float *h) {
    const dn_kernels *kernels = job->winograd->kernels;
    const int channels = job->taps.blocks * kernels->lanes;
    job->taps.h = h;
    for (int i = 0; i < job->pair_count; ++i) {
        const point_pair *pair = &job->pairs[i];
        for (int j = 0; j < (pair->second ? 2 : 1); ++j) {
            const int row = j ? pair->second : pair->first;
            if (!job->call_count[row]) continue;
            kernels->winograd_row(pair->pair, j, channels, w, h);
            job->taps.next =
                kernels->winograd_multiply_taps(job->calls[row], job->call_count[row], &job->taps);
        }
    }
}

/* Floats to fetch beside each channel and point, so that all of the next taps are, and evenly. */
static size_t next_step(const dn_winograd *winograd, dn_tile_block block) {
    const int panels = (block.count + block.panel_tiles - 1) / block.panel_tiles;
    const int places = winograd->points * panels;
    return (size_t)((9 * winograd->kernels->lanes + places - 1) / places);
}

size_t dn_winograd_taps_scratch(const dn_winograd *winograd) {
    if (winograd->stride == 2) return dn_winograd_taps_strided_scratch(winograd);
    const int lanes = winograd->kernels->lanes, channels = dn_min_int(CHANNELS, winograd->blocks * lanes);
    return (size_t)((channels + 1) * 3 * lanes); /* as much as a channel's is read ahead */
}

void dn_winograd_multiply_taps(const dn_winograd *winograd, dn_tile_block block, const float *v,
                               size_t points_apart, int begin, int end, float *h, float *products) {
    if (winograd->stride == 2) {
        dn_winograd_multiply_taps_strided(winograd, block, v, points_apart, begin, end, h, products);
        return;
    }
    const int lanes = winograd->kernels->lanes, most = CHANNELS / lanes;
    const int together = MOST_PANELS * block.panel_tiles;
    const int last = dn_min_int(2 * end, (winograd->shape.out_c + lanes - 1) / lanes);
    const size_t vector_floats = 9 * winograd->panel_floats / 2;
    const dn_tile_kinds kinds = dn_winograd_kinds(winograd, block);
    taps_job job = {.winograd = winograd, .block = block, .points_apart = points_apart};
    job.pair_count = pairs_of(winograd->m, job.pairs);
    job.taps.block_stride = (size_t)(block.panel_tiles * lanes);
    job.taps.out_stride = dn_winograd_product_stride(winograd);
    job.taps.next_step = next_step(winograd, block);
    for (int first = 0; first < block.count; first += together) {
        for (int row = 0; row < winograd->n; ++row)
            find_calls(&job, &kinds, row, first, dn_min_int(first + together, block.count));
        for (int c = 0; c < winograd->blocks; c += most) {
            const float *taps =
                winograd->u + 2 * (size_t)begin * vector_floats + (size_t)(c * lanes * 9 * lanes);
            job.taps.blocks = dn_min_int(most, winograd->blocks - c);
            job.taps.accumulate = c > 0;
            job.taps.v = v + (size_t)c * job.taps.block_stride;
            const float *deeper = taps + (size_t)(job.taps.blocks * lanes * 9 * lanes);
            for (int i = 2 * begin; i < last; ++i, taps += vector_floats) {
                const size_t panel = (size_t)(i / 2 - begin);
                job.taps.out =
                    products + panel * (size_t)block.count * job.taps.out_stride + (size_t)(i % 2 * lanes);
                job.taps.next = i + 1 < last ? taps + vector_floats : deeper;
                multiply_channels(&job, taps, h);
            }
        }
    }
}
