/* resize.c - bilinear resizing with aligned corners, the way of every image into a network: two separable
 * passes, with the last two horizontally resized rows kept. */
#include "image.h"

#include <string.h>

enum { largest_side = 1 << 24 }; /* indices must be exact as floats */

dn_status dn_image_check(const char *function, const float *image, int w, int h, int c) {
    size_t floats;
    if (!image) return dn_fail(DN_ERROR_ARGUMENT, "%s: an image is NULL", function);
    if (w <= 0 || h <= 0 || c <= 0 || w > largest_side || h > largest_side || c > largest_side ||
        !dn_mul(&floats, (size_t)w, (size_t)h) || !dn_mul(&floats, floats, (size_t)c) ||
        floats > SIZE_MAX / 2 / sizeof(float))
        return dn_fail(DN_ERROR_IMAGE, "%s: an image of %d x %d pixels and %d channels is impossible",
                       function, w, h, c);
    return DN_OK;
}

/* Source position of each output column: columns[x], and the weight of its right neighbour. */
static void find_columns(int *columns, float *weights, int out_w, int w) {
    float scale = out_w > 1 ? (float)(w - 1) / (float)(out_w - 1) : 0;
    for (int x = 0; x < out_w; ++x) {
        float position = (float)x * scale;
        columns[x] = dn_min_int((int)position, w - 2);
        weights[x] = position - (float)columns[x];
    }
}

static void resize_row(float *restrict out, const float *restrict row, int out_w, int w,
                       const int *restrict columns, const float *restrict weights) {
    if (w == out_w) {
        memcpy(out, row, (size_t)w * sizeof *out);
    } else if (w == 1) {
        for (int x = 0; x < out_w; ++x) out[x] = row[0];
    } else {
        for (int x = 0; x < out_w; ++x) {
            const float *left = row + columns[x];
            out[x] = (1 - weights[x]) * left[0] + weights[x] * left[1];
        }
        out[out_w - 1] = row[w - 1]; /* exactly */
    }
}

static void blend_rows(float *restrict out, const float *restrict upper, const float *restrict lower,
                       float weight, int out_w) {
    for (int x = 0; x < out_w; ++x) out[x] = (1 - weight) * upper[x] + weight * lower[x];
}

/* The last row takes nothing from below. Where scale * (out_h - 1) rounds to less than h - 1, it is therefore
 * nearly black: so it is in the reference, and inputs are to be the same. */
static void resize_plane(float *out, size_t out_stride, int out_w, int out_h, const float *plane, int w,
                         int h, const int *columns, const float *weights, float *cache) {
    float scale = out_h > 1 ? (float)(h - 1) / (float)(out_h - 1) : 0;
    float *rows[2] = {cache, cache + out_w};
    int held[2] = {-1, -1};
    for (int y = 0; y < out_h; ++y) {
        float position = (float)y * scale;
        int upper = dn_min_int((int)position, h - 1);
        float weight = position - (float)upper;
        bool blends = y < out_h - 1 && upper < h - 1;
        for (int source = upper; source <= upper + blends; ++source) {
            int slot = source & 1;
            if (held[slot] == source) continue;
            resize_row(rows[slot], plane + (size_t)source * (size_t)w, out_w, w, columns, weights);
            held[slot] = source;
        }
        const float *below = rows[(upper + 1) & 1];
        float *target = out + (size_t)y * out_stride;
        if (blends) {
            blend_rows(target, rows[upper & 1], below, weight, out_w);
        } else {
            for (int x = 0; x < out_w; ++x) target[x] = (1 - weight) * rows[upper & 1][x];
        }
    }
}

static void copy_plane(float *out, size_t out_stride, const float *plane, int w, int h) {
    for (int y = 0; y < h; ++y)
        memcpy(out + (size_t)y * out_stride, plane + (size_t)y * (size_t)w, (size_t)w * sizeof *out);
}

dn_status dn_image_resize_into(float *out, size_t out_stride, size_t plane_stride, int out_w, int out_h,
                               const float *image, int w, int h, int c) {
    size_t plane = (size_t)w * (size_t)h, columns_count = (size_t)out_w;
    if (out_w == w && out_h == h) {
        for (int k = 0; k < c; ++k)
            copy_plane(out + (size_t)k * plane_stride, out_stride, image + (size_t)k * plane, w, h);
        return DN_OK;
    }
    int *columns = NULL;
    float *weights = NULL, *cache = NULL;
    dn_status status;
    DN_TRY_GOTO(dn_new(&columns, columns_count, sizeof *columns, "columns of a resized image"));
    DN_TRY_GOTO(dn_new_floats(&weights, columns_count, "columns of a resized image"));
    DN_TRY_GOTO(dn_new_floats(&cache, 2 * columns_count, "rows of a resized image"));
    if (w > 1) find_columns(columns, weights, out_w, w);
    for (int k = 0; k < c; ++k)
        resize_plane(out + (size_t)k * plane_stride, out_stride, out_w, out_h, image + (size_t)k * plane, w,
                     h, columns, weights, cache);
fail:
    dn_free(columns);
    dn_free(weights);
    dn_free(cache);
    return status;
}

dn_status dn_image_resize(float *out, int out_w, int out_h, const float *image, int w, int h, int c) {
    DN_TRY(dn_image_check("dn_image_resize", image, w, h, c));
    DN_TRY(dn_image_check("dn_image_resize", out, out_w, out_h, c));
    return dn_image_resize_into(out, (size_t)out_w, (size_t)out_w * (size_t)out_h, out_w, out_h, image, w, h,
                                c);
}
