/* The vector types of a level, by GCC/Clang vector extensions, with partial loads and stores and the
 * transpose of a square of vectors. */
#include <string.h>

typedef float vfloat __attribute__((vector_size(LEVEL_LANES * 4)));
typedef int32_t vint __attribute__((vector_size(LEVEL_LANES * 4)));

#define DN_INLINE static inline __attribute__((always_inline, unused))

/* DN_UNROLL: before a loop of constant length that must disappear, so that the arrays it indexes become
 * registers. DN_LOADS_APART: whether the compiler loads a value that is multiplied once into a register of
 * its own, and not as an operand. */
#if defined(__clang__)
#define DN_UNROLL      _Pragma("clang loop unroll(full)")
#define DN_LOADS_APART true
#else
#define DN_UNROLL      _Pragma("GCC unroll 32")
#define DN_LOADS_APART false
#endif

/* The compiler knows no more how this pointer was made. */
#define DN_OPAQUE(pointer) __asm__("" : "+r"(pointer))

DN_INLINE vfloat vload(const float *p) {
    vfloat v;
    memcpy(&v, p, sizeof v);
    return v;
}

DN_INLINE void vstore(float *p, vfloat v) {
    memcpy(p, &v, sizeof v);
}

/* x - 0 is x for every x, so that no instruction but the broadcast remains; x + 0 is not (x = -0). */
DN_INLINE vfloat vset(float x) {
    return x - (vfloat){0};
}

DN_INLINE vint vsplat(int32_t x) {
    vint v = {0};
    return v + x;
}

/* mask lanes are 0 or -1, as comparisons give them */
DN_INLINE vfloat vselect(vint mask, vfloat yes, vfloat no) {
    return (vfloat)((mask & (vint)yes) | (~mask & (vint)no));
}

/* a > b ? a : b and a < b ? a : b, so that NaN in b stays: exactly what these instructions do. */
DN_INLINE vfloat vmax(vfloat a, vfloat b) {
#if LEVEL_LANES == 16
    return _mm512_max_ps(a, b);
#elif LEVEL_LANES == 8
    return _mm256_max_ps(a, b);
#else
    return vselect(a > b, a, b);
#endif
}

DN_INLINE vfloat vmin(vfloat a, vfloat b) {
#if LEVEL_LANES == 16
    return _mm512_min_ps(a, b);
#elif LEVEL_LANES == 8
    return _mm256_min_ps(a, b);
#else
    return vselect(a < b, a, b);
#endif
}

/* to[0 .. count) = from[0 .. count), count < lanes. */
DN_INLINE void copy_tail(float *to, const float *from, int count) {
#if LEVEL_LANES > 8
    if (count & 8) {
        memcpy(to, from, 32);
        to += 8;
        from += 8;
    }
#endif
#if LEVEL_LANES > 4
    if (count & 4) {
        memcpy(to, from, 16);
        to += 4;
        from += 4;
    }
#endif
    if (count & 2) {
        memcpy(to, from, 8);
        to += 2;
        from += 2;
    }
    if (count & 1) *to = *from;
}

/* The same for any count; the last vector overlaps the one before it. */
DN_INLINE void copy_floats(float *to, const float *from, int count) {
    if (count < LEVEL_LANES) {
        copy_tail(to, from, count);
        return;
    }
    int i = 0;
    for (; i + LEVEL_LANES <= count; i += LEVEL_LANES) vstore(to + i, vload(from + i));
    if (i < count) vstore(to + count - LEVEL_LANES, vload(from + count - LEVEL_LANES));
}

DN_INLINE void zero_floats(float *to, int count) {
    for (int i = 0; i < count; ++i) to[i] = 0;
}

/* The first count < lanes of a vector, the others zero. With 16 lanes by mask registers, which the vector
 * extensions don't know. */
DN_INLINE vfloat vload_partial(const float *p, int count) {
#if LEVEL_LANES == 16
    return _mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
#elif LEVEL_LANES == 8 /* by way of memory it would wait for the stores */
    const vint lane = {0, 1, 2, 3, 4, 5, 6, 7};
    return _mm256_maskload_ps(p, (__m256i)(lane < vsplat(count)));
#else
    float lanes[LEVEL_LANES] = {0};
    copy_tail(lanes, p, count);
    return vload(lanes);
#endif
}

