// The half of a checkpoint's writer that touches the disk: jobs, done in order by a thread of the
// writer's own, so that a stage goes on folding while its state is written and synced. Private to
// stage/.
#ifndef FRESHET_STAGE_CHECKPOINT_WORK_H
#define FRESHET_STAGE_CHECKPOINT_WORK_H

#include "stage/folder.h"

enum work_kind {
    WORK_SECTION, // opens a section; ends the one before
    WORK_BYTES,   // appends to it
    WORK_TAKE,    // appends what the previous generation holds under `name`
    WORK_KEEP,    // links a section of the previous generation into this one
    WORK_FILE,    // syncs and lists what the stage itself placed
    WORK_COMMIT   // manifest, rename, pruning
};

struct work {
    struct work *next;
    enum work_kind kind;
    bool blocks; // the section's own blocks carry checksums
    char name[FOLDER_NAME_MAX];
    unsigned char *bytes; // owned
    size_t length;
    int64_t place;    // of the journal
    size_t kept;      // generations
    const char *copy; // where the generation is copied to, or NULL; outlives the thread
};

// Folders of a generation being made; the owner writes them before the thread starts.
struct work_place {
    char directory[FOLDER_PATH_MAX]; // of the task
    char root[FOLDER_PATH_MAX];      // DIRECTORY/checkpoints
    char path[FOLDER_PATH_MAX];      // being made
    char final[FOLDER_PATH_MAX];     // where it will stand
    char previous[FOLDER_PATH_MAX];  // the newest whole generation; empty = none
    uint64_t generation;
    bool fallback; // an older generation stands on other files than the newest
};
// Finds the generation's number and the one before; removes what died half-made.
CHECKED enum status work_place_find(const char *directory, struct work_place *ret_place,
                                    struct error *err);

struct work_thread;
CHECKED enum status work_thread_start(const struct work_place *place,
                                      struct work_thread **ret_thread, struct error *err);
// Takes over `work` and its bytes. After a failure jobs are dropped; work_thread_poll tells it.
void work_thread_add(struct work_thread *thread, struct work *work);
size_t work_thread_backlog(struct work_thread *thread);            // bytes not yet written
void work_thread_wait(struct work_thread *thread, size_t backlog); // until so few bytes are left
// *ret_done: the commit is durable (*ret_oldest_place as checkpoint_writer_poll says). With `wait`
// returns only then, or with what failed.
CHECKED enum status work_thread_poll(struct work_thread *thread, bool wait, bool *ret_done,
                                     int64_t *ret_oldest_place, struct error *err);
void work_thread_stop(struct work_thread *thread); // drops what is left, waits for the thread

void work_free(struct work *work);

#endif
