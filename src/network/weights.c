/* weights.c - .weights files, read and written from the layers' parameter lists alone. Format: compat.md
 * section 11. */
#include "network.h"

#include "../base/platform.h"

#include <string.h>

enum { HEADER_BYTES = 20 }; /* as written; old files have 16 */

typedef struct header {
    int32_t major, minor, revision;
    uint64_t seen;
    bool transposed; /* connected weights are stored [in][out] */
    size_t bytes;
} header;

/* A file being read: every float is accounted for. */
typedef struct reader {
    const char *name;
    const uint8_t *bytes;
    size_t length, at, header_bytes;
    bool transposed, partial;
    dn_dialect dialect;
} reader;

static int32_t int_at(const uint8_t *p) {
    uint32_t value = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    return (int32_t)value;
}

static dn_status read_header(header *h, const uint8_t *bytes, size_t length, const char *name) {
    if (length > 0 && (bytes[0] == '<' || (length > 9 && memcmp(bytes, "version h", 9) == 0)))
        return dn_fail(DN_ERROR_WEIGHTS,
                       "%s: this is a text file (a web page or a pointer), not weights: the download "
                       "went wrong",
                       name);
    if (length < 16)
        return dn_fail(DN_ERROR_WEIGHTS, "%s: %zu bytes are too few even for the header of 16", name, length);
    if (memcmp(bytes, "DNTRAIN", 7) == 0) /* checkpoint.c */
        return dn_fail(DN_ERROR_WEIGHTS,
                       "%s: the checkpoint of a training run, which --resume goes on from; the "
                       ".weights file beside it has the parameters",
                       name);
    h->major = int_at(bytes);
    h->minor = int_at(bytes + 4);
    h->revision = int_at(bytes + 8);
    bool young = h->major < 1000 && h->minor < 1000;
    bool wide = (int64_t)h->major * 10 + h->minor >= 2 && young;
    h->transposed = h->major > 1000 || h->minor > 1000;
    h->bytes = wide ? 20 : 16;
    if (length < h->bytes)
        return dn_fail(DN_ERROR_WEIGHTS, "%s: %zu bytes are too few for the header of %zu", name, length,
                       h->bytes);
    h->seen = (uint64_t)(int64_t)int_at(bytes + 12); /* the reference keeps the sign of the narrow form */
    if (wide) h->seen = (uint64_t)(uint32_t)int_at(bytes + 12) | (uint64_t)(uint32_t)int_at(bytes + 16) << 32;
    return DN_OK;
}

dn_status dn_weights_header(const void *bytes, size_t length, const char *name, int version[3],
                            uint64_t *seen, int *transposed, size_t *header_bytes) {
    header h = {0};
    if (!bytes) return dn_fail(DN_ERROR_ARGUMENT, "dn_weights_header needs the bytes of a file");
    DN_TRY(read_header(&h, bytes, length, name ? name : "weights"));
    if (version) version[0] = h.major, version[1] = h.minor, version[2] = h.revision;
    if (seen) *seen = h.seen;
    if (transposed) *transposed = h.transposed;
    if (header_bytes) *header_bytes = h.bytes;
    return DN_OK;
}

/* Floats of a parameter in a file; 0 if the file does not have it. */
static size_t file_floats(const dn_layer *layer, const dn_param *param, dn_dialect dialect, bool loading) {
    if (param->alexeyab_only && dialect != DN_DIALECT_ALEXEYAB) return 0;
    if (!loading) return param->count;
    bool normalization =
        param->role == DN_PARAM_SCALE || param->role == DN_PARAM_MEAN || param->role == DN_PARAM_VARIANCE;
    if (layer->dont_load_scales && normalization) return 0;
    if (layer->num_load)
        return param->count / (size_t)param->dims[param->filter_dim] * (size_t)layer->num_load;
    return param->count;
}

