// A row for the scorer, from a JSON object of features.
#ifndef FRESHET_CLI_SCORE_ROW_H
#define FRESHET_CLI_SCORE_ROW_H

#include <jansson.h>

#include "base/status.h"
#include "scorer/freshet_scorer.h"

// {"user_id": 712, "tags": ["a", "b"], "domain": "1"}: texts, whole numbers, numbers, booleans,
// lists of them for multi-valued features; of sequences, lists of {"item": "i7", "time_ms": 17...};
// null is a missing value. STATUS_INVALID naming the feature.
CHECKED enum status score_row_fill(struct freshet_row *row, json_t *object, struct error *err);

#endif
