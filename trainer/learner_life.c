// Rows that leave after a step: table by table as their rules say, then from all tables as the
// bound on memory wants.
#include "trainer/learner_inside.h"

// Behind a row's numbers: its id, its part of an index half full, its marks (touched.h, a list of
// changes, two bits of a cut).
enum { ROW_REST_BYTES = 8 + 10 + 9 + 1 };

size_t learner_row_bytes(const struct learner *learner, size_t table) {
    const struct table *rows = &learner->model->tables[table];
    return (rows->width + rows->state_width) * sizeof(real) + ROW_REST_BYTES;
}

size_t learner_fixed_bytes(const struct learner *learner) {
    size_t states = learner->settings.optimiser == LEARNER_ADAM ? 2 : 1;
    size_t bytes = (1 + states + learner->tasks) * learner->model->weight_elements * sizeof(real);
    for (size_t t = 0; t < learner->model->spec.table_count; t++)
        if (learner->lives[t].counters)
            bytes += LIFE_SKETCH_ROWS * (size_t)learner->lives[t].rule.admit_counters;
    return bytes;
}

struct learner_table_life learner_table_life(const struct learner *learner, size_t table) {
    REQUIRE(table < learner->model->spec.table_count);
    const struct life *life = &learner->lives[table];
    return (struct learner_table_life){.ruled = life->ruled,
                                       .rows = table_rows(&learner->model->tables[table]),
                                       .row_bytes = learner_row_bytes(learner, table),
                                       .rows_max = life->rule.rows_max,
                                       .admitted = life->admitted,
                                       .unadmitted = life->unadmitted,
                                       .aged = life->ended[LIFE_AGE],
                                       .unused = life->ended[LIFE_USES],
                                       .displaced = life->ended[LIFE_ROOM]};
}

enum status learner_tables_status(const struct learner *learner, struct error *err) {
    for (size_t t = 0; t < learner->model->spec.table_count; t++) {
        if (learner->table_status[t] != STATUS_OK) {
            *err = learner->table_error[t];
            return learner->table_status[t];
        }
    }
    return STATUS_OK;
}

static void look_work(void *self, size_t item, size_t worker) {
    (void)worker;
    struct learner *learner = self;
    learner->table_status[item] =
        life_look(&learner->lives[item], &learner->model->tables[item], &learner->cuts[item],
                  life_seconds(learner->batch->time_ms), &learner->table_error[item]);
}

static enum status memory_keep_bound(struct learner *learner, struct error *err) {
    size_t tables = learner->model->spec.table_count;
    uint64_t most = (uint64_t)learner->settings.memory_max - learner_fixed_bytes(learner), sum = 0;
    for (size_t t = 0; t < tables; t++)
        sum += table_rows(&learner->model->tables[t]) * learner_row_bytes(learner, t);
    if (sum <= most)
        return STATUS_OK;
    struct life_room *rooms = memory_new(tables, sizeof *rooms);
    if (!rooms)
        return error_no_memory(err, tables * sizeof *rooms, "making room for rows");
    for (size_t t = 0; t < tables; t++)
        rooms[t] = (struct life_room){&learner->lives[t], &learner->model->tables[t],
                                      &learner->cuts[t], learner_row_bytes(learner, t)};
    enum status status = life_make_room(rooms, tables, life_seconds(learner->batch->time_ms),
                                        sum - (most - most / LIFE_SPARE), err);
    memory_free(rooms);
    return status;
}

static bool rows_leave(const struct learner *learner) {
    for (size_t t = 0; t < learner->model->spec.table_count; t++)
        if (learner->lives[t].expires)
            return true;
    return false;
}

enum status learner_look(struct learner *learner, struct error *err) {
    if (!rows_leave(learner))
        return STATUS_OK;
    lanes_run(learner->lanes, learner->model->spec.table_count, look_work, learner);
    enum status status = learner_tables_status(learner, err);
    if (status == STATUS_OK && learner->settings.memory_max > 0)
        status = memory_keep_bound(learner, err);
    return status;
}
