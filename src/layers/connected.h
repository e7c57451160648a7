/* connected.h - [connected] configured by another layer that contains one. */
#ifndef DN_CONNECTED_H
#define DN_CONNECTED_H

#include "layer.h"

extern const dn_layer_type dn_type_connected;

/* layer: cleared but for settings, inputs and line; section: what messages name. */
dn_status dn_connected_configure(dn_layer *layer, dn_section *section, int outputs, dn_activation activation,
                                 bool batch_normalize);

#endif
