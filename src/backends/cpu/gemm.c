/* gemm.c - the matrix product: cuts it into blocks that fit the caches (Goto and van de Geijn, "Anatomy of
 * high-performance matrix multiplication", 2008), packs both sides into panels and runs the register tile.
 * Depth is always cut at the same places, so a result depends on neither threads nor partition. */
#include "cpu.h"

enum {
    DEPTH =
        256,       /* of a block. A panel of the right side is then 48 KB (AVX-512) or 16 KB (AVX2): it comes
                    * from the second-level cache as fast as it is used, 192 bytes per 24 multiply-adds, and
                    * shallower panels, which fit the first level, were no faster but write results more often */
    COLUMNS = 480, /* of a block of the right side: 480 KB, half of the second-level cache */
    ROWS = 240,    /* of a block of the left side: 240 KB, a quarter of it */
    STREAMS = 4    /* rows of the right side copied at once */
};

_Static_assert((int)DEPTH <= (int)DN_PATCH_COLUMNS, "pack_patches must take a block's depth as columns");

static int panels_of(int count, int width) {
    return (count + width - 1) / width;
}

/* ---- packing ---- */

static void pack_segments(const dn_kernels *kernels, const dn_operand *operand, int k, int depth, int j,
                          int count, int width, float *panel) {
    while (depth > 0) {
        int segment = operand->segment ? k / operand->segment : 0;
        int start = operand->segment ? k % operand->segment : k;
        int length = operand->segment ? dn_min_int(depth, operand->segment - start) : depth;
        const float *from =
            operand->p + (size_t)segment * operand->segment_stride + (size_t)j * operand->stride + start;
        kernels->pack_columns(from, operand->stride, length, count, width, panel);
        panel += (size_t)length * (size_t)width;
        k += length;
        depth -= length;
    }
}

static void pack_flipped(const dn_operand *operand, int k, int depth, int j, int count, int width,
                         float *panel) {
    const int taps = operand->taps;
    for (int i = 0; i < depth; ++i, panel += width) {
        const int filter = (k + i) / taps, tap = taps - 1 - (k + i) % taps;
        const float *from = operand->p + (size_t)filter * operand->stride + (size_t)j * (size_t)taps + tap;
        for (int r = 0; r < count; ++r) panel[r] = from[(size_t)r * (size_t)taps];
        for (int r = count; r < width; ++r) panel[r] = 0;
    }
}

/* panel[depth][width] from rows k .. and columns j .. of the operand; patches: width * DEPTH floats of
 * scratch. */
static void pack_panel(const dn_kernels *kernels, const dn_operand *operand, int k, int depth, int j,
                       int count, int width, float *panel, float *patches) {
    switch (operand->layout) {
    case DN_LAYOUT_ROWS:
        kernels->pack_rows(operand->p + (size_t)k * operand->stride + j, operand->stride, depth, count, width,
                           panel);
        break;
    case DN_LAYOUT_COLUMNS:
        pack_segments(kernels, operand, k, depth, j, count, width, panel);
        break;
    case DN_LAYOUT_PATCHES:
        kernels->pack_patches(&operand->patches, (size_t)j, count, k, depth, width, panel);
        break;
    case DN_LAYOUT_PATCHES_COLUMNS:
        kernels->pack_patches(&operand->patches, (size_t)k, depth, j, count, DEPTH, patches);
        kernels->pack_columns(patches, DEPTH, depth, count, width, panel);
        break;
    case DN_LAYOUT_FLIPPED:
        pack_flipped(operand, k, depth, j, count, width, panel);
        break;
    case DN_LAYOUT_PACKED:
        break;
    }
}

size_t dn_gemm_packed_size(const dn_kernels *kernels, int m, int k) {
    return dn_round_up((size_t)m, (size_t)kernels->gemm_rows) * (size_t)k;
}

void dn_gemm_pack(const dn_kernels *kernels, const dn_operand *left, int m, int k, float *packed) {
    const int width = kernels->gemm_rows;
    for (int at = 0; at < k; at += DEPTH) {
        const int depth = dn_min_int(DEPTH, k - at);
        for (int row = 0; row < m; row += width) {
            pack_panel(kernels, left, at, depth, row, dn_min_int(width, m - row), width, packed, NULL);
            packed += (size_t)depth * (size_t)width;
        }
    }
}

