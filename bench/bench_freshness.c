// From an event's acceptance by Kafka to its row in Redis: the whole pipeline as its users run it
// (`freshet run`), labels at once, at half of the load that it can take.
//
//   bench_freshness BROKERS REDIS_PORT FRESHET DIRECTORY [SECONDS] [BACKLOG]
//
// First BACKLOG events are there already: how fast they are learnt and published is the full load.
// Then events come at half of it for SECONDS. An event is visible when the manifest names a version
// that contains it; since there is one partition and time in it never goes back, that is the first
// whose accepted_ms lies behind the event's. Twice a second a user never seen before is among them,
// and his row must be there at that moment. The clock of an event starts when it is handed to the
// producer, so its way to the broker counts as well.
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hiredis/hiredis.h>
#include <jansson.h>

#include "base/logger.h"
#include "base/rng.h"
#include "base/wire.h"
#include "log/log.h"
#include "record/redis_layout.h"
#include "record/spec.h"

enum {
    EVENTS_MAX = 20000000,
    VERSIONS_MAX = 100000,
    PROBES_MAX = 10000,
    BUCKET_BITS = 13, // as in bench/freshness.yaml
    BATCH_ROWS = 256, // likewise: up to so many wait for a later event
    WARM_UP_S = 3,
    PATIENCE_S = 60
};
#define NAME "freshness"

struct seen {
    int64_t accepted_ms, at_ms;
};

static struct error err;
static int64_t *accepted_ms; // [EVENTS_MAX] of each event
static size_t event_count;
static struct seen *versions; // [VERSIONS_MAX] written by the watcher
static atomic_size_t version_count;
static int64_t probes[PROBES_MAX]; // when each was accepted
static atomic_size_t probe_count;
static size_t probes_checked, probes_missing; // the watcher's
static atomic_bool stop;
static int redis_port;
static pid_t child;

static void fail(const char *reason) {
    fprintf(stderr, "bench_freshness: %s\n", reason);
    if (child > 0)
        (void)kill(child, SIGKILL);
    exit(1);
}

static void must(enum status status) {
    if (status != STATUS_OK)
        fail(err.message);
}

static int64_t now_ms(void) {
    return clock_system.wall_ms(&clock_system);
}

// ---- events -------------------------------------------------------------------------------------

static void put_pair(struct buffer *out, const char *key, const char *kind, uint64_t value) {
    char text[40];
    snprintf(text, sizeof text, "%s-%llu", kind, (unsigned long long)value);
    if (key)
        wire_put_string(out, key);
    wire_put_string(out, text);
}

static void put_number(struct buffer *out, const char *key, double value) {
    wire_put_string(out, key);
    wire_put_double(out, value);
}

// A record of schemas/impression.avsc; ids are log-uniform, as users and items are.
static void put_event(struct buffer *out, size_t number, bool probe, int64_t time_ms,
                      struct rng *rng) {
    static const char *const fields[] = {"a", "b", "c", "d"};
    buffer_reset(out);
    put_pair(out, NULL, "imp", number);
    wire_put_long(out, time_ms);
    put_pair(out, NULL, probe ? "probe" : "user",
             probe ? atomic_load(&probe_count) : (uint64_t)exp(rng_uniform(rng) * log(1e6)));
    put_pair(out, NULL, "item", (uint64_t)exp(rng_uniform(rng) * log(1e5)));
    wire_put_string(out, "home");
    wire_put_long(out, 4);
    for (size_t i = 0; i < 4; i++)
        put_pair(out, fields[i], "value", rng_below(rng, 1000));
    wire_put_long(out, 0);
    wire_put_long(out, 3);
    put_number(out, "e", rng_normal(rng));
    put_number(out, "click", rng_uniform(rng) < .2);
    put_number(out, "buy", rng_uniform(rng) < .05);
    wire_put_long(out, 0);
}

static void send_events(struct log_writer *writer, size_t count, bool probe, struct rng *rng) {
    static struct buffer bytes;
    for (size_t i = 0; i < count; i++) {
        bool is_probe = probe && i == 0;
        int64_t time_ms = now_ms();
        if (event_count == EVENTS_MAX)
            fail("more events than there is room for");
        put_event(&bytes, event_count, is_probe, time_ms, rng);
        struct log_record record = {.timestamp_ms = time_ms,
                                    .sequence = LOG_NO_SEQUENCE,
                                    .value = bytes.data,
                                    .value_length = bytes.length};
        must(log_writer_append(writer, 0, 0, &record, &err));
        accepted_ms[event_count++] = time_ms;
        if (is_probe) {
            probes[atomic_load(&probe_count)] = time_ms;
            atomic_fetch_add(&probe_count, 1);
        }
    }
    must(log_writer_commit(writer, NULL, 0, &err));
}

