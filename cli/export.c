// freshet export: the trainer's newest checkpoint as a safetensors file.
#include "cli/command.h"

#include <math.h>
#include <string.h>

#include "base/disk.h"
#include "base/wire.h"
#include "cli/newest.h"
#include "cli/saved_trainer.h"
#include "exchange/safetensors.h"
#include "record/example.h"
#include "trainer/rows.h"

// Rows of one table, or the columns of examples, before they are written.
struct column {
    char name[64];
    struct buffer bytes;
    size_t rows;
};
enum { COLUMNS_MAX = 2 * (SPEC_FEATURES_MAX + SPEC_RATES_MAX), EXAMPLE_PARTS = 6 };

struct exporting {
    struct trainer *trainer;
    const struct model *model;
    struct safetensors_writer *writer;
    struct column *columns; // [COLUMNS_MAX]: ids and values of each table, then of each rate
    size_t tables;
    // Examples
    struct example_shape shape;
    struct minibatch batch;
    size_t wanted;
    float *rates;
};

static struct column *column_of(struct exporting *exporting, size_t at) {
    return &exporting->columns[at];
}

static enum status row_take(void *self, size_t table, uint64_t id, const float *values,
                            struct error *err) {
    struct exporting *exporting = self;
    struct column *ids = column_of(exporting, 2 * table), *rows = ids + 1;
    size_t width = table < exporting->tables
                       ? model_table_width(exporting->model, table)
                       : rates_width(counting_rates(trainer_counting(exporting->trainer)),
                                     table - exporting->tables);
    wire_put_fixed64(&ids->bytes, id);
    for (size_t c = 0; c < width; c++)
        wire_put_float(&rows->bytes, values[c]);
    ids->rows++;
    rows->rows++;
    return ids->bytes.failed || rows->bytes.failed
               ? error_no_memory(err, rows->bytes.length, "a table's rows")
               : STATUS_OK;
}

static enum status rate_take(void *self, size_t rate, uint64_t key, const float *values,
                             struct error *err) {
    return row_take(self, ((struct exporting *)self)->tables + rate, key, values, err);
}

static enum status rows_add(struct exporting *exporting, struct error *err) {
    const struct rates *rates = counting_rates(trainer_counting(exporting->trainer));
    enum status status = learner_each_row_in_slice(trainer_learner(exporting->trainer), 0, 0,
                                                   row_take, exporting, err);
    if (status == STATUS_OK)
        status = rates_each_in_slice(rates, 0, 0, rate_take, exporting, err);
    size_t count = exporting->tables + rates_count(rates);
    for (size_t t = 0; t < count && status == STATUS_OK; t++) {
        struct column *ids = column_of(exporting, 2 * t), *rows = ids + 1;
        bool rate = t >= exporting->tables;
        size_t place = rate ? t - exporting->tables : t;
        snprintf(ids->name, sizeof ids->name, rate ? "rate.%zu.keys" : "table.%zu.ids", place);
        snprintf(rows->name, sizeof rows->name, rate ? "rate.%zu.values" : "table.%zu.values",
                 place);
        struct safetensor tensors[2] = {
            {.name = ids->name, .type = SAFETENSORS_U64, .dimensions = 1, .columns = 1},
            {.name = rows->name, .type = SAFETENSORS_F32, .dimensions = 2}};
        tensors[1].columns =
            rate ? rates_width(rates, place) : model_table_width(exporting->model, place);
        for (size_t k = 0; k < 2 && status == STATUS_OK; k++) {
            tensors[k].rows = ids->rows;
            tensors[k].data = (k ? rows : ids)->bytes.data;
            status = safetensors_add(exporting->writer, &tensors[k], err);
        }
    }
    return status;
}

static enum status tensors_add(struct exporting *exporting, struct error *err) {
    enum status status = STATUS_OK;
    struct buffer bytes;
    buffer_init(&bytes);
    for (size_t i = 0; i < model_tensor_count(exporting->model) && status == STATUS_OK; i++) {
        const struct model_tensor *tensor = model_tensor_at(exporting->model, i);
        buffer_reset(&bytes);
        for (size_t k = 0; k < tensor->rows * tensor->columns; k++)
            wire_put_float(&bytes, (float)tensor->data[k]);
        if (bytes.failed)
            status = error_no_memory(err, bytes.length, "a tensor");
        struct safetensor out = {.name = tensor->name,
                                 .type = SAFETENSORS_F32,
                                 .dimensions = 2,
                                 .rows = tensor->rows,
                                 .columns = tensor->columns,
                                 .data = bytes.data};
        if (status == STATUS_OK)
            status = safetensors_add(exporting->writer, &out, err);
    }
    buffer_deinit(&bytes);
    return status;
}

// ---- examples -----------------------------------------------------------------------------------

