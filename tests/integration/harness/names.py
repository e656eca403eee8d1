"""Host names that a test makes up. What a process asks getaddrinfo about names that end in .test is
answered from a file; a name that is not there gets no answer until it is."""

import os
import pathlib
import re
import subprocess

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* The addresses of a line "name address ..."; NULL where the name has no line. */
static char *find(const char *name, char *line, size_t size)
{
    size_t n = strlen(name);
    FILE *f = fopen(getenv("TEST_NAMES"), "re");
    char *found = NULL;
    while (f != NULL && found == NULL && fgets(line, size, f) != NULL) {
        if (strncmp(line, name, n) == 0 && (line[n] == ' ' || line[n] == '\n'))
            found = line + n;
    }
    if (f != NULL)
        fclose(f);
    return found;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    lookup *real = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
    size_t n = name != NULL ? strlen(name) : 0;
    int numeric = hints != NULL && (hints->ai_flags & AI_NUMERICHOST);
    if (numeric || n < 5 || strcmp(name + n - 5, ".test") != 0)
        return real(name, service, hints, found);
    char line[1024];
    char *at;
    while ((at = find(name, line, sizeof(line))) == NULL)
        usleep(10000);
    struct addrinfo **end = found;
    *found = NULL;
    for (char *save, *word = strtok_r(at, " \n", &save); word != NULL;
         word = strtok_r(NULL, " \n", &save)) {
        if (real(word, service, hints, end) != 0)
            return EAI_FAIL;
        while (*end != NULL)
            end = &(*end)->ai_next;
    }
    return *found != NULL ? 0 : EAI_NONAME;
}
"""


class Names:
    def __init__(self, folder):
        self._file = folder / "names"
        self._library = folder / "names.so"
        self._known = {}
        source = folder / "names.c"
        source.write_text(SOURCE)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self._library, source], check=True)
        self._file.touch()

    def know(self, **names):
        """name → addresses; _ stands for the dot: db_test="127.0.0.1 127.0.0.2"."""
        self._known.update({name.replace("_", "."): to for name, to in names.items()})
        self._write()

    def forget(self, name):
        """Who asks for it waits."""
        del self._known[name]
        self._write()

    def _write(self):
        fresh = self._file.with_suffix(".new")
        fresh.write_text("".join(f"{name} {to}\n" for name, to in self._known.items()))
        os.replace(fresh, self._file)

    def env(self, binary):
        """What `binary` must have in its environment. A sanitizer's library wants to be first."""
        libraries = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True)
        sanitizer = re.findall(r"lib[a-z]*asan\S* => (\S+)", libraries.stdout)
        return {"LD_PRELOAD": ":".join([*sanitizer, str(pathlib.Path(self._library))]),
                "TEST_NAMES": str(self._file)}
