// Accounts: nothing that was read may vanish uncounted.
#include "stage/machine.h"

#include "base/logger.h"

#define ACCOUNTS_MAX 64

bool account_balances(const struct account *account) {
    uint64_t sum = account->used + account->in_flight;
    for (size_t i = 0; i < account->reason_count; i++)
        sum += account->dropped[i];
    return sum == account->read;
}

static uint64_t account_dropped(const struct account *account) {
    uint64_t sum = 0;
    for (size_t i = 0; i < account->reason_count; i++)
        sum += account->dropped[i];
    return sum;
}

static size_t accounts_get(struct runner *runner, struct account *accounts) {
    const struct stage_operations *operations = runner->setup.operations;
    if (!operations->accounts)
        return 0;
    size_t count = operations->accounts(runner->setup.state, accounts, ACCOUNTS_MAX);
    REQUIRE(count <= ACCOUNTS_MAX);
    return count;
}

static void account_line(struct runner *runner, enum logger_level level, const char *event,
                         const struct account *account) {
    struct buffer text;
    buffer_init(&text);
    for (size_t i = 0; i < account->reason_count; i++)
        if (account->dropped[i] > 0)
            buffer_append_text(&text, "%s%s:%llu", text.length > 0 ? "," : "", account->reasons[i],
                               (unsigned long long)account->dropped[i]);
    buffer_append_byte(&text, 0);
    logger_line(level, runner->setup.operations->name, event,
                "task=\"%s\" input=\"%s\" read=%llu used=%llu in_flight=%llu dropped=%llu "
                "reasons=\"%s\"",
                runner->setup.task, account->input, (unsigned long long)account->read,
                (unsigned long long)account->used, (unsigned long long)account->in_flight,
                (unsigned long long)account_dropped(account),
                text.failed ? "" : (const char *)text.data);
    buffer_deinit(&text);
}

// dropped_total is set, not counted up, as the stage holds the totals and a checkpoint restores
// them.
static void account_export(struct runner *runner, const struct account *account) {
    if (!runner->setup.metrics)
        return;
    char name[128];
    snprintf(name, sizeof(name), "freshet_%s_dropped_total", runner->setup.operations->name);
    for (size_t i = 0; i < account->reason_count; i++) {
        char labels[512] = "";
        metrics_label(labels, sizeof(labels), "task", runner->setup.task);
        metrics_label(labels, sizeof(labels), "input", account->input);
        metrics_label(labels, sizeof(labels), "reason", account->reasons[i]);
        struct metric *metric = metrics_get(runner->setup.metrics, METRIC_COUNTER, name, labels,
                                            "Records read and not used, by reason.");
        metric_set(metric, (double)account->dropped[i]);
    }
}

void accounts_export(struct runner *runner) {
    struct account accounts[ACCOUNTS_MAX] = {0};
    size_t count = runner->setup.metrics ? accounts_get(runner, accounts) : 0;
    for (size_t i = 0; i < count; i++)
        account_export(runner, &accounts[i]);
}

enum status accounts_check(struct runner *runner, struct error *err) {
    struct account accounts[ACCOUNTS_MAX] = {0};
    size_t count = accounts_get(runner, accounts);
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        account_export(runner, &accounts[i]);
        if (account_balances(&accounts[i]))
            continue;
        wrong++;
        account_line(runner, LOGGER_ERROR, "account-unbalanced", &accounts[i]);
    }
    if (runner->report.unbalanced)
        metric_set(runner->report.unbalanced, (double)wrong);
    if (wrong > 0 && runner->setup.accounts_strict)
        return error_set(err, STATUS_CORRUPT,
                         "task `%s`: %zu accounts do not balance: read is not used + in flight + "
                         "dropped",
                         runner->setup.task, wrong);
    return STATUS_OK;
}

void accounts_print(struct runner *runner) {
    struct account accounts[ACCOUNTS_MAX] = {0};
    size_t count = accounts_get(runner, accounts);
    for (size_t i = 0; i < count; i++)
        account_line(runner, LOGGER_INFO, "account", &accounts[i]);
    for (size_t i = 0; i < runner->setup.input_count; i++) {
        const struct slot *slot = &runner->slots[i];
        logger_line(LOGGER_INFO, runner->setup.operations->name, "input",
                    "task=\"%s\" topic=\"%s\" partition=%d records=%llu ends=%llu next_offset=%lld",
                    runner->setup.task, runner->setup.inputs[i].topic,
                    (int)runner->setup.inputs[i].partition, (unsigned long long)slot->records,
                    (unsigned long long)slot->ends, (long long)slot->next_offset);
    }
}
