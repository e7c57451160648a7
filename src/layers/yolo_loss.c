/* yolo_loss.c - training of [yolo] and [Gaussian_yolo]: the reference's rules (compat.md 7.3) and, for
 * sections with the fork's keys, the fork's (20.3, 20.4). Deltas are hand-made, as in both. */
#include "head.h"
#include "yolo.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

/* Numbers of one pass, for the log line and the IoU losses. */
typedef struct tally {
    double iou, iou_loss, giou_loss, likelihood_loss, class_p, object, any_object;
    int count, class_count, over_50, over_75;
} tally;

/* One image's view of the head. */
typedef struct view {
    const yolo_settings *s;
    const float *output;
    float *delta;
    dn_truth_rows truth;
    int cells;
    tally *sums;
} view;

static int learned_class(const yolo_settings *s, int label) {
    return dn_head_class(s->map, s->map_count, s->classes, label);
}

static int label_of(const dn_truth_rows *truth, int t) {
    return dn_truth_class(dn_truth_row(truth, t)[4]);
}

/* ---- boxes ---- */

/* The values at a cell that would decode to the truth. */
static void box_target(const yolo_settings *s, int list_index, int cell, dn_box truth, float target[4]) {
    const float *anchor = s->anchors + 2 * list_index;
    float w = truth.w * (float)s->net_w / anchor[0], h = truth.h * (float)s->net_h / anchor[1];
    target[0] = (truth.x + s->point * truth.w) * (float)s->w - (float)(cell % s->w);
    target[1] = (truth.y + s->point * truth.h) * (float)s->h - (float)(cell / s->w);
    target[2] = s->new_coords ? sqrtf(w / 4) : logf(w);
    target[3] = s->new_coords ? sqrtf(h / 4) : logf(h);
}

/* Squared-error deltas towards the truth (both dialects); adds if the fork. */
static void box_delta_mse(const view *v, size_t index, const float target[4], float scale) {
    const yolo_settings *s = v->s;
    for (size_t e = 0; e < 4; ++e) {
        size_t at = index + dn_yolo_value(s, e);
        float d = scale * (target[e] - v->output[at]);
        v->delta[at] = s->fork ? v->delta[at] + d : d;
    }
}

static float clip(float value, float most) {
    return fmaxf(-most, fminf(most, value));
}

/* Deltas of an IoU loss; sizes pass through exp, centres through nothing, as in the fork. */
static void box_delta_iou(const view *v, size_t index, dn_box predicted, dn_box truth, float scale) {
    const yolo_settings *s = v->s;
    const float *out = v->output + index;
    float *delta = v->delta + index;
    if (predicted.w == 0) predicted.w = 1;
    if (predicted.h == 0) predicted.h = 1;
    dn_box g = dn_box_iou_gradient(s->iou_loss, predicted, truth);
    /* A corner that stays moves the centre by half of what is added to the size. */
    float d[4] = {g.x, g.y, g.w - 2 * s->point * g.x, g.h - 2 * s->point * g.y};
    for (size_t e = 0; e < 4; ++e) {
        size_t at = dn_yolo_value(s, e);
        if (e >= 2 && !s->new_coords) d[e] *= expf(out[at]);
        float value = d[e] * scale;
        if (!isfinite(value)) value = 0;
        delta[at] += s->max_delta < FLT_MAX ? clip(value, s->max_delta) : value;
    }
}

/* Box deltas by the head's loss; returns the prediction before them. */
static dn_box box_delta(const view *v, size_t index, int list_index, int cell, dn_box truth,
                        float multiplier) {
    const yolo_settings *s = v->s;
    dn_box predicted = dn_yolo_box(s, v->output, index, list_index, cell);
    float target[4], scale = 2 - truth.w * truth.h, normalizer = s->iou_normalizer * multiplier;
    box_target(s, list_index, cell, truth, target);
    if (s->fork && !s->mse) box_delta_iou(v, index, predicted, truth, normalizer);
    if (s->gaussian) {
        float uncertainty = scale * s->uc_normalizer * multiplier;
        double loss = dn_gaussian_delta(s, v->output + index, v->delta + index, target,
                                        s->mse ? scale * normalizer : 0, uncertainty);
        v->sums->likelihood_loss += (double)(s->mse ? scale * normalizer : uncertainty) * loss;
    } else if (!s->fork || s->mse) {
        box_delta_mse(v, index, target, s->fork ? scale * normalizer : scale);
    }
    return predicted;
}

