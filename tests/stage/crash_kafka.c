// The runner on a real Kafka: a task that dies again and again, with transactions open, ends with
// the state and the outputs that memory logs give without any death.
#include "tests/stage/toy.h"

#include "base/disk.h"

#include <inttypes.h>
#include <string.h>

static uint64_t seed;
static char brokers[128];

static int find_broker(void **state) {
    char path[512];
    struct error err;
    struct buffer address;
    const char *folder = getenv("FRESHET_TEST_KAFKA_DIR");
    (void)state;
    snprintf(path, sizeof(path), "%s/address", folder ? folder : ".");
    buffer_init(&address);
    if (disk_read_all(path, &address, &err) != STATUS_OK)
        return -1;
    snprintf(brokers, sizeof(brokers), "%.*s", (int)address.length, (const char *)address.data);
    brokers[strcspn(brokers, "\n")] = '\0';
    buffer_deinit(&address);
    return 0;
}

static void deaths_on_kafka_change_nothing(void **state) {
    (void)state;
    uint64_t crashes = 0;
    for (uint64_t data = seed; data < seed + 2; data++) {
        struct world memory, kafka;
        struct outcome reference, outcome;
        bool bounded = data % 2 != 0;
        world_init(&memory, data, 30, !bounded);
        memory.setup.bounded = bounded;
        world_run(&memory, false, &reference);
        world_deinit(&memory);
        world_init_kafka(&kafka, brokers, data, 30, !bounded);
        kafka.setup.bounded = bounded;
        world_shuffle(&kafka);
        kafka.setup.settings.batch_records = 4;
        kafka.life_steps = 40;
        world_run(&kafka, false, &outcome);
        outcome_assert_equal(&outcome, &reference);
        crashes += outcome.crashes;
        world_deinit(&kafka);
    }
    print_message("%" PRIu64 " deaths\n", crashes);
    assert_true(crashes > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(deaths_on_kafka_change_nothing, find_broker),
    };
    seed = test_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
