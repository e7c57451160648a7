/* blur.h - antialiasing of strided layers (Zhang, "Making Convolutional Networks Shift-Invariant Again",
 * 2019): the layer runs at stride 1, then a fixed depthwise blur takes the stride. compat.md 20.7. */
#ifndef DN_BLUR_H
#define DN_BLUR_H

#include "layer.h"

typedef struct dn_blur {
    int kind; /* 0: none; 1: 3x3 binomial, 2: 2x2 mean */
    dn_conv_shape shape;
} dn_blur;

/* Reads the key `antialiasing`; the blur then takes over the strides, which become 1. A stride of 1 needs no
 * blur. */
dn_status dn_blur_read(dn_blur *blur, dn_section *section, int *stride_y, int *stride_x);
/* Sets the blur's shape for maps of c x h x w. */
dn_status dn_blur_configure(dn_blur *blur, const dn_section *section, int c, int h, int w);
size_t dn_blur_scratch(const dn_blur *blur, const dn_ops *ops, dn_device *device, int batch);
void dn_blur_forward(const dn_blur *blur, const dn_run *run, const float *x, float *y, float *scratch);
/* dx is overwritten. */
void dn_blur_backward(const dn_blur *blur, const dn_run *run, const float *dy, float *dx, float *scratch);

#endif
