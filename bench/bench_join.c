// How many events a second ingest takes: the join of StreamsJoin.java, 1 M impressions of about 150
// bytes and 250 k clicks, window 60 s, lateness 10 s, 200 impressions a second of event time.
//
//   bench_join join   [IMPRESSIONS]             decoded events in, encoded examples out; no log
//   bench_join fold   [IMPRESSIONS]             Avro records in, encoded examples out; no log
//   bench_join memory [IMPRESSIONS]             Avro records under the runner, memory logs, one
//   task bench_join kafka  BROKERS [IMPRESSIONS] [PARTITIONS]   the same from and to Kafka topics,
//   journal
//                                               and checkpoints on, one thread a partition
//
// All but the first include decoding. Each prints one line; events are records read.
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "base/rng.h"
#include "base/wire.h"
#include "config/config.h"
#include "ingest/decoder.h"
#include "ingest/ingest.h"

#define START_MS INT64_C(1650812741436)
#define PARTITIONS_MAX 16
#define FEATURES 6

enum { IMPRESSIONS, CLICKS, INPUTS };
static const char *const topics[INPUTS] = {"bench-impressions", "bench-clicks"};

static const char yaml[] =
    "data:\n"
    "  features:\n"
    "    - {name: user_id}\n"
    "    - {name: item_id}\n"
    "    - {name: a, path: categorical.a}\n"
    "    - {name: b, path: categorical.b}\n"
    "    - {name: c, path: categorical.c}\n"
    "    - {name: d, path: categorical.d}\n"
    "    - {name: e, path: numeric.e, kind: numeric}\n"
    "    - {name: f, path: numeric.f, kind: numeric}\n"
    "  tasks:\n"
    "    - {name: click, input: clicks, window: 60s}\n"
    "  domain: domain\n"
    "  user: user_id\n"
    "ingest:\n"
    "  lateness: 10s\n"
    "  inputs:\n"
    "    - {name: impressions, topic: bench-impressions, role: impression,"
    " schema: schemas/impression.avsc, time: event_time, key: [impression_id]}\n"
    "    - {name: clicks, topic: bench-clicks, role: feedback, schema: schemas/click.avsc,"
    " time: event_time, key: [impression_id]}\n"
    "  runner: {order: event_time, batch_records: 4096}\n";

struct root {
    struct ingest_settings ingest;
    struct spec data;
};
static const struct option root_rows[] = {
    {.key = "ingest",
     .type = OPTION_SECTION,
     .offset = offsetof(struct root, ingest),
     .table = &ingest_options,
     .help = "Ingest."},
    {.key = "data",
     .type = OPTION_SECTION,
     .offset = offsetof(struct root, data),
     .table = &spec_options,
     .help = "Data."},
};
static const struct option_table root_options = {.title = "bench",
                                                 .help = "Bench.",
                                                 .struct_bytes = sizeof(struct root),
                                                 .options = root_rows,
                                                 .count = 2};

struct bench {
    struct arena arena;
    struct root root;
    size_t impressions;
    int32_t partitions;
    struct log *log;
    char directory[64];
    uint64_t events; // filled in
};

// Any failure ends the bench with its reason.
static void must(enum status status, const struct error *err) {
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "bench_join: %s: %s\n", status_name(status), err->message);
    exit(1);
}

static double seconds(void) {
    return (double)clock_system.monotonic_us(&clock_system) / 1e6;
}

// --- The data: impression i at 5 ms x i; from the 2,000th on every fourth brings a click on one of
// 1,000 to 2,000 before.

