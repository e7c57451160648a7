/* files.c - word trees and class maps named in a cfg. */
#include "files.h"

#include "../base/platform.h"

static dn_status read_named(char **out, size_t *length, char path[4096], dn_section *section,
                            const char *key) {
    *out = NULL;
    const char *name = dn_option_text(section, key);
    if (!name) return DN_OK;
    if (!dn_platform_find(path, 4096, name, section->file))
        return dn_option_error(section, key, "no file '%s' in the working directory or beside the cfg", name);
    return dn_platform_read_file(out, length, path, (size_t)1 << 28);
}

dn_status dn_layer_tree(dn_tree **out, dn_section *section, const char *key) {
    char *text, path[4096];
    size_t length;
    *out = NULL;
    DN_TRY(read_named(&text, &length, path, section, key));
    if (!text) return DN_OK;
    dn_status status = dn_tree_from_text(out, text, length, path);
    dn_free(text);
    return status;
}

dn_status dn_layer_map(int **out, int *count, dn_section *section, const char *key, int classes) {
    char *text, path[4096];
    size_t length;
    *out = NULL;
    *count = 0;
    DN_TRY(read_named(&text, &length, path, section, key));
    if (!text) return DN_OK;
    dn_status status = dn_map_from_text(out, count, text, length, path, classes);
    dn_free(text);
    return status;
}
