/* letterbox.c - an image resized to fit a network's input, its aspect kept, centred on grey. boxes/correct.c
 * maps boxes back. */
#include "image.h"

#include "../boxes/box.h"

static void fill(float *out, size_t count, float value) {
    for (size_t i = 0; i < count; ++i) out[i] = value;
}

dn_status dn_image_letterbox(float *out, int out_w, int out_h, const float *image, int w, int h, int c) {
    DN_TRY(dn_image_check("dn_image_letterbox", image, w, h, c));
    DN_TRY(dn_image_check("dn_image_letterbox", out, out_w, out_h, c));
    const float grey = 0.5f;
    int fit_w, fit_h;
    dn_letterbox_size(&fit_w, &fit_h, w, h, out_w, out_h);
    int left = (out_w - fit_w) / 2, top = (out_h - fit_h) / 2;
    size_t stride = (size_t)out_w, plane = stride * (size_t)out_h;
    size_t above = (size_t)top * stride, inside = (size_t)fit_h * stride;
    for (int k = 0; k < c; ++k) {
        float *target = out + (size_t)k * plane;
        fill(target, above, grey);
        fill(target + above + inside, plane - above - inside, grey);
        for (float *row = target + above; row < target + above + inside && fit_w < out_w; row += stride) {
            fill(row, (size_t)left, grey);
            fill(row + left + fit_w, stride - (size_t)(left + fit_w), grey);
        }
    }
    return dn_image_resize_into(out + above + left, stride, plane, fit_w, fit_h, image, w, h, c);
}
