/* cpu_crop.c - windows of an image: copied, mirrored or turned, recoloured, mapped. A unit of work is a row
 * of the window in all channels. */
#include "cpu.h"

#include <math.h>
#include <string.h>

typedef struct crop {
    const dn_kernels *kernels;
    const dn_crop_shape *shape;
    const dn_crop *how;
    const float *x;
    float *y;
} crop;

static void copy_row(const crop *op, int row) {
    const dn_crop_shape *s = op->shape;
    const size_t plane = (size_t)s->h * (size_t)s->w, out = (size_t)s->out_h * (size_t)s->out_w;
    const float *x = op->x + (size_t)(op->how->top + row) * (size_t)s->w + op->how->left;
    float *y = op->y + (size_t)row * (size_t)s->out_w;
    for (int k = 0; k < s->c; ++k, x += plane, y += out) {
        if (op->how->flip)
            for (int i = 0; i < s->out_w; ++i) y[i] = x[s->out_w - 1 - i];
        else
            memcpy(y, x, (size_t)s->out_w * sizeof *y);
    }
}

/* Four neighbours' weights, and their places in the plane; outside there is nothing. */
typedef struct neighbours {
    ptrdiff_t at[4];
    float weight[4];
} neighbours;

static neighbours neighbours_of(const dn_crop_shape *s, float y, float x) {
    neighbours n = {{0}, {0}};
    if (!(x > -1 && y > -1 && x < (float)s->w && y < (float)s->h)) return n;
    const float top = floorf(y), left = floorf(x), down = y - top, right = x - left;
    for (int i = 0; i < 4; ++i) {
        const int row = (int)top + i / 2, column = (int)left + i % 2;
        if (row < 0 || row >= s->h || column < 0 || column >= s->w) continue;
        n.at[i] = (ptrdiff_t)row * s->w + column;
        n.weight[i] = (i / 2 ? down : 1 - down) * (i % 2 ? right : 1 - right);
    }
    return n;
}

/* Turned about the image's centre, by bilinear sampling. */
static void turn_row(const crop *op, int row) {
    const dn_crop_shape *s = op->shape;
    const size_t plane = (size_t)s->h * (size_t)s->w, out = (size_t)s->out_h * (size_t)s->out_w;
    const float sine = sinf(op->how->angle), cosine = cosf(op->how->angle);
    const float middle_x = (float)(s->w - 1) / 2, middle_y = (float)(s->h - 1) / 2;
    for (int i = 0; i < s->out_w; ++i) {
        const int column = op->how->left + (op->how->flip ? s->out_w - 1 - i : i);
        const float dx = (float)column - middle_x, dy = (float)(op->how->top + row) - middle_y;
        const neighbours n =
            neighbours_of(s, sine * dx + cosine * dy + middle_y, cosine * dx - sine * dy + middle_x);
        const float *x = op->x;
        float *y = op->y + (size_t)row * (size_t)s->out_w + i;
        for (int k = 0; k < s->c; ++k, x += plane, y += out)
            *y = n.weight[0] * x[n.at[0]] + n.weight[1] * x[n.at[1]] + n.weight[2] * x[n.at[2]] +
                 n.weight[3] * x[n.at[3]];
    }
}

/* Saturation and value (HSV) multiplied, the hue kept: a colour is v - v s f, f depending on the hue alone.
 */
static void recolour_row(const crop *op, int row) {
    const dn_crop_shape *s = op->shape;
    const size_t out = (size_t)s->out_h * (size_t)s->out_w;
    const float saturation = op->how->saturation, exposure = op->how->exposure;
    float *red = op->y + (size_t)row * (size_t)s->out_w, *green = red + out, *blue = green + out;
    for (int i = 0; i < s->out_w; ++i) {
        float value = red[i] > green[i] ? red[i] : green[i];
        value = value > blue[i] ? value : blue[i];
        red[i] = exposure * (value - saturation * (value - red[i]));
        green[i] = exposure * (value - saturation * (value - green[i]));
        blue[i] = exposure * (value - saturation * (value - blue[i]));
    }
}

static void crop_task(void *context, int part, int parts) {
    const crop *op = context;
    const dn_crop_shape *s = op->shape;
    const dn_crop *how = op->how;
    size_t begin, end;
    dn_pool_slice((size_t)s->out_h, 1, part, parts, &begin, &end);
    for (int row = (int)begin; row < (int)end; ++row) {
        if (how->angle == 0)
            copy_row(op, row);
        else
            turn_row(op, row);
        if (s->c == 3 && (how->saturation != 1 || how->exposure != 1)) recolour_row(op, row);
        for (int k = 0; k < s->c; ++k)
            op->kernels->affine_activate(DN_ACTIVATION_LINEAR, false,
                                         op->y +
                                             ((size_t)k * (size_t)s->out_h + (size_t)row) * (size_t)s->out_w,
                                         how->factor, how->offset[k < 3 ? k : 2], NULL, (size_t)s->out_w);
    }
}

void dn_cpu_crop(dn_device *device, const dn_crop_shape *shape, const dn_crop *how, const float *x,
                 float *y) {
    crop op = {device->kernels, shape, how, x, y};
    dn_cpu_parallel(device, (size_t)shape->c * (size_t)shape->out_h * (size_t)shape->out_w, crop_task, &op);
}
