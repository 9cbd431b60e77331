// Runs the learner, built in double, on one named case and prints all that an independent program
// needs to do the same: settings, initial tensors, the noise of new rows, every minibatch; and what
// came of it: final tensors and rows. JSON to standard output; read by reference.py.
#include <inttypes.h>
#include <string.h>

#include "base/rng.h"
#include "tests/reference/learner_cases.h"

static const struct model_field fields[] = {
    {.name = "user", .table = 0, .dimension = 4},
    {.name = "item", .table = 1, .dimension = 3},
    {.name = "seen", .table = 1, .dimension = 3, .multi = true},
    {.name = "before",
     .table = 1,
     .dimension = 3,
     .multi = true,
     .length = LENGTH,
     .target = 2,
     .timed = true},
};
static const double task_weights[TASKS] = {1, .5, 2};

// Any failure ends the program: the test then fails with this line.
static void must(enum status status, const struct error *err) {
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "learner_dump: %s\n", err->message);
    exit(1);
}

static void reals_print(const char *name, const real *values, size_t rows, size_t columns) {
    printf("\"%s\":[", name);
    for (size_t r = 0; r < rows; r++) {
        printf("%s[", r ? "," : "");
        for (size_t c = 0; c < columns; c++)
            printf("%s%.17g", c ? "," : "", (double)values[r * columns + c]);
        printf("]");
    }
    printf("]");
}

static void tensors_print(const char *name, const struct model *model) {
    printf("\"%s\":{", name);
    for (size_t i = 0; i < model_tensor_count(model); i++) {
        const struct model_tensor *tensor = model_tensor_at(model, i);
        printf("%s", i ? ",\n" : "");
        reals_print(tensor->name, tensor->data, tensor->rows, tensor->columns);
    }
    printf("},\n");
}

static void ints_print(const char *key, const struct option_ints *ints) {
    printf("\"%s\":[", key);
    for (size_t i = 0; i < ints->count; i++)
        printf("%s%" PRId64, i ? "," : "", ints->items[i]);
    printf("],");
}

static void texts_print(const char *key, const struct option_texts *texts) {
    printf("\"%s\":[", key);
    for (size_t i = 0; i < texts->count; i++)
        printf("%s\"%s\"", i ? "," : "", texts->items[i]);
    printf("],");
}

static void settings_print(const struct option_table *table, const void *settings) {
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        const void *at = (const unsigned char *)settings + option->offset;
        if (option->type == OPTION_INTS)
            ints_print(option->key, at);
        else if (option->type == OPTION_TEXTS)
            texts_print(option->key, at);
        else if (option->type == OPTION_CHOICE)
            printf("\"%s\":\"%s\",", option->key, option->choices[*(const int *)at]);
        else if (option->type == OPTION_BOOL)
            printf("\"%s\":%s,", option->key, *(const bool *)at ? "true" : "false");
        else if (option->type == OPTION_INT)
            printf("\"%s\":%" PRId64 ",", option->key, *(const int64_t *)at);
        else if (option->type == OPTION_REAL && !isinf(*(const double *)at))
            printf("\"%s\":%.17g,", option->key, *(const double *)at);
    }
}

// Up to two more items than the model reads.
static void history_fill(struct minibatch *batch, struct rng *rng, uint64_t most) {
    uint64_t ids[LENGTH + 2];
    uint32_t ages[LENGTH + 2];
    size_t length = (size_t)rng_below(rng, LENGTH + 3);
    uint32_t age = 0;
    for (size_t i = length; i-- > 0;) {
        ids[i] = 1 + rng_below(rng, most);
        ages[i] = age += (uint32_t)rng_below(rng, 300);
    }
    struct error err;
    must(minibatch_list_append(batch, 1, ids, ages, length, &err), &err);
}

