/* Matrix products: rows of register tiles, the packing of operands into panels (from rows, columns or image
 * patches) and the weighted sum of shifted rows of a depthwise convolution.
 *
 * The tile of AVX-512 is 8 rows x 3 vectors: 24 sums, 3 vectors of the right side and a broadcast in 32
 * registers; 11 loads serve 24 multiply-adds. AVX2: 6 x 2 of 16 registers, 8 loads for 12. */

/* What happens to the sums before they leave the registers, in this order; the residual comes before or after
 * clamping. */
enum { STEP_ACCUMULATE = 1, STEP_CLAMP = 2, STEP_RESIDUAL = 4, ALL_STEPS = 7 };

/* What follows the sums of a tile. Bias and clamping are done before they leave the registers: an eighth of
 * the time of a product of depth 64 otherwise. Everything else while the tile is in the first-level cache. */
typedef struct tile_finish {
    int steps;
    clamp_kind kind; /* of clamping without residual */
    clamping clamp;
    const dn_epilogue *rest; /* NULL: nothing */
    const float *bias, *residual;
} tile_finish;

static void finish_tile(float *c, size_t ldc, int rows, int columns, const tile_finish *finish) {
    const dn_epilogue *epilogue = finish->rest;
    for (int i = 0; i < rows; ++i)
        affine_activate(epilogue->activation, epilogue->activate_sum, c + (size_t)i * ldc, 1.0f,
                        epilogue->bias ? epilogue->bias[i] : 0.0f,
                        finish->residual ? finish->residual + (size_t)i * ldc : NULL, (size_t)columns);
}

DN_INLINE vfloat load_part(const bool whole, const float *p, int count) {
    return whole ? vload(p) : vload_partial(p, count);
}

/* The sums to c; unless `whole`, the last vector has only `tail` columns. */
DN_INLINE void store_tile(const int rows, const int vectors, const bool whole, const int steps,
                          const clamp_kind kind, int tail, float *c, size_t ldc, const tile_finish *finish,
                          vfloat sum[GEMM_ROWS][GEMM_VECTORS]) {
    const float *residual = finish->residual;
    DN_UNROLL
    for (int i = 0; i < rows; ++i, c += ldc) {
        const vfloat bias = vset(steps & STEP_CLAMP ? finish->bias[i] : 0.0f);
        DN_UNROLL
        for (int j = 0; j < vectors; ++j) {
            const bool full = whole || j + 1 < vectors;
            float *to = c + j * LEVEL_LANES;
            vfloat x = sum[i][j], add = {0};
            if (steps & STEP_ACCUMULATE) x = load_part(full, to, tail) + x;
            if (steps & STEP_RESIDUAL) add = load_part(full, residual + j * LEVEL_LANES, tail);
            if (steps & STEP_RESIDUAL)
                x = clamp_and_add(&finish->clamp, x + bias, true, add);
            else if (steps & STEP_CLAMP)
                x = clamp_vector(kind, &finish->clamp, x + bias);
            if (full)
                vstore(to, x);
            else
                vstore_partial(to, x, tail);
        }
        if (steps & STEP_RESIDUAL) residual += ldc;
    }
}

/* The usual steps have code of their own for whole tiles: deciding at each vector took a tenth of the time of
 * a product of depth 16. */