/* ---- classes ---- */

/* If the delta of class 0 (the fork: of the true class) is set already, another truth has claimed this box:
 * only the true class is set, so that a box can have several labels. */
static void class_delta(const view *v, size_t index, int class_id) {
    const yolo_settings *s = v->s;
    size_t cells = (size_t)v->cells, first = index + dn_yolo_class(s, 0);
    const float *p = v->output + first;
    float *delta = v->delta + first;
    size_t own = (size_t)class_id * cells;
    float on = 1 - 0.5f * s->label_smooth, off = 0.5f * s->label_smooth;
    float multiplier = s->class_multipliers ? s->class_multipliers[class_id] : 1;
    v->sums->class_p += p[own];
    v->sums->class_count++;
    if (delta[s->fork ? own : 0] != 0) {
        delta[own] = (on - p[own]) * multiplier;
        return;
    }
    float focal = 1;
    if (s->focal_loss) { /* alpha .5, gamma 2 */
        float pt = p[own] + 1e-15f;
        focal = -0.5f * (1 - pt) * (2 * pt * logf(pt) + pt - 1);
        on = 1;
        off = 0;
    }
    for (int c = 0; c < s->classes; ++c) {
        size_t at = (size_t)c * cells;
        delta[at] = ((c == class_id ? on : off) - p[at]) * focal;
    }
    if (s->class_multipliers && !s->focal_loss) delta[own] *= multiplier * s->cls_normalizer;
}

/* ---- step (a): every prediction against all truths ---- */

static bool has_likely_class(const view *v, size_t index) {
    for (int c = 0; c < v->s->classes; ++c)
        if (v->output[index + dn_yolo_class(v->s, c)] > 0.25f) return true;
    return false;
}

/* truth_thresh < 1: a prediction that good learns its truth. */
static void learn_best(const view *v, size_t index, int list_index, int cell, int t, float iou) {
    const yolo_settings *s = v->s;
    size_t object = index + dn_yolo_object(s);
    int class_id = learned_class(s, label_of(&v->truth, t));
    float target = s->objectness_smooth ? iou * iou : 1, normalizer = s->fork ? s->obj_normalizer : 1;
    float multiplier = s->class_multipliers && class_id >= 0 ? s->class_multipliers[class_id] : 1;
    v->delta[object] = normalizer * (target - v->output[object]);
    if (class_id < 0) return;
    tally ignored = {0};
    view quiet = *v;
    quiet.sums = &ignored; /* these are not counted */
    class_delta(&quiet, index, class_id);
    size_t own = index + dn_yolo_class(s, class_id);
    if (s->objectness_smooth) v->delta[own] = multiplier * (target - v->output[own]);
    box_delta(v, index, list_index, cell, dn_truth_box(&v->truth, t), multiplier);
}

static void compare_prediction(const view *v, int anchor, int cell) {
    const yolo_settings *s = v->s;
    size_t index = dn_yolo_index(s, anchor, cell), object = index + dn_yolo_object(s);
    dn_box predicted = dn_yolo_box(s, v->output, index, s->mask[anchor], cell);
    float best = 0;
    int best_t = 0;
    for (int t = 0; t < v->truth.count; ++t) {
        if (s->fork && learned_class(s, label_of(&v->truth, t)) < 0 && !s->map) continue;
        float iou = dn_box_iou_of(predicted, dn_truth_box(&v->truth, t));
        if (iou > best) {
            best = iou;
            best_t = t;
        }
    }
    float normalizer = s->fork ? s->obj_normalizer : 1;
    v->sums->any_object += v->output[object];
    v->delta[object] = normalizer * (0 - v->output[object]);
    if (best > s->ignore_thresh && (!s->fork || has_likely_class(v, index))) {
        float towards = normalizer * (best - v->output[object]);
        v->delta[object] = s->objectness_smooth ? fmaxf(towards, v->delta[object]) : 0;
    }
    if (best > s->truth_thresh) learn_best(v, index, s->mask[anchor], cell, best_t, best);
}

