// The sections `data` and `ingest` of the shipped configurations read what is loaded and simulated.
#include "../ingest/decode_fixture.h"

#include "simulate/kuairand.h"
#include "simulate/simulate.h"

// The two sections of a shipped file, without the others.
static void sections_read(struct decode_fixture *f, const char *path, struct buffer *into) {
    struct buffer text;
    bool wanted = false;
    buffer_init(&text);
    assert_int_equal(disk_read_all(path, &text, &f->err), STATUS_OK);
    for (size_t at = 0; at < text.length;) {
        const char *line = (const char *)text.data + at;
        const char *end = memchr(line, '\n', text.length - at);
        size_t length = end == NULL ? text.length - at : (size_t)(end - line) + 1;
        if (line[0] != ' ' && line[0] != '#' && line[0] != '\n')
            wanted = strncmp(line, "data:", 5) == 0 || strncmp(line, "ingest:", 7) == 0;
        if (wanted)
            buffer_append(into, line, length);
        at += length;
    }
    buffer_append_byte(into, 0);
    assert_false(into->failed);
    buffer_deinit(&text);
}

// Decodes a topic's records to the ends; returns the events, all of which must be usable or
// counted.
static uint64_t topic_decode(struct decode_fixture *f, struct log *log, uint32_t input,
                             uint64_t dropped[EVENT_DROPS]) {
    struct log_position position = {ingest_input_at(&f->root.ingest, input)->topic, 0, 0};
    struct log_reader *reader;
    struct log_batch batch;
    uint64_t events = 0;
    bool end = false;
    assert_int_equal(log_reader_open(log, &position, 1, &reader, &f->err), STATUS_OK);
    while (!end) {
        assert_int_equal(log_reader_poll(reader, 1000, 1000, &batch, &f->err), STATUS_OK);
        for (size_t i = 0; i < batch.count; i++) {
            f->count = 0;
            assert_int_equal(decoder_decode(f->decoder, input, &batch.records[i], decode_see, f,
                                            &f->result, &f->err),
                             STATUS_OK);
            events += f->count;
            for (int drop = 0; drop < EVENT_DROPS; drop++)
                dropped[drop] += f->result.dropped[drop];
            end |= batch.records[i].end_of_stream;
        }
    }
    log_reader_close(reader);
    return events;
}

static void kuairand_is_read_by_its_configuration(void **state) {
    (void)state;
    struct decode_fixture f;
    struct kuairand_settings settings = {.directory = "../shared/data/kuairand",
                                         .impressions = "impressions",
                                         .clicks = "clicks",
                                         .conversions = "conversions",
                                         .partitions = 1,
                                         .rows_max = 5000,
                                         .finish = true};
    struct kuairand_account account;
    struct log *log;
    struct buffer yaml;
    uint64_t dropped[EVENT_DROPS] = {0};
    buffer_init(&yaml);
    sections_read(&f, "config/kuairand.yaml", &yaml);
    assert_int_equal(decode_start(&f, (const char *)yaml.data), STATUS_OK);
    assert_int_equal(f.root.data.features.count, 33);
    if (disk_exists(settings.directory)) {
        assert_int_equal(log_open_memory(&log, &f.err), STATUS_OK);
        assert_int_equal(kuairand_load(log, &settings, NULL, NULL, NULL, &account, &f.err),
                         STATUS_OK);
        assert_int_equal(account.rows_read, 5000);
        assert_int_equal(topic_decode(&f, log, 0, dropped), account.impressions);
        for (size_t i = 0; i < 3; i++)
            assert_true(seen_id(&f.seen[0], i) != 0);
        assert_int_equal(topic_decode(&f, log, 1, dropped), account.clicks);
        assert_int_equal(topic_decode(&f, log, 2, dropped), account.long_views + account.likes);
        for (int drop = 0; drop < EVENT_DROPS; drop++)
            assert_int_equal(dropped[drop], 0);
        log_close(log);
    }
    buffer_deinit(&yaml);
    decode_stop(&f);
}

static void simulated_events_are_read_by_their_configuration_and_dirt_is_counted(void **state) {
    (void)state;
    struct decode_fixture f;
    struct simulate_settings settings;
    struct simulate_account account;
    struct log *log;
    struct buffer yaml;
    static const char dirt[] = "{count: 3000, orphans: 0.03, undecodable: 0.02, "
                               "invalid_number: 0.02, far_future: 0.01}";
    uint64_t dropped[EVENT_DROPS] = {0};
    buffer_init(&yaml);
    sections_read(&f, "config/simulated.yaml", &yaml);
    assert_int_equal(decode_start(&f, (const char *)yaml.data), STATUS_OK);
    memset(&settings, 0, sizeof(settings));
    assert_int_equal(
        config_parse("test", dirt, strlen(dirt), &simulate_options, &settings, &f.arena, &f.err),
        STATUS_OK);
    assert_int_equal(log_open_memory(&log, &f.err), STATUS_OK);
    assert_int_equal(simulate_run(log, &settings, NULL, NULL, NULL, &account, &f.err), STATUS_OK);
    assert_int_equal(topic_decode(&f, log, 0, dropped), account.impressions);
    assert_int_equal(topic_decode(&f, log, 1, dropped), account.clicks + account.orphans);
    assert_int_equal(topic_decode(&f, log, 2, dropped), account.conversions);
    for (int drop = 0; drop < EVENT_DROPS; drop++)
        assert_int_equal(dropped[drop], drop == EVENT_UNDECODABLE      ? account.undecodable
                                        : drop == EVENT_INVALID_NUMBER ? account.invalid_number
                                        : drop == EVENT_INVALID_TIME   ? account.far_future
                                                                       : 0);
    log_close(log);
    buffer_deinit(&yaml);
    decode_stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kuairand_is_read_by_its_configuration),
        cmocka_unit_test(simulated_events_are_read_by_their_configuration_and_dirt_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
