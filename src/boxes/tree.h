/* tree.h - the word tree of YOLO9000 (Redmon and Farhadi 2017, section 4) and class maps: what heads and
 * loaders see of them. The public functions are in dn.h. */
#ifndef DN_TREE_H
#define DN_TREE_H

#include "../base/base.h"

struct dn_tree {
    int size, groups;
    int *parents;       /* [size], -1 for roots; a parent precedes its children */
    int *children;      /* [size], group of a node's children, -1 for leaves */
    int *node_groups;   /* [size] */
    int *group_offsets; /* [groups], first node */
    int *group_sizes;   /* [groups] */
    char **names;       /* [size], into text */
    char *text;
    size_t text_size;
};

/* One `name parent` per line; name is what messages call the text. */
dn_status dn_tree_from_text(dn_tree **out, const char *text, size_t length, const char *name);
dn_status dn_tree_copy(dn_tree **out, const dn_tree *tree);
/* One integer >= 0, and below nodes if that is above 0, per line; *out is freed with dn_free. */
dn_status dn_map_from_text(int **out, int *count, const char *text, size_t length, const char *name,
                           int nodes);

#endif