DN_INLINE void vstore_partial(float *p, vfloat v, int count) {
#if LEVEL_LANES == 16
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), v);
#else
    float lanes[LEVEL_LANES];
    vstore(lanes, v);
    copy_tail(p, lanes, count);
#endif
}

/* Lanes first .. end, which may be outside of the vector; and a vector of which only these are read, the
 * others zero. */
#if LEVEL_LANES == 16
typedef __mmask16 vmask;
#elif LEVEL_LANES == 8
typedef vint vmask;
#else
typedef struct vmask {
    bool any;
    int lane[LEVEL_LANES]; /* itself, or the nearest that is read */
    vint inside;
} vmask;
#endif

DN_INLINE vmask vmask_of(int first, int end) {
    first = dn_min_int(dn_max_int(first, 0), LEVEL_LANES);
    end = dn_min_int(dn_max_int(end, first), LEVEL_LANES);
#if LEVEL_LANES == 16
    return (vmask)((1u << end) - (1u << first));
#elif LEVEL_LANES == 8
    const vint lane = {0, 1, 2, 3, 4, 5, 6, 7};
    return (lane >= vsplat(first)) & (lane < vsplat(end));
#else
    const vint lane = {0, 1, 2, 3};
    vmask mask = {.any = end > first, .inside = (lane >= vsplat(first)) & (lane < vsplat(end))};
    for (int i = 0; i < LEVEL_LANES; ++i) mask.lane[i] = dn_min_int(dn_max_int(i, first), end - 1);
    return mask;
#endif
}

DN_INLINE vfloat vload_masked(const float *p, vmask mask) {
#if LEVEL_LANES == 16
    return _mm512_maskz_loadu_ps(mask, p);
#elif LEVEL_LANES == 8
    return _mm256_maskload_ps(p, (__m256i)mask);
#else
    if (!mask.any) return (vfloat){0};
    const vfloat v = {p[mask.lane[0]], p[mask.lane[1]], p[mask.lane[2]], p[mask.lane[3]]};
    return (vfloat)((vint)v & mask.inside);
#endif
}

DN_INLINE vfloat vchoose(vmask mask, vfloat yes, vfloat no) {
#if LEVEL_LANES == 16
    return _mm512_mask_blend_ps(mask, no, yes);
#elif LEVEL_LANES == 8
    return vselect(mask, yes, no);
#else
    return vselect(mask.inside, yes, no);
#endif
}

/* Pairs summed as a tree. */
DN_INLINE float vsum(vfloat v) {
    float lanes[LEVEL_LANES];
    vstore(lanes, v);
    for (int half = LEVEL_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    return lanes[0];
}

/* JOIN: of two halves. TAKE_EVEN_PAIRS, TAKE_ODD_PAIRS: in an order that takes the fewest instructions, which
 * SORT_PAIRS puts right. */
#if LEVEL_LANES == 16
#define INTERLEAVE_LOW(a, b)                                                                                 \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define INTERLEAVE_HIGH(a, b)                                                                                \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define TAKE_EVEN(a, b)                                                                                      \
    __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define TAKE_ODD(a, b)                                                                                       \
    __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#define TAKE_EVEN_PAIRS(a, b)                                                                                \
    __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30)
#define TAKE_ODD_PAIRS(a, b)                                                                                 \
    __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31)
#define SORT_PAIRS(v) __builtin_shufflevector(v, v, 0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15)
#define JOIN(a, b)    __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#elif LEVEL_LANES == 8
#define TAKE_EVEN(a, b)       __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define TAKE_ODD(a, b)        __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#define TAKE_EVEN_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14)
#define TAKE_ODD_PAIRS(a, b)  __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15)
#define SORT_PAIRS(v)         __builtin_shufflevector(v, v, 0, 1, 4, 5, 2, 3, 6, 7)
#define JOIN(a, b)            __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7)
#define INTERLEAVE_LOW(a, b)  __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define INTERLEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define TAKE_EVEN(a, b)       __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define TAKE_ODD(a, b)        __builtin_shufflevector(a, b, 1, 3, 5, 7)
#define TAKE_EVEN_PAIRS(a, b) TAKE_EVEN(a, b)
#define TAKE_ODD_PAIRS(a, b)  TAKE_ODD(a, b)
#define SORT_PAIRS(v)         (v)
#define JOIN(a, b)            __builtin_shufflevector(a, b, 0, 1, 2, 3)
#define INTERLEAVE_LOW(a, b)  __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define INTERLEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