/* ---- step (b): every truth finds its anchor ---- */

static int mask_position(const yolo_settings *s, int list_index) {
    for (int i = 0; i < s->mask_count; ++i)
        if (s->mask[i] == list_index) return i;
    return -1;
}

static void learn_truth(const view *v, int anchor, int cell, dn_box truth, int class_id) {
    const yolo_settings *s = v->s;
    size_t index = dn_yolo_index(s, anchor, cell), object = index + dn_yolo_object(s);
    float multiplier = s->class_multipliers ? s->class_multipliers[class_id] : 1;
    dn_box predicted = box_delta(v, index, s->mask[anchor], cell, truth, multiplier);
    float iou = dn_box_iou_of(predicted, truth);
    if (s->fork && predicted.w == 0) predicted.w = 1;
    v->sums->iou += iou;
    v->sums->iou_loss += 1 - iou;
    v->sums->giou_loss += 1 - dn_box_giou(predicted, truth);
    v->sums->over_50 += iou > .5f;
    v->sums->over_75 += iou > .75f;
    v->sums->object += v->output[object];
    v->sums->count++;
    float delta = (s->fork ? multiplier * s->obj_normalizer : 1) * (1 - v->output[object]);
    if (!s->objectness_smooth || v->delta[object] == 0) v->delta[object] = delta;
    class_delta(v, index, class_id);
}

static dn_box anchor_shape(const yolo_settings *s, int list_index) {
    return (dn_box){0, 0, s->anchors[2 * list_index] / (float)s->net_w,
                    s->anchors[2 * list_index + 1] / (float)s->net_h};
}

static void assign_truth(const view *v, int t) {
    const yolo_settings *s = v->s;
    dn_box truth = dn_truth_box(&v->truth, t), shape = {0, 0, truth.w, truth.h};
    int class_id = learned_class(s, label_of(&v->truth, t));
    if (class_id < 0) return;
    int row = dn_truth_cell(truth.y + s->point * truth.h, s->h);
    int cell = row * s->w + dn_truth_cell(truth.x + s->point * truth.w, s->w), best_n = 0;
    float best = 0;
    for (int n = 0; n < s->anchor_count; ++n) {
        float iou = dn_box_iou_of(anchor_shape(s, n), shape);
        if (iou > best) {
            best = iou;
            best_n = n;
        }
    }
    int anchor = mask_position(s, best_n);
    if (anchor >= 0) learn_truth(v, anchor, cell, truth, class_id);
    if (!s->fork || s->iou_thresh >= 1) return;
    for (int n = 0; n < s->anchor_count; ++n) {
        anchor = mask_position(s, n);
        if (anchor < 0 || n == best_n) continue;
        if (dn_box_iou_by(s->iou_thresh_kind, anchor_shape(s, n), shape) > s->iou_thresh)
            learn_truth(v, anchor, cell, truth, class_id);
    }
}

/* With iou_thresh < 1 several truths add to one box; the fork divides by the number of its classes. */
static void average_boxes(const view *v) {
    const yolo_settings *s = v->s;
    for (int anchor = 0; anchor < s->mask_count; ++anchor)
        for (int cell = 0; cell < v->cells; ++cell) {
            float *delta = v->delta + dn_yolo_index(s, anchor, cell);
            int positive = 0;
            if (delta[dn_yolo_object(s)] == 0) continue;
            for (int c = 0; c < s->classes; ++c) positive += delta[dn_yolo_class(s, c)] > 0;
            for (int e = 0; positive > 0 && e < s->box_entries; ++e)
                delta[(size_t)e * (size_t)v->cells] /= (float)positive;
        }
}

