/* The one-dimensional Winograd transforms on vectors of channels, F(m, 3) with n = m + 2 points: the first m
 * + 1 of 0, p, -p, q, -q, r, -r, then infinity (Lavin and Gray, "Fast algorithms for convolutional neural
 * networks", 2015). The row of B^T for a point x holds the coefficients of the product of (x - y) over the
 * other points y; the two points of a pair share their even and odd halves. A^T holds the powers of the
 * points. 1, 2, 1/2 round little, and each m has the points of the one before, and another.
 *
 * So tiles of m and of m - 1 outputs can have the same weights, and maps be cut without waste: 13 = 4 + 3 + 3
 * + 3, where four tiles of 4 would stick out by 3. The weights' rows are divided by the product of (x - y)
 * over all points y of F(m, 3); a small tile lacks one of them, z, and multiplies its row for x by (x - z)
 * instead.
 *
 * Stride 2: along an axis the outer taps meet every other pixel, which is a convolution of 2 taps, F(m, 2);
 * so is the middle tap, beside a tap of zero, with the pixels between, of which only the m finite points have
 * a weight. As both have the same points, products of the same point are added before the inverse transform:
 * with (2 m + 1)^2 points of inputs there are (m + 1)^2 sums. m = 2, by 0, 1 and infinity: 25 products
 * replace 36; m = 4, by 0, p, -p, q and infinity: 81 replace 144 (with half the error that r in place of q
 * has). Weights are not divided by the product of (x - y), so that a middle tap is the same at all points,
 * and tiles of all sizes share weights; the inputs of m = 2 and 3 are, and at m = 4 the outputs. 13 = 4 + 3 +
 * 3 + 3.
 */

enum { WINOGRAD_MOST_POINTS = 9, WINOGRAD_MOST_OUTPUTS = 6 }; /* per axis */

static const float winograd_p = DN_WINOGRAD_P, winograd_q = DN_WINOGRAD_Q, winograd_r = DN_WINOGRAD_R;

DN_INLINE int winograd_points_of(const int m, const int stride) {
    return stride == 2 ? 2 * m + 1 : m + 2;
}

/* Sums of products: as many points as inputs, but for stride 2. */
DN_INLINE int winograd_sums_of(const int m, const int stride) {
    return m + 3 - stride;
}

/* (x - p)(x + p)(x - q)(x + q) at d, d[2] and d[4] */
DN_INLINE vfloat winograd_two_pairs(float p, float q, vfloat d0, vfloat d2, vfloat d4) {
    return (d4 - (p * p + q * q) * d2) + (p * p * q * q) * d0;
}

DN_INLINE void winograd_pair(float p, vfloat even, vfloat odd, vfloat t[2]) {
    t[0] = even + p * odd;
    t[1] = even - p * odd;
}

/* Points 0, p, -p, q, -q and infinity of d[0 .. 5]. */
DN_INLINE void winograd_in_two_pairs(float p, float q, const vfloat *d, vfloat *t, vfloat *infinity) {
    t[0] = winograd_two_pairs(p, q, d[0], d[2], d[4]);
    winograd_pair(p, d[4] - (q * q) * d[2], d[3] - (q * q) * d[1], t + 1);
    winograd_pair(q, d[4] - (p * p) * d[2], d[3] - (p * p) * d[1], t + 3);
    *infinity = winograd_two_pairs(p, q, d[1], d[3], d[5]);
}

/* The same with p, -p, q, -q, r, -r, of d[0 .. 7]. */
DN_INLINE void winograd_in_three_pairs(float p, float q, float r, const vfloat *d, vfloat *t) {
    const float p2 = p * p, q2 = q * q, r2 = r * r;
    const float one = p2 + q2 + r2, two = p2 * q2 + p2 * r2 + q2 * r2, three = p2 * q2 * r2;
    t[0] = (d[6] - one * d[4]) + (two * d[2] - three * d[0]);
    winograd_pair(p, winograd_two_pairs(q, r, d[2], d[4], d[6]), winograd_two_pairs(q, r, d[1], d[3], d[5]),
                  t + 1);
    winograd_pair(q, winograd_two_pairs(p, r, d[2], d[4], d[6]), winograd_two_pairs(p, r, d[1], d[3], d[5]),
                  t + 3);
    winograd_pair(r, winograd_two_pairs(p, q, d[2], d[4], d[6]), winograd_two_pairs(p, q, d[1], d[3], d[5]),
                  t + 5);
    t[7] = (d[7] - one * d[5]) + (two * d[3] - three * d[1]);
}