DN_INLINE void store_tile_as(const int rows, const int vectors, int tail, float *c, size_t ldc,
                             const tile_finish *finish, vfloat sum[GEMM_ROWS][GEMM_VECTORS]) {
    if (tail < LEVEL_LANES) {
        store_tile(rows, vectors, false, finish->steps, CLAMP_ANY, tail, c, ldc, finish, sum);
        return;
    }
    if (vectors < GEMM_VECTORS) {
        store_tile(rows, vectors, true, finish->steps, CLAMP_ANY, tail, c, ldc, finish, sum);
        return;
    }
    switch ((int)finish->kind * (ALL_STEPS + 1) + finish->steps) {
#define STEPS_CASE(steps, kind)                                                                              \
    case (int)(kind) * (ALL_STEPS + 1) + (steps):                                                            \
        store_tile(rows, vectors, true, steps, kind, tail, c, ldc, finish, sum);                             \
        break;
        STEPS_CASE(0, CLAMP_ANY)
        STEPS_CASE(STEP_ACCUMULATE, CLAMP_ANY)
        STEPS_CASE(STEP_CLAMP, CLAMP_NONE)
        STEPS_CASE(STEP_CLAMP, CLAMP_RELU)
        STEPS_CASE(STEP_CLAMP, CLAMP_LEAKY)
        STEPS_CASE(STEP_CLAMP, CLAMP_ANY)
        STEPS_CASE(STEP_ACCUMULATE | STEP_CLAMP, CLAMP_NONE)
        STEPS_CASE(STEP_ACCUMULATE | STEP_CLAMP, CLAMP_RELU)
        STEPS_CASE(STEP_ACCUMULATE | STEP_CLAMP, CLAMP_LEAKY)
        STEPS_CASE(STEP_ACCUMULATE | STEP_CLAMP, CLAMP_ANY)
        STEPS_CASE(STEP_CLAMP | STEP_RESIDUAL, CLAMP_ANY)
        STEPS_CASE(ALL_STEPS, CLAMP_ANY)
#undef STEPS_CASE
    }
}

enum { LINE = 16, TILE_WIDTH = GEMM_VECTORS * LEVEL_LANES }; /* floats */
enum { NEXT_TILES = 2 }; /* beside which the next panel is fetched: its lines come fast enough */

/* Where a tile is, and what is fetched while it is computed. */
typedef struct tile_place {
    const float *b, *next, *soon;
    ptrdiff_t next_step, soon_apart;
    float *c, *written; /* written: the tile of results fetched to be written */
} tile_place;

DN_INLINE void next_tile(const dn_tiles *tiles, tile_place *place) {
    place->next += (ptrdiff_t)tiles->depth * place->next_step;
    place->soon += LINE;
    place->b += tiles->panel;
    place->c += TILE_WIDTH;
}

enum tile_fetch { FETCH_NOTHING, FETCH_NEXT, FETCH_AHEAD }; /* the last: next, soon and ahead */

/* Fetches a row of the results, and of the residual. */
DN_INLINE void fetch_results(const int vectors, const float *written, const float *residual) {
    DN_UNROLL
    for (int j = 0; j < vectors; ++j)
        if (j * LEVEL_LANES % LINE == 0) __builtin_prefetch(written + j * LEVEL_LANES, 1);
    for (int j = 0; residual && j < vectors * LEVEL_LANES; j += LINE) __builtin_prefetch(residual + j);
}

typedef struct tile_steps {
    const float *a[GEMM_VECTORS]; /* the same, opaque, for each vector */
    const float *b, *next, *soon, *written, *residual;
} tile_steps;

/* The multiply-adds of a depth. The right side's rows are as far apart as each other if `even`, so that no
 * offset is loaded. Prefetches take the place of loads: without them unless they have something to fetch; the
 * results, a row with each step, only if `results`. */
DN_INLINE void multiply_step(const int rows, const int vectors, const bool even, const bool shallow,
                             const bool results, const enum tile_fetch fetch, const dn_tiles *tiles,
                             const tile_place *place, int k, tile_steps *at,
                             vfloat sum[GEMM_ROWS][GEMM_VECTORS]) {
    const int operands = shallow ? 0 : values_as_operands(rows); /* which takes a while to pay */
    const float *row_from = even ? at->b : place->b + tiles->offsets[k];
    if (fetch) __builtin_prefetch(at->next, 0, 2);
    if (fetch && !shallow) __builtin_prefetch(at->soon, 0, 2);
    at->next += place->next_step;
    at->soon += place->soon_apart;
    at->b += tiles->apart;
    if (results) {
        fetch_results(vectors, at->written, at->residual);
        at->written += tiles->ldc;
        if (at->residual) at->residual += tiles->ldc;
    }
    vfloat row[GEMM_VECTORS];
    DN_UNROLL
    for (int j = 0; j < vectors; ++j) {
        row[j] = vload(row_from + j * LEVEL_LANES);
        if (fetch == FETCH_AHEAD && j * LEVEL_LANES % LINE == 0)
            __builtin_prefetch(row_from + tiles->ahead + j * LEVEL_LANES);
    }
    DN_UNROLL
    for (int i = 0; i < rows; ++i) DN_UNROLL
    for (int j = 0; j < vectors; ++j) sum[i][j] += vset(at->a[i < operands ? j : 0][i]) * row[j];
    DN_UNROLL
    for (int j = 0; j < vectors; ++j) at->a[j] += GEMM_ROWS;
}

