// Learner steps in examples a second, on the model of bench/peers/torch_mmoe.py: categorical fields
// of 16 dimensions over one table, MMoE of 4 experts 128-64, two tasks, towers of 32, row-wise
// Adagrad. Ids are log-uniform over a million, or an --ids file's rows in order (made by
// bench/kuairand_ids.py); the same pool of 64 batches over and over.
//
// --domains N spreads the rows unevenly over N domains (half of them are of the first, half of the
// rest of the second and so on); --star 1 makes towers star layers, --star 2 the trunk as well,
// --star 0 ignores the domains. --wide 1 adds the linear part, --auxiliary 1
// STAR's auxiliary network. --fill 1 makes every row of the tables before it begins, and prints
// their bytes a row beside what their ids, values and accumulators alone would take.
//
// Prints examples a second of the clock, and a second of processor time (which a busy machine moves
// less; all threads together).
//
// usage: bench_train [--case NAME] [--mode plain|metabalance] [--batch N] [--fields N]
//                    [--threads N] [--lanes N] [--rows N] [--tasks N] [--tables N] [--seconds N]
//                    [--ids FILE] [--domains N] [--star 0|1|2] [--wide 0|1] [--auxiliary 0|1]
//                    [--fill 0|1]
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/rng.h"
#include "trainer/learner.h"

enum { POOL = 64, DIMENSION = 16, FIELDS_MAX = 256 };

struct run {
    int64_t batch, fields, threads, lanes, rows, tasks, tables, seconds, domains, star, wide,
        auxiliary, fill;
    bool metabalance;
    const char *ids_path;
    const int64_t *ids; // [ids_rows][fields] of the file, or NULL
    int64_t ids_rows;
    const char *name; // of the case, printed with its figures
};

static bool arguments_read(int count, char **texts, struct run *run) {
    const struct {
        const char *name;
        int64_t *value;
    } numbers[] = {
        {"--batch", &run->batch},   {"--fields", &run->fields},   {"--threads", &run->threads},
        {"--lanes", &run->lanes},   {"--rows", &run->rows},       {"--tasks", &run->tasks},
        {"--tables", &run->tables}, {"--seconds", &run->seconds}, {"--domains", &run->domains},
        {"--star", &run->star},     {"--wide", &run->wide},       {"--auxiliary", &run->auxiliary},
        {"--fill", &run->fill}};
    for (int i = 1; i + 1 < count; i += 2) {
        bool known = strcmp(texts[i], "--mode") == 0;
        if (known)
            run->metabalance = strcmp(texts[i + 1], "metabalance") == 0;
        if (strcmp(texts[i], "--case") == 0) {
            run->name = texts[i + 1];
            known = true;
        }
        if (strcmp(texts[i], "--ids") == 0) {
            run->ids_path = texts[i + 1];
            known = true;
        }
        for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++)
            if (strcmp(texts[i], numbers[n].name) == 0) {
                *numbers[n].value = strtoll(texts[i + 1], NULL, 10);
                known = *numbers[n].value >= 0;
            }
        if (!known)
            return false;
    }
    return count % 2 == 1 && run->batch > 0 && run->threads > 0 && run->rows > 0 &&
           run->tasks > 0 && run->tasks <= MODEL_TASKS_MAX && run->seconds > 0 && run->tables > 0 &&
           run->fields > 0 && run->fields <= FIELDS_MAX && run->tables <= run->fields &&
           run->star <= 2;
}

// An --ids file: rows, fields, then the ids, all 64-bit numbers of this machine's byte order.
static enum status ids_read(struct run *run, int64_t **ret_ids, struct error *err) {
    int64_t shape[2];
    FILE *file = fopen(run->ids_path, "rb");
    if (!file)
        return error_set(err, STATUS_NOT_FOUND, "could not open %s", run->ids_path);
    enum status status = STATUS_OK;
    size_t count = 0;
    if (fread(shape, sizeof shape, 1, file) == 1 && shape[0] > 0 && shape[1] > 0 &&
        shape[1] <= FIELDS_MAX && shape[0] < INT64_MAX / FIELDS_MAX)
        count = (size_t)(shape[0] * shape[1]);
    int64_t *ids = count ? memory_new(count, sizeof *ids) : NULL;
    if (!ids || fread(ids, sizeof *ids, count, file) != count)
        status = error_set(err, STATUS_CORRUPT, "could not read ids from %s", run->ids_path);
    fclose(file);
    *ret_ids = ids;
    if (status != STATUS_OK)
        return status;
    run->ids = ids;
    run->ids_rows = shape[0];
    run->fields = shape[1];
    return STATUS_OK;
}

