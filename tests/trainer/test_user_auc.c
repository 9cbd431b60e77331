// AUC within users against counted pairs, its bound, and saving.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/rng.h"
#include "trainer/user_auc.h"

#define OK(call) assert_int_equal((call), STATUS_OK)

enum { LABELS = 3000, USERS = 60 };

static uint64_t users[LABELS];
static float logits[LABELS];
static bool labels[LABELS];

static void stream_make(void) {
    struct rng rng;
    rng_init(&rng, 6);
    for (size_t i = 0; i < LABELS; i++) {
        users[i] = 1 + rng_below(&rng, USERS);
        logits[i] = (float)(round(rng_normal(&rng) * 8) / 8); // with ties
        // The last users have one class only.
        labels[i] =
            users[i] < USERS - 5 && rng_uniform(&rng) < 1 / (1 + exp(1 - (double)logits[i]));
    }
}

static double user_share(uint64_t user, double *ret_labels) {
    double pairs = 0, right = 0;
    *ret_labels = 0;
    for (size_t i = 0; i < LABELS; i++) {
        *ret_labels += users[i] == user;
        for (size_t j = 0; j < LABELS; j++) {
            if (users[i] != user || users[j] != user || !labels[i] || labels[j])
                continue;
            pairs += 1;
            right += logits[i] > logits[j] ? 1 : logits[i] < logits[j] ? 0 : .5;
        }
    }
    return right / pairs;
}

static void it_is_the_weighted_mean_over_users(void **state) {
    (void)state;
    struct user_auc *auc;
    OK(user_auc_new(LABELS, &auc, NULL));
    for (size_t i = 0; i < LABELS; i++)
        user_auc_add(auc, users[i], logits[i], labels[i]);
    double sum = 0, weight = 0, squares = 0;
    size_t counted = 0;
    for (uint64_t user = 1; user <= USERS; user++) {
        double of_user, share = user_share(user, &of_user);
        if (isnan(share))
            continue;
        counted++;
        sum += share * of_user;
        weight += of_user;
    }
    for (uint64_t user = 1; user <= USERS; user++) {
        double of_user, share = user_share(user, &of_user);
        if (!isnan(share))
            squares += of_user * of_user * (share - sum / weight) * (share - sum / weight);
    }
    struct user_auc_measures measures = user_auc_measure(auc);
    assert_int_equal(measures.users, counted);
    assert_true(measures.labels == weight);
    assert_true(fabs(measures.auc - sum / weight) < 1e-12);
    assert_true(fabs(measures.error - sqrt(squares) / weight) < 1e-9);
    user_auc_free(auc);
}

static void without_both_classes_there_is_none(void **state) {
    (void)state;
    struct user_auc *auc;
    OK(user_auc_new(8, &auc, NULL));
    user_auc_add(auc, 1, 0, true);
    user_auc_add(auc, 1, 1, true);
    user_auc_add(auc, 0, -1, false); // unknown users do not count
    assert_true(isnan(user_auc_measure(auc).auc));
    user_auc_add(auc, 1, 2, false);
    assert_true(user_auc_measure(auc).auc == 0);
    assert_true(isnan(user_auc_measure(auc).error));
    user_auc_free(auc);
}

static void a_full_ring_forgets_the_oldest_and_goes_on(void **state) {
    (void)state;
    struct user_auc *small, *large;
    OK(user_auc_new(500, &small, NULL));
    OK(user_auc_new(LABELS, &large, NULL));
    for (size_t i = 0; i < LABELS; i++) {
        user_auc_add(small, users[i], logits[i], labels[i]);
        user_auc_add(large, users[i], logits[i], labels[i]);
    }
    // 8 labels of a user are still compared with: noisier, not biased.
    assert_true(fabs(user_auc_measure(small).auc - user_auc_measure(large).auc) < .03);
    user_auc_free(small);
    user_auc_free(large);
}

static void saved_it_goes_on_to_the_same_bits(void **state) {
    (void)state;
    struct user_auc *auc, *loaded = NULL;
    struct buffer saved, other;
    buffer_init(&saved);
    buffer_init(&other);
    OK(user_auc_new(500, &auc, NULL));
    for (size_t i = 0; i < LABELS; i++) {
        user_auc_add(auc, users[i], logits[i], labels[i]);
        if (loaded)
            user_auc_add(loaded, users[i], logits[i], labels[i]);
        if (i == 1234) {
            user_auc_save(auc, &saved);
            OK(user_auc_new(500, &loaded, NULL));
            struct wire in = wire_over(saved.data, saved.length);
            OK(user_auc_load(loaded, &in, NULL));
            assert_true(in.at == in.end);
        }
    }
    buffer_reset(&saved);
    user_auc_save(auc, &saved);
    user_auc_save(loaded, &other);
    assert_int_equal(saved.length, other.length);
    assert_memory_equal(saved.data, other.data, saved.length);
    user_auc_free(loaded);
    OK(user_auc_new(400, &loaded, NULL));
    struct wire in = wire_over(saved.data, saved.length);
    assert_int_equal(user_auc_load(loaded, &in, NULL), STATUS_CHANGED);
    user_auc_free(auc);
    user_auc_free(loaded);
    buffer_deinit(&saved);
    buffer_deinit(&other);
}

int main(void) {
    stream_make();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_weighted_mean_over_users),
        cmocka_unit_test(without_both_classes_there_is_none),
        cmocka_unit_test(a_full_ring_forgets_the_oldest_and_goes_on),
        cmocka_unit_test(saved_it_goes_on_to_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