/* From one depth to another; two at a time, but where registers are few: compilers would spill sums. */
DN_INLINE void multiply_steps(const int rows, const int vectors, const bool even, const bool shallow,
                              const bool results, const enum tile_fetch fetch, const dn_tiles *tiles,
                              const tile_place *place, int from, int end, tile_steps *at,
                              vfloat sum[GEMM_ROWS][GEMM_VECTORS]) {
    int k = from;
    for (; LEVEL_LANES >= 16 && k + 1 < end; k += 2) {
        multiply_step(rows, vectors, even, shallow, results, fetch, tiles, place, k, at, sum);
        multiply_step(rows, vectors, even, shallow, results, fetch, tiles, place, k + 1, at, sum);
    }
    for (; k < end; ++k)
        multiply_step(rows, vectors, even, shallow, results, fetch, tiles, place, k, at, sum);
}

/* Prefetches of the results, all at once, held up the loads behind them: one row with each of the first
 * steps; but at once if `shallow`. */
DN_INLINE void multiply_tile(const int rows, const int vectors, const bool even, const bool shallow,
                             const enum tile_fetch fetch, const dn_tiles *tiles, const tile_place *place,
                             const float *residual, vfloat sum[GEMM_ROWS][GEMM_VECTORS]) {
    tile_steps at = {.b = place->b,
                     .next = place->next,
                     .soon = place->soon,
                     .written = place->written,
                     .residual = residual};
    DN_UNROLL
    for (int j = 0; j < vectors; ++j) {
        at.a[j] = tiles->a;
        if (j) DN_OPAQUE(at.a[j]);
    }
    DN_UNROLL
    for (int i = 0; shallow && i < rows; ++i) {
        const size_t row = (size_t)i * tiles->ldc;
        fetch_results(vectors, place->written + row, residual ? residual + row : NULL);
    }
    if (!shallow) multiply_steps(rows, vectors, even, shallow, true, fetch, tiles, place, 0, rows, &at, sum);
    multiply_steps(rows, vectors, even, shallow, false, fetch, tiles, place, shallow ? 0 : rows, tiles->depth,
                   &at, sum);
}

DN_INLINE void multiply_as(const int rows, const int vectors, const bool shallow, const dn_tiles *tiles,
                           const tile_place *place, const float *residual,
                           vfloat sum[GEMM_ROWS][GEMM_VECTORS]) {
    if (tiles->offsets)
        multiply_tile(rows, vectors, false, shallow, FETCH_NOTHING, tiles, place, residual, sum);
    else if (tiles->ahead)
        multiply_tile(rows, vectors, true, shallow, FETCH_AHEAD, tiles, place, residual, sum);
    else if (place->next_step || place->soon_apart)
        multiply_tile(rows, vectors, true, shallow, FETCH_NEXT, tiles, place, residual, sum);
    else
        multiply_tile(rows, vectors, true, shallow, FETCH_NOTHING, tiles, place, residual, sum);
}

/* Registers hold rows x vectors sums; every element is one chain of multiply-adds in the order of k, whatever
 * the size of the tile around it, so results don't depend on how a product is cut into tiles. */
DN_INLINE void tile_of(const int rows, const int vectors, const dn_tiles *tiles, tile_place *place,
                       int columns, const tile_finish *finish) {
    const size_t ldc = tiles->ldc;
    const bool shallow = tiles->depth < DN_SHALLOW; /* there is no time to fetch but what is written next */
    DN_OPAQUE(finish);                              /* nothing of it takes a register from the sums */
    place->written = place->c + (shallow ? vectors * LEVEL_LANES : 0);
    vfloat sum[GEMM_ROWS][GEMM_VECTORS];
    DN_UNROLL
    for (int i = 0; i < rows; ++i) DN_UNROLL
    for (int j = 0; j < vectors; ++j) sum[i][j] = (vfloat){0};
    if (shallow)
        multiply_as(rows, vectors, true, tiles, place, finish->residual, sum);
    else
        multiply_as(rows, vectors, false, tiles, place, finish->residual, sum);
    store_tile_as(rows, vectors, columns - (vectors - 1) * LEVEL_LANES, place->c, ldc, finish, sum);
    if (finish->rest) finish_tile(place->c, ldc, rows, columns, finish);
}