/* F(m, 2) of every other pixel: m finite points of d[0], d[2] .. d[2 m - 2], then infinity's, if asked, of
 * d[2 m], too. */
DN_INLINE void winograd_in_every_other(const int m, const bool infinity, const vfloat *d, vfloat *t) {
    const float p = winograd_p, p2 = p * p, q = winograd_q;
    if (m == 2) {
        t[0] = d[0] - d[2];
        t[1] = d[2];
        if (infinity) t[2] = d[4] - d[2];
    } else if (m == 3) {
        t[0] = d[0] - (1 / p2) * d[4];
        winograd_pair(p, (0.5f / p2) * d[4], (0.5f / p2) * d[2], t + 1);
        if (infinity) t[3] = d[6] - p2 * d[2];
    } else {
        const vfloat g0 = d[2] - q * d[0], g1 = d[4] - q * d[2], g2 = d[6] - q * d[4]; /* times (x - q) */
        t[0] = g2 - p2 * g0;
        winograd_pair(p, g2, g1, t + 1);
        t[3] = d[6] - p2 * d[2];
        if (infinity) t[4] = (d[8] - q * d[6]) - p2 * g1;
    }
}

/* t = B^T d */
DN_INLINE void winograd_in(const int m, const int stride, const vfloat *d, vfloat *t) {
    const float p = winograd_p, q = winograd_q, r = winograd_r;
    if (stride == 2) {
        winograd_in_every_other(m, true, d, t);
        winograd_in_every_other(m, false, d + 1, t + m + 1);
    } else if (m == 6) {
        winograd_in_three_pairs(p, q, r, d, t);
    } else if (m == 5) {
        vfloat g[6]; /* times (x - r) */
        DN_UNROLL
        for (int i = 0; i < 6; ++i) g[i] = d[i + 1] - r * d[i];
        winograd_in_two_pairs(p, q, g, t, t + 6);
        t[5] = winograd_two_pairs(p, q, d[1], d[3], d[5]);
    } else if (m == 4) {
        winograd_in_two_pairs(p, q, d, t, t + 5);
    } else if (m == 3) {
        vfloat g[4]; /* times (x - q) */
        DN_UNROLL
        for (int i = 0; i < 4; ++i) g[i] = d[i + 1] - q * d[i];
        t[0] = g[2] - (p * p) * g[0];
        winograd_pair(p, g[2], g[1], t + 1);
        t[3] = d[3] - (p * p) * d[1];
        t[4] = g[3] - (p * p) * g[1];
    } else {
        t[0] = d[2] - (p * p) * d[0];
        winograd_pair(p, d[2], d[1], t + 1);
        t[3] = d[3] - (p * p) * d[1];
    }
}

/* The rows of a tile of m outputs for weights of m + 1, at stride 1: times (x - z), all but infinity's. */
DN_INLINE void winograd_rescale(const int m, vfloat *t) {
    const float points[7] = {0, winograd_p, -winograd_p, winograd_q, -winograd_q, winograd_r, -winograd_r};
    DN_UNROLL
    for (int i = 0; i <= m; ++i) t[i] *= points[i] - points[m + 1];
}

/* Where point i of a tile of m outputs is among those of its weights. */
DN_INLINE int winograd_point(const int m, const int stride, const bool small, const int i) {
    return small && i > m + 1 - stride ? i + 1 : i;
}

