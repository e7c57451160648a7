/* mark.c - what a caller can make a trainer remember: a state to go back to, and a note for its checkpoints.
 */
#include "trainer.h"

#include <string.h>

dn_status dn_trainer_mark(dn_trainer *trainer) {
    if (!trainer) return dn_fail(DN_ERROR_ARGUMENT, "no trainer");
    size_t params = trainer->network->param_count, carried = trainer->states.floats, floats;
    if (!dn_mul(&floats, params, 2) || !dn_add(&floats, floats, carried))
        return dn_fail(DN_ERROR_NO_MEMORY, "a copy of the trainer's state is too large");
    if (!trainer->marked || trainer->marked_floats != floats) {
        dn_free(trainer->marked);
        trainer->marked = NULL;
        DN_TRY(dn_new_floats(&trainer->marked, floats, "copy of the trainer's state"));
        trainer->marked_floats = floats;
    }
    memcpy(trainer->marked, trainer->network->params, params * sizeof(float));
    memcpy(trainer->marked + params, trainer->gradients, params * sizeof(float));
    if (carried) memcpy(trainer->marked + 2 * params, trainer->states.values, carried * sizeof(float));
    trainer->marked_since_update = trainer->since_update;
    return DN_OK;
}

dn_status dn_trainer_back(dn_trainer *trainer) {
    if (!trainer) return dn_fail(DN_ERROR_ARGUMENT, "no trainer");
    size_t params = trainer->network->param_count, carried = trainer->states.floats;
    if (!trainer->marked) return dn_fail(DN_ERROR_STATE, "there is no mark to go back to");
    if (trainer->marked_floats != 2 * params + carried)
        return dn_fail(DN_ERROR_STATE, "the mark has %zu floats, the trainer %zu: it was resized since",
                       trainer->marked_floats, 2 * params + carried);
    memcpy(trainer->network->params, trainer->marked, params * sizeof(float));
    memcpy(trainer->gradients, trainer->marked + params, params * sizeof(float));
    if (carried) memcpy(trainer->states.values, trainer->marked + 2 * params, carried * sizeof(float));
    trainer->since_update = trainer->marked_since_update;
    atomic_fetch_add(&trainer->network->version, 1);
    return DN_OK;
}

dn_status dn_trainer_set_note(dn_trainer *trainer, const char *bytes, size_t length) {
    char *copy = NULL;
    if (!trainer || (length && !bytes)) return dn_fail(DN_ERROR_ARGUMENT, "needs a trainer and its note");
    if (length) {
        DN_TRY(dn_new(&copy, length, 1, "note of a checkpoint"));
        memcpy(copy, bytes, length);
    }
    dn_free(trainer->note);
    trainer->note = copy;
    trainer->note_bytes = length;
    return DN_OK;
}

const char *dn_trainer_note(const dn_trainer *trainer, size_t *length) {
    if (length) *length = trainer->note_bytes;
    return trainer->note_bytes ? trainer->note : "";
}
