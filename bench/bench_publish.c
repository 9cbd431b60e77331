// How many rows a second the publisher brings from a weights log (in memory) into a real Redis, and
// how many bytes they take there; beside it, in the same run, the plain way: one pipelined SET a
// row.
//
//   bench_publish PORT [ROWS] [WIDTH] [BUCKET_BITS]        Redis on 127.0.0.1:PORT is FLUSHED
//
// Version 1 sends all rows (and a slice of 1/16 whole), version 2 a tenth of them and the next
// slice. Rows counted are those that changed plus those of the slice, all of which are written.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "base/rng.h"
#include "publisher/publisher.h"
#include "record/weights.h"

enum { SLICE_BITS = 4, ROWS_A_RECORD = 4000, PIPELINE = 1000 };

static struct error err;
static struct log *log_;
static struct log_writer *writer;
static redisContext *redis;
static size_t rows, width;

static void must(enum status status) {
    if (status != STATUS_OK) {
        fprintf(stderr, "bench_publish: %s\n", err.message);
        exit(1);
    }
}

static double now_s(void) {
    return (double)clock_system.monotonic_us(&clock_system) / 1e6;
}

static redisReply *ask(const char *command) {
    redisReply *reply = redisCommand(redis, command);
    REQUIRE(reply && reply->type != REDIS_REPLY_ERROR);
    return reply;
}

static double used_bytes(void) {
    redisReply *reply = ask("INFO memory");
    const char *field = strstr(reply->str, "used_memory:");
    double bytes = field ? strtod(field + strlen("used_memory:"), NULL) : 0;
    freeReplyObject(reply);
    return bytes;
}

static void append(struct weights weights, uint64_t version) {
    struct buffer bytes;
    buffer_init(&bytes);
    weights.lineage = 1;
    weights.version = version;
    weights_encode(&weights, &bytes);
    struct log_record record = {
        .value = bytes.data, .value_length = bytes.length, .sequence = LOG_NO_SEQUENCE};
    must(log_writer_append(writer, 0, 0, &record, &err));
    buffer_deinit(&bytes);
}

// Rows whose number is a multiple of `step`, or those of the slice; returns how many.
static size_t append_rows(uint64_t version, size_t step, bool whole) {
    uint64_t *ids = memory_new(ROWS_A_RECORD, sizeof *ids);
    float *values = memory_new(ROWS_A_RECORD * width, sizeof *values);
    uint32_t count = 0;
    size_t all = 0;
    struct rng rng;
    REQUIRE(ids && values);
    rng_init(&rng, version);
    for (size_t i = 0; i <= rows; i++) {
        uint64_t id = hash_mix(i + 1);
        bool taken =
            i < rows && (whole ? hash_mix(id) >> (64 - SLICE_BITS) == version - 1 : i % step == 0);
        if (taken) {
            ids[count] = id;
            for (size_t k = 0; k < width; k++)
                values[count * width + k] = (float)rng_uniform(&rng);
            count++;
        }
        if (count == ROWS_A_RECORD || (i == rows && count > 0)) {
            append((struct weights){.kind = WEIGHTS_ROWS,
                                    .dimension = (uint32_t)width,
                                    .count = count,
                                    .whole = whole,
                                    .ids = (const unsigned char *)ids,
                                    .values = (const unsigned char *)values},
                   version);
            all += count;
            count = 0;
        }
    }
    memory_free(ids);
    memory_free(values);
    return all;
}

static size_t append_version(uint64_t version, size_t step) {
    static const float tensor[1] = {1};
    append((struct weights){.kind = WEIGHTS_OPEN,
                            .spec = "{}",
                            .spec_length = 2,
                            .measures = "{}",
                            .measures_length = 2},
           version);
    size_t written = append_rows(version, step, false);
    append((struct weights){.kind = WEIGHTS_TENSOR,
                            .name = "t",
                            .name_length = 1,
                            .rows = 1,
                            .columns = 1,
                            .data = (const unsigned char *)tensor},
           version);
    written += append_rows(version, step, true);
    append((struct weights){.kind = WEIGHTS_SLICE,
                            .slice = (uint32_t)version - 1,
                            .slice_bits = SLICE_BITS},
           version);
    append((struct weights){.kind = WEIGHTS_COMMIT}, version);
    must(log_writer_commit(writer, NULL, 0, &err));
    return written;
}