static void impression_put(struct buffer *out, size_t i) {
    static const char *const names[] = {"a", "b", "c", "d"};
    char text[32];
    buffer_reset(out);
    (void)snprintf(text, sizeof(text), "imp-%zu", i);
    wire_put_string(out, text);
    wire_put_long(out, START_MS + (int64_t)i * 5);
    (void)snprintf(text, sizeof(text), "user-%llu", (unsigned long long)(hash_mix(i) % 100000));
    wire_put_string(out, text);
    (void)snprintf(text, sizeof(text), "item-%llu", (unsigned long long)(hash_mix(i + 1) % 5000));
    wire_put_string(out, text);
    wire_put_string(out, "home");
    wire_put_long(out, 4);
    for (size_t k = 0; k < 4; k++) {
        (void)snprintf(text, sizeof(text), "value-%zu-%llu", k,
                       (unsigned long long)(hash_mix(i * 4 + k) % 1000000000));
        wire_put_string(out, names[k]);
        wire_put_string(out, text);
    }
    wire_put_long(out, 0);
    wire_put_long(out, 2);
    wire_put_string(out, "e");
    wire_put_double(out, (double)i);
    wire_put_string(out, "f");
    wire_put_double(out, 1.5);
    wire_put_long(out, 0);
}

static size_t clicked(size_t i, struct rng *rng) {
    return i - 1000 - rng_below(rng, 1000);
}

static void click_put(struct buffer *out, size_t on, size_t i) {
    char text[32];
    buffer_reset(out);
    (void)snprintf(text, sizeof(text), "imp-%zu", on);
    wire_put_string(out, text);
    wire_put_long(out, START_MS + (int64_t)i * 5);
}

static int32_t partition_of(const struct bench *bench, size_t id) {
    return (int32_t)(hash_mix(id) % (uint64_t)bench->partitions);
}

static void append(struct log_writer *writer, size_t input, int32_t partition,
                   const struct buffer *bytes, size_t i) {
    struct error err;
    const struct log_record record = {.timestamp_ms = START_MS + (int64_t)i * 5,
                                      .sequence = LOG_NO_SEQUENCE,
                                      .end_of_stream = bytes == NULL,
                                      .value = bytes == NULL ? NULL : bytes->data,
                                      .value_length = bytes == NULL ? 0 : bytes->length};
    must(log_writer_append(writer, input, partition, &record, &err), &err);
}

static void fill(struct bench *bench) {
    struct error err;
    struct log_writer *writer = NULL;
    struct buffer bytes;
    struct rng rng;
    buffer_init(&bytes);
    rng_init(&rng, 1);
    for (size_t i = 0; i < INPUTS; i++)
        must(log_topic_ensure(bench->log, topics[i], bench->partitions, &err), &err);
    must(log_topic_ensure(bench->log, bench->root.ingest.examples, bench->partitions, &err), &err);
    must(log_topic_ensure(bench->log, bench->root.ingest.dead_letter, bench->partitions, &err),
         &err);
    must(log_writer_open(bench->log, "", topics, INPUTS, &writer, &err), &err);
    for (size_t i = 0; i < bench->impressions; i++) {
        impression_put(&bytes, i);
        append(writer, IMPRESSIONS, partition_of(bench, i), &bytes, i);
        bench->events++;
        if (i >= 2000 && i % 4 == 0) {
            size_t on = clicked(i, &rng);
            click_put(&bytes, on, i);
            append(writer, CLICKS, partition_of(bench, on), &bytes, i);
            bench->events++;
        }
        if (i % 20000 == 19999)
            must(log_writer_commit(writer, NULL, 0, &err), &err);
    }
    for (size_t input = 0; input < INPUTS; input++) {
        for (int32_t p = 0; p < bench->partitions; p++)
            append(writer, input, p, NULL, bench->impressions);
    }
    must(log_writer_commit(writer, NULL, 0, &err), &err);
    log_writer_close(writer);
    buffer_deinit(&bytes);
}

// --- The join alone.

struct sink_state {
    struct example_shape shape;
    struct buffer encoded;
    uint64_t examples, bytes;
};

static enum status encode_only(void *self, const struct example *example, int64_t timestamp_ms,
                               struct error *err) {
    struct sink_state *sink = self;
    (void)timestamp_ms;
    (void)err;
    buffer_reset(&sink->encoded);
    example_encode(&sink->shape, example, &sink->encoded);
    sink->examples++;
    sink->bytes += sink->encoded.length;
    return STATUS_OK;
}