/* ---- blocks ---- */

static size_t thread_scratch(const dn_kernels *kernels, int m, int n, int k) {
    const size_t depth = (size_t)dn_min_int(k, DEPTH);
    const size_t columns = dn_min_size((size_t)n, COLUMNS) + (size_t)kernels->gemm_columns;
    const size_t rows = dn_min_size((size_t)m, ROWS) + (size_t)kernels->gemm_rows;
    return dn_round_up(depth * (columns + rows) + (size_t)DEPTH * (size_t)kernels->gemm_columns + 64, 16);
}

size_t dn_gemm_scratch(const dn_kernels *kernels, int m, int n, int k, int threads) {
    return (size_t)threads * thread_scratch(kernels, m, n, k);
}

typedef struct gemm_job {
    const dn_gemm *gemm;
    const dn_kernels *kernels;
    float *scratch;
    size_t scratch_size; /* per thread */
    int row_parts;       /* the grid of parts: row_parts x (parts / row_parts) */
} gemm_job;

/* Where part of c's columns lie beside each other, the tile is written there; where they cross from one image
 * to the next, it is cut. */
static void run_tile(const dn_gemm *gemm, const dn_kernels *kernels, int depth, const float *a,
                     const float *b, int row, int rows, int column, int columns, bool accumulate, bool last) {
    const int image = gemm->columns ? column / gemm->columns : 0;
    const int first = gemm->columns ? column % gemm->columns : column;
    float *c = gemm->c + (size_t)image * gemm->image_stride + (size_t)row * gemm->ldc + first;
    if (!gemm->columns || first + columns <= gemm->columns) {
        dn_epilogue epilogue;
        if (last && gemm->epilogue) {
            epilogue = *gemm->epilogue;
            if (epilogue.bias) epilogue.bias += row;
            if (epilogue.residual) epilogue.residual += c - gemm->c;
        }
        kernels->gemm_tile(depth, a, b, c, gemm->ldc, rows, columns, accumulate,
                           last && gemm->epilogue ? &epilogue : NULL);
        return;
    }
    enum { TILE = 16 * 64 };
    float tile[TILE];
    kernels->gemm_tile(depth, a, b, tile, (size_t)kernels->gemm_columns, rows, columns, false, NULL);
    for (int j = 0; j < columns; ++j) {
        const int at = column + j;
        float *to = gemm->c + (size_t)(at / gemm->columns) * gemm->image_stride + (size_t)row * gemm->ldc +
                    at % gemm->columns;
        for (int i = 0; i < rows; ++i, to += gemm->ldc) {
            const float value = tile[i * kernels->gemm_columns + j];
            *to = accumulate ? *to + value : value;
        }
    }
}

/* Rows are copied a few at a time along all panels: as many streams as the processor foresees. */
static void pack_right(const dn_gemm *gemm, const dn_kernels *kernels, int k, int depth, int column,
                       int columns, float *b, float *patches) {
    const int width = kernels->gemm_columns;
    const int step = gemm->right.layout == DN_LAYOUT_ROWS ? STREAMS : depth;
    for (int i = 0; i < depth; i += step)
        for (int j = 0; j < columns; j += width)
            pack_panel(kernels, &gemm->right, k + i, dn_min_int(step, depth - i), column + j,
                       dn_min_int(width, columns - j), width,
                       b + (size_t)j * (size_t)depth + (size_t)i * (size_t)width, patches);
}

/* One block of columns and depth: the right side is packed in b; the left side is packed in blocks of rows.
 */
