/* color.c - bytes to floats and back, and colour changes by way of hue, saturation and value. */
#include "image.h"

#include <math.h>

dn_status dn_image_from_bytes(float *out, const uint8_t *bytes, int w, int h, int channels, int bgr) {
    DN_TRY(dn_image_check("dn_image_from_bytes", out, w, h, channels));
    if (!bytes) return dn_fail(DN_ERROR_ARGUMENT, "dn_image_from_bytes: bytes is NULL");
    if (bgr && channels < 3)
        return dn_fail(DN_ERROR_IMAGE, "dn_image_from_bytes: bgr needs 3 channels, the image has %d",
                       channels);
    size_t plane = (size_t)w * (size_t)h, step = (size_t)channels;
    for (size_t k = 0; k < step; ++k) {
        const uint8_t *restrict source = bytes + (bgr && k < 3 ? 2 - k : k);
        float *restrict target = out + k * plane;
        for (size_t i = 0; i < plane; ++i) target[i] = (float)source[i * step] / 255.0f;
    }
    return DN_OK;
}

/* Rounded and clamped, NaN as 0, so that bytes survive the way there and back; the reference truncates. */
static uint8_t byte_of(float value) {
    return value > 0 ? (uint8_t)(value < 1 ? value * 255 + 0.5f : 255) : 0;
}

dn_status dn_image_to_bytes(uint8_t *out, const float *image, int w, int h, int channels) {
    DN_TRY(dn_image_check("dn_image_to_bytes", image, w, h, channels));
    if (!out) return dn_fail(DN_ERROR_ARGUMENT, "dn_image_to_bytes: out is NULL");
    size_t plane = (size_t)w * (size_t)h, step = (size_t)channels;
    for (size_t k = 0; k < step; ++k)
        for (size_t i = 0; i < plane; ++i) out[i * step + k] = byte_of(image[k * plane + i]);
    return DN_OK;
}

/* Three numbers of a pixel: red, green, blue or hue, saturation, value; each in 0..1. */
typedef struct dn_color {
    float a, b, c;
} dn_color;

/* One instruction each, unlike fminf and fmaxf. */
static inline float smaller(float a, float b) {
    return a < b ? a : b;
}
static inline float larger(float a, float b) {
    return a > b ? a : b;
}

static dn_color hsv_of(dn_color rgb) {
    float r = rgb.a, g = rgb.b, b = rgb.c;
    float most = larger(r, larger(g, b)), delta = most - smaller(r, smaller(g, b)), hue;
    if (most == 0) return (dn_color){0, 0, 0};
    /* The hue of grey is 0 / 0, as in the reference; with saturation 0 nothing reads it. */
    if (r == most) {
        hue = (g - b) / delta;
    } else if (g == most) {
        hue = 2 + (b - r) / delta;
    } else {
        hue = 4 + (r - g) / delta;
    }
    if (hue < 0) hue += 6;
    return (dn_color){hue / 6, delta / most, most};
}

static dn_color rgb_of(dn_color hsv) {
    float s = hsv.b, v = hsv.c;
    if (s == 0) return (dn_color){v, v, v};
    float hue = 6 * hsv.a, sector = hue >= 0 && hue < 6 ? (float)(int)hue : floorf(hue), f = hue - sector;
    float p = v * (1 - s), q = v * (1 - s * f), t = v * (1 - s * (1 - f));
    if (sector == 0) return (dn_color){v, t, p};
    if (sector == 1) return (dn_color){q, v, p};
    if (sector == 2) return (dn_color){p, v, t};
    if (sector == 3) return (dn_color){p, q, v};
    if (sector == 4) return (dn_color){t, p, v};
    return (dn_color){v, p, q};
}

static dn_color color_at(const float *image, size_t plane, size_t i) {
    return (dn_color){image[i], image[plane + i], image[2 * plane + i]};
}

static void set_color(float *image, size_t plane, size_t i, dn_color color) {
    image[i] = color.a;
    image[plane + i] = color.b;
    image[2 * plane + i] = color.c;
}

dn_status dn_image_rgb_to_hsv(float *image, int w, int h) {
    DN_TRY(dn_image_check("dn_image_rgb_to_hsv", image, w, h, 3));
    size_t plane = (size_t)w * (size_t)h;
    for (size_t i = 0; i < plane; ++i) set_color(image, plane, i, hsv_of(color_at(image, plane, i)));
    return DN_OK;
}

dn_status dn_image_hsv_to_rgb(float *image, int w, int h) {
    DN_TRY(dn_image_check("dn_image_hsv_to_rgb", image, w, h, 3));
    size_t plane = (size_t)w * (size_t)h;
    for (size_t i = 0; i < plane; ++i) set_color(image, plane, i, rgb_of(color_at(image, plane, i)));
    return DN_OK;
}

static float clamped(float value) {
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

dn_status dn_image_distort(float *image, int w, int h, float hue, float saturation, float exposure) {
    DN_TRY(dn_image_check("dn_image_distort", image, w, h, 3));
    if (!isfinite(hue) || !isfinite(saturation) || !isfinite(exposure))
        return dn_fail(DN_ERROR_ARGUMENT,
                       "dn_image_distort: hue %g, saturation %g or exposure %g is not finite", (double)hue,
                       (double)saturation, (double)exposure);
    size_t plane = (size_t)w * (size_t)h;
    for (size_t i = 0; i < plane; ++i) {
        dn_color hsv = hsv_of(color_at(image, plane, i));
        hsv.a += hue;
        if (hsv.a > 1) hsv.a -= 1;
        if (hsv.a < 0) hsv.a += 1;
        hsv.b *= saturation;
        hsv.c *= exposure;
        dn_color rgb = rgb_of(hsv);
        set_color(image, plane, i, (dn_color){clamped(rgb.a), clamped(rgb.b), clamped(rgb.c)});
    }
    return DN_OK;
}
