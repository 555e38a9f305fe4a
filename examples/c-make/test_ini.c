#include "ini.h"

#include <stdio.h>
#include <string.h>

static int failures;

static void check(const char *line, int expected, const char *key, const char *value)
{
    struct ini_pair pair = {"", ""};
    int got = ini_parse(line, &pair);
    if (got == expected && (got != 0 || (strcmp(pair.key, key) == 0 && strcmp(pair.value, value) == 0)))
        return;
    printf("FAIL: \"%s\" gave %d, \"%s\", \"%s\"\n", line, got, pair.key, pair.value);
    failures++;
}

int main(void)
{
    check("port = 8080", 0, "port", "8080");
    check("  name=a b  ", 0, "name", "a b");
    check("a = b = c", 0, "a", "b = c");
    check("no pair", -1, "", "");
    check(" = 1", -1, "", "");
    check("key =", -1, "", "");
    printf("%d of 6 failed\n", failures);
    return failures != 0;
}
