// Loading KuaiRand's files: feedback, order, duplicates, and what a bad file gets.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/wire.h"
#include "config/config.h"
#include "simulate/kuairand.h"
#include "simulate/kuairand_table.h"

#define LOG_HEADER "user_id,video_id,time_ms,is_click,is_like,long_view,play_time_ms,tab\n"
static const char user_header[] =
    "user_id,user_active_degree,is_live_streamer,is_video_author,follow_user_num,"
    "follow_user_num_range,fans_user_num_range,friend_user_num_range,register_days,"
    "register_days_range,onehot_feat0,onehot_feat1,onehot_feat2,onehot_feat3,onehot_feat4,"
    "onehot_feat5,onehot_feat6,onehot_feat7,onehot_feat8,onehot_feat9,onehot_feat10,"
    "onehot_feat11,onehot_feat12,onehot_feat13,onehot_feat14,onehot_feat15,onehot_feat16,"
    "onehot_feat17\n";
static const char user_row[] = "7,full_active,0,1,5,\"(4,10]\",x,y,800,730+,1,2.0,,4,5,6,7,8,9,10,"
                               "11,12,13,14,15,16,17,18\n";
static const char video_header[] =
    "video_id,author_id,video_type,upload_dt,upload_type,music_id,music_type,tag,video_duration\n";

struct fixture {
    char directory[64];
    struct log *log;
    struct arena arena;
    struct kuairand_settings settings;
    struct kuairand_account account;
    struct error err;
};

static void file_write(struct fixture *f, const char *name, const char *first, const char *second) {
    char path[128], text[4096];
    snprintf(path, sizeof(path), "%s/%s", f->directory, name);
    snprintf(text, sizeof(text), "%s%s", first, second);
    assert_int_equal(disk_replace_all(path, text, strlen(text), &f->err), STATUS_OK);
}