static uint64_t id_draw(const struct run *run, struct rng *rng, size_t row, size_t field) {
    if (run->ids)
        return (uint64_t)run->ids[(int64_t)row % run->ids_rows * run->fields + (int64_t)field];
    uint64_t rank = (uint64_t)pow((double)run->rows, rng_uniform(rng));
    return rank * 2654435761u % (uint64_t)run->rows + 1;
}

static uint32_t domain_draw(const struct run *run, struct rng *rng) {
    uint32_t domain = 1;
    while (domain < run->domains && rng_uniform(rng) < 0.5)
        domain++;
    return domain;
}

static enum status pool_fill(struct minibatch *pool, const struct model_spec *spec,
                             const struct run *run, struct error *err) {
    struct rng rng;
    rng_init(&rng, 0);
    for (size_t b = 0; b < POOL; b++) {
        enum status status = minibatch_init(&pool[b], spec, (size_t)run->batch, err);
        if (status != STATUS_OK)
            return status;
        pool[b].rows = (size_t)run->batch;
        for (size_t i = 0; i < spec->field_count * pool[b].rows; i++)
            pool[b].ids[i] =
                id_draw(run, &rng, b * pool[b].rows + i % pool[b].rows, i / pool[b].rows);
        for (size_t r = 0; r < pool[b].rows && run->domains > 1; r++)
            pool[b].domains[r] = domain_draw(run, &rng);
        for (size_t i = 0; i < spec->task_count * pool[b].rows; i++) {
            pool[b].labels[i] = rng_uniform(&rng) < 0.2 ? 1 : 0;
            pool[b].weights[i] = 1;
        }
    }
    return STATUS_OK;
}

