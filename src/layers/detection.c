/* detection.c - [detection]: the head of YOLOv1 (Redmon et al. 2016), forward, loss and boxes. compat.md 7.1.
 * An image's output is three blocks: [cell][class] probabilities, [cell][predictor] objectness and
 * [cell][predictor][x, y, w, h], with x and y relative to the cell and w and h to the image (their roots with
 * sqrt=1). Truth is one row per cell: whether it has an object, a one-hot class, and its box. */
#include "layer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    BOX = 4,               /* values of a box */
    RANDOM_IMAGES = 64000, /* so many images long, random=1 chooses predictors by lot */
};

typedef struct detection_settings {
    int side, cells, predictors, classes;
    bool softmax, sqrt, rescore, forced, random;
    float object_scale, no_object_scale, class_scale, coord_scale;
} detection_settings;

static const dn_key keys[] = {
    {"classes", "1", "number of classes"},
    {"side", "7", "cells per row and per column"},
    {"num", "1", "boxes per cell"},
    {"coords", "1", "values per box; must be given as 4"},
    {"softmax", "0", "classes of a cell exclude each other"},
    {"sqrt", "0", "the roots of width and height are predicted"},
    {"rescore", "0", "objectness learns the IoU"},
    {"forced", "0", "small objects are learned by the second box of a cell, others by the first"},
    {"random", "0", "for the first 64000 images any box of the cell learns the object"},
    {"object_scale", "1", "factor of the objectness gradient of boxes with an object"},
    {"noobject_scale", "1", "factor of the objectness gradient of the others"},
    {"class_scale", "1", "factor of the class gradient"},
    {"coord_scale", "1", "factor of the box gradient"},
    {"jitter", "0.2", "training: crop jitter"},
    {"max", "90", "read, without effect"},
    {"reorg", "0", "read, without effect"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    detection_settings *s = layer->settings;
    int coords;
    DN_TRY(dn_option_int(&s->side, section, "side", 1, 4096));
    DN_TRY(dn_option_int(&s->predictors, section, "num", 1, 4096));
    DN_TRY(dn_option_int(&s->classes, section, "classes", 0, 1 << 20));
    DN_TRY(dn_option_int(&coords, section, "coords", 1, 1 << 20));
    if (coords != BOX) return dn_option_error(section, "coords", "must be 4 (x, y, w, h), not %d", coords);
    s->cells = s->side * s->side;
    int64_t per_cell = (int64_t)s->predictors * (1 + BOX) + s->classes, inputs = s->cells * per_cell;
    if (inputs != (int64_t)layer->inputs)
        return dn_option_error(section, NULL,
                               "%d x %d cells of %d boxes and %d classes need %lld values, but the layer "
                               "before has %zu; it must have side * side * (num * 5 + classes)",
                               s->side, s->side, s->predictors, s->classes, (long long)inputs, layer->inputs);
    DN_TRY(dn_option_flag(&s->softmax, section, "softmax"));
    DN_TRY(dn_option_flag(&s->sqrt, section, "sqrt"));
    DN_TRY(dn_option_flag(&s->rescore, section, "rescore"));
    DN_TRY(dn_option_flag(&s->forced, section, "forced"));
    DN_TRY(dn_option_flag(&s->random, section, "random"));
    DN_TRY(dn_option_float(&s->object_scale, section, "object_scale", -1e6f, 1e6f));
    DN_TRY(dn_option_float(&s->no_object_scale, section, "noobject_scale", -1e6f, 1e6f));
    DN_TRY(dn_option_float(&s->class_scale, section, "class_scale", -1e6f, 1e6f));
    DN_TRY(dn_option_float(&s->coord_scale, section, "coord_scale", -1e6f, 1e6f));
    static const char *const others[] = {"jitter", "max", "reorg"};
    for (size_t i = 0; i < DN_COUNT(others); ++i) (void)dn_option_text(section, others[i]);
    layer->outputs = layer->inputs;
    layer->has_cost = true;
    layer->truths = (size_t)s->cells * (size_t)(1 + s->classes + BOX);
    return DN_OK;
}

static size_t class_index(const detection_settings *s, int cell) {
    return (size_t)cell * (size_t)s->classes;
}

static size_t object_index(const detection_settings *s, int cell, int predictor) {
    return (size_t)s->cells * (size_t)s->classes + (size_t)cell * (size_t)s->predictors + (size_t)predictor;
}

static size_t box_index(const detection_settings *s, int cell, int predictor) {
    return (size_t)s->cells * (size_t)(s->classes + s->predictors) +
           BOX * ((size_t)cell * (size_t)s->predictors + (size_t)predictor);
}

/* A predictor's box relative to the image, but with its cell at the origin. */
static dn_box box_in_cell(const detection_settings *s, const float *output, int cell, int predictor) {
    const float *v = output + box_index(s, cell, predictor);
    float side = (float)s->side;
    return (dn_box){v[0] / side, v[1] / side, s->sqrt ? v[2] * v[2] : v[2], s->sqrt ? v[3] * v[3] : v[3]};
}

/* ---- training ---- */

/* Numbers of one pass, for the log line. */
typedef struct tally {
    double iou, own_class, all_classes, object, any_object;
    int count;
} tally;

/* One image's view of the head. */
typedef struct view {
    const detection_settings *s;
    const float *output, *truth;
    float *delta;
    tally *sums;
    dn_random *random;
    bool by_lot;
} view;

/* The predictor that is to learn the cell's object: of those that overlap it the one with the best IoU, else
 * the nearest (Euclidean distance over x, y, w, h, below 20). */
static int responsible(const view *v, int cell, dn_box truth) {
    const detection_settings *s = v->s;
    int by_iou = -1, by_distance = 0, chosen;
    float best_iou = 0, best_distance = 20;
    for (int p = 0; p < s->predictors; ++p) {
        dn_box box = box_in_cell(s, v->output, cell, p);
        float iou = dn_box_iou_of(box, truth);
        float distance = sqrtf((box.x - truth.x) * (box.x - truth.x) + (box.y - truth.y) * (box.y - truth.y) +
                               (box.w - truth.w) * (box.w - truth.w) + (box.h - truth.h) * (box.h - truth.h));
        if (iou > best_iou) {
            best_iou = iou;
            by_iou = p;
        }
        if (distance < best_distance) {
            best_distance = distance;
            by_distance = p;
        }
    }
    chosen = by_iou >= 0 ? by_iou : by_distance;
    if (s->forced) chosen = truth.w * truth.h < .1f ? dn_min_int(1, s->predictors - 1) : 0;
    if (v->by_lot) chosen = dn_random_int(v->random, 0, s->predictors - 1);
    return chosen;
}

static void learn_classes(const view *v, int cell, const float *truth) {
    const detection_settings *s = v->s;
    const float *p = v->output + class_index(s, cell);
    float *delta = v->delta + class_index(s, cell);
    for (int c = 0; c < s->classes; ++c) {
        delta[c] = s->class_scale * (truth[c] - p[c]);
        if (truth[c] != 0) v->sums->own_class += p[c];
        v->sums->all_classes += p[c];
    }
}

static void learn_box(const view *v, int cell, const float *target) {
    const detection_settings *s = v->s;
    float side = (float)s->side;
    dn_box truth = {target[0] / side, target[1] / side, target[2], target[3]};
    int p = responsible(v, cell, truth);
    size_t object = object_index(s, cell, p), box = box_index(s, cell, p);
    float iou = dn_box_iou_of(box_in_cell(s, v->output, cell, p), truth);
    v->delta[object] = s->object_scale * ((s->rescore ? iou : 1) - v->output[object]);
    for (size_t e = 0; e < BOX; ++e) {
        float wanted = e >= 2 && s->sqrt ? sqrtf(target[e]) : target[e];
        v->delta[box + e] = s->coord_scale * (wanted - v->output[box + e]);
    }
    v->sums->iou += iou;
    v->sums->object += v->output[object];
    v->sums->count++;
}

static dn_status learn_cell(const dn_layer *layer, const view *v, int b, int cell) {
    const detection_settings *s = v->s;
    const float *row = v->truth + (size_t)cell * (size_t)(1 + s->classes + BOX);
    const float *box = row + 1 + s->classes;
    for (int p = 0; p < s->predictors; ++p) {
        size_t object = object_index(s, cell, p);
        v->delta[object] = s->no_object_scale * (0 - v->output[object]);
        v->sums->any_object += v->output[object];
    }
    if (row[0] == 0) return DN_OK;
    if (!(box[2] >= 0 && box[3] >= 0))
        return dn_fail(DN_ERROR_DATA,
                       "layer %d [detection]: the truth of cell %d of image %d is a box of %g x %g; width "
                       "and height must not be negative",
                       layer->index, cell, b, (double)box[2], (double)box[3]);
    learn_classes(v, cell, row + 1);
    learn_box(v, cell, box);
    return DN_OK;
}

static void report(const dn_layer *layer, dn_run *run, const tally *sums) {
    const detection_settings *s = layer->settings;
    double count = sums->count, boxes = (double)s->cells * s->predictors * run->batch;
    if (!run->head_lines) return;
    snprintf(run->head_lines[layer->index], sizeof run->head_lines[0],
             "Detection Avg IOU: %f, Pos Cat: %f, All Cat: %f, Pos Obj: %f, Any Obj: %f, count: %d",
             sums->iou / count, sums->own_class / count, sums->all_classes / (count * s->classes),
             sums->object / count, sums->any_object / boxes, sums->count);
}

static dn_status loss(const dn_layer *layer, dn_run *run) {
    const detection_settings *s = layer->settings;
    tally sums = {0};
    float *delta = run->delta[layer->index];
    double cost = 0;
    if (run->truths != layer->truths)
        return dn_fail(DN_ERROR_DATA,
                       "layer %d [detection] needs the truth of %d cells of %d values per image, not %zu "
                       "floats",
                       layer->index, s->cells, 1 + s->classes + BOX, run->truths);
    dn_random random = dn_random_keyed(run->seed, (uint64_t)layer->index + 1, run->step);
    for (int b = 0; b < run->batch; ++b) {
        size_t at = (size_t)b * layer->outputs;
        view v = {s,
                  run->output[layer->index] + at,
                  run->truth + (size_t)b * run->truths,
                  delta + at,
                  &sums,
                  &random,
                  s->random && run->seen < RANDOM_IMAGES};
        for (int cell = 0; cell < s->cells; ++cell) DN_TRY(learn_cell(layer, &v, b, cell));
    }
    for (size_t i = 0; i < (size_t)run->batch * layer->outputs; ++i) cost += (double)delta[i] * delta[i];
    run->cost[layer->index] = (float)cost;
    report(layer, run, &sums);
    return DN_OK;
}

/* ---- passes ---- */

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const detection_settings *s = layer->settings;
    const float *input = dn_run_input(run, layer);
    float *output = run->output[layer->index];
    run->ops->copy(run->device, output, input, (size_t)run->batch * layer->outputs);
    if (s->softmax && s->classes)
        run->ops->softmax(run->device, input, output, s->classes, 1, (size_t)run->batch, layer->outputs,
                          (size_t)s->cells, (size_t)s->classes, 1);
    return run->train && run->truth && !layer->only_forward ? loss(layer, run) : DN_OK;
}

