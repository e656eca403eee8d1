/* The doctor's look at the folder `dir`, on the file systems that this host has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor/parts.h"
#include "test.h"

struct seen {
    int count;
    enum finding_level worst;
    char text[2000];
};

static void note(void *arg, enum finding_level level, const char *what, const char *remedy)
{
    struct seen *s = arg;
    size_t n = strlen(s->text);
    snprintf(s->text + n, sizeof(s->text) - n, "%s\n", what);
    s->count++;
    if (level > s->worst)
        s->worst = level;
    EXPECT(level < FINDING_WARNING || remedy != NULL);
}

static void folder_on_memory_is_ephemeral(void)
{
    struct seen s = {0};
    char name[] = "/dev/shm/doctor-XXXXXX";
    if (mkdtemp(name) == NULL)
        return; /* no such place here */
    doctor_folder(name, note, &s);
    EXPECT_INT(s.worst, FINDING_WARNING);
    EXPECT(strstr(s.text, "is on tmpfs") != NULL);
    EXPECT(strstr(s.text, "fdatasync takes") != NULL);
    EXPECT(rmdir(name) == 0); /* nothing is left in it */
}

static void folder_that_is_not_there(void)
{
    struct seen s = {0};
    doctor_folder("/nowhere/at/all", note, &s);
    EXPECT_INT(s.count, 1);
    EXPECT_INT(s.worst, FINDING_BLOCKER);
    EXPECT(strstr(s.text, "No such file or directory") != NULL);
}

static void folder_on_a_disk(void)
{
    struct seen s = {0};
    char name[] = "/var/tmp/doctor-XXXXXX";
    if (mkdtemp(name) == NULL)
        return;
    doctor_folder(name, note, &s);
    EXPECT(s.worst < FINDING_BLOCKER);
    EXPECT(strstr(s.text, "fdatasync takes") != NULL);
    EXPECT(rmdir(name) == 0);
}

TEST_MAIN(TEST(folder_on_memory_is_ephemeral), TEST(folder_that_is_not_there), TEST(folder_on_a_disk))
