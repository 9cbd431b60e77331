// How many records a second the decoder takes, beside Avro C's generic reader in the same run.
//
//   bench_decode [RECORDS] [RUNS]
//
// Records are impressions of schemas/impression.avsc, about 150 bytes: key, time, user, item,
// domain, four categorical and two numeric features, all mapped. Avro C only reads them into its
// generic value; nothing is taken out of it. One thread; the median of the runs.
#include <avro.h>
#include <string.h>

#include "base/clock.h"
#include "base/disk.h"
#include "base/hash.h"
#include "base/rng.h"
#include "base/wire.h"
#include "ingest/decoder.h"
#include "tests/ingest/decode_root.h"

#define START_MS INT64_C(1650812741436)
#define RUNS_MAX 101

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
    "  tasks: [{name: click, path: event_time}]\n"
    "  domain: domain\n"
    "  user: user_id\n"
    "ingest:\n"
    "  join: none\n"
    "  inputs:\n"
    "    - {name: impressions, topic: i, role: impression, schema: schemas/impression.avsc,"
    " time: event_time, key: [impression_id]}\n";

struct bench {
    struct arena arena;
    struct decode_root root;
    struct decoder *decoder;
    struct buffer bytes;
    struct log_record *records;
    size_t count;
    uint64_t checksum; // so that no work can be left out
};

static void check(enum status status, const struct error *err) {
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "bench_decode: %s\n", err->message);
    exit(1);
}

static void pair_put(struct buffer *out, const char *key, unsigned value) {
    char text[32];
    wire_put_string(out, key);
    snprintf(text, sizeof(text), "value-%05u", value);
    wire_put_string(out, text);
}

static void record_put(struct buffer *out, struct rng *rng, size_t i) {
    static const char *const names[] = {"a", "b", "c", "d"};
    char text[64];
    snprintf(text, sizeof(text), "imp-%010zu", i);
    wire_put_string(out, text);
    wire_put_long(out, START_MS + (int64_t)i * 5);
    snprintf(text, sizeof(text), "user-%06u", (unsigned)rng_below(rng, 100000));
    wire_put_string(out, text);
    snprintf(text, sizeof(text), "item-%06u", (unsigned)rng_below(rng, 20000));
    wire_put_string(out, text);
    wire_put_string(out, "home");
    wire_put_long(out, 4);
    for (size_t j = 0; j < 4; j++)
        pair_put(out, names[j], (unsigned)rng_below(rng, 5000));
    wire_put_long(out, 0);
    wire_put_long(out, 2);
    for (int j = 0; j < 2; j++) {
        wire_put_string(out, j == 0 ? "e" : "f");
        wire_put_double(out, rng_normal(rng));
    }
    wire_put_long(out, 0);
}

static void records_make(struct bench *bench) {
    struct rng rng;
    rng_init(&rng, 1);
    buffer_init(&bench->bytes);
    bench->records = memory_new(bench->count, sizeof(*bench->records));
    REQUIRE(bench->records != NULL);
    for (size_t i = 0; i < bench->count; i++) {
        size_t from = bench->bytes.length;
        record_put(&bench->bytes, &rng, i);
        bench->records[i] = (struct log_record){.timestamp_ms = START_MS + (int64_t)i * 5,
                                                .value_length = bench->bytes.length - from};
    }
    REQUIRE(!bench->bytes.failed);
    const unsigned char *at = bench->bytes.data;
    for (size_t i = 0; i < bench->count; i++) {
        bench->records[i].value = at;
        at += bench->records[i].value_length;
    }
}

static enum status event_take(void *self, const struct event *event, struct error *err) {
    struct bench *bench = self;
    uint64_t id;
    (void)err;
    memcpy(&id, event->columns.ids, sizeof(id));
    bench->checksum += id + event->key_length;
    return STATUS_OK;
}

static double ours(struct bench *bench) {
    struct decoder_result result;
    struct error err;
    int64_t begin = clock_system.monotonic_us(&clock_system);
    for (size_t i = 0; i < bench->count; i++) {
        check(
            decoder_decode(bench->decoder, 0, &bench->records[i], event_take, bench, &result, &err),
            &err);
        REQUIRE(result.letter == EVENT_USED);
    }
    return (double)bench->count * 1e6 / (double)(clock_system.monotonic_us(&clock_system) - begin);
}

static double avro_c(struct bench *bench, avro_value_iface_t *class) {
    avro_value_t value;
    avro_reader_t reader = avro_reader_memory("", 0);
    REQUIRE(avro_generic_value_new(class, &value) == 0);
    int64_t begin = clock_system.monotonic_us(&clock_system);
    for (size_t i = 0; i < bench->count; i++) {
        const struct log_record *record = &bench->records[i];
        avro_reader_memory_set_source(reader, record->value, (int64_t)record->value_length);
        REQUIRE(avro_value_reset(&value) == 0);
        REQUIRE(avro_value_read(reader, &value) == 0);
    }
    double rate =
        (double)bench->count * 1e6 / (double)(clock_system.monotonic_us(&clock_system) - begin);
    avro_reader_free(reader);
    avro_value_decref(&value);
    return rate;
}

static int rate_compare(const void *left, const void *right) {
    const double *a = left;
    const double *b = right;
    return *a < *b ? -1 : *a > *b;
}

int main(int argc, char **argv) {
    static struct bench bench;
    struct error err;
    struct buffer schema;
    avro_schema_t parsed;
    double rates[2][RUNS_MAX];
    bench.count = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
    size_t runs = argc > 2 ? strtoul(argv[2], NULL, 10) : 5;
    if (bench.count == 0 || runs == 0 || runs > RUNS_MAX) {
        fprintf(stderr, "usage: bench_decode [RECORDS] [RUNS, 1 to %d]\n", RUNS_MAX);
        return 2;
    }
    arena_init(&bench.arena, 4096);
    check(decode_root_parse("bench", yaml, &bench.arena, &bench.root, &err), &err);
    check(decoder_new(&bench.root.ingest, &bench.root.data, &clock_system, &bench.decoder, &err),
          &err);
    records_make(&bench);
    buffer_init(&schema);
    check(disk_read_all("schemas/impression.avsc", &schema, &err), &err);
    REQUIRE(avro_schema_from_json_length((char *)schema.data, schema.length, &parsed) == 0);
    avro_value_iface_t *class = avro_generic_class_from_schema(parsed);
    for (size_t i = 0; i < runs; i++) {
        rates[0][i] = ours(&bench);
        rates[1][i] = avro_c(&bench, class);
    }
    for (int i = 0; i < 2; i++)
        qsort(rates[i], runs, sizeof(double), rate_compare);
    for (int i = 0; i < 2; i++)
        printf("figure bench=decode case=avro who=%s value=%.0f unit=records/s records=%zu "
               "bytes_each=%.0f checksum=%016llx\n",
               i == 0 ? "freshet" : "avro-c", rates[i][runs / 2], bench.count,
               (double)bench.bytes.length / (double)bench.count,
               (unsigned long long)bench.checksum);
    avro_value_iface_decref(class);
    avro_schema_decref(parsed);
    buffer_deinit(&schema);
    buffer_deinit(&bench.bytes);
    memory_free(bench.records);
    decoder_free(bench.decoder);
    arena_deinit(&bench.arena);
    return 0;
}
