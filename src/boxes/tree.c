/* tree.c - reading word trees and class maps, and the probabilities of a tree's nodes. A group is a maximal
 * run of lines with the same parent; softmax runs per group, so the network gives probabilities conditional
 * on the parent. */
#include "tree.h"

#include "../base/platform.h"

#include <limits.h>
#include <string.h>

enum {
    largest_file = 256 << 20,
    longest_name = 255 /* the reference reads names into 256 bytes */
};

/* The lines of a text; blank lines at the end don't count. A line is cut out by ending it with a 0. */
typedef struct dn_lines {
    char *next, *end;
    int number;
    const char *name;
} dn_lines;

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

static char *skip_blanks(char *text) {
    while (is_blank(*text)) ++text;
    return text;
}

/* A copy of the text that ends in a 0 after the last line that is not blank, without byte order mark. */
static dn_status copy_text(char **out, dn_lines *lines, const char *text, size_t length, const char *name) {
    static const char mark[] = "\xEF\xBB\xBF";
    if (!text || length > largest_file)
        return dn_fail(DN_ERROR_ARGUMENT, "%s: no text, or more than 256 MiB", name);
    if (length >= 3 && memcmp(text, mark, 3) == 0) {
        text += 3;
        length -= 3;
    }
    while (length > 0 && is_blank(text[length - 1])) --length;
    if (length == 0) return dn_fail(DN_ERROR_DATA, "%s: the file is empty", name);
    const char *zero = memchr(text, 0, length);
    if (zero) {
        int line = 1;
        for (const char *c = text; c < zero; ++c) line += *c == '\n';
        return dn_fail(DN_ERROR_DATA, "%s:%d: a zero byte: this is not a text file", name, line);
    }
    char *copy = dn_strndup(text, length);
    if (!copy) return dn_fail(DN_ERROR_NO_MEMORY, "%s: no memory for %zu bytes of text", name, length);
    *lines = (dn_lines){copy, copy + length, 0, name};
    *out = copy;
    return DN_OK;
}

/* Start of the next line after its leading blanks, NULL at the end. */
static char *next_line(dn_lines *lines) {
    if (!lines->next) return NULL;
    char *line = lines->next, *end = memchr(line, '\n', (size_t)(lines->end - line));
    lines->next = end ? end + 1 : NULL;
    lines->number++;
    if (end) *end = 0;
    return skip_blanks(line);
}

static size_t count_lines(const dn_lines *lines) {
    size_t count = 1;
    for (const char *c = lines->next; c < lines->end; ++c) count += *c == '\n';
    return count;
}

/* A whole decimal number at text, followed by a blank or the end. */
static bool whole_number(int *out, const char *text) {
    const char *digits = text + (*text == '-' || *text == '+'), *end;
    if (*digits < '0' || *digits > '9') return false;
    long value = dn_parse_int(text, &end);
    if (value < INT_MIN || value > INT_MAX || (*end && !is_blank(*end))) return false;
    *out = (int)value;
    return true;
}

/* A parent must stand above its children, which also rules out cycles. */
static dn_status check_parent(int parent, int node, int size, const dn_lines *lines) {
    if (parent >= -1 && parent < node) return DN_OK;
    if (parent == node)
        return dn_fail(DN_ERROR_DATA, "%s:%d: node %d is its own parent %d: expected an earlier node, or -1",
                       lines->name, lines->number, node, parent);
    if (parent > node && parent < size)
        return dn_fail(DN_ERROR_DATA,
                       "%s:%d: parent %d of node %d comes later (or is in a cycle): parents must precede "
                       "their children",
                       lines->name, lines->number, parent, node);
    return dn_fail(DN_ERROR_DATA,
                   "%s:%d: parent %d of node %d: expected -1 or the number of an earlier node; the file has "
                   "%d nodes, counted from 0",
                   lines->name, lines->number, parent, node, size);
}

static dn_status parse_node(dn_tree *tree, int node, char *line, const dn_lines *lines) {
    char *end = line;
    while (*end && !is_blank(*end)) ++end;
    if (end == line)
        return dn_fail(DN_ERROR_DATA, "%s:%d: blank line inside the tree", lines->name, lines->number);
    if (end - line > longest_name)
        return dn_fail(DN_ERROR_DATA, "%s:%d: the name of node %d has %d bytes, more than %d", lines->name,
                       lines->number, node, (int)(end - line), longest_name);
    char *rest = skip_blanks(end);
    int parent = -1; /* also of a line without one */
    if (*rest && !whole_number(&parent, rest))
        return dn_fail(DN_ERROR_DATA, "%s:%d: expected `name parent`, found parent \"%.40s\"", lines->name,
                       lines->number, rest);
    DN_TRY(check_parent(parent, node, tree->size, lines));
    *end = 0;
    tree->names[node] = line;
    tree->parents[node] = parent;
    return DN_OK;
}