static size_t layer_floats(const dn_layer *layer, dn_dialect dialect) {
    size_t floats = 0;
    if (layer->dont_load) return 0;
    for (int p = 0; p < layer->param_count; ++p)
        floats += file_floats(layer, &layer->params[p], dialect, true);
    return floats;
}

static size_t range_floats(const dn_network *network, int start, int cutoff, dn_dialect dialect) {
    size_t floats = 0;
    for (int i = start; i < cutoff; ++i) floats += layer_floats(&network->layers[i], dialect);
    return floats;
}

/* out[columns][rows] = in[rows][columns]; in may be unaligned file bytes. */
static void transpose(float *out, const uint8_t *in, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; ++r)
        for (size_t c = 0; c < columns; ++c)
            memcpy(&out[c * rows + r], in + (r * columns + c) * sizeof(float), sizeof(float));
}

/* The commonest mix-up has a name: the same cfg trained without batch normalisation. */
static const char *misfit_hint(const dn_network *network, const reader *file, size_t header_bytes) {
    size_t plain = 0;
    for (int i = 0; i < network->count; ++i)
        for (int p = 0; p < network->layers[i].param_count; ++p) {
            const dn_param *param = &network->layers[i].params[p];
            if (param->role == DN_PARAM_BIAS || param->role == DN_PARAM_WEIGHT) plain += param->count;
        }
    if (header_bytes + plain * sizeof(float) == file->length)
        return "; it fits this cfg without batch_normalize";
    return "";
}

/* Whether the file still has all of a layer. */
static dn_status measure_layer(const dn_network *network, const dn_layer *layer, reader *file) {
    size_t needed = layer_floats(layer, file->dialect) * sizeof(float), left = file->length - file->at;
    if (needed > left) {
        size_t total = range_floats(network, 0, network->count, file->dialect) * sizeof(float);
        return dn_fail(
            DN_ERROR_WEIGHTS,
            "%s: ends in layer %d [%s]: its parameters need %zu bytes from offset %zu, but "
            "only %zu are left. The network needs %zu bytes of parameters, the file has %zu bytes: it is "
            "truncated or belongs to another cfg%s%s",
            file->name, layer->index, layer->type->name, needed, file->at, left, total, file->length,
            misfit_hint(network, file, file->header_bytes),
            left == 0 ? " (partial=True loads the layers it has)" : "");
    }
    file->at += needed;
    return DN_OK;
}

/* Layers that were measured, so nothing can fail any more. */
static void copy_layers(dn_network *network, reader *file, int start, int end) {
    file->at = file->header_bytes;
    for (int i = start; i < end; ++i) {
        const dn_layer *layer = &network->layers[i];
        for (int p = 0; p < layer->param_count && !layer->dont_load; ++p) {
            const dn_param *param = &layer->params[p];
            size_t floats = file_floats(layer, param, file->dialect, true);
            const uint8_t *from = file->bytes + file->at;
            float *to = network->params + param->offset;
            if (floats && ((param->file_transposed && file->transposed) || param->file_flipped)) {
                size_t rows = floats / (param->count / (size_t)param->dims[0]);
                transpose(to, from, floats / rows, rows);
            } else if (floats) {
                memcpy(to, from, floats * sizeof(float));
            }
            file->at += floats * sizeof(float);
        }
    }
    network->written = true;
}

/* A stand-alone batchnorm has biases in one dialect only; the file's length tells which one it is. */
static dn_dialect dialect_of(const dn_network *network, int start, int cutoff, size_t floats) {
    dn_dialect own = (dn_dialect)network->options.dialect;
    dn_dialect other = own == DN_DIALECT_PJREDDIE ? DN_DIALECT_ALEXEYAB : DN_DIALECT_PJREDDIE;
    if (range_floats(network, start, cutoff, own) == floats) return own;
    return range_floats(network, start, cutoff, other) == floats ? other : own;
}

