/* convolutions.h - what test_conv.c compares with: plain loops in double precision. */
#ifndef DN_TEST_CONVOLUTIONS_H
#define DN_TEST_CONVOLUTIONS_H

#include "../../src/backends/cpu/cpu.h"

typedef void (*tap_function)(void *context, size_t x, size_t w, size_t y);

/* Calls f for every multiply-add of one image, with the indices of its three numbers. */
static void each_tap(const dn_conv_shape *s, tap_function f, void *context) {
    const int in = s->in_c / s->groups, filters = s->out_c / s->groups;
    for (int o = 0; o < s->out_c; ++o)
        for (int i = 0; i < in; ++i)
            for (int tap = 0; tap < s->size * s->size; ++tap)
                for (int p = 0; p < s->out_h * s->out_w; ++p) {
                    const int y = p / s->out_w * s->stride_y - s->pad + tap / s->size * s->dilation;
                    const int x = p % s->out_w * s->stride_x - s->pad + tap % s->size * s->dilation;
                    if (y < 0 || y >= s->in_h || x < 0 || x >= s->in_w) continue;
                    const int channel = o / filters * in + i;
                    f(context, ((size_t)channel * (size_t)s->in_h + (size_t)y) * (size_t)s->in_w + (size_t)x,
                      ((size_t)o * (size_t)in + (size_t)i) * (size_t)(s->size * s->size) + (size_t)tap,
                      (size_t)o * (size_t)(s->out_h * s->out_w) + (size_t)p);
                }
}

typedef struct plain {
    const float *x, *w, *dy;
    double *y, *dx, *dw;
} plain;

static void plain_tap(void *context, size_t x, size_t w, size_t y) {
    plain *p = context;
    p->y[y] += (double)p->x[x] * (double)p->w[w];
    p->dx[x] += (double)p->dy[y] * (double)p->w[w];
    p->dw[w] += (double)p->dy[y] * (double)p->x[x];
}

#endif
