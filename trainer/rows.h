// Rows of examples in a minibatch: appending, labelling, saving, loading.
#ifndef FRESHET_TRAINER_ROWS_H
#define FRESHET_TRAINER_ROWS_H

#include "base/wire.h"
#include "model/minibatch.h"
#include "record/example.h"

// Appends the example's features as the next row, and behind its numbers the rates read for it
// ([rate_count]; NULL = missing); labels and weights of all tasks become 0. There is room. Infinite
// numbers become missing and are added to *replaced. Fails only for want of memory.
CHECKED enum status rows_append(struct minibatch *batch, const struct model_spec *spec,
                                const struct example *example, const float *rates,
                                size_t rate_count, uint32_t domain, uint64_t *replaced,
                                struct error *err);
// The first `rows` rows of one minibatch into another, empty one of the same spec: features and
// domains; labels and weights of `into` stay as they are. Fails only for want of memory.
CHECKED enum status rows_copy(struct minibatch *into, const struct minibatch *from,
                              const struct model_spec *spec, size_t rows, struct error *err);
void rows_save(const struct minibatch *batch, const struct model_spec *spec, struct buffer *into);
// Into an empty minibatch. STATUS_CORRUPT when malformed or of more rows than its capacity.
CHECKED enum status rows_load(struct minibatch *batch, const struct model_spec *spec,
                              struct wire *in, struct error *err);

#endif
