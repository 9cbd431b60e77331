// A caller's row: values by feature, put into a minibatch in the model's order.
#ifndef FRESHET_SCORER_ROW_H
#define FRESHET_SCORER_ROW_H

#include "scorer/copy.h"

// The features and tasks that rows of this scorer are built by.
const struct spec *scorer_spec(const struct freshet_scorer *scorer);
// Appends the row to a batch that has room; its domain is looked up among the copy's, or taken from
// the row appended before (NULL = none) where it is the same.
CHECKED enum status row_append(const struct freshet_row *row, const struct freshet_row *before,
                               const struct copy *copy, struct minibatch *batch, struct error *err);

#endif
