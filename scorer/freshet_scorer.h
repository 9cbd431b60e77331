/* The scorer: follows a model that Freshet publishes to Redis, and scores with it.
 *
 *   struct freshet_scorer *scorer;
 *   char error[256];
 *   struct freshet_scorer_options options = {.host = "127.0.0.1", .port = 6379, .name = "shop"};
 *   if (freshet_scorer_open(&options, &scorer, error, sizeof error) != FRESHET_SCORER_OK) ...
 *   struct freshet_row *row = freshet_row_new(scorer);
 *   freshet_row_set_text(row, "user_id", "u17");
 *   freshet_row_set_number(row, "price", 12.5);
 *   freshet_row_set_domain(row, "home");
 *   float probabilities[1 * TASKS];
 *   freshet_scorer_score(scorer, &row, 1, probabilities, NULL, error, sizeof error);
 *
 * Scoring never waits for Redis: the whole model is held in memory, twice. A thread of the scorer's
 * own brings the second copy up to each newer version and then swaps the two, so that dense weights
 * and rows change at once. Scores equal the trainer's for the same version to 1e-6 (fp32 rows).
 *
 * A request with many candidates is scored in one call, and cheapest like this: set what they share
 * (user, context, domain) in one row, freshet_row_copy it into each candidate's, and give these
 * their own features by ids that freshet_scorer_id made once, when the item entered the catalogue.
 *
 * Thread-safe: any number of threads may score, each with rows of its own. */
#ifndef FRESHET_SCORER_H
#define FRESHET_SCORER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum freshet_scorer_status {
    FRESHET_SCORER_OK = 0,
    FRESHET_SCORER_INVALID = 1,     /* a name, value or published model cannot be used */
    FRESHET_SCORER_UNAVAILABLE = 2, /* Redis cannot be reached, or holds no whole model yet */
    FRESHET_SCORER_MEMORY = 3,
};

struct freshet_scorer_options {
    const char *host;     /* NULL = 127.0.0.1 */
    int port;             /* 0 = 6379 */
    const char *socket;   /* Unix socket instead of host and port, or NULL */
    const char *user;     /* or NULL */
    const char *password; /* or NULL */
    int database;
    int timeout_ms;   /* of connecting and each reply; 0 = 5000 */
    const char *name; /* of the deployment: the configuration's `name` */
    int poll_ms;      /* between looks for a newer version; 0 = 100; -1 = never follow */
};

struct freshet_scorer; /* thread-safe */
struct freshet_row;    /* one owner thread at a time */

/* Reads the model that the manifest names; waits up to timeout_ms for one to be whole. On failure
 * writes one line of reason into error. */
enum freshet_scorer_status freshet_scorer_open(const struct freshet_scorer_options *options,
                                               struct freshet_scorer **ret_scorer, char *error,
                                               size_t error_size);
void freshet_scorer_close(struct freshet_scorer *scorer); /* after its rows; NULL is fine */

size_t freshet_scorer_tasks(const struct freshet_scorer *scorer);
const char *freshet_scorer_task(const struct freshet_scorer *scorer, size_t task); /* its name */
uint64_t freshet_scorer_version(struct freshet_scorer *scorer); /* being served now */
/* Why the last attempt to follow failed, "" when it did not; copied. */
void freshet_scorer_trouble(struct freshet_scorer *scorer, char *text, size_t size);

/* A row without any value: every feature missing, domain unknown. NULL when memory is out. */
struct freshet_row *freshet_row_new(const struct freshet_scorer *scorer);
void freshet_row_free(struct freshet_row *row);
void freshet_row_reset(struct freshet_row *row);
/* Categorical: sets; multi-valued, and sequences whose items have no times (oldest first): adds
 * one. Integers and texts of the same digits are the same id. FRESHET_SCORER_INVALID: no such
 * feature, or of another kind. */
enum freshet_scorer_status freshet_row_set_text(struct freshet_row *row, const char *feature,
                                                const char *text);
enum freshet_scorer_status freshet_row_set_integer(struct freshet_row *row, const char *feature,
                                                   int64_t value);
enum freshet_scorer_status freshet_row_set_number(struct freshet_row *row, const char *feature,
                                                  double value); /* numeric */
enum freshet_scorer_status freshet_row_set_domain(struct freshet_row *row, const char *domain);
/* Adds an item to a sequence, in any order; those after the row's time are not read, and the newest
 * are kept where they are more than the feature holds. time_ms: since 1970 UTC. */
enum freshet_scorer_status freshet_row_add_item(struct freshet_row *row, const char *feature,
                                                const char *text, int64_t time_ms);
/* All values of another row of the same scorer. */
void freshet_row_copy(struct freshet_row *row, const struct freshet_row *from);
/* A feature's number, for freshet_row_set_id; -1: there is none of this name, or it is numeric. */
int freshet_scorer_feature(const struct freshet_scorer *scorer, const char *feature);
/* The id of a value, as freshet_row_set_text would make it; it never changes, so it can be kept
 * with the item that has it. `feature` is a number from freshet_scorer_feature. */
uint64_t freshet_scorer_id(const struct freshet_scorer *scorer, int feature, const char *text);
/* Categorical: sets; multi-valued: adds one. FRESHET_SCORER_INVALID: no such number. */
enum freshet_scorer_status freshet_row_set_id(struct freshet_row *row, int feature, uint64_t id);
/* freshet_row_add_item by numbers. */
enum freshet_scorer_status freshet_row_add_item_id(struct freshet_row *row, int feature,
                                                   uint64_t id, int64_t time_ms);
/* When the impression is, in milliseconds since 1970 UTC: streaming rates are read as of then, and
 * items of sequences are so much older. By default when it is scored. */
enum freshet_scorer_status freshet_row_set_time(struct freshet_row *row, int64_t time_ms);
/* For callers that hash as ingest does: columns in the order of the spec, as in an example. */
enum freshet_scorer_status freshet_row_set_columns(struct freshet_row *row, const void *ids,
                                                   const void *numbers, const void *lists,
                                                   const char *domain, size_t domain_length);

/* probabilities[row * tasks + task]. All rows by one version, given in *ret_version unless NULL. */
enum freshet_scorer_status freshet_scorer_score(struct freshet_scorer *scorer,
                                                struct freshet_row *const *rows, size_t count,
                                                float *probabilities, uint64_t *ret_version,
                                                char *error, size_t error_size);

#ifdef __cplusplus
}
#endif
#endif
