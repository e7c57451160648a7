/* The weights of planned Winograd convolutions, transformed once, u = G w G^T, in double precision: with
 * large tiles the values of G range over three powers of ten. */

/* Half as many doubles as there are lanes, so that two of them become a vector of floats. */
typedef float vhalf __attribute__((vector_size(LEVEL_LANES * 2)));
typedef double vdouble __attribute__((vector_size(LEVEL_LANES * 4)));

DN_INLINE vdouble vwiden(const float *p) {
    vhalf v;
    memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, vdouble);
}

DN_INLINE vfloat vnarrow(vdouble low, vdouble high) {
    const vhalf a = __builtin_convertvector(low, vhalf), b = __builtin_convertvector(high, vhalf);
    return JOIN(a, b);
}

/* One channel of `lanes` filters. */
DN_INLINE void winograd_exact_of(const int n, const double *g, const float *w, float *u,
                                 size_t point_stride) {
    vdouble d[9][2];
    DN_UNROLL
    for (int tap = 0; tap < 9; ++tap) {
        d[tap][0] = vwiden(w + tap * 2 * LEVEL_LANES);
        d[tap][1] = vwiden(w + tap * 2 * LEVEL_LANES + LEVEL_LANES / 2);
    }
    for (int i = 0; i < n; ++i) {
        vdouble half[3][2];
        DN_UNROLL
        for (int j = 0; j < 3; ++j) DN_UNROLL
        for (int part = 0; part < 2; ++part)
            half[j][part] =
                g[3 * i] * d[j][part] + g[3 * i + 1] * d[3 + j][part] + g[3 * i + 2] * d[6 + j][part];
        DN_UNROLL
        for (int j = 0; j < n; ++j, u += point_stride) {
            vdouble sum[2];
            DN_UNROLL
            for (int part = 0; part < 2; ++part)
                sum[part] =
                    g[3 * j] * half[0][part] + g[3 * j + 1] * half[1][part] + g[3 * j + 2] * half[2][part];
            vstore(u, vnarrow(sum[0], sum[1]));
        }
    }
}

static void winograd_weights_exact(int n, int channels, const double *g, const float *w, float *u,
                                   size_t point_stride) {
    for (int half = 0; half < 2 * channels; ++half) {
        const float *from = w + (half / 2) * 18 * LEVEL_LANES + half % 2 * LEVEL_LANES;
        float *to = u + half * LEVEL_LANES;
        if (n == 8) winograd_exact_of(8, g, from, to, point_stride);
        if (n == 7) winograd_exact_of(7, g, from, to, point_stride);
        if (n == 6) winograd_exact_of(6, g, from, to, point_stride);
        if (n == 5) winograd_exact_of(5, g, from, to, point_stride);
        if (n == 4) winograd_exact_of(4, g, from, to, point_stride);
    }
}
