// How many events a second ingest joins: the work of bench/peers/StreamsJoin.java and conversions
// on top of it (join_events.h), window 60 s, lateness 10 s.
//
//   bench_join fold   [IMPRESSIONS]   Avro records in, encoded examples out; no log, one thread
//   bench_join memory [IMPRESSIONS]   the same under the runner, memory logs, one task
//   bench_join kafka  BROKERS [IMPRESSIONS] [PARTITIONS] [ROUNDS]
//                                     from and to real Kafka topics, one task and thread a
//                                     partition, journal, transactions and checkpoints as they
//                                     ship; the topics are filled once and joined RUNS times
//
// All include decoding. Each run prints a line; events are records read.
#include <pthread.h>
#include <string.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "bench/join_run.h"
#include "ingest/decoder.h"

#define WINDOW_MS 60000
#define PARTITIONS_MAX 16
#define ROUNDS_MAX 100
#define COMMIT_EVERY 20000 // records of the filler

struct bench {
    struct join_config config;
    size_t impressions;
    int32_t partitions;
    int rounds;
    struct log *log;
    char directory[64];
    char prefix[64];
};

// --- Filling the topics.

static void append(struct log_writer *writer, size_t input, int32_t partition, int64_t time_ms,
                   const struct buffer *bytes) {
    struct error err;
    const struct log_record record = {.timestamp_ms = time_ms,
                                      .sequence = LOG_NO_SEQUENCE,
                                      .end_of_stream = bytes == NULL,
                                      .value = bytes == NULL ? NULL : bytes->data,
                                      .value_length = bytes == NULL ? 0 : bytes->length};
    bench_must(log_writer_append(writer, input, partition, &record, &err), &err);
}

static void topics_ensure(struct bench *bench, const char *const topics[JOIN_INPUTS]) {
    const struct ingest_settings *settings = &bench->config.ingest;
    struct error err;
    for (size_t i = 0; i < JOIN_INPUTS; i++)
        bench_must(log_topic_ensure(bench->log, topics[i], bench->partitions, &err), &err);
    bench_must(log_topic_ensure(bench->log, settings->examples, bench->partitions, &err), &err);
    bench_must(log_topic_ensure(bench->log, settings->dead_letter, bench->partitions, &err), &err);
}

static void fill(struct bench *bench) {
    struct error err;
    struct log_writer *writer = NULL;
    struct join_events events;
    struct join_event event;
    struct buffer bytes;
    const char *topics[JOIN_INPUTS];
    int64_t time_ms = JOIN_START_MS;
    for (size_t i = 0; i < JOIN_INPUTS; i++)
        topics[i] = join_topic(&bench->config, (enum join_input)i);
    topics_ensure(bench, topics);
    bench_must(log_writer_open(bench->log, "", topics, JOIN_INPUTS, &writer, &err), &err);
    buffer_init(&bytes);
    join_events_init(&events, bench->impressions);
    for (size_t i = 1; join_events_next(&events, &event); i++) {
        buffer_reset(&bytes);
        join_event_encode(&event, &bytes);
        time_ms = event.time_ms;
        append(writer, event.input,
               (int32_t)(hash_mix(event.impression) % (uint64_t)bench->partitions), time_ms,
               &bytes);
        if (i % COMMIT_EVERY == 0)
            bench_must(log_writer_commit(writer, NULL, 0, &err), &err);
    }
    for (size_t input = 0; input < JOIN_INPUTS; input++)
        for (int32_t p = 0; p < bench->partitions; p++)
            append(writer, input, p, time_ms, NULL);
    bench_must(log_writer_commit(writer, NULL, 0, &err), &err);
    log_writer_close(writer);
    buffer_deinit(&bytes);
}

// --- Under the runner.

static void *worker_run(void *self) {
    join_run(self);
    return NULL;
}

