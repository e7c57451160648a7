/* One vector through an activation function or its gradient. `kind` is a constant wherever these are inlined,
 * so the switches vanish. Selections are arranged so that NaN falls through to a branch that keeps it. */

DN_INLINE vfloat vabs(vfloat x) {
    return (vfloat)((vint)x & vsplat(0x7fffffff));
}

DN_INLINE vfloat vfloor(vfloat x) {
    vint small = vabs(x) < 0x1p23f; /* others have no fraction, or are NaN */
    vfloat inside = vselect(small, x, vset(0.0f));
    vfloat truncated = __builtin_convertvector(__builtin_convertvector(inside, vint), vfloat);
    return vselect(small, truncated + __builtin_convertvector(truncated > inside, vfloat), x);
}

/* floor(x/2) if floor(x) is even, else that plus the fraction of x */
DN_INLINE vfloat stair(vfloat x) {
    vfloat whole = vfloor(x), half = vfloor(x * 0.5f);
    return vselect(half * 2.0f == whole, half, (x - whole) + half);
}

/* With e = e^x: tanh(ln(1 + e)) = n / (n + 2), n = e (e + 2), which needs no logarithm and cancels nowhere.
 * Above 20 the quotient is 1 in float, below -87 less than 1e-37. */
DN_INLINE vfloat mish(vfloat x) {
    vfloat e = vexp_normal(vmin(vset(20.0f), vmax(vset(-87.0f), x))), n = e * (e + 2.0f);
    return x * (n / (n + 2.0f));
}

/* t + x (1 - t^2) sigmoid(x), where t = n / (n + 2), so 1 - t^2 = 4 (n + 1) / (n + 2)^2 */
DN_INLINE vfloat mish_gradient(vfloat x) {
    vfloat e = vexp(vmin(vset(20.0f), x)), n = e * (e + 2.0f), reciprocal = 1.0f / (n + 2.0f);
    return n * reciprocal + x * (4.0f * (n + 1.0f) * reciprocal * reciprocal) * (e / (1.0f + e));
}

/* 1 + tanh(u) = 2 sigmoid(2u) */
DN_INLINE vfloat gelu(vfloat x) {
    return x * vsigmoid(x * (1.59577f + 0.071354f * x * x));
}

/* 0.5 + 0.5 tanh(u) + x u'(x)/2 sech(u)^2; beyond |x| = 10 the last term is 0 in float */
DN_INLINE vfloat gelu_gradient(vfloat x) {
    x = vmin(vset(10.0f), vmax(vset(-10.0f), x));
    vfloat s = vsigmoid(x * (1.59577f + 0.0713548f * x * x));
    return s + x * (0.398942f + 0.0535161f * x * x) * 4.0f * s * (1.0f - s);
}

DN_INLINE vfloat swish_gradient(vfloat x) {
    vfloat s = vsigmoid(x), y = x * s;
    return y + s * (1.0f - y);
}

