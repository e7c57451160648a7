/* files.h - what several layers read from side files a cfg names, and the mark of values to ignore. */
#ifndef DN_LAYER_FILES_H
#define DN_LAYER_FILES_H

#include "../boxes/tree.h"
#include "layer.h"

/* Truth values that are this take no part in a loss. */
#define DN_IGNORED (-1234.0f)

/* The tree or map file that a key names; absent: *out NULL. Looked for beside the cfg too. A map's entries
 * are below classes. */
dn_status dn_layer_tree(dn_tree **out, dn_section *section, const char *key);
dn_status dn_layer_map(int **out, int *count, dn_section *section, const char *key, int classes);

#endif