// ---- what Redis shows ---------------------------------------------------------------------------

static bool probe_there(redisContext *redis, size_t probe) {
    char key[REDIS_LAYOUT_KEY_MAX], text[32];
    unsigned char field[REDIS_LAYOUT_FIELD_MAX];
    int length = snprintf(text, sizeof text, "probe-%zu", probe);
    uint64_t id = spec_id("user_id", text, (size_t)length);
    uint32_t bucket = redis_layout_bucket(id, BUCKET_BITS);
    redis_layout_bucket_key(key, NAME, redis_layout_group(bucket, BUCKET_BITS), bucket);
    redisReply *reply = redisCommand(redis, "HEXISTS %s %b", key, field,
                                     redis_layout_field(field, 0, id, BUCKET_BITS));
    bool there = reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
    freeReplyObject(reply);
    return there;
}

static void note_version(redisContext *redis) {
    redisReply *reply = redisCommand(redis, "GET %s:{m}:manifest", NAME);
    int64_t at_ms = now_ms();
    if (!reply || reply->type != REDIS_REPLY_STRING)
        fail("the manifest is gone");
    json_t *manifest = json_loadb(reply->str, (size_t)reply->len, 0, NULL);
    struct seen seen = {json_integer_value(json_object_get(manifest, "accepted_ms")), at_ms};
    json_decref(manifest);
    freeReplyObject(reply);
    size_t count = atomic_load(&version_count);
    if (count == VERSIONS_MAX)
        fail("more versions than there is room for");
    versions[count] = seen;
    atomic_store(&version_count, count + 1);
    while (probes_checked < atomic_load(&probe_count) && probes[probes_checked] < seen.accepted_ms)
        probes_missing += !probe_there(redis, probes_checked++);
}

static void *watch(void *unused) {
    struct timeval patience = {.tv_usec = 100000};
    redisContext *announced = redisConnect("127.0.0.1", redis_port);
    redisContext *redis = redisConnect("127.0.0.1", redis_port);
    (void)unused;
    REQUIRE(announced && !announced->err && redis && !redis->err);
    freeReplyObject(redisCommand(announced, "SUBSCRIBE %s:versions", NAME));
    REQUIRE(redisSetTimeout(announced, patience) == REDIS_OK);
    while (!atomic_load(&stop)) {
        void *message = NULL;
        if (redisGetReply(announced, &message) == REDIS_OK) {
            freeReplyObject(message);
            note_version(redis);
        } else if (announced->err == REDIS_ERR_IO) {
            announced->err = 0; // nothing came within the patience
        } else {
            fail("Redis closed the connection");
        }
    }
    redisFree(announced);
    redisFree(redis);
    return NULL;
}

// Until a version contains the event.
static void await_event(size_t event) {
    int64_t end_ms = now_ms() + PATIENCE_S * INT64_C(1000);
    for (;;) {
        size_t count = atomic_load(&version_count);
        if (count > 0 && versions[count - 1].accepted_ms >= accepted_ms[event])
            return;
        if (waitpid(child, NULL, WNOHANG) == child) {
            child = 0;
            fail("freshet ended; see freshet.log in its folder");
        }
        if (now_ms() > end_ms)
            fail("no version has shown the newest events within a minute");
        clock_system.sleep_ms(&clock_system, 5);
    }
}

// ---- figures ------------------------------------------------------------------------------------

// Events a second while the backlog was learnt.
static double full_load(void) {
    size_t count = atomic_load(&version_count), first = 0, learnt = 0;
    // The first version waited for the tasks to start; what came between it and the last counts.
    while (learnt < event_count && accepted_ms[learnt] < versions[first].accepted_ms)
        learnt++;
    double seconds = (double)(versions[count - 1].at_ms - versions[first].at_ms) / 1000;
    return seconds > 0 ? (double)(event_count - learnt) / seconds : 0;
}