DN_INLINE void winograd_out_strided(const int m, const vfloat *t, vfloat *y) {
    const float p = winograd_p, p2 = p * p, q = winograd_q;
    if (m == 2) {
        y[0] = t[0] + t[1];
        y[1] = t[1] + t[2];
    } else if (m == 3) {
        y[0] = t[0] + (t[1] + t[2]);
        y[1] = p * (t[1] - t[2]);
        y[2] = p2 * (t[1] + t[2]) + t[3];
    } else { /* each point x divided by the product of (x - y) */
        const float of_0 = 1 / (p2 * q), of_q = 1 / (q * (q * q - p2));
        const float of_p = 1 / (2 * p2 * (p - q)), of_minus_p = -1 / (2 * p2 * (p + q));
        const vfloat sum = of_p * t[1] + of_minus_p * t[2], difference = of_p * t[1] - of_minus_p * t[2];
        y[0] = (of_0 * t[0] + sum) + of_q * t[3];
        y[1] = p * difference + (q * of_q) * t[3];
        y[2] = p2 * sum + (q * q * of_q) * t[3];
        y[3] = (p2 * p) * difference + ((q * q * q * of_q) * t[3] + t[4]);
    }
}

/* What a bias must be multiplied by to be added to all outputs with the product at p: one over its factor. */
DN_INLINE float winograd_bias_factor(const int m, const int stride) {
    return stride == 2 && m == 4 ? 2 * winograd_p * winograd_p * (winograd_p - winograd_q) : 1.0f;
}

/* y = A^T t */
DN_INLINE void winograd_out(const int m, const int stride, const vfloat *t, vfloat *y) {
    const float p = winograd_p, q = winograd_q, r = winograd_r;
    const float q2 = q * q, q3 = q2 * q, q4 = q2 * q2, r2 = r * r, r3 = r2 * r, r4 = r2 * r2;
    const vfloat sum = t[1] + t[2], difference = p * (t[1] - t[2]);
    if (stride == 2) {
        winograd_out_strided(m, t, y);
        return;
    }
    /* the others' sums of even and of odd powers, as far as there are any */
    const vfloat sum_q = m >= 4 ? t[3] + t[4] : t[3], difference_q = m >= 4 ? t[3] - t[4] : t[3];
    const vfloat sum_r = m == 6 ? t[5] + t[6] : m == 5 ? t[5] : sum;
    const vfloat difference_r = m == 6 ? t[5] - t[6] : m == 5 ? t[5] : sum;
    if (m >= 5) {
        y[0] = (t[0] + sum) + (sum_q + sum_r);
        y[1] = (difference + q * difference_q) + r * difference_r;
        y[2] = ((p * p) * sum + q2 * sum_q) + r2 * sum_r;
        y[3] = ((p * p) * difference + q3 * difference_q) + r3 * difference_r;
        y[4] = ((p * p * p * p) * sum + q4 * sum_q) + r4 * sum_r;
        if (m == 6) y[5] = ((p * p * p * p) * difference + (q4 * q) * difference_q) + (r4 * r) * difference_r;
    } else if (m >= 3) {
        y[0] = (t[0] + sum) + sum_q;
        y[1] = difference + q * difference_q;
        y[2] = (p * p) * sum + q2 * sum_q;
        if (m == 4) y[3] = (p * p) * difference + q3 * difference_q;
    } else {
        y[0] = t[0] + sum;
        y[1] = difference;
    }
    y[m - 1] += t[m + 1];
}

/* t = A e, the transpose of winograd_out: n points from the m gradients of a tile's outputs; m = 2, 3, 4. */
DN_INLINE void winograd_spread(const int m, const vfloat *e, vfloat *t) {
    const float p = winograd_p, q = winograd_q;
    vfloat even_p = e[0], odd_p = e[1], even_q = e[0], odd_q = e[1];
    if (m >= 3) {
        even_p += (p * p) * e[2];
        even_q += (q * q) * e[2];
    }
    if (m == 4) {
        odd_p += (p * p) * e[3];
        odd_q += (q * q) * e[3];
    }
    t[0] = e[0];
    winograd_pair(p, even_p, odd_p, t + 1);
    if (m >= 3) t[3] = even_q + q * odd_q;
    if (m == 4) t[4] = even_q - q * odd_q;
    t[m + 1] = e[m - 1];
}