static enum status example_take(void *self, int32_t partition, const struct log_record *record,
                                struct error *err) {
    struct exporting *exporting = self;
    struct example example;
    uint64_t replaced = 0;
    (void)partition;
    enum status status =
        example_decode(&exporting->shape, record->value, record->value_length, &example, err);
    if (status != STATUS_OK || !(example.kind & EXAMPLE_LEARN) ||
        exporting->batch.rows == exporting->wanted)
        return status;
    struct counting *counting = trainer_counting(exporting->trainer);
    struct minibatch *batch = &exporting->batch;
    size_t row = batch->rows;
    counting_peek(counting, &example, exporting->rates);
    status = rows_append(batch, model_spec_of(exporting->model), &example, exporting->rates,
                         counting_columns(counting),
                         trainer_domain(exporting->trainer, example.domain, example.domain_length),
                         &replaced, err);
    for (size_t task = 0; status == STATUS_OK && task < exporting->shape.tasks; task++) {
        float *label = &batch->labels[task * batch->capacity + row];
        if (example.mask >> task & 1)
            memcpy(label, example.labels + task * sizeof *label, sizeof *label);
        else
            *label = NAN;
    }
    return status;
}

static enum status column_add(struct exporting *exporting, const char *name,
                              enum safetensors_type type, size_t rows, size_t columns,
                              const struct buffer *bytes, struct error *err) {
    const struct safetensor tensor = {.name = name,
                                      .type = type,
                                      .dimensions = 2,
                                      .rows = rows,
                                      .columns = columns,
                                      .data = bytes->data};
    return bytes->failed ? error_no_memory(err, bytes->length, "examples")
                         : safetensors_add(exporting->writer, &tensor, err);
}

// Row by row: ids, numbers (rates behind), domain, logits, labels (NaN = not settled). Lists:
// (example, list, id, age in seconds) each.
static enum status examples_add(struct exporting *exporting, struct error *err) {
    const struct model_spec *shape = model_spec_of(exporting->model);
    const struct minibatch *batch = &exporting->batch;
    size_t rows = batch->rows, lists = shape->field_count - shape->categorical_count, listed = 0;
    struct buffer parts[EXAMPLE_PARTS]; // ids, numbers, domains, lists, logits, labels
    for (size_t i = 0; i < EXAMPLE_PARTS; i++)
        buffer_init(&parts[i]);
    float *logits = memory_new(rows * shape->task_count + 1, sizeof *logits);
    enum status status =
        logits ? learner_predict(trainer_learner(exporting->trainer), batch, logits, err)
               : error_no_memory(err, rows * sizeof *logits, "examples");
    for (size_t r = 0; r < rows && status == STATUS_OK; r++) {
        for (size_t f = 0; f < shape->categorical_count; f++)
            wire_put_fixed64(&parts[0], batch->ids[f * batch->capacity + r]);
        for (size_t f = 0; f < shape->numeric_count; f++)
            wire_put_float(&parts[1], batch->numbers[f * batch->capacity + r]);
        wire_put_fixed64(&parts[2], batch->domains[r]);
        for (size_t f = 0; f < lists; f++) {
            const uint32_t *begin = &batch->list_begin[f * (batch->capacity + 1) + r];
            for (uint32_t i = begin[0]; i < begin[1]; i++, listed++) {
                wire_put_fixed64(&parts[3], r);
                wire_put_fixed64(&parts[3], f);
                wire_put_fixed64(&parts[3], batch->list_ids[f][i]);
                wire_put_fixed64(&parts[3], batch->list_ages[f][i]);
            }
        }
        for (size_t k = 0; k < shape->task_count; k++)
            wire_put_float(&parts[4], logits[k * rows + r]);
        for (size_t k = 0; k < shape->task_count; k++)
            wire_put_float(&parts[5], batch->labels[k * batch->capacity + r]);
    }
    const struct {
        const char *name;
        enum safetensors_type type;
        size_t rows, columns;
    } out[] = {{"examples.ids", SAFETENSORS_U64, rows, shape->categorical_count},
               {"examples.numbers", SAFETENSORS_F32, rows, shape->numeric_count},
               {"examples.domains", SAFETENSORS_U64, rows, 1},
               {"examples.lists", SAFETENSORS_U64, listed, 4},
               {"examples.logits", SAFETENSORS_F32, rows, shape->task_count},
               {"examples.labels", SAFETENSORS_F32, rows, shape->task_count}};
    for (size_t i = 0; i < EXAMPLE_PARTS && status == STATUS_OK; i++)
        status = column_add(exporting, out[i].name, out[i].type, out[i].rows, out[i].columns,
                            &parts[i], err);
    for (size_t i = 0; i < EXAMPLE_PARTS; i++)
        buffer_deinit(&parts[i]);
    memory_free(logits);
    return status;
}

// ---- the command --------------------------------------------------------------------------------

