/* The one-dimensional Winograd transforms on vectors of channels, F(m, 3) with n = m + 2 points: 0, finite
 * points in pairs, then infinity (Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015).
 * The row of B^T for a point p holds the coefficients of the product of (x - q) over the other points q; the
 * two points of a pair share their even and odd halves. A^T holds the powers of the points. Points are sums
 * of few powers of two; of those, the ones that round least: 3/4 and 3/2 up to m = 4, else 1/2, 1 and 2,
 * which round two (m = 5) and three times (m = 6) as much as these.
 *
 * m: 2: 0, 1, -1        3: 0, a, -a, -b        4: 0, a, -a, b, -b
 *    5: 0, c, -c, d, -d, e                     6: 0, c, -c, d, -d, e, -e
 *
 * Stride 2: along an axis the outer taps meet every other pixel, which is a convolution of 2 taps, F(m, 2);
 * the middle tap meets the pixels between, m products. m = 2: 25 products replace 36, and no transform
 * multiplies; m = 4, by 0, a, -a, e and infinity: 81 replace 144. The m middle points have the same weights.
 */

enum { WINOGRAD_MOST_POINTS = 9, WINOGRAD_MOST_OUTPUTS = 6 }; /* per axis */

static const float winograd_a = DN_WINOGRAD_A, winograd_b = DN_WINOGRAD_B;
static const float winograd_c = DN_WINOGRAD_C, winograd_d = DN_WINOGRAD_D, winograd_e = DN_WINOGRAD_E;

