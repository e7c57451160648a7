/* A convolution of few input channels whose outputs Winograd tiles read at once (backends/cpu/conv_chain.c):
 * lanes are filters, as the transform stages them, so that nothing is transposed. */

/* Every sum is made in the order of k, as in gemm.h. */
DN_INLINE void direct_pixels_of(const int pixels, const clamp_kind kind, const clamping *clamp,
                                const dn_direct_pixels *job, int first) {
    const float *x = job->x + first, *weights = job->weights;
    const ptrdiff_t *offsets = job->offsets;
    vfloat sum[WINOGRAD_TILES][2];
    DN_UNROLL
    for (int i = 0; i < pixels; ++i) sum[i][0] = sum[i][1] = (vfloat){0};
    for (int k = 0; k < job->depth; ++k, weights += 2 * LEVEL_LANES) {
        const vfloat w0 = vload(weights), w1 = vload(weights + LEVEL_LANES);
        const float *from = x + offsets[k], *again = from; /* opaque, as in winograd_multiply_of */
        DN_OPAQUE(again);
        DN_UNROLL
        for (int i = 0; i < pixels; ++i) {
            const vfloat value = vset(from[i]);
            sum[i][0] += value * w0;
            sum[i][1] += (i < values_as_operands(pixels) ? vset(again[i]) : value) * w1;
        }
    }
    float *y = job->y + first * LEVEL_LANES;
    DN_UNROLL
    for (int half = 0; half < 2; ++half, y += job->half) {
        const vfloat bias = vload(job->epilogue->bias + half * LEVEL_LANES);
        DN_UNROLL
        for (int i = 0; i < pixels; ++i) {
            const vfloat value = sum[i][half] + bias;
            vstore(y + i * LEVEL_LANES, clamp ? clamp_vector(kind, clamp, value) : value);
        }
    }
}

DN_INLINE void direct_pixels_as(const clamp_kind kind, const clamping *clamp, const dn_direct_pixels *job) {
    const int groups = (job->pixels + WINOGRAD_TILES - 1) / WINOGRAD_TILES;
    for (int group = 0; group < groups; ++group) {
        const int first = job->pixels * group / groups, end = job->pixels * (group + 1) / groups;
        switch (end - first) {
#define PIXELS_CASE(n)                                                                                       \
    case n:                                                                                                  \
        direct_pixels_of((n) <= WINOGRAD_TILES ? (n) : 1, kind, clamp, job, first);                          \
        break;
            WINOGRAD_14_CASES(PIXELS_CASE)
#undef PIXELS_CASE
        }
    }
}

static void direct_pixels(const dn_direct_pixels *job) {
    clamping clamp;
    if (clamping_of(job->epilogue, &clamp)) {
        if (clamp.kind == CLAMP_LEAKY)
            direct_pixels_as(CLAMP_LEAKY, &clamp, job);
        else
            direct_pixels_as(CLAMP_ANY, &clamp, job);
        return;
    }
    direct_pixels_as(CLAMP_ANY, NULL, job);
    for (int half = 0; half < 2; ++half)
        activate(job->epilogue->activation, job->y + (size_t)half * job->half,
                 (size_t)(job->pixels * LEVEL_LANES));
}
