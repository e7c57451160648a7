/* cpu_patches.c - the patches under a convolution's windows as rows in memory, and back: what locally
 * connected layers multiply. Convolutions never store theirs (gemm.c). */
#include "cpu.h"

#include <string.h>

typedef struct patches {
    const dn_conv_shape *shape;
    const float *x;
    float *gathered;
    const float *scattered;
    float *dx;
    size_t batch;
} patches;

/* Columns first .. last of a patch lie inside the image. */
static void inside(const dn_conv_shape *shape, int x, int *first, int *last) {
    *first = dn_min_int(shape->size, dn_max_int(0, -x));
    *last = dn_max_int(*first, dn_min_int(shape->size, shape->in_w - x));
}

static void gather_patch(const dn_conv_shape *shape, const float *image, int y, int x, float *patch) {
    const int size = shape->size;
    int first, last;
    inside(shape, x, &first, &last);
    for (int c = 0; c < shape->in_c; ++c, image += (size_t)shape->in_h * (size_t)shape->in_w)
        for (int ky = 0; ky < size; ++ky, patch += size) {
            if (y + ky < 0 || y + ky >= shape->in_h) {
                memset(patch, 0, (size_t)size * sizeof *patch);
                continue;
            }
            const float *row = image + (ptrdiff_t)(y + ky) * shape->in_w + x;
            for (int kx = 0; kx < first; ++kx) patch[kx] = 0;
            for (int kx = first; kx < last; ++kx) patch[kx] = row[kx];
            for (int kx = last; kx < size; ++kx) patch[kx] = 0;
        }
}

static void gather_task(void *context, int part, int parts) {
    const patches *op = context;
    const dn_conv_shape *shape = op->shape;
    const size_t columns = (size_t)shape->out_w, locations = columns * (size_t)shape->out_h;
    const size_t taps = (size_t)shape->in_c * (size_t)(shape->size * shape->size);
    const size_t image = (size_t)shape->in_c * (size_t)shape->in_h * (size_t)shape->in_w;
    size_t begin, end;
    dn_pool_slice(locations * op->batch, 1, part, parts, &begin, &end);
    for (size_t unit = begin; unit < end; ++unit) {
        const size_t location = unit / op->batch;
        gather_patch(shape, op->x + unit % op->batch * image,
                     (int)(location / columns) * shape->stride_y - shape->pad,
                     (int)(location % columns) * shape->stride_x - shape->pad, op->gathered + unit * taps);
    }
}

static size_t patch_work(const dn_conv_shape *shape, int batch) {
    return (size_t)batch * (size_t)shape->out_h * (size_t)shape->out_w * (size_t)shape->in_c *
           (size_t)(shape->size * shape->size);
}

void dn_cpu_patches_gather(dn_device *device, const dn_conv_shape *shape, int batch, const float *x,
                           float *rows) {
    patches op = {.shape = shape, .x = x, .gathered = rows, .batch = (size_t)batch};
    dn_cpu_parallel(device, patch_work(shape, batch), gather_task, &op);
}

/* One channel's part of all patches of an image; a plane belongs to one thread. */
static void scatter_plane(const patches *op, size_t image, int channel, float *plane) {
    const dn_conv_shape *shape = op->shape;
    const int size = shape->size;
    const size_t taps = (size_t)shape->in_c * (size_t)(size * size);
    const float *patch = op->scattered + image * taps + (size_t)channel * (size_t)(size * size);
    for (int oy = 0; oy < shape->out_h; ++oy)
        for (int ox = 0; ox < shape->out_w; ++ox, patch += op->batch * taps) {
            const int y = oy * shape->stride_y - shape->pad, x = ox * shape->stride_x - shape->pad;
            int first, last;
            inside(shape, x, &first, &last);
            for (int ky = dn_max_int(0, -y); ky < dn_min_int(size, shape->in_h - y); ++ky) {
                float *row = plane + (ptrdiff_t)(y + ky) * shape->in_w + x;
                for (int kx = first; kx < last; ++kx) row[kx] += patch[ky * size + kx];
            }
        }
}

static void scatter_task(void *context, int part, int parts) {
    const patches *op = context;
    const size_t channels = (size_t)op->shape->in_c;
    const size_t plane = (size_t)op->shape->in_h * (size_t)op->shape->in_w;
    size_t begin, end;
    dn_pool_slice(op->batch * channels, 1, part, parts, &begin, &end);
    for (size_t unit = begin; unit < end; ++unit)
        scatter_plane(op, unit / channels, (int)(unit % channels), op->dx + unit * plane);
}

void dn_cpu_patches_scatter(dn_device *device, const dn_conv_shape *shape, int batch, const float *rows,
                            float *dx) {
    patches op = {.shape = shape, .scattered = rows, .dx = dx, .batch = (size_t)batch};
    dn_cpu_parallel(device, patch_work(shape, batch), scatter_task, &op);
}