static void give(struct join *join, uint32_t input, size_t id, size_t i) {
    uint64_t ids[FEATURES];
    float numbers[2] = {(float)i, 1.5f};
    char key[32];
    struct error err;
    int length = snprintf(key, sizeof(key), "\x10imp-%zu", id);
    struct event event = {.input = input,
                          .impression = input == IMPRESSIONS,
                          .key = (const unsigned char *)key,
                          .key_length = (size_t)length,
                          .event_time_ms = START_MS + (int64_t)i * 5,
                          .accepted_ms = START_MS + (int64_t)i * 5,
                          .mask = input == CLICKS,
                          .values = {1}};
    for (size_t k = 0; event.impression && k < FEATURES; k++)
        ids[k] = i * FEATURES + k;
    event.columns = (struct example){.user = id,
                                     .domain = "home",
                                     .domain_length = 4,
                                     .ids = (const unsigned char *)ids,
                                     .numbers = (const unsigned char *)numbers,
                                     .lists = (const unsigned char *)""};
    must(join_event(join, &event, &err), &err);
}

static void run_join(struct bench *bench) {
    struct error err;
    struct store *store = NULL;
    struct join *join = NULL;
    struct rng rng;
    struct sink_state sink = {.shape = example_shape_of(&bench->root.data)};
    const struct join_setup setup = {.settings = &bench->root.ingest,
                                     .spec = &bench->root.data,
                                     .emit = encode_only,
                                     .self = &sink};
    struct join_setup with = setup;
    rng_init(&rng, 1);
    must(store_open_memory(&store, &err), &err);
    with.store = store;
    must(join_new(&with, &join, &err), &err);
    double begin = seconds();
    for (size_t i = 0; i < bench->impressions; i++) {
        give(join, IMPRESSIONS, i, i);
        bench->events++;
        if (i >= 2000 && i % 4 == 0) {
            give(join, CLICKS, clicked(i, &rng), i);
            bench->events++;
        }
    }
    size_t memory = join_memory_bytes(join);
    must(join_finish(join, &err), &err);
    double took = seconds() - begin;
    printf("figure bench=join case=alone who=freshet value=%.0f unit=events/s events=%llu "
           "examples=%llu example_bytes=%.0f seconds=%.2f state_kib=%zu\n",
           (double)bench->events / took, (unsigned long long)bench->events,
           (unsigned long long)sink.examples, (double)sink.bytes / (double)sink.examples, took,
           memory / 1024);
    join_free(join);
    store_close(store);
    buffer_deinit(&sink.encoded);
}

// --- Decoding and the join.

struct records {
    struct buffer bytes;
    size_t *ends; // [count]
    uint32_t *inputs;
    int64_t *times;
    size_t count;
};

static void records_add(struct records *records, uint32_t input, const struct buffer *bytes,
                        size_t i) {
    buffer_append(&records->bytes, bytes->data, bytes->length);
    records->ends[records->count] = records->bytes.length;
    records->inputs[records->count] = input;
    records->times[records->count++] = START_MS + (int64_t)i * 5;
}

static void records_make(struct records *records, const struct bench *bench) {
    struct buffer bytes;
    struct rng rng;
    struct error err;
    size_t most = bench->impressions * 2;
    rng_init(&rng, 1);
    buffer_init(&bytes);
    memset(records, 0, sizeof(*records));
    records->ends = memory_new(most, sizeof(*records->ends));
    records->inputs = memory_new(most, sizeof(*records->inputs));
    records->times = memory_new(most, sizeof(*records->times));
    if (records->ends == NULL || records->inputs == NULL || records->times == NULL)
        must(error_no_memory(&err, most, "records"), &err);
    for (size_t i = 0; i < bench->impressions; i++) {
        impression_put(&bytes, i);
        records_add(records, IMPRESSIONS, &bytes, i);
        if (i >= 2000 && i % 4 == 0) {
            click_put(&bytes, clicked(i, &rng), i);
            records_add(records, CLICKS, &bytes, i);
        }
    }
    if (records->bytes.failed)
        must(error_no_memory(&err, records->bytes.capacity, "records"), &err);
    buffer_deinit(&bytes);
}

