/* Scores one impression with the model that a Freshet deployment publishes to Redis.
 *
 *   cc -o score score.c $(pkg-config --cflags --libs freshet_scorer)
 *   ./score HOST PORT NAME home user_id=17 item_id=42 price=12.5
 *
 * The third argument is the deployment's name, the fourth the impression's domain ("" = none).
 * Prints a probability for each task. A service keeps the scorer open: it follows new versions by
 * itself. */
#include <freshet_scorer.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "name=value": text or integer for an id, a number where the feature is numeric. */
static int set_feature(struct freshet_row *row, char *argument) {
    char *value = strchr(argument, '=');
    if (!value)
        return 0;
    *value++ = '\0';
    return freshet_row_set_text(row, argument, value) == FRESHET_SCORER_OK ||
           freshet_row_set_number(row, argument, strtod(value, NULL)) == FRESHET_SCORER_OK;
}

int main(int count, char **arguments) {
    struct freshet_scorer_options options = {0};
    struct freshet_scorer *scorer;
    struct freshet_row *row;
    char error[256];
    float *probabilities;
    size_t task;
    int i, code = 1;

    if (count < 5) {
        fprintf(stderr, "usage: score HOST PORT NAME DOMAIN FEATURE=VALUE...\n");
        return 2;
    }
    options.host = arguments[1];
    options.port = (int)strtol(arguments[2], NULL, 10);
    options.name = arguments[3];
    options.timeout_ms = 1000;
    if (freshet_scorer_open(&options, &scorer, error, sizeof error) != FRESHET_SCORER_OK) {
        fprintf(stderr, "score: %s\n", error);
        return 1;
    }
    row = freshet_row_new(scorer);
    probabilities = calloc(freshet_scorer_tasks(scorer), sizeof *probabilities);
    if (!row || !probabilities || freshet_row_set_domain(row, arguments[4]) != FRESHET_SCORER_OK)
        goto done;
    for (i = 5; i < count; i++)
        if (!set_feature(row, arguments[i])) {
            fprintf(stderr, "score: the model has no feature '%s'\n", arguments[i]);
            goto done;
        }
    if (freshet_scorer_score(scorer, &row, 1, probabilities, NULL, error, sizeof error) !=
        FRESHET_SCORER_OK) {
        fprintf(stderr, "score: %s\n", error);
        goto done;
    }
    for (task = 0; task < freshet_scorer_tasks(scorer); task++)
        printf("%s %.6f\n", freshet_scorer_task(scorer, task), (double)probabilities[task]);
    code = 0;
done:
    free(probabilities);
    freshet_row_free(row);
    freshet_scorer_close(scorer);
    return code;
}
