/* augment.c - random variants of training images and their boxes. Each call draws from a stream of its own,
 * keyed by (seed, sample, step), so a batch does not depend on which thread made which image. */
#include "image.h"

#include "../boxes/box.h"

#include <math.h>
#include <string.h>

void dn_augment_options_init(dn_augment_options *options) {
    if (!options) return;
    *options = (dn_augment_options){.struct_size = sizeof *options,
                                    .jitter = 0.2f,
                                    .saturation = 1,
                                    .exposure = 1,
                                    .flip = 1,
                                    .aspect = 1};
}

static dn_status check_options(const char *function, const dn_augment_options *options) {
    if (!options || options->struct_size != sizeof *options)
        return dn_fail(DN_ERROR_ARGUMENT, "%s: options were not set by dn_augment_options_init", function);
    if (!(options->jitter >= 0 && options->jitter < 1))
        return dn_fail(DN_ERROR_ARGUMENT, "%s: jitter is %g, expected 0 or more and less than 1", function,
                       (double)options->jitter);
    if (!(options->saturation >= 0 && options->exposure >= 0 && options->aspect >= 0) ||
        isinf(options->saturation) || isinf(options->exposure) || isinf(options->aspect))
        return dn_fail(DN_ERROR_ARGUMENT,
                       "%s: saturation %g, exposure %g or aspect %g is negative or not finite", function,
                       (double)options->saturation, (double)options->exposure, (double)options->aspect);
    if (!isfinite(options->hue) || !isfinite(options->angle))
        return dn_fail(DN_ERROR_ARGUMENT, "%s: hue %g or angle %g is not finite", function,
                       (double)options->hue, (double)options->angle);
    if (options->min_size < 0 || options->max_size < 0)
        return dn_fail(DN_ERROR_ARGUMENT, "%s: sizes %d to %d are negative", function, options->min_size,
                       options->max_size);
    return DN_OK;
}

/* A cfg that says 0 means no change. */
static float random_factor(dn_random *random, float most) {
    return most == 0 ? 1 : dn_random_scale(random, most);
}

/* Flip and colour: the draws happen whether or not they are used, so that an option does not shift the
 * others. */
static dn_status finish(float *image, int w, int h, int c, const dn_augment_options *options,
                        dn_random *random, bool *flipped) {
    float hue = dn_random_uniform(random, -options->hue, options->hue);
    float saturation = random_factor(random, options->saturation);
    float exposure = random_factor(random, options->exposure);
    *flipped = (dn_random_bits(random) & 1) && options->flip;
    if (*flipped) DN_TRY(dn_image_flip(image, w, h, c));
    bool same = hue == 0 && saturation == 1 && exposure == 1;
    return c != 3 || same ? DN_OK : dn_image_distort(image, w, h, hue, saturation, exposure);
}

/* Where an image lands on the canvas: relative to it, position = relative * scale + shift. */
typedef struct dn_placement {
    float scale_x, scale_y, shift_x, shift_y;
    bool flipped;
} dn_placement;

/* Aspect ratio jittered by up to jitter of each side, as large as fits in one direction, anywhere on the
 * canvas. The ratio is compared with 1, not with that of the canvas, as in the reference. */
static dn_status place_at_random(float *out, int out_w, int out_h, const float *image, int w, int h,
                                 float jitter, dn_random *random, dn_placement *placement) {
    float jitter_w = jitter * (float)w, jitter_h = jitter * (float)h;
    float ratio = (float)w + dn_random_uniform(random, -jitter_w, jitter_w);
    ratio /= (float)h + dn_random_uniform(random, -jitter_h, jitter_h);
    float new_w = (float)out_w, new_h = (float)out_h;
    if (ratio < 1) {
        new_w = new_h * ratio;
    } else {
        new_h = new_w / ratio;
    }
    float dx = dn_random_uniform(random, 0, (float)out_w - new_w);
    float dy = dn_random_uniform(random, 0, (float)out_h - new_h);
    *placement = (dn_placement){new_w / (float)out_w, new_h / (float)out_h, dx / (float)out_w,
                                dy / (float)out_h, false};
    size_t floats = 3 * (size_t)out_w * (size_t)out_h;
    for (size_t i = 0; i < floats; ++i) out[i] = 0.5f;
    return dn_image_place(out, out_w, out_h, dn_max_int((int)new_w, 1), dn_max_int((int)new_h, 1), (int)dx,
                          (int)dy, image, w, h, 3);
}

/* A window whose sides are moved by up to jitter of the image's, outwards too (there the edge is repeated),
 * stretched to the canvas. */
