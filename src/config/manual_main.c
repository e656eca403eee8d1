/* manual_main: prints respgres(1), for the build. */
#include <stdio.h>

#include "config/config.h"

int main(void)
{
    struct buf text;
    buf_init(&text);
    config_manual(&text);
    bool written = fputs(buf_cstr(&text), stdout) >= 0 && fflush(stdout) == 0;
    buf_release(&text);
    return written ? 0 : 1;
}
