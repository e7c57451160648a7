/* correct.c - the geometry of the letterbox, and boxes taken back from it to the original image. */
#include "box.h"

void dn_letterbox_size(int *fit_w, int *fit_h, int w, int h, int net_w, int net_h) {
    int64_t new_w = net_w, new_h = net_h;
    if ((float)net_w / (float)w < (float)net_h / (float)h)
        new_h = (int64_t)h * net_w / w;
    else
        new_w = (int64_t)w * net_h / h;
    /* Float division may call two ratios equal that differ by a pixel; and a hair-thin image keeps one pixel.
     */
    *fit_w = new_w < 1 ? 1 : new_w > net_w ? net_w : (int)new_w;
    *fit_h = new_h < 1 ? 1 : new_h > net_h ? net_h : (int)new_h;
}

void dn_boxes_correct(float *boxes, int count, int image_w, int image_h, int net_w, int net_h, int relative) {
    if (!boxes || image_w <= 0 || image_h <= 0 || net_w <= 0 || net_h <= 0) return;
    int fit_w, fit_h;
    dn_letterbox_size(&fit_w, &fit_h, image_w, image_h, net_w, net_h);
    /* The border is halved exactly here but by integer division where the image is placed; so does the
     * reference. */
    double border_x = (net_w - fit_w) / 2.0 / net_w, border_y = (net_h - fit_h) / 2.0 / net_h;
    double part_x = (float)fit_w / (float)net_w, part_y = (float)fit_h / (float)net_h;
    float scale_x = (float)net_w / (float)fit_w, scale_y = (float)net_h / (float)fit_h;
    for (int i = 0; i < count; ++i) {
        float *box = boxes + 4 * (size_t)i;
        box[0] = (float)((box[0] - border_x) / part_x);
        box[1] = (float)((box[1] - border_y) / part_y);
        box[2] *= scale_x;
        box[3] *= scale_y;
        if (relative) continue;
        box[0] *= (float)image_w;
        box[1] *= (float)image_h;
        box[2] *= (float)image_w;
        box[3] *= (float)image_h;
    }
}
