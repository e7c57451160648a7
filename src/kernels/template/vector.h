/* The vector types of a level, by GCC/Clang vector extensions. */
#include <string.h>

typedef float vfloat __attribute__((vector_size(LEVEL_LANES * 4)));
typedef int32_t vint __attribute__((vector_size(LEVEL_LANES * 4)));

static inline vfloat vload(const float *p) {
    vfloat v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vstore(float *p, vfloat v) { memcpy(p, &v, sizeof v); }

static inline vfloat vset(float x) {
    vfloat v = {0};
    return v + x;
}

/* mask lanes are 0 or -1, as comparisons give them */
static inline vfloat vselect(vint mask, vfloat yes, vfloat no) {
    return (vfloat)((mask & (vint)yes) | (~mask & (vint)no));
}

static inline vfloat vmax(vfloat a, vfloat b) { return vselect(a > b, a, b); }
static inline vfloat vmin(vfloat a, vfloat b) { return vselect(a < b, a, b); }