/* Whole shallow tiles, all finished alike. What is the same for all is decided before: a tile of depth 8
 * takes 48 cycles with AVX2, and deciding with each of them took 15. */
DN_INLINE void like_tiles_of(const int rows, const clamp_kind kind, const dn_tiles *tiles, tile_place *place,
                             int count, tile_finish *finish) {
    for (int tile = 0; tile < count; ++tile) {
        vfloat sum[GEMM_ROWS][GEMM_VECTORS];
        DN_UNROLL
        for (int i = 0; i < rows; ++i) DN_UNROLL
        for (int j = 0; j < GEMM_VECTORS; ++j) sum[i][j] = (vfloat){0};
        place->written = place->c + TILE_WIDTH;
        multiply_tile(rows, GEMM_VECTORS, true, true, FETCH_NEXT, tiles, place, NULL, sum);
        tile_finish *how = finish;
        DN_OPAQUE(how); /* nothing of it takes a register from the sums */
        store_tile(rows, GEMM_VECTORS, true, STEP_CLAMP, kind, LEVEL_LANES, place->c, tiles->ldc, how, sum);
        next_tile(tiles, place);
    }
}

/* Returns how many tiles. */
DN_INLINE int like_tiles(const int rows, const dn_tiles *tiles, tile_place *place, tile_finish *finish) {
    const int count = tiles->columns / TILE_WIDTH;
    if (rows < GEMM_ROWS || tiles->depth >= DN_SHALLOW || tiles->offsets || tiles->ahead ||
        finish->steps != STEP_CLAMP)
        return 0;
    if (finish->kind == CLAMP_NONE)
        like_tiles_of(rows, CLAMP_NONE, tiles, place, count, finish);
    else if (finish->kind == CLAMP_RELU)
        like_tiles_of(rows, CLAMP_RELU, tiles, place, count, finish);
    else if (finish->kind == CLAMP_LEAKY)
        like_tiles_of(rows, CLAMP_LEAKY, tiles, place, count, finish);
    else
        like_tiles_of(rows, CLAMP_ANY, tiles, place, count, finish);
    return count;
}

/* A row of tiles. With the first of them the next panel of the left side is fetched, with each a part of what
 * the right side will be soon. */
DN_INLINE void tiles_of(const int rows, const dn_tiles *tiles) {
    const dn_epilogue *epilogue = tiles->epilogue;
    tile_finish finish; /* no initialiser: zeros for its vectors take as long as half a shallow tile */
    finish.steps = tiles->accumulate ? STEP_ACCUMULATE : 0;
    finish.kind = CLAMP_ANY;
    finish.rest = NULL;
    finish.bias = finish.residual = NULL;
    if (epilogue) {
        finish.bias = epilogue->bias;
        finish.residual = epilogue->residual;
        if (clamping_of(epilogue, &finish.clamp) && epilogue->bias) {
            finish.steps |= STEP_CLAMP | (epilogue->residual ? STEP_RESIDUAL : 0);
            if (!epilogue->residual) finish.kind = finish.clamp.kind;
        } else {
            finish.rest = epilogue;
        }
    }
    const int count = (tiles->columns + TILE_WIDTH - 1) / TILE_WIDTH;
    const int fetching = tiles->depth < DN_SHALLOW ? count : dn_min_int(count, NEXT_TILES);
    tile_place place = {.b = tiles->b,
                        .c = tiles->c,
                        .next = tiles->next ? tiles->next : tiles->a,
                        .next_step = tiles->next ? (GEMM_ROWS + fetching - 1) / fetching : 0,
                        .soon = tiles->soon_lines ? tiles->soon : tiles->a};
    int tile = like_tiles(rows, tiles, &place, &finish);
    for (int left = tiles->columns - tile * TILE_WIDTH; left > 0; left -= TILE_WIDTH, ++tile) {
        if (tile >= fetching) place.next_step = 0;
        place.soon_apart = tile < tiles->soon_lines ? (ptrdiff_t)tiles->soon_apart : 0;
        if (left > (GEMM_VECTORS - 1) * LEVEL_LANES)
            tile_of(rows, GEMM_VECTORS, tiles, &place, dn_min_int(left, TILE_WIDTH), &finish);
        else if (left > LEVEL_LANES)
            tile_of(rows, GEMM_VECTORS > 2 ? 2 : 1, tiles, &place, left, &finish);
        else
            tile_of(rows, 1, tiles, &place, left, &finish);
        next_tile(tiles, &place);
        if (finish.residual) finish.residual += TILE_WIDTH;
    }
}