static void batch_fill(struct minibatch *batch, struct rng *rng, uint64_t step, bool sequences) {
    minibatch_reset(batch);
    // The last minibatch is a short one; now and then a task has no label at all.
    size_t rows = step % 17 == 16 ? BATCH / 3 : BATCH;
    for (size_t r = 0; r < rows; r++) {
        uint64_t listed[3];
        uint64_t most = 4 + step; // new ids keep coming
        most = most < IDS ? most : IDS;
        batch->ids[r] = rng_below(rng, most);
        batch->ids[batch->capacity + r] = rng_below(rng, most);
        size_t length = (size_t)rng_below(rng, 4);
        for (size_t i = 0; i < length; i++)
            listed[i] = 1 + rng_below(rng, IDS - 1);
        struct error err;
        must(minibatch_list_append(batch, 0, listed, NULL, length, &err), &err);
        if (sequences)
            history_fill(batch, rng, most < IDS ? most : IDS - 1);
        batch->numbers[r] = rng_below(rng, 5) == 0 ? NAN : (float)(3 * rng_normal(rng));
        batch->numbers[batch->capacity + r] = (float)rng_exponential(rng);
        batch->domains[r] = (uint32_t)rng_below(rng, step % 5 == 0 ? 2 : 4);
        for (size_t k = 0; k < TASKS; k++) {
            double lean = (double)(batch->ids[r] % 3) - 1 - (double)k;
            bool settled = rng_below(rng, 4) != 0 && !(k == 2 && step % 7 == 3);
            batch->labels[k * batch->capacity + r] =
                rng_uniform(rng) < 1 / (1 + exp(-lean)) ? 1 : 0;
            batch->weights[k * batch->capacity + r] =
                settled ? (float)(1 + rng_below(rng, 2)) / 2 : 0;
        }
        batch->rows++;
    }
}

static void floats_print(const char *name, const float *values, size_t count, size_t stride,
                         size_t parts) {
    printf("\"%s\":[", name);
    for (size_t part = 0; part < parts; part++) {
        printf("%s[", part ? "," : "");
        for (size_t r = 0; r < count; r++) {
            float value = values[part * stride + r];
            if (isnan(value))
                printf("%snull", r ? "," : "");
            else
                printf("%s%.9g", r ? "," : "", (double)value);
        }
        printf("]");
    }
    printf("],");
}

static void batch_print(const struct minibatch *batch, size_t labels, size_t lists) {
    size_t stride = batch->capacity;
    printf("{\"ids\":[");
    for (size_t f = 0; f < 2; f++) {
        printf("%s[", f ? "," : "");
        for (size_t r = 0; r < batch->rows; r++)
            printf("%s%" PRIu64, r ? "," : "", batch->ids[f * stride + r]);
        printf("]");
    }
    printf("],\"lists\":[");
    for (size_t f = 0; f < lists; f++) {
        printf("%s[", f ? "," : "");
        const uint32_t *begin = batch->list_begin + f * (stride + 1);
        for (size_t r = 0; r < batch->rows; r++) {
            printf("%s[", r ? "," : "");
            for (uint32_t i = begin[r]; i < begin[r + 1]; i++)
                printf("%s%" PRIu64, i > begin[r] ? "," : "", batch->list_ids[f][i]);
            printf("]");
        }
        printf("]");
    }
    printf("],\"ages\":[");
    for (size_t r = 0; r < batch->rows && lists > 1; r++) {
        const uint32_t *begin = batch->list_begin + stride + 1;
        printf("%s[", r ? "," : "");
        for (uint32_t i = begin[r]; i < begin[r + 1]; i++)
            printf("%s%" PRIu32, i > begin[r] ? "," : "", batch->list_ages[1][i]);
        printf("]");
    }
    printf("],\"domains\":[");
    for (size_t r = 0; r < batch->rows; r++)
        printf("%s%" PRIu32, r ? "," : "", batch->domains[r]);
    printf("],");
    floats_print("numbers", batch->numbers, batch->rows, stride, NUMERIC);
    floats_print("labels", batch->labels, batch->rows, stride, labels);
    floats_print("weights", batch->weights, batch->rows, stride, labels);
    printf("\"end\":0}");
}

// Final labels for the auxiliary classifiers, some rows left out.
static void late_fill(struct minibatch *batch, struct rng *rng, uint64_t step, bool sequences) {
    batch_fill(batch, rng, step, sequences);
    for (size_t h = 0; h < HEADS; h++)
        for (size_t r = 0; r < batch->rows; r++) {
            batch->labels[h * batch->capacity + r] = rng_below(rng, 3) == 0;
            batch->weights[h * batch->capacity + r] = (float)rng_below(rng, 3) / 2;
        }
}

static void late_print(const struct learner *learner) {
    const struct late *late = &learner->late;
    printf("\"late\":[");
    for (size_t i = 0; i < late->count * late->inputs; i++)
        printf("%s%.17g", i ? "," : "", late->weights[i]);
    printf("],\n");
}

static void noise_print(const struct model *model) {
    printf("\"noise\":[");
    for (size_t t = 0; t < TABLES; t++) {
        printf("%s{", t ? "," : "");
        for (uint64_t id = 1; id < IDS; id++) {
            real values[16] = {0};
            char name[24];
            network_row_init(model, t, id, values);
            snprintf(name, sizeof name, "%" PRIu64, id);
            printf("%s", id > 1 ? "," : "");
            reals_print(name, values, 1, model_table_width(model, t));
        }
        printf("}");
    }
    printf("],\n");
}

