/* Lines of the form "key = value": the smallest part of an INI file. */
#ifndef INI_H
#define INI_H

#include <stddef.h>

/* Room for a key or a value, with the closing zero. */
#define INI_TEXT_MAX 64

struct ini_pair {
    char key[INI_TEXT_MAX];
    char value[INI_TEXT_MAX];
};

/* Reads one line. 0 when it held a pair, -1 when it did not or a part was too long. */
int ini_parse(const char *line, struct ini_pair *pair);

#endif