DN_INLINE int winograd_points_of(const int m, const int stride) {
    return stride == 2 ? 2 * m + 1 : m + 2;
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

DN_INLINE void winograd_in_strided(const int m, const vfloat *d, vfloat *t) {
    const float a = winograd_a, e = winograd_e, a2 = a * a;
    if (m == 2) {
        t[0] = d[0] - d[2];
        t[1] = d[2];
        t[2] = d[4] - d[2];
    } else {
        vfloat g[4]; /* times (x - e) */
        DN_UNROLL
        for (int i = 0; i < 4; ++i) g[i] = d[2 * i + 2] - e * d[2 * i];
        t[0] = g[2] - a2 * g[0];
        winograd_pair(a, g[2], g[1], t + 1);
        t[3] = d[6] - a2 * d[2];
        t[4] = g[3] - a2 * g[1];
    }
    DN_UNROLL
    for (int i = 0; i < m; ++i) t[m + 1 + i] = d[2 * i + 1];
}

/* t = B^T d */
DN_INLINE void winograd_in(const int m, const int stride, const vfloat *d, vfloat *t) {
    const float a = winograd_a, b = winograd_b, c = winograd_c, f = winograd_d, e = winograd_e;
    if (stride == 2) {
        winograd_in_strided(m, d, t);
    } else if (m == 6) {
        winograd_in_three_pairs(c, f, e, d, t);
    } else if (m == 5) {
        vfloat g[6]; /* times (x - e) */
        DN_UNROLL
        for (int i = 0; i < 6; ++i) g[i] = d[i + 1] - e * d[i];
        winograd_in_two_pairs(c, f, g, t, t + 6);
        t[5] = winograd_two_pairs(c, f, d[1], d[3], d[5]);
    } else if (m == 4) {
        winograd_in_two_pairs(a, b, d, t, t + 5);
    } else if (m == 3) {
        vfloat g[4]; /* times (x + b) */
        DN_UNROLL
        for (int i = 0; i < 4; ++i) g[i] = d[i + 1] + b * d[i];
        t[0] = g[2] - (a * a) * g[0];
        winograd_pair(a, g[2], g[1], t + 1);
        t[3] = d[3] - (a * a) * d[1];
        t[4] = g[3] - (a * a) * g[1];
    } else { /* points 0, 1, -1 */
        t[0] = d[2] - d[0];
        t[1] = d[2] + d[1];
        t[2] = d[2] - d[1];
        t[3] = d[3] - d[1];
    }
}

DN_INLINE void winograd_out_strided(const int m, const vfloat *p, vfloat *y) {
    const float a = winograd_a, e = winograd_e;
    const vfloat sum = p[1] + p[2], difference = p[1] - p[2];
    if (m == 2) {
        y[0] = p[0] + p[1];
        y[1] = sum;
    } else {
        y[0] = p[0] + sum + p[3];
        y[1] = a * difference + e * p[3];
        y[2] = (a * a) * sum + (e * e) * p[3];
        y[3] = (a * a * a) * difference + ((e * e * e) * p[3] + p[4]);
    }
    DN_UNROLL
    for (int i = 0; i < m; ++i) y[i] += p[m + 1 + i];
}

/* y = A^T p */
DN_INLINE void winograd_out(const int m, const int stride, const vfloat *p, vfloat *y) {
    const float a = winograd_a, b = winograd_b, c = winograd_c, d = winograd_d, e = winograd_e;
    const vfloat sum = p[1] + p[2], difference = p[1] - p[2];
    if (stride == 2) {
        winograd_out_strided(m, p, y);
    } else if (m == 6) {
        const vfloat sum_d = p[3] + p[4], difference_d = p[3] - p[4];
        const vfloat sum_e = p[5] + p[6], difference_e = p[5] - p[6];
        y[0] = (p[0] + sum) + (sum_d + sum_e);
        y[1] = c * difference + (d * difference_d + e * difference_e);
        y[2] = (c * c) * sum + ((d * d) * sum_d + (e * e) * sum_e);
        y[3] = (c * c * c) * difference + ((d * d * d) * difference_d + (e * e * e) * difference_e);
        y[4] = (c * c * c * c) * sum + ((d * d * d * d) * sum_d + (e * e * e * e) * sum_e);
        y[5] = ((c * c * c * c * c) * difference + (d * d * d * d * d) * difference_d) +
               ((e * e * e * e * e) * difference_e + p[7]);
    } else if (m == 5) {
        const vfloat sum_d = p[3] + p[4], difference_d = p[3] - p[4];
        y[0] = (p[0] + sum) + (sum_d + p[5]);
        y[1] = c * difference + (d * difference_d + e * p[5]);
        y[2] = (c * c) * sum + ((d * d) * sum_d + (e * e) * p[5]);
        y[3] = (c * c * c) * difference + ((d * d * d) * difference_d + (e * e * e) * p[5]);
        y[4] = ((c * c * c * c) * sum + (d * d * d * d) * sum_d) + ((e * e * e * e) * p[5] + p[6]);
    } else if (m == 4) {
        const vfloat sum_b = p[3] + p[4], difference_b = p[3] - p[4];
        y[0] = p[0] + sum + sum_b;
        y[1] = a * difference + b * difference_b;
        y[2] = (a * a) * sum + (b * b) * sum_b;
        y[3] = (a * a * a) * difference + ((b * b * b) * difference_b + p[5]);
    } else if (m == 3) {
        y[0] = p[0] + sum + p[3];
        y[1] = a * difference - b * p[3];
        y[2] = (a * a) * sum + ((b * b) * p[3] + p[4]);
    } else {
        y[0] = p[0] + sum;
        y[1] = difference + p[3];
    }
}

/* t = A e, the transpose of winograd_out: n points from the m gradients of a tile's outputs. */
DN_INLINE void winograd_spread(const int m, const vfloat *e, vfloat *t) {
    const float a = winograd_a, b = winograd_b;
    if (m == 4) {
        const vfloat even_a = e[0] + (a * a) * e[2], odd_a = a * e[1] + (a * a * a) * e[3];
        const vfloat even_b = e[0] + (b * b) * e[2], odd_b = b * e[1] + (b * b * b) * e[3];
        t[1] = even_a + odd_a;
        t[2] = even_a - odd_a;
        t[3] = even_b + odd_b;
        t[4] = even_b - odd_b;
    } else if (m == 3) {
        const vfloat even = e[0] + (a * a) * e[2], odd = a * e[1];
        t[1] = even + odd;
        t[2] = even - odd;
        t[3] = (e[0] + (b * b) * e[2]) - b * e[1];
    } else {
        t[1] = e[0] + e[1];
        t[2] = e[0] - e[1];
    }
    t[0] = e[0];
    t[m + 1] = e[m - 1];
}