static void rows_print(const struct model *model) {
    printf("\"final_rows\":[");
    for (size_t t = 0; t < TABLES; t++) {
        const struct table *table = &model->tables[t];
        bool first = true;
        printf("%s{", t ? "," : "");
        for (uint64_t id = 1; id < IDS; id++) {
            char name[24];
            uint32_t slot = table_find(table, id);
            if (slot == TABLE_DEFAULT_SLOT)
                continue;
            snprintf(name, sizeof name, "%" PRIu64, id);
            printf("%s", first ? "" : ",");
            reals_print(name, table_values(table, slot), 1, table->width);
            first = false;
        }
        printf("}");
    }
    printf("]}\n");
}

static void case_run(const struct named_case *chosen, uint64_t steps) {
    struct error err;
    bool sequences = chosen->model.sequences != MODEL_SEQUENCES_NONE;
    size_t lists = sequences ? 2 : 1;
    struct model_spec spec = {.fields = fields,
                              .field_count = sequences ? 4 : 3,
                              .categorical_count = 2,
                              .numeric_count = NUMERIC,
                              .task_count = TASKS,
                              .table_count = TABLES,
                              .settings = chosen->model};
    named_case_labels(chosen, spec.labels);
    spec.given[1] = 1; // read under ESMM: a chain of three
    spec.given[2] = 2;
    struct learner_settings settings = chosen->learner;
    struct learner *learner;
    struct minibatch batch, late;
    struct rng rng, late_rng;
    struct model_spec late_spec = spec;
    late_spec.task_count = HEADS;
    settings.target_task = "first";
    must(learner_new(&spec, &settings, task_weights, 0, &learner, &err), &err);
    must(minibatch_init(&batch, &spec, BATCH, &err), &err);
    must(minibatch_init(&late, &late_spec, BATCH, &err), &err);
    rng_init(&rng, 2024);
    rng_init(&late_rng, 2025);
    printf("{\"settings\":{");
    settings_print(&model_options, &spec.settings);
    settings_print(&learner_options, &settings);
    printf("\"task_weights\":[%g,%g,%g]},\n", task_weights[0], task_weights[1], task_weights[2]);
    printf("\"given\":[%" PRIu32 ",%" PRIu32 ",%" PRIu32 "],\n", spec.given[0], spec.given[1],
           spec.given[2]);
    printf("\"labels\":[\"%s\",\"%s\",\"%s\"],\n", model_labels_names[spec.labels[0]],
           model_labels_names[spec.labels[1]], model_labels_names[spec.labels[2]]);
    tensors_print("initial", learner_model(learner));
    noise_print(learner_model(learner));
    printf("\"batches\":[");
    for (uint64_t step = 0; step < steps; step++) {
        struct learner_report report;
        batch_fill(&batch, &rng, step, sequences);
        for (uint32_t domain = 1; domain < 4 && spec.settings.domains != MODEL_DOMAINS_NONE;
             domain++)
            for (size_t r = 0; r < batch.rows; r++)
                if (batch.domains[r] == domain)
                    must(learner_domain_add(learner, domain, &err), &err);
        printf("%s{\"learn\":", step ? ",\n" : "");
        batch_print(&batch, TASKS, lists);
        if (learner->late.count > 0) {
            late_fill(&late, &late_rng, step, sequences);
            printf(",\n\"late\":");
            batch_print(&late, HEADS, lists);
            must(learner_learn_late(learner, &late, &err), &err);
        }
        printf("}");
        must(learner_step(learner, &batch, &report, &err), &err);
    }
    printf("],\n");
    tensors_print("final", learner_model(learner));
    late_print(learner);
    rows_print(learner_model(learner));
    minibatch_deinit(&batch, &spec);
    minibatch_deinit(&late, &late_spec);
    learner_free(learner);
}

int main(int argc, char **argv) {
    if (argc == 1) {
        for (size_t i = 0; i < named_case_count; i++)
            printf("%s\n", named_cases[i].name);
        return 0;
    }
    for (size_t i = 0; argc == 3 && i < named_case_count; i++) {
        if (strcmp(named_cases[i].name, argv[1]) == 0) {
            case_run(&named_cases[i], (uint64_t)strtoull(argv[2], NULL, 10));
            return 0;
        }
    }
    fprintf(stderr, "usage: learner_dump [CASE STEPS]; without arguments it lists the cases\n");
    return 2;
}
