/* checkpoint.c - a trainer's state as one file, restored bit for bit. Layout, little-endian:
 *   "DNTRAIN3"; state (struct below); cfg; name; parameters; gradients; moments if Adam; recurrent state;
 * the caller's note; u32 CRC-32 of everything before it. */
#include "trainer.h"

#include "../base/platform.h"

#include <string.h>

#define CHUNK ((size_t)1 << 18) /* bytes summed and written while they are in the cache */

static const char magic[8] = "DNTRAIN3";

/* Fixed-size part. Only fixed-width types, no padding: the same bytes everywhere we run. */
typedef struct state {
    uint64_t text_bytes, name_bytes, note_bytes, params, moments, carried;
    uint64_t seen, updates, passes, trainer_seed, network_seed, memory_limit;
    int32_t since_update, width, height, batch, numerics, dialect, strict, exact, input_delta, time_steps;
} state;

/* CRC-32 (ISO 3309), bit by bit over a table of 16 entries. */
static uint32_t crc_update(uint32_t crc, const void *bytes, size_t length) {
    static const uint32_t table[16] = {0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
                                       0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
                                       0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
    const uint8_t *p = bytes;
    for (crc = ~crc; length--; ++p) {
        crc = table[(crc ^ *p) & 15] ^ (crc >> 4);
        crc = table[(crc ^ (*p >> 4)) & 15] ^ (crc >> 4);
    }
    return ~crc;
}

typedef struct sink {
    dn_writer *writer;
    uint32_t crc;
} sink;

static dn_status put(sink *out, const void *bytes, size_t length) {
    for (const char *p = bytes; length > 0;) {
        size_t part = length < CHUNK ? length : CHUNK;
        out->crc = crc_update(out->crc, p, part);
        DN_TRY(dn_writer_write(out->writer, p, part));
        p += part;
        length -= part;
    }
    return DN_OK;
}

static dn_status put_all(sink *out, const dn_trainer *trainer) {
    const dn_network *network = trainer->network;
    size_t params = network->param_count;
    state s = {.text_bytes = network->text_length,
               .name_bytes = strlen(network->options.name),
               .note_bytes = trainer->note_bytes,
               .params = params,
               .moments = trainer->moments ? 2 * (uint64_t)params : 0,
               .carried = trainer->states.floats,
               .seen = network->seen,
               .updates = trainer->updates,
               .passes = trainer->passes,
               .trainer_seed = trainer->options.seed,
               .network_seed = network->options.seed,
               .memory_limit = network->options.memory_limit,
               .since_update = trainer->since_update,
               .width = network->net.w,
               .height = network->net.h,
               .batch = network->net.batch / network->net.time_steps,
               .numerics = network->options.numerics,
               .dialect = network->options.dialect,
               .strict = network->options.strict,
               .exact = network->options.exact,
               .input_delta = trainer->options.input_delta,
               .time_steps = network->net.time_steps};
    DN_TRY(put(out, magic, sizeof magic));
    DN_TRY(put(out, &s, sizeof s));
    DN_TRY(put(out, network->text, network->text_length));
    DN_TRY(put(out, network->options.name, s.name_bytes));
    DN_TRY(put(out, network->params, params * sizeof(float)));
    DN_TRY(put(out, trainer->gradients, params * sizeof(float)));
    if (trainer->moments) DN_TRY(put(out, trainer->moments, 2 * params * sizeof(float)));
    if (s.carried) DN_TRY(put(out, trainer->states.values, trainer->states.floats * sizeof(float)));
    DN_TRY(put(out, trainer->note, trainer->note_bytes));
    uint32_t crc = out->crc;
    return dn_writer_write(out->writer, &crc, sizeof crc);
}

dn_status dn_trainer_save(const dn_trainer *trainer, const char *path) {
    sink out = {0};
    if (!trainer || !path) return dn_fail(DN_ERROR_ARGUMENT, "needs a trainer and a path");
    DN_TRY(dn_writer_open(&out.writer, path));
    dn_status status = put_all(&out, trainer);
    if (status != DN_OK) {
        dn_writer_abandon(out.writer);
        return status;
    }
    return dn_writer_commit(out.writer);
}

/* ---- reading ---- */

/* The file's length must be exactly what its sizes say, and the sum must hold. */
static dn_status check(const char *path, const char *bytes, size_t length, state *s) {
    size_t need = sizeof magic + sizeof *s + sizeof(uint32_t), floats, part;
    uint32_t crc;
    if (length > sizeof magic && memcmp(bytes, magic, sizeof magic - 1) == 0 && bytes[7] != magic[7])
        return dn_fail(DN_ERROR_DATA, "%s: a checkpoint of version %c, and this program reads version %c",
                       path, bytes[7], magic[7]);
    if (length < need || memcmp(bytes, magic, sizeof magic) != 0)
        return dn_fail(DN_ERROR_DATA,
                       "%s: not a training checkpoint (weights files are loaded with the network)", path);
    memcpy(s, bytes + sizeof magic, sizeof *s);
    bool fits = dn_mul(&floats, (size_t)s->params, 2) && dn_add(&floats, floats, (size_t)s->moments) &&
                dn_add(&floats, floats, (size_t)s->carried) && dn_mul(&part, floats, sizeof(float)) &&
                dn_add(&need, need, part) && dn_add(&need, need, (size_t)s->text_bytes) &&
                dn_add(&need, need, (size_t)s->name_bytes) && dn_add(&need, need, (size_t)s->note_bytes);
    if (!fits || need != length)
        return dn_fail(DN_ERROR_DATA, "%s: damaged checkpoint: %zu bytes where its header asks for %s", path,
                       length, fits ? "another length" : "an impossible length");
    memcpy(&crc, bytes + length - sizeof crc, sizeof crc);
    if (crc != crc_update(0, bytes, length - sizeof crc))
        return dn_fail(DN_ERROR_DATA, "%s: damaged checkpoint: its checksum does not hold", path);
    return DN_OK;
}

static dn_status restore_network(dn_network **out, const state *s, const char *text, const char *name,
                                 int threads) {
    dn_network_options options;
    char *copy = dn_strndup(name, (size_t)s->name_bytes);
    if (!copy) return dn_fail(DN_ERROR_NO_MEMORY, "no memory for the checkpoint");
    dn_network_options_init(&options);
    options.width = s->width;
    options.height = s->height;
    options.batch = s->batch;
    options.time_steps = s->time_steps;
    options.threads = threads;
    options.numerics = s->numerics;
    options.dialect = s->dialect;
    options.strict = s->strict;
    options.exact = s->exact;
    options.seed = s->network_seed;
    options.memory_limit = s->memory_limit;
    options.name = copy;
    dn_status status = dn_network_create(out, text, (size_t)s->text_bytes, &options);
    dn_free(copy);
    return status;
}

static dn_status restore(dn_trainer **out, const char *path, const state *s, const char *at, int threads) {
    dn_network *network;
    dn_trainer_options options;
    const char *text = at, *name = text + s->text_bytes;
    const char *params = name + s->name_bytes;
    size_t bytes = (size_t)s->params * sizeof(float);
    DN_TRY(restore_network(&network, s, text, name, threads));
    dn_trainer_options_init(&options);
    options.seed = s->trainer_seed;
    options.input_delta = s->input_delta;
    options.threads = threads;
    dn_status status = DN_OK;
    if (network->param_count != s->params || s->moments != (network->net.adam ? 2 * s->params : 0) ||
        s->since_update < 0 || s->since_update >= network->net.subdivisions)
        status = dn_fail(DN_ERROR_DATA, "%s: damaged checkpoint: its cfg and its parameters don't fit", path);
    if (status == DN_OK) status = dn_trainer_create(out, network, &options);
    if (status != DN_OK) {
        dn_network_free(network);
        return status;
    }
    dn_trainer *trainer = *out;
    trainer->owns_network = true;
    if (trainer->states.floats != s->carried) {
        dn_trainer_free(trainer);
        *out = NULL;
        return dn_fail(DN_ERROR_DATA, "%s: damaged checkpoint: its recurrent state does not fit its cfg",
                       path);
    }
    trainer->updates = s->updates;
    trainer->passes = s->passes;
    trainer->since_update = s->since_update;
    network->seen = s->seen;
    memcpy(network->params, params, bytes);
    memcpy(trainer->gradients, params + bytes, bytes);
    const char *carried = params + 2 * bytes + s->moments * sizeof(float);
    if (trainer->moments) memcpy(trainer->moments, params + 2 * bytes, 2 * bytes);
    if (s->carried) memcpy(trainer->states.values, carried, (size_t)s->carried * sizeof(float));
    atomic_fetch_add(&network->version, 1);
    status = dn_trainer_set_note(trainer, carried + s->carried * sizeof(float), (size_t)s->note_bytes);
    if (status != DN_OK) {
        dn_trainer_free(trainer);
        *out = NULL;
    }
    return status;
}

dn_status dn_trainer_load(dn_trainer **out, const char *path, int threads) {
    char *bytes;
    size_t length;
    state s;
    if (!out || !path) return dn_fail(DN_ERROR_ARGUMENT, "needs a place for the trainer and a path");
    *out = NULL;
    DN_TRY(dn_platform_read_file(&bytes, &length, path, (size_t)1 << 38));
    dn_status status = check(path, bytes, length, &s);
    if (status == DN_OK) status = restore(out, path, &s, bytes + sizeof magic + sizeof s, threads);
    dn_free(bytes);
    return status;
}
