// The model's shape as text, for the weights log and Redis's manifest: the trainer writes it,
// scorers read it. One fact a line, "key value", numbers in decimal and reals in hexadecimal
// (exact):
//
//   freshet-model 1
//   sharing mmoe
//   expert_layers 128 64
//   ...                        (every option of section `model`, in the table's order)
//   numeric 12
//   tasks 3
//   tables 21
//   given 2 0                  (task 2 is defined on the positives of task 0)
//   field one 0 16 user_id     (one | list, table, dimension, name with %XX for odd bytes)
//   field list 1 16 tags
//   field sequence 1 16 seen 20 2 1   (items at most, 1 + the target's field or 0, 1 = timed)
//   end
#ifndef FRESHET_MODEL_SPEC_TEXT_H
#define FRESHET_MODEL_SPEC_TEXT_H

#include "base/memory.h"
#include "model/spec.h"

// Appends; a failure shows in into->failed.
void spec_text_write(const struct model_spec *spec, struct buffer *into);
// Everything the spec points to lives in `arena`. STATUS_INVALID naming the line: malformed, a key
// unknown, missing or twice, a value out of its range; and as model_spec_check.
CHECKED enum status spec_text_read(const char *text, size_t length, struct arena *arena,
                                   struct model_spec *ret_spec, struct error *err);

#endif
