// The table of methods.
#include "trainer/balance.h"

static const struct balance_method methods[] = {
    [LEARNER_BALANCE_FIXED] = {0},
    [LEARNER_BALANCE_METABALANCE] = {.products = BALANCE_PRODUCTS_TARGET,
                                     .by_block = true,
                                     .state_size = METABALANCE_STATE,
                                     .weigh = metabalance_weigh},
    [LEARNER_BALANCE_PCGRAD] = {.products = BALANCE_PRODUCTS_ALL, .weigh = pcgrad_weigh},
    [LEARNER_BALANCE_CAGRAD] = {.products = BALANCE_PRODUCTS_ALL, .weigh = cagrad_weigh},
    [LEARNER_BALANCE_MGDA] = {.products = BALANCE_PRODUCTS_ALL, .weigh = mgda_weigh},
    [LEARNER_BALANCE_IMTL_G] = {.products = BALANCE_PRODUCTS_ALL, .weigh = imtl_g_weigh},
    [LEARNER_BALANCE_UNCERTAINTY] = {.state_size = 1, .weigh = uncertainty_weigh},
    [LEARNER_BALANCE_DWA] = {.state_size = DWA_STATE, .weigh = dwa_weigh},
    [LEARNER_BALANCE_FAMO] = {.state_size = 1, .weigh = famo_weigh, .after = famo_after},
};
_Static_assert(sizeof methods / sizeof methods[0] == LEARNER_BALANCES, "one entry a method");

const struct balance_method *balance_method(int balance) {
    REQUIRE(balance >= 0 && balance < LEARNER_BALANCES);
    return &methods[balance];
}

void balance_weigh(const struct learner_settings *settings, const struct balance_view *view,
                   double *state, double *ret_coefficients) {
    const struct balance_method *method = balance_method(settings->balance);
    size_t present = 0;
    for (size_t k = 0; k < view->tasks; k++) {
        ret_coefficients[k] = 1;
        present += view->present[k];
    }
    if (present == 0 || method->weigh == NULL)
        return;
    method->weigh(settings, view, state, ret_coefficients);
    bool good = true;
    for (size_t k = 0; k < view->tasks; k++)
        good = good && isfinite(ret_coefficients[k]);
    for (size_t k = 0; k < view->tasks && !good; k++)
        ret_coefficients[k] = 1;
}
