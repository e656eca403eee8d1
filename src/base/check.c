#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "event=assert-failed where=%s:%d what=\"%s\"\n", file, line, cond);
    abort();
}
