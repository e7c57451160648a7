/* pool.c - the windows of pooling layers, see pool.h. */
#include "pool.h"

dn_status dn_pool_read(dn_pool_shape *shape, int *padding, dn_section *section) {
    int stride;
    DN_TRY(dn_option_int(&stride, section, "stride", 1, 4096));
    DN_TRY(dn_option_int_or(&shape->stride_x, section, "stride_x", stride, 1, 4096));
    DN_TRY(dn_option_int_or(&shape->stride_y, section, "stride_y", stride, 1, 4096));
    DN_TRY(dn_option_int_or(&shape->size, section, "size", stride, 1, 4096));
    return dn_option_int_or(padding, section, "padding", shape->size - 1, 0, 8192);
}

dn_status dn_pool_configure(dn_pool_shape *shape, int padding, dn_layer *layer, dn_section *section) {
    int size = shape->size;
    if (layer->in_w + padding < size || layer->in_h + padding < size)
        return dn_option_error(section, "size", "a %d x %d window does not fit an input of %d x %d", size,
                               size, layer->in_w, layer->in_h);
    shape->c = layer->in_c;
    shape->h = layer->in_h;
    shape->w = layer->in_w;
    shape->out_h = (layer->in_h + padding - size) / shape->stride_y + 1;
    shape->out_w = (layer->in_w + padding - size) / shape->stride_x + 1;
    shape->offset_y = shape->offset_x = -(padding / 2);
    return dn_layer_set_output(layer, section, shape->out_w, shape->out_h, layer->in_c);
}