/* ---- all together ---- */

/* Squared norm of the deltas, without those of the boxes if asked. */
static double squared_norm(const dn_layer *layer, const dn_run *run, bool boxes) {
    const yolo_settings *s = layer->settings;
    size_t per_anchor = dn_yolo_class(s, s->classes), box = dn_yolo_object(s);
    const float *delta = run->delta[layer->index];
    double sum = 0;
    for (size_t i = 0; i < (size_t)run->batch * layer->outputs; ++i)
        if (boxes || i % per_anchor >= box) sum += (double)delta[i] * delta[i];
    return sum;
}

static void report(const dn_layer *layer, dn_run *run, const tally *sums) {
    const yolo_settings *s = layer->settings;
    double count = sums->count, cells = (double)s->w * s->h * s->mask_count * run->batch;
    if (!run->head_lines) return;
    snprintf(run->head_lines[layer->index], sizeof run->head_lines[0],
             "Region %d Avg IOU: %f, Class: %f, Obj: %f, No Obj: %f, .5R: %f, .75R: %f,  count: %d",
             layer->index, sums->iou / count, sums->class_p / sums->class_count, sums->object / count,
             sums->any_object / cells, sums->over_50 / count, sums->over_75 / count, sums->count);
}

/* Values per truth row: 5 or 6, whichever fits the length given (compat.md 20.3). */
static dn_status row_values(int *values, const dn_layer *layer, const dn_run *run) {
    const yolo_settings *s = layer->settings;
    size_t rows = s->fork ? (size_t)s->max_truths : (size_t)dn_max_int(90, s->max_truths);
    for (*values = 5; *values <= 6; ++*values)
        if (run->truths == rows * (size_t)*values || run->truths == (size_t)s->max_truths * (size_t)*values)
            return DN_OK;
    return dn_fail(DN_ERROR_DATA, "layer %d [%s] needs %zu truths of 5 or 6 values per image, not %zu floats",
                   layer->index, layer->type->name, rows, run->truths);
}

/* The squared deltas; losses of boxes that have a value of their own count as it. */
static double cost_of(const dn_layer *layer, const dn_run *run, const tally *sums) {
    const yolo_settings *s = layer->settings;
    if (!s->fork || (s->mse && !s->gaussian)) return squared_norm(layer, run, true);
    double cost = s->obj_normalizer * squared_norm(layer, run, false) + sums->likelihood_loss;
    double box_loss = s->iou_loss == DN_GIOU ? sums->giou_loss : sums->iou_loss;
    return s->mse || !sums->count ? cost : cost + s->iou_normalizer * box_loss / sums->count;
}

dn_status dn_yolo_loss(const dn_layer *layer, dn_run *run) {
    const yolo_settings *s = layer->settings;
    tally sums = {0};
    int values;
    DN_TRY(row_values(&values, layer, run));
    for (int b = 0; b < run->batch; ++b) {
        view v = {s,
                  run->output[layer->index] + (size_t)b * layer->outputs,
                  run->delta[layer->index] + (size_t)b * layer->outputs,
                  dn_truth_of(run, b, values, s->max_truths),
                  s->w * s->h,
                  &sums};
        DN_TRY(dn_truth_check(layer, &v.truth, b));
        for (int cell = 0; cell < v.cells; ++cell)
            for (int anchor = 0; anchor < s->mask_count; ++anchor) compare_prediction(&v, anchor, cell);
        for (int t = 0; t < v.truth.count; ++t) assign_truth(&v, t);
        if (s->fork && s->iou_thresh < 1) average_boxes(&v);
    }
    run->cost[layer->index] = (float)cost_of(layer, run, &sums);
    report(layer, run, &sums);
    return DN_OK;
}