/* A function each: the compiler has registers enough for one at a time. */
#define TILES_OF(r)                                                                                          \
    static __attribute__((noinline)) void tiles_of_##r(const dn_tiles *tiles) {                              \
        tiles_of((r) <= GEMM_ROWS ? (r) : 1, tiles);                                                         \
    }
TILES_OF(1)
TILES_OF(2)
TILES_OF(3)
TILES_OF(4)
TILES_OF(5)
TILES_OF(6)
TILES_OF(7)
TILES_OF(8)
#undef TILES_OF

static void gemm_tiles(const dn_tiles *tiles) {
    switch (tiles->rows) {
#define TILE_CASE(r)                                                                                         \
    case r:                                                                                                  \
        tiles_of_##r(tiles);                                                                                 \
        break;
        TILE_CASE(1)
        TILE_CASE(2)
        TILE_CASE(3)
        TILE_CASE(4)
        TILE_CASE(5)
        TILE_CASE(6)
        TILE_CASE(7)
        TILE_CASE(8)
#undef TILE_CASE
    }
}

static void split_pairs(const float *from, int pairs, float *even, float *odd) {
    int i = 0;
    for (; i + LEVEL_LANES <= pairs; i += LEVEL_LANES) {
        const vfloat low = vload(from + 2 * i), high = vload(from + 2 * i + LEVEL_LANES);
        vstore(even + i, TAKE_EVEN(low, high));
        vstore(odd + i, TAKE_ODD(low, high));
    }
    for (; i < pairs; ++i) {
        even[i] = from[2 * i];
        odd[i] = from[2 * i + 1];
    }
}

static void pack_rows(const float *from, size_t stride, int depth, int columns, int width, float *panel) {
    for (int k = 0; k < depth; ++k) {
        DN_UNROLL
        for (int j = 0; j < GEMM_VECTORS * LEVEL_LANES; j += 16) __builtin_prefetch(from + 4 * stride + j);
        copy_floats(panel, from, columns);
        zero_floats(panel + columns, width - columns);
        from += stride;
        panel += width;
    }
}

static void pack_columns(const float *from, size_t stride, int depth, int columns, int width, float *panel) {
    const float *end =
        from + (size_t)(columns - 1) * stride + depth; /* whole vectors before it can be read */
    for (int k = 0; k < depth; k += LEVEL_LANES)
        for (int j = 0; j < width; j += LEVEL_LANES) {
            const int deep = depth - k < LEVEL_LANES ? depth - k : LEVEL_LANES;
            const int wide = width - j < LEVEL_LANES ? width - j : LEVEL_LANES;
            vfloat square[LEVEL_LANES];
            DN_UNROLL
            for (int i = 0; i < LEVEL_LANES; ++i) {
                const float *row = from + (size_t)(j + i) * stride + k;
                __builtin_prefetch(row + 64); /* too many rows at once for the processor to foresee */
                square[i] = j + i >= columns           ? (vfloat){0}
                            : end - row >= LEVEL_LANES ? vload(row)
                                                       : vload_partial(row, deep);
            }
            vtranspose(square);
            DN_UNROLL
            for (int i = 0; i < LEVEL_LANES; ++i) {
                float *to = panel + (size_t)(k + i) * (size_t)width + j;
                if (i >= deep) continue;
                if (wide == LEVEL_LANES)
                    vstore(to, square[i]);
                else if (wide == 8)
                    vstore_partial(to, square[i], 8);
                else
                    vstore_partial(to, square[i], wide);
            }
        }
}