// The same description beside the file, for those who read JSON but no safetensors.
static enum status describe(struct exporting *exporting, const char *path, struct error *err) {
    struct buffer text;
    char beside[4096];
    buffer_init(&text);
    enum status status = trainer_describe(exporting->trainer, &text, err);
    if (status == STATUS_OK && text.failed)
        status = error_no_memory(err, text.length, "a model's description");
    if (status == STATUS_OK)
        status = safetensors_note(exporting->writer, "freshet", (const char *)text.data,
                                  text.length, err);
    int length = snprintf(beside, sizeof beside, "%s.json", path);
    if (status == STATUS_OK && (length < 0 || (size_t)length >= sizeof beside))
        status = error_set(err, STATUS_INVALID, "the path %.80s... is too long", path);
    if (status == STATUS_OK)
        status = disk_replace_all(beside, text.data, text.length, err);
    buffer_deinit(&text);
    return status;
}

static enum status export_file(struct exporting *exporting, const struct settings *settings,
                               struct log *log, const char *path, struct error *err) {
    exporting->model = learner_model(trainer_learner(exporting->trainer));
    exporting->tables = model_spec_of(exporting->model)->table_count;
    exporting->columns = memory_new(COLUMNS_MAX, sizeof *exporting->columns);
    exporting->rates =
        memory_new(model_spec_of(exporting->model)->numeric_count + 1, sizeof(float));
    if (!exporting->columns || !exporting->rates)
        return error_no_memory(err, COLUMNS_MAX * sizeof *exporting->columns, "an export");
    enum status status = safetensors_writer_new(&exporting->writer, err);
    if (status == STATUS_OK)
        status = tensors_add(exporting, err);
    if (status == STATUS_OK)
        status = rows_add(exporting, err);
    if (status == STATUS_OK && exporting->wanted > 0)
        status = minibatch_init(&exporting->batch, model_spec_of(exporting->model),
                                exporting->wanted, err);
    if (status == STATUS_OK && exporting->wanted > 0)
        status = newest_records(log, settings->trainer.examples, (int64_t)exporting->wanted,
                                example_take, exporting, err);
    if (status == STATUS_OK && exporting->wanted > 0)
        status = examples_add(exporting, err);
    if (status == STATUS_OK)
        status = describe(exporting, path, err);
    return status == STATUS_OK ? safetensors_write(exporting->writer, path, err) : status;
}

static enum status export_model(const struct settings *settings, const char *path, size_t examples,
                                struct error *err) {
    struct exporting exporting = {.shape = example_shape_of(&settings->data), .wanted = examples};
    struct log *log = NULL;
    int32_t partitions = 0;
    enum status status = log_open(&settings->log, &log, err);
    if (status == STATUS_OK)
        status = log_topic_partitions(log, settings->trainer.examples, &partitions, err);
    if (status == STATUS_OK)
        status = saved_trainer_load(settings, (size_t)partitions, &exporting.trainer, err);
    if (status == STATUS_OK)
        status = export_file(&exporting, settings, log, path, err);
    for (size_t i = 0; exporting.columns && i < COLUMNS_MAX; i++)
        buffer_deinit(&exporting.columns[i].bytes);
    memory_free(exporting.columns);
    memory_free(exporting.rates);
    if (exporting.batch.capacity > 0)
        minibatch_deinit(&exporting.batch, model_spec_of(exporting.model));
    safetensors_writer_free(exporting.writer);
    trainer_free(exporting.trainer);
    log_close(log);
    return status;
}

static int run_export(int argc, char **argv) {
    const char *positional[2] = {NULL, NULL}, *examples = NULL;
    const struct argument arguments[] = {{.name = "--examples", .value = &examples}};
    int64_t count = 0;
    if (!arguments_parse(&command_export, argc, argv, arguments, 1, positional, 2, 2) ||
        (examples &&
         !arguments_number(&command_export, "--examples", examples, 1, 1000000, &count)))
        return EXIT_USAGE;
    struct arena run_arena;
    struct settings settings;
    struct error err;
    int code = EXIT_DONE;
    arena_init(&run_arena, 65536);
    if (command_settings(positional[0], &run_arena, &settings, &code) &&
        export_model(&settings, positional[1], (size_t)count, &err) != STATUS_OK)
        code = command_fail(&err);
    arena_deinit(&run_arena);
    return code;
}

const struct command command_export = {
    .name = "export",
    .arguments = "CONFIG FILE [--examples N]",
    .summary = "the trainer's newest checkpoint as a safetensors file",
    .help =
        "Writes FILE with every dense tensor by its name, the rows of every embedding table as\n"
        "`table.T.ids` and `table.T.values`, and streaming rates as `rate.R.keys` and\n"
        "`rate.R.values`; and FILE.json with the architecture, features, tasks and domains, which\n"
        "also stands in the file's metadata under `freshet`.\n"
        "\n"
        "  --examples N  also the newest N labelled examples as the network reads them, and the\n"
        "                logits that the trainer gives them (`examples.*`), to hold another\n"
        "                program against\n"
        "\n"
        "examples/torch_scores.py opens such a file in PyTorch and predicts the same;\n"
        "examples/torch_pretrain.py trains one further, for `freshet import`.",
    .run = run_export,
};
