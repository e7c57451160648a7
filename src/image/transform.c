/* transform.c - cropping, mirroring, rotating and placing images. resize.c has the plain resize. */
#include "image.h"

#include <math.h>
#include <string.h>

dn_status dn_image_crop(float *out, int out_w, int out_h, int dx, int dy, const float *image, int w, int h,
                        int c) {
    DN_TRY(dn_image_check("dn_image_crop", image, w, h, c));
    DN_TRY(dn_image_check("dn_image_crop", out, out_w, out_h, c));
    /* Output columns [inner, outer) lie inside the image. */
    int64_t before = -(int64_t)dx, after = (int64_t)w - dx;
    int inner = (int)(before < 0 ? 0 : before > out_w ? out_w : before);
    int outer = (int)(after < inner ? inner : after > out_w ? out_w : after);
    for (int k = 0; k < c; ++k) {
        const float *plane = image + (size_t)k * (size_t)w * (size_t)h;
        for (int y = 0; y < out_h; ++y, out += out_w) {
            int64_t source = (int64_t)y + dy;
            const float *row = plane + (size_t)(source < 0 ? 0 : source >= h ? h - 1 : source) * (size_t)w;
            for (int x = 0; x < inner; ++x) out[x] = row[0];
            if (outer > inner) memcpy(out + inner, row + dx + inner, (size_t)(outer - inner) * sizeof *out);
            for (int x = outer; x < out_w; ++x) out[x] = row[w - 1];
        }
    }
    return DN_OK;
}

dn_status dn_image_flip(float *image, int w, int h, int c) {
    DN_TRY(dn_image_check("dn_image_flip", image, w, h, c));
    float *end = image + (size_t)c * (size_t)h * (size_t)w;
    for (float *row = image; row < end; row += w) {
        for (int left = 0, right = w - 1; left < right; ++left, --right) {
            float value = row[left];
            row[left] = row[right];
            row[right] = value;
        }
    }
    return DN_OK;
}

/* Column or row of place and of each tap of a bilinear sample with nothing outside: weight 0 where the tap
 * is. */
typedef struct tap {
    int low, high; /* always inside */
    float low_weight, high_weight;
} tap;

static tap tap_of(double position, int size) {
    tap found = {0};
    double low = floor(position);
    if (!(low >= -1 && low < size)) return found; /* also NaN */
    int index = (int)low;
    float weight = (float)(position - low);
    found.low = dn_max_int(index, 0);
    found.high = dn_min_int(index + 1, size - 1);
    found.low_weight = index >= 0 ? 1 - weight : 0;
    found.high_weight = index + 1 < size ? weight : 0;
    return found;
}

static float sample(const float *plane, int w, tap x, tap y) {
    const float *upper = plane + (size_t)y.low * (size_t)w, *lower = plane + (size_t)y.high * (size_t)w;
    return y.low_weight * (x.low_weight * upper[x.low] + x.high_weight * upper[x.high]) +
           y.high_weight * (x.low_weight * lower[x.low] + x.high_weight * lower[x.high]);
}

dn_status dn_image_rotate_crop(float *out, int out_w, int out_h, float radians, float scale, float dx,
                               float dy, float aspect, const float *image, int w, int h, int c) {
    DN_TRY(dn_image_check("dn_image_rotate_crop", image, w, h, c));
    DN_TRY(dn_image_check("dn_image_rotate_crop", out, out_w, out_h, c));
    if (!isfinite(radians) || !isfinite(dx) || !isfinite(dy) || !(scale > 0) || !(aspect > 0) ||
        isinf(scale) || isinf(aspect))
        return dn_fail(DN_ERROR_ARGUMENT,
                       "dn_image_rotate_crop: scale %g and aspect %g must be positive, and angle %g "
                       "and shift %g, %g finite",
                       (double)scale, (double)aspect, (double)radians, (double)dx, (double)dy);
    double cosine = cos(radians), sine = sin(radians);
    size_t plane = (size_t)w * (size_t)h, out_plane = (size_t)out_w * (size_t)out_h;
    for (int y = 0; y < out_h; ++y) {
        double v = ((double)y - out_h / 2.0) / scale + (double)dy / scale;
        for (int x = 0; x < out_w; ++x) {
            double u = ((double)x - out_w / 2.0) / scale * aspect + (double)dx / scale * aspect;
            tap column = tap_of(cosine * u - sine * v + w / 2.0, w);
            tap row = tap_of(sine * u + cosine * v + h / 2.0, h);
            float *target = out + (size_t)y * (size_t)out_w + (size_t)x;
            for (int k = 0; k < c; ++k)
                target[(size_t)k * out_plane] = sample(image + (size_t)k * plane, w, column, row);
        }
    }
    return DN_OK;
}

dn_status dn_image_place(float *canvas, int canvas_w, int canvas_h, int w, int h, int dx, int dy,
                         const float *image, int image_w, int image_h, int c) {
    DN_TRY(dn_image_check("dn_image_place", image, image_w, image_h, c));
    DN_TRY(dn_image_check("dn_image_place", canvas, canvas_w, canvas_h, c));
    if (w <= 0 || h <= 0)
        return dn_fail(DN_ERROR_IMAGE, "dn_image_place: cannot scale an image to %d x %d", w, h);
    /* Canvas columns [left, right) and rows [top, bottom) are painted. */
    int64_t end_x = (int64_t)dx + w, end_y = (int64_t)dy + h;
    int left = dn_max_int(dx, 0), right = (int)(end_x > canvas_w ? canvas_w : end_x);
    int top = dn_max_int(dy, 0), bottom = (int)(end_y > canvas_h ? canvas_h : end_y);
    if (left >= right || top >= bottom) return DN_OK;
    tap *columns;
    DN_TRY(dn_new(&columns, (size_t)(right - left), sizeof *columns, "columns of a placed image"));
    for (int x = left; x < right; ++x)
        columns[x - left] = tap_of((float)((int64_t)x - dx) / (float)w * (float)image_w, image_w);
    for (int y = top; y < bottom; ++y) {
        tap row = tap_of((float)((int64_t)y - dy) / (float)h * (float)image_h, image_h);
        for (int k = 0; k < c; ++k) {
            const float *plane = image + (size_t)k * (size_t)image_w * (size_t)image_h;
            float *target = canvas + ((size_t)k * (size_t)canvas_h + (size_t)y) * (size_t)canvas_w;
            for (int x = left; x < right; ++x) target[x] = sample(plane, image_w, columns[x - left], row);
        }
    }
    dn_free(columns);
    return DN_OK;
}
