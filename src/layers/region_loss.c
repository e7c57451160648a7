/* region_loss.c - training of [region] by the reference's rules (compat.md 7.2, 9.5). The deltas are
 * hand-made. */
#include "region.h"
#include "head.h"

#include <math.h>
#include <stdio.h>

enum { PRIOR_IMAGES = 12800 }; /* so many images long, boxes are also pulled to their anchors */

static const float ASSUMED_IOU = .3f; /* of an image's label without a box and the box that learns it */

typedef struct tally {
    double iou, class_p, object, any_object;
    int count, class_count, over_50;
} tally;

typedef struct view {
    const region_settings *s;
    const float *output;
    float *delta;
    dn_truth_rows truth;
    size_t cells;
    tally *sums;
} view;

/* Returns the IoU before learning. */
static float box_delta(const view *v, int anchor, int cell, dn_box truth, float scale) {
    const region_settings *s = v->s;
    size_t index = dn_region_index(s, anchor, cell), cells = v->cells;
    const float *out = v->output + index;
    float *delta = v->delta + index;
    delta[0] = scale * (truth.x * (float)s->w - (float)(cell % s->w) - out[0]);
    delta[cells] = scale * (truth.y * (float)s->h - (float)(cell / s->w) - out[cells]);
    delta[2 * cells] = scale * (logf(truth.w * (float)s->w / s->anchors[2 * anchor]) - out[2 * cells]);
    delta[3 * cells] = scale * (logf(truth.h * (float)s->h / s->anchors[2 * anchor + 1]) - out[3 * cells]);
    return dn_box_iou_of(dn_region_box(s, v->output, anchor, cell), truth);
}

/* Pushes the path from the class to the root up, and the siblings on it down. */
static void tree_delta(const view *v, const float *p, float *delta, int class_id) {
    const dn_tree *tree = v->s->tree;
    float path = 1, scale = v->s->class_scale;
    for (int node = class_id; node >= 0; node = tree->parents[node]) {
        int group = tree->node_groups[node], first = tree->group_offsets[group];
        path *= p[(size_t)node * v->cells];
        for (int i = first; i < first + tree->group_sizes[group]; ++i) {
            size_t at = (size_t)i * v->cells;
            delta[at] = scale * ((i == node) - p[at]);
        }
    }
    v->sums->class_p += path;
}

/* index: of the box's entry 0. */
static void class_delta(const view *v, size_t index, int class_id) {
    const region_settings *s = v->s;
    const float *p = v->output + index + (size_t)(s->coords + 1) * v->cells;
    float *delta = v->delta + index + (size_t)(s->coords + 1) * v->cells;
    size_t own = (size_t)class_id * v->cells;
    v->sums->class_count++;
    if (s->tree) {
        tree_delta(v, p, delta, class_id);
        return;
    }
    v->sums->class_p += p[own];
    if (delta[0] != 0 && !s->softmax) { /* another truth has claimed this box: it gets a further label */
        delta[own] = s->class_scale * (1 - p[own]);
        return;
    }
    for (int c = 0; c < s->classes; ++c) {
        size_t at = (size_t)c * v->cells;
        delta[at] = s->class_scale * ((c == class_id) - p[at]);
    }
}

/* The first truth that is a class without a box; -1: there is none. */
static int find_class_only(const view *v) {
    for (int t = 0; t < v->truth.count; ++t)
        if (dn_truth_class_only(&v->truth, t)) return t;
    return -1;
}

/* Index of entry 0 of the box where the class is likeliest: objectness times the path's probability. */
static size_t likeliest_box(const view *v, int class_id) {
    const region_settings *s = v->s;
    size_t best_index = 0;
    float best = 0;
    for (int a = 0; a < s->anchors_count; ++a)
        for (int cell = 0; cell < (int)v->cells; ++cell) {
            size_t index = dn_region_index(s, a, cell), object = index + (size_t)s->coords * v->cells;
            float p = v->output[object] *
                      dn_tree_probability(s->tree, v->output + object + v->cells, (int)v->cells, class_id);
            if (p > best) {
                best = p;
                best_index = index;
            }
        }
    return best_index;
}

/* An image with a class but no box (YOLO9000, section 4): the box where that class is likeliest learns the
 * class's path, and no box learns where it should be. By the paper it is assumed to overlap the object by at
 * least ASSUMED_IOU, so its objectness learns to be no less, and nothing else is learned. The reference
 * computes that and overwrites it with 0; all other boxes learn that there is no object. */
static dn_status learn_class_only(const dn_layer *layer, const view *v, int t, int b) {
    const region_settings *s = v->s;
    float label = dn_truth_row(&v->truth, t)[s->coords];
    int class_id = dn_truth_class(label);
    if (class_id < 0 || class_id >= s->classes)
        return dn_fail(DN_ERROR_DATA,
                       "layer %d [region]: truth %d of image %d has class %g, but the tree has %d nodes",
                       layer->index, t, b, (double)label, s->classes);
    size_t index = likeliest_box(v, class_id), object = index + (size_t)s->coords * v->cells;
    for (int a = 0; a < s->anchors_count && !s->class_only_paper; ++a) {
        size_t first = dn_region_index(s, a, 0) + (size_t)s->coords * v->cells;
        for (size_t i = first; i < first + v->cells; ++i)
            v->delta[i] = s->no_object_scale * (0 - v->output[i]);
    }
    class_delta(v, index, class_id);
    float missing = ASSUMED_IOU - v->output[object];
    v->delta[object] = s->class_only_paper && missing > 0 ? s->object_scale * missing : 0;
    return DN_OK;
}

