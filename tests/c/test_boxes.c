/* test_boxes.c - overlaps, suppression, letterbox correction, average precision, word trees and class maps:
 * the behaviour at the edges. The numbers of the reference are met by the golden tests in Python. */
#include "../../src/boxes/box.h"
#include "../../src/boxes/tree.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int failures;

static void check(bool good, const char *name) {
    printf("%s %s\n", good ? "ok" : "FAIL", name);
    failures += !good;
}

static bool near(double a, double b) {
    return fabs(a - b) < 1e-5;
}

static bool message_has(const char *part) {
    return strstr(dn_error_message(), part) != NULL;
}

static void test_overlap(void) {
    const float unit[4] = {0, 0, 1, 1}, half[4] = {0.5f, 0, 1, 1}, far_away[4] = {9, 9, 1, 1},
                none[4] = {0, 0, 0, 0};
    const float broken[4] = {NAN, 0, 1, 1};
    check(dn_box_iou(unit, unit) == 1, "iou of equal boxes is 1");
    check(near(dn_box_iou(unit, half), 1 / 3.0), "iou of boxes that share a half");
    check(dn_box_iou(unit, far_away) == 0, "iou of distant boxes is 0");
    check(dn_box_iou(none, none) == 0, "iou of empty boxes is 0");
    check(isnan(dn_box_iou(broken, unit)) && isnan(dn_box_iou(unit, broken)), "iou with NaN is NaN");
    check(isnan(dn_box_iou(NULL, unit)) && message_has("NULL"), "iou of NULL");
    check(dn_box_iou_kind(unit, far_away, "giou") < -0.9f, "giou falls with distance");
    check(near(dn_box_iou_kind(unit, half, "diou"), 1 / 3.0 - pow(0.25 / 3.25, 0.6)),
          "diou has exponent 0.6");
    check(near(dn_box_iou_kind(unit, unit, "ciou"), 1), "ciou of equal boxes is 1");
    check(isfinite(dn_box_iou_kind(none, none, "ciou")), "ciou of empty boxes is finite");
    check(isnan(dn_box_iou_kind(unit, unit, "eiou")) && message_has("eiou"), "unknown kind is named");
}

/* Moving along the gradient must not make the measure smaller. */
static void test_gradient(void) {
    const dn_box truth = {0.5f, 0.5f, 0.3f, 0.2f};
    const dn_box starts[] = {{0.55f, 0.45f, 0.2f, 0.3f}, {0.4f, 0.6f, 0.4f, 0.1f}, {0.1f, 0.1f, 0.1f, 0.1f}};
    bool rises = true;
    for (int kind = DN_IOU; kind <= DN_CIOU; ++kind) {
        for (size_t i = 0; i < DN_COUNT(starts); ++i) {
            dn_box box = starts[i], step = dn_box_iou_gradient((dn_iou_kind)kind, box, truth);
            float before = dn_box_iou_by((dn_iou_kind)kind, box, truth);
            dn_box moved = {box.x + 1e-3f * step.x, box.y + 1e-3f * step.y, box.w, box.h};
            rises = rises && dn_box_iou_by((dn_iou_kind)kind, moved, truth) >= before - 1e-6f;
        }
    }
    check(rises, "gradients point uphill");
    dn_box still = dn_box_iou_gradient(DN_IOU, starts[2], truth);
    check(still.x == 0 && still.y == 0 && still.w == 0 && still.h == 0, "iou gradient of distant boxes is 0");
    dn_box pull = dn_box_iou_gradient(DN_GIOU, starts[2], truth);
    check(pull.x > 0 && pull.y > 0, "giou pulls distant boxes");
    dn_box broken = {NAN, 0, INFINITY, 0}, safe = dn_box_iou_gradient(DN_CIOU, broken, truth);
    check(isfinite(safe.x) && isfinite(safe.y) && isfinite(safe.w) && isfinite(safe.h),
          "gradient is always finite");
    dn_box empty = {0}, zero = dn_box_iou_gradient(DN_CIOU, empty, empty);
    check(zero.x == 0 && zero.w == 0, "gradient of empty boxes is 0");
}