// Events a second of one round.
static double round_run(struct bench *bench, int round, uint64_t *ret_used) {
    struct join_run workers[PARTITIONS_MAX];
    pthread_t threads[PARTITIONS_MAX];
    char name[80];
    struct error err;
    uint64_t read = 0, wanted = join_events_count(bench->impressions);
    (void)snprintf(name, sizeof(name), "%s.%d", bench->prefix, round);
    double begin = bench_seconds();
    for (int32_t i = 0; i < bench->partitions; i++) {
        workers[i] = (struct join_run){.config = &bench->config,
                                       .log = bench->log,
                                       .name = name,
                                       .directory = bench->directory,
                                       .partition = i};
        if (pthread_create(&threads[i], NULL, worker_run, &workers[i]) != 0)
            bench_must(error_set(&err, STATUS_EXHAUSTED, "could not start a thread"), &err);
    }
    *ret_used = 0;
    for (int32_t i = 0; i < bench->partitions; i++) {
        (void)pthread_join(threads[i], NULL);
        read += workers[i].read;
        *ret_used += workers[i].used;
    }
    double took = bench_seconds() - begin;
    if (read != wanted)
        bench_must(error_set(&err, STATUS_CHANGED, "%llu events were read, %llu written",
                             (unsigned long long)read, (unsigned long long)wanted),
                   &err);
    return (double)read / took;
}

static int rate_compare(const void *left, const void *right) {
    const double *a = left;
    const double *b = right;
    return *a < *b ? -1 : *a > *b;
}

static void run_runner(struct bench *bench, const char *what) {
    double rates[ROUNDS_MAX], processor;
    uint64_t used = 0;
    fill(bench);
    processor = bench_processor();
    for (int round = 0; round < bench->rounds; round++)
        rates[round] = round_run(bench, round, &used);
    processor = (bench_processor() - processor) / bench->rounds;
    printf("figure bench=join case=%s who=freshet unit=events/s partitions=%d events=%llu "
           "used=%llu processor_seconds=%.2f rounds=",
           what, (int)bench->partitions, (unsigned long long)join_events_count(bench->impressions),
           (unsigned long long)used, processor);
    for (int round = 0; round < bench->rounds; round++)
        printf("%s%.0f", round > 0 ? "," : "", rates[round]);
    qsort(rates, (size_t)bench->rounds, sizeof(rates[0]), rate_compare);
    printf(" value=%.0f\n", rates[bench->rounds / 2]);
}

// --- The fold alone.

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

static enum status event_join(void *self, const struct event *event, struct error *err) {
    return join_event(self, event, err);
}

// All records beforehand, so that making them is not timed.
static struct log_record *records_make(const struct bench *bench, struct buffer *bytes,
                                       size_t *ret_count) {
    struct join_events events;
    struct join_event event;
    struct error err;
    size_t count = (size_t)join_events_count(bench->impressions), at = 0;
    struct log_record *records = memory_new(count, sizeof(*records));
    join_events_init(&events, bench->impressions);
    for (size_t i = 0; records && join_events_next(&events, &event); i++) {
        size_t begin = bytes->length;
        join_event_encode(&event, bytes);
        records[i] = (struct log_record){.slot = event.input,
                                         .timestamp_ms = event.time_ms,
                                         .value_length = bytes->length - begin};
    }
    if (!records || bytes->failed)
        bench_must(error_no_memory(&err, bytes->capacity, "records"), &err);
    for (size_t i = 0; i < count; at += records[i++].value_length)
        records[i].value = bytes->data + at;
    *ret_count = count;
    return records;
}