static dn_status check_end(const dn_network *network, const reader *file, int cutoff) {
    size_t left = file->length - file->at;
    if (left == 0) return DN_OK;
    if (cutoff >= 0 || file->partial) {
        dn_log(DN_LOG_INFO, "%s: %zu bytes after the last layer asked for are not read", file->name, left);
        return DN_OK;
    }
    return dn_fail(DN_ERROR_WEIGHTS,
                   "%s: %zu bytes are left after the last layer (%d): the network needs %zu bytes, the "
                   "file has %zu. It belongs to another cfg%s",
                   file->name, left, network->count - 1, file->at, file->length,
                   misfit_hint(network, file, file->header_bytes));
}

/* Reads the header and walks over the layers start .. *end - 1 that the file has, before anything is changed:
 * a file that does not fit leaves the network as it is. */
static dn_status measure(int *end, header *h, const dn_network *network, reader *file, int start,
                         int cutoff) {
    int last = cutoff < 0 || cutoff > network->count ? network->count : cutoff, i = start;
    DN_TRY(read_header(h, file->bytes, file->length, file->name));
    if (start < 0 || start > last)
        return dn_fail(DN_ERROR_ARGUMENT, "start: must be 0 to %d, not %d", last, start);
    file->at = file->header_bytes = h->bytes;
    file->transposed = h->transposed;
    file->dialect = dialect_of(network, start, last, (file->length - h->bytes) / sizeof(float));
    if (h->transposed) dn_log(DN_LOG_INFO, "%s: old layout, connected weights are transposed", file->name);
    for (; i < last; ++i) {
        const dn_layer *layer = &network->layers[i];
        if (file->partial && file->at == file->length && layer_floats(layer, file->dialect)) break;
        DN_TRY(measure_layer(network, layer, file));
    }
    DN_TRY(check_end(network, file, cutoff));
    if (i < last)
        dn_log(DN_LOG_INFO, "%s: ends before layer %d; it and the layers after it keep their values",
               file->name, i);
    *end = i;
    return DN_OK;
}

static void finish(dn_network *network, const header *h) {
    network->seen = h->seen;
    atomic_fetch_add(&network->version, 1);
}

static dn_status check_unused(dn_network *network) {
    pthread_mutex_lock(&network->mutex);
    int sessions = network->sessions;
    pthread_mutex_unlock(&network->mutex);
    if (sessions) return dn_fail(DN_ERROR_STATE, "weights can't be loaded while sessions use the network");
    return DN_OK;
}

dn_status dn_network_load_weights_bytes(dn_network *network, const void *bytes, size_t length,
                                        const char *name, int start, int cutoff, int partial) {
    if (!network || (!bytes && length)) return dn_fail(DN_ERROR_ARGUMENT, "no network or no weights");
    DN_TRY(check_unused(network));
    reader file = {
        .name = name ? name : "weights", .bytes = bytes, .length = length, .partial = partial != 0};
    header h;
    int end;
    DN_TRY(measure(&end, &h, network, &file, start, cutoff));
    copy_layers(network, &file, start, end);
    finish(network, &h);
    return DN_OK;
}

/* Whether the file, after its header, is the arena itself, float by float. */
static bool is_arena(const dn_network *network, const reader *file) {
    size_t at = 0;
    for (int i = 0; i < network->count; ++i) {
        const dn_layer *layer = &network->layers[i];
        for (int p = 0; p < layer->param_count; ++p) {
            const dn_param *param = &layer->params[p];
            size_t floats = layer->dont_load ? 0 : file_floats(layer, param, file->dialect, true);
            if (param->file_flipped || (param->file_transposed && file->transposed)) return false;
            if (floats && (param->offset != at || floats != param->count)) return false;
            at += floats;
        }
    }
    return at == network->param_count;
}

enum { LARGE = 1 << 20 }; /* bytes of a file that is worth mapping */

