// What publishers are told: changed rows and tensors, rows that left, slices; and new domains.
#include "trainer/learner_inside.h"

#include <string.h>

#include "base/hash.h"

typedef enum status row_visitor(void *self, size_t table, uint64_t id, const float *values,
                                struct error *err);

static enum status visit(const struct learner *learner, size_t table, uint32_t slot, float *values,
                         row_visitor *each, void *self, struct error *err) {
    const struct table *rows = &learner->model->tables[table];
    for (size_t c = 0; c < rows->width; c++)
        values[c] = (float)table_values(rows, slot)[c];
    return each(self, table, table_id(rows, slot), values, err);
}

static float *values_get(const struct learner *learner, struct error *err) {
    size_t widest = 1;
    for (size_t t = 0; t < learner->model->spec.table_count; t++)
        if (learner->model->tables[t].width > widest)
            widest = learner->model->tables[t].width;
    float *values = memory_new(widest, sizeof *values);
    if (!values)
        (void)error_no_memory(err, widest * sizeof *values, "a row");
    return values;
}

enum status learner_each_changed_row(struct learner *learner,
                                     enum status (*each)(void *self, size_t table, uint64_t id,
                                                         const float *values, struct error *err),
                                     void *self, struct error *err) {
    float *values = values_get(learner, err);
    enum status status = values ? STATUS_OK : STATUS_EXHAUSTED;
    for (size_t t = 0; t < learner->model->spec.table_count; t++) {
        const struct touched *touched = &learner->touched[t];
        for (size_t i = 0; i < touched->change_count && status == STATUS_OK; i++)
            if (table_id(&learner->model->tables[t], touched->changes[i]) != 0)
                status = visit(learner, t, touched->changes[i], values, each, self, err);
    }
    memory_free(values);
    return status;
}

enum status learner_each_gone(struct learner *learner,
                              enum status (*each)(void *self, size_t table, uint64_t id,
                                                  const float *values, struct error *err),
                              void *self, struct error *err) {
    enum status status = STATUS_OK;
    for (size_t t = 0; t < learner->model->spec.table_count; t++) {
        const struct life *life = &learner->lives[t];
        for (size_t i = 0; i < life->gone_count && status == STATUS_OK; i++)
            if (table_find(&learner->model->tables[t], life->gone[i]) == TABLE_DEFAULT_SLOT)
                status = each(self, t, life->gone[i], NULL, err);
    }
    return status;
}

enum status learner_each_row_in_slice(struct learner *learner, uint32_t slice, uint32_t bits,
                                      enum status (*each)(void *self, size_t table, uint64_t id,
                                                          const float *values, struct error *err),
                                      void *self, struct error *err) {
    REQUIRE(bits <= 32);
    float *values = values_get(learner, err);
    enum status status = values ? STATUS_OK : STATUS_EXHAUSTED;
    for (size_t t = 0; t < learner->model->spec.table_count; t++) {
        const struct table *rows = &learner->model->tables[t];
        for (uint32_t slot = 1; slot < rows->slots && status == STATUS_OK; slot++) {
            uint64_t id = table_id(rows, slot);
            if (id != 0 && (bits == 0 || hash_mix(id) >> (64 - bits) == slice))
                status = visit(learner, t, slot, values, each, self, err);
        }
    }
    memory_free(values);
    return status;
}

enum status learner_changed_all(struct learner *learner, struct error *err) {
    struct model *model = learner->model;
    for (size_t t = 0; t < model->tensor_count; t++)
        learner->tensor_changed[t] = true;
    for (size_t t = 0; t < model->spec.table_count; t++) {
        const struct table *rows = &model->tables[t];
        enum status status = touched_reserve(&learner->touched[t], rows->slots, rows->slots, err);
        if (status != STATUS_OK)
            return status;
        for (uint32_t slot = 0; slot < rows->slots; slot++) {
            touched_change(&learner->touched[t], slot);
            life_begin(&learner->lives[t], rows, slot);
        }
    }
    model_settle(model);
    return STATUS_OK;
}

bool learner_tensor_changed(const struct learner *learner, size_t tensor) {
    const struct model *model = learner->model;
    REQUIRE(tensor < model->tensor_count);
    if (model->traits[tensor].role != TENSOR_DEFAULT_ROW)
        return learner->tensor_changed[tensor];
    // A default row is stepped as a row: its change shows at its slot.
    const struct touched *touched = &learner->touched[tensor - model->default_row];
    return learner->tensor_changed[tensor] ||
           (touched->changed && touched->changed[TABLE_DEFAULT_SLOT]);
}

void learner_changes_clear(struct learner *learner) {
    memset(learner->tensor_changed, 0,
           learner->model->tensor_count * sizeof *learner->tensor_changed);
    for (size_t t = 0; t < learner->model->spec.table_count; t++)
        touched_changes_clear(&learner->touched[t]);
    for (size_t t = 0; t < learner->model->spec.table_count; t++)
        life_gone_clear(&learner->lives[t]);
}

// The tensor of domain `unknown` that a domain's own one starts from: they lie in one run.
static size_t unknown_tensor(const struct model *model, size_t tensor) {
    return tensor - model->traits[tensor].domain;
}

enum status learner_domain_add(struct learner *learner, uint32_t domain, struct error *err) {
    struct model *model = learner->model;
    if (model->domain_count == 1)
        return STATUS_OK;
    if (domain >= model->domain_count)
        return error_set(err, STATUS_INVALID,
                         "could not add domain %u: the model has room for %zu (domains_max)",
                         domain, model->domain_count - 1);
    if (learner->domain_known[domain])
        return STATUS_OK;
    for (size_t t = 0; t < model->tensor_count; t++) {
        if (model->traits[t].domain != domain || model->traits[t].role != TENSOR_WEIGHT)
            continue;
        const struct model_tensor *tensor = &model->tensors[t];
        memcpy(tensor->data, model->tensors[unknown_tensor(model, t)].data,
               tensor->rows * tensor->columns * sizeof *tensor->data);
        learner->tensor_changed[t] = true;
    }
    learner->domain_known[domain] = true;
    model->settled[domain] = false;
    return STATUS_OK;
}