/* A run of patches beside each other in one output row. */
typedef struct patch_run {
    const float *image;
    int at, length, y,
        x; /* first column in the panel; top left corner of the first patch, outside if negative */
} patch_run;

/* The values of one run for one tap: image row `row`, or zeros where it is outside. */
DN_INLINE void pack_run(const dn_patches *patches, const float *plane, int y, int x, int length, float *to) {
    const int w = patches->w, step = patches->stride_x;
    if (y < 0 || y >= patches->h) {
        zero_floats(to, length);
        return;
    }
    const float *row = plane + (ptrdiff_t)y * w;
    int low = x < 0 ? (-x + step - 1) / step : 0;
    int high = x >= w ? 0 : (w - x + step - 1) / step;
    if (high > length) high = length;
    if (low > high) low = high;
    if (low > 0) zero_floats(to, low);
    if (step == 1)
        copy_floats(to + low, row + x + low, high - low);
    else
        for (int i = low; i < high; ++i) to[i] = row[x + i * step];
    if (high < length) zero_floats(to + high, length - high);
}

static void pack_patches(const dn_patches *patches, size_t column, int columns, int first, int depth,
                         int width, float *panel) {
    patch_run runs[DN_PATCH_COLUMNS];
    int count = 0;
    const size_t pixels = (size_t)patches->out_h * (size_t)patches->out_w;
    for (int at = 0; at < columns; at += runs[count++].length) {
        const size_t image = (column + (size_t)at) / pixels, pixel = (column + (size_t)at) % pixels;
        const int y = (int)(pixel / (size_t)patches->out_w), x = (int)(pixel % (size_t)patches->out_w);
        const int left = patches->out_w - x;
        runs[count] = (patch_run){patches->x + image * patches->image_stride, at,
                                  left < columns - at ? left : columns - at,
                                  y * patches->stride_y - patches->pad, x * patches->stride_x - patches->pad};
    }
    const int size = patches->size, taps = size * size;
    const size_t plane = (size_t)patches->h * (size_t)patches->w;
    int channel = first / taps, ky = first % taps / size, kx = first % size;
    for (int k = 0; k < depth; ++k, panel += width) {
        for (int r = 0; r < count; ++r) {
            const patch_run *run = &runs[r];
            pack_run(patches, run->image + (size_t)channel * plane, run->y + ky * patches->dilation,
                     run->x + kx * patches->dilation, run->length, panel + run->at);
        }
        zero_floats(panel + columns, width - columns);
        if (++kx < size) continue;
        kx = 0;
        if (++ky < size) continue;
        ky = 0;
        ++channel;
    }
}

DN_INLINE void weigh_shifted_block(const int vectors, int taps, const float *weights,
                                   const ptrdiff_t *offsets, const float *from, vfloat sum[4]) {
    DN_UNROLL
    for (int j = 0; j < vectors; ++j) sum[j] = (vfloat){0};
    for (int t = 0; t < taps; ++t) {
        const vfloat weight = vset(weights[t]);
        const float *row = from + offsets[t];
        DN_UNROLL
        for (int j = 0; j < vectors; ++j) sum[j] += weight * vload(row + j * LEVEL_LANES);
    }
}

static void weigh_shifted(int taps, const float *weights, const ptrdiff_t *offsets, const float *from,
                          float *y, int count, bool accumulate) {
    vfloat sum[4];
    int i = 0;
    for (; i + 4 * LEVEL_LANES <= count; i += 4 * LEVEL_LANES) {
        weigh_shifted_block(4, taps, weights, offsets, from + i, sum);
        DN_UNROLL
        for (int j = 0; j < 4; ++j) {
            float *to = y + i + j * LEVEL_LANES;
            vstore(to, accumulate ? vload(to) + sum[j] : sum[j]);
        }
    }
    for (; i < count; i += LEVEL_LANES) {
        weigh_shifted_block(1, taps, weights, offsets, from + i, sum);
        const int tail = count - i < LEVEL_LANES ? count - i : LEVEL_LANES;
        if (tail == LEVEL_LANES)
            vstore(y + i, accumulate ? vload(y + i) + sum[0] : sum[0]);
        else
            vstore_partial(y + i, accumulate ? vload_partial(y + i, tail) + sum[0] : sum[0], tail);
    }
}