static dn_status crop_at_random(float *out, int out_w, int out_h, const float *image, int w, int h,
                                float jitter, dn_random *random, dn_placement *placement) {
    float most_x = truncf(jitter * (float)w), most_y = truncf(jitter * (float)h);
    int left = (int)dn_random_uniform(random, -most_x, most_x);
    int right = (int)dn_random_uniform(random, -most_x, most_x);
    int top = (int)dn_random_uniform(random, -most_y, most_y);
    int bottom = (int)dn_random_uniform(random, -most_y, most_y);
    int crop_w = dn_max_int(w - left - right, 1), crop_h = dn_max_int(h - top - bottom, 1);
    *placement = (dn_placement){(float)w / (float)crop_w, (float)h / (float)crop_h,
                                -(float)left / (float)crop_w, -(float)top / (float)crop_h, false};
    float *window;
    DN_TRY(dn_new_floats(&window, 3 * (size_t)crop_w * (size_t)crop_h, "window of an image"));
    dn_status status = dn_image_crop(window, crop_w, crop_h, left, top, image, w, h, 3);
    if (status == DN_OK) status = dn_image_resize(out, out_w, out_h, window, crop_w, crop_h, 3);
    dn_free(window);
    return status;
}

static float clamped(float value) {
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

/* False if less than `least` of the box's width or height is left. */
static bool place_box(float row[4], const float box[4], const dn_placement *placement, float least) {
    float left = (box[0] - box[2] / 2) * placement->scale_x + placement->shift_x;
    float right = (box[0] + box[2] / 2) * placement->scale_x + placement->shift_x;
    float top = (box[1] - box[3] / 2) * placement->scale_y + placement->shift_y;
    float bottom = (box[1] + box[3] / 2) * placement->scale_y + placement->shift_y;
    if (placement->flipped) {
        float swap = left;
        left = 1 - right;
        right = 1 - swap;
    }
    left = clamped(left);
    right = clamped(right);
    top = clamped(top);
    bottom = clamped(bottom);
    row[0] = (left + right) / 2;
    row[1] = (top + bottom) / 2;
    row[2] = clamped(right - left);
    row[3] = clamped(bottom - top);
    return row[2] >= least && row[3] >= least; /* false for NaN */
}

static void fill_truth(float *truth, int max_truths, int values, const float *boxes, int count,
                       const int *order, const dn_placement *placement) {
    const float class_only = 999999; /* the image shows the class, but not where: YOLO9000 */
    memset(truth, 0, (size_t)max_truths * (size_t)values * sizeof *truth);
    for (int i = 0; i < dn_min_int(count, max_truths); ++i) {
        const float *box = boxes + 5 * (size_t)order[i];
        float row[5] = {class_only, class_only, class_only, class_only, box[0]};
        bool has_place = box[1] != 0 || box[2] != 0;
        if (has_place && !place_box(row, box + 1, placement, 0.001f)) continue;
        memcpy(truth, row, sizeof row);
        truth += values;
    }
}

/* One row per cell: 1, the one-hot class, and x and y within the cell, w, h. The first box of a cell counts.
 */
static void fill_grid(float *truth, int side, int classes, const float *boxes, int count, const int *order,
                      const dn_placement *placement) {
    size_t values = 1 + (size_t)classes + 4;
    memset(truth, 0, (size_t)side * (size_t)side * values * sizeof *truth);
    for (int i = 0; i < count; ++i) {
        const float *box = boxes + 5 * (size_t)order[i];
        float placed[4], position[2];
        int cell[2];
        if (!place_box(placed, box + 1, placement, 0.005f)) continue;
        for (int e = 0; e < 2; ++e) {
            cell[e] = dn_min_int((int)(placed[e] * (float)side), side - 1);
            position[e] = placed[e] * (float)side - (float)cell[e];
        }
        float *row = truth + ((size_t)cell[1] * (size_t)side + (size_t)cell[0]) * values;
        if (row[0] != 0) continue;
        row[0] = 1;
        if (box[0] >= 0 && box[0] < (float)classes) row[1 + (int)box[0]] = 1;
        row += 1 + classes;
        row[0] = position[0];
        row[1] = position[1];
        row[2] = placed[2];
        row[3] = placed[3];
    }
}

static void shuffle(int *order, int count, dn_random *random) {
    for (int i = 0; i < count; ++i) order[i] = i;
    for (int i = 0; i < count - 1; ++i) {
        int other = dn_random_int(random, i, count - 1), swap = order[i];
        order[i] = order[other];
        order[other] = swap;
    }
}

/* Image, options, boxes and a truth of `rows` rows of `values` floats. */
static dn_status check_detection(const char *function, const float *out, int out_w, int out_h,
                                 const float *truth, int rows, int values, const float *image, int w, int h,
                                 const float *boxes, int count, const dn_augment_options *options) {
    size_t cells;
    DN_TRY(dn_image_check(function, image, w, h, 3));
    DN_TRY(dn_image_check(function, out, out_w, out_h, 3));
    DN_TRY(check_options(function, options));
    if (rows < 0 || values < 5 || !dn_mul(&cells, (size_t)rows, (size_t)values) ||
        cells > SIZE_MAX / sizeof(float) || (rows > 0 && !truth))
        return dn_fail(DN_ERROR_ARGUMENT,
                       "%s: %d truth rows of %d values, expected at least 5 values and an array", function,
                       rows, values);
    if (count < 0 || (count > 0 && !boxes))
        return dn_fail(DN_ERROR_ARGUMENT, "%s: %d boxes, or boxes is NULL", function, count);
    return DN_OK;
}

dn_status dn_augment_detection(float *out, int out_w, int out_h, float *truth, int max_truths, int values,
                               const float *image, int w, int h, const float *boxes, int count,
                               const dn_augment_options *options, uint64_t seed, uint64_t step,
                               uint64_t sample) {
    int *order;
    DN_TRY(check_detection("dn_augment_detection", out, out_w, out_h, truth, max_truths, values, image, w, h,
                           boxes, count, options));
    DN_TRY(dn_new(&order, (size_t)dn_max_int(count, 1), sizeof *order, "order of boxes"));
    dn_random random = dn_random_keyed(seed, sample, step);
    dn_placement placement;
    dn_status status;
    DN_TRY_GOTO(place_at_random(out, out_w, out_h, image, w, h, options->jitter, &random, &placement));
    DN_TRY_GOTO(finish(out, out_w, out_h, 3, options, &random, &placement.flipped));
    shuffle(order, count, &random);
    if (max_truths > 0) fill_truth(truth, max_truths, values, boxes, count, order, &placement);
fail:
    dn_free(order);
    return status;
}

dn_status dn_augment_grid(float *out, int out_w, int out_h, float *truth, int side, int classes,
                          const float *image, int w, int h, const float *boxes, int count,
                          const dn_augment_options *options, uint64_t seed, uint64_t step, uint64_t sample) {
    static const char function[] = "dn_augment_grid";
    int *order;
    if (side < 1 || side > 4096 || classes < 0 || classes > 1 << 20)
        return dn_fail(DN_ERROR_ARGUMENT, "%s: %d x %d cells and %d classes are impossible", function, side,
                       side, classes);
    DN_TRY(check_detection(function, out, out_w, out_h, truth, side * side, 1 + classes + 4, image, w, h,
                           boxes, count, options));
    DN_TRY(dn_new(&order, (size_t)dn_max_int(count, 1), sizeof *order, "order of boxes"));
    dn_random random = dn_random_keyed(seed, sample, step);
    dn_placement placement;
    dn_status status;
    DN_TRY_GOTO(crop_at_random(out, out_w, out_h, image, w, h, options->jitter, &random, &placement));
    DN_TRY_GOTO(finish(out, out_w, out_h, 3, options, &random, &placement.flipped));
    shuffle(order, count, &random);
    fill_grid(truth, side, classes, boxes, count, order, &placement);
fail:
    dn_free(order);
    return status;
}

dn_status dn_augment_classification(float *out, int out_w, int out_h, const float *image, int w, int h, int c,
                                    const dn_augment_options *options, uint64_t seed, uint64_t step,
                                    uint64_t sample) {
    static const char function[] = "dn_augment_classification";
    DN_TRY(dn_image_check(function, image, w, h, c));
    DN_TRY(dn_image_check(function, out, out_w, out_h, c));
    DN_TRY(check_options(function, options));
    const float degree = 0.01745329252f;
    dn_random random = dn_random_keyed(seed, sample, step);
    float aspect = random_factor(&random, options->aspect);
    int smallest = options->min_size ? options->min_size : dn_max_int(out_w, out_h);
    int largest = options->max_size ? options->max_size : dn_max_int(out_w, out_h);
    int side = dn_random_int(&random, smallest, largest);
    float shorter = truncf(fminf((float)h, (float)w * aspect));
    float scale = (float)side / fmaxf(shorter, 1);
    float radians = dn_random_uniform(&random, -options->angle, options->angle) * degree;
    float room_x = ((float)w * scale / aspect - (float)out_w) / 2,
          room_y = ((float)h * scale - (float)out_h) / 2;
    float dx = dn_random_uniform(&random, -room_x, room_x), dy = dn_random_uniform(&random, -room_y, room_y);
    DN_TRY(dn_image_rotate_crop(out, out_w, out_h, radians, scale, dx, dy, aspect, image, w, h, c));
    bool flipped;
    return finish(out, out_w, out_h, c, options, &random, &flipped);
}