static enum status event_join(void *self, const struct event *event, struct error *err) {
    return join_event(self, event, err);
}

static void run_fold(struct bench *bench) {
    struct error err;
    struct store *store = NULL;
    struct join *join = NULL;
    struct decoder *decoder = NULL;
    struct records records;
    struct decoder_result result;
    struct sink_state sink = {.shape = example_shape_of(&bench->root.data)};
    records_make(&records, bench);
    must(store_open_memory(&store, &err), &err);
    const struct join_setup setup = {.settings = &bench->root.ingest,
                                     .spec = &bench->root.data,
                                     .store = store,
                                     .emit = encode_only,
                                     .self = &sink};
    must(join_new(&setup, &join, &err), &err);
    must(decoder_new(&bench->root.ingest, &bench->root.data, &clock_system, &decoder, &err), &err);
    double begin = seconds();
    for (size_t i = 0, at = 0; i < records.count; at = records.ends[i++]) {
        const struct log_record record = {.timestamp_ms = records.times[i],
                                          .value = records.bytes.data + at,
                                          .value_length = records.ends[i] - at};
        memset(&result, 0, sizeof(result));
        must(decoder_decode(decoder, records.inputs[i], &record, event_join, join, &result, &err),
             &err);
    }
    must(join_finish(join, &err), &err);
    double took = seconds() - begin;
    printf("figure bench=join case=fold who=freshet value=%.0f unit=events/s records=%zu "
           "record_bytes=%.0f examples=%llu seconds=%.2f\n",
           (double)records.count / took, records.count,
           (double)records.bytes.length / (double)records.count, (unsigned long long)sink.examples,
           took);
    decoder_free(decoder);
    join_free(join);
    store_close(store);
    buffer_deinit(&sink.encoded);
    buffer_deinit(&records.bytes);
    memory_free(records.ends);
    memory_free(records.inputs);
    memory_free(records.times);
}

// --- Under the runner.

struct worker {
    struct bench *bench;
    int32_t partition;
    pthread_t thread;
    struct account accounts[INPUTS];
};

static void *worker_run(void *self) {
    struct worker *worker = self;
    struct bench *bench = worker->bench;
    struct error err;
    struct ingest_task *task = NULL;
    struct runner *runner = NULL;
    struct stage_input inputs[INPUTS];
    struct stage_output outputs[INGEST_OUTPUTS];
    char name[32];
    char directory[96];
    atomic_bool stop = false;
    (void)snprintf(name, sizeof(name), "bench.ingest-%d", (int)worker->partition);
    (void)snprintf(directory, sizeof(directory), "%s/%d", bench->directory, (int)worker->partition);
    must(disk_make_directory(directory, &err), &err);
    const struct ingest_task_setup task_setup = {.settings = &bench->root.ingest,
                                                 .spec = &bench->root.data,
                                                 .partition = worker->partition,
                                                 .directory = directory,
                                                 .clock = &clock_system};
    must(ingest_task_new(&task_setup, &task, &err), &err);
    ingest_task_inputs(&bench->root.ingest, worker->partition, inputs);
    ingest_task_outputs(&bench->root.ingest, worker->partition, outputs);
    const struct runner_setup setup = {.task = name,
                                       .directory = directory,
                                       .operations = &ingest_operations,
                                       .state = task,
                                       .log = bench->log,
                                       .inputs = inputs,
                                       .input_count = INPUTS,
                                       .outputs = outputs,
                                       .output_count = INGEST_OUTPUTS,
                                       .settings = bench->root.ingest.runner,
                                       .config_hash = 1,
                                       .build = "bench",
                                       .clock = &clock_system};
    must(runner_open(&setup, &runner, &err), &err);
    must(runner_run(runner, &stop, &err), &err);
    (void)ingest_operations.accounts(task, worker->accounts, INPUTS);
    runner_close(runner);
    ingest_task_free(task);
    return NULL;
}

