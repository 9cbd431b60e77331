// What the builders of a network share: each adds to a list of the model. The lists are walked
// twice: the first time nothing is written, only counted, since there is no capacity yet.
#ifndef FRESHET_MODEL_BUILD_H
#define FRESHET_MODEL_BUILD_H

#include "model/network.h"

// A weight tensor [rows][columns] of a tower (NETWORK_NONE = shared) under a formatted name;
// returns its index.
PRINTF_LIKE(5, 6)
size_t build_tensor(struct model *model, size_t rows, size_t columns, size_t tower,
                    const char *format, ...);
void build_star(struct model *model, size_t tensor, bool additive); // domains' own beside it
size_t build_plane(struct model *model, size_t columns, size_t tower, size_t relu);
void build_layer(struct model *model, struct layer layer); // its task follows from its tower
// `parts` in the order of the gate's columns; parts without experts are left out. Returns its
// index.
size_t build_mixture(struct model *model, struct mixture mixture, const struct mixture_part *parts,
                     size_t count);

// Adds a gate unit and its layer, from columns of the plane of hidden units; returns 1 + its index.
// Its tensors are PREFIX.weight and PREFIX.bias of the tower.
size_t build_unit(struct model *model, const char *prefix, struct gate_unit unit,
                  size_t hidden_plane, size_t hidden_offset, size_t tower);
void build_domain_embedding(struct model *model);
void build_gates(struct model *model); // PEPNet's EPNet and the hidden units of PPNet
void build_trunk(struct model *model); // experts, gates, mixtures; sets mix_plane and mix_of

#endif