static void compare_prediction(const view *v, int anchor, int cell, bool pull_to_prior) {
    const region_settings *s = v->s;
    size_t object = dn_region_index(s, anchor, cell) + (size_t)s->coords * v->cells;
    dn_box predicted = dn_region_box(s, v->output, anchor, cell);
    float best = 0;
    for (int t = 0; t < v->truth.count; ++t)
        best = fmaxf(best, dn_box_iou_of(predicted, dn_truth_box(&v->truth, t)));
    v->sums->any_object += v->output[object];
    v->delta[object] = s->no_object_scale * ((s->background ? 1 : 0) - v->output[object]);
    if (best > s->thresh) v->delta[object] = 0;
    if (!pull_to_prior) return;
    dn_box prior = {((float)(cell % s->w) + .5f) / (float)s->w, ((float)(cell / s->w) + .5f) / (float)s->h,
                    s->anchors[2 * anchor] / (float)s->w, s->anchors[2 * anchor + 1] / (float)s->h};
    box_delta(v, anchor, cell, prior, .01f);
}

static int best_anchor(const view *v, int cell, dn_box truth) {
    const region_settings *s = v->s;
    dn_box shape = {0, 0, truth.w, truth.h};
    int best_n = 0;
    float best = 0;
    for (int n = 0; n < s->anchors_count; ++n) {
        dn_box predicted = dn_region_box(s, v->output, n, cell);
        if (s->bias_match) {
            predicted.w = s->anchors[2 * n] / (float)s->w;
            predicted.h = s->anchors[2 * n + 1] / (float)s->h;
        }
        predicted.x = predicted.y = 0;
        float iou = dn_box_iou_of(predicted, shape);
        if (iou > best) {
            best = iou;
            best_n = n;
        }
    }
    return best_n;
}

static void learn_truth(const view *v, int t) {
    const region_settings *s = v->s;
    const float *row = dn_truth_row(&v->truth, t);
    dn_box truth = dn_truth_box(&v->truth, t);
    int class_id = dn_head_class(s->map, s->map_count, s->classes, dn_truth_class(row[s->coords]));
    int cell = dn_truth_cell(truth.y, s->h) * s->w + dn_truth_cell(truth.x, s->w);
    int anchor = best_anchor(v, cell, truth);
    size_t index = dn_region_index(s, anchor, cell), object = index + (size_t)s->coords * v->cells;
    float iou = box_delta(v, anchor, cell, truth, s->coord_scale * (2 - truth.w * truth.h));
    /* The mask's truth is read from value 5 on, although the class is at `coords`: the reference's rule. */
    int left = (int)(v->truth.values * (s->max_truths - t)) - 5;
    for (int m = 0; m < s->coords - 4 && m < left; ++m) {
        size_t at = index + (size_t)(4 + m) * v->cells;
        v->delta[at] = (float)s->mask_scale * (row[5 + m] - v->output[at]);
    }
    v->sums->over_50 += iou > .5f;
    v->sums->iou += iou;
    v->sums->object += v->output[object];
    v->sums->count++;
    float target = s->background ? 0 : s->rescore ? iou : 1;
    v->delta[object] = s->object_scale * (target - v->output[object]);
    if (class_id >= 0) class_delta(v, index, class_id);
}

static void report(const dn_layer *layer, dn_run *run, const tally *sums) {
    const region_settings *s = layer->settings;
    double count = sums->count, boxes = (double)s->w * s->h * s->anchors_count * run->batch;
    if (!run->head_lines) return;
    snprintf(run->head_lines[layer->index], sizeof run->head_lines[0],
             "Region Avg IOU: %f, Class: %f, Obj: %f, No Obj: %f, Avg Recall: %f,  count: %d",
             sums->iou / count, sums->class_p / sums->class_count, sums->object / count,
             sums->any_object / boxes, sums->over_50 / count, sums->count);
}

dn_status dn_region_loss(const dn_layer *layer, dn_run *run) {
    const region_settings *s = layer->settings;
    tally sums = {0};
    float *delta = run->delta[layer->index];
    double cost = 0;
    if (run->truths != layer->truths)
        return dn_fail(DN_ERROR_DATA,
                       "layer %d [region] needs %d truths of %d values per image, not %zu floats",
                       layer->index, s->max_truths, s->coords + 1, run->truths);
    for (int b = 0; b < run->batch; ++b) {
        view v = {s,
                  run->output[layer->index] + (size_t)b * layer->outputs,
                  delta + (size_t)b * layer->outputs,
                  dn_truth_of(run, b, s->coords + 1, s->max_truths),
                  (size_t)s->w * (size_t)s->h,
                  &sums};
        int class_only = s->tree ? find_class_only(&v) : -1;
        if (class_only >= 0) {
            DN_TRY(learn_class_only(layer, &v, class_only, b));
            continue;
        }
        DN_TRY(dn_truth_check(layer, &v.truth, b));
        for (int cell = 0; cell < (int)v.cells; ++cell)
            for (int anchor = 0; anchor < s->anchors_count; ++anchor)
                compare_prediction(&v, anchor, cell, run->seen < PRIOR_IMAGES);
        for (int t = 0; t < v.truth.count; ++t) learn_truth(&v, t);
    }
    for (size_t i = 0; i < (size_t)run->batch * layer->outputs; ++i) cost += (double)delta[i] * delta[i];
    run->cost[layer->index] = (float)cost;
    report(layer, run, &sums);
    return DN_OK;
}
