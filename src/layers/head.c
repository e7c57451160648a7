/* head.c - options and layout that the detection heads have in common. */
#include "head.h"

dn_status dn_head_anchors(float **out, int *count, dn_section *section) {
    float *listed;
    int values;
    DN_TRY(dn_option_int(count, section, "num", 1, 4096));
    DN_TRY(dn_new_floats(out, 2 * (size_t)*count, "anchors"));
    for (int i = 0; i < 2 * *count; ++i) (*out)[i] = 0.5f;
    DN_TRY(dn_option_floats(&listed, &values, section, "anchors"));
    dn_status status = DN_OK;
    for (int i = 0; status == DN_OK && i < dn_min_int(values, 2 * *count); ++i) {
        (*out)[i] = listed[i];
        if (!(listed[i] > 0))
            status =
                dn_option_error(section, "anchors", "item %d, the %s of anchor %d, is %g: it must be above 0",
                                i + 1, i % 2 ? "height" : "width", i / 2, (double)listed[i]);
    }
    dn_free(listed);
    return status;
}

void dn_head_mirror(float *out, const float *output, int anchors, int entries, int w, int h) {
    for (int plane = 0; plane < anchors * entries; ++plane)
        for (int row = 0; row < h; ++row, out += w, output += w)
            for (int column = 0; column < w; ++column) {
                float value = output[w - 1 - column];
                out[column] = plane % entries == 0 ? 1 - value : value;
            }
}
