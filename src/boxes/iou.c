/* iou.c - overlap of two boxes: IoU, GIoU, DIoU, CIoU as the forks of the reference compute them, and the
 * direction their box losses follow. */
#include "box.h"

#include <math.h>
#include <string.h>

static const float pi_squared = 9.86960440109f;

/* Unlike fminf and fmaxf these are one instruction; NaN is looked for where it matters. */
static inline float smaller(float a, float b) {
    return a < b ? a : b;
}
static inline float larger(float a, float b) {
    return a > b ? a : b;
}

/* Edges of a box, or derivatives with respect to them. */
typedef struct dn_edges {
    float left, right, top, bottom;
} dn_edges;

static dn_edges edges_of(dn_box box) {
    return (dn_edges){box.x - box.w / 2, box.x + box.w / 2, box.y - box.h / 2, box.y + box.h / 2};
}

static dn_edges enclosing(dn_edges a, dn_edges b) {
    return (dn_edges){smaller(a.left, b.left), larger(a.right, b.right), smaller(a.top, b.top),
                      larger(a.bottom, b.bottom)};
}

bool dn_iou_kind_parse(dn_iou_kind *kind, const char *word) {
    static const char *const words[] = {"iou", "giou", "diou", "ciou"};
    for (size_t i = 0; i < DN_COUNT(words); ++i) {
        if (strcmp(word, words[i]) != 0) continue;
        *kind = (dn_iou_kind)i;
        return true;
    }
    return false;
}

/* Area of the intersection; NaN if a centre is. */
static float overlap_of(dn_box a, dn_box b) {
    /* Comparisons drop a NaN, which would make a broken box cover the other one. */
    if (isnan(a.x + a.y + b.x + b.y)) return NAN;
    dn_edges p = edges_of(a), q = edges_of(b);
    float w = smaller(p.right, q.right) - larger(p.left, q.left);
    float h = smaller(p.bottom, q.bottom) - larger(p.top, q.top);
    return w < 0 || h < 0 ? 0 : w * h;
}

static float union_of(dn_box a, dn_box b, float overlap) {
    return a.w * a.h + b.w * b.h - overlap;
}

float dn_box_iou_of(dn_box a, dn_box b) {
    float overlap = overlap_of(a, b), joined = union_of(a, b, overlap);
    return overlap == 0 || joined == 0 ? 0 : overlap / joined;
}

float dn_box_giou(dn_box a, dn_box b) {
    dn_edges c = enclosing(edges_of(a), edges_of(b));
    float area = (c.right - c.left) * (c.bottom - c.top), iou = dn_box_iou_of(a, b);
    if (area == 0) return iou;
    return iou - (area - union_of(a, b, overlap_of(a, b))) / area;
}

/* Squared distance of the centres over the squared diagonal of the enclosing box; false if that is a point.
 */
static bool centre_penalty(float *penalty, dn_box a, dn_box b) {
    dn_edges c = enclosing(edges_of(a), edges_of(b));
    float w = c.right - c.left, h = c.bottom - c.top, diagonal = w * w + h * h;
    if (diagonal == 0) return false;
    *penalty = ((a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y)) / diagonal;
    return true;
}

float dn_box_diou_beta(dn_box a, dn_box b, float beta) {
    float penalty, iou = dn_box_iou_of(a, b);
    return centre_penalty(&penalty, a, b) ? iou - powf(penalty, beta) : iou;
}

float dn_box_diou(dn_box a, dn_box b) {
    return dn_box_diou_beta(a, b, 0.6f);
}

/* atan2 is atan(w / h), and 0 rather than NaN for an empty box. */
static float aspect_angle(dn_box box) {
    return atan2f(box.w, box.h);
}

/* alpha of CIoU; *loss: v, the difference of the aspect ratios. */
static float aspect_weight(float *loss, float iou, dn_box a, dn_box b) {
    float difference = aspect_angle(b) - aspect_angle(a);
    *loss = 4 / pi_squared * difference * difference;
    return *loss / (1 - iou + *loss + 1e-6f);
}

/* Zheng et al. 2020 */
static float box_ciou(dn_box a, dn_box b) {
    float penalty, loss, iou = dn_box_iou_of(a, b);
    if (!centre_penalty(&penalty, a, b)) return iou;
    float alpha = aspect_weight(&loss, iou, a, b);
    return iou - (penalty + alpha * loss);
}

float dn_box_iou_by(dn_iou_kind kind, dn_box a, dn_box b) {
    switch (kind) {
    case DN_GIOU:
        return dn_box_giou(a, b);
    case DN_DIOU:
        return dn_box_diou(a, b);
    case DN_CIOU:
        return box_ciou(a, b);
    case DN_IOU:
        break;
    }
    return dn_box_iou_of(a, b);
}

/* d(top / bottom) for quotients of areas: (bottom * dtop - top * dbottom) / bottom^2, edge by edge. */
static dn_edges quotient(float top, dn_edges dtop, float bottom, dn_edges dbottom) {
    float square = bottom * bottom;
    return (dn_edges){(bottom * dtop.left - top * dbottom.left) / square,
                      (bottom * dtop.right - top * dbottom.right) / square,
                      (bottom * dtop.top - top * dbottom.top) / square,
                      (bottom * dtop.bottom - top * dbottom.bottom) / square};
}