/* As many sums as the 32, or else 16, registers hold beside a column's vectors. */
#if LEVEL_LANES > 8
enum { CORRELATE_ROWS = 4, CORRELATE_COLUMNS = 6 };
#else
enum { CORRELATE_ROWS = 2, CORRELATE_COLUMNS = 4 };
#endif

static void correlate(int count, const float *left, size_t stride, const float *right,
                      const ptrdiff_t *offsets, float *sums) {
    vfloat sum[CORRELATE_ROWS][CORRELATE_COLUMNS];
    const float *from[CORRELATE_COLUMNS];
    DN_UNROLL
    for (int j = 0; j < CORRELATE_COLUMNS; ++j) from[j] = right + offsets[j];
    DN_UNROLL
    for (int i = 0; i < CORRELATE_ROWS; ++i) DN_UNROLL
    for (int j = 0; j < CORRELATE_COLUMNS; ++j)
        sum[i][j] = vload(sums + (i * CORRELATE_COLUMNS + j) * LEVEL_LANES);
    for (int p = 0; p < count; p += LEVEL_LANES) {
        const int left_over = count - p;
        vfloat column[CORRELATE_COLUMNS];
        DN_UNROLL
        for (int j = 0; j < CORRELATE_COLUMNS; ++j) column[j] = vload(from[j] + p);
        DN_UNROLL
        for (int i = 0; i < CORRELATE_ROWS; ++i) {
            const float *at = left + (size_t)i * stride + p;
            const vfloat row = left_over >= LEVEL_LANES ? vload(at) : vload_partial(at, left_over);
            DN_UNROLL
            for (int j = 0; j < CORRELATE_COLUMNS; ++j) sum[i][j] += row * column[j];
        }
    }
    DN_UNROLL
    for (int i = 0; i < CORRELATE_ROWS; ++i) DN_UNROLL
    for (int j = 0; j < CORRELATE_COLUMNS; ++j)
        vstore(sums + (i * CORRELATE_COLUMNS + j) * LEVEL_LANES, sum[i][j]);
}

enum { PLANE_TAPS = 9 };

/* PLANE_TAPS taps at a time, repeating the last. The end of a row is a whole load with what follows it set to
 * zero, but in the last row, after which there may be nothing. */
static void correlate_plane(int rows, int count, const float *left, const float *right, size_t stride,
                            int taps, const ptrdiff_t *offsets, float *sums) {
    const int whole = count / LEVEL_LANES * LEVEL_LANES;
    vint inside;
    for (int i = 0; i < LEVEL_LANES; ++i) inside[i] = i < count - whole ? -1 : 0;
    for (int first = 0; first < taps; first += PLANE_TAPS) {
        const float *from[PLANE_TAPS];
        vfloat sum[PLANE_TAPS];
        DN_UNROLL
        for (int j = 0; j < PLANE_TAPS; ++j) {
            from[j] = right + offsets[dn_min_int(first + j, taps - 1)];
            sum[j] = (vfloat){0};
        }
        for (int row = 0; row < rows; ++row) {
            const float *at = left + (size_t)row * (size_t)count;
            const size_t shift = (size_t)row * stride;
            for (int p = 0; p < whole; p += LEVEL_LANES) {
                const vfloat value = vload(at + p);
                DN_UNROLL
                for (int j = 0; j < PLANE_TAPS; ++j) sum[j] += value * vload(from[j] + shift + p);
            }
            if (whole == count) continue;
            const vfloat value = row + 1 < rows && count >= LEVEL_LANES
                                     ? (vfloat)((vint)vload(at + whole) & inside)
                                     : vload_partial(at + whole, count - whole);
            DN_UNROLL
            for (int j = 0; j < PLANE_TAPS; ++j) sum[j] += value * vload(from[j] + shift + whole);
        }
        for (int j = 0; j < PLANE_TAPS && first + j < taps; ++j) sums[first + j] = vsum(sum[j]);
    }
}
