/* gemm.c - the matrix product: cuts it into blocks that fit the caches (Goto and van de Geijn, "Anatomy of
 * high-performance matrix multiplication", 2008), packs the left side into panels, the right side, too,
 * unless its rows can be read where they are, and runs rows of register tiles (template/gemm.h). Threads
 * claim blocks, or groups of their rows. Depth is always cut at the same places, so a result depends on
 * neither threads nor partition.
 *
 * A row of tiles has one panel of the left side, 8 rows x DEPTH, 8 KB, in the first-level cache, and passes
 * over the block of the right side, which comes from the second level: 192 bytes per 24 multiply-adds
 * (AVX-512), 8 a cycle of the 32 there are. Meanwhile it fetches the next panel of the left side, and a part
 * of the right side's next block, which is read in place or packed then, a line of each at a time: so what
 * comes from memory comes evenly, and two blocks, of 288 KB each, and what is written share the second level.
 * The first block in place fetches for itself, what the next tile needs, and so does any other that the one
 * before it had too few tiles, or another depth, to fetch. 113 of 118 GFLOP/s on a Zen 4 core where the right
 * side is in the second level, 110 where its rows begin anywhere in a line. */
#include "cpu.h"

enum {
    DEPTH = 256,     /* of a block: shallower ones write results more often */
    COLUMNS = 480,   /* of a block of the right side: 480 KB, half of the second-level cache */
    NEAR = 288,      /* the same, if the next block is fetched meanwhile: a quarter of it, and another */
    NARROW = 96,     /* at least, of a block that is cut for threads to claim, */
    SHORT = 32,      /* and rows of the result: several tiles pass over a block; */
    LONG = 128,      /* more, if it is read from beyond the second-level cache each time, being larger than */
    KEPT = 96 << 10, /* floats, at all depths */
    ROWS = 240,      /* of a block of the left side: 240 KB, a quarter of it */
    FEW = 64,        /* rows of the left side */
    SMALL = 1 << 14, /* floats of it */
    WIDE = 32,       /* columns of a tile */
    LINE = 16,       /* floats of a cache line */
    PAGE = 1024,     /* floats; rows so far apart share a set of the first-level cache, or 32 of the second */
    STREAMS = 4      /* rows of the right side copied at once */
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

void dn_gemm_pack_rows(const dn_kernels *kernels, const dn_operand *left, int m, int k, int first, int count,
                       float *packed) {
    const int width = kernels->gemm_rows;
    const size_t height = dn_round_up((size_t)m, (size_t)width);
    for (int at = 0; at < k; at += DEPTH) {
        const int depth = dn_min_int(DEPTH, k - at);
        float *panel = packed + (size_t)at * height + (size_t)first * (size_t)depth;
        for (int row = 0; row < count; row += width, panel += (size_t)depth * (size_t)width)
            pack_panel(kernels, left, at, depth, row, dn_min_int(width, count - row), width, panel, NULL);
    }
}

void dn_gemm_pack(const dn_kernels *kernels, const dn_operand *left, int m, int k, float *packed) {
    dn_gemm_pack_rows(kernels, left, m, k, 0, m, packed);
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
    bool in_place;       /* the right side is read where it is, up to the last whole tile, */
    bool fetches;        /* its next block is fetched meanwhile */
    /* The result is cut into a grid of cells, one per thread if that is even, each of those into blocks of
     * columns, and these into groups of rows: pieces are all groups of a block, then those of the next. */
    int row_cells, column_cells, blocks, groups;
} gemm_job;

/* Tiles beside each other in one image, or all there are. */
static void run_tiles(const dn_gemm *gemm, const dn_kernels *kernels, dn_tiles *tiles, int row, int column,
                      bool last) {
    const int image = gemm->columns ? column / gemm->columns : 0;
    const int first = gemm->columns ? column % gemm->columns : column;
    dn_epilogue epilogue;
    tiles->c = gemm->c + (size_t)image * gemm->image_stride + (size_t)row * gemm->ldc + first;
    tiles->ldc = gemm->ldc;
    tiles->epilogue = NULL;
    if (last && gemm->epilogue) {
        epilogue = *gemm->epilogue;
        if (epilogue.bias) epilogue.bias += row;
        if (epilogue.residual) epilogue.residual += tiles->c - gemm->c;
        tiles->epilogue = &epilogue;
    }
    kernels->gemm_tiles(tiles);
}

/* A tile whose columns cross from one image to the next. */
static void run_cut_tile(const dn_gemm *gemm, const dn_kernels *kernels, dn_tiles *tiles, int row,
                         int column) {
    enum { TILE = 16 * 64 };
    float tile[TILE];
    const bool accumulate = tiles->accumulate;
    tiles->c = tile;
    tiles->ldc = (size_t)kernels->gemm_columns;
    tiles->accumulate = false;
    tiles->epilogue = NULL;
    kernels->gemm_tiles(tiles);
    tiles->accumulate = accumulate;
    for (int j = 0; j < tiles->columns; ++j) {
        const int at = column + j;
        float *to = gemm->c + (size_t)(at / gemm->columns) * gemm->image_stride + (size_t)row * gemm->ldc +
                    at % gemm->columns;
        for (int i = 0; i < tiles->rows; ++i, to += gemm->ldc) {
            const float value = tile[i * kernels->gemm_columns + j];
            *to = accumulate ? *to + value : value;
        }
    }
}

/* The right side has rows of pixels, of one image. */
static bool has_rows(const dn_gemm *gemm) {
    return gemm->right.layout == DN_LAYOUT_ROWS && !gemm->columns;
}

/* Whether a block's rows share so few sets of the second-level cache that it can't hold them. */
static bool is_crowded(const dn_gemm *gemm) {
    return gemm->right.stride % (2 * PAGE) == 0 && gemm->k >= DEPTH;
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

/* Rows of pixels may be read where they are: packing them first took a tenth of the time of 64 filters, and
 * half of that of 8. More filters repay packing where rows begin anywhere in a cache line, and where there is
 * more than a block of them, whose rows far apart displace each other in caches, the more so while others use
 * them, too: 256 -> 256 at 64 x 64 takes a third longer in place, or twice as long. Narrow tiles take less
 * time per vector that they load: rows at other distances than pages don't disturb them. */
static bool is_in_place(const dn_gemm *gemm, const dn_kernels *kernels) {
    const size_t stride = gemm->right.stride;
    if (!has_rows(gemm)) return false;
    if (gemm->m <= FEW) return gemm->m <= FEW / 2 || !is_crowded(gemm);
    if (stride % LINE != 0) return false;
    if (kernels->gemm_columns < WIDE) return stride % PAGE != 0;
    return gemm->n <= COLUMNS || (int64_t)gemm->m * gemm->k < SMALL;
}

/* Rows or columns. */
typedef struct side_range {
    int first, count;
} side_range;

static side_range cut(side_range whole, int grain, int i, int parts) {
    size_t from, to;
    if (parts == 1) return whole;
    dn_pool_slice((size_t)whole.count, (size_t)grain, i, parts, &from, &to);
    return (side_range){whole.first + (int)from, (int)(to - from)};
}

static side_range rows_of(const gemm_job *job, int piece) {
    const int height = job->kernels->gemm_rows, cell = piece / (job->blocks * job->groups);
    const side_range rows = cut((side_range){0, job->gemm->m}, height, cell % job->row_cells, job->row_cells);
    return cut(rows, height, piece % job->groups, job->groups);
}

static side_range columns_of(const gemm_job *job, int piece) {
    const dn_kernels *kernels = job->kernels;
    const int block = piece / job->groups;
    const side_range columns = cut((side_range){0, job->gemm->n}, kernels->lanes,
                                   block / job->blocks / job->row_cells, job->column_cells);
    return cut(columns, kernels->gemm_columns, block % job->blocks, job->blocks);
}

/* The columns of the piece after this one, where they are others, in the same cell, and fetched before. */
static side_range columns_after(const gemm_job *job, int piece) {
    const int next = piece + 1;
    const bool same = !job->fetches || next % job->groups != 0 || next % (job->blocks * job->groups) == 0;
    return same ? (side_range){0} : columns_of(job, next);
}

/* Where the right side of a block is: packed, or, `in_place`, up to the last whole tile where it was. */
typedef struct right_side {
    const float *panels, *in_place;
    int whole;         /* columns in place */
    bool fetched;      /* while the block before was multiplied */
    const float *soon; /* the next block, if it is fetched while this one is multiplied */
    int soon_lines;    /* cache lines of each of its rows */
    int soon_each;     /* of them with each row of tiles */
} right_side;

/* What follows the block, more depth or the columns `after`, is fetched evenly if there are tiles enough.
 * Returns whether it is. */
static bool look_ahead(const gemm_job *job, int k, int depth, side_range block, side_range after, int rows,
                       right_side *b) {
    const dn_gemm *gemm = job->gemm;
    const dn_kernels *kernels = job->kernels;
    const bool deeper = k + depth < gemm->k;
    const int first = deeper ? k + depth : 0;
    const int columns = b->whole ? b->whole : block.count; /* beside whose tiles it is fetched */
    if (!deeper) block = after;
    if (!block.count || dn_min_int(DEPTH, gemm->k - first) != depth) return false;
    const int part = gemm->right.stride % LINE ? 1 : 0; /* begins and ends within lines */
    b->soon_lines = panels_of(block.count, LINE) + part;
    b->soon_each = panels_of(b->soon_lines, panels_of(rows, kernels->gemm_rows));
    if (b->soon_each > columns / kernels->gemm_columns) return false;
    b->soon = gemm->right.p + (size_t)first * gemm->right.stride + block.first;
    return true;
}

/* All columns of the block that begins at `column`: one row of tiles. */
static void run_row(const dn_gemm *gemm, const dn_kernels *kernels, dn_tiles tiles, const right_side *b,
                    int row, int column, int columns, bool first_row, bool last) {
    const int width = kernels->gemm_columns;
    if (b->whole) {
        tiles.b = b->in_place;
        tiles.apart = (ptrdiff_t)gemm->right.stride;
        tiles.panel = width;
        tiles.ahead = first_row && !b->fetched ? width : 0;
        tiles.columns = b->whole;
        run_tiles(gemm, kernels, &tiles, row, column, last);
    }
    int first = b->whole;
    columns -= first;
    tiles.b = b->panels;
    tiles.apart = width;
    tiles.panel = (ptrdiff_t)tiles.depth * width;
    tiles.ahead = 0;
    if (b->whole) tiles.soon_lines = 0;
    const int step = gemm->columns ? width : columns; /* tiles that may cross images one by one */
    for (; columns > 0; columns -= step, first += step, tiles.b += tiles.panel) {
        tiles.columns = dn_min_int(step, columns);
        if (!gemm->columns || (column + first) % gemm->columns + tiles.columns <= gemm->columns)
            run_tiles(gemm, kernels, &tiles, row, column + first, last);
        else
            run_cut_tile(gemm, kernels, &tiles, row, column + first);
    }
}

/* Where the packed left side has these rows at this depth. */
static const float *packed_panel(const gemm_job *job, int k, int row) {
    const size_t padded = dn_round_up((size_t)job->gemm->m, (size_t)job->kernels->gemm_rows);
    return job->gemm->left.p + (size_t)k * padded + (size_t)row * (size_t)dn_min_int(DEPTH, job->gemm->k - k);
}

/* One block of columns and depth; then: the packed panel that is multiplied after it, or NULL. */
static void run_block(const gemm_job *job, int k, int depth, int column, int columns, side_range block_rows,
                      float *a, const float *then, const right_side *b, float *patches) {
    const dn_gemm *gemm = job->gemm;
    const dn_kernels *kernels = job->kernels;
    const int height = kernels->gemm_rows;
    const bool packed = gemm->left.layout == DN_LAYOUT_PACKED;
    const int row_begin = block_rows.first, row_end = row_begin + block_rows.count;
    const int step = packed ? block_rows.count : ROWS / height * height;
    for (int row = row_begin; row < row_end; row += step) {
        const int rows = dn_min_int(step, row_end - row);
        const float *panels = packed ? packed_panel(job, k, row) : a;
        for (int i = 0; i < rows && !packed; i += height)
            pack_panel(kernels, &gemm->left, k, depth, row + i, dn_min_int(height, rows - i), height,
                       a + (size_t)i * (size_t)depth, patches);
        for (int i = 0; i < rows; i += height) {
            const float *panel = panels + (size_t)i * (size_t)depth;
            dn_tiles tiles = {.depth = depth,
                              .rows = dn_min_int(height, rows - i),
                              .a = panel,
                              .accumulate = gemm->accumulate || k > 0,
                              .next = i + height < rows ? panel + height * depth : then};
            if (b->soon) {
                const int done = dn_min_int(i / height * b->soon_each, b->soon_lines);
                tiles.soon = b->soon + done * LINE;
                tiles.soon_apart = gemm->right.stride;
                tiles.soon_lines = dn_min_int(b->soon_each, b->soon_lines - done);
            }
            run_row(gemm, kernels, tiles, b, row + i, column, columns, row + i == row_begin,
                    k + depth == gemm->k);
        }
    }
}

/* What a thread has for all its pieces. */
typedef struct gemm_memory {
    float *a, *b, *patches;
    int packed; /* the block whose columns that are not in place b holds at all depths, or -1 */
} gemm_memory;

static void lay_out(const gemm_job *job, int part, gemm_memory *memory) {
    const dn_gemm *gemm = job->gemm;
    const dn_kernels *kernels = job->kernels;
    const size_t width = (size_t)kernels->gemm_columns, depth_most = (size_t)dn_min_int(gemm->k, DEPTH);
    memory->packed = -1;
    memory->b = job->scratch + (size_t)part * job->scratch_size;
    memory->a = memory->b + depth_most * (dn_min_size((size_t)gemm->n, COLUMNS) + width);
    memory->patches =
        memory->a + depth_most * (dn_min_size((size_t)gemm->m, ROWS) + (size_t)kernels->gemm_rows);
}

/* The panel of the packed left side that comes after a piece's block at k, if it is another and as deep. */
static const float *panel_after(const gemm_job *job, int piece, int k, int depth, int row) {
    const bool deeper = k + DEPTH < job->gemm->k, other = (piece + 1) % job->groups != 0;
    const int next = deeper ? k + DEPTH : 0;
    if (job->gemm->left.layout != DN_LAYOUT_PACKED || dn_min_int(DEPTH, job->gemm->k - next) != depth)
        return NULL;
    if (deeper) return packed_panel(job, next, row);
    return other ? packed_panel(job, next, rows_of(job, piece + 1).first) : NULL;
}

/* fetched: the first block of its right side. Returns whether that of the next piece is. */
static bool run_piece(const gemm_job *job, int piece, bool fetched, gemm_memory *memory) {
    const dn_gemm *gemm = job->gemm;
    const dn_kernels *kernels = job->kernels;
    const side_range rows = rows_of(job, piece), block = columns_of(job, piece);
    const side_range after = columns_after(job, piece);
    const int column = block.first, columns = block.count, width = kernels->gemm_columns;
    const bool vectors = columns % kernels->lanes == 0 || gemm->right.open;
    const int whole = !job->in_place ? 0 : vectors ? columns : columns / width * width;
    const bool keeps = job->groups > 1, packed = keeps && memory->packed == piece / job->groups;
    if (!rows.count || !columns) return false;
    for (int k = 0; k < gemm->k; k += DEPTH) {
        const int depth = dn_min_int(DEPTH, gemm->k - k);
        float *b = memory->b + (keeps ? (size_t)k * (size_t)width : 0);
        right_side right = {.panels = b, .whole = whole, .fetched = fetched};
        if (job->in_place) right.in_place = gemm->right.p + (size_t)k * gemm->right.stride + column;
        fetched = job->fetches && look_ahead(job, k, depth, block, after, rows.count, &right);
        if (!packed) pack_right(gemm, kernels, k, depth, column + whole, columns - whole, b, memory->patches);
        run_block(job, k, depth, column, columns, rows, memory->a,
                  panel_after(job, piece, k, depth, rows.first), &right, memory->patches);
    }
    memory->packed = piece / job->groups;
    return fetched;
}

static void run_pieces(void *context, int part, dn_ranges *pieces) {
    const gemm_job *job = context;
    gemm_memory memory;
    int piece, fetched = -1;
    if (!dn_range_claim(pieces, part, &piece)) return;
    lay_out(job, part, &memory);
    do fetched = run_piece(job, piece, piece == fetched, &memory) ? piece + 1 : -1;
    while (dn_range_claim(pieces, part, &piece));
}

/* What else takes the time of a multiply-add for each row of a cell, or each column: a row of the left side
 * from memory, 11 GB/s and thread beside 75 billion multiply-adds; a column of the right side, half of which
 * another thread has written, at 18 GB/s, and which is not waited for alone. */
enum { READ_ROW = 20, READ_COLUMN = 12 };

/* The grid whose largest cell takes least time to multiply and to read: on a map of 8 x 8 threads share out
 * the filters, not the pixels, and few filters' pixels. Cutting rows packs the right side again in each cell,
 * if it is packed. */
static int choose_row_cells(const dn_kernels *kernels, const dn_gemm *gemm, bool in_place, int threads) {
    const int rows = panels_of(gemm->m, kernels->gemm_rows), columns = panels_of(gemm->n, kernels->lanes);
    const int packing = in_place ? 0 : kernels->gemm_rows;
    int best = 1;
    int64_t best_cost = 0;
    for (int cells = 1; cells <= threads; ++cells) {
        const int64_t height = (int64_t)panels_of(rows, cells) * kernels->gemm_rows;
        const int64_t width = (int64_t)panels_of(columns, threads / cells) * kernels->lanes;
        const int64_t cost = (height + packing) * width + READ_COLUMN * width + READ_ROW * height;
        if (cells == 1 || cost < best_cost) {
            best = cells;
            best_cost = cost;
        }
    }
    return best;
}

/* Every group needs the right side of a block, of which less than a tile is packed, once for all groups: that
 * must fit where else a block of one depth is. */
static bool can_group(const dn_kernels *kernels, const dn_gemm *gemm, bool in_place) {
    const int width = kernels->gemm_columns;
    return in_place && gemm->k <= dn_min_int(gemm->k, DEPTH) * (dn_min_int(gemm->n, COLUMNS) / width + 1);
}

/* Blocks that suit the caches; with other threads, more, and groups of rows, if pieces are long enough. */
static gemm_job cut_job(const dn_kernels *kernels, const dn_gemm *gemm, float *scratch, int threads) {
    gemm_job job = {.gemm = gemm, .kernels = kernels, .scratch = scratch};
    job.scratch_size = thread_scratch(kernels, gemm->m, gemm->n, gemm->k);
    job.in_place = is_in_place(gemm, kernels);
    job.fetches = has_rows(gemm) && (job.in_place || !is_crowded(gemm)) &&
                  gemm->left.layout == DN_LAYOUT_PACKED && gemm->k >= DN_SHALLOW;
    job.row_cells = choose_row_cells(kernels, gemm, job.in_place, threads);
    job.column_cells = threads / job.row_cells;
    const int rows = panels_of(gemm->m, job.row_cells), columns = panels_of(gemm->n, job.column_cells);
    job.blocks = panels_of(columns, job.fetches ? NEAR : COLUMNS);
    job.groups = 1;
    const int wanted = dn_cpu_pieces((size_t)gemm->m * (size_t)gemm->n * (size_t)gemm->k / 2, threads);
    if (gemm->left.layout == DN_LAYOUT_PACKED) /* else every block packs it again */
        job.blocks = dn_max_int(job.blocks, dn_min_int(wanted, columns / NARROW));
    if (can_group(kernels, gemm, job.in_place)) {
        const size_t right = (size_t)panels_of(columns, job.blocks) * (size_t)gemm->k;
        job.groups = dn_min_int(panels_of(wanted, job.blocks), rows / (right <= KEPT ? SHORT : LONG));
        job.groups = dn_max_int(1, job.groups);
    }
    return job;
}

void dn_gemm_run_alone(const dn_kernels *kernels, const dn_gemm *gemm, float *scratch) {
    gemm_job job = cut_job(kernels, gemm, scratch, 1);
    dn_share_alone(job.blocks, run_pieces, &job);
}

void dn_gemm_run(dn_device *device, const dn_gemm *gemm, float *scratch) {
    const dn_kernels *kernels = device->kernels;
    if (dn_cpu_is_small((size_t)gemm->m * (size_t)gemm->n * (size_t)gemm->k / 2)) {
        dn_gemm_run_alone(kernels, gemm, scratch);
        return;
    }
    gemm_job job = cut_job(kernels, gemm, scratch, dn_pool_threads(device->pool));
    const int pieces = job.row_cells * job.column_cells * job.blocks * job.groups;
    dn_pool_share(device->pool, pieces, run_pieces, &job);
}