static void test_nms_sort(void) {
    float boxes[] = {0, 0, 1, 1, 0.1f, 0, 1, 1, 5, 5, 1, 1, 0, 0, 1, 1};
    float objectness[] = {1, 1, 1, 0};
    float probabilities[] = {0.5f, 0.9f, 0.8f, 0.2f, 0.3f, 0.3f, 1, 1};
    int order[4];
    dn_status status = dn_boxes_nms(boxes, objectness, probabilities, 4, 2, 0.45f, DN_NMS_SORT, order);
    check(status == DN_OK, "nms sort runs");
    check(order[0] == 0 && order[1] == 2 && order[2] == 1 && order[3] == 3,
          "order is that of the last class");
    check(probabilities[0] == 0 && probabilities[1] == 0.9f, "class 0 of the first box is suppressed");
    check(probabilities[4] == 0.8f && probabilities[5] == 0, "class 1 of the second box is suppressed");
    check(boxes[4] == 5 && probabilities[2] == 0.3f, "the distant box is kept");
    check(probabilities[6] == 1 && objectness[3] == 0, "objectness 0 goes last and is left alone");
}

static void test_nms_obj(void) {
    float boxes[12 * 4], objectness[12], probabilities[12];
    int order[12], kept = 0;
    for (int i = 0; i < 12; ++i) {
        const float box[4] = {0.5f, 0.5f, 0.2f, 0.2f};
        memcpy(boxes + 4 * i, box, sizeof box);
        objectness[i] = 0.5f; /* all tied */
        probabilities[i] = 0.5f;
    }
    dn_boxes_nms(boxes, objectness, probabilities, 12, 1, 0.45f, DN_NMS_OBJ, order);
    for (int i = 0; i < 12; ++i) kept += objectness[i] != 0 && probabilities[i] != 0;
    check(kept == 1 && order[0] == 0 && objectness[0] != 0, "one of equal boxes survives: the first");

    float nan_boxes[] = {NAN, 0, 1, 1, 0, 0, 1, 1}, both[] = {0.9f, 0.8f}, scores[] = {0.9f, 0.8f};
    dn_boxes_nms(nan_boxes, both, scores, 2, 1, 0.45f, DN_NMS_OBJ, order);
    check(both[0] == 0.9f && both[1] == 0.8f, "a NaN box suppresses nothing");
    float pair[] = {0, 0, 1, 1, 0, 0, 1, 1}, ones[] = {1, 1}, odd[] = {NAN, 0.5f};
    dn_boxes_nms(pair, ones, odd, 2, 1, 0.45f, DN_NMS_SORT, order);
    check(order[0] == 1 && odd[0] == 0.5f, "a NaN score sorts last");
}

static void test_nms_edges(void) {
    float box[] = {0, 0, 1, 1}, zero[] = {0}, score[] = {1};
    int order[1] = {7};
    check(dn_boxes_nms(NULL, NULL, NULL, 0, 80, 0.45f, DN_NMS_SORT, NULL) == DN_OK, "an empty list is fine");
    check(dn_boxes_nms(box, zero, score, 1, 1, 0.45f, DN_NMS_SORT, order) == DN_OK && order[0] == 0,
          "a list of empty boxes");
    check(dn_boxes_nms(box, zero, NULL, 1, 0, 0.45f, DN_NMS_SORT, order) == DN_OK, "no classes");
    check(dn_boxes_nms(box, zero, score, -1, 1, 0.45f, DN_NMS_SORT, order) == DN_ERROR_ARGUMENT,
          "negative count");
    check(dn_boxes_nms(box, zero, score, 1, 1, 0.45f, 9, order) == DN_ERROR_ARGUMENT && message_has("kind 9"),
          "unknown nms kind");
    check(dn_boxes_nms(box, zero, score, 1, 1, NAN, DN_NMS_SORT, order) == DN_ERROR_ARGUMENT,
          "NaN threshold");
    check(dn_boxes_nms(NULL, zero, score, 1, 1, 0.45f, DN_NMS_SORT, order) == DN_ERROR_ARGUMENT,
          "NULL boxes");
}

