/* head.c - options that the detection heads have in common. */
#include "head.h"

#include <string.h>

dn_status dn_head_anchors(float **out, int *count, dn_section *section) {
    float *listed;
    int values;
    DN_TRY(dn_option_int(count, section, "num", 1, 4096));
    DN_TRY(dn_new_floats(out, 2 * (size_t)*count, "anchors"));
    for (int i = 0; i < 2 * *count; ++i) (*out)[i] = 0.5f;
    DN_TRY(dn_option_floats(&listed, &values, section, "anchors"));
    if (listed) memcpy(*out, listed, (size_t)dn_min_int(values, 2 * *count) * sizeof **out);
    dn_free(listed);
    return DN_OK;
}
