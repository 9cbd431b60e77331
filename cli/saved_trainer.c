// Opens the newest checkpoint read-only; see saved_trainer.h.
#include "cli/saved_trainer.h"

#include "stage/checkpoint.h"

enum status saved_trainer_load(const struct settings *settings, size_t partitions,
                               struct trainer **ret_trainer, struct error *err) {
    char directory[4096];
    struct checkpoint_reader *reader = NULL;
    struct trainer *trainer = NULL;
    struct trainer_setup setup = {.settings = &settings->trainer,
                                  .model = &settings->model,
                                  .spec = &settings->data,
                                  .lineage = 1,
                                  .inputs = partitions};
    int length =
        snprintf(directory, sizeof directory, "%s/%s.trainer", settings->directory, settings->name);
    if (length < 0 || (size_t)length >= sizeof directory)
        return error_set(err, STATUS_INVALID, "`directory` is too long");
    enum status status = checkpoint_reader_newest(directory, "trainer", &reader, err);
    if (status == STATUS_OK)
        status = trainer_new(&setup, &trainer, err);
    if (status == STATUS_OK)
        status = trainer_operations.load(trainer, reader, err);
    checkpoint_reader_close(reader);
    if (status == STATUS_OK)
        status = counting_catch_up(trainer_counting(trainer),
                                   trainer_operations.watermark_ms(trainer), err);
    if (status == STATUS_OK)
        *ret_trainer = trainer;
    else
        trainer_free(trainer);
    return status;
}
