/* box.h - boxes inside the core: the IoU family and its gradient, suppression, the letterbox geometry and the
 * growable list that the heads fill with detections (the public dn_detections). A box is its centre and
 * extents. */
#ifndef DN_BOX_H
#define DN_BOX_H

#include "../base/base.h"

typedef struct dn_box {
    float x, y, w, h;
} dn_box;

/* ---- the IoU family ---- */

typedef enum dn_iou_kind { DN_IOU = 0, DN_GIOU = 1, DN_DIOU = 2, DN_CIOU = 3 } dn_iou_kind;

/* "iou", "giou", "diou" or "ciou"; false, and *kind unchanged, for any other word. */
bool dn_iou_kind_parse(dn_iou_kind *kind, const char *word);

float dn_box_iou_of(dn_box a, dn_box b); /* 0 if the union is empty */
float dn_box_giou(dn_box a, dn_box b);   /* Rezatofighi et al. 2019 */
float dn_box_diou(dn_box a, dn_box b);   /* Zheng et al. 2020, with the fork's exponent 0.6 on the penalty */
float dn_box_diou_beta(dn_box a, dn_box b, float beta);
float dn_box_iou_by(dn_iou_kind kind, dn_box a, dn_box b);

/* Direction in which the measure of predicted grows, with the fork's simplifications: x and y are sums and w
 * and h differences of the derivatives at the edges, not halved. Never NaN or infinite. */
dn_box dn_box_iou_gradient(dn_iou_kind kind, dn_box predicted, dn_box truth);

/* ---- suppression ---- */

typedef enum dn_suppression {
    DN_SUPPRESS_IOU = 0,      /* the reference */
    DN_SUPPRESS_DIOU = 1,     /* nms_kind=greedynms: diou with exponent 0.6 */
    DN_SUPPRESS_DIOU_BETA = 2 /* nms_kind=diounms: diou with exponent beta */
} dn_suppression;

/* ---- letterbox ---- */

/* Size of an image w x h, scaled to fit into net_w x net_h; at least 1 x 1. All sizes positive. */
void dn_letterbox_size(int *fit_w, int *fit_h, int w, int h, int net_w, int net_h);

/* ---- detections ---- */

struct dn_detections {
    int count, capacity, classes;
    float *boxes;         /* [capacity][4] */
    float *objectness;    /* [capacity] */
    float *probabilities; /* [capacity][classes] */
    int *order;           /* [capacity], original indices after dn_detection_list_nms */
};
typedef struct dn_detections dn_detection_list;

dn_status dn_detections_create(dn_detections **out, int classes);
/* Appends a box; *probabilities_row (classes floats, zero) is valid until the next add. */
dn_status dn_detection_list_add(dn_detection_list *list, dn_box box, float objectness,
                                float **probabilities_row);
/* dn_boxes_nms with a choice of measure. kind: dn_nms_kind. */
void dn_detection_list_nms(dn_detection_list *list, float thresh, int kind, dn_suppression measure,
                           float beta);

#endif