static double resident_bytes(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

// All ids of all tables; a step then makes room for the marks of so many rows.
static enum status fill(struct learner *learner, const struct minibatch *batch,
                        const struct run *run, struct error *err) {
    static const float row[DIMENSION + MODEL_TASKS_MAX];
    struct learner_report report;
    enum status status = learner_step(learner, batch, &report, err);
    double before = resident_bytes();
    for (size_t t = 0; t < (size_t)run->tables; t++)
        for (int64_t id = 1; id <= run->rows && status == STATUS_OK; id++)
            status = model_row_put(learner_model(learner), t, (uint64_t)id, row, err);
    if (status == STATUS_OK)
        status = learner_step(learner, batch, &report, err);
    double rows = (double)(run->rows * run->tables), raw = 8 + DIMENSION * 4 + 4;
    printf("figure bench=train case=%s who=freshet value=%.1f unit=bytes/row raw=%.0f\n", run->name,
           (resident_bytes() - before) / rows, raw);
    return status;
}

struct speed {
    double wall, processor; // examples a second
};

static double processor_seconds(void) {
    struct timespec now;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0
               ? (double)now.tv_sec + (double)now.tv_nsec * 1e-9
               : 0;
}

static enum status measure(struct learner *learner, const struct minibatch *pool,
                           const struct run *run, struct speed *ret_best, struct error *err) {
    struct learner_report report;
    enum status status = STATUS_OK;
    struct speed best = {0};
    size_t step = 0;
    for (; step < 2 * POOL && status == STATUS_OK; step++)
        status = learner_step(learner, &pool[step % POOL], &report, err);
    for (int round = 0; round < 3 && status == STATUS_OK; round++) {
        int64_t begin = clock_system.monotonic_us(&clock_system), now = begin, steps = 0;
        double used = processor_seconds();
        while (now - begin < run->seconds * 1000000 / 3 && status == STATUS_OK) {
            status = learner_step(learner, &pool[step++ % POOL], &report, err);
            steps++;
            now = clock_system.monotonic_us(&clock_system);
        }
        double examples = (double)(steps * run->batch);
        double wall = examples / ((double)(now - begin) * 1e-6);
        double processor = examples / (processor_seconds() - used);
        best.wall = wall > best.wall ? wall : best.wall;
        best.processor = processor > best.processor ? processor : best.processor;
    }
    *ret_best = best;
    return status;
}

int main(int count, char **texts) {
    struct run run = {.batch = 1024,
                      .fields = 16,
                      .threads = 2,
                      .lanes = 0,
                      .rows = 1000000,
                      .tasks = 2,
                      .tables = 1,
                      .seconds = 6,
                      .domains = 1,
                      .name = "custom"};
    if (!arguments_read(count, texts, &run)) {
        fputs("usage: bench_train [--case NAME] [--mode plain|metabalance] [--batch N] "
              "[--fields N] [--threads N] [--lanes N] [--rows N] [--tasks N] [--tables N] "
              "[--seconds N] [--ids FILE] [--domains N] [--star 0|1|2] [--wide 0|1] "
              "[--auxiliary 0|1] [--fill 0|1]\n",
              stderr);
        return 2;
    }
    struct error err;
    int64_t *ids = NULL;
    if (run.ids_path && ids_read(&run, &ids, &err) != STATUS_OK) {
        fprintf(stderr, "bench_train: %s\n", err.message);
        return 1;
    }
    run.lanes = run.lanes ? run.lanes : run.batch >= 2048 ? 8 : 4;
    struct model_field fields[FIELDS_MAX];
    for (size_t f = 0; f < (size_t)run.fields; f++)
        fields[f] = (struct model_field){
            .name = "id", .table = (uint32_t)(f % (size_t)run.tables), .dimension = DIMENSION};
    int64_t experts[] = {128, 64}, towers[] = {32};
    struct model_spec spec = {
        .fields = fields,
        .field_count = (size_t)run.fields,
        .categorical_count = (size_t)run.fields,
        .task_count = (size_t)run.tasks,
        .table_count = (size_t)run.tables,
        .settings = {.sharing = MODEL_MMOE,
                     .experts = 4,
                     .expert_layers = {experts, 2},
                     .tower_layers = {towers, 1},
                     .domains = run.star ? MODEL_DOMAINS_STAR : MODEL_DOMAINS_NONE,
                     .domains_max = run.domains,
                     .star_towers = run.star >= 1,
                     .star_trunk = run.star >= 2,
                     .wide = run.wide > 0,
                     .auxiliary = run.auxiliary > 0,
                     .auxiliary_layers = {towers, 1},
                     .embedding_init = 0.01,
                     .seed = 1},
    };
    struct learner_settings settings = {.batch_rows = run.batch,
                                        .lanes = run.lanes,
                                        .threads = run.threads,
                                        .learning_rate = 0.01,
                                        .accumulator_init = 0.1,
                                        .row_learning_rate = 0.05,
                                        .wide_learning_rate = 0.05,
                                        .gradient_clip = INFINITY,
                                        .balance = run.metabalance ? LEARNER_BALANCE_METABALANCE
                                                                   : LEARNER_BALANCE_FIXED,
                                        .strategy = LEARNER_STRATEGY_C,
                                        .target_task = "first",
                                        .relax = 0.7,
                                        .beta = 0.9,
                                        .balance_limit = INFINITY};
    double weights[MODEL_TASKS_MAX];
    struct speed best = {0};
    for (size_t k = 0; k < MODEL_TASKS_MAX; k++)
        weights[k] = 1;
    static struct minibatch pool[POOL];
    struct learner *learner = NULL;
    enum status status = learner_new(&spec, &settings, weights, 0, &learner, &err);
    if (status == STATUS_OK)
        status = pool_fill(pool, &spec, &run, &err);
    if (status == STATUS_OK && run.fill)
        status = fill(learner, &pool[0], &run, &err);
    if (status == STATUS_OK)
        status = measure(learner, pool, &run, &best, &err);
    if (status == STATUS_OK)
        printf(
            "figure bench=train case=%s who=freshet value=%.0f unit=examples/s mode=%s batch=%lld "
            "fields=%lld threads=%lld lanes=%lld processor_second=%.0f\n",
            run.name, best.wall, run.metabalance ? "metabalance" : "plain", (long long)run.batch,
            (long long)run.fields, (long long)run.threads, (long long)run.lanes, best.processor);
    else
        fprintf(stderr, "bench_train: %s\n", err.message);
    for (size_t b = 0; b < POOL; b++)
        minibatch_deinit(&pool[b], &spec);
    learner_free(learner);
    memory_free(ids);
    return status == STATUS_OK ? 0 : 1;
}
