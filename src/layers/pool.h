/* pool.h - windows of the pooling layers: their keys and geometry. `padding` is the total, not per side.
 * compat.md 6.6, 20.8. */
#ifndef DN_POOL_H
#define DN_POOL_H

#include "layer.h"

#define DN_POOL_KEYS                                                                                         \
    {"stride", "1", "step between windows"}, {"stride_x", NULL, "horizontal step; default stride"},          \
        {"stride_y", NULL, "vertical step; default stride"},                                                 \
        {"size", NULL, "side of the window; default stride"},                                                \
        {"padding", NULL, "total padding; default size - 1"}

/* Reads strides, size and *padding. */
dn_status dn_pool_read(dn_pool_shape *shape, int *padding, dn_section *section);
/* The rest of the shape, for the layer's input; sets the layer's output. */
dn_status dn_pool_configure(dn_pool_shape *shape, int padding, dn_layer *layer, dn_section *section);

#endif