static void start(struct fixture *f, const char *log_rows) {
    memset(f, 0, sizeof(*f));
    snprintf(f->directory, sizeof(f->directory), "/tmp/freshet-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    assert_int_equal(log_open_memory(&f->log, &f->err), STATUS_OK);
    arena_init(&f->arena, 4096);
    assert_int_equal(config_parse("test", "partitions: 2", 13, &kuairand_options, &f->settings,
                                  &f->arena, &f->err),
                     STATUS_OK);
    f->settings.directory = f->directory;
    file_write(f, "log_standard_x.csv", LOG_HEADER, log_rows);
    file_write(f, "user_features_x.csv", user_header, user_row);
    file_write(f, "video_features_basic_x.csv", video_header,
               "9,3,NORMAL,2022-04-10,Web,5,9.0,"
               "\"20,43\",87433.0\n");
}

static void stop(struct fixture *f) {
    log_close(f->log);
    arena_deinit(&f->arena);
    assert_int_equal(disk_remove_tree(f->directory, &f->err), STATUS_OK);
}

static enum status load(struct fixture *f) {
    return kuairand_load(f->log, &f->settings, NULL, NULL, NULL, &f->account, &f->err);
}

// Reads a topic whole; checks its order; returns its records without end marks.
static size_t topic_read(struct fixture *f, const char *topic, struct log_record *records,
                         struct arena *arena) {
    struct log_position positions[2] = {{topic, 0, 0}, {topic, 1, 0}};
    struct log_reader *reader;
    struct log_batch batch;
    int64_t newest[2] = {0, 0};
    size_t count = 0;
    size_t ends = 0;
    assert_int_equal(log_reader_open(f->log, positions, 2, &reader, &f->err), STATUS_OK);
    while (ends < 2) {
        assert_int_equal(log_reader_poll(reader, 100, 1000, &batch, &f->err), STATUS_OK);
        for (size_t i = 0; i < batch.count; i++) {
            const struct log_record *record = &batch.records[i];
            assert_true(record->timestamp_ms >= newest[record->slot]);
            newest[record->slot] = record->timestamp_ms;
            ends += record->end_of_stream;
            if (record->end_of_stream)
                continue;
            records[count] = *record;
            records[count].key = arena_copy_string(arena, record->key, record->key_length);
            records[count].value = arena_copy_string(arena, record->value, record->value_length);
            count++;
        }
    }
    log_reader_close(reader);
    return count;
}

static void a_row_becomes_an_impression_and_its_feedback_at_their_times(void **state) {
    (void)state;
    struct fixture f;
    struct log_record records[16];
    start(&f, "7,9,1650812741436,1,1,1,61802,1\n"
              "8,4,1650812741400,0,0,0,-5,2\n"); // not in order; no features
    assert_int_equal(load(&f), STATUS_OK);
    assert_int_equal(f.account.rows_read, 2);
    assert_int_equal(f.account.impressions, 2);
    assert_int_equal(f.account.clicks, 1);
    assert_int_equal(f.account.long_views, 1);
    assert_int_equal(f.account.likes, 1);
    assert_int_equal(f.account.events, 5);
    assert_int_equal(f.account.rows_without_user, 1);
    assert_int_equal(f.account.rows_without_video, 1);
    assert_int_equal(topic_read(&f, "impressions", records, &f.arena), 2);
    assert_int_equal(topic_read(&f, "clicks", records, &f.arena), 1);
    assert_string_equal(records[0].key, "7-9-1650812741436");
    int64_t delay_ms = records[0].timestamp_ms - INT64_C(1650812741436);
    assert_true(delay_ms >= 1000 && delay_ms <= 10000);
    assert_int_equal(topic_read(&f, "conversions", records, &f.arena), 2);
    for (int i = 0; i < 2; i++) {
        struct wire in = wire_over(records[i].value, records[i].value_length);
        size_t length;
        (void)wire_get_bytes(&in, &length);
        int64_t delay = wire_get_long(&in) - INT64_C(1650812741436);
        const unsigned char *kind = wire_get_bytes(&in, &length);
        bool like = length == 4 && memcmp(kind, "like", 4) == 0;
        assert_int_equal(delay, like ? 30901 : 61802);
    }
    stop(&f);
}

static void duplicate_rows_keep_one_id_and_one_partition(void **state) {
    (void)state;
    struct fixture f;
    struct log_record records[16];
    start(&f, "7,9,1650812741436,1,0,0,1,1\n7,9,1650812741436,1,0,0,1,1\n");
    assert_int_equal(load(&f), STATUS_OK);
    assert_int_equal(topic_read(&f, "impressions", records, &f.arena), 2);
    assert_string_equal(records[0].key, records[1].key);
    assert_int_equal(records[0].slot, records[1].slot);
    stop(&f);
}

static void a_mistake_is_refused_with_its_place(void **state) {
    (void)state;
    static const struct {
        const char *rows;
        const char *message;
    } cases[] = {
        {"7,9,x,1,0,0,1,1\n", "log_standard_x.csv:2: column `time_ms`: expected an integer"},
        {"7,9,1,1,0,0\n", "log_standard_x.csv:2: 6 fields, the header has 8"},
        {"7,\"9,1,1,0,0,1,1\n", "log_standard_x.csv:2: a quote is not closed"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        start(&f, cases[i].rows);
        assert_int_equal(load(&f), STATUS_INVALID);
        if (strstr(f.err.message, cases[i].message) == NULL)
            fail_msg("%s", f.err.message);
        stop(&f);
    }
    struct fixture f;
    start(&f, "");
    file_write(&f, "user_features_x.csv", "user_id,name\n", "");
    assert_int_equal(load(&f), STATUS_INVALID);
    assert_non_null(strstr(f.err.message, "has no column `user_active_degree`"));
    f.settings.directory = "/nonexistent-folder";
    assert_int_equal(load(&f), STATUS_NOT_FOUND);
    stop(&f);
}

static void counts_fall_in_half_octaves(void **state) {
    (void)state;
    static const int64_t expected[] = {0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 8};
    for (int64_t i = 0; i < 17; i++)
        assert_int_equal(kuairand_bucket(i), expected[i]);
    assert_int_equal(kuairand_bucket(-3), 0);
    assert_int_equal(kuairand_bucket(INT64_C(1) << 61), 122);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_becomes_an_impression_and_its_feedback_at_their_times),
        cmocka_unit_test(duplicate_rows_keep_one_id_and_one_partition),
        cmocka_unit_test(a_mistake_is_refused_with_its_place),
        cmocka_unit_test(counts_fall_in_half_octaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
