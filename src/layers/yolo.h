/* yolo.h - what yolo.c (settings, forward, boxes) and yolo_loss.c (training) share. Layout of an image's
 * output: [anchor][entry][h][w] with entries x, y, w, h, objectness, classes. */
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
} yolo_settings;

/* Index of entry 0 of an anchor's cell in an image's output; entries are cells apart. */
static inline size_t dn_yolo_index(const yolo_settings *s, int anchor, int cell) {
    return (size_t)anchor * (size_t)(s->classes + 5) * (size_t)s->w * (size_t)s->h + (size_t)cell;
}

/* Box of mask position `anchor`'s list entry `list_index` at a cell, relative to the network's input. */
dn_box dn_yolo_box(const yolo_settings *s, const float *output, size_t index, int list_index, int cell);

/* Fills delta and cost from output and truth. */
dn_status dn_yolo_loss(const dn_layer *layer, dn_run *run);

#endif
