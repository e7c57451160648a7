/* The vectorised exponential, which the smooth activations are made of. */

typedef uint32_t vuint __attribute__((vector_size(LEVEL_LANES * 4)));

/* Within 2 ulp; overflows to infinity, underflows through the subnormals to 0, NaN stays NaN.
 * x = n ln 2 + r, so e^x = 2^n e^r. The polynomial is the minimax fit of (e^r - 1 - r) / r^2 on |r| <= ln 2 /
 * 2 (relative error of e^r: 3.1e-9), found by Lawson's iteration. */
DN_INLINE vfloat vexp(vfloat x) {
    x = vmin(vset(90.0f), vmax(vset(-105.0f), x)); /* x second: NaN passes */
    const vfloat round = vset(0x1.8p23f);          /* adding it leaves the nearest integer in the low bits */
    vfloat shifted = x * 1.44269504f + round;
    vfloat n = shifted - round;
    vfloat r = x - n * 0.693359375f; /* exact: the constant has 10 bits */
    r = r + n * 2.12194440e-4f;
    vfloat p = r * 0.0013814455596730113f + 0.008368785493075848f;
    p = p * r + 0.041668396443128586f;
    p = p * r + 0.1666651964187622f;
    p = p * r + 0.4999999403953552f;
    p = p * (r * r) + r + 1.0f;
    /* 2^n in two factors, as n may lie outside the exponents of normal numbers */
    vint power = (vint)((vuint)shifted - (vuint)round);
    vint half = power >> 1;
    vfloat low = (vfloat)((vuint)(half + 127) << 23), high = (vfloat)((vuint)(power - half + 127) << 23);
    return p * low * high;
}

DN_INLINE vfloat vsigmoid(vfloat x) {
    return 1.0f / (1.0f + vexp(-x));
}