static void test_list(void) {
    dn_detections *list;
    check(dn_detections_create(&list, 3) == DN_OK && dn_detections_count(list) == 0, "a new list is empty");
    bool kept = true;
    for (int i = 0; i < 1000; ++i) {
        float unused[3] = {0}, *row = unused;
        kept = kept && dn_detection_list_add(list, (dn_box){(float)i, 0, 0.5f, 0.5f}, 1, &row) == DN_OK;
        kept = kept && row[0] == 0 && row[2] == 0;
        row[1] = 1 + (float)i;
    }
    check(kept && dn_detections_count(list) == 1000 && dn_detections_classes(list) == 3, "a list grows");
    check(dn_detections_boxes(list)[4 * 999] == 999 && dn_detections_probabilities(list)[3 * 70 + 1] == 71,
          "a list keeps what was added");
    dn_detection_list_nms(list, 0.45f, DN_NMS_SORT, DN_SUPPRESS_IOU, 0);
    check(dn_detections_objectness(list)[0] == 1 && dn_detections_count(list) == 1000,
          "separate boxes are kept");
    dn_detections_free(list);
    dn_detections_free(NULL);
    check(dn_detections_create(&list, -1) == DN_ERROR_ARGUMENT, "negative classes");
    check(dn_detections_count(NULL) == 0 && !dn_detections_boxes(NULL), "accessors accept NULL");
}

static void test_correct(void) {
    float box[4] = {0.5f, 0.5f, 1, 0.75f};
    dn_boxes_correct(box, 1, 640, 480, 416, 416, 0);
    check(near(box[0], 320) && near(box[1], 240) && near(box[2], 640) && near(box[3], 480),
          "whole image, in pixels");
    float thin[4] = {0.5f, 0.5f, 0.1f, 0.1f};
    dn_boxes_correct(thin, 1, 1, 100000, 416, 416, 1);
    check(isfinite(thin[0]) && isfinite(thin[2]), "a hair-thin image");
    int w, h;
    dn_letterbox_size(&w, &h, 2000000000, 1, 416, 416);
    check(w == 416 && h == 1, "letterbox of extreme sizes");
    dn_boxes_correct(NULL, 5, 1, 1, 1, 1, 1);
    dn_boxes_correct(thin, 1, 0, 10, 416, 416, 1);
    check(isfinite(thin[0]), "impossible sizes change nothing");
}

static void test_average_precision(void) {
    const float scores[] = {0.7f, 0.9f, 0.8f};
    const uint8_t matches[] = {1, 1, 0};
    double ap;
    check(dn_average_precision(&ap, scores, matches, 3, 2, 0) == DN_OK && near(ap, 0.5 + 0.5 * 2 / 3),
          "area");
    dn_average_precision(&ap, scores, matches, 3, 2, 11);
    check(near(ap, (6 + 5 * 2 / 3.0) / 11), "11 points");
    dn_average_precision(&ap, scores, matches, 3, 2, 101);
    check(near(ap, (51 + 50 * 2 / 3.0) / 101), "101 points");
    const float tied[] = {0.5f, 0.5f};
    const uint8_t first[] = {1, 0}, second[] = {0, 1};
    dn_average_precision(&ap, tied, first, 2, 1, 0);
    check(ap == 1, "ties in the caller's order: hit first");
    dn_average_precision(&ap, tied, second, 2, 1, 0);
    check(ap == 0.5, "ties in the caller's order: miss first");
    check(dn_average_precision(&ap, NULL, NULL, 0, 3, 0) == DN_OK && ap == 0, "no detections");
    check(dn_average_precision(&ap, scores, matches, 3, 0, 0) == DN_OK && ap == 0, "no truths");
    check(dn_average_precision(&ap, scores, matches, 3, 1, 0) == DN_ERROR_ARGUMENT, "more hits than truths");
    check(dn_average_precision(&ap, scores, matches, 3, 2, 7) == DN_ERROR_ARGUMENT, "unknown points");
    const float broken[] = {NAN};
    check(dn_average_precision(&ap, broken, first, 1, 1, 0) == DN_ERROR_NUMERIC, "NaN score");
}