static void run_runner(struct bench *bench, const char *what) {
    struct worker workers[PARTITIONS_MAX];
    struct error err;
    uint64_t read = 0;
    uint64_t used = 0;
    fill(bench);
    double begin = seconds();
    for (int32_t i = 0; i < bench->partitions; i++) {
        workers[i] = (struct worker){.bench = bench, .partition = i};
        if (pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) != 0)
            must(error_set(&err, STATUS_EXHAUSTED, "could not start a thread"), &err);
    }
    for (int32_t i = 0; i < bench->partitions; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        for (size_t k = 0; k < INPUTS; k++) {
            read += workers[i].accounts[k].read;
            used += workers[i].accounts[k].used;
        }
    }
    double took = seconds() - begin;
    printf("figure bench=join case=%s who=freshet value=%.0f unit=events/s partitions=%d read=%llu "
           "used=%llu seconds=%.2f\n",
           what, (double)read / took, (int)bench->partitions, (unsigned long long)read,
           (unsigned long long)used, took);
    must(read == bench->events ? STATUS_OK
                               : error_set(&err, STATUS_CHANGED, "%llu events were written",
                                           (unsigned long long)bench->events),
         &err);
}

static size_t argument(int count, char **arguments, int at, size_t otherwise) {
    return at < count ? (size_t)strtoull(arguments[at], NULL, 10) : otherwise;
}

int main(int count, char **arguments) {
    struct bench bench = {.partitions = 1};
    struct error err;
    const char *mode = count > 1 ? arguments[1] : "join";
    logger_setup(stderr, LOGGER_WARN, LOGGER_TEXT);
    arena_init(&bench.arena, 4096);
    must(config_parse("bench", yaml, strlen(yaml), &root_options, &bench.root, &bench.arena, &err),
         &err);
    must(spec_check(&bench.root.data, &err), &err);
    (void)snprintf(bench.directory, sizeof(bench.directory), "/tmp/bench-join-XXXXXX");
    if (mkdtemp(bench.directory) == NULL)
        must(error_set(&err, STATUS_IO, "could not make a folder in /tmp"), &err);
    if (strcmp(mode, "join") == 0) {
        bench.impressions = argument(count, arguments, 2, 1000000);
        run_join(&bench);
    } else if (strcmp(mode, "fold") == 0) {
        bench.impressions = argument(count, arguments, 2, 1000000);
        run_fold(&bench);
    } else if (strcmp(mode, "memory") == 0) {
        bench.impressions = argument(count, arguments, 2, 1000000);
        must(log_open_memory(&bench.log, &err), &err);
        run_runner(&bench, "memory");
    } else if (strcmp(mode, "kafka") == 0 && count > 2) {
        static const char *const properties[] = {"compression.type=lz4", "linger.ms=20", NULL};
        const struct log_kafka_options options = {.brokers = arguments[2],
                                                  .properties = properties,
                                                  .replication_factor = 1,
                                                  .timeout_ms = 30000,
                                                  .client_id = "bench-join"};
        bench.impressions = argument(count, arguments, 3, 1000000);
        bench.partitions = (int32_t)argument(count, arguments, 4, 4);
        if (bench.partitions < 1 || bench.partitions > PARTITIONS_MAX)
            must(error_set(&err, STATUS_INVALID, "1 to %d partitions", PARTITIONS_MAX), &err);
        must(log_open_kafka(&options, &bench.log, &err), &err);
        run_runner(&bench, "kafka");
    } else {
        fprintf(stderr, "usage: bench_join join|fold|memory|kafka [BROKERS] [IMPRESSIONS] ...\n");
        return 2;
    }
    log_close(bench.log);
    arena_deinit(&bench.arena);
    must(disk_remove_tree(bench.directory, &err), &err);
    return 0;
}