static int compare(const void *left, const void *right) {
    const double *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

static void report(size_t first, double rate, double load, double seconds) {
    size_t at = 0, count = atomic_load(&version_count), measured = 0, while_measured = 0;
    double *ages = memory_new(event_count - first + 1, sizeof *ages);
    REQUIRE(ages);
    for (size_t i = 0; i < count; i++)
        while_measured += versions[i].at_ms >= accepted_ms[first];
    for (size_t i = first; i < event_count; i++) {
        while (at < count && versions[at].accepted_ms <= accepted_ms[i])
            at++;
        if (at == count)
            break; // the last few: no version behind them any more
        ages[measured++] = (double)(versions[at].at_ms - accepted_ms[i]) / 1000;
    }
    if (measured == 0 || accepted_ms[event_count - 1] - accepted_ms[first + measured - 1] > 1000)
        fail("the pipeline fell behind");
    qsort(ages, measured, sizeof *ages, compare);
    static const struct {
        const char *name;
        double part;
    } cases[] = {{"p50", .5}, {"p99", .99}, {"longest", 1}};
    for (size_t i = 0; i < 3; i++)
        printf("figure bench=freshness case=%s who=freshet value=%.3f unit=s events_per_s=%.0f "
               "full_load_per_s=%.0f events=%zu versions_per_s=%.1f probes=%zu\n",
               cases[i].name, ages[(size_t)(cases[i].part * (double)(measured - 1))], rate, load,
               measured, (double)while_measured / seconds, probes_checked);
    memory_free(ages);
    if (probes_missing > 0 || probes_checked == 0)
        fail("a version was named whose row was not there");
}

static void start_freshet(const char *freshet, const char *brokers, const char *directory) {
    char port[16], log_path[4096];
    snprintf(port, sizeof port, "%d", redis_port);
    snprintf(log_path, sizeof log_path, "%s/freshet.log", directory);
    child = fork();
    REQUIRE(child >= 0);
    if (child > 0)
        return;
    (void)setenv("FRESHET_BROKERS", brokers, 1);
    (void)setenv("FRESHET_REDIS_PORT", port, 1);
    (void)setenv("FRESHET_DIRECTORY", directory, 1);
    if (freopen(log_path, "w", stdout) && freopen(log_path, "a", stderr))
        (void)execl(freshet, freshet, "run", "bench/freshness.yaml", (char *)NULL);
    _exit(127);
}

static void keep_rate(struct log_writer *writer, double rate, double seconds, struct rng *rng) {
    int64_t begin_us = clock_system.monotonic_us(&clock_system), probed_us = begin_us;
    double passed = 0;
    for (size_t sent = 0; passed < seconds; clock_system.sleep_ms(&clock_system, 2)) {
        int64_t us = clock_system.monotonic_us(&clock_system);
        passed = (double)(us - begin_us) / 1e6;
        size_t due = (size_t)(passed * rate) - sent;
        bool probe = due > 0 && us - probed_us >= 500000 && atomic_load(&probe_count) < PROBES_MAX;
        if (probe)
            probed_us = us;
        if (due > 0)
            send_events(writer, due, probe, rng);
        sent += due;
    }
}

int main(int count, char **arguments) {
    if (count < 5) {
        fprintf(stderr, "usage: bench_freshness BROKERS REDIS_PORT FRESHET DIRECTORY [SECONDS] "
                        "[BACKLOG]\n");
        return 2;
    }
    double seconds = count > 5 ? strtod(arguments[5], NULL) : 20;
    size_t backlog = count > 6 ? strtoull(arguments[6], NULL, 10) : 200000;
    static const char *const properties[] = {"linger.ms=0", NULL};
    static const char *const topics[] = {"impressions"};
    const struct log_kafka_options options = {.brokers = arguments[1],
                                              .properties = properties,
                                              .replication_factor = 1,
                                              .timeout_ms = 30000,
                                              .client_id = "bench-freshness"};
    struct log *log;
    struct log_writer *writer;
    struct rng rng;
    pthread_t watcher;
    logger_setup(stderr, LOGGER_WARN, LOGGER_TEXT);
    rng_init(&rng, 1);
    redis_port = (int)strtol(arguments[2], NULL, 10);
    accepted_ms = memory_new(EVENTS_MAX, sizeof *accepted_ms);
    versions = memory_new(VERSIONS_MAX, sizeof *versions);
    REQUIRE(accepted_ms && versions);
    must(log_open_kafka(&options, &log, &err));
    must(log_topic_ensure(log, topics[0], 1, &err));
    must(log_writer_open(log, "", topics, 1, &writer, &err));
    for (size_t sent = 0; sent <= backlog; sent += 1000)
        send_events(writer, 1000, false, &rng);
    REQUIRE(pthread_create(&watcher, NULL, watch, NULL) == 0);
    start_freshet(arguments[3], arguments[1], arguments[4]);
    await_event(event_count - 1 - BATCH_ROWS);
    double load = full_load(), rate = load > 0 ? load / 2 : 1000;
    keep_rate(writer, rate, WARM_UP_S, &rng);
    size_t first = event_count;
    keep_rate(writer, rate, seconds, &rng);
    await_event(event_count - 1 - BATCH_ROWS);
    atomic_store(&stop, true);
    REQUIRE(pthread_join(watcher, NULL) == 0);
    REQUIRE(kill(child, SIGTERM) == 0 && waitpid(child, NULL, 0) == child);
    child = 0;
    report(first, rate, load, seconds);
    log_writer_close(writer);
    log_close(log);
    memory_free(accepted_ms);
    memory_free(versions);
    return 0;
}