static dn_status tree_of(dn_tree **out, const char *text) {
    return dn_tree_from_text(out, text, strlen(text), "t");
}

static void test_tree_files(void) {
    dn_tree *tree;
    check(tree_of(&tree, "\xEF\xBB\xBFroot0 -1\r\nroot1\r\nleaf0\t 0\r\nleaf1 0 \r\nleaf2 1\r\n\r\n  \n") ==
              DN_OK,
          "BOM, CRLF, tabs, missing parent, blank last lines");
    check(dn_tree_size(tree) == 5 && dn_tree_groups(tree) == 3, "nodes and groups");
    check(strcmp(dn_tree_name(tree, 0), "root0") == 0 && strcmp(dn_tree_name(tree, 4), "leaf2") == 0,
          "names");
    check(dn_tree_parents(tree)[1] == -1 && dn_tree_children(tree)[0] == 1 && dn_tree_children(tree)[2] == -1,
          "parents and children");
    check(dn_tree_node_groups(tree)[3] == 1 && dn_tree_group_offsets(tree)[2] == 4 &&
              dn_tree_group_sizes(tree)[1] == 2,
          "group tables");
    check(!dn_tree_name(tree, -1) && !dn_tree_name(tree, 5), "names past the end");
    dn_tree_free(tree);
    check(tree_of(&tree, "only") == DN_OK && dn_tree_size(tree) == 1, "no final newline");
    dn_tree_free(tree);

    const struct {
        const char *text, *message;
    } hostile[] = {{"", "empty"},
                   {"\n \r\n", "empty"},
                   {"a 0\n", "t:1: node 0 is its own parent 0"},
                   {"a -1\nb 7\n", "t:2: parent 7 of node 1: expected -1 or the number of an earlier node; "
                                   "the file has 2 nodes"},
                   {"a -1\nb 2\nc 1\n", "t:2: parent 2 of node 1 comes later"},
                   {"a -1\nb 1\n", "t:2: node 1 is its own parent 1"},
                   {"a -2\n", "parent -2"},
                   {"a -1\n\nb 0\n", "t:2: blank"},
                   {"a -1\nb x\n", "\"x\""},
                   {"a 99999999999\n", "t:1:"},
                   {"a -1\nb 0x\n", "t:2:"}};
    for (size_t i = 0; i < DN_COUNT(hostile); ++i) {
        bool refused =
            tree_of(&tree, hostile[i].text) == DN_ERROR_DATA && !tree && message_has(hostile[i].message);
        check(refused, hostile[i].message);
    }
    check(dn_tree_from_text(&tree, "a -1\nb\0c 0", 11, "t") == DN_ERROR_DATA && message_has("t:2: a zero"),
          "zero byte");
    char longest[300];
    memset(longest, 'n', sizeof longest);
    check(dn_tree_from_text(&tree, longest, 255, "t") == DN_OK, "a name of 255 bytes");
    dn_tree_free(tree);
    check(dn_tree_from_text(&tree, longest, 256, "t") == DN_ERROR_DATA &&
              message_has("t:1: the name of node 0 has 256 bytes, more than 255"),
          "a name of 256 bytes");
    check(dn_tree_load(&tree, "/nonexistent/a.tree") == DN_ERROR_FILE && !tree, "missing file");
    check(dn_tree_load(NULL, NULL) == DN_ERROR_ARGUMENT, "NULL path");
    dn_tree_free(NULL);
}

