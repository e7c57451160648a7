/* conv_winograd_half.c - the products of Winograd convolutions whose weights are kept transformed along one
 * axis only, h[panel][row of points][channel][3][winograd_columns]: 3 n floats per filter and channel where
 * conv_winograd_weights.c keeps n n, that is 21 and 49 for tiles of 5 x 5 outputs, 24 and 64 for 6 x 6. On
 * maps of a few tiles, where all weights come from memory, that pays for larger tiles (13 x 13, 512 -> 1024
 * channels: 361 multiply-adds and 21 floats instead of 529 and 25; 26 x 26: 1296 and 24 instead of 1444 and
 * 49); on larger maps it takes less memory for about the same time. The kernel is template/winograd_half.h.
 * Some panels of filters are multiplied at a row of points before the next row, so that the input's row stays
 * in the second-level cache. */
#include "cpu.h"

enum {
    /* Channels multiplied at a time: their sums of taps of a row, 48 KB, stay in the second-level cache and
     * next to the first (twice as many: 16 x 16 takes 12 % more on Emerald Rapids, 26 x 26 5 %), */
    CHANNELS = 128,
    /* or, 24 KB, in the first, where few tiles meet each. On 8 x 8 that takes a fifth less time; more tiles
     * replace the sums (19 x 19: 6 % more). */
    CHANNELS_NEAR = 64,
    FEW_TILES = 14,
    FETCH = 16 /* floats that winograd_multiply_half fetches per channel and point */
};

/* The points of one row that some channels of a panel are multiplied at. */
typedef struct row_job {
    const dn_winograd *winograd;
    dn_tile_block block;
    dn_tile_kinds kinds;
    const float *v;  /* of the first of these channels, at point 0 */
    float *products; /* of the panel */
    size_t points_apart;
    int row;              /* of points */
    const float *next;    /* what follows these of h */
    size_t size, fetched; /* floats of them */
    dn_winograd_half half;
} row_job;

static void multiply_tiles(row_job *job, dn_winograd_kind kind, int column, int first, int end) {
    const dn_winograd *winograd = job->winograd;
    const int points = kind >= DN_WINOGRAD_PAIR_P ? 2 : 1, wide = job->block.panel_tiles;
    const size_t point = (size_t)(job->row * winograd->n + column);
    dn_winograd_half half = job->half;
    half.scale = winograd->scale + column;
    for (int tile = first; tile < end; tile += half.tiles) {
        const int inside = tile % wide;
        half.tiles = dn_min_int(wide - inside, end - tile);
        half.v = job->v + ((size_t)(tile / wide * winograd->points) + point) * job->points_apart +
                 (size_t)(inside * winograd->kernels->lanes);
        half.out = job->products + (size_t)tile * half.out_stride +
                   point * (size_t)winograd->kernels->winograd_columns;
        half.next = job->fetched < job->size ? job->next + job->fetched : half.h;
        winograd->kernels->winograd_multiply_half(kind, &half);
        job->fetched += (size_t)(points * FETCH * half.blocks * winograd->kernels->lanes);
    }
}

/* One point, or two of which small tiles may lack the second. */
static void multiply_points(row_job *job, dn_winograd_kind kind, dn_winograd_kind single, int column) {
    const dn_winograd *winograd = job->winograd;
    const int point = job->row * winograd->n + column, count = job->block.count;
    int first, end, second, second_end;
    dn_winograd_tiles_with(winograd, &job->kinds, count, point, &first, &end);
    second_end = end;
    if (kind != single) dn_winograd_tiles_with(winograd, &job->kinds, count, point + 1, &second, &second_end);
    multiply_tiles(job, kind, column, first, second_end);
    multiply_tiles(job, single, column, dn_max_int(first, second_end), end);
}

static void multiply_row(row_job *job) {
    const int m = job->winograd->m;
    multiply_points(job, DN_WINOGRAD_PAIR_P, DN_WINOGRAD_PAIR_P, 1);
    if (m == 3) multiply_points(job, DN_WINOGRAD_PLUS_Q, DN_WINOGRAD_PLUS_Q, 3);
    if (m >= 4) multiply_points(job, DN_WINOGRAD_PAIR_Q, DN_WINOGRAD_PLUS_Q, 3);
    if (m == 5) multiply_points(job, DN_WINOGRAD_PLUS_R, DN_WINOGRAD_PLUS_R, 5);
    if (m == 6) multiply_points(job, DN_WINOGRAD_PAIR_R, DN_WINOGRAD_PLUS_R, 5);
    multiply_points(job, DN_WINOGRAD_ZERO, DN_WINOGRAD_ZERO, 0);
    multiply_points(job, DN_WINOGRAD_INFINITY, DN_WINOGRAD_INFINITY, m + 1);
}

void dn_winograd_multiply_half(const dn_winograd *winograd, dn_tile_block block, const float *v,
                               size_t points_apart, int begin, int end, float *products) {
    const int lanes = winograd->kernels->lanes, tiles = winograd->tiles_x * winograd->tiles_y;
    const bool near = tiles <= FEW_TILES; /* not by the block, which threads may share out */
    const int most = (near ? CHANNELS_NEAR : CHANNELS) / lanes;
    const size_t columns = (size_t)winograd->kernels->winograd_columns;
    const size_t row_floats = 3 * winograd->panel_floats, panel_floats = (size_t)winograd->n * row_floats;
    row_job job = {.winograd = winograd,
                   .block = block,
                   .kinds = dn_winograd_kinds(winograd, block),
                   .points_apart = points_apart};
    job.half.block_stride = (size_t)(block.panel_tiles * lanes);
    job.half.v_apart = points_apart;
    job.half.out_stride = dn_winograd_product_stride(winograd);
    for (job.row = 0; job.row < winograd->n; ++job.row)
        for (int panel = begin; panel < end; ++panel) {
            const float *h = winograd->u + (size_t)panel * panel_floats + (size_t)job.row * row_floats;
            job.products = products + (size_t)(panel - begin) * (size_t)block.count * job.half.out_stride;
            for (int c = 0; c < winograd->blocks; c += most) {
                job.half.blocks = dn_min_int(most, winograd->blocks - c);
                job.half.h = h;
                job.half.accumulate = c > 0;
                job.v = v + (size_t)c * job.half.block_stride;
                job.size = (size_t)(job.half.blocks * lanes) * 3 * columns;
                job.fetched = 0;
                h += job.size;
                job.next = c + most < winograd->blocks ? h
                           : panel + 1 < end           ? h + panel_floats - row_floats
                                                       : h - (size_t)(end - 1 - begin) * panel_floats;
                multiply_row(&job);
            }
        }
}