static void find_groups(dn_tree *tree) {
    for (int node = 0; node < tree->size; ++node) {
        int parent = tree->parents[node];
        tree->children[node] = -1;
        if (node == 0 || parent != tree->parents[node - 1]) {
            tree->group_offsets[tree->groups] = node;
            if (parent >= 0) tree->children[parent] = tree->groups; /* the last run, if there are several */
            tree->groups++;
        }
        tree->node_groups[node] = tree->groups - 1;
        tree->group_sizes[tree->groups - 1]++;
    }
}

static dn_status allocate_nodes(dn_tree *tree, size_t size) {
    tree->size = (int)size; /* fits: files are smaller than 2^31 bytes */
    DN_TRY(dn_new(&tree->parents, size, sizeof(int), "word tree"));
    DN_TRY(dn_new(&tree->children, size, sizeof(int), "word tree"));
    DN_TRY(dn_new(&tree->node_groups, size, sizeof(int), "word tree"));
    DN_TRY(dn_new(&tree->group_offsets, size, sizeof(int), "word tree"));
    DN_TRY(dn_new(&tree->group_sizes, size, sizeof(int), "word tree"));
    return dn_new(&tree->names, size, sizeof(char *), "word tree");
}

dn_status dn_tree_from_text(dn_tree **out, const char *text, size_t length, const char *name) {
    *out = NULL;
    dn_tree *tree = NULL;
    dn_lines lines;
    dn_status status;
    DN_TRY(dn_new(&tree, 1, sizeof *tree, "word tree"));
    DN_TRY_GOTO(copy_text(&tree->text, &lines, text, length, name));
    tree->text_size = (size_t)(lines.end - lines.next) + 1;
    DN_TRY_GOTO(allocate_nodes(tree, count_lines(&lines)));
    char *line;
    for (int node = 0; (line = next_line(&lines)); ++node) DN_TRY_GOTO(parse_node(tree, node, line, &lines));
    find_groups(tree);
    *out = tree;
    return DN_OK;
fail:
    dn_tree_free(tree);
    return status;
}

dn_status dn_tree_copy(dn_tree **out, const dn_tree *tree) {
    *out = NULL;
    dn_tree *copy = NULL;
    dn_status status;
    DN_TRY(dn_new(&copy, 1, sizeof *copy, "word tree"));
    DN_TRY_GOTO(dn_new(&copy->text, tree->text_size, 1, "word tree"));
    memcpy(copy->text, tree->text, tree->text_size);
    copy->text_size = tree->text_size;
    DN_TRY_GOTO(allocate_nodes(copy, (size_t)tree->size));
    for (int node = 0; node < tree->size; ++node) {
        copy->parents[node] = tree->parents[node];
        copy->names[node] = copy->text + (tree->names[node] - tree->text);
    }
    find_groups(copy);
    *out = copy;
    return DN_OK;
fail:
    dn_tree_free(copy);
    return status;
}

dn_status dn_map_from_text(int **out, int *count, const char *text, size_t length, const char *name,
                           int nodes) {
    *out = NULL;
    *count = 0;
    char *copy = NULL;
    int *map = NULL, used = 0;
    dn_lines lines;
    dn_status status;
    DN_TRY(copy_text(&copy, &lines, text, length, name));
    DN_TRY_GOTO(dn_new(&map, count_lines(&lines), sizeof *map, "class map"));
    for (char *line; (line = next_line(&lines)); ++used) {
        if (!whole_number(&map[used], line) || map[used] < 0) {
            status = dn_fail(DN_ERROR_DATA, "%s:%d: expected the number of a class, found \"%.40s\"", name,
                             lines.number, line);
            goto fail;
        }
        if (nodes > 0 && map[used] >= nodes) {
            status = dn_fail(DN_ERROR_DATA, "%s:%d: class %d of a map to %d classes, counted from 0", name,
                             lines.number, map[used], nodes);
            goto fail;
        }
    }
    dn_free(copy);
    *out = map;
    *count = used;
    return DN_OK;
fail:
    dn_free(copy);
    dn_free(map);
    return status;
}