static void test_tree_probabilities(void) {
    dn_tree *tree;
    tree_of(&tree, "a -1\nb -1\nc 0\nd 0\ne 2\nf 2\n");
    const float conditional[6] = {0.9f, 0.1f, 0.8f, 0.2f, 0.7f, 0.3f};
    check(near(dn_tree_probability(tree, conditional, 1, 4), 0.9 * 0.8 * 0.7), "probability along the path");
    check(dn_tree_probability(tree, conditional, 1, 6) == 0, "probability past the end");
    float values[6], leaves[6];
    memcpy(values, conditional, sizeof values);
    memcpy(leaves, conditional, sizeof leaves);
    dn_tree_absolute(tree, values, 1, 0);
    dn_tree_absolute(tree, leaves, 1, 1);
    check(near(values[4], 0.504) && near(values[0], 0.9), "absolute probabilities");
    check(leaves[0] == 0 && leaves[2] == 0 && near(leaves[4], 0.504), "only leaves");
    /* .9 > .5, .9 * .72 = .648 > .5, .648 * .504 = .327 < .5: stops at c, though e's probability is above .5.
     */
    check(dn_tree_top(tree, values, 1, 0.5f) == 2, "descent multiplies absolute values again");
    check(dn_tree_top(tree, values, 1, 0.3f) == 4, "descent to a leaf");
    check(dn_tree_top(tree, values, 1, 0.95f) == 0, "no descent");
    check(dn_tree_top_paper(tree, values, 1, 0.5f) == 4, "the paper's descent compares absolute values");
    check(dn_tree_top_paper(tree, values, 1, 0.51f) == 2 && dn_tree_top_paper(tree, values, 1, 0.8f) == 0,
          "the paper's descent ends above the threshold");
    const float nothing[6] = {NAN, NAN, NAN, NAN, NAN, NAN};
    check(dn_tree_top(tree, nothing, 1, 0.5f) == 0, "NaN values end at the first root");
    check(dn_tree_top(NULL, values, 1, 0.5f) == -1 && dn_tree_top_paper(tree, NULL, 1, 0.5f) == -1,
          "NULL tree or values");
    dn_tree *copy;
    check(dn_tree_copy(&copy, tree) == DN_OK && dn_tree_size(copy) == 6 && dn_tree_groups(copy) == 3 &&
              strcmp(dn_tree_name(copy, 5), "f") == 0 && dn_tree_name(copy, 5) != dn_tree_name(tree, 5),
          "a copy of a tree");
    check(memcmp(dn_tree_children(copy), dn_tree_children(tree), 6 * sizeof(int)) == 0 &&
              dn_tree_top(copy, values, 1, 0.3f) == 4,
          "a copy works as the tree does");
    dn_tree_free(copy);
    dn_tree_free(tree);
}

static void test_map(void) {
    int *map, count;
    const char good[] = "5\r\n0\n 17", bad[] = "1\nx\n", negative[] = "-3\n";
    check(dn_map_from_text(&map, &count, good, strlen(good), "m", 0) == DN_OK && count == 3 && map[0] == 5 &&
              map[2] == 17,
          "a class map");
    dn_free(map);
    check(dn_map_from_text(&map, &count, bad, strlen(bad), "m", 0) == DN_ERROR_DATA && !map &&
              message_has("m:2:"),
          "a word in a map");
    check(dn_map_from_text(&map, &count, negative, strlen(negative), "m", 0) == DN_ERROR_DATA,
          "a negative node in a map");
    check(dn_map_from_text(&map, &count, good, strlen(good), "m", 17) == DN_ERROR_DATA && !map &&
              message_has("m:3: class 17 of a map to 17 classes"),
          "a node beyond the tree in a map");
    check(dn_map_from_text(&map, &count, good, strlen(good), "m", 18) == DN_OK, "the last node in a map");
    dn_map_free(map);
    check(dn_map_load(&map, &count, "/nonexistent/a.map", 0) == DN_ERROR_FILE && !map, "missing map");
    check(dn_map_load(NULL, &count, "a.map", 0) == DN_ERROR_ARGUMENT, "map without an address");
}

int main(void) {
    test_overlap();
    test_gradient();
    test_nms_sort();
    test_nms_obj();
    test_nms_edges();
    test_list();
    test_correct();
    test_average_precision();
    test_tree_files();
    test_tree_probabilities();
    test_map();
    return failures != 0;
}
