#include "bench/pipeline_ids.h"

#include <math.h>
#include <string.h>

#include "base/disk.h"
#include "base/rng.h"
#include "bench/join_events.h"
#include "ingest/decoder.h"
#include "simulate/kuairand.h"

#define UNIVERSE 1000000
#define POLL_RECORDS 4096

void pipeline_ids_make(struct pipeline_ids *ids, size_t rows, size_t fields) {
    struct rng rng;
    struct error err;
    *ids = (struct pipeline_ids){.rows = rows, .fields = fields};
    ids->ids = memory_new(rows * fields, sizeof(*ids->ids));
    if (!ids->ids)
        bench_must(error_no_memory(&err, rows * fields * sizeof(*ids->ids), "ids"), &err);
    rng_init(&rng, 1);
    for (size_t i = 0; i < rows * fields; i++)
        ids->ids[i] = (uint64_t)pow(UNIVERSE, rng_uniform(&rng)) * 2654435761u % UNIVERSE + 1;
}

void pipeline_ids_deinit(struct pipeline_ids *ids) {
    memory_free(ids->ids);
}

struct kuairand_root {
    struct ingest_settings ingest;
    struct spec data;
};
static const struct option root_rows[] = {
    {.key = "ingest",
     .type = OPTION_SECTION,
     .offset = offsetof(struct kuairand_root, ingest),
     .table = &ingest_options,
     .help = "Ingest."},
    {.key = "data",
     .type = OPTION_SECTION,
     .offset = offsetof(struct kuairand_root, data),
     .table = &spec_options,
     .help = "Data."},
};
static const struct option_table root_options = {.title = "bench",
                                                 .help = "Bench.",
                                                 .struct_bytes = sizeof(struct kuairand_root),
                                                 .options = root_rows,
                                                 .count = 2};

// The sections `data` and `ingest` of the configuration that ships, which stand one after another.
static void configure(struct kuairand_root *root, struct arena *arena) {
    struct error err;
    struct buffer text;
    buffer_init(&text);
    bench_must(disk_read_all("config/kuairand.yaml", &text, &err), &err);
    buffer_append_byte(&text, '\0');
    const char *begin = strstr((const char *)text.data, "\ndata:");
    const char *end = begin ? strstr(begin, "\nmodel:") : NULL;
    if (!end)
        bench_must(error_set(&err, STATUS_INVALID, "config/kuairand.yaml has other sections"),
                   &err);
    bench_must(config_parse("config/kuairand.yaml", begin, (size_t)(end - begin), &root_options,
                            root, arena, &err),
               &err);
    bench_must(spec_check(&root->data, &err), &err);
    buffer_deinit(&text);
}

static enum status event_take(void *self, const struct event *event, struct error *err) {
    struct pipeline_ids *ids = self;
    (void)err;
    memcpy(ids->ids + ids->rows++ * ids->fields, event->columns.ids,
           ids->fields * sizeof(*ids->ids));
    return STATUS_OK;
}

static void records_take(struct pipeline_ids *ids, struct log *log, struct decoder *decoder,
                         size_t most) {
    struct error err;
    struct log_reader *reader = NULL;
    struct log_batch batch = {0};
    struct decoder_result result;
    const struct log_position position = {.topic = "impressions"};
    bench_must(log_reader_open(log, &position, 1, &reader, &err), &err);
    while (ids->rows < most &&
           log_reader_poll(reader, POLL_RECORDS, 0, &batch, &err) == STATUS_OK) {
        for (size_t i = 0; i < batch.count && ids->rows < most; i++)
            bench_must(
                decoder_decode(decoder, 0, &batch.records[i], event_take, ids, &result, &err),
                &err);
    }
    log_reader_close(reader);
}

void pipeline_ids_kuairand(struct pipeline_ids *ids, const char *directory) {
    struct error err;
    struct arena arena;
    struct kuairand_root root;
    struct log *log = NULL;
    struct decoder *decoder = NULL;
    struct kuairand_account account;
    const struct kuairand_settings settings = {.directory = directory,
                                               .impressions = "impressions",
                                               .clicks = "clicks",
                                               .conversions = "conversions",
                                               .partitions = 1};
    arena_init(&arena, 4096);
    configure(&root, &arena);
    bench_must(log_open_memory(&log, &err), &err);
    bench_must(kuairand_load(log, &settings, NULL, NULL, NULL, &account, &err), &err);
    bench_must(decoder_new(&root.ingest, &root.data, &clock_system, &decoder, &err), &err);
    *ids = (struct pipeline_ids){.fields = spec_kind_count(&root.data, SPEC_CATEGORICAL)};
    ids->ids = memory_new((size_t)account.impressions * ids->fields, sizeof(*ids->ids));
    if (!ids->ids)
        bench_must(error_no_memory(&err, (size_t)account.impressions * ids->fields, "ids"), &err);
    records_take(ids, log, decoder, (size_t)account.impressions);
    if (ids->rows == 0)
        bench_must(error_set(&err, STATUS_INVALID, "no impression in %s", directory), &err);
    decoder_free(decoder);
    log_close(log);
    arena_deinit(&arena);
}