dn_status dn_tree_load(dn_tree **out, const char *path) {
    if (!out || !path) return dn_fail(DN_ERROR_ARGUMENT, "dn_tree_load: out or path is NULL");
    *out = NULL;
    char *text;
    size_t length;
    DN_TRY(dn_platform_read_file(&text, &length, path, largest_file));
    dn_status status = dn_tree_from_text(out, text, length, path);
    dn_free(text);
    return status;
}

dn_status dn_map_load(int **out, int *count, const char *path, int nodes) {
    if (!out || !count || !path) return dn_fail(DN_ERROR_ARGUMENT, "dn_map_load: out, count or path is NULL");
    *out = NULL;
    *count = 0;
    char *text;
    size_t length;
    DN_TRY(dn_platform_read_file(&text, &length, path, largest_file));
    dn_status status = dn_map_from_text(out, count, text, length, path, nodes);
    dn_free(text);
    return status;
}

void dn_map_free(int *map) {
    dn_free(map);
}

void dn_tree_free(dn_tree *tree) {
    if (!tree) return;
    dn_free(tree->parents);
    dn_free(tree->children);
    dn_free(tree->node_groups);
    dn_free(tree->group_offsets);
    dn_free(tree->group_sizes);
    dn_free(tree->names);
    dn_free(tree->text);
    dn_free(tree);
}

int dn_tree_size(const dn_tree *tree) {
    return tree ? tree->size : 0;
}

int dn_tree_groups(const dn_tree *tree) {
    return tree ? tree->groups : 0;
}

const char *dn_tree_name(const dn_tree *tree, int node) {
    return tree && node >= 0 && node < tree->size ? tree->names[node] : NULL;
}

const int *dn_tree_parents(const dn_tree *tree) {
    return tree ? tree->parents : NULL;
}

const int *dn_tree_children(const dn_tree *tree) {
    return tree ? tree->children : NULL;
}

const int *dn_tree_node_groups(const dn_tree *tree) {
    return tree ? tree->node_groups : NULL;
}

const int *dn_tree_group_offsets(const dn_tree *tree) {
    return tree ? tree->group_offsets : NULL;
}

const int *dn_tree_group_sizes(const dn_tree *tree) {
    return tree ? tree->group_sizes : NULL;
}

/* Parents precede children, so one pass suffices. Not idempotent. */
void dn_tree_absolute(const dn_tree *tree, float *values, int stride, int only_leaves) {
    if (!tree || !values || stride <= 0) return;
    for (int node = 0; node < tree->size; ++node) {
        int parent = tree->parents[node];
        if (parent >= 0) values[(size_t)node * (size_t)stride] *= values[(size_t)parent * (size_t)stride];
    }
    if (!only_leaves) return;
    for (int node = 0; node < tree->size; ++node)
        if (tree->children[node] >= 0) values[(size_t)node * (size_t)stride] = 0;
}

float dn_tree_probability(const dn_tree *tree, const float *conditional, int stride, int node) {
    if (!tree || !conditional || stride <= 0 || node < 0 || node >= tree->size) return 0;
    float product = 1;
    for (; node >= 0; node = tree->parents[node]) product *= conditional[(size_t)node * (size_t)stride];
    return product;
}

/* Walks down from the first group, to the likeliest child at every split, while that is probable enough. With
 * again the values along the path are multiplied, although each of them is absolute already. */
static int descend(const dn_tree *tree, const float *absolute, int stride, float thresh, bool again) {
    if (!tree || !absolute || stride <= 0) return -1;
    float path = 1;
    for (int group = 0;;) {
        int best = tree->group_offsets[group], end = best + tree->group_sizes[group];
        for (int node = best + 1; node < end; ++node)
            if (absolute[(size_t)node * (size_t)stride] > absolute[(size_t)best * (size_t)stride])
                best = node;
        float value = absolute[(size_t)best * (size_t)stride];
        if (path * value > thresh) {
            if (again) path *= value;
            group = tree->children[best];
            if (group < 0) return best;
        } else {
            return group == 0 ? best : tree->parents[tree->group_offsets[group]];
        }
    }
}

/* The reference's descent, which stops earlier than the paper's (compat.md 9.4). */
int dn_tree_top(const dn_tree *tree, const float *absolute, int stride, float thresh) {
    return descend(tree, absolute, stride, thresh, true);
}

/* "We traverse the tree down, taking the highest confidence path at every split until we reach some
 * threshold" (YOLO9000, section 4): the threshold is one of absolute probability. */
int dn_tree_top_paper(const dn_tree *tree, const float *absolute, int stride, float thresh) {
    return descend(tree, absolute, stride, thresh, false);
}