/* Derivatives of IoU, or of GIoU, with respect to the predicted edges. */
static dn_edges area_gradient(bool giou, bool apart, dn_edges p, dn_edges t) {
    float p_w = p.right - p.left, p_h = p.bottom - p.top;
    float i_w = apart ? 0 : smaller(p.right, t.right) - larger(p.left, t.left);
    float i_h = apart ? 0 : smaller(p.bottom, t.bottom) - larger(p.top, t.top);
    float overlap = i_w * i_h, joined = p_w * p_h + (t.right - t.left) * (t.bottom - t.top) - overlap;
    dn_edges d_overlap = {p.left > t.left ? -i_h : 0, p.right < t.right ? i_h : 0, p.top > t.top ? -i_w : 0,
                          p.bottom < t.bottom ? i_w : 0};
    dn_edges d_joined = {-p_h - d_overlap.left, p_h - d_overlap.right, -p_w - d_overlap.top,
                         p_w - d_overlap.bottom};
    dn_edges result = {0};
    if (joined > 0) result = quotient(overlap, d_overlap, joined, d_joined);
    if (!giou) return result;

    dn_edges c = enclosing(p, t);
    float c_w = c.right - c.left, c_h = c.bottom - c.top, area = c_w * c_h;
    if (!(area > 0)) return result;
    dn_edges d_area = {p.left < t.left ? -c_h : 0, p.right > t.right ? c_h : 0, p.top < t.top ? -c_w : 0,
                       p.bottom > t.bottom ? c_w : 0};
    dn_edges fill = quotient(joined, d_joined, area, d_area); /* giou = iou - 1 + joined / area */
    if (apart) return fill;
    return (dn_edges){result.left + fill.left, result.right + fill.right, result.top + fill.top,
                      result.bottom + fill.bottom};
}

/* What DIoU and CIoU add: the pull of the centres and, for CIoU, of the aspect ratio. */
static dn_box centre_gradient(bool ciou, dn_box predicted, dn_box truth) {
    dn_edges p = edges_of(predicted), t = edges_of(truth), c = enclosing(p, t);
    float c_w = c.right - c.left, c_h = c.bottom - c.top, diagonal = c_w * c_w + c_h * c_h;
    if (!(diagonal > 0)) return (dn_box){0};
    float dx = truth.x - predicted.x, dy = truth.y - predicted.y, distance = dx * dx + dy * dy;
    float right = p.right > t.right, left = p.left<t.left, bottom = p.bottom> t.bottom, top = p.top < t.top;
    float square = diagonal * diagonal;
    dn_box result = {(2 * dx * diagonal - 2 * c_w * (right - left) * distance) / square,
                     (2 * dy * diagonal - 2 * c_h * (bottom - top) * distance) / square,
                     c_w * (right + left) * distance / square, c_h * (bottom + top) * distance / square};
    if (!ciou) return result;

    float loss, alpha = aspect_weight(&loss, dn_box_iou_of(predicted, truth), predicted, truth);
    float pull = alpha * 8 / pi_squared * (aspect_angle(truth) - aspect_angle(predicted));
    result.w += pull * predicted.h;
    result.h -= pull * predicted.w;
    return result;
}

static float finite_or_zero(float value) {
    return isfinite(value) ? value : 0;
}

dn_box dn_box_iou_gradient(dn_iou_kind kind, dn_box predicted, dn_box truth) {
    dn_edges p = edges_of(predicted), t = edges_of(truth);
    bool apart = !(smaller(p.right, t.right) > larger(p.left, t.left) &&
                   smaller(p.bottom, t.bottom) > larger(p.top, t.top));
    dn_edges d = area_gradient(kind == DN_GIOU, apart, p, t);
    dn_box result = {d.left + d.right, d.top + d.bottom, d.right - d.left, d.bottom - d.top};
    if (kind == DN_DIOU || kind == DN_CIOU) {
        dn_box pull = centre_gradient(kind == DN_CIOU, predicted, truth);
        if (apart) result = (dn_box){0};
        result = (dn_box){result.x + pull.x, result.y + pull.y, result.w + pull.w, result.h + pull.h};
    }
    return (dn_box){finite_or_zero(result.x), finite_or_zero(result.y), finite_or_zero(result.w),
                    finite_or_zero(result.h)};
}

static dn_box box_of(const float values[4]) {
    return (dn_box){values[0], values[1], values[2], values[3]};
}

float dn_box_iou(const float a[4], const float b[4]) {
    if (!a || !b) {
        dn_fail(DN_ERROR_ARGUMENT, "dn_box_iou: a box is NULL");
        return NAN;
    }
    return dn_box_iou_of(box_of(a), box_of(b));
}

float dn_box_iou_kind(const float a[4], const float b[4], const char *kind) {
    dn_iou_kind parsed = DN_IOU;
    if (!a || !b || !kind || !dn_iou_kind_parse(&parsed, kind)) {
        dn_fail(DN_ERROR_ARGUMENT,
                "dn_box_iou_kind: expected two boxes and iou, giou, diou or ciou, not \"%s\"",
                kind ? kind : "(null)");
        return NAN;
    }
    return dn_box_iou_by(parsed, box_of(a), box_of(b));
}