bool dn_network_is_mapped(const dn_network *network) {
    const reader file = {.dialect = (dn_dialect)network->options.dialect};
    if (network->written) return false;
    return network->mapping.bytes ||
           (network->param_count * sizeof(float) >= LARGE && is_arena(network, &file));
}

/* Large files are not copied: the mapped file becomes the arena, and is read as its pages are touched. */
static dn_status load_mapped(dn_network *network, dn_mapping *mapping, reader *file, int start, int cutoff) {
    header h;
    int end;
    DN_TRY(measure(&end, &h, network, file, start, cutoff));
    if (start > 0 || end < network->count || file->length < LARGE || !is_arena(network, file)) {
        copy_layers(network, file, start, end);
    } else {
        dn_network_drop_params(network);
        network->params = (float *)(void *)(mapping->bytes + file->header_bytes);
        network->mapping = *mapping;
        network->written = false;
        *mapping = (dn_mapping){0};
    }
    finish(network, &h);
    return DN_OK;
}

dn_status dn_network_load_weights(dn_network *network, const char *path, int start, int cutoff, int partial) {
    char *bytes;
    size_t length;
    dn_mapping mapping;
    if (!network || !path) return dn_fail(DN_ERROR_ARGUMENT, "no network or no path");
    DN_TRY(check_unused(network));
    DN_TRY(dn_platform_map_file(&mapping, path));
    if (mapping.bytes) {
        reader file = {
            .name = path, .bytes = mapping.bytes, .length = mapping.length, .partial = partial != 0};
        dn_status status = load_mapped(network, &mapping, &file, start, cutoff);
        dn_platform_unmap(&mapping);
        return status;
    }
    /* A pipe may go on after the layers that are asked for, but not without end. */
    size_t most = dn_min_size((size_t)network->options.memory_limit,
                              network->param_count * sizeof(float) + ((size_t)1 << 30));
    DN_TRY(dn_platform_read_file(&bytes, &length, path, most));
    dn_status status = dn_network_load_weights_bytes(network, bytes, length, path, start, cutoff, partial);
    dn_free(bytes);
    return status;
}

static dn_status write_header(dn_writer *writer, const dn_network *network) {
    uint8_t bytes[HEADER_BYTES] = {0};
    bytes[4] = 2;
    bytes[8] = network->options.dialect == DN_DIALECT_ALEXEYAB ? 5 : 0;
    for (int i = 0; i < 8; ++i) bytes[12 + i] = (uint8_t)(network->seen >> (8 * i));
    return dn_writer_write(writer, bytes, sizeof bytes);
}

uint64_t dn_network_weights_bytes(const dn_network *network) {
    uint64_t floats = 0;
    for (int i = 0; i < network->count; ++i) {
        const dn_layer *layer = &network->layers[i];
        for (int p = 0; p < layer->param_count && !layer->dont_save; ++p)
            floats += file_floats(layer, &layer->params[p], (dn_dialect)network->options.dialect, false);
    }
    return HEADER_BYTES + floats * sizeof(float);
}

dn_status dn_network_save_weights(const dn_network *network, const char *path, int cutoff) {
    dn_writer *writer;
    if (!network || !path) return dn_fail(DN_ERROR_ARGUMENT, "no network or no path");
    dn_dialect dialect = (dn_dialect)network->options.dialect;
    int end = cutoff < 0 || cutoff > network->count ? network->count : cutoff;
    DN_TRY(dn_writer_open(&writer, path));
    dn_status status = write_header(writer, network);
    for (int i = 0; status == DN_OK && i < end; ++i) {
        const dn_layer *layer = &network->layers[i];
        for (int p = 0; status == DN_OK && p < layer->param_count && !layer->dont_save; ++p) {
            const dn_param *param = &layer->params[p];
            status = dn_writer_write(writer, network->params + param->offset,
                                     file_floats(layer, param, dialect, false) * sizeof(float));
        }
    }
    if (status != DN_OK) {
        dn_writer_abandon(writer);
        return status;
    }
    return dn_writer_commit(writer);
}