static void run_until(struct runner *runner, const char *version) {
    for (;;) {
        redisReply *reply = ask("GET bench:{m}:state");
        bool there = reply->type == REDIS_REPLY_STRING && strstr(reply->str, version) != NULL;
        freeReplyObject(reply);
        if (there)
            return;
        must(runner_step(runner, 10, &err));
    }
}

static void report(const char *what, size_t count, double seconds, double bytes) {
    printf("figure bench=publish %s value=%.0f unit=rows/s rows=%zu seconds=%.2f\n", what,
           (double)count / seconds, count, seconds);
    if (bytes > 0)
        printf("figure bench=publish %s value=%.1f unit=bytes/row\n", what, bytes / (double)rows);
}

static void bench_publisher(int port, int bucket_bits) {
    struct publisher_settings settings = {.redis = {.host = "127.0.0.1",
                                                    .port = port,
                                                    .socket = "",
                                                    .user = "",
                                                    .password = "",
                                                    .timeout_ms = 30000},
                                          .bucket_bits = bucket_bits,
                                          .runner = {.commit_interval_ms = 50,
                                                     .checkpoint_interval_ms = 1000000,
                                                     .checkpoints_kept = 1,
                                                     .tick_interval_ms = 1000,
                                                     .batch_records = 8,
                                                     .stop_timeout_ms = 1000}};
    struct publisher_setup setup = {.settings = &settings,
                                    .name = "bench",
                                    .weights = "weights",
                                    .log = log_,
                                    .clock = &clock_system};
    struct publisher *publisher;
    struct runner *runner;
    static const struct stage_input input = {"weights", 0};
    must(publisher_new(&setup, &publisher, &err));
    struct runner_setup run = {.task = "bench.publisher",
                               .directory = "build/bench-publish",
                               .operations = &publisher_operations,
                               .state = publisher,
                               .log = log_,
                               .inputs = &input,
                               .input_count = 1,
                               .settings = settings.runner,
                               .build = "bench",
                               .clock = &clock_system};
    size_t first = append_version(1, 1);
    double before = used_bytes();
    must(runner_open(&run, &runner, &err));
    double start = now_s();
    run_until(runner, " 1 0 ");
    report("case=all who=freshet", first, now_s() - start, used_bytes() - before);
    size_t second = append_version(2, 10);
    start = now_s();
    run_until(runner, " 2 1 ");
    report("case=tenth-and-slice who=freshet", second, now_s() - start, 0);
    runner_close(runner);
    publisher_free(publisher);
    must(disk_remove_tree("build/bench-publish", &err));
}

static void bench_plain(void) {
    float *value = memory_new(width, sizeof *value);
    REQUIRE(value);
    double before = used_bytes(), start = now_s();
    for (size_t i = 0; i < rows; i++) {
        REQUIRE(redisAppendCommand(redis, "SET bench:0:%llu %b",
                                   (unsigned long long)hash_mix(i + 1), value,
                                   width * sizeof *value) == REDIS_OK);
        for (size_t k = 0; (i % PIPELINE == PIPELINE - 1 || i == rows - 1) && k <= i % PIPELINE;
             k++) {
            void *reply;
            REQUIRE(redisGetReply(redis, &reply) == REDIS_OK);
            freeReplyObject(reply);
        }
    }
    report("case=all who=a-key-a-row", rows, now_s() - start, used_bytes() - before);
    memory_free(value);
}

int main(int count, char **arguments) {
    if (count < 2) {
        fprintf(stderr, "usage: bench_publish PORT [ROWS] [WIDTH] [BUCKET_BITS]\n");
        return 2;
    }
    int port = (int)strtol(arguments[1], NULL, 10);
    rows = count > 2 ? strtoull(arguments[2], NULL, 10) : 300000;
    width = count > 3 ? strtoull(arguments[3], NULL, 10) : 16;
    int bucket_bits = count > 4 ? (int)strtol(arguments[4], NULL, 10) : 12;
    logger_setup(stderr, LOGGER_WARN, LOGGER_TEXT);
    redis = redisConnect("127.0.0.1", port);
    REQUIRE(redis && !redis->err);
    freeReplyObject(ask("FLUSHALL"));
    must(log_open_memory(&log_, &err));
    must(log_topic_ensure(log_, "weights", 1, &err));
    must(log_writer_open(log_, "", (const char *[]){"weights"}, 1, &writer, &err));
    bench_publisher(port, bucket_bits);
    freeReplyObject(ask("FLUSHALL"));
    bench_plain();
    freeReplyObject(ask("FLUSHALL"));
    log_writer_close(writer);
    log_close(log_);
    redisFree(redis);
    return 0;
}
