// Topics that cannot be joined partition by partition are found out and named.
#include "decode_fixture.h"

#include "ingest/partitioning.h"
#include "log/partitioner.h"

static const char yaml[] =
    "data:\n  features: [{name: user_id}]\n  tasks: [{name: click, input: clicks}]\n"
    "ingest:\n  inputs:\n"
    "    - {name: impressions, topic: i, role: impression, schema: schemas/impression.avsc, "
    "time: event_time, key: [impression_id]}\n"
    "    - {name: clicks, topic: c, role: feedback, schema: schemas/click.avsc, "
    "time: event_time, key: [impression_id]}\n";

enum keyed { BY_IMPRESSION, BY_OTHER, BY_NOTHING };

// A topic of `count` records, placed by the partitioner (PARTITIONER_COUNT: by their number).
static void topic_fill(struct log *log, const char *topic, bool impressions, int32_t partitions,
                       int partitioner, enum keyed keyed, int count) {
    struct error err;
    struct log_writer *writer;
    struct buffer value;
    buffer_init(&value);
    assert_int_equal(log_topic_ensure(log, topic, partitions, &err), STATUS_OK);
    assert_int_equal(log_writer_open(log, "", &topic, 1, &writer, &err), STATUS_OK);
    for (int i = 0; i < count; i++) {
        char id[16], other[16];
        snprintf(id, sizeof(id), "p%d", i);
        snprintf(other, sizeof(other), "u%d", i / 3);
        const char *key = keyed == BY_IMPRESSION ? id : other;
        buffer_reset(&value);
        wire_put_string(&value, id);
        wire_put_long(&value, 1000);
        for (int j = 0; impressions && j < 3; j++)
            wire_put_string(&value, "x");
        for (int j = 0; impressions && j < 2; j++)
            wire_put_long(&value, 0);
        struct log_record record = {.timestamp_ms = 1000,
                                    .sequence = LOG_NO_SEQUENCE,
                                    .key = keyed == BY_NOTHING ? NULL : key,
                                    .key_length = keyed == BY_NOTHING ? 0 : strlen(key),
                                    .value = value.data,
                                    .value_length = value.length};
        int32_t partition =
            partitioner == PARTITIONER_COUNT
                ? i % partitions
                : partitioner_place((enum partitioner)partitioner, key, strlen(key), partitions);
        assert_int_equal(log_writer_append(writer, 0, partition, &record, &err), STATUS_OK);
    }
    assert_int_equal(log_writer_commit(writer, NULL, 0, &err), STATUS_OK);
    log_writer_close(writer);
    buffer_deinit(&value);
}

struct side {
    int32_t partitions;
    int partitioner;
    enum keyed keyed;
    int count;
};

static void check(struct side impressions, struct side clicks, const char *message) {
    static struct decode_fixture f;
    struct log *log;
    assert_int_equal(decode_start(&f, yaml), STATUS_OK);
    assert_int_equal(log_open_memory(&log, &f.err), STATUS_OK);
    topic_fill(log, "i", true, impressions.partitions, impressions.partitioner, impressions.keyed,
               impressions.count);
    topic_fill(log, "c", false, clicks.partitions, clicks.partitioner, clicks.keyed, clicks.count);
    enum status status = partitioning_check(log, &f.root.ingest, f.decoder, &f.err);
    assert_int_equal(status, message == NULL ? STATUS_OK : STATUS_INVALID);
    if (message != NULL && strstr(f.err.message, message) == NULL)
        fail_msg("%s", f.err.message);
    log_close(log);
    decode_stop(&f);
}

static const struct side good = {4, PARTITIONER_MURMUR2, BY_IMPRESSION, 200};

static void topics_that_are_alike_pass(void **state) {
    (void)state;
    check(good, good, NULL);
    for (int i = 0; i <= PARTITIONER_COUNT; i++)
        check((struct side){3, i, BY_IMPRESSION, 100}, (struct side){3, i, BY_IMPRESSION, 60},
              NULL);
}

static void other_counts_are_refused(void **state) {
    (void)state;
    check(good, (struct side){3, PARTITIONER_MURMUR2, BY_IMPRESSION, 0},
          "`i` and `c`: they have 4 and 3 partitions");
}

static void other_partitioners_are_refused_by_name(void **state) {
    (void)state;
    check(good, (struct side){4, PARTITIONER_CRC32, BY_IMPRESSION, 200},
          "murmur2 (Java) and crc32 (librdkafka)");
    check((struct side){4, PARTITIONER_FNV1A, BY_IMPRESSION, 200}, good,
          "fnv1a (Sarama) and murmur2 (Java)");
    check(good, (struct side){4, PARTITIONER_COUNT, BY_IMPRESSION, 200}, "none that is known");
}

static void other_keys_are_refused(void **state) {
    (void)state;
    check(good, (struct side){4, PARTITIONER_MURMUR2, BY_OTHER, 200},
          "`i` are keyed by the join key and those of `c` by something else");
    check(good, (struct side){4, PARTITIONER_COUNT, BY_NOTHING, 40},
          "`c`: it holds records without a key");
}

static void little_evidence_decides_nothing(void **state) {
    (void)state;
    check(good, (struct side){4, PARTITIONER_CRC32, BY_IMPRESSION, 0}, NULL);
    check(good, (struct side){4, PARTITIONER_CRC32, BY_IMPRESSION, 3}, NULL);
    check((struct side){1, PARTITIONER_COUNT, BY_IMPRESSION, 50},
          (struct side){1, PARTITIONER_COUNT, BY_OTHER, 50}, NULL);
}

static void murmur2_is_the_one_of_javas_client(void **state) {
    (void)state;
    // Apache Kafka's own check values (UtilsTest.testMurmur2).
    static const struct {
        const char *key;
        int32_t hash;
    } cases[] = {{"21", -973932308},
                 {"foobar", -790332482},
                 {"a-little-bit-long-string", -985981536},
                 {"a-little-bit-longer-string", -1486304829},
                 {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                 {"abc", 479470107}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal((int32_t)partitioner_murmur2(cases[i].key, strlen(cases[i].key)),
                         cases[i].hash);
    assert_int_equal(partitioner_place(PARTITIONER_CRC32, "123456789", 9, INT32_MAX),
                     UINT32_C(0xcbf43926) % INT32_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics_that_are_alike_pass),
        cmocka_unit_test(other_counts_are_refused),
        cmocka_unit_test(other_partitioners_are_refused_by_name),
        cmocka_unit_test(other_keys_are_refused),
        cmocka_unit_test(little_evidence_decides_nothing),
        cmocka_unit_test(murmur2_is_the_one_of_javas_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
