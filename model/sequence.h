// Behaviour sequences: what a user did before, as items of one vocabulary, oldest first, and what
// becomes of them in the input.
//
// A row's items lie in `places`: the target (the row's own id of a categorical field of the same
// table) first, then the newest items, oldest first. Places without an item are not computed with
// at all, so padding cannot change anything. Items' embeddings are copied when inputs are gathered
// and slopes go back into an array of their own, place by place, whence the touched rows sum them.
// The wide part does not read sequences.
//
//   mean         the mean of the items (YouTube; Covington et al., RecSys 2016, section 3.2); none:
//   0 attention    DIN's sum of a(e, t) e over the items e, with t the target: sequence_attention.c
//   transformer  BST's block over target and items: sequence_transformer.c
//
// Weights are used where they lie. Their gradients gather lane by lane, in the order of rows, and
// are then added in the order of lanes, so that threads change nothing.
#ifndef FRESHET_MODEL_SEQUENCE_H
#define FRESHET_MODEL_SEQUENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "model/minibatch.h"
#include "model/real.h"

struct model;
struct activations;
struct lane;

enum { SEQUENCE_TENSORS_MAX = 13 };
#define SEQUENCE_POSITIONS 65 // of the Transformer: the target's, then 64 of items
#define SEQUENCE_DROPPED UINT32_MAX

struct sequence {
    size_t field, list, target;  // fields of the model; the list's column
    size_t dimension, places;    // 1 + its length
    size_t column, width;        // of the input
    size_t before, before_items; // places of a row, and their elements, of earlier sequences
    size_t tensor, tensors;      // its own, one behind the other
};
// Of a model's sequences, in the order of their fields; none under `sequences: none`.
struct sequences {
    struct sequence *items;
    size_t count;
    size_t places, elements; // of a row, over all sequences
    size_t offset, weights;  // of all their tensors in the learner's arrays
};
// Of up to rows_max rows.
struct sequence_rows {
    real *items;        // sequence by sequence: [rows_max][places][dimension]
    real **slopes;      // [passes] -> the same
    uint32_t *position; // sequence by sequence: [rows_max][places]
    uint32_t *counts;   // [sequences][rows_max] places in use; SEQUENCE_DROPPED
};
// One row of one sequence, as its arithmetic sees it.
struct sequence_row {
    size_t dimension, places, count; // count: in use, the target included
    size_t heads, hidden;
    int readout;
    const real *items;                         // [count][dimension]
    const uint32_t *positions;                 // [count]
    const real *weights[SEQUENCE_TENSORS_MAX]; // in the order that the kind lists
    real *gradients[SEQUENCE_TENSORS_MAX];     // backward
};

// Columns of the input that a field takes, whatever its kind.
size_t sequence_width(const struct model_spec *spec, size_t field);
// What stands at an item's place: 1 + a bucket of its age, half a doubling of 1 + age in seconds
// each; without ages 1 + the number of newer items. 64 at most.
uint32_t sequence_position(bool timed, uint32_t age_s, size_t newer);

// The list and, on the second walk, the tensors. False when memory is out.
bool sequences_lay_out(struct model *model);
void sequences_build(struct model *model);
void sequences_fill(struct model *model); // initial weights

bool sequence_rows_init(struct sequence_rows *rows, const struct model *model, size_t rows_max,
                        size_t passes);
void sequence_rows_deinit(struct sequence_rows *rows, size_t passes);
// Index of a place's first element in items and slopes.
static inline size_t sequence_at(const struct sequence *sequence, size_t rows_max, size_t position,
                                 size_t place) {
    return sequence->before_items * rows_max +
           (position * sequence->places + place) * sequence->dimension;
}

size_t sequences_scratch(const struct model *model); // elements for one row
// Of a lane: copies the items and fills the sequences' columns of the input.
void sequences_forward(const struct model *model, const struct minibatch *batch,
                       uint32_t *const *list_slots /* NULL: looked up */, struct activations *act,
                       const struct lane *lane, real *scratch);
// Slopes of items, and gradients of weights into the lane's, from the slopes of the input.
void sequences_backward(const struct model *model, struct activations *act, const struct lane *lane,
                        size_t pass, real *scratch);
// gradients = alpha * the sum of the lanes', into the tensors' places.
void sequences_sum(const struct model *model, const struct lane *lanes, size_t lane_count,
                   size_t pass, real alpha, real *gradients);

// The kinds: names and shapes of tensors (false = no more), one row forward and back. out, d_out:
// [width]; d_items [count][dimension] is written. scratch: *_scratch(row) elements.
struct sequence_tensor {
    const char *name;
    size_t rows, columns;
    double deviation; // of normal initial values; 0: all are `value`
    double value;
};
bool attention_tensor(const struct model_spec *spec, size_t dimension, size_t i,
                      struct sequence_tensor *ret_tensor);
size_t attention_scratch(const struct sequence_row *row);
void attention_forward(const struct sequence_row *row, real *out, real *scratch);
void attention_backward(const struct sequence_row *row, const real *d_out, real *d_items,
                        real *scratch);
bool transformer_tensor(const struct model_spec *spec, size_t dimension, size_t i,
                        struct sequence_tensor *ret_tensor);
size_t transformer_scratch(const struct sequence_row *row);
void transformer_forward(const struct sequence_row *row, real *out, real *scratch);
void transformer_backward(const struct sequence_row *row, const real *d_out, real *d_items,
                          real *scratch);

#endif