static void run_block(const gemm_job *job, int k, int depth, int column, int columns, int row_begin,
                      int row_end, float *a, const float *b, float *patches) {
    const dn_gemm *gemm = job->gemm;
    const dn_kernels *kernels = job->kernels;
    const int height = kernels->gemm_rows, width = kernels->gemm_columns;
    const int step = ROWS / height * height;
    const size_t padded = dn_round_up((size_t)gemm->m, (size_t)height);
    const bool last = k + depth == gemm->k;
    for (int row = row_begin; row < row_end; row += step) {
        const int rows = dn_min_int(step, row_end - row);
        const float *panels = a;
        if (gemm->left.layout == DN_LAYOUT_PACKED)
            panels = gemm->left.p + (size_t)k * padded + (size_t)row * (size_t)depth;
        else
            for (int i = 0; i < rows; i += height)
                pack_panel(kernels, &gemm->left, k, depth, row + i, dn_min_int(height, rows - i), height,
                           a + (size_t)i * (size_t)depth, patches);
        for (int j = 0; j < columns; j += width)
            for (int i = 0; i < rows; i += height) {
                const int high = dn_min_int(height, rows - i), wide = dn_min_int(width, columns - j);
                run_tile(gemm, kernels, depth, panels + (size_t)i * (size_t)depth,
                         b + (size_t)j * (size_t)depth, row + i, high, column + j, wide,
                         gemm->accumulate || k > 0, last);
            }
    }
}

static void run_part(void *context, int part, int parts) {
    const gemm_job *job = context;
    const dn_gemm *gemm = job->gemm;
    const dn_kernels *kernels = job->kernels;
    const int column_parts = parts / job->row_parts, width = kernels->gemm_columns;
    if (part >= job->row_parts * column_parts) return;
    size_t row_begin, row_end, column_begin, column_end;
    dn_pool_slice((size_t)gemm->m, (size_t)kernels->gemm_rows, part % job->row_parts, job->row_parts,
                  &row_begin, &row_end);
    dn_pool_slice((size_t)gemm->n, (size_t)width, part / job->row_parts, column_parts, &column_begin,
                  &column_end);
    if (row_begin == row_end) return;

    const size_t depth_most = (size_t)dn_min_int(gemm->k, DEPTH);
    float *b = job->scratch + (size_t)part * job->scratch_size;
    float *a = b + depth_most * (dn_min_size((size_t)gemm->n, COLUMNS) + (size_t)width);
    float *patches = a + depth_most * (dn_min_size((size_t)gemm->m, ROWS) + (size_t)kernels->gemm_rows);
    const int step = dn_max_int(1, COLUMNS / width) * width;
    for (int column = (int)column_begin; column < (int)column_end; column += step) {
        const int columns = dn_min_int(step, (int)column_end - column);
        for (int k = 0; k < gemm->k; k += DEPTH) {
            const int depth = dn_min_int(DEPTH, gemm->k - k);
            pack_right(gemm, kernels, k, depth, column, columns, b, patches);
            run_block(job, k, depth, column, columns, (int)row_begin, (int)row_end, a, b, patches);
        }
    }
}

/* The grid whose largest part is smallest; cutting rows packs the right side again in each part, so less of
 * it wins. */
static int choose_row_parts(const dn_kernels *kernels, int m, int n, int threads) {
    const int rows = panels_of(m, kernels->gemm_rows), columns = panels_of(n, kernels->gemm_columns);
    int best = 1;
    double best_cost = 0;
    for (int parts = 1; parts <= threads; ++parts) {
        const double row_load = panels_of(rows, parts), column_load = panels_of(columns, threads / parts);
        const double cost = (row_load + 1) * column_load; /* 1: packing */
        if (parts == 1 || cost < best_cost) {
            best = parts;
            best_cost = cost;
        }
    }
    return best;
}

void dn_gemm_run(dn_device *device, const dn_gemm *gemm, float *scratch) {
    const dn_kernels *kernels = device->kernels;
    gemm_job job = {.gemm = gemm,
                    .kernels = kernels,
                    .scratch = scratch,
                    .scratch_size = thread_scratch(kernels, gemm->m, gemm->n, gemm->k),
                    .row_parts = choose_row_parts(kernels, gemm->m, gemm->n, dn_pool_threads(device->pool))};
    dn_pool_run(device->pool, run_part, &job);
}

void dn_gemm_run_alone(const dn_kernels *kernels, const dn_gemm *gemm, float *scratch) {
    gemm_job job = {.gemm = gemm, .kernels = kernels, .scratch = scratch, .row_parts = 1};
    run_part(&job, 0, 1);
}