/* Of each 128-bit lane: the halves of a and b interleaved, one by one or two by two. */
#if LEVEL_LANES == 16
#define LANE_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define LANE_HIGH(a, b)                                                                                      \
    __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define LANE_LOW_PAIRS(a, b)                                                                                 \
    __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define LANE_HIGH_PAIRS(a, b)                                                                                \
    __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define EVEN_LANES(a, b)                                                                                     \
    __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define ODD_LANES(a, b)                                                                                      \
    __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
#elif LEVEL_LANES == 8
#define LANE_LOW(a, b)        __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define LANE_HIGH(a, b)       __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define LANE_LOW_PAIRS(a, b)  __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define LANE_HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define EVEN_LANES(a, b)      __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define ODD_LANES(a, b)       __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
#else
#define LANE_LOW(a, b)        INTERLEAVE_LOW(a, b)
#define LANE_HIGH(a, b)       INTERLEAVE_HIGH(a, b)
#define LANE_LOW_PAIRS(a, b)  __builtin_shufflevector(a, b, 0, 1, 4, 5)
#define LANE_HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 6, 7)
#endif

/* v[i][j] becomes v[j][i]: squares of 4 inside 128-bit lanes, where shuffles are cheapest, then the lanes. */
DN_INLINE void vtranspose(vfloat v[LEVEL_LANES]) {
    vfloat squares[LEVEL_LANES]; /* lane l of [4 g + j] is column 4 l + j of rows 4 g .. */
    DN_UNROLL
    for (int i = 0; i < LEVEL_LANES; i += 4) {
        const vfloat low0 = LANE_LOW(v[i], v[i + 1]), high0 = LANE_HIGH(v[i], v[i + 1]);
        const vfloat low1 = LANE_LOW(v[i + 2], v[i + 3]), high1 = LANE_HIGH(v[i + 2], v[i + 3]);
        squares[i] = LANE_LOW_PAIRS(low0, low1);
        squares[i + 1] = LANE_HIGH_PAIRS(low0, low1);
        squares[i + 2] = LANE_LOW_PAIRS(high0, high1);
        squares[i + 3] = LANE_HIGH_PAIRS(high0, high1);
    }
    DN_UNROLL
    for (int j = 0; j < 4; ++j) {
#if LEVEL_LANES == 16
        const vfloat even0 = EVEN_LANES(squares[j], squares[4 + j]),
                     odd0 = ODD_LANES(squares[j], squares[4 + j]);
        const vfloat even1 = EVEN_LANES(squares[8 + j], squares[12 + j]),
                     odd1 = ODD_LANES(squares[8 + j], squares[12 + j]);
        v[j] = EVEN_LANES(even0, even1);
        v[4 + j] = EVEN_LANES(odd0, odd1);
        v[8 + j] = ODD_LANES(even0, even1);
        v[12 + j] = ODD_LANES(odd0, odd1);
#elif LEVEL_LANES == 8
        v[j] = EVEN_LANES(squares[j], squares[4 + j]);
        v[4 + j] = ODD_LANES(squares[j], squares[4 + j]);
#else
        v[j] = squares[j];
#endif
    }
}

/* Of so many values that meet two or three vectors each, how many are loaded as operands of all those
 * multiply-adds: that takes an instruction less than a register for all, but more loads. Pointers to them
 * must be opaque, or the loads of a value become one. A core that is alone does as well with either; where
 * its other thread takes half of the issue slots, 10 to 17 % more get done (Emerald Rapids, 4 to 14 values).
 */
DN_INLINE int values_as_operands(const int values) {
    if (LEVEL_LANES < 16 || DN_LOADS_APART) return 0;
    return values > 8 ? values * 3 / 4 : values * 5 / 8;
}