/* The deltas are those of the values themselves, also behind the softmax. */
static dn_status backward(const dn_layer *layer, dn_run *run) {
    dn_run_pass_delta(run, layer, 1);
    return DN_OK;
}

/* ---- boxes ---- */

static dn_status detect(const dn_layer *layer, const float *output, const dn_head_options *options,
                        dn_detection_list *out) {
    const detection_settings *s = layer->settings;
    for (int cell = 0; cell < s->cells; ++cell)
        for (int predictor = 0; predictor < s->predictors; ++predictor) {
            dn_box box = box_in_cell(s, output, cell, predictor);
            float objectness = output[object_index(s, cell, predictor)], *row;
            const float *classes = output + class_index(s, cell);
            box.x += (float)(cell % s->side) / (float)s->side;
            box.y += (float)(cell / s->side) / (float)s->side;
            DN_TRY(dn_detection_list_add(out, box, objectness, &row));
            for (int c = 0; c < dn_min_int(s->classes, out->classes); ++c) {
                float p = objectness * classes[c];
                row[c] = p > options->thresh ? p : 0;
            }
        }
    return DN_OK;
}

static void head_info(const dn_layer *layer, dn_head_info *out) {
    const detection_settings *s = layer->settings;
    out->classes = s->classes;
    out->max_truths = s->cells;
    out->truth_values = 1 + s->classes + BOX;
}

static dn_status mirror(const dn_layer *layer, float *out, const float *output) {
    const detection_settings *s = layer->settings;
    for (int cell = 0; cell < s->cells; ++cell) {
        int from = cell + s->side - 1 - 2 * (cell % s->side);
        size_t classes = (size_t)s->classes, predictors = (size_t)s->predictors;
        memcpy(out + class_index(s, cell), output + class_index(s, from), classes * sizeof *out);
        memcpy(out + object_index(s, cell, 0), output + object_index(s, from, 0), predictors * sizeof *out);
        memcpy(out + box_index(s, cell, 0), output + box_index(s, from, 0), BOX * predictors * sizeof *out);
        for (int p = 0; p < s->predictors; ++p) out[box_index(s, cell, p)] = 1 - out[box_index(s, cell, p)];
    }
    return DN_OK;
}

const dn_layer_type dn_type_detection = {
    .name = "detection",
    .summary = "detection head of YOLOv1",
    .keys = keys,
    .settings_size = sizeof(detection_settings),
    .configure = configure,
    .forward = forward,
    .backward = backward,
    .detect = detect,
    .head_info = head_info,
    .mirror = mirror,
};
