// From the configured features and tasks to the model's shape.
#ifndef FRESHET_TRAINER_SHAPE_H
#define FRESHET_TRAINER_SHAPE_H

#include "model/spec.h"
#include "record/spec.h"

// Fields are the categorical features in configured order, then the multi-valued ones, then
// sequences; tables are numbered in order of their vocabulary's first field. Names are borrowed
// from spec, fields live in arena. spec has passed spec_check. STATUS_INVALID as model_spec_check.
CHECKED enum status shape_of_spec(const struct spec *spec, const struct model_settings *settings,
                                  struct arena *arena, struct model_spec *ret_shape,
                                  struct error *err);

#endif
