// Attention to the target (DIN; Zhou et al., KDD 2018, section 4.3, eq. 3): the sum over the items
// e of a(e, t) e, where a is a small network on e, t, e - t and e * t. The weights are not
// normalised, as the paper has it, so that many items that fit count for more than one. Where the
// paper says PReLU or Dice the hidden units are leaky here. Order and ages play no part.
#include "model/sequence.h"
#include "model/small.h"
#include "model/vector.h"

#include <string.h>

enum { HIDDEN_WEIGHT, HIDDEN_BIAS, OUTPUT_WEIGHT, OUTPUT_BIAS, TENSORS };
enum { PARTS = 4 }; // e, t, e - t, e * t

bool attention_tensor(const struct model_spec *spec, size_t dimension, size_t i,
                      struct sequence_tensor *ret_tensor) {
    size_t hidden = (size_t)spec->settings.sequence_hidden, in = PARTS * dimension;
    const struct sequence_tensor tensors[TENSORS] = {
        [HIDDEN_WEIGHT] = {"hidden.weight", in, hidden, sqrt(2 / (double)in), 0},
        [HIDDEN_BIAS] = {"hidden.bias", 1, hidden, 0, 0},
        [OUTPUT_WEIGHT] = {"output.weight", hidden, 1, sqrt(1 / (double)hidden), 0},
        // Attention begins near that of a sum of everything: a slope for all items.
        [OUTPUT_BIAS] = {"output.bias", 1, 1, 0, 1},
    };
    if (i >= TENSORS)
        return false;
    *ret_tensor = tensors[i];
    return true;
}

size_t attention_scratch(const struct sequence_row *row) {
    return row->places * (2 * PARTS * row->dimension + 2 * row->hidden + 2);
}

struct attention {
    size_t items;            // the target left out
    real *in, *d_in;         // [items][PARTS][dimension]
    real *middle, *d_middle; // [items][hidden]
    real *weight, *d_weight; // [items]
};

static struct attention lay_out(const struct sequence_row *row, real *scratch) {
    size_t items = row->count - 1, in = items * PARTS * row->dimension,
           middle = items * row->hidden;
    struct attention at = {.items = items, .in = scratch};
    at.d_in = at.in + in;
    at.middle = at.d_in + in;
    at.d_middle = at.middle + middle;
    at.weight = at.d_middle + middle;
    at.d_weight = at.weight + items;
    return at;
}

static void weigh(const struct sequence_row *row, const struct attention *at) {
    size_t d = row->dimension;
    const real *target = row->items;
    for (size_t i = 0; i < at->items; i++) {
        const real *item = row->items + (i + 1) * d;
        real *in = at->in + i * PARTS * d;
        for (size_t c = 0; c < d; c++) {
            in[c] = item[c];
            in[d + c] = target[c];
            in[2 * d + c] = item[c] - target[c];
            in[3 * d + c] = item[c] * target[c];
        }
    }
    small_product(at->in, at->items, PARTS * d, row->weights[HIDDEN_WEIGHT], row->hidden, false,
                  at->middle);
    small_add_rows(at->middle, at->items, row->hidden, row->weights[HIDDEN_BIAS]);
    small_leaky(at->middle, at->items * row->hidden);
    for (size_t i = 0; i < at->items; i++)
        at->weight[i] =
            small_dot(at->middle + i * row->hidden, row->weights[OUTPUT_WEIGHT], row->hidden) +
            row->weights[OUTPUT_BIAS][0];
}

void attention_forward(const struct sequence_row *row, real *out, real *scratch) {
    struct attention at = lay_out(row, scratch);
    weigh(row, &at);
    memset(out, 0, row->dimension * sizeof *out);
    small_product(at.weight, 1, at.items, row->items + row->dimension, row->dimension, true, out);
}

void attention_backward(const struct sequence_row *row, const real *d_out, real *d_items,
                        real *scratch) {
    size_t d = row->dimension, hidden = row->hidden;
    struct attention at = lay_out(row, scratch);
    weigh(row, &at);
    for (size_t i = 0; i < at.items; i++) {
        at.d_weight[i] = small_dot(d_out, row->items + (i + 1) * d, d);
        row->gradients[OUTPUT_BIAS][0] += at.d_weight[i];
    }
    small_product_sums(at.d_weight, at.items, 1, at.middle, hidden, row->gradients[OUTPUT_WEIGHT]);
    small_product(at.d_weight, at.items, 1, row->weights[OUTPUT_WEIGHT], hidden, false,
                  at.d_middle);
    small_leaky_back(at.d_middle, at.middle, at.items * hidden);
    small_product_sums(at.in, at.items, PARTS * d, at.d_middle, hidden,
                       row->gradients[HIDDEN_WEIGHT]);
    small_sum_rows(at.d_middle, at.items, hidden, row->gradients[HIDDEN_BIAS]);
    small_product_back(at.d_middle, at.items, hidden, row->weights[HIDDEN_WEIGHT], PARTS * d, false,
                       at.d_in);
    memset(d_items, 0, d * sizeof *d_items);
    for (size_t i = 0; i < at.items; i++) {
        const real *item = row->items + (i + 1) * d, *in = at.d_in + i * PARTS * d;
        real *d_item = d_items + (i + 1) * d;
        for (size_t c = 0; c < d; c++) {
            d_item[c] =
                at.weight[i] * d_out[c] + in[c] + in[2 * d + c] + in[3 * d + c] * row->items[c];
            d_items[c] += in[d + c] - in[2 * d + c] + in[3 * d + c] * item[c];
        }
    }
}
