// The files that the learner's rows lie in: one with all of them, then ones with what changed.
//
// Each checkpoint adds a file of the rows that changed since the last; the others it shares with
// the generation before. Files that are no more than twice as large as what comes after them are
// taken over into the new one, so their sizes at least double towards the oldest and their number
// stays small; and once all of them together would outgrow the first, a checkpoint is whole again.
// So a checkpoint costs what changed, times a small factor, and loading never reads more than twice
// the rows.
#ifndef FRESHET_TRAINER_CHAIN_H
#define FRESHET_TRAINER_CHAIN_H

#include "stage/checkpoint.h"
#include "trainer/learner.h"

#define CHAIN_FILES_MAX 48

struct chain_file {
    uint64_t generation; // that wrote it
    uint64_t bytes;      // about
};
struct chain {
    struct chain_file files[CHAIN_FILES_MAX];
    size_t count;
};

// Sections "rows" (the list) and "learner-head", then the files; the newest is left open for
// chain_copy, which is done when *ret_done.
CHECKED enum status chain_save(struct chain *chain, struct learner *learner,
                               struct checkpoint_writer *writer, struct error *err);
CHECKED enum status chain_copy(const struct chain *chain, struct learner *learner,
                               struct checkpoint_writer *writer, bool *ret_done, struct error *err);
// STATUS_CORRUPT: a file is missing or damaged.
CHECKED enum status chain_load(struct chain *chain, struct learner *learner,
                               struct checkpoint_reader *reader, struct error *err);

#endif
