/* The vectorised exponential, which the smooth activations are made of. */

typedef uint32_t vuint __attribute__((vector_size(LEVEL_LANES * 4)));

/* x = n ln 2 + r, so e^x = 2^n e^r. The polynomial is the minimax fit of (e^r - 1 - r) / r^2 on |r| <= ln 2 /
 * 2 (relative error of e^r: 3.1e-9), found by Lawson's iteration. Returns e^r; n as an integer. */
DN_INLINE vfloat vexp_parts(vfloat x, vint *n) {
    const vfloat round = vset(0x1.8p23f); /* adding it leaves the nearest integer in the low bits */
    vfloat shifted = x * 1.44269504f + round;
    vfloat whole = shifted - round;
    vfloat r = x - whole * 0.693359375f; /* exact: the constant has 10 bits */
    r = r + whole * 2.12194440e-4f;
    vfloat p = r * 0.0013814455596730113f + 0.008368785493075848f;
    p = p * r + 0.041668396443128586f;
    p = p * r + 0.1666651964187622f;
    p = p * r + 0.4999999403953552f;
    *n = (vint)((vuint)shifted - (vuint)round);
    return p * (r * r) + r + 1.0f;
}

/* Within 2 ulp; overflows to infinity, underflows through the subnormals to 0, NaN stays NaN. */
DN_INLINE vfloat vexp(vfloat x) {
    vint power;
    x = vmin(vset(90.0f), vmax(vset(-105.0f), x)); /* x second: NaN passes */
    const vfloat p = vexp_parts(x, &power);
    /* 2^n in two factors, as n may lie outside the exponents of normal numbers */
    vint half = power >> 1;
    vfloat low = (vfloat)((vuint)(half + 127) << 23), high = (vfloat)((vuint)(power - half + 127) << 23);
    return p * low * high;
}

/* The same from -87 to 88, where results are normal numbers: a quarter faster. */
DN_INLINE vfloat vexp_normal(vfloat x) {
    vint power;
    const vfloat p = vexp_parts(x, &power);
    return p * (vfloat)((vuint)(power + 127) << 23);
}

/* Beyond 87 it is 0 or 1 within 1e-38. */
DN_INLINE vfloat vsigmoid(vfloat x) {
    return 1.0f / (1.0f + vexp_normal(vmin(vset(87.0f), vmax(vset(-87.0f), -x))));
}