DN_INLINE vfloat activate_vector(dn_activation kind, vfloat x) {
    const vfloat zero = vset(0.0f), one = vset(1.0f);
    switch (kind) {
    case DN_ACTIVATION_LOGISTIC:
        return vsigmoid(x);
    case DN_ACTIVATION_LOGGY:
        return 2.0f * vsigmoid(x) - 1.0f;
    case DN_ACTIVATION_RELU:
        return vselect(x <= 0.0f, zero, x);
    case DN_ACTIVATION_ELU:
        return vselect(x >= 0.0f, x, vexp(x) - 1.0f);
    case DN_ACTIVATION_SELU:
        return vselect(x >= 0.0f, x * 1.0507f, (vexp(x) - 1.0f) * (1.0507f * 1.6732f));
    case DN_ACTIVATION_RELIE:
        return vselect(x > 0.0f, x, x * 0.01f);
    case DN_ACTIVATION_RAMP:
        return vselect(x <= 0.0f, zero, x) + x * 0.1f;
    case DN_ACTIVATION_LEAKY:
        return vselect(x > 0.0f, x, x * 0.1f);
    case DN_ACTIVATION_TANH:
        return 2.0f * vsigmoid(x * 2.0f) - 1.0f;
    case DN_ACTIVATION_PLSE:
        return vselect(x < -4.0f, (x + 4.0f) * 0.01f,
                       vselect(x > 4.0f, (x - 4.0f) * 0.01f + 1.0f, x * 0.125f + 0.5f));
    case DN_ACTIVATION_STAIR:
        return stair(x);
    case DN_ACTIVATION_HARDTAN:
        return vselect(x < -1.0f, -one, vselect(x > 1.0f, one, x));
    case DN_ACTIVATION_LHTAN:
        return vselect(x < 0.0f, x * 0.001f, vselect(x > 1.0f, (x - 1.0f) * 0.001f + 1.0f, x));
    case DN_ACTIVATION_RELU6:
        return vselect(x <= 0.0f, zero, vselect(x > 6.0f, vset(6.0f), x));
    case DN_ACTIVATION_SWISH:
        return x * vsigmoid(x);
    case DN_ACTIVATION_MISH:
        return mish(x);
    case DN_ACTIVATION_HARD_MISH:
        return vselect(x > 0.0f, x, vselect(x <= -2.0f, zero, x * (x * 0.5f + 1.0f)));
    case DN_ACTIVATION_GELU:
        return gelu(x);
    default:
        return x;
    }
}

/* The derivative at output y, or at the pre-activation y for swish, mish and hard_mish. gelu's formula takes
 * the output where it should take the pre-activation: the fork's rule, which its trained weights carry. */
DN_INLINE vfloat gradient_vector(dn_activation kind, vfloat y) {
    const vfloat zero = vset(0.0f), one = vset(1.0f);
    switch (kind) {
    case DN_ACTIVATION_LOGISTIC:
        return (1.0f - y) * y;
    case DN_ACTIVATION_LOGGY:
        return 0.5f * (1.0f - y) * (1.0f + y); /* 2 (1 - z) z, z = (y + 1)/2 */
    case DN_ACTIVATION_RELU:
        return vselect(y > 0.0f, one, zero);
    case DN_ACTIVATION_ELU:
        return vselect(y >= 0.0f, one, y + 1.0f);
    case DN_ACTIVATION_SELU:
        return vselect(y >= 0.0f, vset(1.0507f), y + 1.0507f * 1.6732f);
    case DN_ACTIVATION_RELIE:
        return vselect(y > 0.0f, one, vset(0.01f));
    case DN_ACTIVATION_RAMP:
        return vselect(y > 0.0f, vset(1.1f), vset(0.1f));
    case DN_ACTIVATION_LEAKY:
        return vselect(y > 0.0f, one, vset(0.1f));
    case DN_ACTIVATION_TANH:
        return 1.0f - y * y;
    case DN_ACTIVATION_PLSE:
        return vselect((y < 0.0f) | (y > 1.0f), vset(0.01f), vset(0.125f));
    case DN_ACTIVATION_STAIR:
        return vselect(vfloor(y) == y, zero, one);
    case DN_ACTIVATION_HARDTAN:
        return vselect((y > -1.0f) & (y < 1.0f), one, zero);
    case DN_ACTIVATION_LHTAN:
        return vselect((y > 0.0f) & (y < 1.0f), one, vset(0.001f));
    case DN_ACTIVATION_RELU6:
        return vselect((y > 0.0f) & (y < 6.0f), one, zero);
    case DN_ACTIVATION_SWISH:
        return swish_gradient(y);
    case DN_ACTIVATION_MISH:
        return mish_gradient(y);
    case DN_ACTIVATION_HARD_MISH:
        return vselect(y > 0.0f, one, vselect(y > -2.0f, y + 1.0f, zero));
    case DN_ACTIVATION_GELU:
        return gelu_gradient(y);
    default:
        return one;
    }
}
