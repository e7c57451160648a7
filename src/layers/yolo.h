/* yolo.h - what yolo.c (settings, forward, boxes), gaussian_yolo.c and yolo_loss.c (training) share. Layout
 * of an image's output: [anchor][entry][h][w] with entries x, y, w, h, objectness, classes; [Gaussian_yolo]
 * has an uncertainty behind each of the four box values. */
#ifndef DN_YOLO_H
#define DN_YOLO_H

#include "layer.h"

typedef struct yolo_settings {
    int w, h, classes;
    int anchor_count; /* of the whole list */
    float *anchors;   /* [anchor_count][2], in pixels of the network's input */
    int mask_count;   /* anchors this head predicts */
    int *mask;
    int net_w, net_h;
    int max_truths;
    int *map; /* class of the truth -> class learned; or NULL */
    int map_count;
    float ignore_thresh, truth_thresh;
    bool fork; /* trains by the fork's rules (compat.md 20.3) */
    bool new_coords, focal_loss, objectness_smooth, mse;
    float scale_x_y, iou_normalizer, obj_normalizer, cls_normalizer, delta_normalizer, iou_thresh,
        label_smooth, max_delta, beta_nms;
    dn_iou_kind iou_loss, iou_thresh_kind;
    float *class_multipliers; /* [classes], or NULL */
    const char *nms_kind;
    /* [Gaussian_yolo] */
    bool gaussian;
    int step, box_entries; /* from one box value to the next: 1 or 2; entries before objectness: 4 or 8 */
    float uc_normalizer;
    float point; /* what x and y say, from the centre in sizes of the box: 0, -.5 left top, .5 right bottom */
} yolo_settings;

/* Index of entry 0 of an anchor's cell in an image's output; entries are cells apart. */
static inline size_t dn_yolo_index(const yolo_settings *s, int anchor, int cell) {
    return (size_t)anchor * (size_t)(s->box_entries + 1 + s->classes) * (size_t)s->w * (size_t)s->h +
           (size_t)cell;
}

/* From there to box value e (x, y, w, h), to objectness and to class c. */
static inline size_t dn_yolo_value(const yolo_settings *s, size_t e) {
    return e * (size_t)s->step * (size_t)s->w * (size_t)s->h;
}
static inline size_t dn_yolo_object(const yolo_settings *s) {
    return (size_t)s->box_entries * (size_t)s->w * (size_t)s->h;
}
static inline size_t dn_yolo_class(const yolo_settings *s, int c) {
    return (size_t)(s->box_entries + 1 + c) * (size_t)s->w * (size_t)s->h;
}

/* The parts of a layer type, the same for both but for keys. */
dn_status dn_yolo_configure(dn_layer *layer, dn_section *section, const dn_graph *graph, bool gaussian);
void dn_yolo_release(dn_layer *layer);
dn_status dn_yolo_forward(const dn_layer *layer, dn_run *run);
dn_status dn_yolo_backward(const dn_layer *layer, dn_run *run);
dn_status dn_yolo_detect(const dn_layer *layer, const float *output, const dn_head_options *options,
                         dn_detection_list *out);
void dn_yolo_head_info(const dn_layer *layer, dn_head_info *out);
dn_status dn_yolo_mirror(const dn_layer *layer, float *out, const float *output);

/* Box of mask position `anchor`'s list entry `list_index` at a cell, relative to the network's input. */
dn_box dn_yolo_box(const yolo_settings *s, const float *output, size_t index, int list_index, int cell);

/* Adds the deltas of the eight box entries at out, delta (entries are cells apart) towards the target values,
 * times mean_scale for the values and uncertainty_scale for the uncertainties. Returns the negative log
 * likelihood of the target. */
double dn_gaussian_delta(const yolo_settings *s, const float *out, float *delta, const float target[4],
                         float mean_scale, float uncertainty_scale);

/* Fills delta and cost from output and truth. */
dn_status dn_yolo_loss(const dn_layer *layer, dn_run *run);

#endif
