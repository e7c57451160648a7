/* image.h - what the files of image/ share: argument checks, the resizing core and the colour distortion that
 * augmentation applies. Images are planar floats [c][h][w]; colours are 0..1, red first. */
#ifndef DN_IMAGE_H
#define DN_IMAGE_H

#include "../base/base.h"

/* Fails unless the image is there and its floats can be counted; function is named in the message. */
dn_status dn_image_check(const char *function, const float *image, int w, int h, int c);

/* Writes planes of out_w x out_h into larger ones: rows are out_stride floats apart, planes plane_stride.
 * Arguments are checked by the caller. */
dn_status dn_image_resize_into(float *out, size_t out_stride, size_t plane_stride, int out_w, int out_h,
                               const float *image, int w, int h, int c);

#endif