static void run_fold(struct bench *bench) {
    struct error err;
    struct store *store = NULL;
    struct join *join = NULL;
    struct decoder *decoder = NULL;
    struct decoder_result result;
    struct buffer bytes;
    size_t count = 0;
    struct sink_state sink = {.shape = example_shape_of(&bench->config.data)};
    buffer_init(&bytes);
    struct log_record *records = records_make(bench, &bytes, &count);
    bench_must(store_open_memory(&store, &err), &err);
    const struct join_setup setup = {.settings = &bench->config.ingest,
                                     .spec = &bench->config.data,
                                     .store = store,
                                     .emit = encode_only,
                                     .self = &sink};
    bench_must(join_new(&setup, &join, &err), &err);
    bench_must(
        decoder_new(&bench->config.ingest, &bench->config.data, &clock_system, &decoder, &err),
        &err);
    double begin = bench_seconds();
    for (size_t i = 0; i < count; i++) {
        memset(&result, 0, sizeof(result));
        bench_must(
            decoder_decode(decoder, records[i].slot, &records[i], event_join, join, &result, &err),
            &err);
    }
    bench_must(join_finish(join, &err), &err);
    double took = bench_seconds() - begin;
    printf("figure bench=join case=fold who=freshet value=%.0f unit=events/s record_bytes=%.0f "
           "examples=%llu example_bytes=%.0f seconds=%.2f\n",
           (double)count / took, (double)bytes.length / (double)count,
           (unsigned long long)sink.examples, (double)sink.bytes / (double)sink.examples, took);
    decoder_free(decoder);
    join_free(join);
    store_close(store);
    buffer_deinit(&sink.encoded);
    buffer_deinit(&bytes);
    memory_free(records);
}

static size_t argument(int count, char **arguments, int at, size_t otherwise, size_t most) {
    size_t value = at < count ? (size_t)strtoull(arguments[at], NULL, 10) : otherwise;
    if (value < 1 || value > most) {
        fprintf(stderr, "bench_join: `%s` is not 1 to %zu\n", arguments[at], most);
        exit(2);
    }
    return value;
}

static void kafka_open(struct bench *bench, const char *brokers) {
    static const char *const properties[] = {"linger.ms=20", NULL};
    const struct log_kafka_options options = {.brokers = brokers,
                                              .properties = properties,
                                              .replication_factor = 1,
                                              .timeout_ms = 30000,
                                              .client_id = "bench-join"};
    struct error err;
    bench_must(log_open_kafka(&options, &bench->log, &err), &err);
}

int main(int count, char **arguments) {
    struct bench bench = {.partitions = 1, .rounds = 1, .directory = "/tmp/bench-join-XXXXXX"};
    struct error err;
    const char *mode = count > 1 ? arguments[1] : "fold";
    bool kafka = strcmp(mode, "kafka") == 0 && count > 2;
    memory_keep();
    logger_setup(stderr, LOGGER_WARN, LOGGER_TEXT);
    if (mkdtemp(bench.directory) == NULL)
        bench_must(error_set(&err, STATUS_IO, "could not make a folder in /tmp"), &err);
    (void)snprintf(bench.prefix, sizeof(bench.prefix), "bench-%lld",
                   (long long)clock_system.wall_ms(&clock_system));
    join_config_init(&bench.config, WINDOW_MS, "512MiB", bench.prefix);
    bench.impressions = argument(count, arguments, kafka ? 3 : 2, 1000000, SIZE_MAX / 16);
    if (strcmp(mode, "fold") == 0) {
        run_fold(&bench);
    } else if (strcmp(mode, "memory") == 0) {
        bench_must(log_open_memory(&bench.log, &err), &err);
        run_runner(&bench, "memory");
    } else if (kafka) {
        bench.partitions = (int32_t)argument(count, arguments, 4, 2, PARTITIONS_MAX);
        bench.rounds = (int)argument(count, arguments, 5, 5, ROUNDS_MAX);
        kafka_open(&bench, arguments[2]);
        run_runner(&bench, "kafka");
    } else {
        fprintf(stderr, "usage: bench_join fold|memory [IMPRESSIONS]\n"
                        "       bench_join kafka BROKERS [IMPRESSIONS] [PARTITIONS] [ROUNDS]\n");
        return 2;
    }
    log_close(bench.log);
    join_config_deinit(&bench.config);
    bench_must(disk_remove_tree(bench.directory, &err), &err);
    return 0;
}
